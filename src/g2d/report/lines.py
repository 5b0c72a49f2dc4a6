"""Rows of a problem: values by seed, from which tables, charts and sentences are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from g2d.report.statistics import Difference, Values, compare_all
from g2d.runs import Problem, Result, RunRecord, grouped

TEACHER, RUN, CONTROL = "teacher", "run", "control"
"""Kinds of rows."""
TEACHERS = "teachers alone"
"""Name of the teachers' row."""
BASELINES = ("joint",)
"""Methods that others are compared with if no baseline is given."""
LINEAR = "linear"
"""Key of the linear model among the controls of a result."""
CONTROLS = {
    "constant": "majority or mean",
    LINEAR: "linear model on pooled inputs",
    "best_teacher": "best teacher",
    "ensemble": "teacher ensemble",
    "ensemble_calibrated": "teacher ensemble, calibrated",
}
"""Names of the rows of controls, by their key in a result."""
PLAIN_CONTROLS = ("constant", LINEAR)
"""Controls that need no teachers."""
PASSES = ("encoder_forward", "encoder_backward")
COSTS = ("seconds", "teacher_seconds", "flops_per_step", *PASSES, "updates")
"""Costs of a run by name; passes are summed over modalities."""


@dataclass(frozen=True)
class Line:
    """Values of a row by seed.

    Args:
        name: Name of the row.
        kind: :data:`TEACHER`, :data:`RUN` or :data:`CONTROL`.
        fused: Test scores of all modalities together.
        unimodal: Test scores of each modality alone.
        ratio: Confidence ratio of each modality: the student's mean confidence from the modality
            divided by that of its teacher.
        cost: Values of :data:`COSTS`.
        runs: Runs of the row; empty for teachers and controls.
    """

    name: str
    kind: str
    fused: Values = field(default_factory=dict)
    unimodal: dict[str, Values] = field(default_factory=dict)
    ratio: dict[str, Values] = field(default_factory=dict)
    cost: dict[str, Values] = field(default_factory=dict)
    runs: Sequence[RunRecord] = ()

    @property
    def selected_on_test(self) -> bool:
        """Whether the test split selected the epoch of a run."""
        return any(run.result.selected_on_test for run in self.runs)


class Group(Problem):
    """Problem with its rows. The runs are grouped once, and every table and chart receives this."""

    @cached_property
    def lines(self) -> list[Line]:
        """Rows under the metric that selects the epoch."""
        return lines_of(self, self.metric)

    def under(self, metric: str) -> list[Line]:
        """Return the rows under a metric."""
        return self.lines if metric == self.metric else lines_of(self, metric)

    def baseline(self, name: str | None = None) -> str | None:
        """Return the row that others are compared with.

        Args:
            name: Name of a row.

        Returns:
            The name if it is a row with scores, else that of plain joint training, else None.
        """
        return baseline_of(self.lines, name)


def groups_of(runs: Iterable[RunRecord]) -> list[Group]:
    """Group finished runs into problems."""
    return [Group(problem.runs, problem.recipes) for problem in grouped(runs)]


def lines_of(problem: Problem, metric: str) -> list[Line]:
    """Return the teachers' row, a row per recipe in the given order, and the controls' rows.

    Args:
        problem: Runs on the same data, protocol, modalities and task.
        metric: Name of a test metric.
    """
    modalities = problem.modalities
    with_teachers = _one_per_teacher_seed(problem.runs, lambda result: bool(result.teachers))
    lines = []
    if with_teachers:
        alone: dict[str, Values] = {
            m: {seed: r.teachers[m].test.get(metric) for seed, r in with_teachers.items()}
            for m in modalities
        }
        ratio: dict[str, Values] = {m: {0: 1.0} for m in modalities}
        cost = _teacher_cost(with_teachers)
        lines.append(Line(TEACHERS, TEACHER, unimodal=alone, ratio=ratio, cost=cost))
    for name, runs in problem.recipes.items():
        lines.append(
            Line(
                name,
                RUN,
                {run.seed: run.fused(metric) for run in runs},
                {m: {run.seed: run.unimodal(m, metric) for run in runs} for m in modalities},
                {m: {run.seed: _ratio(run, with_teachers, m) for run in runs} for m in modalities},
                {key: {run.seed: _cost(run.result, key) for run in runs} for key in COSTS},
                runs,
            )
        )
    return lines + [
        line for key in CONTROLS if (line := _control(problem, key, metric)) is not None
    ]


