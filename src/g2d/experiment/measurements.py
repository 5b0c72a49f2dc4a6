"""Measurements of a diagnosis, made on a trained run and its teachers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d import analysis
from g2d.data import Loader, Split
from g2d.engine.calibration import calibrate
from g2d.engine.stack import Stack
from g2d.experiment.evaluation import teacher_ensemble
from g2d.experiment.loading import Run
from g2d.experiment.plain_measures import plain_measures
from g2d.model import MultimodalModel, Teachers
from g2d.report.lines import CONTROLS
from g2d.runs import Analysis, Plot
from g2d.types import Batch, Output

POINTS = 200
"""Rows whose features are drawn in a plane."""


class Measurements:
    """Measurements on a run; every one is made when it is needed.

    Args:
        run: The trained run.
        split: Name of the split to measure on.
        teachers: Trained teachers by modality; may be empty.
    """

    def __init__(self, run: Run, split: Split, teachers: Mapping[str, MultimodalModel]) -> None:
        self.run, self.split = run, split
        groups = run.source.groups(split)
        self.rows = self.collected(split)
        self.models = teachers
        self.teachers = {
            m: analysis.collect(partial(_teacher_output, teacher, m), self.batches(split), groups)
            for m, teacher in teachers.items()
        }

    def batches(self, split: Split) -> Iterator[Batch]:
        """Return the batches of a split, on the model's device."""
        device = next(self.run.model.parameters()).device
        size = self.run.recipe.train.eval_batch_size
        return iter(Loader(self.run.source, split, size, device=device).epoch(0))

    def predict(self, batch: Batch) -> Output:
        """Return the run's output for a batch."""
        return self.run.method.predict(self.run.model, batch.inputs, batch.present)

    def collected(self, split: Split) -> analysis.Rows:
        """Return the run's outputs for all rows of a split."""
        return analysis.collect(self.predict, self.batches(split), self.run.source.groups(split))

    @cached_property
    def means(self) -> dict[str, Tensor]:
        """Mean features of every modality over the training rows."""
        return analysis.feature_means(self.run.model, self.batches("train"))

    @cached_property
    def pool(self) -> analysis.Pool | None:
        """Rows whose modalities can be exchanged; None for stacks of several members.

        In a stack a modality dropped from the student would remain in the others.
        """
        method = self.run.method
        if isinstance(method, Stack) and not method.single:
            return None
        return analysis.feature_pool(
            self.run.model,
            self.batches(self.split),
            self.means,
            predict=self.predict,
            group=self.run.source.groups(self.split),
        )

    @cached_property
    def measures(self) -> analysis.Measures | None:
        """Measures of how the model uses its modalities; None for stacks."""
        if self.pool is None:
            return None
        return analysis.measure(self.pool, self.run.task, self.rows)

    @cached_property
    def interaction(self) -> analysis.Interaction | None:
        """Share of the prediction that comes from the interaction of modalities, if measured."""
        return None if self.measures is None else self.measures.interaction

    @cached_property
    def coalitions(self) -> dict[frozenset[str], tuple[Tensor, Tensor]]:
        """Value and correctness of every row for every subset of modalities; empty for stacks."""
        return {} if self.pool is None else analysis.coalition_values(self.pool, self.run.task)

    @cached_property
    def correct(self) -> dict[frozenset[str], NDArray[np.float64]]:
        """Score of every row for every subset of the modalities."""
        return {some: right.double().numpy() for some, (_, right) in self.coalitions.items()}

    def shapley(self, values: Mapping[frozenset[str], Tensor]) -> dict[str, float]:
        """Return the mean Shapley value of every modality; empty without coalitions."""
        if not values:
            return {}
        shares = analysis.shapley_values(values, self.run.modalities)
        return {m: float(value.mean()) for m, value in shares.items()}

    def diagnosis(self) -> analysis.Diagnosis:
        """Return the judgment about every modality, and the verdict."""
        modalities, everyone = self.run.modalities, frozenset(self.run.modalities)
        without = {m: self.correct[everyone - {m}] for m in modalities} if self.correct else None
        values = {some: value for some, (value, _) in self.coalitions.items()}
        return analysis.diagnose(
            self.rows,
            self.run.task,
            teachers=self.teachers,
            probe=analysis.linear_probe(self.collected("train"), self.rows, self.run.task),
            without=without,
            complete=self.correct.get(everyone),
            shapley=self.shapley(values) or None,
            heads=self.heads,
            controls=self.controls(),
            interaction=self.interaction,
        )

    def controls(self) -> dict[str, NDArray[np.float64]]:
        """Return what the headline metric rewards of every row, of each ensemble of the teachers.

        It is empty if a modality has no teacher.
        """
        run, groups = self.run, self.run.source.groups(self.split)
        if set(self.models) != set(run.modalities):
            return {}
        model, method = teacher_ensemble(Teachers(self.models), run.task)

        def hits() -> NDArray[np.float64]:
            rows = analysis.collect(
                lambda batch: method.predict(model, batch.inputs, batch.present),
                self.batches(self.split),
                groups,
            )
            return rows.hits(run.task)

        plain = hits()
        calibrate(method, model, run.source, run.recipe.train.eval_batch_size)
        return {CONTROLS["ensemble"]: plain, CONTROLS["ensemble_calibrated"]: hits()}

    @cached_property
    def heads(self) -> analysis.Reweighed | None:
        """Effect of weights for the heads; None where the prediction is no sum of heads."""
        if self.run.method.head_scale(self.run.model) is None:
            return None
        return analysis.reweighed(self.collected("valid"), self.rows, self.run.task)

    def analysis(self, diagnosis: analysis.Diagnosis) -> Analysis:
        """Return the content of ``analysis.json``.

        Args:
            diagnosis: The result of :meth:`diagnosis`.
        """
        correct = self.correct
        scores = {some: torch.from_numpy(values) for some, values in correct.items()}
        names = {some: " + ".join(sorted(some, key=self.run.modalities.index)) for some in correct}
        findings = {m: plain_finding(finding) for m, finding in diagnosis.modalities.items()}
        gaps = {" to ".join(pair): gap for pair, gap in analysis.modality_gap(self.rows).items()}
        content = {
            "verdict": [*diagnosis.verdict, *(f"Try: {advice}" for advice in diagnosis.advice)],
            "split": self.split,
            "faults": diagnosis.faults,
            "controls": {name: astuple(lead) for name, lead in diagnosis.controls.items()},
            "modalities": findings,
            "shapley_shares": self.shapley(scores),
            "subset_scores": {
                names[some] or "none": float(np.mean(values)) for some, values in correct.items()
            },
            **self._classes(),
            "noise": self._noise(),
            "alignment": self._alignment(),
            "modality_gaps": gaps,
            "plane": self._plane(),
            "gradients": self._gradients(),
            "calibrated_heads": self._calibrated_heads(),
            **({} if self.measures is None else plain_measures(self.measures)),
        }
        return Analysis.model_validate(content)

    def _classes(self) -> dict[str, Any]:
        task = self.run.task
        if not task.discrete:
            return {}
        recalls = analysis.per_class(self.rows, task)
        heads = {
            name: analysis.reliability(z, self.rows.target, task)
            for name, z in {**self.rows.unimodal, "fused": self.rows.logits}.items()
        }
        return {
            "class_recalls": {
                name: {m: recalls[m][c] for m in recalls} for c, name in enumerate(task.names)
            },
            "calibration_errors": {name: head.error for name, head in heads.items()},
            "reliability": Plot(
                points={
                    name: list(zip(head.confidence, head.accuracy, strict=True))
                    for name, head in heads.items()
                },
                x="predicted confidence",
                y="share of right predictions",
                caption="Each head's predictions in ten bins of confidence; the dotted line is "
                "perfect calibration.",
                joined=True,
                diagonal=True,
            ),
        }

    def _noise(self) -> Plot:
        run = self.run
        scores = {
            m: analysis.under_corruption(self.predict, self.batches("valid"), run.task, m)
            for m in run.modalities
        }
        return Plot(
            points={f"noise on {m}": list(values.items()) for m, values in scores.items()},
            x="noise, in standard deviations of the input",
            y=f"validation {run.task.headline}",
            caption="All modalities together, while the input of one is disturbed.",
            joined=True,
        )

    def _alignment(self) -> dict[str, float | None]:
        own = self.rows.features
        return {
            m: analysis.feature_alignment(own[m], rows.features[m])
            for m, rows in self.teachers.items()
            if rows.features[m].shape == own[m].shape
        }

    def _plane(self) -> Plot:
        some = np.random.default_rng(0).permutation(len(self.rows))[:POINTS]
        clouds = analysis.projected(self.rows.at(some), "pca")
        return Plot(
            points={m: cloud.round(4).tolist() for m, cloud in clouds.items()},
            x="first component",
            y="second component",
            caption=f"L2-normalized features of {len(some)} rows, projected by PCA.",
        )

    def _gradients(self) -> dict[str, dict[str, float | None]]:
        run = self.run
        if run.method.own_heads:
            return {}
        pulls = analysis.gradient_pull(run.model, self.batches("valid"), run.task).items()
        return {m: {"norm": p.norm, "cosine with its own loss": p.agreement} for m, p in pulls}

    def _calibrated_heads(self) -> dict[str, float | None]:
        heads = self.heads
        if heads is None:
            return {}
        weights = {f"weight of {m}": weight for m, weight in heads.weights.items()}
        return {**weights, "fused before": heads.before, "fused after": heads.after}


def _teacher_output(teacher: MultimodalModel, m: str, batch: Batch) -> Output:
    output: Output = teacher({m: batch.inputs[m]}, present=batch.present, unimodal=True)
    return output


def plain_finding(finding: analysis.Finding) -> dict[str, Any]:
    """Return the fields of :class:`~g2d.runs.analysis.ModalityDiagnosis`."""
    plain = {
        name: astuple(figure) if isinstance(figure, analysis.Interval) else figure
        for name, figure in vars(finding).items()
    }
    scores = {"own": finding.own.value, "teacher": finding.teacher and finding.teacher.value}
    return plain | scores
