"""Where an experiment reports to: messages, progress lines and loggers of epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from g2d.engine.callbacks import Callback, MLflow, ProgressLine, TensorBoard, WeightsAndBiases
from g2d.engine.processes import process

Say = Callable[[str], object]
Line = Callable[[str, str], Callback]

WATCHERS: dict[str, Callable[[str, Path], Callback]] = {
    "tensorboard": lambda name, folder: TensorBoard(folder / "tensorboard"),
    "wandb": lambda name, folder: WeightsAndBiases(name),
    "mlflow": lambda name, folder: MLflow(name),
}
"""Loggers that receive the numbers of every epoch in addition to ``metrics.jsonl``."""


@dataclass(frozen=True)
class Console:
    """Output of an experiment; with several processes, only rank 0 writes.

    Args:
        say: Receives messages for the user.
        progress: Show a progress line per training.
        watch: Names of :data:`WATCHERS`.
        line: Returns the progress line of a training, from what is trained and the metric to show.
    """

    say: Say = print
    progress: bool = True
    watch: Sequence[str] = ()
    line: Line = ProgressLine

    def on_rank_0(self) -> Console:
        """Return this console on rank 0, and a silent one on every other process."""
        return self if process() == 0 else Console(lambda _: None, progress=False)

    def watchers(self, name: str, folder: Path) -> list[Callback]:
        """Return the loggers of a run.

        Args:
            name: The run's name.
            folder: The run folder.

        Raises:
            MissingDependencyError: A logger's library is not installed.
        """
        return [WATCHERS[watcher](name, folder) for watcher in self.watch]

    def lines(self, name: str, headline: str) -> list[Callback]:
        """Return the progress line of a training, if progress is shown.

        Args:
            name: What is trained.
            headline: The metric to show.
        """
        return [self.line(name, headline)] if self.progress else []
