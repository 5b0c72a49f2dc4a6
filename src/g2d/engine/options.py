"""How a model is trained, apart from what it is and what it learns from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch

from g2d.errors import ArgumentError

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "step", "cosine", "plateau"]
Selection = Literal["validation", "test"]
Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class TrainOptions:
    """Hyperparameters of the loop.

    Args:
        epochs: passes over the training rows.
        batch_size: rows of one update, over all processes together.
        optimizer, lr, momentum, weight_decay: momentum is SGD's.
        group_lr: learning rates of single groups, by modality or ``fusion`` or ``method``.
        schedule: ``step`` multiplies by ``decay`` at every share of the epochs in ``decay_at``; ``cosine`` ends at zero; ``plateau``
            multiplies by ``decay`` after ``patience`` epochs without a better validation score.
        warmup: epochs of linear increase before.
        clip: largest global gradient norm.
        accumulate: parts that a batch is cut into; still one update.
        precision: compute type of the forward pass.
        seed: of initial weights, order, views and the method's own draws.
        device: ``auto`` is CUDA where there is one.
        workers: processes that read ahead. threads: of torch; None leaves them.
        select_on: the split whose fused headline metric picks the best epoch (a later epoch wins ties).
        calibrate: weigh the heads on the validation rows after training.
        compile: torch.compile for encoders and fusion, one by one.
        eval_batch_size: rows of an evaluation step.
    """

    epochs: int
    batch_size: int = 32
    optimizer: Optimizer = "sgd"
    lr: float = 0.01
    group_lr: Mapping[str, float] = field(default_factory=dict)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: Schedule = "step"
    decay_at: Sequence[float] = (0.75,)
    decay: float = 0.1
    patience: int = 5
    warmup: int = 0
    clip: float | None = None
    accumulate: int = 1
    precision: Precision = "float32"
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    threads: int | None = None
    select_on: Selection = "validation"
    calibrate: bool = False
    compile: bool = False
    eval_batch_size: int = 512

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise ArgumentError(" ".join(faults))

    def _faults(self) -> Iterator[str]:
        for name in ("batch_size", "accumulate", "eval_batch_size", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                yield f"{name} must be one or more, found {getattr(self, name)}."
        for name in ("epochs", "warmup", "workers", "weight_decay", "momentum", "patience", "seed"):
            if not getattr(self, name) >= 0:
                yield f"{name} must not be negative, found {getattr(self, name)}."
        for name, rate in (
            ("lr", self.lr),
            ("clip", self.clip),
            ("decay", self.decay),
            *((f"group_lr.{m}", lr) for m, lr in self.group_lr.items()),
        ):
            if rate is not None and not 0 < rate < math.inf:
                yield f"{name} must be positive, found {rate}."
        for name, kind in (
            ("optimizer", Optimizer),
            ("schedule", Schedule),
            ("precision", Precision),
            ("select_on", Selection),
        ):
            if getattr(self, name) not in get_args(kind):
                yield f"{name} must be one of {', '.join(get_args(kind))}, found {getattr(self, name)!r}."
        if not all(0 <= share <= 1 for share in self.decay_at):
            yield f"decay_at must hold shares of the epochs between 0 and 1, found {list(self.decay_at)}."
        try:
            torch.device("cpu" if self.device == "auto" else self.device)
        except RuntimeError:
            yield f"device must be auto, cpu, cuda or cuda:N, found {self.device!r}."

    def training(self) -> dict[str, Any]:
        """What determines the trained weights: all but where and how fast it happens."""
        elsewhere = {"device", "workers", "threads", "compile", "eval_batch_size"}
        return {
            name: dict(value)
            if isinstance(value, Mapping)
            else list(value)
            if isinstance(value, tuple | list)
            else value
            for name, value in vars(self).items()
            if name not in elsewhere
        }

    def resolved_device(self) -> torch.device:
        """Where training happens on this machine.

        Raises:
            ArgumentError: there is no such device here.
        """
        device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu")
            if self.device == "auto"
            else self.device
        )
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError):
            raise ArgumentError(
                f"device must exist on this machine, found {self.device!r}, which does not. device=auto takes what is there."
            ) from None
        return device
