"""CMU-MOSI: whether an utterance of an opinion video is positive, by sound, face and words (Zadeh et al. 2016; features of Poria et al., ACL 2017)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.readers.base import Reader, ReaderOptions, open_pack
from g2d.data.readers.manifest_values import text_bytes
from g2d.data.store.plan import TEST, TRAIN, VALID, Decoded, Plan, Sample, Signal, name_hash, places
from g2d.errors import DataError

CLASSES = ("negative", "positive")
PACK = "mosi_utterances.npz"
WIDTHS = {"audio": 73, "video": 100, "text": 100}
ROWS = {"train": 1447, "test": 752}
CHARACTERS = 400
STANDARD = ({"name": "standardize", "clip": 5.0},)


class MosiOptions(ReaderOptions):
    """What ``g2d data prepare mosi`` can be told."""

    text: Literal["tokens", "vectors"] = Field(
        "tokens", description="the transcript for a tokenizer, or 100 numbers of a network that was trained on the training rows"
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
        "tokens": Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens", "length": 32, "least": 2},)),
        "vectors": Signal("table", "float32", (WIDTHS["text"],), STANDARD),
    }
    signals = {m: Signal("table", "float32", (WIDTHS[m],), STANDARD) for m in ("audio", "video")} | {"text": texts[options.text]}
    return Plan(
        name="mosi",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals=signals,
        samples=samples,
        decode=MosiDecode(options.text in _AS_BYTES),
        protocols={"mosi/official-valid-by-video-v1": places(samples, _place)},
        parameters=options.model_dump(),
        warnings=("video features (and text vectors) come from networks that were trained on the training rows: those look easier than they are",),
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
        if self.tokens:
            values["text"] = text_bytes(sample.facts["transcript"], CHARACTERS)
        return Decoded(values)


@lru_cache(maxsize=2)
def opened(source: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the pack, or the same from the CSV files."""
    return open_pack(source / PACK) if (source / PACK).is_file() else _from_csv(source)


def _from_csv(source: Path) -> dict[str, NDArray[Any]]:
    """``{audio,video,text}/NAME_{train,test}0.csv`` (last column the label); ``text_{train,test}.csv`` lead from rows to ``transcripts.csv``."""
    features: dict[str, list[NDArray[Any]]] = {m: [] for m in WIDTHS}
    labels, lines, split = [], [], []
    for place, part in ((TRAIN, "train"), (TEST, "test")):
        tables = {m: _numbers(source / m / f"{m}_{part}0.csv") for m in WIDTHS}
        lengths = {len(table) for table in tables.values()}
        if len(lengths) > 1 or any(table.shape[1] != WIDTHS[m] + 1 for m, table in tables.items()):
            found = ", ".join(f"{m} {table.shape}" for m, table in tables.items())
            raise DataError(f"CSV files of {part} must have the same rows and {WIDTHS} columns and a label, found {found}.")
        for m, table in tables.items():
            features[m].append(table[:, :-1].astype(np.float32))
        label = tables["text"][:, -1]
        if any((table[:, -1] != label).any() for table in tables.values()):
            raise DataError(f"labels of {part} must agree in the files of audio, video and text, found some that do not.")
        labels.append(label)
        lines.append(_numbers(source / f"text_{part}.csv")[:, 0].astype(np.int64))
        split.append(np.full(len(label), place, np.uint8))
    sentiment = np.concatenate(labels).astype(np.uint8)
    names, words = _transcripts(source / "transcripts.csv", np.concatenate(lines), sentiment)
    video, _, utterance = np.char.rpartition(names, "_").T
    whole = {m: np.concatenate(parts) for m, parts in features.items()}
    return whole | {"sentiment": sentiment, "split": np.concatenate(split), "video_id": video, "utterance": utterance.astype(np.int16), "transcript": words}


def _numbers(path: Path) -> NDArray[np.float64]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return np.array([[float(cell) for cell in row] for row in csv.reader(file) if row])
    except FileNotFoundError:
        raise DataError(f"bc-LSTM's data must have {path.name} in {path.parent}, found no such file.") from None
    except ValueError as error:
        raise DataError(f"{path} must hold numbers, the same count in every row, found: {error}.") from error


def _transcripts(path: Path, line: NDArray[np.int64], sentiment: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Names and words of the rows. Whether lines count from 0 or 1 nobody wrote down: their labels tell."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise DataError(f"bc-LSTM's data must have {path.name} in {path.parent}, found no such file.") from None
    for first in (0, 1):
        place = line - first
        if place.min() >= 0 and place.max() < len(rows) and all(int(rows[p][3]) == s for p, s in zip(place, sentiment, strict=True)):
            return np.array([rows[p][0] for p in place]), np.array([rows[p][1] for p in place])
    raise DataError(f"{path} must give every row the label that the features give it, found others, counting lines from 0 and from 1.")


READER = Reader(
    plan=plan_mosi,
    options=MosiOptions,
    about="CMU-MOSI: is an utterance positive; pooled features of sound and face, and its transcript",
    layout="the folder bc-LSTM/data: {audio,video,text}/NAME_{train,test}0.csv, text_{train,test}.csv, transcripts.csv; or the pack mosi_utterances.npz",
    needs="bc-LSTM/data of github.com/declare-lab/multimodal-deep-learning",
    licence="MIT for the files; cite CMU-MOSI (Zadeh et al. 2016)",
    pack="mosi-utt",
)
