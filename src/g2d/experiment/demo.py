"""The demonstration: joint training suppresses a modality; G²D and free controls may not."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from g2d.errors import RunError
from g2d.experiment.comparing import WARM
from g2d.experiment.console import Say
from g2d.experiment.grids import grid_cells, run_grid
from g2d.experiment.launching import Launch
from g2d.experiment.owning import owning
from g2d.files import one_of, write_text
from g2d.paper import draw_panels
from g2d.recipe import Recipe
from g2d.report import comparison_table, groups_of, write_page
from g2d.runs import FIGURES, PAGE, Result, RunRecord, read_epochs

Results = Sequence[Result]

OTHERS = ("mild", "trio", "lookalike", "balanced", "dead", "sum", "match", "mix", "small")
SETTINGS = {"memorizer": "digits"} | {name: f"digits/{name}" for name in OTHERS}
"""The settings of the built-in data, and the packaged recipe of each."""
RANKED_BY = {"g2d": "memorization", "g2d-batch": "batch"}
"""Runs of G²D by their ranking, the default and the paper's: the result depends on it."""
SUPPRESSED = 5
"""Points that a modality must lose inside the joint model to count as suppressed."""


def demonstrate(
    setting: str = "memorizer",
    *,
    data_seed: int | None = None,
    seeds: int = 3,
    out: str | Path,
    progress: bool = True,
    say: Say = print,
) -> str:
    """Compare joint training, G²D and free controls on built-in data.

    Args:
        setting: A key of :data:`SETTINGS`.
        data_seed: Seed of other rows and another split; None is the published data.
        seeds: Number of seeds.
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
        groups = groups_of(grid.runs)
        table = comparison_table(groups[0]).only("fused", "unimodal", "ratio")
        words = in_words(results, out)
        write_text(out / "demo.md", f"{table.markdown()}\n\n{words}\n")
        figures = ", ".join(map(str, draw(grid.runs, out)))
        write_page(out / PAGE, groups, title=f"G²D on digits, {setting}")
    return f"{table.text()}\n\n{words}\n\nPage: {out / PAGE}. Figures: {figures}"


def draw(runs: Sequence[RunRecord], out: Path) -> list[Path]:
    """Draw accuracy per modality, the teachers' confidence, and which modality learns when.

    Args:
        runs: All runs of the demonstration.
        out: Folder of the runs.

    Returns:
        The files.
    """
    names = ("joint", *RANKED_BY)
    recipes = {name: [run for run in runs if run.name == name] for name in names}
    ranked = {name: recipes[name] for name in RANKED_BY}
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
    for name, ranking in RANKED_BY.items():
        rows[name] = {"method": "g2d", "method.ranking": ranking, "controls": name == "g2d"}
    rows[WARM] = {"method": WARM}
    return [problem.changed({**common, **row, "name": name}) for name, row in rows.items()]


def in_words(results: Results, out: Path) -> str:
    """Return the results of the demonstration in sentences.

    Args:
        results: Results of the runs.
        out: Folder of the runs.
    """
    names = ("joint", *RANKED_BY)
    runs = {name: [result for result in results if result.name == name] for name in names}
    joint, students = runs["joint"], runs["g2d"]
    modalities = students[0].modalities
    teacher = {m: _mean([one.teachers[m].test["accuracy"] for one in students]) for m in modalities}
    inside = _unimodal(joint, modalities)
    loser = max(modalities, key=lambda m: teacher[m] - inside[m])
    suppressed = teacher[loser] - inside[loser] >= SUPPRESSED
    calibrated = _mean([one.controls["ensemble_calibrated"].test["accuracy"] for one in students])
    finding = (
        f"No modality was suppressed: inside the joint model, each one stays within {SUPPRESSED} "
        "points of its teacher."
    )
    if suppressed:
        finding = (
            f"Joint training suppressed {loser}: a teacher trained on it alone reaches "
            f"{teacher[loser]:.1f} %, the joint model's own prediction from it "
            f"{inside[loser]:.1f} %."
        )
    several = {name: runs[name] for name in RANKED_BY if runs[name]}
    ranked = [
        _sentence(name, some, _fused(joint), loser, suppressed, out)
        for name, some in several.items()
    ]
    last = f"The calibrated teacher ensemble, without further training, reaches {calibrated:.1f} %."
    return " ".join([finding, *ranked, last])


def _sentence(
    name: str, results: Results, joint: float, loser: str, suppressed: bool, out: Path
) -> str:
    modalities = results[0].modalities
    folders = [out / name / f"seed-{result.seed}" for result in results]
    first = statistics.mode([_first_learner(folder, modalities) for folder in folders])
    which = "the suppressed one, " if first == loser else "not the suppressed one, "
    own, fused = _unimodal(results, modalities)[loser], _fused(results)
    return (
        f"G²D, ranked by {RANKED_BY[name]}, let {first}, "
        f"{which if suppressed else ''}learn first: {loser} reached {own:.1f} %, and all "
        f"modalities together {fused:.1f} %, against {joint:.1f} % of joint training "
        f"({fused - joint:+.1f} points)."
    )


def _unimodal(results: Results, modalities: Sequence[str]) -> Mapping[str, float]:
    return {m: _mean([one.test.unimodal[m]["accuracy"] for one in results]) for m in modalities}


def _fused(results: Results) -> float:
    return _mean([result.test.fused["accuracy"] for result in results])


def _first_learner(folder: Path, modalities: Sequence[str]) -> str:
    """Return the modality that learned in most updates of the first epoch."""
    kappa = read_epochs(folder)[0].train
    return max(modalities, key=lambda m: kappa[f"kappa/{m}"])


def _mean(shares: Sequence[float]) -> float:
    """Return the mean in percent."""
    return 100 * statistics.fmean(shares)
