"""CMU-MOSI: whether an utterance of an opinion video is positive, by sound, face and words (Zadeh et al. 2016; features of Poria et al., ACL 2017)."""

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
from g2d.datasets.folders import check_arrays, open_pack, read_csv
from g2d.datasets.table.values import text_bytes
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, name_hash, places

CLASSES = ("negative", "positive")
PACK = "mosi_utterances.npz"
WIDTHS = {"audio": 73, "video": 100, "text": 100}
ROWS = {"train": 1447, "test": 752}
ARRAYS = {m: (width,) for m, width in WIDTHS.items()} | dict.fromkeys(
    ("sentiment", "split", "video_id", "utterance", "transcript"), ()
)
CHARACTERS = 600
"""The longest transcript has 581."""
STANDARD = ({"name": "standardize", "clip": 5.0},)


class MosiOptions(ReaderOptions):
    """What ``g2d data prepare mosi`` can be told."""

    text: Literal["tokens", "vectors"] = Field(
        "tokens",
        description="the transcript for a tokenizer, or 100 numbers of a network that was trained on the training rows",
    )


def plan_mosi(source: Path, options: MosiOptions) -> Plan:
    """From the pack of arrays, or from the CSV files of bc-LSTM."""
    table = opened(source)
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
    texts = {
        "tokens": Signal(
            "text", "uint8", (CHARACTERS,), ({"name": "tokens", "length": 32, "least": 2},)
        ),
        "vectors": Signal("table", "float32", (WIDTHS["text"],), STANDARD),
    }
    trained = "video features" if options.text in _AS_BYTES else "video features and text vectors"
    signals = {
        m: Signal("table", "float32", (WIDTHS[m],), STANDARD) for m in ("audio", "video")
    } | {"text": texts[options.text]}
    return Plan(
        name="mosi",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals=signals,
        samples=samples,
        decode=MosiDecode(options.text in _AS_BYTES),
        protocols={"mosi/official-valid-by-video-v1": places(samples, _place)},
        parameters=options.model_dump(),
        cautions=(
            f"{trained} come from networks that were trained on the training rows, which look easier than they are",
        ),
        official=sum(ROWS.values()),
        chunk=256,
    )


_AS_BYTES = frozenset({"tokens"})


def _name(table: dict[str, NDArray[Any]], row: int) -> str:
    return f"{table['video_id'][row]}_{int(table['utterance'][row]):03d}"


def _place(sample: Sample) -> int:
    """The official split; of its training videos those whose hash ends in 0 validate."""
    if sample.notes["official"] == TEST:
        return TEST
    return VALID if name_hash(sample.group) % 10 == 0 else TRAIN


@dataclass(frozen=True)
class MosiDecode:
    """Pooled features of an utterance."""

    tokens: bool

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        table, row = opened(source), sample.facts["row"]
        values = {m: table[m][row].astype(np.float32) for m in WIDTHS}
        told: tuple[str, ...] = ()
        if self.tokens:
            transcript = sample.facts["transcript"]
            values["text"] = text_bytes(transcript, CHARACTERS)
            if len(transcript.encode()) > CHARACTERS:
                told = (
                    f"its transcript is cut off: {CHARACTERS} of {len(transcript.encode())} bytes",
                )
        return Decoded(values, warnings=told)


