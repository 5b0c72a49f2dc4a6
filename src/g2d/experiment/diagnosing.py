"""Diagnosis of a trained run: its test rows, its teachers, and the ``analysis.json`` it leaves."""

from __future__ import annotations

from pathlib import Path

from g2d import analysis
from g2d.experiment.console import Console
from g2d.experiment.loading import Run, load
from g2d.experiment.measurements import Measurements
from g2d.experiment.teachers import teacher_cache
from g2d.model import MultimodalModel
from g2d.report.formatting import aligned, number
from g2d.report.layouts import cautions
from g2d.runs import RESULT, TEACHERS, DataFacts


def diagnose_run(
    folder: str | Path, *, split: str = "test", teachers: str | Path | None = None
) -> tuple[Run, analysis.Diagnosis]:
    """Diagnose a run, compared with the teachers of its own recipe or of another run.

    Teachers are searched for next to the run and in ``teachers``; none is trained. The figures are
    written to ``analysis.json`` in the run folder, and its page is written again.

    Args:
        folder: The run folder.
        split: Name of the split to diagnose.
        teachers: A run on the same data with the same encoders, whose teachers to compare with.

    Raises:
        RunError: The folder is not a run.
    """
    run = load(folder)
    measured = Measurements(run, split, find_teachers(run if teachers is None else load(teachers)))
    diagnosis = measured.diagnosis()
    measured.analysis(diagnosis).write(run.folder)
    if (run.folder / RESULT).is_file():
        from g2d.report import write_report

        write_report(run.folder)
    return run, diagnosis


def find_teachers(run: Run) -> dict[str, MultimodalModel]:
    """Return the trained teachers of a run's recipe by modality; missing ones are left out.

    Args:
        run: The run whose teachers are searched for, next to it and next to its comparison.
    """
    silent = Console(lambda _: None, progress=False)
    parents = run.folder.parent, run.folder.parent.parent
    for folder in [run.recipe.teachers.folder, *(parent / TEACHERS for parent in parents)]:
        if folder is None or not folder.is_dir():
            continue
        example = run.recipe.example(run.source)
        cache = teacher_cache(run.recipe, run.source, folder, example, silent)
        members = [member for m in run.modalities if (member := cache.find(m)) is not None]
        if members:
            return {member.modality: cache.open(member, "best").eval() for member in members}
    return {}


def described(diagnosis: analysis.Diagnosis, data: DataFacts) -> str:
    """Return the figures of a diagnosis as a table, followed by cautions about the data.

    Args:
        diagnosis: The diagnosis.
        data: Facts about the data.
    """
    header = [
        "in %",
        "inside the model",
        "teacher alone",
        "gap [95 %]",
        "confidence ratio [95 %]",
        "loss without it",
        "share of the value",
        "linear probe",
    ]
    rows = [
        [
            m,
            _percent(finding.own),
            _percent(finding.teacher),
            _percent(finding.gap, True),
            _ratio(finding.ratio),
            _percent(finding.drop, True),
            number(finding.shapley, 2),
            number(None if finding.probe is None else 100 * finding.probe, 1),
        ]
        for m, finding in diagnosis.modalities.items()
    ]
    whole = (
        f"All modalities together: {_percent(diagnosis.fused, True)} %; "
        f"chance: {100 * diagnosis.chance:.1f} %."
    )
    return "\n".join([aligned(header, rows), whole, *cautions(data)])


def _percent(figure: analysis.Interval | None, interval: bool = False) -> str:
    if figure is None:
        return "-"
    ends = f" [{100 * figure.low:.1f}, {100 * figure.high:.1f}]" if interval else ""
    return f"{100 * figure.value:.1f}{ends}"


def _ratio(figure: analysis.Interval | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
