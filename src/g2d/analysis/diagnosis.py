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
from g2d.analysis.figures import Figures, Finding
from g2d.analysis.heads import Reweighed, crossfitted, heads_scale
from g2d.analysis.interaction import Interaction
from g2d.analysis.rows import Rows, chance_score, variance
from g2d.analysis.states import FAULTS, STATES, SUPPRESSED
from g2d.analysis.verdict import advice_of, sentences_of
from g2d.task import Task

Hits = NDArray[np.float64]
"""Hits of every row, which the score averages, ``(N,)``, see :meth:`g2d.task.Task.hits`."""
ENSEMBLE = "the mean of the teachers' logits"
"""Name of the control that is measured by default."""


@dataclass(frozen=True)
class Diagnosis(Figures):
    """Findings and verdict; ``str()`` is the verdict.

    Args:
        faults: Faults of the fusion, names of :data:`g2d.analysis.states.FAULTS`.
        verdict: Sentences that summarize the findings.
        advice: What to try if something is wrong.
    """

    faults: list[str] = field(default_factory=list)
    verdict: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    @property
    def suppressed(self) -> list[str]:
        """Modalities of which the model uses clearly less than they hold."""
        return [m for m, finding in self.modalities.items() if finding.state == SUPPRESSED]

    @property
    def behind(self) -> Interval | None:
        """Score of the best control minus ``fused``; None without controls."""
        return max(self.controls.values(), key=lambda lead: lead.value, default=None)

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "verdict": self.verdict,
            "advice": self.advice,
            "faults": self.faults,
            "fused": asdict(self.fused),
            "chance": self.chance,
            "controls": {name: asdict(lead) for name, lead in self.controls.items()},
            "modalities": {m: asdict(finding) for m, finding in self.modalities.items()},
        }

    def __str__(self) -> str:
        return "\n".join([*self.verdict, *(f"Try: {sentence}" for sentence in self.advice)])