@lru_cache(maxsize=2)
def opened(source: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the pack, or the same from the CSV files."""
    if not (source / PACK).is_file():
        return _from_csv(source)
    table = open_pack(source / PACK)
    check_arrays(table, ARRAYS, source / PACK)
    return table


def _from_csv(source: Path) -> dict[str, NDArray[Any]]:
    """``{audio,video,text}/NAME_{train,test}0.csv`` (last column the label); ``text_{train,test}.csv`` lead from rows to ``transcripts.csv``."""
    parts = {place: _part(source, part) for place, part in ((TRAIN, "train"), (TEST, "test"))}
    whole = {
        name: np.concatenate([part[name] for part in parts.values()])
        for name in (*WIDTHS, "sentiment", "line")
    }
    split = np.repeat(
        np.array(list(parts), np.uint8), [len(part["line"]) for part in parts.values()]
    )
    return (
        whole
        | {"split": split}
        | _transcripts(source / "transcripts.csv", whole.pop("line"), whole["sentiment"])
    )


def _part(source: Path, part: str) -> dict[str, NDArray[Any]]:
    """What the files of a split say: features, labels, and the line of the transcript."""
    tables = {
        m: _numbers(source / m / f"{m}_{part}0.csv", width + 1) for m, width in WIDTHS.items()
    }
    line, label = _numbers(source / f"text_{part}.csv")[:, 0], tables["text"][:, -1]
    if not (line == np.rint(line)).all():
        raise DataError(
            f"the first column of text_{part}.csv must be lines of transcripts.csv, found other numbers. Fetch it again."
        )
    counts = {f"{m}_{part}0.csv": len(table) for m, table in tables.items()} | {
        f"text_{part}.csv": len(line)
    }
    if len(set(counts.values())) > 1:
        raise DataError(
            f"CSV files of {part} must have the same rows, found "
            + ", ".join(f"{rows} in {name}" for name, rows in counts.items())
            + "."
        )
    wrong = np.flatnonzero(
        ~np.isin(label, (0, 1))
        | np.any([table[:, -1] != label for table in tables.values()], axis=0)
    )
    if wrong.size:
        found = ", ".join(
            f"{table[wrong[0], -1]:g} in {m}_{part}0.csv" for m, table in tables.items()
        )
        raise DataError(
            f"labels, the last column, must be 0 or 1 and agree in the files of audio, video and text, found in row {wrong[0] + 1}: {found}."
        )
    return {m: table[:, :-1].astype(np.float32) for m, table in tables.items()} | {
        "sentiment": label.astype(np.uint8),
        "line": line.astype(np.int64),
    }


def _numbers(path: Path, width: int | None = None) -> NDArray[np.float64]:
    """``(rows, width)``; without a width, that of the first row."""
    rows: list[list[float]] = []
    for number, cells in read_csv(path):
        width = width or len(cells)
        if len(cells) != width:
            raise DataError(
                f"line {number} of {path} must hold {width} numbers, found {len(cells)}. Fetch it again."
            )
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            raise DataError(
                f"line {number} of {path} must hold numbers, found: {error}. Fetch it again."
            ) from error
    if not rows:
        raise DataError(f"{path} must hold one row or more, found none. Fetch it again.")
    return np.array(rows)


def _transcripts(
    path: Path, line: NDArray[np.int64], sentiment: NDArray[np.uint8]
) -> dict[str, NDArray[Any]]:
    """Videos, utterances and words of the rows. Whether lines count from 0 or 1 nobody wrote down: their labels tell."""
    rows, labels = list(read_csv(path)), [[str(label)] for label in sentiment]
    if len(np.unique(line)) < len(line):
        raise DataError(
            f"text_train.csv and text_test.csv must name a line of {path.name} once in their first columns, found some twice."
        )
    if line.max() > len(rows):
        raise DataError(
            f"{path} must have the lines that text_train.csv and text_test.csv name, up to {line.max()}, found {len(rows)}. Fetch it again."
        )
    for first in (0, 1):
        place = line - first
        if (
            place.min() >= 0
            and place.max() < len(rows)
            and [rows[p][1][3:4] for p in place] == labels
        ):
            video, utterance, words = zip(*(_utterance(path, *rows[p]) for p in place), strict=True)
            return {
                "video_id": np.array(video),
                "utterance": np.array(utterance, np.int16),
                "transcript": np.array(words),
            }
    number, cells = rows[0]
    raise DataError(
        f"{path} must have in its fourth column the label 0 or 1 that the features give to a row, found others, counting lines from 0 and from 1; "
        f"line {number} is {','.join(cells)[:80]!r}. Fetch it again."
    )


def _utterance(path: Path, number: int, cells: list[str]) -> tuple[str, int, str]:
    """Video, number in it and words of a line such as ``"VIDEO_7","WORDS","93","1"``."""
    video, _, utterance = cells[0].rpartition("_")
    if not video or not utterance.isdecimal():
        raise DataError(
            f"line {number} of {path} must begin with VIDEO_NUMBER, found {cells[0][:80]!r}. Fetch it again."
        )
    return video, int(utterance), cells[1]
