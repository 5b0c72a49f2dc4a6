"""The demonstration: what joint training does to a modality, what G²D does about it, and what the free controls do."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from g2d.errors import ArgumentError
from g2d.experiment.compare import WARM, run_grid
from g2d.experiment.run import Say
from g2d.files import did_you_mean, write_text
from g2d.recipe import Recipe
from g2d.report.layouts import comparison_table
from g2d.report.page import write_page
from g2d.runs import PAGE, Result, read_epochs

Results = Sequence[Result]

SETTINGS = {
    "memorizer": "digits",
    "mild": "digits/mild",
    "trio": "digits/trio",
    "lookalike": "digits/lookalike",
    "balanced": "digits/balanced",
    "dead": "digits/dead",
    "small": "digits/small",
}
"""The settings of the built-in data, and the packaged recipe of each."""
RANKED_BY = {"g2d": "best", "g2d-last": "last"}
"""G²D's runs, and which checkpoint of the teachers says who learns first: the ranking is the method's weak point, so both are shown."""


def demonstrate(
    setting: str = "memorizer",
    *,
    data_seed: int | None = None,
    seeds: int = 3,
    out: str | Path,
    progress: bool = True,
    say: Say = print,
) -> str:
    """Train the teachers, joint training, G²D and joint training from the teachers; add the teachers' ensembles; draw figures.

    Returns:
        a table, and what happened in words. ``out`` also holds them, with figures and one folder per run.
    """
    out = Path(out)
    recipes = demo_recipes(setting, data_seed)
    runs, _ = run_grid(recipes, seeds, out, progress=progress, say=say)
    results = [run.result for run in runs]
    table = comparison_table(runs).only("fused", "unimodal", "ratio")
    text = f"{table.text()}\n\n{in_words(results, out)}"
    write_text(out / "demo.md", text + "\n")
    figures = draw(results, out)
    write_page(out / PAGE, runs, title=f"G²D on digits, {setting}")
    return f"{text}\n\nPage: {out / PAGE}. Figures: {', '.join(str(path) for path in figures if path.suffix == '.svg')}"


def draw(results: Results, out: Path) -> list[Path]:
    """Accuracy per modality over epochs for joint training and G²D, the teachers' confidence, and who learns when."""
    from g2d import report

    runs = {
        name: [out / name / f"seed-{result.seed}" for result in results if result.name == name]
        for name in ("joint", *RANKED_BY)
    }
    taught = [result.teachers for result in results if result.teachers]
    teachers = {
        m: statistics.fmean(teacher[m].valid["accuracy"] for teacher in taught) for m in taught[0]
    }
    ranked = {name: runs[name] for name in RANKED_BY}
    figures = out / "figures"
    return [
        *report.unimodal_curves(runs, figures / "unimodal", teachers),
        *report.confidence_curves(ranked, figures / "confidence"),
        *report.prioritized_modality(ranked, figures / "prioritized"),
    ]


def demo_recipes(setting: str, data_seed: int | None = None) -> list[Recipe]:
    """Joint training, G²D with its controls, and joint training that starts from the teachers.

    Raises:
        ArgumentError: no such setting.
    """
    if setting not in SETTINGS:
        raise ArgumentError(
            f"--setting must be one of {', '.join(SETTINGS)}, found {setting!r}."
            + did_you_mean(setting, SETTINGS)
        )
    problem = Recipe.load(SETTINGS[setting])
    fresh = {} if data_seed is None else {"data.protocol": "random-v1", "data.data_seed": data_seed}
    common = {**fresh, "teachers.distil_checkpoint": problem.teachers.distil_checkpoint}
    rows: dict[str, dict[str, Any]] = {
        "joint": {"method": "joint"},
        **{
            name: {
                "method": "g2d",
                "teachers.ranking_checkpoint": checkpoint,
                "controls": checkpoint == "best",
            }
            for name, checkpoint in RANKED_BY.items()
        },
        WARM: {"method": WARM},
    }
    return [problem.changed({**common, **row, "name": name}) for name, row in rows.items()]


def in_words(results: Results, out: Path) -> str:
    """What happened to which modality."""
    by = {
        name: [result for result in results if result.name == name]
        for name in ("joint", *RANKED_BY)
    }
    by = {name: runs for name, runs in by.items() if runs}
    modalities = by["g2d"][0].modalities
    teacher = {
        m: _mean([result.teachers[m].test["accuracy"] for result in by["g2d"]]) for m in modalities
    }
    alone = {
        name: {
            m: _mean([result.test.unimodal[m]["accuracy"] for result in runs]) for m in modalities
        }
        for name, runs in by.items()
    }
    fused = {
        name: _mean([result.test.fused["accuracy"] for result in runs]) for name, runs in by.items()
    }
    loser = max(modalities, key=lambda m: teacher[m] - alone["joint"][m])
    suppressed = teacher[loser] - alone["joint"][loser] >= 5
    learnt = f"alone, a teacher learns {teacher[loser]:.1f} % from it; in the joint model it is left at {alone['joint'][loser]:.1f} %"
    balanced = "No modality was suppressed: in joint training every one stays within 5 points of what its teacher learnt alone."
    sentences = [f"Joint training suppressed {loser}: {learnt}." if suppressed else balanced]
    for name in [name for name in by if name in RANKED_BY]:
        first = statistics.mode(
            [_first_learner(out / name / f"seed-{result.seed}", modalities) for result in by[name]]
        )
        which = (
            ""
            if not suppressed
            else ", the suppressed one,"
            if first == loser
            else ", not the suppressed one,"
        )
        sentences.append(
            f"G²D ranked by the teachers' {RANKED_BY[name]} checkpoints let {first}{which} learn first, alone: {loser} came to {alone[name][loser]:.1f} %, "
            f"and all modalities together to {fused[name]:.1f} % against {fused['joint']:.1f} % of joint training ({fused[name] - fused['joint']:+.1f} points)."
        )
    calibrated = _mean(
        [result.controls["ensemble_calibrated"].test["accuracy"] for result in by["g2d"]]
    )
    return " ".join(
        [
            *sentences,
            f"The teachers' calibrated ensemble, which needs no further training, reaches {calibrated:.1f} %.",
        ]
    )


def _first_learner(folder: Path, modalities: list[str]) -> str:
    """The modality that learnt in the first epoch, in most updates."""
    kappa = read_epochs(folder)[0].train
    return max(modalities, key=lambda m: kappa[f"kappa/{m}"])


def _mean(shares: list[float]) -> float:
    return 100 * statistics.fmean(shares)
