"""Choose among members and stacks of members by their validation rows; pure functions of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.functional.calibration import fit_head_weights
from g2d.report.fitted import score_of
from g2d.task import Task

FOLDS = 5
"""Parts of the validation rows; the weights of a part come from the others."""
DRAWS = 200
"""Bootstrap draws from which standard errors are computed."""
CLEAR = 2.0
"""Standard errors from which on two models differ, where many are compared."""


@dataclass(frozen=True)
class MeasuredRows:
    """Validation rows, and what is measured on them.

    Args:
        target: Targets of the rows.
        group: Number of each row's group ``(N,)``, from 0.
        task: Kind of target.
        metric: Metric that chooses.
    """

    target: Tensor
    group: NDArray[np.int64]
    task: Task
    metric: str

    def only(self, kept: Tensor) -> MeasuredRows:
        """Return some of the rows.

        Args:
            kept: Whether a row is kept ``(N,)``.
        """
        group = np.unique(self.group[kept.numpy()], return_inverse=True)[1]
        return MeasuredRows(self.target[kept], group, self.task, self.metric)

    def score(self, logits: Tensor, rows: Tensor | None = None) -> float:
        """Return the metric of some rows, or of all; higher is better.

        Args:
            logits: Logits ``(N, C)``.
            rows: Numbers of rows, which may recur.
        """
        target = self.target
        if rows is not None:
            logits, target = logits[rows], target[rows]
        metrics = self.task.metrics()
        metrics.update(logits, target)
        return score_of(metrics.compute()[self.metric], self.metric)

    @cached_property
    def times_drawn(self) -> NDArray[np.int64]:
        """How often each group is drawn with replacement, ``(DRAWS, groups)``."""
        groups = int(self.group.max()) + 1
        rng = np.random.default_rng(0)
        return rng.multinomial(groups, np.full(groups, 1 / groups), DRAWS)

    def mean_drawn(self, values: Tensor) -> NDArray[np.float64]:
        """Return the mean of a value per row for every draw ``(DRAWS,)``."""
        groups = self.times_drawn.shape[1]
        sums = np.bincount(self.group, values.double().numpy(), groups)
        counts = np.bincount(self.group, minlength=groups)
        mean: NDArray[np.float64] = (self.times_drawn @ sums) / (self.times_drawn @ counts)
        return mean

    def scores_drawn(self, logits: Tensor) -> NDArray[np.float64]:
        """Return the metric for every draw ``(DRAWS,)``."""
        if self.metric == "accuracy":
            return self.mean_drawn(self.task.hits(logits, self.target))
        numbers = np.arange(len(self.target))
        drawn = (torch.from_numpy(np.repeat(numbers, w[self.group])) for w in self.times_drawn)
        return np.array([self.score(logits, rows) for rows in drawn])


@dataclass(frozen=True)
class Option:
    """A model that can be chosen, measured on the validation rows.

    Args:
        members: Names of its members.
        passes: Forward passes of every encoder per prediction.
        parameters: Number of its parameters.
        score: The metric; higher is better.
        loss: The loss.
        scores: The metric of every bootstrap draw.
    """

    members: tuple[str, ...]
    passes: int
    parameters: int
    score: float
    loss: float
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """The result of :func:`choose`, as places in the list of options.

    Args:
        chosen: The chosen option.
        reference: The option that a cheaper one must come near.
    """

    chosen: int
    reference: int


def combinations(kinds: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the options: a model of every kind, all of a kind together, and growing stacks.

    Models of a kind differ only in the seed. None of them is preferred to another by its score: the
    best of several on a few validation rows is the luckiest one.

    Args:
        kinds: The kind of every member, by its name, in the order of their training.

    Example:
        >>> combinations({"teachers": "t", "joint": "j", "joint-2": "j", "joint-warm": "w"})
        [('teachers',), ('joint',), ('joint-warm',), ('joint', 'joint-2'), ('teachers', 'joint'), \
('teachers', 'joint', 'joint-2'), ('teachers', 'joint', 'joint-2', 'joint-warm')]
    """
    alike: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        alike.setdefault(kind, []).append(name)
    members = list(kinds)
    options: list[tuple[str, ...]] = [(names[0],) for names in alike.values()]
    options += [tuple(names) for names in alike.values()]
    options += [tuple(members[:count]) for count in range(2, len(members) + 1)]
    return list(dict.fromkeys(options))


def crossed(heads: Sequence[Tensor], rows: MeasuredRows) -> Tensor:
    """Return weighted sums of heads, with the weights of each row fitted on other rows.

    A stack of many heads would look too good on the rows to which its weights were fitted.

    Args:
        heads: Logits of every head ``(N, C)``.
        rows: The rows.
    """
    nll = rows.task.negative_log_likelihood
    fold = torch.from_numpy(np.random.default_rng(0).permutation(int(rows.group.max()) + 1) % FOLDS)
    own = fold[torch.from_numpy(rows.group)]
    fused = torch.zeros_like(heads[0])
    for part in own.unique():
        inside, outside = own == part, own != part
        if not outside.any():
            outside = inside
        weights = fit_head_weights([head[outside] for head in heads], rows.target[outside], nll)
        fused[inside] = sum(a * head[inside] for a, head in zip(weights, heads, strict=True))
    return fused


