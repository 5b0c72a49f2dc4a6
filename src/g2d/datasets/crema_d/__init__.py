"""CREMA-D: acted emotions in sound and video."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.crema_d.reader import CremaOptions, plan_crema

DATASET = DataSet(
    about="CREMA-D: 91 actors, 12 sentences, 6 acted emotions; sound and video",
    needs="git lfs clone of github.com/CheyneyComputerScience/CREMA-D (7.6 GB); its authors ask "
    "users to fill in a form",
    license="Open Database License 1.0, contents Database Contents License 1.0",
    reader=Reader(
        plan_crema,
        CremaOptions,
        layout="AudioWAV/NAME.wav, VideoFlash/NAME.flv; for crema_d/legacy also train.csv and "
        "test.csv (NAME,EMOTION) as OGM-GE and G2D publish them",
    ),
)
