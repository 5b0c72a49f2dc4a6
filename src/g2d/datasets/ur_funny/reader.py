"""UR-FUNNY: are punchlines of talks funny, by words, sound and face (Hasan et al., EMNLP 2019)."""

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
from g2d.data.store.arrays import mapped_array
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.decoding import text_bytes
from g2d.datasets.ur_funny import formats
from g2d.datasets.ur_funny.formats import Ragged
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, Skip, places
from g2d.prepare.plainpickle import convert

CLASSES = ("not humorous", "humorous")


@dataclass(frozen=True)
class Release:
    """Properties of one of the two published versions.

    Args:
        name: Name of the version.
        rows: Number of samples.
        words: File of the word indexes.
        kinds: Kinds of content of the files that differ between the versions, by file.
        protocols: Names of the protocols without and with context.
        legacy: Number of test samples of ``ur_funny/legacy-994``; 0 if the version has no such
            protocol.
        sentences: Whether the sentences are published.
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
        name="v2",
        rows=10_166,
        words="language_sdk.pkl",
        kinds={"words": "words", "visual": "openface"},
        protocols=("ur_funny/folds-v2", "ur_funny/context-v1"),
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
"""File and kind of content of every modality of features."""
OTHERS = {
    "folds": ("data_folds.pkl", "folds"),
    "labels": ("humor_label_sdk.pkl", "labels"),
    "embedding": ("word_embedding_list.pkl", "embedding"),
}
"""The other files of both versions."""
PICKLES = frozenset({".pkl", ".pickle", ".pk", ".p"})
LEGACY = "ur_funny/legacy-994"
PLACE = {"train": TRAIN, "dev": VALID, "test": TEST}
CONTEXT, CONTEXT_WORDS = 5, 20
"""Sentences of the context, and words of each."""
CHARACTERS = 400
"""Bytes of a stored sentence."""
Folders = tuple[tuple[str, Path], ...]
"""Folder of the conversion of every file."""
DTYPES = {"audio": "float32", "visual": "float32", "text": "float16"}
"""Type of the stored numbers of every modality."""
BY_TRAINING = ({"name": "standardize", "fill": "median", "clip": 5.0},)
VIEWS = {
    "audio": BY_TRAINING,
    "visual": BY_TRAINING,
    "text": ({"name": "standardize", "clip": 5.0},),
}
"""Default view of every modality."""


class URFunnyOptions(ReaderOptions):
    """Options of ``g2d data prepare ur_funny``."""

    words: int = Field(50, ge=1, description="words stored per punchline, from its start")
    context: bool = Field(
        False,
        description="add the last five sentences before the punchline, 20 words each "
        "(protocol ur_funny/context-v1)",
    )
    text: Literal["vectors", "tokens"] = Field(
        "vectors", description="vectors: GloVe vectors; tokens: the sentence, for a tokenizer"
    )


def plan_ur_funny(source: Path, options: URFunnyOptions) -> Plan:
    """Plan the preparation of the six pickles of version 2 or 1, after converting each of them.

    Args:
        source: Folder of the pickles.
        options: Options of the reader.

    Raises:
        DataError: A file is missing, unknown or unusable, or the options do not fit the version.
    """
    release, folders, digests = _convert(source)
    if not release.sentences and options.text == "tokens":
        raise DataError(
            "text must be vectors for version 1 of UR-FUNNY, which publishes no sentences, "
            "found tokens."
        )
    _opened.cache_clear()  # a damaged conversion may have been replaced
    content = _opened(folders)
    _check_indexes(content, release.words)
    counts = Counter[str]()
    samples, skipped = _samples(content, options, counts)
    protocols = {release.protocols[options.context]: places(samples, _fold)}
    warnings = [
        "no table of speakers is published, so every sample is a group of its own; "
        "that no speaker is in two folds is a statement of the authors"
    ]
    if release.legacy:
        protocols[LEGACY] = places(
            samples, lambda s: UNUSED if s.notes["without_text"] else _fold(s)
        )
        if (legacy := int((protocols[LEGACY] == TEST).sum())) != release.legacy:
            warnings.append(f"{LEGACY} must have {release.legacy} test samples, found {legacy}")
    if without_fold := content.without_fold():
        warnings.append(f"{len(without_fold)} ids have features but no fold; they are left out")
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
            "without_fold": len(without_fold),
            "strange_numbers": _strange(content, samples),
        },
        warnings=tuple(warnings),
        official=release.rows,
        chunk=128,
    )


def _convert(source: Path) -> tuple[Release, Folders, dict[str, str]]:
    """Convert all files; return the version, the folders of the conversions, and the hashes."""
    known = {name for name, _ in (*OTHERS.values(), *FEATURES.values())} | {
        release.words for release in RELEASES
    }
    pickles = (path.name for path in source.glob("*") if path.suffix.lower() in PICKLES)
    if unknown := sorted(set(pickles) - known):
        raise DataError(
            f"{source} must hold only the pickles of UR-FUNNY ({', '.join(sorted(known))}), "
            f"found {unknown[0]!r}. Move it away: unknown pickles are not opened."
        )
    present = [release for release in RELEASES if (source / release.words).is_file()]
    if len(present) > 1:
        raise DataError(
            f"{source} must hold one version of UR-FUNNY, "
            f"found {' and '.join(release.words for release in present)}. "
            "Move the files of the other version away."
        )
    release = present[0] if present else RELEASES[0]
    files = {
        key: (name, release.kinds.get(key, kind))
        for key, (name, kind) in (OTHERS | FEATURES | {"words": (release.words, "words")}).items()
    }
    names = [name for name, _ in files.values()]
    if missing := [name for name in names if not (source / name).is_file()]:
        raise DataError(f"{source} must hold {', '.join(names)}, found no {missing[0]}.")
    done = {key: convert(source / name, kind, formats) for key, (name, kind) in files.items()}
    return (
        release,
        tuple((key, folder) for key, (folder, _) in done.items()),
        {files[key][0]: digest for key, (_, digest) in done.items()},
    )


def _check_indexes(content: Content, name: str) -> None:
    """Refuse word indexes without a vector; a negative index would silently be another word."""
    words, rows = content.tables["words"], len(content.embedding)
    for i in words.place:
        for where, parts in (("punchline", [words.punch(i)]), ("context", words.context(i))):
            for part in parts:
                outside = part[(part < 0) | (part >= rows)]
                if len(outside):
                    raise DataError(
                        f"{name} must name words by their rows in {OTHERS['embedding'][0]} "
                        f"(0 to {rows - 1}), found {int(outside[0])} in the {where} of id {i}. "
                        "Download both files again, from one version."
                    )


def _samples(
    content: Content, options: URFunnyOptions, counts: Counter[str]
) -> tuple[list[Sample], list[Skip]]:
    """Return the usable samples and the skipped ones, and count differing lengths."""
    samples: list[Sample] = []
    skipped: list[Skip] = []
    seen: set[int] = set()
    for fold, ids in content.folds.items():
        for i in ids:
            name = f"{i:05d}"
            skip = (
                Skip(name, "duplicate", f"it is in {fold} and in an earlier fold")
                if i in seen
                else _unusable(i, content)
            )
            seen.add(i)
            if skip is not None:
                skipped.append(skip)
                continue
            punch, context = content.lengths(i)
            counts["punch"] += _differ(punch)
            counts["context"] += options.context and _differ(context)
            facts = {"number": i, "sentence": content.sentences[str(i)][0]}
            without_text = float(content.words(i).sum(dtype=np.float64)) == 0
            notes = {"fold": fold, "without_text": without_text}
            samples.append(Sample(name, int(content.labels[str(i)]), name, (), facts, notes))
    return (
        sorted(samples, key=lambda sample: sample.id.encode()),
        sorted(skipped, key=lambda skip: skip.id.encode()),
    )


def _unusable(i: int, content: Content) -> Skip | None:
    """Return why an id cannot be used, None if it can."""
    name, label = f"{i:05d}", content.labels.get(str(i))
    if missing := [m for m, table in content.tables.items() if i not in table.place]:
        return Skip(name, "missing-file", f"no {' and no '.join(missing)}")
    if label not in (0, 1):
        return Skip(name, "no-agreed-label", f"its label is {label}")
    if min(table.lengths(i)[0] for table in content.tables.values()) == 0:
        return Skip(name, "zero-length", "its punchline has no word")
    return None


def _strange(content: Content, samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """Count NaN and infinite numbers of the punchlines, and words of zeros, by modality and fold.

    The columns that hold such numbers are listed too.
    """
    counts: dict[str, dict[str, Any]] = {}
    for sample in samples:
        for m, rows in content.punch(sample.facts["number"]).items():
            count = counts.setdefault(m, {}).setdefault(
                sample.notes["fold"],
                {"nan": 0, "+inf": 0, "-inf": 0, "zero_words": 0, "columns": set()},
            )
            count["zero_words"] += int((rows == 0).all(1).sum())
            if np.isfinite(rows).all():
                continue
            for kind, odd in (
                ("nan", np.isnan(rows)),
                ("+inf", np.isposinf(rows)),
                ("-inf", np.isneginf(rows)),
            ):
                count[kind] += int(odd.sum())
                count["columns"] |= set(np.flatnonzero(odd.any(0)).tolist())
    return {
        m: {fold: count | {"columns": sorted(count["columns"])} for fold, count in folds.items()}
        for m, folds in counts.items()
    }


def _fold(sample: Sample) -> int:
    return PLACE[sample.notes["fold"]]


@dataclass(frozen=True)
class Content:
    """Content of the six files.

    Args:
        folds: Ids of every fold.
        labels: Label of every id, as text.
        sentences: Punchline and the sentences before it, by id as text.
        tables: Word indexes and features, by modality.
        embedding: Word vectors ``(words, 300)``.
    """

    folds: dict[str, list[int]]
    labels: dict[str, float]
    sentences: dict[str, tuple[str, list[str]]]
    tables: dict[str, Ragged]
    embedding: NDArray[np.float32]

    def lengths(self, i: int) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """Return the words of a punchline and of every sentence before it, by modality."""
        punch, context = zip(*(table.lengths(i) for table in self.tables.values()), strict=True)
        return punch, context

    def words(self, i: int) -> NDArray[np.float32]:
        """Return the vectors ``(words, 300)`` of a punchline, as published."""
        return self._vectors(self.tables["words"].punch(i))

    def punch(self, i: int) -> dict[str, NDArray[Any]]:
        """Return the rows ``(words, d)`` of a punchline, by modality."""
        return {m: self.tables[m].punch(i) for m in FEATURES} | {"text": _half(self.words(i))}

    def context(self, i: int) -> dict[str, list[NDArray[Any]]]:
        """Return the rows ``(words, d)`` of every sentence before a punchline, by modality."""
        return {m: self.tables[m].context(i) for m in FEATURES} | {
            "text": [_half(self._vectors(part)) for part in self.tables["words"].context(i)]
        }

    def without_fold(self) -> set[int]:
        """Return the ids that have features but are in no fold."""
        return {i for table in self.tables.values() for i in table.place} - {
            i for ids in self.folds.values() for i in ids
        }

    def _vectors(self, indexes: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(self.embedding[indexes[:, 0]])


def _half(vectors: NDArray[np.float32]) -> NDArray[np.float16]:
    """Convert to half precision; values that are too large become infinite and count as missing."""
    with np.errstate(over="ignore"):
        return vectors.astype(np.float16)


@lru_cache(maxsize=2)
def _opened(folders: Folders) -> Content:
    """Open the conversions, once per process."""
    folder = dict(folders)
    folds, labels, sentences = (
        json.loads((folder[key] / name).read_text(encoding="utf-8"))
        for key, name in (
            ("folds", "folds.json"),
            ("labels", "labels.json"),
            ("words", "sentences.json"),
        )
    )
    return Content(
        folds,
        labels,
        sentences,
        {m: Ragged.open(folder[m]) for m in (*FEATURES, "words")},
        mapped_array(folder["embedding"] / "embedding.npy"),
    )


def _signals(options: URFunnyOptions, widths: dict[str, int]) -> dict[str, Signal]:
    """Return how every modality is stored."""

    def sequence(m: str, steps: int) -> Signal:
        return Signal("sequence", DTYPES[m], (steps, widths[m]), VIEWS[m], masked=True)

    signals = {m: sequence(m, options.words) for m in DTYPES}
    if options.text == "tokens":
        signals["text"] = Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens"},))
    if options.context:
        signals |= {f"{m}_context": sequence(m, CONTEXT * CONTEXT_WORDS) for m in DTYPES}
    return signals


@dataclass(frozen=True)
class URFunnyDecode:
    """Decodes a punchline, and optionally the sentences before it.

    Args:
        folders: Folders of the conversions.
        steps: Words stored per punchline.
        context: Whether the sentences before it are stored.
        text: ``"vectors"`` or ``"tokens"``.
        widths: Numbers per word, by modality.
    """

    folders: Folders
    steps: int
    context: bool
    text: str
    widths: dict[str, int]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        content, i = _opened(self.folders), sample.facts["number"]
        punch, context = content.lengths(i)
        warnings = []
        if _differ(punch):
            warnings.append("its modalities have different numbers of words: cut to the shortest")
        values, masks = self._padded([content.punch(i)], 1, self.steps)
        if self.text == "tokens":
            values["text"] = text_bytes(sample.facts["sentence"], CHARACTERS)
            masks.pop("text")
        if self.context:
            if _differ(context):
                warnings.append(
                    "the sentences before it differ between its modalities: cut to the shortest"
                )
            before = content.context(i)
            # Sentences that a modality lacks are cut from the end, as words are.
            sentences = [
                dict(zip(before, parts, strict=True))
                for parts in zip(*before.values(), strict=False)
            ]
            more, more_masks = self._padded(sentences[-CONTEXT:], CONTEXT, CONTEXT_WORDS)
            values |= {f"{m}_context": rows for m, rows in more.items()}
            masks |= {f"{m}_context": mask for m, mask in more_masks.items()}
        return Decoded(values, masks, tuple(warnings))

    def _padded(
        self, sentences: list[dict[str, NDArray[Any]]], most: int, words: int
    ) -> tuple[dict[str, Any], dict[str, NDArray[np.bool_]]]:
        """Pad sentences to arrays ``(most * words, d)`` and masks; infinite numbers become NaN.

        A sentence fills its place from the left, up to the length of its shortest modality. The
        last sentence fills the last place, so that the nearest sentence is always in it.
        """
        values = {m: np.zeros((most, words, width), DTYPES[m]) for m, width in self.widths.items()}
        masks = {m: np.zeros((most, words), np.bool_) for m in values}
        for place, sentence in enumerate(sentences, most - len(sentences)):
            kept = min(words, *map(len, sentence.values()))
            for m, rows in sentence.items():
                values[m][place, :kept] = np.where(np.isinf(rows[:kept]), np.nan, rows[:kept])
                masks[m][place, :kept] = True
        return {m: part.reshape(most * words, -1) for m, part in values.items()}, {
            m: mask.reshape(-1) for m, mask in masks.items()
        }


def _differ(lengths: Iterable[Any]) -> bool:
    return len({*lengths}) > 1
