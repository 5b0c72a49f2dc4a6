"""Any store that ``g2d data prepare`` wrote, by the name of its folder."""

from g2d.data.store.opening import StoreOptions
from g2d.datasets.base import DataSet
from g2d.datasets.table.opening import open_any

DATASET = DataSet(
    about="any store that g2d data prepare wrote, of your own data or of another data set",
    needs="a folder with dataset.json; data.store names it",
    license="that of its data",
    options=StoreOptions,
    open=open_any,
)
