"""Orders of the modalities: the kinds of ranking, and the ranking of a whole run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Literal, get_args

import torch

from g2d.errors import ArgumentError
from g2d.files import choice_fault
from g2d.functional.schedule import Tau
from g2d.functional.scoring import ranking
from g2d.method.rankings import split_confidence
from g2d.method.state import TrainState
from g2d.model import Teachers
from g2d.task import Classification, Task
from g2d.types import Batch

RankingBy = Literal[
    "memorization",
    "batch",
    "epoch",
    "dataset",
    "validation",
    "lag",
    "random",
    "memorization-reversed",
    "batch-reversed",
    "epoch-reversed",
    "dataset-reversed",
    "validation-reversed",
    "lag-reversed",
]
"""Rankings by name, see :class:`~g2d.modulations.SMP`."""
Ranking = Literal["auto", RankingBy] | Sequence[str]
"""A ranking by name, or the modalities in an order of one's own."""
AUTO = "auto"
"""The ranking that :func:`automatic` chooses."""
MEMORIZATION: RankingBy = "memorization"
"""The ranking by the confidence on the training rows minus that on the validation rows."""
REVERSED = "-reversed"
"""End of the name of a ranking whose last modality learns first."""
LAG: RankingBy = "lag"
"""The ranking that decides itself how long a modality learns alone."""
FIXED = ("dataset", "validation", MEMORIZATION)
"""Rankings by a confidence that is computed once, before training."""


def checked_ranking(by: Ranking, modalities: Sequence[str] | None = None) -> Ranking:
    """Check a ranking and return it, an explicit order as a tuple.

    Args:
        by: The ranking.
        modalities: Names of the modalities, to check that an order holds each of them once.

    Raises:
        ArgumentError: The name is unknown, or the order does not hold every modality once.

    Example:
        >>> checked_ranking(["tone", "image"], ("image", "tone"))
        ('tone', 'image')
    """
    if isinstance(by, str):
        names = (AUTO, *get_args(RankingBy))
        if by not in names:
            raise ArgumentError(choice_fault("ranking", by, names))
        return by
    order = tuple(by)
    if len(set(order)) != len(order) or (modalities and set(order) != set(modalities)):
        every = f" ({', '.join(modalities)})" if modalities else ""
        raise ArgumentError(f"ranking must hold every modality once{every}, found {list(order)}.")
    return order


def automatic(tau: Tau, *, additive: bool) -> RankingBy:
    """Return the ranking that ``"auto"`` means.

    It is the lag, unless its turns would contradict ``tau``, or the student's own predictions from
    one modality, which it needs, are approximate: then it is the memorization.

    Args:
        tau: Prioritization epochs; None leaves them to the ranking.
        additive: Whether the fusion adds one part per modality.
    """
    return LAG if tau is None and additive else MEMORIZATION


def kind_of(by: Ranking) -> tuple[str, bool]:
    """Return the name of a ranking without its end, and whether it is reversed.

    An order of one's own has the name ``"order"``.

    Example:
        >>> kind_of("lag-reversed"), kind_of(["image", "tone"])
        (('lag', True), ('order', False))
    """
    if not isinstance(by, str):
        return "order", False
    return by.removesuffix(REVERSED), by.endswith(REVERSED)


def order_of(score: Mapping[str, float], *, reverse: bool = False) -> tuple[str, ...]:
    """Return the modalities by a score, the smallest first; those of unknown score are last.

    Args:
        score: Score per modality; a score that is not finite is unknown.
        reverse: Whether the largest score comes first.

    Example:
        >>> order_of({"image": 0.4, "tone": float("inf"), "word": 0.6}, reverse=True)
        ('word', 'image', 'tone')
    """
    known = {m: -s if reverse else s for m, s in score.items()}
    return ranking({m: s if math.isfinite(s) else math.inf for m, s in known.items()})


def random_order(modalities: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return a random order, the same for the same seed.

    Args:
        modalities: The names.
        seed: Seed of the order.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        modalities[i] for i in torch.randperm(len(modalities), generator=generator).tolist()
    )


