"""GRID, speaker 1: a spoken digit and the mouth that says it."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.grid_av.reader import GridOptions, plan_grid

DATASET = DataSet(
    about="GRID, one speaker: a spoken digit and the mouth that says it; 10 digits, 25 letters "
    "or 4 colors",
    needs="GRID's s1 (video and alignments), from its Zenodo record 3625687 or the page of the "
    "corpus",
    license="CC BY 4.0 to our knowledge; cite Cooke et al., JASA 120(5), 2006",
    reader=Reader(
        plan_grid,
        GridOptions,
        layout="the .mpg files of speaker s1 and their .align files, in any folders",
    ),
)
