"""Callbacks only watch: they see an epoch's record after the fact, and may ask to stop."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g2d.files import import_extra, write_text
from g2d.locks import require_owned
from g2d.runs import saved_lines

Record = Mapping[str, Any]


class Callback:
    """Base class of all callbacks; every hook does nothing until it is overridden."""

    def on_start(self, epochs: int, done: int) -> None:
        """Prepare for training.

        Args:
            epochs: Number of epochs in the run.
            done: Epochs finished by earlier sessions.
        """

    def on_epoch(self, record: Record) -> bool | None:
        """Observe a finished epoch; return True to ask for a stop.

        Args:
            record: The line of ``metrics.jsonl``.
        """
        return None

    def on_notice(self, sentence: str) -> None:
        """Receive a warning for the user."""

    def on_end(self) -> None:
        """Clean up; called when training ends, also by an error or Ctrl-C."""


class Watch:
    """Several callbacks called as one."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks

    def epoch(self, record: Record) -> bool:
        """Pass an epoch's record on; return True if any callback asks for a stop."""
        stops = [callback.on_epoch(record) for callback in self.callbacks]
        return any(stops)

    def notices(self, sentences: Iterable[str]) -> None:
        """Pass warnings on."""
        for sentence in sentences:
            for callback in self.callbacks:
                callback.on_notice(sentence)


@contextmanager
def running(callbacks: Sequence[Callback], epochs: int, done: int) -> Iterator[Watch]:
    """Start callbacks, yield them as one, and end them whatever happens.

    Args:
        callbacks: Called in this order.
        epochs: Number of epochs in the run.
        done: Epochs finished by earlier sessions.
    """
    for callback in callbacks:
        callback.on_start(epochs, done)
    try:
        yield Watch(callbacks)
    finally:
        for callback in callbacks:
            callback.on_end()


class Metrics(Callback):
    """Writer of ``metrics.jsonl``: one JSON object per epoch and line.

    Args:
        path: The file.
        saved: What :meth:`state` returned when the checkpoint to continue from was saved; None
            without a checkpoint, or if an earlier version saved it.
    """

    def __init__(self, path: Path, saved: Mapping[str, Any] | None = None) -> None:
        self.path, self.saved = path, saved
        self.lines, self.written = 0, hashlib.sha256()

    def on_start(self, epochs: int, done: int) -> None:
        """Keep the lines of saved epochs; a killed run may have left one line too many."""
        kept = saved_lines(self.path, done, self.saved)
        self.lines = done
        self.written.update(kept.encode())
        write_text(self.path, kept)

    def on_epoch(self, record: Record) -> None:
        """Append a line."""
        require_owned(self.path.parent)
        line = json.dumps(record) + "\n"
        self.lines += 1
        self.written.update(line.encode())
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def state(self) -> dict[str, Any]:
        """Return the number of all lines and their SHA-256, which a checkpoint keeps."""
        return {"lines": self.lines, "sha256": self.written.hexdigest()}


class ProgressLine(Callback):
    """Progress on standard error, with the time left.

    In a terminal one line is rewritten; elsewhere a line is printed for every tenth of the epochs.

    Args:
        name: What is trained, as the first word of the line.
        headline: The metric to show.
    """

    def __init__(self, name: str, headline: str) -> None:
        self.name, self.headline = name, headline

    def on_start(self, epochs: int, done: int) -> None:
        """Start the clock."""
        self.epochs, self.first, self.started = epochs, done, time.perf_counter()

    def on_epoch(self, record: Record) -> None:
        """Print the epoch, its validation scores and the time left."""
        epoch = record["epoch"]
        metrics = {"fused": record["valid"]["fused"], **record["valid"]["unimodal"]}
        name = self.headline
        scores = " ".join(f"{m} {one[name]:.3f}" for m, one in metrics.items() if name in one)
        done = f"{self.name}  epoch {epoch}/{self.epochs}"
        line = f"{done}  validation {name}: {scores}  {self.left(epoch)}"
        if sys.stderr.isatty():
            _print(f"\r\x1b[2K{line}")
        elif epoch == self.epochs or epoch % max(1, self.epochs // 10) == 0:
            _print(line + "\n")

    def left(self, epoch: int) -> str:
        """Return the time left after an epoch, in words."""
        elapsed = time.perf_counter() - self.started
        return f"{elapsed / (epoch - self.first) * (self.epochs - epoch):.0f} s left"

    def on_notice(self, sentence: str) -> None:
        """Print a warning on a line of its own."""
        _print(f"{self._newline()}{self.name}  {sentence}\n")

    def on_end(self) -> None:
        """End the rewritten line."""
        _print(self._newline())

    def _newline(self) -> str:
        return "\n" if sys.stderr.isatty() else ""


class TensorBoard(Callback):
    """Scalars of every epoch for TensorBoard.

    Args:
        folder: Gets the event files.
    """

    def __init__(self, folder: Path) -> None:
        import_extra("tensorboard", "tensorboard", "logging to TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder))

    def on_epoch(self, record: Record) -> None:
        """Write the scalars."""
        for name, value in flat(record).items():
            self.writer.add_scalar(name, value, record["epoch"])

    def on_end(self) -> None:
        """Close the event file."""
        self.writer.close()


class WeightsAndBiases(Callback):
    """Scalars of every epoch for Weights & Biases.

    Args:
        name: Name of the run.
        project: Name of the project.
    """

    def __init__(self, name: str, project: str = "g2d") -> None:
        wandb = import_extra("wandb", "wandb", "logging to Weights & Biases")
        self.run: Any = wandb.init(project=project, name=name)

    def on_epoch(self, record: Record) -> None:
        """Log the scalars."""
        self.run.log(flat(record), step=record["epoch"])

    def on_end(self) -> None:
        """Finish the run."""
        self.run.finish()


class MLflow(Callback):
    """Scalars of every epoch for MLflow.

    Args:
        name: Name of the run.
    """

    def __init__(self, name: str) -> None:
        self.mlflow: Any = import_extra("mlflow", "mlflow", "logging to MLflow")
        self.mlflow.start_run(run_name=name)

    def on_epoch(self, record: Record) -> None:
        """Log the scalars."""
        self.mlflow.log_metrics(flat(record), step=record["epoch"])

    def on_end(self) -> None:
        """End the run."""
        self.mlflow.end_run()


def flat(record: Record, prefix: str = "") -> dict[str, float]:
    """Return the numbers of a nested record by their path.

    Example:
        >>> flat({"epoch": 1, "valid": {"fused": {"accuracy": 0.5}}})
        {'epoch': 1.0, 'valid/fused/accuracy': 0.5}
    """
    numbers: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            numbers |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            numbers[f"{prefix}{key}"] = float(value)
    return numbers


def _print(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
