"""What rows do not have: invalid numbers, absent modalities, unreadable files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from g2d.data import Source
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.prepare import prepare
from g2d.prepare.checking import check_store
from g2d.types import Sequence
from support.media_files import moving, tone, write_video, write_wav

ROWS = 30
EVERY = range(0, ROWS, 3)
"""Rows with a gap."""


def table(folder: Path, **columns: Callable[[int], Any]) -> Path:
    """Write a table with an id, a label and some columns."""
    path = folder / "a.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns, "label"])
        for i in range(ROWS):
            writer.writerow([f"r{i}", *(column(i) for column in columns.values()), "ab"[i % 2]])
    return path


def store(source: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Prepare a table or arrays, and return the facts of the store."""
    reader, form = (
        (plan_table, TableOptions) if source.suffix == ".csv" else (plan_arrays, ArraysOptions)
    )
    plan = reader(source, form(**options))  # type: ignore[operator]
    return prepare(plan, source.parent, out, allow_partial=True).facts


def seen(out: Path, m: str) -> NDArray[Any]:
    """Return the values of a modality as a model sees them, of rows that have it."""
    source = open_store(StoreOptions(store=str(out)))
    batch = source.view(source.gather(np.arange(source.size)), seed=0, epoch=0, train=False)
    values = batch.inputs[m]
    tensor = values.values if isinstance(values, Sequence) else values
    return np.asarray(tensor[batch.has(m)]) if batch.present else np.asarray(tensor)


