"""The demonstration: joint training suppresses a modality; G²D and free controls may not."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from g2d.errors import RunError
from g2d.experiment.comparing import WARM
from g2d.experiment.console import Say
from g2d.experiment.demo_words import FREE, DemoFacts, Ranked, in_words
from g2d.experiment.fitting import fit
from g2d.experiment.grids import grid_cells, run_grid
from g2d.experiment.launching import Launch
from g2d.experiment.loading import Run
from g2d.experiment.owning import owning
from g2d.files import one_of, write_text
from g2d.paper import draw_panels
from g2d.recipe import Recipe
from g2d.report import comparison_table, groups_of, write_page
from g2d.runs import FIGURES, PAGE, RECIPE, TEACHERS, Result, RunRecord, read_epochs

Results = Sequence[Result]

OTHERS = ("mild", "trio", "lookalike", "balanced", "dead", "sum", "match", "mix", "small")
SETTINGS = {"memorizer": "digits"} | {name: f"digits/{name}" for name in OTHERS}
"""The settings of the built-in data, and the packaged recipe of each."""
RANKED: dict[str, dict[str, Any]] = {"g2d": {}, "g2d-batch": {"method.ranking": "batch"}}
"""Runs of G²D by the default ranking and by the paper's: the result depends on it."""
FITTED = "fit"
"""Folder of the result of ``g2d fit``."""


def demonstrate(
    setting: str = "memorizer",
    *,
    data_seed: int | None = None,
    seeds: int = 3,
    budget: str = "normal",
    out: str | Path,
    progress: bool = True,
    say: Say = print,
) -> str:
    """Compare joint training, G²D, free controls and the choice of ``g2d fit`` on built-in data.

    Args:
        setting: A key of :data:`SETTINGS`.
        data_seed: Seed of other rows and another split; None is the published data.
        seeds: Number of seeds; ``g2d fit`` runs under the first one.
        budget: Budget of ``g2d fit``.
        out: Folder of all runs; it also gets ``demo.md``, figures and a page.
        progress: Show a progress line per training.
        say: Receives messages for the user.

    Returns:
        A table, and its summary in words.

    Raises:
        ArgumentError: There is no such setting.
        RunError: Another command writes to the folder, or a run failed.
    """
    out = Path(out)
    recipes = demo_recipes(setting, data_seed)
    with owning(out, say):
        grid = run_grid(grid_cells(recipes, seeds, out), Launch(), progress=progress, say=say)
        if grid.failures:
            raise RunError("\n".join(grid.faults))
        results = [run.result for run in grid.runs]
        fitted = _fit(recipes[0], budget, out, progress, say).result
        groups = groups_of(grid.runs)
        table = comparison_table(groups[0]).only("fused", "unimodal", "ratio")
        words = in_words(facts_of(results, out, fitted))
        write_text(out / "demo.md", f"{table.markdown()}\n\n{words}\n")
        figures = ", ".join(map(str, draw(grid.runs, out)))
        write_page(out / PAGE, groups, title=f"G²D on digits, {setting}")
    pages = f"{out / PAGE}, {out / FITTED / PAGE}"
    return f"{table.text()}\n\n{words}\n\nPages: {pages}. Figures: {figures}"


def _fit(joint: Recipe, budget: str, out: Path, progress: bool, say: Say) -> Run:
    """Fit the same data under the first seed, with the teachers of the other runs."""
    own = {"name": FITTED, "teachers.folder": str((out / TEACHERS).resolve())}
    fitted = joint.changed(own)
    return fit(fitted, budget=budget, out=out / FITTED, progress=progress, say=say)


def draw(runs: Sequence[RunRecord], out: Path) -> list[Path]:
    """Draw accuracy per modality, the teachers' confidence, and which modality learns when.

    Args:
        runs: All runs of the demonstration.
        out: Folder of the runs.

    Returns:
        The files.
    """
    names = ("joint", *RANKED)
    recipes = {name: [run for run in runs if run.name == name] for name in names}
    ranked = {name: recipes[name] for name in RANKED}
    return [
        *draw_panels(recipes, out / FIGURES, ["unimodal"]),
        *draw_panels(ranked, out / FIGURES, ["confidence", "prioritized"]),
    ]


def demo_recipes(setting: str, data_seed: int | None = None) -> list[Recipe]:
    """Return joint training, G²D twice, and joint training that starts from the teachers.

    Args:
        setting: A key of :data:`SETTINGS`.
        data_seed: Seed of other rows and another split; None is the published data.

    Raises:
        ArgumentError: There is no such setting.
    """
    one_of("--setting", setting, SETTINGS)
    problem = Recipe.load(SETTINGS[setting])
    fresh = {} if data_seed is None else {"data.protocol": "random-v1", "data.data_seed": data_seed}
    common = {**fresh, "teachers.distil_checkpoint": problem.teachers.distil_checkpoint}
    rows: dict[str, dict[str, Any]] = {"joint": {"method": "joint"}}
    first = next(iter(RANKED))
    for name, ranking in RANKED.items():
        rows[name] = {"method": "g2d", **ranking, "controls": name == first}
    rows[WARM] = {"method": WARM}
    return [problem.changed({**common, **row, "name": name}) for name, row in rows.items()]


def facts_of(results: Results, out: Path, fitted: Result | None = None) -> DemoFacts:
    """Return what the paragraph says, from the results of the runs.

    Args:
        results: Results of the runs.
        out: Folder of the runs.
        fitted: Result of ``g2d fit``.
    """
    runs = {name: [one for one in results if one.name == name] for name in ("joint", *RANKED)}
    joint, students = runs["joint"], runs["g2d"]
    modalities = students[0].modalities
    return DemoFacts(
        joint=_fused(joint),
        inside=_unimodal(joint, modalities),
        teachers={
            m: _mean([one.teachers[m].test["accuracy"] for one in students]) for m in modalities
        },
        controls={
            key: _mean([one.controls[key].test["accuracy"] for one in students]) for key in FREE
        },
        students=tuple(
            Ranked(
                _ranking(some, out),
                _fused(some),
                _unimodal(some, modalities),
                _first(some, out),
            )
            for name in RANKED
            if (some := runs[name])
        ),
        fit=None if fitted is None else fitted.fit,
        fit_seed=0 if fitted is None else fitted.seed,
    )


def _folders(results: Results, out: Path) -> list[Path]:
    return [out / str(one.name) / f"seed-{one.seed}" for one in results]


def _ranking(results: Results, out: Path) -> str:
    """Return the ranking of some runs."""
    return str(Recipe.load(_folders(results, out)[0] / RECIPE).method.options["ranking"])


def _first(results: Results, out: Path) -> str | None:
    """Return the modality that learned alone first under most seeds, None if none did."""
    modalities = results[0].modalities
    return statistics.mode(
        [_first_learner(folder, modalities) for folder in _folders(results, out)]
    )


def _unimodal(results: Results, modalities: Sequence[str]) -> Mapping[str, float]:
    return {m: _mean([one.test.unimodal[m]["accuracy"] for one in results]) for m in modalities}


def _fused(results: Results) -> float:
    return _mean([result.test.fused["accuracy"] for result in results])


def _first_learner(folder: Path, modalities: Sequence[str]) -> str | None:
    """Return the modality that learned most in the first epoch in which not all learned."""
    for epoch in read_epochs(folder):
        kappa = {m: epoch.train[f"kappa/{m}"] for m in modalities}
        if min(kappa.values()) < 1:
            return max(kappa, key=lambda m: kappa[m])
    return None


def _mean(shares: Sequence[float]) -> float:
    """Return the mean in percent."""
    return 100 * statistics.fmean(shares)
