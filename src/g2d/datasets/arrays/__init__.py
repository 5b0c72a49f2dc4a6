"""A user's own data: arrays with a row per sample, in one file or a folder."""

from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.datasets.base import DataSet, Reader

DATASET = DataSet(
    about="your own data: one array per modality in .npz, .npy, .safetensors or .h5 files",
    needs="arrays with a row per sample, and a target",
    license="yours",
    options=StoreOptions,
    open=open_store,
    reader=Reader(
        plan_arrays,
        ArraysOptions,
        layout="an .npz, .safetensors or .h5 file, or a folder of .npy files: an array per "
        "modality; target; optional id, split, group, NAME.mask, NAME.present",
    ),
)