def measured(
    members: tuple[str, ...],
    heads: Sequence[Tensor],
    passes: int,
    parameters: int,
    rows: MeasuredRows,
) -> Option:
    """Return an option with its score, its loss and their bootstrap draws.

    Args:
        members: Names of its members.
        heads: Logits of all their heads ``(N, C)``.
        passes: Forward passes of every encoder per prediction.
        parameters: Number of its parameters.
        rows: The validation rows.
    """
    logits = crossed(heads, rows)
    loss = float(rows.task.loss_per_row(logits, rows.target).mean())
    score, drawn = rows.score(logits), rows.scores_drawn(logits)
    return Option(members, passes, parameters, score, loss, drawn)


def standard_error(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the standard error of a difference from the bootstrap draws of both sides."""
    return float(np.nanstd(first - second))


def choose(options: Sequence[Option], controls: Sequence[int] = ()) -> Choice:
    """Choose the stack of all members, or a cheaper option by the one-standard-error rule.

    1. The reference is the option with the most members, unless another one's score exceeds its
       score by more than two standard errors, or that of a control by more than one: then it is
       the best of those. Of many options, some are one standard error ahead by chance.
    2. An option qualifies if its score is at most one standard error below that of the reference,
       and its loss is not higher. A score alone, such as an accuracy of few rows, tells too little.
    3. It must not be more than one standard error below a control either.
    4. The cheapest option that qualifies is chosen, and among equally cheap ones the one with the
       highest score.

    All standard errors are those of differences on the same rows.

    Args:
        options: The options.
        controls: Places of the options that the choice must not fall behind.
    """
    full = max(range(len(options)), key=lambda i: len(options[i].members))
    above = [
        i
        for i in range(len(options))
        if _ahead(options[i], options[full], 1.0 if i in controls else CLEAR)
    ]
    reference = max(above, key=lambda i: options[i].score, default=full)

    def qualifies(i: int) -> bool:
        one, best = options[i], options[reference]
        near = not any(_ahead(options[j], one) for j in (reference, *controls))
        return near and one.loss <= best.loss

    def order(i: int) -> tuple[int, float]:
        return options[i].passes, -options[i].score

    return Choice(
        min({i for i in range(len(options)) if qualifies(i)} or {reference}, key=order), reference
    )


def _ahead(one: Option, other: Option, errors: float = 1.0) -> bool:
    """Return whether a score is more than some standard errors above another."""
    return one.score - other.score > errors * standard_error(one.scores, other.scores)


def far_apart(first: Option, second: Option) -> bool:
    """Return whether two models differ by more than two standard errors."""
    return _ahead(first, second, CLEAR) or _ahead(second, first, CLEAR)


def undecided(options: Sequence[Option], chosen: int) -> bool:
    """Return whether the validation rows are too few to tell any option from the chosen one."""
    return len(options) > 1 and not any(far_apart(one, options[chosen]) for one in options)


def head_shares(heads: Sequence[Tensor], weights: Sequence[float], target: Tensor) -> list[float]:
    """Return what every head contributes to a weighted sum, as shares of 1.

    Weights undo different scales of the heads. A contribution is the weight times the standard
    deviation of the head's logits over the rows; logits of classes are taken minus their mean.

    Args:
        heads: Logits of every head ``(N, C)``.
        weights: Their weights.
        target: Targets of the rows.
    """
    sizes = []
    for head, weight in zip(heads, weights, strict=True):
        logits = head.double()
        if target.ndim == 1:
            logits = logits - logits.mean(1, keepdim=True)
        spread = (logits - logits.mean(0)).square().sum(1).mean().sqrt()
        sizes.append(weight * float(spread))
    total = sum(sizes)
    return [size / total if total else 1 / len(sizes) for size in sizes]


def best_single(options: Sequence[Option], students: Mapping[str, object]) -> int | None:
    """Return the place of the best option of one student; None without students."""
    places = [i for i, o in enumerate(options) if len(o.members) == 1 and o.members[0] in students]
    return max(places, key=lambda i: (options[i].score, -options[i].loss), default=None)


def reason_against(interaction: str, joint: Option, ensemble: Option) -> str | None:
    """Return why a method that relies on unimodal teachers is not trained; None if it is.

    Args:
        interaction: Whether an interaction was found, see :class:`g2d.runs.FitInteraction`.
        joint: The first joint model.
        ensemble: The calibrated teachers.
    """
    if interaction == "found":
        return "the answer is in the interaction of modalities, which it would lose"
    if joint.score >= ensemble.score:
        return "joint training is not behind the calibrated teachers"
    return None
