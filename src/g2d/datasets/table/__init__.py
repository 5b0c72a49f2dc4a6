"""A user's own data: a table with a row per sample and a column per modality."""

from g2d.data.store.opening import StoreOptions
from g2d.datasets.base import DataSet, Reader
from g2d.datasets.table.opening import open_any
from g2d.datasets.table.reader import TableOptions, plan_table

DATASET = DataSet(
    about="your own data: a table (CSV, JSON, Parquet, Excel) with a column per modality",
    needs="a file with a row per sample; paths in it are relative to its folder",
    license="yours",
    options=StoreOptions,
    open=open_any,
    reader=Reader(
        plan_table,
        TableOptions,
        layout="a CSV, TSV, JSONL, JSON, Parquet or Excel file: columns of paths (pictures, sound, "
        "video, .npy), "
        "text or numbers; target; optional id, split, group",
    ),
    aliases=("manifest",),
)
