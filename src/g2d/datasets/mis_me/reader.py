"""MIS-ME: how much water a patch of soil holds, from a photograph and the weather.

Rakib et al., MIS-ME: a multi-modal framework for soil moisture estimation, 2024.
"""

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
from g2d.datasets.table.spelling import number
from g2d.errors import DataError, UnreadableError
from g2d.prepare import UNLABELED, Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import read_image

ROWS = 4501
"""Rows of the whole data set."""
SIDE = 256
"""Default height and width of the stored photographs, in pixels."""
TEST_STATION = "OK003"
BLOCK = 5
"""Days that stay together in ``mis_me/day-blocks-v1``."""
SUFFIXES = (".jpg", ".jpeg", ".png")
PIXELS = {"name": "pixels", "mean": (0.507, 0.468, 0.307), "std": (0.194, 0.201, 0.170)}
"""Normalization of the authors."""


class MisMeOptions(ReaderOptions):
    """Options of ``g2d data prepare mis_me``."""

    side: int = Field(
        SIDE, ge=32, le=1024, description="height and width of the stored photographs"
    )


@dataclass
class Collected:
    """Samples and skips of the rows read so far.

    Args:
        samples: Samples.
        skipped: Rows that are skipped.
        non_numeric: Photographs whose row has no number in a column, by column.
    """

    samples: list[Sample] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    non_numeric: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def plan_mis_me(source: Path, options: MisMeOptions) -> Plan:
    """Plan a store from tables, found by their columns, and photographs, found by their names.

    The files may be in any folders.

    Raises:
        DataError: No row can be used, or a table is damaged.
    """
    rows, extra, warnings = read_tables(source)
    images, collected = _photographs(source), Collected()
    for row in rows:
        _add(source, row, images, collected)
    if not collected.samples:
        reason = "".join(
            f", such as {skip.id}: {skip.reason} ({skip.detail})" for skip in collected.skipped[:1]
        )
        raise DataError(
            f"{source} must hold tables with water contents and the photographs that they name, "
            f"found no such row among {len(rows)}{reason}."
        )
    samples = sorted(collected.samples, key=lambda sample: sample.id.encode())
    unit, scale = water_unit([float(sample.notes["vwc"]) for sample in samples])
    protocols, left_out = _protocols(samples)
    hashes = _hashes(source, samples)
    similar = {name: similar_across(hashes, split) for name, split in protocols.items()}
    return Plan(
        name="mis_me",
        task={"kind": "regression", "outputs": 1, "scale": scale, "output": "sigmoid"},
        signals=_signals(options),
        samples=samples,
        decode=MisMeDecode(options.side),
        protocols=protocols,
        skipped=sorted(collected.skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump() | {"unit": unit},
        report={
            "unit": unit,
            "extra_columns": extra,
            "images_without_row": len(images.keys() - {row.image for row in rows}),
            "similar_photographs_across_splits": similar,
            **_report(collected),
        },
        warnings=(
            *warnings,
            *(
                f"{len(names)} cells of {column} are not numbers and are taken as missing, "
                f"such as in the row of {names[0]}"
                for column, names in collected.non_numeric.items()
            ),
            *left_out,
            *(
                f"{n} photographs look like one of another split of {name} (equal 64-bit hash)"
                for name, n in similar.items()
                if n
            ),
        ),
        official=ROWS,
    )


def _signals(options: MisMeOptions) -> dict[str, Signal]:
    """Return the stored signals: a photograph, and the weather."""
    size, columns = (options.side, options.side, 3), list(COLUMNS)
    standard = ({"name": "standardize"},)
    return {
        "image": Signal("image", "uint8", size, (PIXELS, {"name": "resize", "size": 224})),
        "table": Signal("table", "float32", (len(columns),), standard, {"columns": columns}),
    }


def _photographs(source: Path) -> dict[str, list[str]]:
    """Return the paths of the photographs with each name."""
    paths = defaultdict(list)
    for path in (path for suffix in SUFFIXES for path in find_files(source, suffix)):
        paths[path.name].append(path.relative_to(source).as_posix())
    return dict(paths)


def _add(source: Path, row: Row, images: Mapping[str, Sequence[str]], collected: Collected) -> None:
    """Add a row to the samples, or to what is skipped."""
    paths, water = images.get(row.image, ()), number(row.cells["vwc"])
    skip = _skip(source, row, paths, water)
    if skip is not None:
        collected.skipped.append(skip)
        return
    assert water is not None  # or the row would be skipped
    numbers = {column: number(row.cells[column]) for column in COLUMNS}
    for column in (column for column, value in numbers.items() if value is None):
        collected.non_numeric[column].append(row.image)
    table = [float("nan") if value is None else value for value in numbers.values()]
    notes = {
        "vwc": water,
        "station": row.station,
        "day": row.day,
        "official": row.place,
        "table": row.table,
    }
    group = f"{row.station}-{row.day}" if row.day else row.station or row.image
    collected.samples.append(Sample(row.image, water, group, (paths[0],), {"table": table}, notes))


def _skip(source: Path, row: Row, paths: Sequence[str], water: float | None) -> Skip | None:
    """Return why a row is skipped, or None."""
    if not row.image:
        return Skip(f"{row.table}, row {row.line}", "missing-file", "it names no photograph")
    if row.repeated:
        return Skip(row.image, "duplicate", f"again in {row.table}")
    if water is None or not np.isfinite(water):
        return Skip(row.image, UNLABELED, f"its water content reads {row.cells['vwc']!r}")
    if not paths:
        return Skip(row.image, "missing-file", "no such photograph")
    for path in paths[1:]:
        if not filecmp.cmp(source / paths[0], source / path, shallow=False):
            detail = f"{paths[0]} and {path} are different photographs"
            return Skip(row.image, "duplicate", detail)
    return None


def _report(collected: Collected) -> dict[str, Any]:
    """Return the counts that ``dataset.json`` records."""
    tables = np.array([sample.facts["table"] for sample in collected.samples])
    water = [sample.notes["vwc"] for sample in collected.samples]
    reasons = Counter(skip.reason for skip in collected.skipped)
    return {
        "target": [min(water), max(water)],
        "rows_without_image": reasons["missing-file"],
        "rows_without_target": reasons[UNLABELED],
        "stations": dict(Counter(sample.notes["station"] for sample in collected.samples)),
        "missing_values": dict(zip(COLUMNS, np.isnan(tables).sum(0).tolist(), strict=True)),
        "non_numeric_cells": {
            column: len(collected.non_numeric.get(column, ())) for column in COLUMNS
        },
    }


def water_unit(water: list[float]) -> tuple[str, list[float]]:
    """Return the unit of some water contents, and its scale.

    Raises:
        DataError: They are neither fractions nor percentages.

    Example:
        >>> water_unit([0.1, 0.4]), water_unit([10.0, 40.0])
        (('fraction', [0.0, 1.0]), ('percent', [0.0, 100.0]))
    """
    if min(water) < 0 or max(water) > 100:
        raise DataError(
            "water content must be a fraction up to 1 or a percentage up to 100, "
            f"found {min(water):g} to {max(water):g}."
        )
    return ("fraction", [0.0, 1.0]) if max(water) <= 1 else ("percent", [0.0, 100.0])


def _protocols(samples: list[Sample]) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """Split without leaks where stations and days are known, and as the authors do.

    Returns:
        The protocols, and a sentence for each that is left out.

    Raises:
        DataError: No protocol is possible.
    """
    no_station = _lacking(samples, "station", "such as OK001")
    no_day = _lacking(samples, "day", "written year, month, day")
    rules: tuple[tuple[str, Callable[[list[Sample]], NDArray[np.int8]], str], ...] = (
        ("mis_me/station-disjoint-v1", station_disjoint, no_station or no_day),
        ("mis_me/day-blocks-v1", day_blocks, no_day),
        ("mis_me/legacy", as_given, ""),
    )
    protocols: dict[str, NDArray[np.int8]] = {}
    left_out: list[str] = []
    for name, rule, obstacle in rules:
        split = places(samples, lambda _: UNUSED) if obstacle else rule(samples)
        if obstacle := obstacle or _without_rows(samples, split):
            left_out.append(f"{name} is left out: {obstacle}")
        else:
            protocols[name] = split
    if not protocols:
        raise DataError(
            "MIS-ME's tables must be called train, val and test, or photographs must name station "
            "and day, found neither.\n" + "\n".join(left_out)
        )
    return protocols, left_out


def _lacking(samples: list[Sample], what: str, form: str) -> str:
    """Return how many rows lack a note, with an example, or an empty text.

    Args:
        samples: Samples to check.
        what: Key of the note.
        form: How it is written where it is found.
    """
    lacking = [sample for sample in samples if sample.notes[what] is None]
    if not lacking:
        return ""
    first = lacking[0]
    return (
        f"{len(lacking)} rows name no {what} ({form}), such as that of {first.id} in "
        f"{first.notes['table']}"
    )


def _without_rows(samples: list[Sample], split: NDArray[np.int8]) -> str:
    """Return which splits would be empty, with an unused row, or an empty text."""
    empty = [name for i, name in enumerate(SPLITS) if not (split == i).any()]
    if not empty:
        return ""
    unused = [samples[row] for row in np.flatnonzero(split == UNUSED)]
    example = (
        f", and that of {unused[0].id} in {unused[0].notes['table']} is in none" if unused else ""
    )
    return f"no row would be in {' or '.join(empty)}{example}"


def as_given(samples: list[Sample]) -> NDArray[np.int8]:
    """Split like the authors' tables."""
    return places(
        samples, lambda s: UNUSED if s.notes["official"] is None else int(s.notes["official"])
    )


def station_disjoint(samples: list[Sample]) -> NDArray[np.int8]:
    """Split by station: OK003 tests; the last fifth of the days of the others validates."""
    days = defaultdict(set)
    for sample in samples:
        days[sample.notes["station"]].add(sample.notes["day"])
    late = {
        station: sorted(known)[-max(1, round(len(known) / 5)) :] for station, known in days.items()
    }

    def place(sample: Sample) -> int:
        station = sample.notes["station"]
        if station == TEST_STATION:
            return TEST
        return VALID if sample.notes["day"] in late[station] else TRAIN

    return places(samples, place)


def day_blocks(samples: list[Sample]) -> NDArray[np.int8]:
    """Split by blocks of five days, sorted by station and day.

    Of every five blocks the last tests and the one before it validates.
    """
    pairs = [(str(s.notes["station"]), str(s.notes["day"])) for s in samples]
    block = {pair: (i // BLOCK) % 5 for i, pair in enumerate(sorted(set(pairs)))}
    return np.array([{4: TEST, 3: VALID}.get(block[pair], TRAIN) for pair in pairs], np.int8)


def similar_across(hashes: Sequence[bytes | None], split: NDArray[np.int8]) -> int:
    """Count the photographs whose hash occurs in another split; unused rows do not count.

    Args:
        hashes: Hash of each photograph; None if it cannot be read.
        split: Number of the split of each photograph ``(N,)``.
    """
    splits: dict[bytes, set[int]] = defaultdict(set)
    used = [
        (h, place)
        for h, place in zip(hashes, split.tolist(), strict=True)
        if h is not None and place != UNUSED
    ]
    for h, place in used:
        splits[h].add(place)
    return sum(len(splits[h]) > 1 for h, _ in used)


def _hashes(source: Path, samples: list[Sample]) -> list[bytes | None]:
    """Return the hash of every photograph."""
    with ThreadPoolExecutor() as threads:  # decoding releases Python's lock
        return list(threads.map(lambda sample: difference_hash(source / sample.files[0]), samples))


def difference_hash(path: Path) -> bytes | None:
    """Return 8 x 8 signs of horizontal gradients; None if the photograph cannot be read."""
    try:
        small = read_image(path, (8, 9)).astype(np.int16).sum(2)
    except UnreadableError:
        return None  # it is reported when it is decoded
    return np.packbits(np.diff(small, axis=1) > 0).tobytes()


@dataclass(frozen=True)
class MisMeDecode:
    """Decoder of a photograph and the weather.

    Args:
        side: Height and width of the photograph, in pixels.
    """

    side: int

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the photograph ``(side, side, 3)`` and the eight weather values of a row."""
        values: dict[str, NDArray[Any]] = {
            "image": read_image(source / sample.files[0], (self.side, self.side)),
            "table": np.array(sample.facts["table"], np.float32),
        }
        return Decoded(values)
