"""All measures of how a model uses its modalities that need forward passes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from g2d.analysis.bootstrap import Interval, bootstrap_difference, bootstrap_mean, percent
from g2d.analysis.error_table import ErrorTable, error_table
from g2d.analysis.exchange import Follow, follow_rates, perceptual_scores
from g2d.analysis.information import co_informations
from g2d.analysis.interaction import Interaction, interaction_share
from g2d.analysis.pool import Pool
from g2d.analysis.rows import Rows, chance_score
from g2d.analysis.utilization import (
    Values,
    harmed,
    histogram,
    imbalance,
    row_contributions,
    subset_rewards,
    utilization,
)
from g2d.task import Task

NEGLIGIBLE = 0.02
"""A modality counts as ignored if the whole interval of its perceptual score is below this."""


@dataclass(frozen=True)
class Use:
    """Measures of how a model uses one modality. A score is the accuracy, or R² for values.

    A measure is None where it is not defined: for values, ``follow``, ``contribution`` and
    ``harmed``; for a score that is not above zero, ``utilization`` and ``perceptual``.

    Args:
        alone: Score with all other modalities absent.
        lost: Score that is lost without the modality.
        utilization: The same as a share of the score
            (:func:`~g2d.analysis.utilization.utilization`).
        perceptual: Share of the score that is lost if the modality comes from another row
            (:func:`~g2d.analysis.exchange.perceptual_scores`).
        follow: Predictions for modalities that contradict each other
            (:func:`~g2d.analysis.exchange.follow_rates`).
        contribution: Mean contribution to a row
            (:func:`~g2d.analysis.utilization.row_contributions`).
        harmed: Share of rows with a contribution below -0.1.
        histogram: Every contribution that occurs, with its share of the rows.
    """

    alone: Interval
    lost: Interval
    utilization: Interval | None = None
    perceptual: Interval | None = None
    follow: Follow | None = None
    contribution: Interval | None = None
    harmed: Interval | None = None
    histogram: list[tuple[float, float]] = field(default_factory=list)

    @property
    def ignored(self) -> bool:
        """Whether the score does not depend on which row the modality comes from."""
        return self.perceptual is not None and self.perceptual.high < NEGLIGIBLE


@dataclass(frozen=True)
class Measures:
    """Measures of how a model uses its modalities; ``str()`` is the text in plain English.

    Args:
        score: Score of all modalities together.
        chance: Score of the best constant prediction.
        modalities: Use of every modality.
        interaction: Share of the prediction that comes from the interaction of modalities.
        imbalance: Largest minus smallest utilization rate; None where it is not defined.
        error_table: Which modalities alone are right, against the fused prediction; None for
            values.
        co_information: Co-information of the predictions of every pair of modalities, in bits;
            None with too few rows. Empty for values.
        metric: Name of the score.
        rows: Number of rows.
    """

    score: Interval
    chance: float
    modalities: Mapping[str, Use]
    interaction: Interaction
    imbalance: float | None
    error_table: ErrorTable | None
    co_information: Mapping[tuple[str, str], float | None]
    metric: str
    rows: int

    @property
    def ignored(self) -> list[str]:
        """Modalities on which the score does not depend."""
        return [m for m, use in self.modalities.items() if use.ignored]

    def __repr__(self) -> str:
        uses = ", ".join(
            f"{m} {use.perceptual.value:.2f}" if use.perceptual else m
            for m, use in self.modalities.items()
        )
        return (
            f"Measures({self.metric} {percent(self.score.value)} on {self.rows} rows; "
            f"needs {uses}; interaction {self.interaction.state})"
        )

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """Return the text in plain English, a sentence or two per item."""
        return [
            f"All modalities together reach {self.metric} {self.score.in_percent} on "
            f"{self.rows} rows; the best constant prediction reaches {percent(self.chance)}.",
            *(_use_in_words(m, use, self.metric) for m, use in self.modalities.items()),
            *([] if len(self.modalities) == 1 else [str(self.interaction)]),
            *([] if self.error_table is None else [str(self.error_table)]),
        ]


def measure(pool: Pool, task: Task, rows: Rows | None = None) -> Measures:
    """Measure how a model uses its modalities.

    Args:
        pool: Held-out rows and the model; it decides what an absent modality is.
        task: Kind of target.
        rows: Output of the model for the same rows, with unimodal logits: the predictions of
            the modalities alone. By default they are the model's without the others.
    """
    rewards, classes = subset_rewards(pool, task), task.discrete
    everyone, names = frozenset(pool.modalities), pool.modalities
    score = bootstrap_mean(rewards[everyone], pool.group)
    rates, needed = utilization(rewards, names, pool.group), perceptual_scores(pool, task)
    follows = follow_rates(pool, task) if classes else {}
    contributions = row_contributions(rewards, names) if classes else {}
    modalities = {
        m: Use(
            bootstrap_mean(rewards[frozenset({m})], pool.group),
            bootstrap_difference(rewards[everyone], rewards[everyone - {m}], pool.group),
            rates.get(m),
            needed.get(m),
            follows.get(m),
            **_row_level(contributions[m], pool) if classes else {},
        )
        for m in names
    }
    heads = rows if rows is not None and rows.unimodal else _alone(pool)
    return Measures(
        score,
        chance_score(task, pool.target),
        modalities,
        interaction_share(pool),
        imbalance(rates),
        error_table(heads, task) if classes else None,
        _pairs(heads, task) if classes else {},
        task.score,
        len(pool),
    )


def _row_level(contributions: Values, pool: Pool) -> dict[str, Any]:
    """Return the fields of Use that are computed from the contributions to rows."""
    return {
        "contribution": bootstrap_mean(contributions, pool.group),
        "harmed": harmed(contributions, pool.group),
        "histogram": histogram(contributions),
    }


def _pairs(rows: Rows, task: Task) -> dict[tuple[str, str], float | None]:
    """Return the co-information of the unimodal predictions of every pair of modalities."""
    predictions = {m: task.predict(z) for m, z in rows.unimodal.items()}
    return co_informations(predictions, rows.target, rows.has, task)


def _alone(pool: Pool) -> Rows:
    """Return predictions from every modality with all others absent."""
    logits = {
        m: pool.logits(pool.own, without={j for j in pool.modalities if j != m})
        for m in pool.modalities
    }
    return Rows(pool.logits(pool.own), logits, logits, pool.target, pool.has, pool.group)


def _use_in_words(m: str, use: Use, metric: str) -> str:
    """Return how the model uses a modality as sentences."""
    if use.perceptual is None:
        lost = f"without it the {metric} is {_points(use.lost)} lower"
    else:
        lost = (
            f"{use.perceptual.in_percent} of the {metric} is lost if it comes from another row, "
            f"and without it the {metric} is {_points(use.lost)} lower"
        )
    first = f"{m}{' is ignored' if use.ignored else ''}: {lost}; alone it reaches "
    sentence = f"{first}{percent(use.alone.value)}."
    if use.follow is None:
        return sentence
    return (
        f"{sentence} Where it contradicts the others, the prediction follows it in "
        f"{percent(use.follow.own.value)} and them in {percent(use.follow.rest.value)}."
    )


def _points(lost: Interval) -> str:
    value, low, high = (100 * end for end in (lost.value, lost.low, lost.high))
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"