def diagnose(
    rows: Rows,
    task: Task,
    *,
    teachers: Mapping[str, Rows] | None = None,
    probe: Mapping[str, float] | None = None,
    without: Mapping[str, Hits] | None = None,
    complete: Hits | None = None,
    shapley: Mapping[str, float] | None = None,
    heads: Reweighed | None = None,
    controls: Mapping[str, Hits] | None = None,
    interaction: Interaction | None = None,
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
        complete: Hits ``(N,)`` with all modalities; by default those of ``rows``.
        shapley: Mean Shapley value per modality; by default that of a sum of heads, if the
            prediction is one.
        heads: Effect of weighting the heads (:func:`g2d.analysis.reweighed`). By default the
            weights are fitted on one half of the rows and scored on the other, if the prediction
            is a sum of heads.
        controls: Hits ``(N,)`` of controls on the same rows, by name; by default those of the mean
            of the teachers' logits, if every modality has a teacher.
        interaction: Interaction of the modalities (:func:`g2d.analysis.interaction_share`).
            Without it a modality near chance is never called useless.

    Returns:
        Findings, verdict and advice.
    """
    unit, teachers, scale = _unit(rows, task), teachers or {}, heads_scale(rows)
    if heads is None and len(rows.unimodal) > 1 and scale is not None:
        heads = crossfitted(rows, task)
    hits = rows.hits(task)
    controls = _ensemble(rows, teachers, task) if controls is None else controls
    figures = Diagnosis(
        fused=_score(hits, rows, task),
        chance=chance_score(task, rows.target),
        modalities=_findings(
            rows, task, teachers, without or {}, hits if complete is None else complete
        ),
        controls={
            name: bootstrap_difference(control, hits, rows.group).scaled(unit)
            for name, control in controls.items()
        },
        heads=None if heads is None else heads.gain.scaled(unit),
        interaction=interaction,
        additive=scale is not None or (interaction is not None and interaction.additive),
    )
    shapley = _shapley(rows, scale, task) if shapley is None else shapley
    figures = replace(figures, modalities=_completed(figures, shapley, heads, probe or {}))
    figures = replace(figures, modalities=_judged(figures))
    faults = [fault.name for fault in FAULTS if any(fault.holds(figures, m) for m in rows.unimodal)]
    return replace(figures, faults=faults, verdict=sentences_of(figures), advice=advice_of(figures))


def _findings(
    rows: Rows,
    task: Task,
    teachers: Mapping[str, Rows],
    without: Mapping[str, Hits],
    complete: Hits,
) -> dict[str, Finding]:
    """Return the figures per modality that come from its own rows."""
    unit, fused = _unit(rows, task), rows.hits(task)
    ratios = confidence_ratio(rows, teachers, task) if teachers else {}

    def minus(first: Hits, second: Hits) -> Interval:
        """Return a difference over the rows that both have."""
        both = np.isnan(first) | np.isnan(second)
        first, second = (np.where(both, np.nan, hits) for hits in (first, second))
        return bootstrap_difference(first, second, rows.group).scaled(unit)

    findings = {}
    for m in rows.unimodal:
        own = rows.hits(task, m)
        finding = Finding(_score(own, rows, task), own_lead=minus(own, fused))
        if m in teachers:
            alone = np.where(np.isnan(own), np.nan, teachers[m].hits(task))
            finding = replace(
                finding,
                teacher=_score(alone, rows, task),
                gap=minus(alone, own),
                ratio=ratios.get(m),
                teacher_lead=minus(alone, fused),
            )
        if m in without:
            finding = replace(finding, drop=minus(complete, without[m]))
        findings[m] = finding
    return findings


def _completed(
    figures: Figures,
    shapley: Mapping[str, float],
    heads: Reweighed | None,
    probe: Mapping[str, float],
) -> dict[str, Finding]:
    """Return the findings with figures that were computed for all modalities at once."""
    total = sum(shapley.values())
    return {
        m: replace(
            finding,
            shapley=shapley.get(m),
            share=shapley[m] / total if m in shapley and total > 0 else None,
            weight=None if heads is None else heads.weights.get(m),
            probe=probe.get(m),
        )
        for m, finding in figures.modalities.items()
    }


def _judged(figures: Figures) -> dict[str, Finding]:
    """Return the findings with their states."""
    return {
        m: replace(finding, state=next(state.name for state in STATES if state.holds(figures, m)))
        for m, finding in figures.modalities.items()
    }


def _ensemble(rows: Rows, teachers: Mapping[str, Rows], task: Task) -> dict[str, Hits]:
    """Return the hits of the mean of all teachers' logits; empty if a teacher is missing."""
    if not teachers or set(teachers) != set(rows.unimodal):
        return {}
    mean = torch.stack([teacher.logits for teacher in teachers.values()]).mean(0)
    return {ENSEMBLE: replace(rows, logits=mean).hits(task)}


def _shapley(rows: Rows, scale: float | None, task: Task) -> dict[str, float]:
    """Return the mean Shapley values of the truth's logit of s times a sum of heads.

    They are empty where the prediction is no such sum. The Shapley value of a modality is s z^m
    minus its mean over the rows.
    """
    if scale is None or not task.discrete:
        return {}
    centered = {m: scale * (z - z.mean(0)) for m, z in rows.unimodal.items()}
    return {m: float(task.truth(z, rows.target).mean()) for m, z in centered.items()}


def _score(values: NDArray[np.float64], rows: Rows, task: Task) -> Interval:
    """Return the mean of the hits as a score: a share of rows, or of the variance."""
    mean = bootstrap_mean(values, rows.group).scaled(_unit(rows, task))
    if task.discrete:
        return mean
    return Interval(1 + mean.value, 1 + mean.low, 1 + mean.high)


def _unit(rows: Rows, task: Task) -> float:
    """Return the factor from hits to scores.

    It is 1 for classes and labels. For values it divides the squared error by the outputs' mean
    variance.
    """
    return 1.0 if task.discrete else 1 / variance(rows.target)
