"""Houses: photographs and a few numbers -> price, in the shape of MIS-ME (Ahmed & Moustafa, IJCCI 2016)."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, log
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import by_stem, find_file, find_files
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import read_image

HOUSES, SIDE = 535, 256
PACK, PACK_TABLE, TABLE = "houses.zip", "houses.csv", "HousesInfo.txt"
CELLS = ("house", "bedrooms", "bathrooms", "area_sqft", "zipcode", "price_usd")
"""Columns of the pack's table; the line of the authors' own has the same, but for the number."""
COLUMNS = ("bedrooms", "bathrooms", "log area")
View = Literal["frontal", "bathroom", "bedroom", "kitchen"]


@dataclass(frozen=True)
class House:
    """A line of the table."""

    number: int
    bedrooms: float
    bathrooms: float
    area: float
    zipcode: str
    price: float

    @property
    def usable(self) -> bool:
        """All is finite, and area and price, of which the logarithm is taken, are more than nothing."""
        return (
            all(map(isfinite, (self.bedrooms, self.bathrooms, self.area, self.price)))
            and self.area > 0
            and self.price > 0
        )


class HousesOptions(ReaderOptions):
    """What ``g2d data prepare houses`` can be told."""

    views: tuple[View, ...] = Field(
        ("frontal",),
        min_length=1,
        description="photographs; one is called image, several by their own names",
    )
    zipcode: bool = Field(False, description="add the zip code to the table, one column for each")


def plan_houses(source: Path, options: HousesOptions) -> Plan:
    """From the pack, or from the folder ``Houses Dataset`` with ``HousesInfo.txt``."""
    packed = (source / PACK).is_file()
    houses, photos, warnings = _packed(source / PACK) if packed else _raw(source)
    samples, skipped = [], []
    for house in houses:
        files = [
            photos.get(f"{house.number:03d}_{view}") or photos.get(f"{house.number}_{view}")
            for view in options.views
        ]
        name = f"{house.number:03d}"
        if absent := [
            view for view, file in zip(options.views, files, strict=True) if file is None
        ]:
            skipped.append(Skip(name, "missing-file", f"no photograph {' or '.join(absent)}"))
            continue
        if not house.usable:
            skipped.append(
                Skip(
                    name,
                    "non-finite",
                    f"its numbers are {house.bedrooms:g}, {house.bathrooms:g}, area {house.area:g}, price {house.price:g}",
                )
            )
            continue
        facts = {
            "table": [house.bedrooms, house.bathrooms, log(house.area)],
            "zipcode": house.zipcode,
        } | ({"photos": files} if packed else {})
        samples.append(
            Sample(name, house.price, name, () if packed else tuple(map(str, files)), facts)
        )
    codes = tuple(sorted({house.zipcode for house in houses})) if options.zipcode else ()
    names = ("image",) if len(options.views) == 1 else options.views
    pixels = ({"name": "pixels"}, {"name": "standardize", "axes": "all"})
    signals = {m: Signal("image", "uint8", (SIDE, SIDE, 3), pixels) for m in names}
    signals["table"] = Signal(
        "table",
        "float32",
        (len(COLUMNS) + len(codes),),
        ({"name": "standardize"},),
        {"columns": [*COLUMNS, *codes]},
    )
    return Plan(
        name="houses",
        task={
            "kind": "regression",
            "outputs": 1,
            "scale": "train",
            "log": True,
            "clip": [0.01, 0.99],
            "output": "sigmoid",
        },
        signals=signals,
        samples=samples,
        decode=HousesDecode(tuple(names), codes, packed),
        protocols={
            "houses/by-number-v1": places(
                samples, lambda s: {0: TEST, 1: VALID}.get(int(s.id) % 5, TRAIN)
            )
        },
        skipped=skipped,
        parameters=options.model_dump() | {"side": SIDE},
        warnings=tuple(warnings),
        official=HOUSES,
        chunk=16,
    )


@dataclass(frozen=True)
class HousesDecode:
    """Photographs and numbers of a house."""

    names: tuple[str, ...]
    codes: tuple[str, ...]
    packed: bool

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        table = [
            *sample.facts["table"],
            *(float(code == sample.facts["zipcode"]) for code in self.codes),
        ]
        values: dict[str, NDArray[Any]] = {"table": np.array(table, np.float32)}
        for m, file in zip(
            self.names, sample.facts["photos"] if self.packed else sample.files, strict=True
        ):
            values[m] = read_image(
                _unpacked(source / PACK, file) if self.packed else source / file, (SIDE, SIDE)
            )
        return Decoded(values)


def _unpacked(pack: Path, name: str) -> io.BytesIO:
    try:
        return io.BytesIO(_archive(pack).read(name))
    except (KeyError, zipfile.BadZipFile) as error:
        raise UnreadableError("undecodable", f"{name} in {pack.name}: {error}") from error


@lru_cache(maxsize=1)
def _archive(pack: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(pack)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{pack} must be a zip file, found damage: {error}. Fetch it again."
        ) from error


def _packed(pack: Path) -> tuple[list[House], dict[str, str], list[str]]:
    archive = _archive(pack)
    photos = {
        PurePosixPath(name).stem: name
        for name in sorted(archive.namelist())
        if name.endswith(".jpg")
    }
    try:
        reader = csv.DictReader(io.StringIO(archive.read(PACK_TABLE).decode("utf-8")))
    except (KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(
            f"{pack} must hold {PACK_TABLE} in UTF-8, found: {error}. Fetch it again."
        ) from error
    if absent := [name for name in CELLS if name not in (reader.fieldnames or ())]:
        raise DataError(
            f"{PACK_TABLE} in {pack} must have the columns {', '.join(CELLS)}, found no {absent[0]}. Fetch it again."
        )
    return (
        [
            _house(
                [row[name] or "" for name in CELLS],
                f"line {reader.line_num} of {PACK_TABLE} in {pack}",
            )
            for row in reader
        ],
        photos,
        [],
    )


def _raw(source: Path) -> tuple[list[House], dict[str, str], list[str]]:
    """Line N of ``HousesInfo.txt`` is house N: bedrooms bathrooms area zipcode price. The photographs lie beside it."""
    path = find_file(source, TABLE)
    if path is None:
        raise DataError(
            f"{source} must hold {TABLE} and photographs N_frontal.jpg, found no {TABLE}."
        )
    try:
        lines = [
            (at, line.split())
            for at, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1)
            if line.strip()
        ]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} must be a text in UTF-8, found: {error}. Fetch it again."
        ) from error
    photos, warnings = by_stem(source, find_files(path.parent, ".jpg"))
    parted = (name.partition("_") for name in photos)
    last = max(
        (
            int(number)
            for number, _, view in parted
            if number.isdecimal() and view in get_args(View)
        ),
        default=0,
    )
    if last > len(lines):  # one that is lost would give every later house the price of its neighbor
        raise DataError(
            f"{path} must have a line for every house, found {len(lines)} and photographs of house {last}. Fetch it again."
        )
    return (
        [
            _house([str(number), *cells], f"line {at} of {path}")
            for number, (at, cells) in enumerate(lines, start=1)
        ],
        photos,
        warnings,
    )


def _house(cells: list[str], where: str) -> House:
    try:
        number, bedrooms, bathrooms, area, zipcode, price = cells
        return House(
            int(number), float(bedrooms), float(bathrooms), float(area), zipcode, float(price)
        )
    except ValueError:
        raise DataError(
            f"{where} must be bedrooms bathrooms area zipcode price, found {' '.join(cells[1:])!r}."
        ) from None
