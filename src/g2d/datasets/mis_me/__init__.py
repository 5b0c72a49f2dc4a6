"""MIS-ME: soil moisture from a photograph and weather values."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.mis_me.reader import MisMeOptions, plan_mis_me

DATASET = DataSet(
    about="MIS-ME: a photograph of soil and eight weather values; volumetric water content "
    "(regression)",
    needs="the release v1 of github.com/OSU-Complex-Systems/MIS-ME; xlsx needs openpyxl (pip "
    "install 'g2d[tables]')",
    license="MIT for the code; no separate license for the data",
    reader=Reader(
        plan_mis_me,
        MisMeOptions,
        layout="tables (xlsx or csv) with image, vwc and the eight weather columns, called "
        "..train.., ..val.., ..test.., and the photographs, in any folders",
    ),
)
