"""The steps of a fit: train its members, choose, evaluate the choice, and write the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from g2d.engine.stack import Stack
from g2d.errors import UnsupportedError
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
    crossed,
    far_apart,
    head_shares,
    measured,
    reason_against,
    standard_error,
    undecided,
)
from g2d.experiment.fitting.members import Member, Outputs
from g2d.experiment.fitting.paragraph import paragraph
from g2d.experiment.fitting.planning import ADDITIVE, JOINT, SECOND, kind_of
from g2d.experiment.fitting.progress import Job, JobLine
from g2d.experiment.guards import at_chance
from g2d.experiment.student import Student, untrained_method
from g2d.files import write_text
from g2d.manifest import hashes
from g2d.recipe import Recipe
from g2d.report import write_report
from g2d.report.fitted import score_of
from g2d.runs import CHECKPOINTS, RECIPE, RECORDED, STACK, TEACHERS, FitFacts, Plan, Planned, Result


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
        ensemble, own = (self.option((name,)) for name in (TEACHERS, JOINT))
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
        kinds = {member.name: kind_of(member.planned) for member in self.members}
        made = [self.option(some) for some in combinations(kinds)]
        return sorted(made, key=lambda one: (one.passes, -one.score))

    def finish(self) -> Result:
        """Choose, evaluate the choice and the controls on the test rows, and write the result."""
        options = self.options()
        places = {one.members: i for i, one in enumerate(options)}
        ensemble, joint = places[(TEACHERS,)], places.get((JOINT,))
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
        gap = None
        if joint is not None and SECOND in students:
            one, two = options[joint], self.option((SECOND,))
            if far_apart(one, two):
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
            "at_chance": self._at_chance(self.valid[members[0].name]),
            "undecided": undecided(options, choice.chosen),
            "interaction": first and first.interaction and first.interaction.plain(),
            "unstable": gap,
            "left_out": self.left_out,
            "seconds": round(sum(one.seconds for one in self.members), 1),
        }

    def _at_chance(self, own: Outputs) -> list[str]:
        """Return the modalities whose teacher, calibrated, is not above chance."""
        task, hits = self.source.task, {}
        for m, z in own.unimodal.items():
            kept = own.present[m]
            hits[m] = np.full(len(kept), np.nan)
            if kept.any():
                rows = self.rows.only(kept)
                right = task.hits(crossed([z[kept]], rows), rows.target)
                hits[m][kept.numpy()] = right.double().numpy()
        return list(at_chance(hits, self.rows.target.numpy(), self.rows.group, task))

    def _scores(self, own: Outputs) -> dict[str, float]:
        """Return the score of a member's plain prediction and of each modality alone."""
        alone = {
            m: self.rows.only(own.present[m]).score(z[own.present[m]])
            for m, z in own.unimodal.items()
            if own.present[m].any()
        }
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
        facts["shares"] = self._shares(chosen, weights)
        facts["own"] = {
            m: score_of(valid.unimodal[m][self.plan.metric], self.plan.metric)
            for m in source.modalities
            if self.plan.metric in valid.unimodal[m]
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

    def _shares(self, chosen: Sequence[Member], weights: Mapping[str, float]) -> dict[str, float]:
        """Return what every head of a stack contributes to its prediction, by its name."""
        members = sorted(chosen, key=lambda one: one.set is None)  # the order of a stack
        heads = [head.logits for one in members for head in self.valid[one.name].heads]
        shares = head_shares(heads, list(weights.values()), self.rows.target)
        return dict(zip(weights, shares, strict=True))

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
