"""Houses: the price of a house from photographs and a few numbers, in the shape of MIS-ME.

Ahmed & Moustafa, House price estimation from visual and textual features, IJCCI 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import by_stem, find_file, find_files
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import read_image

HOUSES = 535
"""Houses of the whole data set."""
SIDE = 256
"""Height and width of the stored photographs, in pixels."""
TABLE = "HousesInfo.txt"
COLUMNS = ("bedrooms", "bathrooms", "log area")
View = Literal["frontal", "bathroom", "bedroom", "kitchen"]
TASK = {
    "kind": "regression",
    "outputs": 1,
    "scale": "train",
    "log": True,
    "clip": [0.01, 0.99],
    "output": "sigmoid",
}


@dataclass(frozen=True)
class House:
    """Line of the table.

    Args:
        number: Number of the house, from 1.
        bedrooms: Number of bedrooms.
        bathrooms: Number of bathrooms.
        area: Area in square feet.
        zipcode: Zip code.
        price: Price in dollars.
    """

    number: int
    bedrooms: float
    bathrooms: float
    area: float
    zipcode: str
    price: float

    @property
    def usable(self) -> bool:
        """Whether all numbers are finite, and area and price have a logarithm."""
        numbers = (self.bedrooms, self.bathrooms, self.area, self.price)
        return all(map(isfinite, numbers)) and self.area > 0 and self.price > 0


class HousesOptions(ReaderOptions):
    """Options of ``g2d data prepare houses``."""

    views: tuple[View, ...] = Field(
        ("frontal",),
        min_length=1,
        description="photographs; a single one is called image, several have their own names",
    )
    zipcode: bool = Field(True, description="add one column for each zip code to the table")


def plan_houses(source: Path, options: HousesOptions) -> Plan:
    """Plan a store from the folder ``Houses Dataset`` with its table ``HousesInfo.txt``.

    Raises:
        DataError: The table is missing or damaged.
    """
    houses, photos, warnings = _read(source)
    parsed = [_sample(house, photos, options.views) for house in houses]
    samples = [sample for sample in parsed if isinstance(sample, Sample)]
    codes = tuple(sorted({house.zipcode for house in houses})) if options.zipcode else ()
    names = ("image",) if len(options.views) == 1 else options.views
    pixels = ({"name": "pixels"}, {"name": "standardize", "axes": "all"})
    signals = {m: Signal("image", "uint8", (SIDE, SIDE, 3), pixels) for m in names}
    columns, standard = [*COLUMNS, *codes], ({"name": "standardize"},)
    signals["table"] = Signal("table", "float32", (len(columns),), standard, {"columns": columns})
    split = places(samples, lambda s: {0: TEST, 1: VALID}.get(int(s.id) % 5, TRAIN))
    return Plan(
        name="houses",
        task=TASK,
        signals=signals,
        samples=samples,
        decode=HousesDecode(tuple(names), codes),
        protocols={"houses/by-number-v1": split},
        skipped=[skip for skip in parsed if isinstance(skip, Skip)],
        parameters=options.model_dump() | {"side": SIDE},
        warnings=tuple(warnings),
        official=HOUSES,
        chunk=16,
    )


def _sample(house: House, photos: dict[str, str], views: tuple[View, ...]) -> Sample | Skip:
    """Return the sample of a house, or why it is skipped."""
    files = {
        view: photos.get(f"{house.number:03d}_{view}") or photos.get(f"{house.number}_{view}")
        for view in views
    }
    name = f"{house.number:03d}"
    if missing := [view for view, file in files.items() if file is None]:
        return Skip(name, "missing-file", f"no photograph {' or '.join(missing)}")
    if not house.usable:
        rooms = f"{house.bedrooms:g}, {house.bathrooms:g}"
        detail = f"its numbers are {rooms}, area {house.area:g}, price {house.price:g}"
        return Skip(name, "non-finite", detail)
    facts = {"table": [house.bedrooms, house.bathrooms, log(house.area)], "zipcode": house.zipcode}
    return Sample(name, house.price, name, tuple(map(str, files.values())), facts)


@dataclass(frozen=True)
class HousesDecode:
    """Decoder of a house's photographs and numbers.

    Args:
        names: Names of the photographs, in the order of the sample's files.
        codes: Zip codes with a column of the table each.
    """

    names: tuple[str, ...]
    codes: tuple[str, ...]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the photographs ``(256, 256, 3)`` and the table of a house."""
        codes = (float(code == sample.facts["zipcode"]) for code in self.codes)
        table = np.array([*sample.facts["table"], *codes], np.float32)
        files = zip(self.names, sample.files, strict=True)
        photos = {m: read_image(source / file, (SIDE, SIDE)) for m, file in files}
        return Decoded({"table": table, **photos})


def _read(source: Path) -> tuple[list[House], dict[str, str], list[str]]:
    """Read the houses and find their photographs, which are next to the table.

    Line N of the table is house N: bedrooms bathrooms area zipcode price.

    Returns:
        The houses, the paths of the photographs by name, and warnings.
    """
    path = find_file(source, TABLE)
    if path is None:
        raise DataError(f"{source} must hold photographs and {TABLE}, found no {TABLE}.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be a text in UTF-8, found: {error}.") from error
    numbered = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    photos, warnings = by_stem(source, find_files(path.parent, ".jpg"))
    last = _last_house(photos)
    if last > len(numbered):  # a lost line would give every later house its neighbor's price
        raise DataError(
            f"{path} must have a line per house, found {len(numbered)} and photos of house {last}."
        )
    houses = [
        _house(house, cells, f"line {number} of {path}")
        for house, (number, cells) in enumerate(numbered, start=1)
    ]
    return houses, photos, warnings


def _last_house(photos: dict[str, str]) -> int:
    """Return the greatest number of a house with a photograph, or 0."""
    parts = (name.partition("_") for name in photos)
    numbers = (int(n) for n, _, view in parts if n.isdecimal() and view in get_args(View))
    return max(numbers, default=0)


def _house(number: int, cells: list[str], where: str) -> House:
    """Parse the cells of a line of the table."""
    try:
        bedrooms, bathrooms, area, zipcode, price = cells
        return House(number, float(bedrooms), float(bathrooms), float(area), zipcode, float(price))
    except ValueError:
        form = "bedrooms bathrooms area zipcode price"
        raise DataError(f"{where} must be {form}, found {' '.join(cells)!r}.") from None
