"""ICT-MMMO: film reviews as word-level sequences of sound and face."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.mmmo.reader import MMMOOptions, plan_mmmo

DATASET = DataSet(
    about="ICT-MMMO: is a film review positive; word-level sequences of sound and face",
    needs="new_data of github.com/pliang279/MFN",
    license="MIT for the files; cite Zadeh et al., Memory Fusion Network, AAAI 2018",
    reader=Reader(
        plan_mmmo,
        MMMOOptions,
        layout="new_data/mmmo: audio_, video_ and y_ files for train, valid and test (.h5, needs "
        "h5py: pip install 'g2d[hdf5]')",
    ),
)
