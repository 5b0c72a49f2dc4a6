"""Houses: the price of a house from photographs and a few numbers."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.houses.reader import HousesOptions, plan_houses

DATASET = DataSet(
    about="Houses: a photograph (or four) and a few numbers; the price (regression)",
    needs="github.com/emanhamed/Houses-dataset (186 MB)",
    license="none stated; its authors ask to cite Ahmed & Moustafa, IJCCI 2016",
    reader=Reader(
        plan_houses,
        HousesOptions,
        layout="the folder Houses Dataset: N_{frontal,bathroom,bedroom,kitchen}.jpg and "
        "HousesInfo.txt",
    ),
)
