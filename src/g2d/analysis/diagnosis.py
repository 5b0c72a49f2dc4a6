"""Is a modality being ignored, and how sure is that? A verdict in plain words, with the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.analysis.bootstrap import Interval, bootstrap_difference, bootstrap_mean
from g2d.analysis.confidence import confidence_ratio
from g2d.analysis.rows import Rows
from g2d.task import Task

CLEARLY = 0.05
"""A gap counts when its whole interval lies above so much of the score: five points of accuracy, or of the explained variance."""
SUPPRESSED, SPARE, DEAD, WELL, UNKNOWN = (
    "suppressed",
    "used little",
    "without information",
    "well",
    "unknown",
)


@dataclass(frozen=True)
class Finding:
    """What was found about a modality.

    Args:
        own: score of its own prediction inside the model: the share of right rows, or the explained share of the variance.
        teacher: the same of its teacher alone; None without one.
        gap: teacher minus own, on the same rows.
        ratio: of mean confidence in the truth, own over teacher's.
        drop: what the fused score loses when the modality's features are replaced by their training mean.
        shapley: its share of the mean value of the true class, against all modalities absent.
        probe: score of a linear probe of its encoder.
        state: suppressed, used little (below its teacher, but the prediction loses nothing by it), without information, well, or unknown.
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
        fused: score of all modalities together.
        chance: score of the best answer that looks at nothing.
        behind: how far all modalities together stay behind the mean of their teachers' logits; None without teachers.
        modalities: a finding for each.
        verdict: sentences.
        advice: what to try, if something is wrong.
    """

    fused: Interval
    chance: float
    modalities: Mapping[str, Finding]
    verdict: list[str]
    advice: list[str] = field(default_factory=list)
    behind: Interval | None = None

    @property
    def suppressed(self) -> list[str]:
        """Modalities that the model has clearly less from than they hold."""
        return [m for m, finding in self.modalities.items() if finding.state == SUPPRESSED]

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
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
    """Judge a model by what it says about some rows.

    Args:
        rows: held-out rows (:func:`g2d.analysis.collect`), with unimodal logits.
        teachers: per modality what its teacher, or any model trained on it alone, says about the same rows. Without them only the
            figures are given: how much a modality holds cannot be known.
        probe: of :func:`g2d.analysis.linear_probe`.
        without, complete: per row what is right when a modality is absent, and when none is (:func:`g2d.analysis.coalition_values`).
        shapley: per modality the mean Shapley value.
    """
    unit, chance = _unit(rows), _chance(rows)
    fused = _score(rows.hits(task), rows, unit)
    ratios = {} if teachers is None else confidence_ratio(rows, teachers, task)
    behind = _behind(rows, teachers, task, unit)
    findings = {}
    for m in rows.unimodal:
        own = rows.hits(task, m)
        taught = None if teachers is None or m not in teachers else teachers[m].hits(task)
        gap = None if taught is None else bootstrap_difference(taught, own, rows.group).scaled(unit)
        teacher = None if taught is None else _score(taught, rows, unit)
        drop = (
            None
            if without is None or complete is None
            else bootstrap_difference(complete, without[m], rows.group).scaled(unit)
        )
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
    """What the fused prediction loses against the plain mean of all teachers' logits, on the same rows."""
    if teachers is None or set(teachers) != set(rows.unimodal):
        return None
    mean = torch.stack([taught.logits for taught in teachers.values()]).mean(0)
    ensemble = Rows(mean, {}, rows.features, rows.target, rows.has, rows.group)
    return bootstrap_difference(ensemble.hits(task), rows.hits(task), rows.group).scaled(unit)


def _state(
    gap: Interval | None, teacher: Interval | None, chance: float, behind: Interval | None
) -> str:
    if gap is None or teacher is None:
        return UNKNOWN
    if teacher.low <= chance + CLEARLY / 2 and teacher.value <= chance + CLEARLY:
        return DEAD
    if gap.low <= CLEARLY:
        return WELL
    return SPARE if behind is not None and behind.low <= 0 else SUPPRESSED


