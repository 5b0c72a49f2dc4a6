"""MIS-ME: a photograph of a patch of soil and the weather -> how much water it holds (Rakib et al. 2024)."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.media import read_image
from g2d.data.readers.base import Reader, ReaderOptions
from g2d.data.readers.mis_me_tables import COLUMNS, Row, read_tables
from g2d.data.readers.table import number
from g2d.data.store.plan import TEST, TRAIN, UNUSED, VALID, Decoded, Plan, Sample, Signal, Skip, UnreadableError, places
from g2d.errors import DataError

ROWS, SIDE = 4501, 256
TEST_STATION = "OK003"
BLOCK = 5
"""Days that stay together in day-blocks-v1."""
SUFFIXES = (".jpg", ".jpeg", ".png")
PIXELS = {"name": "pixels", "mean": (0.507, 0.468, 0.307), "std": (0.194, 0.201, 0.170)}
"""As the authors normalise."""


class MisMeOptions(ReaderOptions):
    """What ``g2d data prepare mis_me`` can be told."""

    side: int = Field(SIDE, ge=32, le=1024, description="of the stored photographs")


@dataclass
class Found:
    """What the plan collects."""

    samples: list[Sample] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan_mis_me(source: Path, options: MisMeOptions) -> Plan:
    """Tables by their columns and photographs by their names, in any folders."""
    rows, extra, warnings = read_tables(source)
    images = {path.name: path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.suffix.lower() in SUFFIXES}
    found = Found(warnings=warnings)
    for row in rows:
        _add(row, images, found)
    if not found.samples:
        raise DataError(f"{source} must hold the photographs that its tables name, found none of {len(rows)}.")
    samples = sorted(found.samples, key=lambda sample: sample.id.encode())
    water = [float(sample.notes["vwc"]) for sample in samples]
    unit, scale = water_unit(water)
    protocols = _protocols(samples, found.warnings)
    named = {row.image for row in rows}
    report = {
        "unit": unit,
        "target": [min(water), max(water)],
        "images_without_row": sum(name not in named for name in images),
        "extra_columns": extra,
        "stations": dict(Counter(s.notes["station"] for s in samples)),
        "missing_values": {c: sum(bool(np.isnan(s.facts["table"][i])) for s in samples) for i, c in enumerate(COLUMNS)},
        "similar_photographs_across_splits": similar_across(source, samples, next(iter(protocols.values()))),
    }
    if report["similar_photographs_across_splits"]:
        found.warnings.append(f"{report['similar_photographs_across_splits']} photographs look like one of another split (equal 64-bit hash)")
    return Plan(
        name="mis_me",
        task={"kind": "regression", "outputs": 1, "scale": scale, "output": "sigmoid"},
        signals={
            "image": Signal("image", "uint8", (options.side, options.side, 3), (PIXELS, {"name": "resize", "size": 224})),
            "table": Signal("table", "float32", (len(COLUMNS),), ({"name": "standardize"},), {"columns": list(COLUMNS)}),
        },
        samples=samples,
        decode=MisMeDecode(options.side),
        protocols=protocols,
        skipped=sorted(found.skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump() | {"unit": unit},
        report=report,
        warnings=tuple(found.warnings),
        official=ROWS,
    )


def _add(row: Row, images: dict[str, str], found: Found) -> None:
    if row.repeated:
        found.skipped.append(Skip(row.image, "duplicate", f"again in {row.table}"))
        return
    water = number(row.cells["vwc"])
    if water is None or not np.isfinite(water):
        found.skipped.append(Skip(row.image, "no-agreed-label", f"its water content reads {row.cells['vwc']!r}"))
        return
    if row.image not in images:
        found.skipped.append(Skip(row.image, "missing-file", "no such photograph"))
        return
    numbers = [number(row.cells[column]) for column in COLUMNS]
    strange = [column for column, value in zip(COLUMNS, numbers, strict=True) if value is None]
    if strange:
        found.warnings.append(f"{row.image}: no number in {', '.join(strange)}, taken as missing")
    table = [float("nan") if value is None else value for value in numbers]
    notes = {"vwc": water, "station": row.station, "day": row.day, "official": row.place}
    group = f"{row.station}-{row.day}" if row.day else row.station or row.image
    found.samples.append(Sample(row.image, water, group, (images[row.image],), {"table": table}, notes))


def water_unit(water: list[float]) -> tuple[str, list[float]]:
    """Fraction or percent, and the values that stand for 0 and 1.

    Example:
        >>> water_unit([3.0, 42.0]), water_unit([0.1, 0.42])
        (('percent', [0.0, 100.0]), ('fraction', [0.0, 1.0]))
    """
    if min(water) < 0 or max(water) > 100:
        raise DataError(f"water content must be a fraction up to 1 or a percentage up to 100, found {min(water):g} to {max(water):g}.")
    return ("fraction", [0.0, 1.0]) if max(water) <= 1 else ("percent", [0.0, 100.0])


def _protocols(samples: list[Sample], warnings: list[str]) -> dict[str, NDArray[np.int8]]:
    """Leak-free ones where stations and days are known, and the authors' own."""
    protocols: dict[str, NDArray[np.int8]] = {}
    stations, dated = {s.notes["station"] for s in samples}, all(s.notes["day"] for s in samples)
    if dated and TEST_STATION in stations and len(stations) > 1 and None not in stations:
        protocols["mis_me/station-disjoint-v1"] = station_disjoint(samples)
    else:
        warnings.append(f"mis_me/station-disjoint-v1 needs stations (among them {TEST_STATION}) and days, in file names or columns: it is left out")
    if dated:
        protocols["mis_me/day-blocks-v1"] = day_blocks(samples)
    if {s.notes["official"] for s in samples} >= {TRAIN, VALID, TEST}:
        protocols["mis_me/legacy"] = places(samples, lambda s: UNUSED if s.notes["official"] is None else int(s.notes["official"]))
    if not protocols:
        raise DataError("MIS-ME's tables must be called train, val and test, or photographs must tell station and day, found neither.")
    return protocols


