"""Diagnosis of a model: whether it ignores a modality, in plain words with figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.analysis.bootstrap import Interval, bootstrap_difference, bootstrap_mean
from g2d.analysis.confidence import confidence_ratio
from g2d.analysis.rows import Rows, chance_score, variance
from g2d.task import Task

CLEARLY = 0.05
"""A gap counts if its whole interval is above this share of the score.

It is five points of accuracy, or of the explained variance.
"""
SUPPRESSED, SPARE, DEAD, WELL, UNKNOWN = (
    "suppressed",
    "used little",
    "without information",
    "well",
    "unknown",
)
"""States of a modality."""


@dataclass(frozen=True)
class Finding:
    """Figures and state of one modality.

    A score is the share of right rows, or the explained share of the variance.

    Args:
        own: Score of its own prediction inside the model.
        teacher: Score of its teacher alone; None without one.
        gap: Teacher minus own, on the same rows.
        ratio: Mean confidence in the truth, own divided by the teacher's.
        drop: Loss of the fused score if the modality's features are replaced by their training
            mean.
        shapley: Its share of the mean value of the true class, against all modalities absent.
        probe: Score of a linear probe of its encoder.
        state: ``"suppressed"``, ``"used little"`` (below its teacher, but the prediction loses
            nothing by it), ``"without information"``, ``"well"`` or ``"unknown"``.
    """

    own: Interval
    teacher: Interval | None = None
    gap: Interval | None = None
    ratio: Interval | None = None
    drop: Interval | None = None
    shapley: float | None = None
    probe: float | None = None
    state: str = UNKNOWN


@dataclass(frozen=True)
class Diagnosis:
    """Findings and verdict; ``str()`` is the verdict.

    Args:
        fused: Score of all modalities together.
        chance: Score of the best constant prediction.
        modalities: Finding per modality.
        verdict: Sentences that summarize the findings.
        advice: What to try if something is wrong.
        behind: Score of the mean of all teachers' logits minus ``fused``; None without teachers.
    """

    fused: Interval
    chance: float
    modalities: Mapping[str, Finding]
    verdict: list[str]
    advice: list[str] = field(default_factory=list)
    behind: Interval | None = None

    @property
    def suppressed(self) -> list[str]:
        """Modalities of which the model uses clearly less than they hold."""
        return [m for m, finding in self.modalities.items() if finding.state == SUPPRESSED]

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "verdict": self.verdict,
            "advice": self.advice,
            "fused": asdict(self.fused),
            "chance": self.chance,
        } | {"modalities": {m: asdict(finding) for m, finding in self.modalities.items()}}

    def __str__(self) -> str:
        return "\n".join([*self.verdict, *(f"Try: {sentence}" for sentence in self.advice)])


def diagnose(
    rows: Rows,
    task: Task,
    *,
    teachers: Mapping[str, Rows] | None = None,
    probe: Mapping[str, float] | None = None,
    without: Mapping[str, NDArray[np.float64]] | None = None,
    complete: NDArray[np.float64] | None = None,
    shapley: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Diagnose a model by its output for some rows.

    Args:
        rows: Output of the model for held-out rows (:func:`g2d.analysis.collect`), with unimodal
            logits.
        task: Kind of target.
        teachers: Output of the teacher, or of any model trained on that modality alone, for the
            same rows, per modality. Without teachers the states are unknown, because nothing
            tells how much a modality holds.
        probe: Score per modality (:func:`g2d.analysis.linear_probe`).
        without: Hits ``(N,)`` with one modality absent, per modality
            (:func:`g2d.analysis.coalition_values`).
        complete: Hits ``(N,)`` with all modalities.
        shapley: Mean Shapley value per modality.

    Returns:
        Findings, verdict and advice.
    """
    unit, chance = _unit(rows), chance_score(rows.target)
    fused = _score(rows.hits(task), rows, unit)
    ratios = {} if teachers is None else confidence_ratio(rows, teachers, task)
    behind = _behind(rows, teachers, task, unit)
    findings = {}
    for m in rows.unimodal:
        own, gap, teacher, drop = rows.hits(task, m), None, None, None
        if teachers is not None and m in teachers:
            alone = teachers[m].hits(task)
            gap = bootstrap_difference(alone, own, rows.group).scaled(unit)
            teacher = _score(alone, rows, unit)
        if without is not None and complete is not None:
            drop = bootstrap_difference(complete, without[m], rows.group).scaled(unit)
        findings[m] = Finding(
            _score(own, rows, unit),
            teacher,
            gap,
            ratios.get(m),
            drop,
            None if shapley is None else shapley[m],
            None if probe is None else probe.get(m),
            _state(gap, teacher, chance, behind),
        )
    return Diagnosis(fused, chance, findings, _verdict(findings, fused), _advice(findings), behind)


def _behind(
    rows: Rows, teachers: Mapping[str, Rows] | None, task: Task, unit: float
) -> Interval | None:
    """Return the score of the mean of all teachers' logits minus the fused score."""
    if teachers is None or set(teachers) != set(rows.unimodal):
        return None
    mean = torch.stack([teacher.logits for teacher in teachers.values()]).mean(0)
    ensemble = replace(rows, logits=mean)
    return bootstrap_difference(ensemble.hits(task), rows.hits(task), rows.group).scaled(unit)