def _verdict(findings: Mapping[str, Finding], fused: Interval) -> list[str]:
    said = []
    states = {
        state: [m for m, finding in findings.items() if finding.state == state]
        for state in (SUPPRESSED, SPARE, DEAD, WELL, UNKNOWN)
    }
    for m in states[SUPPRESSED]:
        finding = findings[m]
        assert finding.gap is not None
        assert finding.teacher is not None
        said.append(
            f"{m} is suppressed: alone it could reach {_percent(finding.teacher.value)}, inside this model it is left at {_percent(finding.own.value)}, "
            f"{100 * finding.gap.value:.1f} points less (95 % interval {100 * finding.gap.low:.1f} to {100 * finding.gap.high:.1f}){_surety(finding)}."
        )
    kept = {
        m: finding.ratio.value for m in states[WELL] if (finding := findings[m]).ratio is not None
    }
    if states[SUPPRESSED] and kept:
        leader = max(kept, key=lambda m: kept[m])
        said.append(
            f"{leader} dominates: the model has about all that its teacher learnt from it{_surety(findings[leader])}."
        )
    nothing = "holds no information that its teacher found: alone it stays near chance. There is nothing to repair; leave it out, or get better data"
    said += [f"{m} {nothing}." for m in states[DEAD]]
    if not states[SUPPRESSED] and states[SPARE]:
        alone = {
            m: taught.value for m in states[SPARE] if (taught := findings[m].teacher) is not None
        }
        little = " and ".join(
            f"{m} ({_percent(findings[m].own.value)}, alone {_percent(value)})"
            for m, value in alone.items()
        )
        said.append(
            f"Nothing is wrong: all modalities together reach {_percent(fused.value)}, no less than their teachers' mean, although {little} is used little."
        )
    elif not states[SUPPRESSED] and states[WELL]:
        every = (
            "every modality"
            if not states[DEAD] and not states[UNKNOWN]
            else ", ".join(states[WELL])
        )
        said.append(
            f"Nothing is wrong with {every}: inside this model it gives about what its teacher learnt alone."
        )
    if states[UNKNOWN]:
        said.append(
            f"How much {', '.join(states[UNKNOWN])} could give is not known: there are no teachers to compare with."
        )
        weak = [
            m
            for m in states[UNKNOWN]
            if (probe := findings[m].probe) is not None
            and probe > max(findings[m].own.value + CLEARLY, 0)
        ]
        said += [
            f"The encoder of {m} knows more than its head uses: a linear probe reaches {_percent(findings[m].probe or 0.0)}."
            for m in weak
        ]
    return said


def _advice(findings: Mapping[str, Finding]) -> list[str]:
    if not any(finding.state == SUPPRESSED for finding in findings.values()):
        return []
    return [
        "joint training that starts from the teachers (warm_start: true); it costs nothing more and is often enough.",
        "the teachers' calibrated ensemble (method: ume, train.calibrate: true), the control that any gain must beat.",
        "g2d, ranked by the teachers' last checkpoints (teachers.ranking_checkpoint: last) or by memorization; look at its notices.",
    ]


def _score(values: NDArray[np.float64], rows: Rows, unit: float) -> Interval:
    found = bootstrap_mean(values, rows.group).scaled(unit)
    return (
        found if rows.target.ndim == 1 else Interval(1 + found.value, 1 + found.low, 1 + found.high)
    )


def _unit(rows: Rows) -> float:
    """Scores are shares of right rows, or, of values, shares of the outputs' mean variance: the squared error is divided by it."""
    return (
        1.0
        if rows.target.ndim == 1
        else 1 / max(float(rows.target.float().var(0, unbiased=False).mean()), 1e-12)
    )


def _chance(rows: Rows) -> float:
    return float(torch.bincount(rows.target).max() / len(rows)) if rows.target.ndim == 1 else 0.0


def _surety(finding: Finding) -> str:
    if finding.ratio is None:
        return ""
    return f"; it is {finding.ratio.value:.2f} [{finding.ratio.low:.2f}, {finding.ratio.high:.2f}] times as sure of the truth as its teacher"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