def station_disjoint(samples: list[Sample]) -> NDArray[np.int8]:
    """Station OK003 tests; the last fifth of the days of the others validates."""
    days = defaultdict(set)
    for sample in samples:
        days[sample.notes["station"]].add(sample.notes["day"])
    late = {station: sorted(known)[-max(1, round(len(known) / 5)) :] for station, known in days.items()}

    def place(sample: Sample) -> int:
        station = sample.notes["station"]
        return TEST if station == TEST_STATION else VALID if sample.notes["day"] in late[station] else TRAIN

    return places(samples, place)


def day_blocks(samples: list[Sample]) -> NDArray[np.int8]:
    """Blocks of five of the sorted (station, day); of every five blocks the last tests and the one before validates."""
    order = {pair: i for i, pair in enumerate(sorted({(str(s.notes["station"]), s.notes["day"]) for s in samples}))}
    block = {pair: (i // BLOCK) % 5 for pair, i in order.items()}
    return places(samples, lambda s: {4: TEST, 3: VALID}.get(block[str(s.notes["station"]), s.notes["day"]], TRAIN))


def similar_across(source: Path, samples: list[Sample], place: NDArray[np.int8]) -> int:
    """Photographs whose difference hash (8 x 8 signs of horizontal gradients) occurs in another split."""
    seen: dict[bytes, set[int]] = defaultdict(set)
    hashes: list[bytes | None] = []
    for sample, split in zip(samples, place.tolist(), strict=True):
        hashes.append(_look(source / sample.files[0]))
        if hashes[-1] is not None:
            seen[hashes[-1]].add(split)
    return sum(h is not None and any(a != b for a, b in combinations(seen[h], 2)) for h in hashes)


def _look(path: Path) -> bytes | None:
    try:
        small = read_image(path, (8, 9)).astype(np.int16).sum(2)
    except UnreadableError:
        return None  # it will be reported when its turn comes
    return np.packbits(np.diff(small, axis=1) > 0).tobytes()


@dataclass(frozen=True)
class MisMeDecode:
    """A photograph and its numbers."""

    side: int

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        picture = read_image(source / sample.files[0], (self.side, self.side))
        values: dict[str, NDArray[Any]] = {"image": picture, "table": np.array(sample.facts["table"], np.float32)}
        return Decoded(values)


READER = Reader(
    plan=plan_mis_me,
    options=MisMeOptions,
    about="MIS-ME: a photograph of soil and eight weather values; volumetric water content (regression)",
    layout="tables (xlsx or csv) with image, vwc and the eight weather columns, called ..train.., ..val.., ..test.., and the photographs, in any folders",
    needs="the release v1 of github.com/OSU-Complex-Systems/MIS-ME; xlsx needs openpyxl (pip install 'g2d[excel]')",
    licence="MIT for the code; no separate licence for the data",
)
