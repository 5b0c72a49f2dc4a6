"""Callbacks only watch: they see an epoch's record after the fact, and may ask to stop."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from g2d.errors import MissingDependencyError

Record = Mapping[str, Any]


class Callback(Protocol):
    """What the engine calls."""

    def on_start(self, epochs: int, done: int) -> None: ...

    def on_epoch(self, record: Record) -> bool | None:
        """After every epoch; return True to ask for a stop."""

    def on_notice(self, sentence: str) -> None: ...

    def on_end(self) -> None: ...


class Watcher:
    """A callback that ignores everything; the others override what they care about."""

    def on_start(self, epochs: int, done: int) -> None:
        """Training begins; ``done`` epochs stand from before."""

    def on_epoch(self, record: Record) -> bool | None:
        return None

    def on_notice(self, sentence: str) -> None:
        """A sentence for the user that is not an error."""

    def on_end(self) -> None:
        """Training ended, or was interrupted."""


class Metrics(Watcher):
    """One JSON object per epoch, one per line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_start(self, epochs: int, done: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Lines of epochs that a killed run did not finish saving would be written twice.
        lines = (
            self.path.read_text(encoding="utf-8").splitlines()[:done] if self.path.exists() else []
        )
        self.path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    def on_epoch(self, record: Record) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class Progress(Watcher):
    """One line, rewritten in a terminal, with the time left; a plain line for every tenth of the epochs elsewhere."""

    def __init__(self, name: str, headline: str) -> None:
        self.name, self.headline = name, headline

    def on_start(self, epochs: int, done: int) -> None:
        self.epochs, self.first, self.started = epochs, done, time.perf_counter()

    def on_epoch(self, record: Record) -> None:
        epoch, elapsed = record["epoch"], time.perf_counter() - self.started
        left = elapsed / (epoch - self.first) * (self.epochs - epoch)
        scores = {"fused": record["valid"]["fused"], **record["valid"]["unimodal"]}
        shown = " ".join(
            f"{m} {values[self.headline]:.3f}"
            for m, values in scores.items()
            if self.headline in values
        )
        line = f"{self.name}  epoch {epoch}/{self.epochs}  validation {self.headline}: {shown}  {left:.0f} s left"
        if sys.stderr.isatty():
            _say(f"\r\x1b[2K{line}")
        elif epoch == self.epochs or epoch % max(1, self.epochs // 10) == 0:
            _say(line + "\n")

    def on_notice(self, sentence: str) -> None:
        _say(f"{self._newline()}{self.name}  {sentence}\n")

    def on_end(self) -> None:
        _say(self._newline())

    def _newline(self) -> str:
        return "\n" if sys.stderr.isatty() else ""


class TensorBoard(Watcher):
    """Scalars of every epoch for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                "TensorBoard must be installed to watch a run with it. Run: pip install 'g2d[tensorboard]'."
            ) from error
        self.writer: Any = SummaryWriter(str(folder))

    def on_epoch(self, record: Record) -> None:
        for name, value in flat(record).items():
            self.writer.add_scalar(name, value, record["epoch"])

    def on_end(self) -> None:
        self.writer.close()


class WeightsAndBiases(Watcher):
    """Scalars of every epoch for Weights & Biases."""

    def __init__(self, name: str, project: str = "g2d") -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingDependencyError(
                "wandb must be installed to watch a run with it. Run: pip install 'g2d[wandb]'."
            ) from error
        self.run: Any = wandb.init(project=project, name=name)

    def on_epoch(self, record: Record) -> None:
        self.run.log(flat(record), step=record["epoch"])

    def on_end(self) -> None:
        self.run.finish()


class MLflow(Watcher):
    """Scalars of every epoch for MLflow."""

    def __init__(self, name: str) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise MissingDependencyError(
                "mlflow must be installed to watch a run with it. Run: pip install 'g2d[mlflow]'."
            ) from error
        self.mlflow: Any = mlflow
        mlflow.start_run(run_name=name)

    def on_epoch(self, record: Record) -> None:
        self.mlflow.log_metrics(flat(record), step=record["epoch"])

    def on_end(self) -> None:
        self.mlflow.end_run()


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def flat(record: Record, prefix: str = "") -> dict[str, float]:
    """The numbers of a nested record, by path.

    Example:
        >>> flat({"epoch": 1, "valid": {"fused": {"accuracy": 0.5}}})
        {'epoch': 1.0, 'valid/fused/accuracy': 0.5}
    """
    found: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            found[f"{prefix}{key}"] = float(value)
    return found
