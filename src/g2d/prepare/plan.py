"""The plan of a preparation: which samples there are, how one is decoded, and the splits.

A reader looks at a folder of raw files and returns a :class:`Plan`. Everything else (decoding in
parallel, resuming, reporting) is done by :mod:`g2d.prepare.pipeline`, the same for all data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.arrays import blocks
from g2d.data.store.facts import Signal
from g2d.errors import Reason, UnreadableError
from g2d.files import require_names

UNLABELED: Reason = "no-agreed-label"
"""Reason of a skipped sample that has no label."""
LACKING: Reason = "absent"
"""Reason of a sample that lacks a modality and is skipped because the user wants it to be."""
NOT_EXPECTED = frozenset({UNLABELED, LACKING})
"""Reasons of skipped samples that do not count as missing samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of the data set, one row of the store.

    Args:
        id: Unique name. Samples are sorted by the bytes of their ids.
        target: Class number, value, or values in the original unit.
        group: Speaker, actor or station. In a group-disjoint protocol, all rows of a group are in
            the same split.
        files: Raw files of the sample, relative to the source folder. The content hash covers
            their bytes.
        facts: Other values that decoding needs (a start time, a sentence, the cells of a table).
            The content hash covers them.
        notes: Values that only protocols and reports need (an official split, a station). Facts
            and notes are both written to ``samples.jsonl``.
    """

    id: str
    target: int | float | tuple[float, ...]
    group: str
    files: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skip:
    """A sample that is left out, with the reason."""

    id: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoded values of one sample.

    Args:
        values: Array of each modality, with the shape and type of its signal; None if the sample
            lacks the modality.
        masks: Boolean array ``(steps,)`` of each masked modality.
        warnings: Sentences about this sample, which is kept.
        outcomes: Codes of :mod:`g2d.prepare.outcomes` by modality, where the values do not show
            the outcome: why a modality is absent, or how many of its numbers were replaced.
    """

    values: Mapping[str, NDArray[Any] | None]
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)


Decode = Callable[[Path, Sample], Decoded]
"""Function that decodes one sample, given the source folder and the sample.

It runs in worker processes, so it must be a function of a module or a frozen dataclass with
``__call__``. It raises :class:`~g2d.errors.UnreadableError` for a sample that must be skipped.
"""


@dataclass(frozen=True)
class Plan:
    """Complete description of a preparation.

    Args:
        name: Name of the data set.
        task: ``{"kind": "classification", "classes": [...]}``, ``{"kind": "multilabel", "labels":
            [...], "outputs": C}``, or ``{"kind": "regression", "outputs": 1, "scale": "train"}``.
            The scale ``"train"`` maps the smallest and largest
            training value to 0 and 1; ``[low, high]`` maps these two values instead. Optional
            keys: ``log`` (scale the logarithm), ``clip`` (bounds of the scaled target, for example
            ``[0.01, 0.99]``), ``output`` (``"sigmoid"`` or ``"identity"``).
        signals: How each modality is stored, in the order of the modalities.
        samples: Samples, sorted by id.
        decode: Function that decodes one sample.
        protocols: Splits by name, each an int8 array ``(N,)`` in the order of the samples
            (-1 unused, 0 train, 1 valid, 2 test). The first is the default.
        skipped: Samples that the reader already left out; they are not in ``samples``.
        parameters: Options that change the stored values. The content hash covers them.
        report: Counts and observations of the reader, recorded in ``dataset.json`` but not hashed.
        warnings: Sentences that are shown after the preparation.
        cautions: Sentences that are shown next to every result on the data.
        inferred: Sentences that say what the reader inferred, shown before the work begins.
        cures: What repairs samples that were skipped for a reason, where the usual advice does not
            fit.
        missing: Modalities, or named parts of the data set, of which no file exists.
        official: Number of samples of the complete data set, 0 if unknown.
        chunk: Number of samples that a worker takes at a time.
        source_hash: Hash of the file and the options that determine all samples. If given, the
            hash of the plan covers it instead of every single sample.

    Raises:
        DataError: The name of a class or a modality breaks :data:`~g2d.files.NAME_RULE`.
    """

    name: str
    task: Mapping[str, Any]
    signals: Mapping[str, Signal]
    samples: Sequence[Sample]
    decode: Decode
    protocols: Mapping[str, NDArray[np.int8]]
    skipped: Sequence[Skip] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    cures: Mapping[Reason, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    official: int = 0
    chunk: int = 16
    source_hash: str = ""

    def __post_init__(self) -> None:
        require_names("classes", self.task.get("classes", ()))
        require_names("modalities", self.signals)

    @property
    def expected(self) -> int:
        """Number of samples of the complete data set, as far as it is known before decoding."""
        return self.expected_of(len(self.samples), self.skipped)

    def expected_of(self, kept: int, skipped: Iterable[Skip]) -> int:
        """Return the number of samples of the complete data set.

        It is ``official``, or the number of samples found if that is larger. Samples without a
        label, or left out because they lack a modality, do not count.

        Args:
            kept: Number of samples that are kept.
            skipped: All others.
        """
        counted = sum(skip.reason not in NOT_EXPECTED for skip in skipped)
        return max(self.official, kept + counted)


def places(samples: Sequence[Sample], rule: Callable[[Sample], int]) -> NDArray[np.int8]:
    """Return the split number of every sample, given a rule for one sample."""
    return np.fromiter((rule(sample) for sample in samples), np.int8, len(samples))


def five_folds(
    name: str, samples: Sequence[Sample], number: Callable[[Sample], int], first: int = 0
) -> dict[str, NDArray[np.int8]]:
    """Return the five protocols ``NAME?fold=F`` of a cross-validation.

    Fold F tests, the next one validates, and the others train.

    Args:
        name: Name of the protocols.
        samples: Samples to split.
        number: Function that returns a number of a sample, such as that of its actor. Samples whose
            numbers have the same remainder modulo 5 are in the same fold.
        first: Number of the first fold.

    Example:
        >>> samples = [Sample(str(i), 0, "") for i in range(5)]
        >>> five_folds("a", samples, lambda sample: int(sample.id))["a?fold=4"].tolist()
        [1, 0, 0, 0, 2]
    """
    own = np.array([number(sample) for sample in samples]) % 5
    return {
        f"{name}?fold={fold}": np.select(
            [own == fold % 5, own == (fold + 1) % 5], [TEST, VALID], TRAIN
        ).astype(np.int8)
        for fold in range(first, first + 5)
    }


def some(samples: Sequence[Sample], rows: Sequence[int]) -> Sequence[Sample]:
    """Return the samples of some rows; consecutive rows are read together, as one slice."""
    block = range(rows[0], rows[0] + len(rows))
    if all(map(eq, rows, block)):
        return samples[block.start : block.stop]
    return [samples[row] for row in rows]


def each(samples: Sequence[Sample], rows: NDArray[np.int64]) -> Iterator[Sample]:
    """Yield the samples of some rows, with few of them in memory at a time."""
    for block in blocks(rows, 1024):
        yield from some(samples, block.tolist())


def as_unreadable(error: Exception) -> UnreadableError:
    """Return an error of decoding as one that costs the sample alone.

    Files can be damaged, and paths invalid, in ways that no reader expects.

    Args:
        error: Any error but a :class:`~g2d.errors.G2DError`.
    """
    if isinstance(error, UnreadableError):
        return error
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return UnreadableError("missing-file", Path(error.filename or "").name)
    # strerror lacks the path, which differs between machines.
    reason = getattr(error, "strerror", None) or error
    return UnreadableError("undecodable", f"{type(error).__name__}: {reason}"[:200])
