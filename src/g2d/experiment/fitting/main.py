"""From data to the best model that a budget allows: :func:`fit`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from g2d.data import Source
from g2d.engine.processes import start
from g2d.errors import RunError, UnsupportedError
from g2d.experiment.console import Say
from g2d.experiment.fitting.inputs import OWN, Preparing, base_recipe, name_of, refuse_changes
from g2d.experiment.fitting.keys import metrics_of
from g2d.experiment.fitting.planning import check_budget, member_recipe, plan_of
from g2d.experiment.fitting.raw import Target
from g2d.experiment.fitting.steps import Fitting
from g2d.experiment.loading import Run, load
from g2d.experiment.owning import owning
from g2d.experiment.run import NOTHING_LEFT, begin
from g2d.files import one_of
from g2d.locks import is_bookkeeping
from g2d.method import processes
from g2d.recipe import Recipe
from g2d.runs import (
    PLAN,
    Plan,
    differences,
    essential,
    hashes_of,
    read_plan,
    read_result,
    same_data,
)


def fit(
    data: Any,
    target: Target = None,
    *,
    modalities: Sequence[str] | str = (),
    budget: str | float = "normal",
    metric: str | None = None,
    out: str | Path | None = None,
    plan: str | Path | None = None,
    allow_partial: bool = False,
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
        target: Column or array to predict, or several columns of a table. It is not needed for a
            store or a recipe.
        modalities: Names of the modalities to use, also as one text with commas; all by default.
        budget: ``"fast"`` (2 passes of the training rows per epoch), ``"normal"`` (4),
            ``"thorough"`` (up to 10), or a number of seconds.
        metric: Metric that chooses; by default the one that selects epochs.
        out: Folder of the result; by default ``runs/fit-NAME``.
        plan: A ``plan.json`` of an earlier fit, whose members are trained.
        allow_partial: Accept raw data of which more than a tenth of the samples cannot be used.
        progress: Show a progress line for the whole fit.
        say: Receives messages for the user.
        preparing: Returns the context in which raw data are prepared, which yields a function for
            the progress of it.
        overrides: Values of the recipe of all members by key, as in :func:`g2d.train`:
            ``epochs=5``, ``train={"lr": 0.1}``; and options of the preparation of raw data:
            ``kinds={"note": "text"}``, ``unreadable="lack"``.

    Raises:
        ArgumentError: An argument breaks its rule.
        DataError: The data cannot be prepared.
        RecipeError: An override has faults.
        RunError: ``out`` belongs to another fit, or ``plan`` is no plan.
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
    # Damaged plans are refused before anything takes time.
    for path in (plan, folder / PLAN if (folder / PLAN).is_file() else None):
        if path is not None:
            read_plan(Path(path))
    shared: dict[str, Any] = {"allow_partial": allow_partial, "say": say, "preparing": preparing}
    names = _listed(modalities)
    recipe = base_recipe(data, target, names, folder, overrides, metric=metric, **shared)
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
    target: Target = None,
    *,
    modalities: Sequence[str] | str = (),
    budget: str | float = "normal",
    out: str | Path | None = None,
    allow_partial: bool = False,
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
        allow_partial: See :func:`fit`.
        say: Receives messages for the user.
        preparing: Returns the context in which raw data are prepared, which yields a function for
            the progress of it.
        overrides: See :func:`fit`.
    """
    budget = check_budget(budget)
    shared: dict[str, Any] = {"allow_partial": allow_partial, "say": say, "preparing": preparing}
    folder, names = _claimed(data, out), _listed(modalities)
    recipe = base_recipe(data, target, names, folder, overrides, **shared)
    named = budget if isinstance(budget, str) else "thorough"
    plan = plan_of(recipe, recipe.build_source(), named, "")
    lines = [f"# {one.name}: {one.about} {one.settings or ''}".rstrip() for one in plan.members]
    more = "" if isinstance(budget, str) else f"# As many of these as {budget:g} seconds allow:\n"
    return recipe.to_yaml() + more + "\n".join(lines)


def _listed(modalities: Sequence[str] | str) -> list[str]:
    names = modalities.split(",") if isinstance(modalities, str) else modalities
    return [name for name in dict.fromkeys(name.strip() for name in names) if name]


def _claimed(data: Any, out: str | Path | None) -> Path:
    """Return the folder of a fit; refuse one that holds anything else."""
    folder = Path("runs", f"fit-{name_of(data)}") if out is None else Path(out)
    if folder.is_file():
        raise RunError(f"--out must be a folder, found the file {folder}.")
    if not folder.is_dir() or (folder / PLAN).is_file():
        return folder
    files = [path for path in folder.iterdir() if not is_bookkeeping(path)]
    if others := sorted(path.name for path in files if path.name not in OWN):
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
    one_of("metric", metric, metrics_of(source.task))
    path = folder / PLAN
    if not path.is_file():
        plan = plan_of(recipe, source, budget, metric) if given is None else read_plan(Path(given))
        for member in plan.members:  # A fault of the last one is found before the first is trained.
            member_recipe(recipe, member)
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
    refuse_changes(folder, differences(before, now))
    return plan
