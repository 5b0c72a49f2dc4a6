"""CMU-MOSI: whether an utterance of an opinion video is positive, by sound, face and words.

Zadeh et al., MOSI: multimodal corpus of sentiment intensity and subjectivity analysis in online
opinion videos, 2016; features of Poria et al., Context-dependent sentiment analysis in
user-generated videos (bc-LSTM), ACL 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.decoding import text_bytes
from g2d.datasets.folders import read_csv
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, name_hash, places

CLASSES = ("negative", "positive")
WIDTHS = {"audio": 73, "video": 100, "text": 100}
"""Features of an utterance."""
PARTS = {"train": TRAIN, "test": TEST}
"""Splits of the files."""
UTTERANCES = 2199
CHARACTERS = 600
"""Bytes kept of a transcript; the longest has 581."""
STANDARD = ({"name": "standardize", "clip": 5.0},)
TEXTS = {
    "tokens": Signal(
        "text", "uint8", (CHARACTERS,), ({"name": "tokens", "length": 32, "least": 2},)
    ),
    "vectors": Signal("table", "float32", (WIDTHS["text"],), STANDARD),
}
"""Signal of the text for each value of the option ``text``."""


class MosiOptions(ReaderOptions):
    """Options of ``g2d data prepare mosi``."""

    text: Literal["tokens", "vectors"] = Field(
        "tokens",
        description="the transcript for a tokenizer, or 100 numbers of a network that was "
        "trained on the training rows",
    )


def plan_mosi(source: Path, options: MosiOptions) -> Plan:
    """Plan a store from the CSV files of bc-LSTM.

    Raises:
        DataError: A file is missing or damaged, or files do not fit together.
    """
    table = load(source)
    rows = sorted(range(len(table["sentiment"])), key=lambda row: _name(table, row).encode())
    samples = [
        Sample(
            _name(table, row),
            int(table["sentiment"][row]),
            str(table["video_id"][row]),
            (),
            {"row": row, "transcript": str(table["transcript"][row])},
            {"official": int(table["split"][row])},
        )
        for row in rows
    ]
    vectors = options.text == "vectors"
    trained = "video features and text vectors" if vectors else "video features"
    return Plan(
        name="mosi",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals={m: Signal("table", "float32", (WIDTHS[m],), STANDARD) for m in ("audio", "video")}
        | {"text": TEXTS[options.text]},
        samples=samples,
        decode=MosiDecode(as_bytes=not vectors),
        protocols={"mosi/official-valid-by-video-v1": places(samples, _place)},
        parameters=options.model_dump(),
        cautions=(
            f"{trained}, where used, come from networks trained on the training rows, which look "
            "easier",
        ),
        official=UTTERANCES,
        chunk=256,
    )


def _name(table: dict[str, NDArray[Any]], row: int) -> str:
    """Return the id of a row: its video and the number of the utterance in it."""
    return f"{table['video_id'][row]}_{int(table['utterance'][row]):03d}"


def _place(sample: Sample) -> int:
    """Return the official split; training videos whose hash ends in 0 validate."""
    if sample.notes["official"] == TEST:
        return TEST
    return VALID if name_hash(sample.group) % 10 == 0 else TRAIN


@dataclass(frozen=True)
class MosiDecode:
    """Decoder of an utterance's features.

    Args:
        as_bytes: Whether the text is the transcript instead of a vector.
    """

    as_bytes: bool

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the features of an utterance, with a warning if its transcript is cut."""
        table, row = load(source), sample.facts["row"]
        values = {m: table[m][row].astype(np.float32) for m in WIDTHS}
        if not self.as_bytes:
            return Decoded(values)
        transcript = sample.facts["transcript"]
        length = len(transcript.encode())
        cut = f"its transcript is cut off: {CHARACTERS} of {length} bytes"
        return Decoded(
            values | {"text": text_bytes(transcript, CHARACTERS)},
            warnings=(cut,) if length > CHARACTERS else (),
        )


@lru_cache(maxsize=2)
def load(source: Path) -> dict[str, NDArray[Any]]:
    """Load the utterances, training rows first.

    ``{audio,video,text}/NAME_{train,test}0.csv`` hold features and, in the last column, the label;
    the first column of ``text_{train,test}.csv`` is the line of ``transcripts.csv``.

    Returns:
        Features by modality, and ``sentiment``, ``split``, ``video_id``, ``utterance``,
        ``transcript``.
    """
    parts = [_part(source, part) for part in PARTS]
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counts = [len(part["line"]) for part in parts]
    table["split"] = np.repeat(np.array(list(PARTS.values()), np.uint8), counts)
    return table | _transcripts(source / "transcripts.csv", table.pop("line"), table["sentiment"])