def _control(problem: Problem, key: str, metric: str) -> Line | None:
    """Return the row of a control; None if no run has it."""
    results = _one_per_teacher_seed(problem.runs, lambda result: key in result.controls)
    if not results:
        return None
    controls = {seed: result.controls[key] for seed, result in results.items()}
    unimodal: dict[str, Values] = {
        m: {seed: control.unimodal.get(m, {}).get(metric) for seed, control in controls.items()}
        for m in problem.modalities
    }
    return Line(
        CONTROLS[key],
        CONTROL,
        {seed: control.test.get(metric) for seed, control in controls.items()},
        unimodal,
        cost={} if key in PLAIN_CONTROLS else _teacher_cost(results),
    )


def baseline_of(lines: Sequence[Line], name: str | None) -> str | None:
    """Return the row that others are compared with; see :meth:`Group.baseline`."""
    if any(line.name == name and line.fused for line in lines):
        return name
    plain = (line.name for line in lines if line.runs and all(map(is_plain_joint, line.runs)))
    return next(plain, None)


def differences_to(lines: Sequence[Line], baseline: str | None) -> dict[str, Difference | None]:
    """Return the difference of every fused row to the baseline, corrected as one family.

    Controls without deep learning are not among them: every comparison would need more seeds.
    """
    if baseline is None:
        return {}
    plain = {CONTROLS[key] for key in PLAIN_CONTROLS}
    fused = {line.name: line.fused for line in lines if line.fused and line.name not in plain}
    return compare_all(fused, baseline)


def modulation_of(run: RunRecord) -> dict[str, Any]:
    """Return the modulation that a recipe applies to its method; empty if there is none."""
    return run.recipe.get("method", {}).get("modulation") or {}


def is_plain_joint(run: RunRecord) -> bool:
    """Return whether a run is joint training of one model, from scratch, without a modulation."""
    given = ("warm_start", "stack", "students")  # a recipe of one student has no such key
    return run.result.method in BASELINES and not (
        any(run.recipe.get(key) for key in given) or modulation_of(run)
    )


def _cost(result: Result, name: str) -> float | None:
    """Return a cost by its name in :data:`COSTS`."""
    passes = result.cost.passes.get(name)
    return getattr(result.cost, name, None) if passes is None else float(sum(passes.values()))


def _teacher_cost(results: dict[int, Result]) -> dict[str, Values]:
    return {"teacher_seconds": {seed: r.cost.teacher_seconds for seed, r in results.items()}}


def _ratio(run: RunRecord, with_teachers: dict[int, Result], modality: str) -> float | None:
    """Return a confidence ratio; a run without teachers uses those of the same seed."""
    own = run.result if run.result.teachers else with_teachers.get(run.result.teacher_seed)
    confidence = run.unimodal(modality, "confidence")
    if own is None or confidence is None:
        return None
    return confidence / own.teachers[modality].confidence["test"]


def _one_per_teacher_seed(
    runs: Sequence[RunRecord], has: Callable[[Result], bool]
) -> dict[int, Result]:
    """Return the first result per teacher seed that has something.

    Teachers and controls are the same in all runs of a teacher seed.
    """
    results: dict[int, Result] = {}
    for run in runs:
        if has(run.result):
            results.setdefault(run.result.teacher_seed, run.result)
    return results
