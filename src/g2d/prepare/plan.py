"""What a reader finds in a folder of raw files: the samples, how one of them is decoded, and who stands in which split.

A reader writes a :class:`Plan` and nothing else; that preparation is parallel, resumable and honest about what it skips is the
business of :mod:`g2d.prepare.preparing`, the same for every data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import blocks
from g2d.data.store.facts import Signal
from g2d.errors import Reason

UNLABELED: Reason = "no-agreed-label"
ABSENT: Reason = "missing-file"


@dataclass(frozen=True, slots=True)
class Sample:
    """One row to be.

    Args:
        id: unique in the data set; samples are sorted by it, bytewise.
        target: class number, value, or values in the original unit.
        group: speaker, actor, station: rows of one group never stand on two sides of a split that calls itself disjoint.
        files: the raw files it is made of, relative to the source folder; their bytes enter the content hash.
        facts: what decoding needs besides (a start, a sentence, a row of a table); enters the content hash too.
        notes: what only protocols and reports need (an official split, a station). Both are written to ``samples.jsonl``.
    """

    id: str
    target: int | float | tuple[float, ...]
    group: str
    files: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skip:
    """A sample that is left out, and why."""

    id: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The values of one row.

    Args:
        values: per modality an array of the signal's shape and type; None where the row lacks the modality.
        masks: per masked modality a ``(steps,)`` bool array.
        warnings: what a user should know about this sample, which is kept.
    """

    values: Mapping[str, NDArray[Any] | None]
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


Decode = Callable[[Path, Sample], Decoded]
"""From the source folder and a sample to its values, in a worker process: a function of a module, or a frozen dataclass with
``__call__`` that holds options. Raises :class:`UnreadableError` for what must be skipped."""


@dataclass(frozen=True)
class Plan:
    """Everything that preparation needs to know.

    Args:
        name: of the data set.
        task: ``{"kind": "classification", "classes": [...]}``, or ``{"kind": "regression", "outputs": 1, "scale": "train"}`` with the
            scale ``"train"`` (0 and 1 are the least and greatest training value) or ``[low, high]``; optional keys ``log`` (the scale
            holds the logarithm), ``clip`` (``[0.01, 0.99]``: bounds of the scaled target), ``output`` (``"sigmoid"`` or ``"identity"``).
        signals: per modality, in the order in which the data set names them.
        samples: sorted by id.
        decode: of one sample.
        protocols: per name an ``(N,)`` int8 of places (-1 unused, 0 train, 1 valid, 2 test) in the order of the samples; the first is
            the default.
        skipped: samples that the plan already leaves out (they are not among ``samples``).
        parameters: what changes the stored values; belongs to the content hash.
        report: what the reader counted or noticed; recorded in ``dataset.json``, no part of the hash. ``warnings``: sentences that are shown.
        cautions: sentences that stand beside every figure measured on the data.
        told: what the reader inferred, in sentences that a user reads before the work begins.
        missing: modalities, or named parts of the data set, of which no file at all was found.
        official: how many samples the whole data set has, where that is known.
        chunk: samples that a worker takes at a time.
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
    told: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    official: int = 0
    chunk: int = 16

    @property
    def expected(self) -> int:
        """Samples that the data set should have: those of its authors' count, or all of which something was found.

        What has no agreed label never belonged to the problem.
        """
        return max(
            self.official,
            len(self.samples) + sum(skip.reason != UNLABELED for skip in self.skipped),
        )


def name_hash(text: str) -> int:
    """A number that every machine derives from a name alone: the first 32 bits of its SHA-256.

    Example:
        >>> name_hash("1001_DFA_ANG_XX")
        2222258598
    """
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def places(samples: Sequence[Sample], rule: Callable[[Sample], int]) -> NDArray[np.int8]:
    """A split from a rule that looks at one sample at a time."""
    return np.fromiter((rule(sample) for sample in samples), np.int8, len(samples))


def some(samples: Sequence[Sample], rows: Sequence[int]) -> Sequence[Sample]:
    """The samples at some places; neighbours are asked for at once, for a table reads them in one go."""
    near = range(rows[0], rows[0] + len(rows))
    return (
        samples[near.start : near.stop]
        if all(map(eq, rows, near))
        else [samples[row] for row in rows]
    )


def each(samples: Sequence[Sample], rows: NDArray[np.int64]) -> Iterator[Sample]:
    """One after the other, few of them in memory."""
    for block in blocks(rows, 1024):
        yield from some(samples, block.tolist())
