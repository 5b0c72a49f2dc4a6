"""What a fit trains: the members of a budget, decided once and written to ``plan.json``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from g2d.data import Source
from g2d.engine.fit import fit
from g2d.engine.processes import seed_everything
from g2d.engine.setup import training_task
from g2d.errors import ArgumentError
from g2d.experiment.students import OTHER_SEED
from g2d.files import one_of
from g2d.methods import Joint
from g2d.recipe import Recipe
from g2d.runs import PER_SEED, TEACHERS, Plan, Planned

BUDGETS = {"fast": 2, "normal": 4, "thorough": 10}
"""Passes of the training rows per epoch by the name of a budget."""
FUSION, ADDITIVE = "film", "late"
"""Fusion that can represent an interaction of modalities, and one that cannot."""
JOINT, SECOND = "joint", "joint-2"
"""Names of the first joint model, with which others are compared, and of the same with another
seed."""
SHORT = 5.0
"""Seconds of an epoch below which its first-call costs are too much of it."""
RESERVE = 1.2
"""Cost of a student's pass, with its fusion and the evaluation, relative to the teachers'."""


def members_of(recipe: Recipe) -> list[Planned]:
    """Return all members in the order of their use, most useful first.

    Teachers and joint training with a fusion that is not a sum come first, then a second joint
    model and joint training that starts from the teachers (four passes), then what a larger budget
    adds.

    Args:
        recipe: What all members share.
    """
    first = recipe.train.seed

    def seeded(seed: int) -> dict[str, Any]:
        return {"seed": seed, "teachers.seed": recipe.teachers.train.seed}

    second, third = seeded(first + OTHER_SEED), seeded(first + 2 * OTHER_SEED)
    own = {"teachers.seed": recipe.teachers.train.seed + OTHER_SEED}
    if len(recipe.modalities) == 1:
        again = ("a second", "a third", "a fourth")
        return [
            Planned(name=TEACHERS, about="the model", teachers=True),
            *(
                Planned(
                    name=f"teachers-{i}",
                    about=f"{word} model",
                    teachers=True,
                    settings={"teachers.seed": first + (i - 1) * OTHER_SEED},
                )
                for i, word in enumerate(again, 2)
            ),
        ]
    additive = {"fusion": ADDITIVE}
    warm = {"warm_start": True}
    late = Planned(
        name="additive", about=f"the joint model with {ADDITIVE} fusion", settings=additive
    )
    return [
        Planned(name=TEACHERS, about="the teachers", teachers=True),
        Planned(name=JOINT, about=f"the joint model ({recipe.fusion.name} fusion)"),
        Planned(name=SECOND, about="the second joint model", settings=second),
        Planned(name="joint-warm", about="the joint model from the teachers", settings=warm),
        *([] if recipe.fusion.name == ADDITIVE else [late]),
        Planned(
            name="g2d", about="the G²D model", settings=additive | {"method": "g2d"}, when="silent"
        ),
        Planned(
            name="mses",
            about="the MSES model",
            settings=additive | {"method": "mses"},
            when="silent",
        ),
        Planned(name="teachers-2", about="the second teachers", settings=own, teachers=True),
        Planned(name="joint-3", about="the third joint model", settings=third),
        Planned(
            name="joint-warm-2",
            about="the joint model from the second teachers",
            settings=second | own | warm,
        ),
    ]


def kind_of(member: Planned) -> str:
    """Return what a member shares with those that differ from it only in the seed.

    Args:
        member: The member.
    """
    settings = {key: value for key, value in member.settings.items() if key not in PER_SEED}
    return f"{'teachers' if member.teachers else 'student'} {sorted(settings.items())}"


def check_budget(budget: str | float) -> str | float:
    """Return a budget: the name of one, or seconds.

    Raises:
        ArgumentError: It is neither.
    """
    try:
        seconds = float("" if isinstance(budget, bool) else budget)
    except (TypeError, ValueError):
        one_of("budget", budget, [*BUDGETS, "SECONDS"])
        return budget
    if not 0 < seconds < float("inf"):
        raise ArgumentError(
            f"budget must be a name or a positive number of seconds, found {budget}."
        )
    return seconds


def plan_of(recipe: Recipe, source: Source, budget: str | float, metric: str) -> Plan:
    """Decide what is trained.

    A named budget is a number of passes. Seconds become one by timing one epoch of every teacher;
    the plan keeps what follows, so that a resumed fit trains the same.

    Args:
        recipe: What all members share.
        source: The data.
        budget: See :func:`check_budget`.
        metric: Metric that chooses.
    """
    cost = None
    if isinstance(budget, str):
        passes, why = BUDGETS[budget], f"the budget {budget} has {BUDGETS[budget]} passes"
    else:
        cost = recipe.train.epochs * seconds_per_epoch(recipe, source)
        passes = max(1, int(1 + (budget - cost) / (RESERVE * cost)))
        why = f"{budget:.0f} seconds allow {passes} of about {cost:.0f} seconds each"
    members, left_out, used = [], {}, 0
    for member in members_of(recipe):
        if used + member.passes <= passes:
            members.append(member)
            used += member.passes
        else:
            left_out[member.name] = why
    return Plan(
        budget=f"{budget:g}" if isinstance(budget, float) else budget,
        passes=passes,
        seconds_per_pass=cost,
        members=members,
        left_out=left_out,
        metric=metric,
        recipe=recipe.resolved(),
    )


def seconds_per_epoch(recipe: Recipe, source: Source) -> float:
    """Return the time of one epoch of every teacher; nothing is kept of it.

    A short epoch is repeated, and the shorter time counts: the first one also loads libraries.

    Args:
        recipe: The teachers' recipe.
        source: The data.
    """
    example, options = recipe.example(source), recipe.teachers.train

    def seconds(m: str, epochs: int) -> float:
        own = source.only((m,))
        seed_everything(options.seed)
        model = recipe.build_teacher(source, m, example)
        method = Joint().build(model, training_task(own, options))
        done = fit(method, model, own, replace(options, epochs=epochs))
        return min(float(record["seconds"]) for record in done.history)

    total = 0.0
    for m in source.modalities:
        first = seconds(m, 1)
        total += first if first >= SHORT else seconds(m, 3)
    return total


def member_recipe(recipe: Recipe, member: Planned) -> Recipe:
    """Return the recipe of a member.

    Args:
        recipe: What all members share.
        member: The member.
    """
    settings = dict(member.settings)
    method = settings.pop("method", None)
    changed = recipe if method is None else recipe.changed(method=method, controls=False)
    name = {} if member.teachers else {"name": member.name}
    return changed.changed({**settings, **name})