def _part(source: Path, part: str) -> dict[str, NDArray[Any]]:
    """Read the files of a split: features, labels, and the lines of the transcripts."""
    tables = {
        m: _numbers(source / m / f"{m}_{part}0.csv", width + 1) for m, width in WIDTHS.items()
    }
    line, label = _numbers(source / f"text_{part}.csv")[:, 0], tables["text"][:, -1]
    if not (line == np.rint(line)).all():
        raise DataError(f"text_{part}.csv must begin with lines of transcripts.csv, found others.")
    counts = {f"{m}_{part}0.csv": len(table) for m, table in tables.items()}
    counts[f"text_{part}.csv"] = len(line)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{rows} in {name}" for name, rows in counts.items())
        raise DataError(f"CSV files of {part} must have the same rows, found {listed}.")
    differs = np.any([table[:, -1] != label for table in tables.values()], axis=0)
    wrong = np.flatnonzero(~np.isin(label, (0, 1)) | differs)
    if wrong.size:
        labels = ", ".join(
            f"{table[wrong[0], -1]:g} in {m}_{part}0.csv" for m, table in tables.items()
        )
        raise DataError(
            "labels, the last column, must be 0 or 1 and agree in the files of audio, video and "
            f"text, found in row {wrong[0] + 1}: {labels}."
        )
    return {m: table[:, :-1].astype(np.float32) for m, table in tables.items()} | {
        "sentiment": label.astype(np.uint8),
        "line": line.astype(np.int64),
    }


def _numbers(path: Path, width: int | None = None) -> NDArray[np.float64]:
    """Read a CSV file of numbers, ``(rows, width)``; the default width is that of its first row."""
    rows: list[list[float]] = []
    for number, cells in read_csv(path):
        width = width or len(cells)
        where = f"line {number} of {path}"
        if len(cells) != width:
            raise DataError(f"{where} must hold {width} numbers, found {len(cells)}.")
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            raise DataError(f"{where} must hold numbers, found: {error}.") from error
    if not rows:
        raise DataError(f"{path} must hold one row or more, found none. Download it again.")
    return np.array(rows)


def _transcripts(
    path: Path, line: NDArray[np.int64], sentiment: NDArray[np.uint8]
) -> dict[str, NDArray[Any]]:
    """Read the videos, utterances and words of the rows.

    Whether lines count from 0 or 1 is not documented; the labels decide.

    Args:
        path: The file ``transcripts.csv``.
        line: Line of each row in it.
        sentiment: Label of each row.
    """
    rows, labels = list(read_csv(path)), [[str(label)] for label in sentiment]
    if len(np.unique(line)) < len(line):
        raise DataError(
            f"text_train.csv and text_test.csv must name a line of {path.name} once, found twice."
        )
    if line.max() > len(rows):
        raise DataError(
            f"{path} must have the lines that text_train.csv and text_test.csv name, up to "
            f"{line.max()}, found {len(rows)}. Download it again."
        )
    for first in (0, 1):
        place = line - first
        if place.min() < 0 or place.max() >= len(rows):
            continue
        if [rows[p][1][3:4] for p in place] == labels:
            video, utterance, words = zip(*(_utterance(path, *rows[p]) for p in place), strict=True)
            return {
                "video_id": np.array(video),
                "utterance": np.array(utterance, np.int16),
                "transcript": np.array(words),
            }
    number, cells = rows[0]
    raise DataError(
        f"{path} must have in its fourth column the label 0 or 1 that the features give to a row, "
        f"found others, counting lines from 0 and from 1; line {number} is "
        f"{','.join(cells)[:80]!r}. Download it again."
    )


def _utterance(path: Path, number: int, cells: list[str]) -> tuple[str, int, str]:
    """Parse a line such as ``"VIDEO_7","WORDS","93","1"`` into video, utterance and words."""
    video, _, utterance = cells[0].rpartition("_")
    if not video or not utterance.isdecimal():
        where = f"line {number} of {path}"
        raise DataError(f"{where} must begin with VIDEO_NUMBER, found {cells[0][:80]!r}.")
    return video, int(utterance), cells[1]
