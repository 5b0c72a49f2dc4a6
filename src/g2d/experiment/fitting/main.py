"""From data to the best model that a budget allows: :func:`fit`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g2d.data import Source
from g2d.engine import checkpoint
from g2d.engine.evaluate import evaluate
from g2d.engine.fit import Fit
from g2d.engine.processes import start
from g2d.engine.stack import Stack
from g2d.errors import RunError, UnsupportedError
from g2d.experiment.console import Console, Say
from g2d.experiment.evaluation import identity, split_size, tested
from g2d.experiment.fitting import members as training
from g2d.experiment.fitting.choice import (
    Choice,
    MeasuredRows,
    Option,
    best_single,
    choose,
    combinations,
    measured,
    reason_against,
    standard_error,
    unstable,
)
from g2d.experiment.fitting.inputs import Preparing, base_recipe, name_of
from g2d.experiment.fitting.members import Member, Outputs
from g2d.experiment.fitting.paragraph import paragraph
from g2d.experiment.fitting.planning import (
    ADDITIVE,
    JOINT,
    check_budget,
    plan_of,
)
from g2d.experiment.fitting.progress import Job, JobLine
from g2d.experiment.loading import Run, load
from g2d.experiment.owning import owning
from g2d.experiment.run import NOTHING_LEFT, begin
from g2d.experiment.student import Student, untrained_method
from g2d.files import one_of, write_text
from g2d.locks import is_bookkeeping
from g2d.manifest import hashes
from g2d.method import processes
from g2d.recipe import Recipe
from g2d.report import write_report
from g2d.report.fitted import score_of
from g2d.runs import (
    CHECKPOINTS,
    PLAN,
    RECIPE,
    RECORDED,
    STACK,
    STORE,
    FitFacts,
    Plan,
    Planned,
    Result,
    differences,
    essential,
    hashes_of,
    read_plan,
    read_result,
    same_data,
)


def fit(
    data: Any,
    target: str | None = None,
    *,
    modalities: Sequence[str] | str = (),
    budget: str | float = "normal",
    metric: str | None = None,
    out: str | Path | None = None,
    plan: str | Path | None = None,
    progress: bool = True,
    say: Say = print,
    preparing: Preparing = nullcontext,
    **overrides: Any,
) -> Run:
    """Train the best model that a budget allows, and open it.

    Raw data are prepared. Then a teacher per modality, joint training and, as the budget allows,
    further members are trained. What is chosen on the validation rows is the stack of all members,
    with a weight per head, or a cheaper one that is as good within one standard error. The test
    rows are read once, for the chosen model and the controls. The result has a page, and a
    paragraph that says what was chosen and why: ``run.result.fit.paragraph``.

    An interrupted fit continues; members that are finished are not trained again.

    Args:
        data: A path: a table (CSV, JSON, Parquet, Excel), a file of arrays, a store or a recipe;
            the name of a packaged recipe; a :class:`~g2d.Recipe`; arrays by name; a data frame; or
            rows as mappings, such as a Hugging Face data set or a mapping of its splits.
        target: Column or array to predict. It is not needed for a store or a recipe.
        modalities: Names of the modalities to use, also as one text with commas; all by default.
        budget: ``"fast"`` (2 passes of the training rows per epoch), ``"normal"`` (4),
            ``"thorough"`` (up to 10), or a number of seconds.
        metric: Metric that chooses; by default the one that selects epochs.
        out: Folder of the result; by default ``runs/fit-NAME``.
        plan: A ``plan.json`` of an earlier fit, whose members are trained.
        progress: Show a progress line for the whole fit.
        say: Receives messages for the user.
        preparing: Returns the context in which raw data are prepared, which yields a function for
            the progress of it.
        overrides: Values of the recipe of all members by key, as in :func:`g2d.train`:
            ``epochs=5``, ``train={"lr": 0.1}``.

    Raises:
        ArgumentError: An argument breaks its rule.
        DataError: The data cannot be prepared.
        RecipeError: An override has faults.
        RunError: ``out`` belongs to another fit.
        UnsupportedError: Several processes of ``torchrun`` call this function.

    Example:
        >>> run = g2d.fit("my.csv", target="label", budget="fast")  # doctest: +SKIP
        >>> print(run.result.fit.paragraph)  # doctest: +SKIP
        >>> run.predict("new.csv").values  # doctest: +SKIP
    """
    start()
    if processes() > 1:
        raise UnsupportedError(f"a fit must run in one process, found {processes()}. Run it alone.")
    budget = check_budget(budget)
    folder = _claimed(data, out)
    names = _listed(modalities)
    recipe = base_recipe(data, target, names, folder, overrides, say=say, preparing=preparing)
    source = recipe.build_source()
    same_data(folder, hashes_of(source))
    with owning(folder, say):
        planned = _planned(recipe, source, folder, budget, metric, plan)
        if read_result(folder) is not None:
            say(NOTHING_LEFT.format(folder))
            return load(folder)
        if recipe.train.threads is not None:
            torch.set_num_threads(recipe.train.threads)
        begin(folder, recipe, source)
        fitting = Fitting(recipe, source, planned, folder, say, progress)
        fitting.train()
        fitting.finish()
    return load(folder)


def previewed(
    data: Any,
    target: str | None = None,
    *,
    modalities: Sequence[str] | str = (),
    budget: str | float = "normal",
    out: str | Path | None = None,
    say: Say = print,
    preparing: Preparing = nullcontext,
    **overrides: Any,
) -> str:
    """Return what :func:`fit` would train, without training it; raw data are prepared.

    Args:
        data: See :func:`fit`.
        target: See :func:`fit`.
        modalities: See :func:`fit`.
        budget: See :func:`fit`; seconds are not measured.
        out: See :func:`fit`.
        say: Receives messages for the user.
        preparing: Returns the context in which raw data are prepared, which yields a function for
            the progress of it.
        overrides: See :func:`fit`.
    """
    budget = check_budget(budget)
    folder = _claimed(data, out)
    names = _listed(modalities)
    recipe = base_recipe(data, target, names, folder, overrides, say=say, preparing=preparing)
    named = budget if isinstance(budget, str) else "thorough"
    plan = plan_of(recipe, recipe.build_source(), named, "")
    lines = [f"# {one.name}: {one.about} {one.settings or ''}".rstrip() for one in plan.members]
    more = "" if isinstance(budget, str) else f"# As many of these as {budget:g} seconds allow:\n"
    return recipe.to_yaml() + more + "\n".join(lines)


def _listed(modalities: Sequence[str] | str) -> list[str]:
    names = modalities.replace(" ", "").split(",") if isinstance(modalities, str) else modalities
    return [name for name in names if name]


def _claimed(data: Any, out: str | Path | None) -> Path:
    """Return the folder of a fit; refuse one that holds anything else."""
    folder = Path("runs", f"fit-{name_of(data)}") if out is None else Path(out)
    if folder.is_file():
        raise RunError(f"--out must be a folder, found the file {folder}.")
    if not folder.is_dir() or (folder / PLAN).is_file():
        return folder
    own = (STORE, f".{STORE}", "source.")
    files = [path for path in folder.iterdir() if not is_bookkeeping(path)]
    if others := sorted(path.name for path in files if not path.name.startswith(own)):
        raise RunError(
            f"--out must be a new folder or one of g2d fit, found {others[0]} in {folder}. "
            "Choose another --out."
        )
    return folder


def _planned(
    recipe: Recipe,
    source: Source,
    folder: Path,
    budget: str | float,
    metric: str | None,
    given: str | Path | None,
) -> Plan:
    """Return the plan of the folder, or make and write one.

    Raises:
        ArgumentError: There is no such metric.
        RunError: The folder was planned for another recipe, budget or metric.
    """
    metric = metric or source.task.headline
    known = source.task.metrics()
    known.update(torch.zeros(0, source.task.outputs), torch.from_numpy(source.target[:0]))
    one_of("metric", metric, [name for name in known.compute() if name != "zero_targets"])
    path = folder / PLAN
    if not path.is_file():
        plan = plan_of(recipe, source, budget, metric) if given is None else read_plan(Path(given))
        plan = plan.model_copy(update={"metric": metric, "recipe": recipe.resolved()})
        folder.mkdir(parents=True, exist_ok=True)
        plan.write(folder)
        return plan
    plan = read_plan(path)
    now = {"metric": metric, **dict(essential(recipe.resolved()))}
    if given is None:
        now["budget"] = f"{budget:g}" if isinstance(budget, float) else budget
    before = {"metric": plan.metric, **dict(essential(plan.recipe))}
    if given is None:
        before["budget"] = plan.budget
    if changes := differences(before, now):
        raise RunError(
            f"{folder} must have the same data and options to be resumed, found others: "
            f"{'; '.join(changes)}. Choose another --out, or delete the folder."
        )
    return plan


@dataclass
class Fitting:
    """A fit in its folder.

    Args:
        recipe: What all members share.
        source: The data.
        plan: What is trained.
        out: The folder.
        say: Receives messages for the user.
        progress: Show a progress line.
    """

    recipe: Recipe
    source: Source
    plan: Plan
    out: Path
    say: Say = print
    progress: bool = True

    def __post_init__(self) -> None:
        task, target = self.source.task, self.source.target[self.source.rows("valid")]
        group = np.unique(self.source.groups("valid"), return_inverse=True)[1]
        self.rows = MeasuredRows(torch.from_numpy(target), group, task, self.plan.metric)
        self.members: list[Member] = []
        self.valid: dict[str, Outputs] = {}
        self.left_out = dict(self.plan.left_out)
        total = sum(member.passes for member in self.plan.members) * self.recipe.train.epochs
        self.job = Job(total)

    def train(self) -> None:
        """Train every member of the plan whose condition holds, and read its predictions."""
        for planned in self.plan.members:
            reason = self._reason_against(planned)
            if reason is None:
                try:
                    self._train(planned)
                except UnsupportedError as error:
                    reason = str(error)
            if reason is not None:
                self.left_out[planned.name] = reason
                self.job.total -= planned.passes * self.recipe.train.epochs
                self.say(f"{planned.name} is left out: {reason}")

    def _train(self, planned: Planned) -> None:
        self.say(f"{planned.name}: {planned.about}")
        work = 1 / len(self.source.modalities) if planned.teachers else 1.0
        line = partial(JobLine, job=self.job, work=work)
        console = Console(self.say, self.progress, line=line)
        done = self.job.done
        member = training.train(planned, self.recipe, self.source, self.out, console)
        missed = done + planned.passes * self.recipe.train.epochs - self.job.done
        self.job.add(max(0.0, missed), before=True)
        self.valid[member.name] = training.outputs(member, self.source, "valid")
        if member.set is None:
            training.examine(member, self.source)
        self.members.append(member)

    def _reason_against(self, planned: Planned) -> str | None:
        """Return why a conditional member is not trained; None if it is."""
        if planned.when != "silent":
            return None
        joint = next((one for one in self.members if one.name == JOINT), None)
        if joint is None or joint.interaction is None:
            return "there is no joint model"
        ensemble, own = (self.option((name,)) for name in ("teachers", JOINT))
        return reason_against(joint.interaction.state, own, ensemble)

    def option(self, names: tuple[str, ...]) -> Option:
        """Return a model of some members, measured on the validation rows.

        Args:
            names: Names of its members.
        """
        heads = [head.logits for name in names for head in self.valid[name].heads]
        parameters = sum(one.parameters for one in training.kept(self.members, names))
        return measured(names, heads, len(names), parameters, self.rows)

    def options(self) -> list[Option]:
        """Return every model that can be chosen, cheapest first."""
        names = [member.name for member in self.members]
        teachers = [member.name for member in self.members if member.set is not None]
        made = [self.option(some) for some in combinations(names, teachers)]
        return sorted(made, key=lambda one: (one.passes, -one.score))

    def finish(self) -> Result:
        """Choose, evaluate the choice and the controls on the test rows, and write the result."""
        options = self.options()
        places = {one.members: i for i, one in enumerate(options)}
        ensemble, joint = places[("teachers",)], places.get((JOINT,))
        controls = [ensemble] if joint is None else [ensemble, joint]
        choice = choose(options, controls)
        facts = self._facts(options, choice, ensemble, joint)
        return self._write(options[choice.chosen], facts)

    def _facts(
        self, options: list[Option], choice: Choice, ensemble: int, joint: int | None
    ) -> dict[str, Any]:
        reference = options[choice.reference]
        students = {one.name: one for one in self.members if one.set is None}
        first = next((one for one in students.values() if one.interaction is not None), None)
        members = [
            training.facts_of(one, self.valid[one.name], self._scores(self.valid[one.name]))
            for one in self.members
        ]
        second = next((i for i, one in enumerate(options) if one.members == ("joint-2",)), None)
        gap = None
        if joint is not None and second is not None and unstable(options[joint], options[second]):
            one, two = options[joint], options[second]
            gap = abs(one.score - two.score), standard_error(one.scores, two.scores)
        return {
            "budget": self.plan.budget,
            "passes": sum(member.planned.passes for member in self.members),
            "metric": self.plan.metric,
            "modalities": list(self.source.modalities),
            "rows": len(self.rows.target),
            "members": [one.plain() for one in members],
            "options": [_plain(one, reference) for one in options],
            "chosen": choice.chosen,
            "reference": choice.reference,
            "single": best_single(options, students),
            "ensemble": ensemble,
            "joint": joint,
            "teachers": members[0].unimodal,
            "interaction": first and first.interaction and first.interaction.plain(),
            "unstable": gap,
            "left_out": self.left_out,
            "seconds": round(sum(one.seconds for one in self.members), 1),
        }

    def _scores(self, own: Outputs) -> dict[str, float]:
        """Return the score of a member's plain prediction and of each modality alone."""
        alone = {m: self.rows.score(z) for m, z in own.unimodal.items()}
        return {"fused": self.rows.score(own.plain), **alone}

    def _write(self, option: Option, facts: dict[str, Any]) -> Result:
        """Save the chosen model, read the test rows, and write the result and the page."""
        source, size = self.source, self.recipe.train.eval_batch_size
        chosen = training.kept(self.members, option.members)
        main, student, stack = self._stack(chosen)
        model, fitted = student.model, _fitted(main)
        weights = stack.fit(model, source, size)
        checkpoint.save(self.out / CHECKPOINTS / STACK, model, stack)
        write_text(self.out / RECIPE, student.recipe.to_yaml())
        valid = evaluate(stack, model, source, "valid", batch_size=size, keep_rows=True)
        console = Console(self.say, self.progress)
        teachers = training.teachers_of(
            self.members[0].recipe, source, self.out, console, test=True
        )
        opened = tested(stack, model, source, size, [teachers], self.out, True, valid)
        facts["heads"] = dict(weights)
        facts["own"] = {
            m: score_of(valid.unimodal[m][self.plan.metric], self.plan.metric)
            for m in source.modalities
        }
        scored = {
            facts["ensemble"]: opened["controls"]["ensemble_calibrated"]["test"],
            facts["chosen"]: opened["test"]["fused"],
        }
        if facts["joint"] not in (None, *scored):
            joint = next(one for one in self.members if one.name == JOINT)
            plain = evaluate(joint.student[1], joint.student[0], source, "test", batch_size=size)
            scored[facts["joint"]] = plain.record()["fused"]
        for place, test in scored.items():
            facts["options"][place]["test"] = test
        facts["paragraph"] = paragraph(FitFacts.model_validate(facts))
        others = [one for one in chosen if one.set is None and one is not main]
        result = Result.model_validate(
            {
                **identity(student, fitted),
                "name": self.recipe.name,
                "method": "fit",
                **opened,
                "valid": {**valid.record(), **split_size(source, "valid")},
                "cost": {"seconds": facts["seconds"], "epochs": self.recipe.train.epochs},
                "notices": [
                    *opened["notices"],
                    *(
                        f"{one.name}: {notice}"
                        for one in self.members
                        for notice in (one.result.notices if one.result else ())
                    ),
                ],
                "stack": {
                    "teacher_sets": student.recipe.stack,
                    "head_weights": dict(weights),
                    "name": main.name if main else "student",
                    "students": {one.name: one.recipe.resolved() for one in others},
                },
                "fit": facts,
                "files": hashes(self.out, [n for n in RECORDED if (self.out / n).is_file()]),
                "complete": True,
            }
        )
        result.write(self.out)
        write_report(self.out)
        return result

    def _stack(self, chosen: Sequence[Member]) -> tuple[Member | None, Student, Stack]:
        """Return the first student of the choice, what it is built from, and the stack.

        A choice of teachers alone has the method UME, which trains nothing.
        """
        sets = [one.set for one in chosen if one.set is not None]
        students = [one for one in chosen if one.set is None]
        settings: dict[str, Any] = {"stack": len(sets), "name": self.recipe.name}
        device = self.recipe.train.resolved_device()
        if not students:
            recipe = self.recipe.changed({"method": "ume", "fusion": ADDITIVE, **settings})
            student = Student.build(recipe, self.source)
            model = student.model.to(device).eval()
            method = untrained_method(recipe, model, self.source.task)
            others: dict[str, Any] = {}
        else:
            recipe = students[0].recipe.changed(settings)
            student = Student.build(recipe, self.source)
            model, method = students[0].student
            others = {one.name: one.student for one in students[1:]}
        student.model, student.method = model, method
        name = students[0].name if students else "student"
        stack = Stack(method, [one.teachers for one in sets], others, name=name)
        return (students[0] if students else None), student, stack.to(device).eval()


def _plain(option: Option, reference: Option) -> dict[str, Any]:
    """Return what a result reports about an option."""
    return {
        "members": list(option.members),
        "passes": option.passes,
        "parameters": option.parameters,
        "score": option.score,
        "loss": option.loss,
        "behind": reference.score - option.score,
        "error": standard_error(reference.scores, option.scores),
    }


def _fitted(main: Member | None) -> Fit:
    """Return how the training of the first student went; nothing was trained without one."""
    if main is None or main.result is None:
        return Fit(0, 0.0, 0, 0, 0, 0.0, [], [])
    result = main.result
    return Fit(
        result.selected_epoch,
        0.0,
        result.epochs,
        result.cost.updates or 0,
        0,
        float(result.cost.seconds or 0),
        [],
        result.notices,
    )
