"""UR-FUNNY: whether a punchline of a talk is funny, by its words, sound and face (Hasan et al., EMNLP 2019)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.table.values import text_bytes
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, Skip, places
from g2d.prepare.plainpickle import convert

CLASSES = ("not humorous", "humorous")


@dataclass(frozen=True)
class Release:
    """What one of the two published versions has of its own.

    Args:
        name: of the version. rows: how many samples it has. words: the file of word indexes. kinds: of the files whose content differs.
        protocols: without the context and with it. legacy: test samples that ``ur_funny/legacy-994`` must end with, 0 where it belongs to the other
            version. sentences: whether they are published.
    """

    name: str
    rows: int
    words: str
    kinds: Mapping[str, str]
    protocols: tuple[str, str]
    legacy: int = 0
    sentences: bool = True


RELEASES = (
    Release(
        "v2",
        10_166,
        "language_sdk.pkl",
        {"words": "words", "visual": "openface"},
        ("ur_funny/folds-v2", "ur_funny/context-v1"),
        legacy=994,
    ),
    Release(
        name="v1",
        rows=16_514,
        words="word_embedding_indexes_sdk.pkl",
        kinds={"words": "words-v1", "visual": "openface-v1"},
        protocols=("ur_funny/folds-v1", "ur_funny/folds-v1"),
        sentences=False,
    ),
)
FEATURES = {
    "audio": ("covarep_features_sdk.pkl", "covarep"),
    "visual": ("openface_features_sdk.pkl", "openface"),
}
OTHERS = {
    "folds": ("data_folds.pkl", "folds"),
    "labels": ("humor_label_sdk.pkl", "labels"),
    "embedding": ("word_embedding_list.pkl", "embedding"),
}
PICKLES = frozenset({".pkl", ".pickle", ".pk", ".p"})
LEGACY = "ur_funny/legacy-994"
PLACE = {"train": TRAIN, "dev": VALID, "test": TEST}
CONTEXT, CONTEXT_WORDS = 5, 20
CHARACTERS = 400
Folders = tuple[tuple[str, Path], ...]
"""What was converted, and to where."""
BY_TRAINING = ({"name": "standardize", "fill": "median", "clip": 5.0},)


class URFunnyOptions(ReaderOptions):
    """What ``g2d data prepare ur_funny`` can be told."""

    words: int = Field(50, ge=1, description="of a punchline that are kept, from its start")
    context: bool = Field(
        False,
        description="add the last five sentences before it, 20 words each (protocol ur_funny/context-v1)",
    )
    text: Literal["vectors", "tokens"] = Field(
        "vectors", description="GloVe vectors, or the sentence for a tokenizer"
    )


def plan_ur_funny(source: Path, options: URFunnyOptions) -> Plan:
    """The six pickles of version 2 (or 1), converted first, each in a process of its own."""
    release, folders, digests = _convert(source)
    if not release.sentences and options.text in _AS_BYTES:
        raise DataError(
            "text must be vectors for version 1 of UR-FUNNY, which publishes no sentences, found tokens."
        )
    _opened.cache_clear()  # a conversion that was damaged has been made again
    content = _opened(folders)
    _check_indexes(content, release.words)
    counts = Counter[str]()
    samples, skipped = _samples(content, options, counts)
    protocols = {release.protocols[options.context]: places(samples, _fold)}
    warnings = [
        "no table of speakers is published: a group is a sample, and that folds do not share speakers is its authors' word"
    ]
    if release.legacy:
        protocols[LEGACY] = places(
            samples, lambda s: UNUSED if s.notes["without_text"] else _fold(s)
        )
        if (legacy := int((protocols[LEGACY] == TEST).sum())) != release.legacy:
            warnings.append(f"{LEGACY} must end with {release.legacy} test samples, found {legacy}")
    if strays := content.strays():
        warnings.append(f"{len(strays)} ids have features but stand in no fold, and are left out")
    widths = {m: int(content.tables[m].rows.shape[1]) for m in FEATURES} | {
        "text": int(content.embedding.shape[1])
    }
    return Plan(
        name="ur_funny",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals=_signals(options, widths),
        samples=samples,
        decode=URFunnyDecode(folders, options.words, options.context, options.text, widths),
        protocols=protocols,
        skipped=skipped,
        parameters=options.model_dump() | {"version": release.name, "pickles": digests},
        report={
            "cut_to_shortest": counts["punch"],
            "context_cut_to_shortest": counts["context"],
            "without_fold": len(strays),
            "strange_numbers": _strange(content, samples),
        },
        warnings=tuple(warnings),
        official=release.rows,
        chunk=128,
    )


def _convert(source: Path) -> tuple[Release, Folders, dict[str, str]]:
    """The release, the conversions, and of each file its hash."""
    known = {name for name, _ in (*OTHERS.values(), *FEATURES.values())} | {
        release.words for release in RELEASES
    }
    if strange := sorted(
        path.name
        for path in source.glob("*")
        if path.suffix.lower() in PICKLES and path.name not in known
    ):
        raise DataError(
            f"{source} must hold UR-FUNNY's own files ({', '.join(sorted(known))}), found {strange[0]!r}. Move it away: what is not known is not opened."
        )
    there = [release for release in RELEASES if (source / release.words).is_file()]
    if len(there) > 1:
        raise DataError(
            f"{source} must hold one version of UR-FUNNY, found {' and '.join(release.words for release in there)}. Move the other's files away."
        )
    release = there[0] if there else RELEASES[0]
    wanted = {
        key: (name, release.kinds.get(key, kind))
        for key, (name, kind) in (OTHERS | FEATURES | {"words": (release.words, "words")}).items()
    }
    if absent := [name for name, _ in wanted.values() if not (source / name).is_file()]:
        raise DataError(
            f"{source} must hold {', '.join(name for name, _ in wanted.values())}, found no {absent[0]}."
        )
    done = {key: convert(source / name, kind) for key, (name, kind) in wanted.items()}
    return (
        release,
        tuple((key, folder) for key, (folder, _) in done.items()),
        {wanted[key][0]: digest for key, (_, digest) in done.items()},
    )


def _check_indexes(content: Content, name: str) -> None:
    """A word without a vector, or counted from the end, would silently be another word."""
    words, rows = content.tables["words"], len(content.embedding)
    for i in words.place:
        for where, parts in (("punchline", [words.punch(i)]), ("context", words.context(i))):
            for part in parts:
                if ((part < 0) | (part >= rows)).any():
                    wrong = int(part[(part < 0) | (part >= rows)][0])
                    raise DataError(
                        f"{name} must name words by their rows in {OTHERS['embedding'][0]} (0 to {rows - 1}), found {wrong} in the {where} of id {i}. "
                        "Fetch both files again, from one version."
                    )


def _samples(
    content: Content, options: URFunnyOptions, counts: Counter[str]
) -> tuple[list[Sample], list[Skip]]:
    samples, skipped, seen = [], [], set[int]()
    for fold, ids in content.folds.items():
        for i in ids:
            found = (
                Skip(f"{i:05d}", "duplicate", f"it stands in {fold} and before")
                if i in seen
                else _unusable(i, content)
            )
            seen.add(i)
            if found is not None:
                skipped.append(found)
                continue
            punch, context = content.lengths(i)
            counts["punch"] += _differ(punch)
            counts["context"] += options.context and _differ(context)
            facts = {"number": i, "sentence": content.sentences[str(i)][0]}
            notes = {
                "fold": fold,
                "without_text": float(content.words(i).sum(dtype=np.float64)) == 0,
            }
            samples.append(
                Sample(f"{i:05d}", int(content.labels[str(i)]), f"{i:05d}", (), facts, notes)
            )
    return sorted(samples, key=lambda sample: sample.id.encode()), sorted(
        skipped, key=lambda skip: skip.id.encode()
    )


def _unusable(i: int, content: Content) -> Skip | None:
    name, label = f"{i:05d}", content.labels.get(str(i))
    if lacking := [m for m, table in content.tables.items() if i not in table.place]:
        return Skip(name, "missing-file", f"no {' and no '.join(lacking)}")
    if label not in (0, 1):
        return Skip(name, "no-agreed-label", f"its label is {label}")
    if min(table.lengths(i)[0] for table in content.tables.values()) == 0:
        return Skip(name, "zero-length", "its punchline has no word")
    return None


def _strange(content: Content, samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """Per modality and fold: how many numbers of the punchlines are no finite ones, in which columns, and how many words are all zero."""
    found: dict[str, dict[str, Any]] = {}
    for sample in samples:
        for m, rows in content.punch(sample.facts["number"]).items():
            folds = found.setdefault(m, {})
            told = folds.setdefault(
                sample.notes["fold"],
                {"nan": 0, "+inf": 0, "-inf": 0, "zero_words": 0, "columns": set()},
            )
            told["zero_words"] += int((rows == 0).all(1).sum())
            if np.isfinite(rows).all():
                continue
            for kind, there in (
                ("nan", np.isnan(rows)),
                ("+inf", np.isposinf(rows)),
                ("-inf", np.isneginf(rows)),
            ):
                told[kind] += int(there.sum())
                told["columns"] |= set(np.flatnonzero(there.any(0)).tolist())
    return {
        m: {fold: told | {"columns": sorted(told["columns"])} for fold, told in folds.items()}
        for m, folds in found.items()
    }


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
        arrays = [
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
        ]
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        return cls({int(i): place for place, i in enumerate(ids)}, *arrays)

    def punch(self, i: int) -> NDArray[Any]:
        """``(words, d)``."""
        place = self.place[i]
        return np.array(self.rows[self.offset[place] : self.offset[place + 1]])

    def lengths(self, i: int) -> tuple[int, tuple[int, ...]]:
        """Words of the punchline, and of every sentence before it."""
        place = self.place[i]
        sentences = slice(
            int(self.sentence_offset[place]), int(self.sentence_offset[place + 1]) + 1
        )
        return int(self.offset[place + 1] - self.offset[place]), tuple(
            np.diff(self.context_offset[sentences]).tolist()
        )

    def context(self, i: int) -> list[NDArray[Any]]:
        """``(words, d)`` of the sentences before it."""
        place = self.place[i]
        sentences = range(int(self.sentence_offset[place]), int(self.sentence_offset[place + 1]))
        return [
            np.array(self.context_rows[self.context_offset[s] : self.context_offset[s + 1]])
            for s in sentences
        ]


@dataclass(frozen=True)
class Content:
    """What the six files hold."""

    folds: dict[str, list[int]]
    labels: dict[str, float]
    sentences: dict[str, tuple[str, list[str]]]
    tables: dict[str, Ragged]
    embedding: NDArray[np.float32]

    def lengths(self, i: int) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """By modality, words of the punchline, and of every sentence before it."""
        return tuple(table.lengths(i)[0] for table in self.tables.values()), tuple(
            table.lengths(i)[1] for table in self.tables.values()
        )

    def words(self, i: int) -> NDArray[np.float32]:
        """``(words, 300)``: the vectors of a punchline, as they are published."""
        return self._vectors(self.tables["words"].punch(i))

    def punch(self, i: int) -> dict[str, NDArray[Any]]:
        """Per modality ``(words, d)``."""
        return {m: self.tables[m].punch(i) for m in FEATURES} | {"text": _half(self.words(i))}

    def context(self, i: int) -> dict[str, list[NDArray[Any]]]:
        """Per modality ``(words, d)`` of every sentence before the punchline."""
        return {m: self.tables[m].context(i) for m in FEATURES} | {
            "text": [_half(self._vectors(part)) for part in self.tables["words"].context(i)]
        }

    def strays(self) -> set[int]:
        """Ids with features that stand in no fold."""
        return {i for table in self.tables.values() for i in table.place} - {
            i for ids in self.folds.values() for i in ids
        }

    def _vectors(self, indexes: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(self.embedding[indexes[:, 0]])


def _half(vectors: NDArray[np.float32]) -> NDArray[np.float16]:
    """As text is stored; what is beyond becomes infinite, and counts as missing."""
    with np.errstate(over="ignore"):
        return vectors.astype(np.float16)


@lru_cache(maxsize=2)
def _opened(folders: Folders) -> Content:
    """Once in every process."""
    where = dict(folders)
    folds, labels, sentences = (
        where["folds"] / "folds.json",
        where["labels"] / "labels.json",
        where["words"] / "sentences.json",
    )
    return Content(
        json.loads(folds.read_text(encoding="utf-8")),
        json.loads(labels.read_text(encoding="utf-8")),
        json.loads(sentences.read_text(encoding="utf-8")),
        {m: Ragged.open(where[m]) for m in (*FEATURES, "words")},
        np.load(where["embedding"] / "embedding.npy", mmap_mode="r", allow_pickle=False),
    )


def _signals(options: URFunnyOptions, widths: dict[str, int]) -> dict[str, Signal]:
    signals = {
        m: Signal("sequence", "float32", (options.words, widths[m]), BY_TRAINING, masked=True)
        for m in FEATURES
    }
    vectors = Signal(
        "sequence",
        "float16",
        (options.words, widths["text"]),
        ({"name": "standardize", "clip": 5.0},),
        masked=True,
    )
    tokens = Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens"},))
    signals["text"] = {"vectors": vectors, "tokens": tokens}[options.text]
    if options.context:
        steps = CONTEXT * CONTEXT_WORDS
        signals |= {
            f"{m}_context": Signal(
                "sequence", "float32", (steps, widths[m]), BY_TRAINING, masked=True
            )
            for m in FEATURES
        }
        signals["text_context"] = Signal(
            "sequence",
            "float16",
            (steps, widths["text"]),
            ({"name": "standardize", "clip": 5.0},),
            masked=True,
        )
    return signals


@dataclass(frozen=True)
class URFunnyDecode:
    """Sequences of a punchline, and of the sentences before it."""

    folders: Folders
    steps: int
    context: bool
    text: str
    widths: dict[str, int]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        content, i = _opened(self.folders), sample.facts["number"]
        punch, context = content.lengths(i)
        told = (
            ["its modalities have different numbers of words: cut to the shortest"]
            if _differ(punch)
            else []
        )
        values, masks = self._padded([content.punch(i)], 1, self.steps)
        if self.text in _AS_BYTES:
            values["text"] = text_bytes(sample.facts["sentence"], CHARACTERS)
            masks.pop("text")
        if self.context:
            if _differ(context):
                told.append(
                    "the sentences before it differ between its modalities: cut to the shortest"
                )
            before = content.context(i)
            # A sentence that a modality lacks is taken for the last, as words are.
            sentences = [
                dict(zip(before, parts, strict=True))
                for parts in zip(*before.values(), strict=False)
            ]
            more, more_masks = self._padded(sentences[-CONTEXT:], CONTEXT, CONTEXT_WORDS)
            values |= {f"{m}_context": rows for m, rows in more.items()}
            masks |= {f"{m}_context": mask for m, mask in more_masks.items()}
        return Decoded(values, masks, tuple(told))

    def _padded(
        self, sentences: list[dict[str, NDArray[Any]]], most: int, words: int
    ) -> tuple[dict[str, Any], dict[str, NDArray[np.bool_]]]:
        """A sentence fills its place from the left, up to its shortest modality; the last sentence has the last place, so the nearest always stands there.

        Infinite numbers count as missing.
        """
        values = {
            m: np.zeros((most, words, width), _KIND.get(m, np.float32))
            for m, width in self.widths.items()
        }
        masks = {m: np.zeros((most, words), np.bool_) for m in values}
        for place, sentence in enumerate(sentences, most - len(sentences)):
            kept = min(words, *map(len, sentence.values()))
            for m, rows in sentence.items():
                values[m][place, :kept] = np.where(np.isinf(rows[:kept]), np.nan, rows[:kept])
                masks[m][place, :kept] = True
        return {m: part.reshape(most * words, -1) for m, part in values.items()}, {
            m: mask.reshape(-1) for m, mask in masks.items()
        }


_KIND: dict[str, Any] = {"text": np.float16}
_AS_BYTES = frozenset({"tokens"})


def _differ(lengths: Iterable[Any]) -> bool:
    return len({*lengths}) > 1