def _state(
    gap: Interval | None, teacher: Interval | None, chance: float, behind: Interval | None
) -> str:
    """Return the state of a modality, see :class:`Finding`."""
    if gap is None or teacher is None:
        return UNKNOWN
    if teacher.low <= chance + CLEARLY / 2 and teacher.value <= chance + CLEARLY:
        return DEAD
    if gap.low <= CLEARLY:
        return WELL
    return SPARE if behind is not None and behind.low <= 0 else SUPPRESSED


def _verdict(findings: Mapping[str, Finding], fused: Interval) -> list[str]:
    """Return the findings as sentences."""
    states = {
        state: [m for m, finding in findings.items() if finding.state == state]
        for state in (SUPPRESSED, SPARE, DEAD, WELL, UNKNOWN)
    }
    return [
        *(_suppressed(m, findings[m]) for m in states[SUPPRESSED]),
        *_dominant(findings, states),
        *(
            f"{m} holds no information that its teacher could use: alone it stays near chance. "
            "There is nothing to repair; leave it out, or get better data."
            for m in states[DEAD]
        ),
        *_nothing_wrong(findings, states, fused),
        *_unknown(findings, states[UNKNOWN]),
    ]


def _suppressed(m: str, finding: Finding) -> str:
    gap, teacher = finding.gap, finding.teacher
    assert gap is not None
    assert teacher is not None
    return (
        f"{m} is suppressed: alone it could reach {_percent(teacher.value)}, inside this model it "
        f"reaches {_percent(finding.own.value)}, {100 * gap.value:.1f} points less "
        f"(95 % interval {100 * gap.low:.1f} to {100 * gap.high:.1f}){_surety(finding)}."
    )


def _dominant(findings: Mapping[str, Finding], states: Mapping[str, list[str]]) -> list[str]:
    """Name the modality that kept most of its confidence, if another is suppressed."""
    kept = {m: ratio.value for m in states[WELL] if (ratio := findings[m].ratio) is not None}
    if not states[SUPPRESSED] or not kept:
        return []
    leader = max(kept, key=lambda m: kept[m])
    return [
        f"{leader} dominates: the model uses about all that its teacher learned from it"
        f"{_surety(findings[leader])}."
    ]


def _nothing_wrong(
    findings: Mapping[str, Finding], states: Mapping[str, list[str]], fused: Interval
) -> list[str]:
    """Return a sentence of relief if no modality is suppressed."""
    if states[SUPPRESSED]:
        return []
    if states[SPARE]:
        little = " and ".join(
            f"{m} ({_percent(findings[m].own.value)}, alone {_percent(teacher.value)})"
            for m in states[SPARE]
            if (teacher := findings[m].teacher) is not None
        )
        return [
            f"Nothing is wrong: all modalities together reach {_percent(fused.value)}, no less "
            f"than the mean of their teachers, although {little} is used little."
        ]
    if not states[WELL]:
        return []
    if not states[DEAD] and not states[UNKNOWN]:
        return [
            "No modality is suppressed: inside this model each gives about what its teacher "
            "learned alone."
        ]
    return [
        f"Nothing is wrong with {', '.join(states[WELL])}: inside this model it gives about what "
        "its teacher learned alone."
    ]


def _unknown(findings: Mapping[str, Finding], unknown: list[str]) -> list[str]:
    """Return what can be concluded about modalities without a teacher."""
    if not unknown:
        return []
    sentences = [
        f"How much {', '.join(unknown)} could give is not known: "
        "there are no teachers to compare with."
    ]
    for m in unknown:
        probe = findings[m].probe
        if probe is not None and probe > max(findings[m].own.value + CLEARLY, 0):
            sentences.append(
                f"The encoder of {m} knows more than its head uses: "
                f"a linear probe reaches {_percent(probe)}."
            )
    return sentences


def _advice(findings: Mapping[str, Finding]) -> list[str]:
    """Return what to try if a modality is suppressed, the cheapest first."""
    if not any(finding.state == SUPPRESSED for finding in findings.values()):
        return []
    return [
        "joint training that starts from the teachers (warm_start: true); "
        "it costs nothing more and is often enough.",
        "the teachers' calibrated ensemble (method: ume, train.calibrate: true), "
        "the control that any gain must beat.",
        "g2d, ranked by the teachers' last checkpoints (teachers.ranking_checkpoint: last) "
        "or by memorization; look at its notices.",
    ]


def _score(values: NDArray[np.float64], rows: Rows, unit: float) -> Interval:
    """Return the mean of the hits as a score: a share of rows, or of the variance."""
    mean = bootstrap_mean(values, rows.group).scaled(unit)
    if rows.target.ndim == 1:
        return mean
    return Interval(1 + mean.value, 1 + mean.low, 1 + mean.high)


def _unit(rows: Rows) -> float:
    """Return the factor from hits to scores.

    It is 1 for classes. For values it divides the squared error by the outputs' mean variance.
    """
    if rows.target.ndim == 1:
        return 1.0
    return 1 / variance(rows.target)


def _surety(finding: Finding) -> str:
    ratio = finding.ratio
    if ratio is None:
        return ""
    return (
        f"; its confidence in the truth is {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] "
        "times that of its teacher"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