def run_order(by: Ranking, state: TrainState, teachers: Teachers) -> tuple[str, ...]:
    """Return the order of a whole run, computed from the rows of the state.

    Args:
        by: ``"random"`` or one of the rankings that are computed once.
        state: The training state; its generator's seed draws a random order.
        teachers: The teachers.

    Raises:
        ArgumentError: The state has no rows.
    """
    kind, reverse = kind_of(by)
    if kind == "random":
        return random_order(teachers.modalities, state.generator.initial_seed())
    check_rows(by, state)
    # The views of epoch 1, so that a resumed run ranks as the first one did.
    first = partial(state.train_rows, epoch=1)
    score = _score(kind, state.task, teachers, first, state.validation_rows)
    return order_of(score, reverse=reverse)


def check_rows(by: Ranking, state: TrainState) -> None:
    """Refuse a ranking by whole splits if the state has none.

    Args:
        by: The ranking.
        state: The training state.

    Raises:
        ArgumentError: The state has no rows.
    """
    if not state.has_rows:
        raise ArgumentError(
            f"rows must give access to the training and validation rows for ranking={by!r}, found "
            "None. Pass TrainState(rows=...), an order such as "
            "ranking=g2d.rank(teachers, train, valid), or the paper's ranking='batch'."
        )


def rank(
    teachers: Teachers,
    train: Iterable[Batch],
    valid: Iterable[Batch],
    *,
    by: RankingBy = MEMORIZATION,
    task: Task | None = None,
    seed: int = 0,
) -> tuple[str, ...]:
    """Rank the modalities by their teachers, for a training loop of one's own.

    Pass the order to the method: ``G2D(teachers=teachers, ranking=order)``. The first modality
    learns first.

    Args:
        teachers: Frozen unimodal teachers.
        train: Batches over the training rows, on the device of the teachers.
        valid: Batches over the validation rows.
        by: The ranking, see :class:`~g2d.modulations.SMP`.
        task: The kind of target; None if targets are class numbers.
        seed: Seed of ``by="random"``.

    Raises:
        ArgumentError: The ranking is unknown or changes during training, there are no rows, or the
            kind of target is unknown.

    Example:
        >>> from torch import nn
        >>> rows = [Batch({"a": torch.eye(2), "b": torch.zeros(2, 2)}, torch.tensor([0, 1]))]
        >>> guess = nn.Linear(2, 2, bias=False)
        >>> rank(Teachers({"a": nn.Identity(), "b": guess}), rows, rows, by="dataset-reversed")
        ('a', 'b')
    """
    if by not in (names := get_args(RankingBy)):
        raise ArgumentError(choice_fault("by", by, names))
    kind, reverse = kind_of(by)
    if kind == "random":
        return random_order(teachers.modalities, seed)
    if kind == LAG:
        raise ArgumentError(
            f"by must be a ranking that is known before training, found {by!r}: the lag is "
            f"measured while the student trains. Pass ranking={by!r} to the method."
        )
    if kind not in FIXED:
        raise ArgumentError(
            f"by must be a ranking of the whole run, found {by!r}, which changes during training. "
            f"Pass ranking={by!r} to the method, or use by='dataset'."
        )
    (first, train), (_, valid) = _peeked("train", train), _peeked("valid", valid)
    task = task or _task_of(first, teachers)
    score = _score(kind, task, teachers, lambda: train, lambda: valid)
    return order_of(score, reverse=reverse)


def _peeked(name: str, batches: Iterable[Batch]) -> tuple[Batch, Iterable[Batch]]:
    """Return the first of some batches, and all of them."""
    rest = iter(batches)
    if (first := next(rest, None)) is None:
        raise ArgumentError(
            f"{name} must hold batches, found none. An iterator that was used before is empty."
        )
    return first, chain([first], rest)


def _task_of(batch: Batch, teachers: Teachers) -> Task:
    """Return the task of class numbers; other targets could be values or labels."""
    if batch.target.ndim == 1 and not batch.target.is_floating_point():
        logits = next(iter(teachers(batch).logits.values()))
        return Classification(logits.shape[1])
    raise ArgumentError(
        "task must be given where targets are no class numbers, found None. "
        "Pass task=g2d.Regression(...) or task=g2d.MultiLabel(...)."
    )


def _score(
    kind: str,
    task: Task,
    teachers: Teachers,
    train: Callable[[], Iterable[Batch]],
    valid: Callable[[], Iterable[Batch]],
) -> dict[str, float]:
    """Return the score that ranks the modalities; the smallest learns first."""
    if kind != MEMORIZATION:
        return split_confidence(task, teachers, train() if kind == "dataset" else valid())
    on_train, on_valid = (split_confidence(task, teachers, rows()) for rows in (train, valid))
    return {m: on_train[m] - on_valid[m] for m in on_train}