def cells(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    gap = {0: "inf", 1: "", 2: "-inf"}
    return table(
        folder,
        m=lambda i: gap[i % 2 + (i % 9 == 0)] if i in EVERY else f"{rng.normal():.4f}",
        other=lambda i: f"{rng.normal():.4f}",
    )


def vectors(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(ROWS):
        values = rng.normal(size=4)
        values[1] = np.array([np.nan, np.inf, 1e300])[i % 9 // 3] if i in EVERY else values[1]
        np.save(folder / f"{i}.npy", values)
    return table(folder, m=lambda i: f"{i}.npy")


def steps(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(ROWS):
        values = rng.normal(size=(3 + i % 4, 5)).astype(np.float32)
        values[2, 1] = np.array([np.nan, np.inf, -np.inf])[i % 9 // 3] if i in EVERY else 0.5
        np.save(folder / f"{i}.npy", values)
    return table(folder, m=lambda i: f"{i}.npy")


def arrays(shape: tuple[int, ...]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        values = np.random.default_rng(0).normal(size=(ROWS, *shape))
        for i in EVERY:
            values[(i, *(1,) * len(shape))] = np.array([np.nan, np.inf, 1e300])[i % 9 // 3]
        np.savez(folder / "a.npz", m=values, target=np.arange(ROWS) % 2)
        return folder / "a.npz"

    return write


FORMS: Mapping[str, Callable[[Path], Path]] = {
    "cells of a table": cells,
    "arrays of one axis": vectors,
    "sequences": steps,
    "rows of numbers": arrays((4,)),
    "rows of sequences": arrays((5, 3)),
    "pictures of numbers": arrays((4, 4)),
    "rows of sound": arrays((400,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_invalid_numbers_follow_one_rule_wherever_they_are(tmp_path: Path, form: str) -> None:
    source = FORMS[form](tmp_path)
    m = "table" if form == "cells of a table" else "m"
    kinds = {"pictures of numbers": "image", "rows of sound": "audio"}
    given = {"kinds": {"m": kinds[form]}} if form in kinds else {}
    for rule in ("mean", "zero"):
        out = tmp_path / rule
        facts = store(source, out, invalid=rule, **given)
        assert (facts["rows"], facts["skipped"]) == (ROWS, [])
        count = facts["outcomes"][m]
        assert (count["value"], count["replaced"], count["replaced_rows"]) == (ROWS, 10, 10)
        assert np.isfinite(seen(out, m)).all()
        assert not check_store(out).errors
    stored = {rule: np.load(tmp_path / rule / f"{m}.npy") for rule in ("mean", "zero")}
    changed = ~np.isfinite(stored["mean"])
    assert changed.sum() == (0 if form == "rows of sound" else 10)
    assert (stored["zero"][changed] == 0).all()
    facts = store(source, tmp_path / "skip", invalid="skip", **given)
    assert facts["rows"] == ROWS - 10
    assert {skip["reason"] for skip in facts["skipped"]} == {"non-finite"}


def test_a_modality_without_any_finite_number_is_absent(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.ones((3, 2)))
    np.save(tmp_path / "bad.npy", np.full((3, 2), np.inf))
    source = table(
        tmp_path, m=lambda i: "bad.npy" if i in EVERY else "good.npy", size=lambda i: i / 7
    )
    facts = store(source, tmp_path / "store")
    assert facts["rows"] == ROWS
    assert (facts["outcomes"]["m"]["value"], facts["outcomes"]["m"]["absent"]) == (20, 10)
    values = np.random.default_rng(0).normal(size=(ROWS, 2))
    values[4] = np.nan
    memory = Source.from_arrays({"a": values, "b": np.arange(ROWS) / 7}, np.arange(ROWS) % 2)
    assert np.flatnonzero(~memory.present["a"]).tolist() == [4]


def media(folder: Path) -> Path:
    """Write a table of sound and video in which files lack a stream, are silent or damaged."""
    sound = tone(0.2, 8000, 300)
    for i in range(ROWS):
        write_video(folder / f"{i}.mp4", moving(4, (24, 32), i), 4)
        write_wav(folder / f"{i}.wav", sound * (i != 4), 8000)
    (folder / "5.wav").write_bytes(b"RIFF")
    (folder / "6.wav").unlink()
    # Row 1 has no sound in its file, row 2 no pictures, row 3 an empty cell.
    odd = {1: "1.mp4", 3: ""}
    return table(
        folder,
        voice=lambda i: odd.get(i, f"{i}.wav"),
        film=lambda i: "2.wav" if i == 2 else f"{i}.mp4",
    )


@pytest.mark.parametrize(
    ("options", "lost", "voice", "film"),
    [
        ({}, {"r4": "no-audio", "r5": "undecodable", "r6": "missing-file"}, (25, 1, 1), (26, 0, 1)),
        ({"unreadable": "lack"}, {}, (25, 1, 1), (29, 0, 1)),
        (
            {"absent": "skip", "unreadable": "lack"},
            dict.fromkeys(("r1", "r2", "r3"), "absent"),
            (24, 0, 0),
            (27, 0, 0),
        ),
    ],
)
def test_a_cell_is_a_value_or_absent_or_unreadable(
    tmp_path: Path,
    options: dict[str, Any],
    lost: dict[str, str],
    voice: tuple[int, int, int],
    film: tuple[int, int, int],
) -> None:
    source = media(tmp_path)
    given = {"rate": 8000, "size": 8, "frames": 2, "kinds": {"voice": "audio", "film": "video"}}
    plan = plan_table(source, TableOptions(**given, **options))
    summary = prepare(plan, tmp_path, tmp_path / "store", allow_partial="skip" not in str(options))
    facts = summary.facts
    assert {skip["id"]: skip["reason"] for skip in facts["skipped"]} == lost
    names = ("value", "absent", "no_stream")
    counts = {m: tuple(count[name] for name in names) for m, count in facts["outcomes"].items()}
    assert counts == {"voice": voice, "film": film}
    assert facts["outcomes"]["voice"]["unreadable"] == 3
    printed = str(summary)
    assert f"voice: {voice[0]} values" in printed
    assert ("unreadable=lack keeps" in printed) == ("r4" in lost)
    assert facts["partial"] == ("r4" in lost)


def test_rows_that_lack_an_array_are_left_out_if_wanted(tmp_path: Path) -> None:
    has = np.arange(ROWS) % 3 > 0
    values = np.random.default_rng(0).normal(size=(ROWS, 2))
    given = {"a": values, "a.present": has, "b": values, "target": np.arange(ROWS) % 2}
    np.savez(tmp_path / "a.npz", **given)
    facts = store(tmp_path / "a.npz", tmp_path / "store", absent="skip")
    assert (facts["rows"], facts["expected"], facts["partial"]) == (20, 20, False)
    assert {skip["reason"] for skip in facts["skipped"]} == {"absent"}
