"""Houses: a house whose numbers mean nothing is skipped, a damaged table is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2d.datasets.houses.reader import HousesOptions, plan_houses
from g2d.datasets.houses.sample import PLANTED, write_sample
from g2d.errors import DataError

HOUSES = ["4 4 4053 85255 869500", "4 3 3343 36372 865200", "3 4 3923 85266 889000"]


def write_houses(folder: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    """Write a table and empty photographs."""
    base = folder / "Houses Dataset"
    base.mkdir(parents=True)
    (base / "HousesInfo.txt").write_text("\n".join(lines) + "\n", encoding=encoding)
    for number in range(1, len(HOUSES) + 1):
        (base / f"{number}_frontal.jpg").write_bytes(b"")
    return folder


def test_several_photographs_have_their_own_names_and_zip_codes_their_columns(
    tmp_path: Path,
) -> None:
    write_sample(tmp_path)
    options = HousesOptions(views=("frontal", "kitchen"), zipcode=True)
    plan = plan_houses(tmp_path, options)
    assert list(plan.signals) == ["frontal", "kitchen", "table"]
    assert {skip.id: skip.reason for skip in plan.skipped} == PLANTED
    first = plan.decode(tmp_path, plan.samples[0])
    assert np.asarray(first.values["kitchen"]).shape == (256, 256, 3)
    area = float(np.exp(np.asarray(first.values["table"])[2]))
    assert np.asarray(first.values["table"]).tolist() == pytest.approx([2, 2, np.log(area), 0, 1])
    assert plan.samples[0].target == pytest.approx(200 * area, rel=1e-4)


@pytest.mark.parametrize(
    "line",
    [
        "4 3 3343 36372 0",
        "4 3 3343 36372 -5",
        "4 3 3343 36372 nan",
        "4 3 0 36372 865200",
        "4 3 -1 36372 865200",
        "nan 3 1 3 865200",
    ],
)
def test_a_house_whose_numbers_mean_nothing_is_skipped(tmp_path: Path, line: str) -> None:
    plan = plan_houses(write_houses(tmp_path, [HOUSES[0], line, HOUSES[2]]), HousesOptions())
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("002", "non-finite")]
    assert [(sample.id, sample.target) for sample in plan.samples] == [
        ("001", 869500),
        ("003", 889000),
    ]


@pytest.mark.parametrize(
    ("lines", "encoding", "message"),
    [
        (HOUSES, "utf-16", "HousesInfo.txt must be a text in UTF-8"),
        (
            HOUSES[1:],
            "utf-8",
            "must have a line per house, found 2 and photos of house 3",
        ),
        (
            [*HOUSES[:2], "", "3 4 3923 85266"],
            "utf-8",
            "line 4 of .*HousesInfo.txt must be bedrooms bathrooms area zipcode price, "
            "found '3 4 3923 85266'",
        ),
    ],
)
def test_a_damaged_table_is_refused(
    tmp_path: Path, lines: list[str], encoding: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        plan_houses(write_houses(tmp_path, lines, encoding), HousesOptions())
