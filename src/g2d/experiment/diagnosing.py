"""Diagnosis of a trained run: its test rows, its teachers, and the ``analysis.json`` it leaves."""

from __future__ import annotations

from pathlib import Path

from g2d import analysis
from g2d.data import Split
from g2d.errors import RunError
from g2d.experiment.console import Console
from g2d.experiment.loading import Run, load
from g2d.experiment.measurements import Measurements
from g2d.experiment.teachers import teacher_cache
from g2d.model import MultimodalModel
from g2d.report import write_report
from g2d.report.comparison import cautions
from g2d.report.diagnosis import modality_table
from g2d.report.use import use_table
from g2d.runs import MEMBERS, RESULT, TEACHERS, Analysis, DataFacts


def diagnose_run(
    folder: str | Path, *, split: Split = "test", teachers: str | Path | None = None
) -> tuple[Run, analysis.Diagnosis, Analysis]:
    """Diagnose a run, compared with the teachers of its own recipe or of another run.

    Teachers are searched for next to the run and in ``teachers``; none is trained. The figures are
    written to ``analysis.json`` in the run folder, and its page is written again.

    Args:
        folder: The run folder.
        split: Name of the split to diagnose.
        teachers: A run on the same data with the same encoders, whose teachers to compare with.

    Returns:
        The run, its diagnosis, and the content of ``analysis.json``.

    Raises:
        RunError: The folder is not a run.
    """
    run = load(folder)
    if run.exported:
        raise RunError(f"{folder} has no rows to diagnose. Diagnose the run it was exported from.")
    measured = Measurements(run, split, find_teachers(run if teachers is None else load(teachers)))
    diagnosis = measured.diagnosis()
    content = measured.analysis(diagnosis)
    content.write(run.folder)
    if (run.folder / RESULT).is_file():
        write_report(run.folder)
    return run, diagnosis, content


def find_teachers(run: Run) -> dict[str, MultimodalModel]:
    """Return the trained teachers of a run's recipe by modality; missing ones are left out.

    Args:
        run: The run whose teachers are searched for: next to it, next to its comparison, and among
            the members of a fit.
    """
    silent = Console(lambda _: None, progress=False)
    places = run.folder.parent, run.folder.parent.parent, run.folder / MEMBERS
    for folder in [run.recipe.teachers.folder, *(place / TEACHERS for place in places)]:
        if folder is None or not folder.is_dir():
            continue
        example = run.recipe.example(run.source)
        cache = teacher_cache(run.recipe, run.source, folder, example, silent)
        members = [member for m in run.modalities if (member := cache.find(m)) is not None]
        if members:
            return {member.modality: cache.open(member, "best").eval() for member in members}
    return {}


def described(diagnosis: analysis.Diagnosis, content: Analysis, data: DataFacts) -> str:
    """Return the figures of a diagnosis as tables, followed by cautions about the data.

    Args:
        diagnosis: The diagnosis.
        content: The content of ``analysis.json``.
        data: Facts about the data.
    """
    fused, tables = diagnosis.fused, [modality_table(content)]
    if content.uses:
        tables.append(use_table(content))
    sentences = [
        f"All modalities together: {100 * fused.value:.1f} % [{100 * fused.low:.1f}, "
        f"{100 * fused.high:.1f}]; chance: {100 * diagnosis.chance:.1f} %.",
        *([content.interaction.text] if content.interaction is not None else []),
    ]
    return "\n\n".join([*(table.text() for table in tables), "\n".join(sentences + cautions(data))])
