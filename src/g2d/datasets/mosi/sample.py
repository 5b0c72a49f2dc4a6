"""A made-up sample of CMU-MOSI in the CSV files of bc-LSTM."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from g2d.datasets.mosi.reader import PARTS, WIDTHS


def write_sample(folder: Path, train: int = 20, test: int = 4) -> dict[str, str]:
    """Write some utterances, each of its own video, with the same number for every feature.

    Args:
        folder: Folder to write to.
        train: Number of training utterances, labeled 1, 0, 1, 0, ...
        test: Number of test utterances, labeled 0, 1, 0, 1, ...

    Returns:
        An empty mapping: no utterance must be skipped.
    """
    label = [(i + 1) % 2 for i in range(train)] + [i % 2 for i in range(test)]
    rows = len(label)
    write_utterances(
        folder,
        {m: np.full((rows, width), 0.5) for m, width in WIDTHS.items()}
        | {
            "sentiment": np.array(label),
            "split": np.repeat(list(PARTS.values()), (train, test)),
            "video_id": np.array([f"video{i}" for i in range(rows)]),
            "utterance": np.arange(rows),
            "transcript": np.array(["SOME WORDS"] * rows),
        },
        line=np.arange(rows),
    )
    return {}


def write_utterances(folder: Path, table: dict[str, Any], line: Any) -> None:
    """Write arrays as the CSV files of bc-LSTM.

    Args:
        folder: Folder to write to.
        table: Arrays as :func:`g2d.datasets.mosi.reader.load` returns them.
        line: Line of each row in ``transcripts.csv``, counted from 0 or 1.
    """
    place = np.argsort(line)
    spoken = zip(*(table[m][place] for m in ("video_id", "utterance")), strict=True)
    words, labels = table["transcript"][place], table["sentiment"][place]
    _write(
        folder / "transcripts.csv",
        (
            [f"{video}_{number}", text, "93", label]
            for (video, number), text, label in zip(spoken, words, labels, strict=True)
        ),
    )
    for part, split in PARTS.items():
        rows = np.flatnonzero(table["split"] == split)
        for m in WIDTHS:
            features = ([*table[m][row].tolist(), table["sentiment"][row]] for row in rows)
            _write(folder / m / f"{m}_{part}0.csv", features)
        lines = ([line[row], *table["text"][row].tolist()] for row in rows)
        _write(folder / f"text_{part}.csv", lines)


def _write(path: Path, rows: Iterable[list[Any]]) -> None:
    """Write a CSV file with every cell in quotes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
