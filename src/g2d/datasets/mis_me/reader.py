"""MIS-ME: a photograph of a patch of soil and the weather -> how much water it holds (Rakib et al. 2024)."""

from __future__ import annotations

import filecmp
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import SPLITS, TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import find_files
from g2d.datasets.mis_me.tables import COLUMNS, Row, read_tables
from g2d.datasets.table.rows import number
from g2d.errors import DataError, UnreadableError
from g2d.prepare import UNLABELED, Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import read_image

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
    """What the plan collects; ``strange``: per column, photographs in whose rows it holds no number."""

    samples: list[Sample] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    strange: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def plan_mis_me(source: Path, options: MisMeOptions) -> Plan:
    """Tables by their columns and photographs by their names, in any folders."""
    rows, extra, warnings = read_tables(source)
    images, found = _photographs(source), Found()
    for row in rows:
        _add(source, row, images, found)
    if not found.samples:
        why = "".join(
            f", such as {skip.id}: {skip.reason} ({skip.detail})" for skip in found.skipped[:1]
        )
        raise DataError(
            f"{source} must hold tables with water contents and the photographs that they name, found no such row among {len(rows)}{why}."
        )
    samples = sorted(found.samples, key=lambda sample: sample.id.encode())
    unit, scale = water_unit([float(sample.notes["vwc"]) for sample in samples])
    warnings += [
        f"{len(named)} cells of {c} are no numbers and taken as missing, such as in the row of {named[0]}"
        for c, named in found.strange.items()
    ]
    protocols, left_out = _protocols(samples)
    hashes = _hashes(source, samples)
    similar = {name: similar_across(hashes, place) for name, place in protocols.items()}
    warnings += left_out + [
        f"{n} photographs look like one of another split of {name} (equal 64-bit hash)"
        for name, n in similar.items()
        if n
    ]
    return Plan(
        name="mis_me",
        task={"kind": "regression", "outputs": 1, "scale": scale, "output": "sigmoid"},
        signals={
            "image": Signal(
                "image",
                "uint8",
                (options.side, options.side, 3),
                (PIXELS, {"name": "resize", "size": 224}),
            ),
            "table": Signal(
                "table",
                "float32",
                (len(COLUMNS),),
                ({"name": "standardize"},),
                {"columns": list(COLUMNS)},
            ),
        },
        samples=samples,
        decode=MisMeDecode(options.side),
        protocols=protocols,
        skipped=sorted(found.skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump() | {"unit": unit},
        report={
            "unit": unit,
            "extra_columns": extra,
            "images_without_row": len(images.keys() - {row.image for row in rows}),
            "similar_photographs_across_splits": similar,
            **_report(found),
        },
        warnings=tuple(warnings),
        official=ROWS,
    )


def _photographs(source: Path) -> dict[str, list[str]]:
    """Where each name occurs."""
    found = defaultdict(list)
    for path in (path for suffix in SUFFIXES for path in find_files(source, suffix)):
        found[path.name].append(path.relative_to(source).as_posix())
    return dict(found)


def _add(source: Path, row: Row, images: Mapping[str, Sequence[str]], found: Found) -> None:
    paths, water = images.get(row.image, ()), number(row.cells["vwc"])
    if not row.image:
        found.skipped.append(
            Skip(f"{row.table}, row {row.line}", "missing-file", "it names no photograph")
        )
    elif row.repeated:
        found.skipped.append(Skip(row.image, "duplicate", f"again in {row.table}"))
    elif water is None or not np.isfinite(water):
        found.skipped.append(
            Skip(row.image, UNLABELED, f"its water content reads {row.cells['vwc']!r}")
        )
    elif not paths:
        found.skipped.append(Skip(row.image, "missing-file", "no such photograph"))
    elif other := next(
        (
            path
            for path in paths[1:]
            if not filecmp.cmp(source / paths[0], source / path, shallow=False)
        ),
        None,
    ):
        found.skipped.append(
            Skip(row.image, "duplicate", f"{paths[0]} and {other} are different photographs")
        )
    else:
        numbers = {column: number(row.cells[column]) for column in COLUMNS}
        for column in (column for column, value in numbers.items() if value is None):
            found.strange[column].append(row.image)
        table = [float("nan") if value is None else value for value in numbers.values()]
        notes = {
            "vwc": water,
            "station": row.station,
            "day": row.day,
            "official": row.place,
            "table": row.table,
        }
        group = f"{row.station}-{row.day}" if row.day else row.station or row.image
        found.samples.append(Sample(row.image, water, group, (paths[0],), {"table": table}, notes))


def _report(found: Found) -> dict[str, Any]:
    tables = np.array([sample.facts["table"] for sample in found.samples])
    water = [sample.notes["vwc"] for sample in found.samples]
    return {
        "target": [min(water), max(water)],
        "rows_without_image": sum(skip.reason == "missing-file" for skip in found.skipped),
        "rows_without_target": sum(skip.reason == UNLABELED for skip in found.skipped),
        "stations": dict(Counter(sample.notes["station"] for sample in found.samples)),
        "missing_values": dict(zip(COLUMNS, np.isnan(tables).sum(0).tolist(), strict=True)),
        "non_numeric_cells": {column: len(found.strange[column]) for column in COLUMNS},
    }


def water_unit(water: list[float]) -> tuple[str, list[float]]:
    """Fraction or percent, and the values that stand for 0 and 1.

    Example:
        >>> water_unit([3.0, 42.0]), water_unit([0.1, 0.42])
        (('percent', [0.0, 100.0]), ('fraction', [0.0, 1.0]))
    """
    if min(water) < 0 or max(water) > 100:
        raise DataError(
            f"water content must be a fraction up to 1 or a percentage up to 100, found {min(water):g} to {max(water):g}."
        )
    return ("fraction", [0.0, 1.0]) if max(water) <= 1 else ("percent", [0.0, 100.0])


def _protocols(samples: list[Sample]) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """Leak-free ones where stations and days are known, and the authors' own; and why some are left out."""
    no_station, no_day = (
        _lacking(samples, "station", "such as OK001"),
        _lacking(samples, "day", "written year, month, day"),
    )
    rules: tuple[tuple[str, Callable[[list[Sample]], NDArray[np.int8]], str], ...] = (
        ("mis_me/station-disjoint-v1", station_disjoint, no_station or no_day),
        ("mis_me/day-blocks-v1", day_blocks, no_day),
        ("mis_me/legacy", as_given, ""),
    )
    protocols: dict[str, NDArray[np.int8]] = {}
    left_out: list[str] = []
    for name, rule, obstacle in rules:
        place = places(samples, lambda _: UNUSED) if obstacle else rule(samples)
        if obstacle := obstacle or _without_rows(samples, place):
            left_out.append(f"{name} is left out: {obstacle}")
        else:
            protocols[name] = place
    if not protocols:
        raise DataError(
            "MIS-ME's tables must be called train, val and test, or photographs must tell station and day, found neither.\n"
            + "\n".join(left_out)
        )
    return protocols, left_out


def _lacking(samples: list[Sample], what: str, written: str) -> str:
    lacking = [sample for sample in samples if sample.notes[what] is None]
    return (
        f"{len(lacking)} rows tell no {what} ({written}), such as that of {lacking[0].id} in {lacking[0].notes['table']}"
        if lacking
        else ""
    )


def _without_rows(samples: list[Sample], place: NDArray[np.int8]) -> str:
    """Splits that would be empty, and a row that stands in none."""
    if not (empty := [split for number, split in enumerate(SPLITS) if not (place == number).any()]):
        return ""
    unused = [samples[row] for row in np.flatnonzero(place == UNUSED)]
    example = (
        f", and that of {unused[0].id} in {unused[0].notes['table']} is in none" if unused else ""
    )
    return f"no row would be in {' or '.join(empty)}{example}"


def as_given(samples: list[Sample]) -> NDArray[np.int8]:
    """The authors' tables."""
    return places(
        samples, lambda s: UNUSED if s.notes["official"] is None else int(s.notes["official"])
    )


def station_disjoint(samples: list[Sample]) -> NDArray[np.int8]:
    """Station OK003 tests; the last fifth of the days of the others validates."""
    days = defaultdict(set)
    for sample in samples:
        days[sample.notes["station"]].add(sample.notes["day"])
    late = {
        station: sorted(known)[-max(1, round(len(known) / 5)) :] for station, known in days.items()
    }

    def place(sample: Sample) -> int:
        station = sample.notes["station"]
        return (
            TEST
            if station == TEST_STATION
            else VALID
            if sample.notes["day"] in late[station]
            else TRAIN
        )

    return places(samples, place)


def day_blocks(samples: list[Sample]) -> NDArray[np.int8]:
    """Blocks of five of the sorted (station, day); of every five blocks the last tests and the one before validates."""
    order = {
        pair: i
        for i, pair in enumerate(
            sorted({(str(s.notes["station"]), s.notes["day"]) for s in samples})
        )
    }
    block = {pair: (i // BLOCK) % 5 for pair, i in order.items()}
    return places(
        samples,
        lambda s: {4: TEST, 3: VALID}.get(block[str(s.notes["station"]), s.notes["day"]], TRAIN),
    )


def similar_across(hashes: Sequence[bytes | None], place: NDArray[np.int8]) -> int:
    """Photographs whose hash occurs in another split; rows that stand in none leak nothing."""
    seen: dict[bytes, set[int]] = defaultdict(set)
    used = [
        (h, split)
        for h, split in zip(hashes, place.tolist(), strict=True)
        if h is not None and split != UNUSED
    ]
    for h, split in used:
        seen[h].add(split)
    return sum(len(seen[h]) > 1 for h, _ in used)


def _hashes(source: Path, samples: list[Sample]) -> list[bytes | None]:
    with ThreadPoolExecutor() as threads:  # decoding leaves Python's lock
        return list(threads.map(lambda sample: difference_hash(source / sample.files[0]), samples))


def difference_hash(path: Path) -> bytes | None:
    """8 x 8 signs of horizontal gradients; None for a photograph that cannot be read."""
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
        values: dict[str, NDArray[Any]] = {
            "image": picture,
            "table": np.array(sample.facts["table"], np.float32),
        }
        return Decoded(values)
