"""A built-in regression: a drawn photo of soil and eight weather values."""

from g2d.datasets.base import DataSet
from g2d.datasets.soil.problem import SoilOptions, open_soil

DATASET = DataSet(
    about="photo of a soil patch and eight weather values, drawn at random; its water content "
    "(regression)",
    license="that of this project: drawn, not measured",
    options=SoilOptions,
    open=open_soil,
)
