"""VGGSound: 309 kinds of sound, heard and seen."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.vggsound.reader import VGGSoundOptions, plan_vggsound

DATASET = DataSet(
    about="VGGSound: 10-second clips of 309 kinds of sound; sound and video",
    needs="the table from github.com/hche11/VGGSound, the clips from YouTube or a public mirror "
    "(about 320 GB); some no longer exist",
    license="CC BY 4.0 for the table; the videos belong to their owners",
    reader=Reader(
        plan_vggsound,
        VGGSoundOptions,
        layout="vggsound.csv (and stat.csv with the 309 names) and clips ID_SSSSSS.mp4, flat or "
        "in sub-folders",
    ),
)
