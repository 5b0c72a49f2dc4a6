"""UR-FUNNY: whether a punchline of a talk is funny, by its words, sound and face (Hasan et al., EMNLP 2019)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.pickles import convert
from g2d.data.readers.base import Reader, ReaderOptions
from g2d.data.readers.manifest_values import text_bytes
from g2d.data.store.plan import TEST, TRAIN, UNUSED, VALID, Decoded, Plan, Sample, Signal, Skip, places
from g2d.errors import DataError

CLASSES = ("not humorous", "humorous")
SIZES = {"v2": 10_166, "v1": 16_514}
WORDS = {"language_sdk.pkl": "v2", "word_embedding_indexes_sdk.pkl": "v1"}
FEATURES = {"audio": ("covarep_features_sdk.pkl", "covarep"), "visual": ("openface_features_sdk.pkl", "openface")}
OTHERS = {"folds": ("data_folds.pkl", "folds"), "labels": ("humor_label_sdk.pkl", "labels"), "embedding": ("word_embedding_list.pkl", "embedding")}
PLACE = {"train": TRAIN, "dev": VALID, "test": TEST}
CONTEXT, CONTEXT_WORDS = 5, 20
CHARACTERS = 400
BY_TRAINING = ({"name": "standardize", "fill": "median", "clip": 5.0},)


class URFunnyOptions(ReaderOptions):
    """What ``g2d data prepare ur_funny`` can be told."""

    words: int = Field(50, ge=1, description="of a punchline that are kept, from its start")
    context: bool = Field(False, description="add the last five sentences before it, 20 words each (protocol ur_funny/context-v1)")
    text: Literal["vectors", "tokens"] = Field("vectors", description="GloVe vectors, or the sentence for a tokenizer")


def plan_ur_funny(source: Path, options: URFunnyOptions) -> Plan:
    """The six pickles of version 2 (or 1), converted first, each in a process of its own."""
    version, folders, digests = _convert(source)
    if version in _WITHOUT_SENTENCES and options.text in _AS_BYTES:
        raise DataError("text must be vectors for version 1 of UR-FUNNY, which publishes no sentences, found tokens.")
    folds = json.loads((folders["folds"] / "folds.json").read_text())
    labels = json.loads((folders["labels"] / "labels.json").read_text())
    said = json.loads((folders["words"] / "sentences.json").read_text())
    tables = {m: Ragged.open(folders[m]) for m in ("words", *FEATURES)}
    embedding = np.load(folders["embedding"] / "embedding.npy", mmap_mode="r", allow_pickle=False)
    samples, skipped, counts, seen = [], [], Counter[str](), set[int]()
    for fold, ids in folds.items():
        for i in ids:
            found = Skip(f"{i:05d}", "duplicate", f"it stands in {fold} and before") if i in seen else _usable(i, labels, tables, counts)
            seen.add(i)
            if found is not None:
                skipped.append(found)
                continue
            index = tables["words"].punch(i)[:, 0]
            silent = bool((np.asarray(embedding[index]) == 0).all()) or float(np.asarray(embedding[index], np.float64).sum()) == 0
            facts, notes = {"number": i, "sentence": said[str(i)][0]}, {"fold": fold, "without_text": silent}
            samples.append(Sample(f"{i:05d}", int(labels[str(i)]), f"{i:05d}", (), facts, notes))
    samples.sort(key=lambda sample: sample.id.encode())
    widths = {m: int(tables[m].rows.shape[1]) for m in FEATURES} | {"text": int(embedding.shape[1])}
    base = "ur_funny/context-v1" if options.context else "ur_funny/folds-v2"
    protocols = {base: places(samples, _fold), "ur_funny/legacy-994": places(samples, lambda s: UNUSED if s.notes["without_text"] else _fold(s))}
    legacy = int((protocols["ur_funny/legacy-994"] == TEST).sum())
    warnings = ["no table of speakers is published: a group is a sample, and that folds do not share speakers is its authors' word"]
    if legacy != 994:
        warnings.append(f"ur_funny/legacy-994 must end with 994 test samples, found {legacy}")
    return Plan(
        name="ur_funny",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals=_signals(options, widths),
        samples=samples,
        decode=URFunnyDecode({m: str(folder) for m, folder in folders.items()}, options.words, options.context, options.text, widths),
        protocols=protocols,
        skipped=sorted(skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump() | {"version": version, "pickles": digests},
        report={"cut_to_shortest": counts["cut"], "strange_numbers": {m: _strange(tables[m], samples) for m in FEATURES}},
        warnings=tuple(warnings),
        official=SIZES[version],
        chunk=128,
    )


def _convert(source: Path) -> tuple[str, dict[str, Path], dict[str, str]]:
    there = {name: version for name, version in WORDS.items() if (source / name).is_file()}
    known = {name for name, _ in (*OTHERS.values(), *FEATURES.values())} | set(WORDS)
    if strange := sorted(path.name for path in source.glob("*.pkl") if path.name not in known):
        raise DataError(
            f"{source} must hold UR-FUNNY's own files ({', '.join(sorted(known))}), found {strange[0]}. Move it away: what is not known is not opened."
        )
    wanted = OTHERS | FEATURES | {"words": (next(iter(there), "language_sdk.pkl"), "words")}
    if absent := [name for name, _ in wanted.values() if not (source / name).is_file()]:
        raise DataError(f"{source} must hold {', '.join(name for name, _ in wanted.values())}, found no {absent[0]}.")
    done = {key: convert(source / name, kind) for key, (name, kind) in wanted.items()}
    return next(iter(there.values())), {key: folder for key, (folder, _) in done.items()}, {wanted[key][0]: digest for key, (_, digest) in done.items()}


def _usable(i: int, labels: dict[str, float], tables: dict[str, Ragged], counts: Counter[str]) -> Skip | None:
    name = f"{i:05d}"
    if lacking := [m for m, table in tables.items() if i not in table.place]:
        return Skip(name, "missing-file", f"no {' and no '.join(lacking)}")
    if labels.get(str(i)) not in (0, 1):
        return Skip(name, "no-agreed-label", f"its label is {labels.get(str(i))}")
    lengths = {len(table.punch(i)) for table in tables.values()}
    if min(lengths) == 0:
        return Skip(name, "zero-length", "its punchline has no word")
    counts["cut"] += len(lengths) > 1
    return None


def _strange(table: Ragged, samples: list[Sample]) -> dict[str, dict[str, int | list[int]]]:
    """Per fold: how many numbers of the punchlines are no finite ones, in which columns, and how many words are all zero."""
    found: dict[str, dict[str, Any]] = {}
    for sample in samples:
        rows = table.punch(sample.facts["number"])
        told = found.setdefault(sample.notes["fold"], {"nan": 0, "+inf": 0, "-inf": 0, "zero_words": 0, "columns": set()})
        told["zero_words"] += int((rows == 0).all(1).sum())
        if np.isfinite(rows).all():
            continue
        for kind, there in (("nan", np.isnan(rows)), ("+inf", np.isposinf(rows)), ("-inf", np.isneginf(rows))):
            told[kind] += int(there.sum())
            told["columns"] |= set(np.flatnonzero(there.any(0)).tolist())
    return {fold: told | {"columns": sorted(told["columns"])} for fold, told in found.items()}


def _fold(sample: Sample) -> int:
    return PLACE[sample.notes["fold"]]


@dataclass(frozen=True)
class Ragged:
    """Rows of many samples one after the other: those of the punchline, and those of every sentence before it."""

    place: dict[int, int]
    rows: NDArray[Any]
    offset: NDArray[np.int64]
    context_rows: NDArray[Any]
    context_offset: NDArray[np.int64]
    sentence_offset: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> Ragged:
        """A folder that the conversion wrote."""
        names = ("punch", "punch_offset", "context", "context_offset", "sentence_offset")
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        return cls({int(i): place for place, i in enumerate(ids)}, *arrays)

    def punch(self, i: int) -> NDArray[Any]:
        """``(words, d)``."""
        place = self.place[i]
        return np.array(self.rows[self.offset[place] : self.offset[place + 1]])

    def context(self, i: int) -> list[NDArray[Any]]:
        """``(words, d)`` of the sentences before it."""
        place = self.place[i]
        sentences = range(int(self.sentence_offset[place]), int(self.sentence_offset[place + 1]))
        return [np.array(self.context_rows[self.context_offset[s] : self.context_offset[s + 1]]) for s in sentences]


def _signals(options: URFunnyOptions, widths: dict[str, int]) -> dict[str, Signal]:
    signals = {m: Signal("sequence", "float32", (options.words, widths[m]), BY_TRAINING, masked=True) for m in FEATURES}
    vectors = Signal("sequence", "float16", (options.words, widths["text"]), ({"name": "standardize", "clip": 5.0},), masked=True)
    tokens = Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens"},))
    signals["text"] = {"vectors": vectors, "tokens": tokens}[options.text]
    if options.context:
        steps = CONTEXT * CONTEXT_WORDS
        signals |= {f"{m}_context": Signal("sequence", "float32", (steps, widths[m]), BY_TRAINING, masked=True) for m in FEATURES}
        signals["text_context"] = Signal("sequence", "float16", (steps, widths["text"]), ({"name": "standardize", "clip": 5.0},), masked=True)
    return signals


@lru_cache(maxsize=8)
def _opened(folder: str) -> Ragged:
    return Ragged.open(Path(folder))


@dataclass(frozen=True)
class URFunnyDecode:
    """Sequences of a punchline, right-padded; infinite numbers count as missing."""

    folders: dict[str, str]
    words: int
    context: bool
    text: str
    widths: dict[str, int]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        i = sample.facts["number"]
        embedding = np.load(Path(self.folders["embedding"]) / "embedding.npy", mmap_mode="r", allow_pickle=False)
        tables = {m: _opened(self.folders[m]) for m in (*FEATURES, "words")}
        parts = {m: tables[m].punch(i) for m in FEATURES} | {"text": np.asarray(embedding[tables["words"].punch(i)[:, 0]])}
        shortest = min(map(len, parts.values()))
        warnings = ("its modalities have different numbers of words: cut to the shortest",) if len({len(part) for part in parts.values()}) > 1 else ()
        values, masks = self._padded({m: part[:shortest] for m, part in parts.items()}, self.words)
        if self.text in _AS_BYTES:
            values["text"] = text_bytes(sample.facts["sentence"], CHARACTERS)
            masks.pop("text")
        if self.context:
            before = {m: tables[m].context(i) for m in FEATURES} | {"text": [np.asarray(embedding[s[:, 0]]) for s in tables["words"].context(i)]}
            rows = {f"{m}_context": _last(sentences) for m, sentences in before.items()}
            more, more_masks = self._padded(rows, CONTEXT * CONTEXT_WORDS)
            values, masks = values | more, masks | more_masks
        return Decoded(values, masks, warnings)

    def _padded(self, parts: dict[str, NDArray[Any]], steps: int) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.bool_]]]:
        values, masks = {}, {}
        for m, part in parts.items():
            kept = np.where(np.isinf(part[:steps]), np.nan, part[:steps])
            kind = _KIND.get(m.removesuffix("_context"), np.float32)
            values[m], masks[m] = np.zeros((steps, self.widths[m.removesuffix("_context")]), kind), np.zeros(steps, np.bool_)
            if len(kept):
                values[m][: len(kept)], masks[m][: len(kept)] = kept, True
        return values, masks


_KIND: dict[str, Any] = {"text": np.float16}
_WITHOUT_SENTENCES = frozenset({"v1"})
_AS_BYTES = frozenset({"tokens"})


def _last(sentences: list[NDArray[Any]]) -> NDArray[Any]:
    """The first 20 words of each of the last five sentences."""
    return np.concatenate([sentence[:CONTEXT_WORDS] for sentence in sentences[-CONTEXT:]]) if sentences else np.zeros((0, 1))


READER = Reader(
    plan=plan_ur_funny,
    options=URFunnyOptions,
    about="UR-FUNNY: is a punchline of a talk funny; features of sound, face and words",
    layout="the six pickles of version 2: data_folds, language_sdk, covarep_features_sdk, openface_features_sdk, humor_label_sdk, word_embedding_list (.pkl)",
    needs="the feature files that github.com/ROC-HCI/UR-FUNNY links to",
    licence="publicly available for research, by its authors; no licence file",
)
