"""SLURM scripts: an array whose tasks carry out shares of a comparison, a search or a table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from g2d.errors import Terminated
from g2d.experiment.launching import Launch
from g2d.report.formatting import counted

WARNING_SECONDS = 120
"""Seconds before the end of its time at which SLURM signals a task to keep its state."""

TERMINATED = Terminated().code
"""Exit code of a command that was terminated and can be resumed."""
REQUEUE = f"""step=$!
trap 'kill -TERM "$step"' TERM
wait "$step"
code=$?
if [ "$code" -gt 128 ]; then  # a signal ended the waiting, and not yet the command
    wait "$step"
    code=$?
fi
if [ "$code" -eq {TERMINATED} ]; then
    exec scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit $code"""
FINISHED = "echo 'Every cell is finished.'"


@dataclass(frozen=True)
class Array:
    """An array of tasks.

    Args:
        command: Words of the command line after ``g2d``, without ``--shard``.
        cells: Names of the cells in their order, and whether each is finished.
        launch: Its share gives the number of tasks; otherwise every cell is a task.
        threads: Threads of a cell.
        teachers: Words of the command that trains the teachers; empty if there is none.
    """

    command: Sequence[str]
    cells: Sequence[tuple[str, bool]]
    launch: Launch
    threads: int
    teachers: Sequence[str] = ()

    @property
    def tasks(self) -> int:
        """The number of tasks, finished ones included."""
        return self.launch.shares or len(self.cells)

    def script(self) -> str:
        """Return the script, with the steps before and after it as comments."""
        missing = sorted({i % self.tasks + 1 for i, (_, done) in enumerate(self.cells) if not done})
        finished = sum(done for _, done in self.cells)
        header = [
            "--job-name=g2d",
            *([f"--array={_ranges(missing)}"] if missing else []),
            f"--cpus-per-task={self.threads * self.launch.jobs}",
            f"--signal=B:TERM@{WARNING_SECONDS}",
            "--requeue",
        ]
        share = f'--shard "${{SLURM_ARRAY_TASK_ID:?}}/{self.tasks}"'
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in header),
            "# Add what your cluster needs, such as --time, --partition, --account, --gres=gpu:1.",
            f"# {counted(len(self.cells), 'cell')}, {finished} of them finished.",
            *(f"#   task {i % self.tasks + 1}: {cell}" for i, cell in enumerate(self._named())),
            *(f"# {line}" for line in self._steps()),
            f"cd {shlex.quote(str(Path.cwd()))} || exit 2",
            *([f"{_line(self.command)} {share} &", REQUEUE] if missing else [FINISHED]),
        ]
        return "\n".join(lines) + "\n"

    def _named(self) -> Iterator[str]:
        for name, done in self.cells:
            yield " ".join(name.split()) + (" (finished)" if done else "")

    def _steps(self) -> Iterator[str]:
        if self.teachers:
            yield "Before: train the teachers that several tasks need, each once."
            yield f"  {_line(self.teachers)}"
        yield "Then: submit this file with sbatch. A task whose time is over is requeued."
        yield "Afterwards: gather the table."
        yield f"  {_line(self.command)}"


def _line(words: Sequence[str]) -> str:
    """Return a command line, on one line whatever its words contain."""
    return " ".join(shlex.join(["g2d", *words]).split("\n"))


def _ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers as SLURM writes them.

    Example:
        >>> _ranges([1, 2, 3, 7])
        '1-3,7'
    """
    ranges = []
    for _, pairs in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in pairs]
        ranges.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(ranges)
