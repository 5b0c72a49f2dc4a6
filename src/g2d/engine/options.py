"""Options of training, apart from the model and the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from g2d.errors import ArgumentError
from g2d.files import choice_fault
from g2d.runs import MACHINE_OPTIONS

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "step", "cosine", "plateau"]
Selection = Literal["validation", "test"]
ClassWeights = Literal["balanced"] | Sequence[float] | None
OnNonfinite = Literal["stop", "skip"]
Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
MOST = {
    "epochs": 10**6,
    "batch_size": 2**20,
    "accumulate": 2**20,
    "eval_batch_size": 2**20,
    "seed": 2**63 - 1,
    "workers": 256,
    "threads": 1024,
    "checkpoint_minutes": 10**6,
    "checkpoint_updates": 2**62,
    "keep_checkpoints": 1000,
    **dict.fromkeys(("lr", "clip", "decay", "weight_decay", "momentum"), 1e30),
}
"""Largest values: beyond them a machine runs out of memory, processes, threads or exponents."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of the training loop.

    Args:
        epochs: Passes over the training rows.
        batch_size: Rows per update, over all processes together.
        optimizer: ``sgd``, ``adam`` or ``adamw``.
        lr: Learning rate.
        group_lr: Learning rates of single groups: a modality, ``fusion`` or ``method``.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of every group.
        schedule: ``step`` multiplies the rate by ``decay`` at every share of the epochs in
            ``decay_at``; ``cosine`` ends at zero; ``plateau`` multiplies by ``decay`` after
            ``patience`` epochs without a better validation score; ``constant`` does nothing.
        decay_at: Shares of the epochs, between 0 and 1.
        decay: Factor of ``step`` and ``plateau``.
        patience: Epochs that ``plateau`` waits.
        warmup: Epochs of linear increase at the start.
        clip: Largest norm of all gradients together; None does not clip.
        accumulate: Number of parts that a batch is cut into; still one update per batch.
        precision: Number type of the forward pass.
        seed: Seed of initial weights, order, views and the method's own random numbers.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto``: CUDA if there is a device.
        workers: Processes that read batches ahead; 0 reads in the training process.
        threads: Threads of torch; None keeps torch's own number.
        select_on: Split whose fused headline metric selects the best epoch; a later epoch wins
            ties.
        calibrate: Fit a weight per head on the validation rows after training.
        compile: Compile encoders and fusion with ``torch.compile``, one by one.
        eval_batch_size: Rows per evaluation step.
        class_weights: Factor of the training loss of the rows of each class, in a classification.
            ``balanced`` gives class c of C the factor N / (C N_c), so that all classes count alike
            and the mean over the training rows is 1; None weighs all rows alike. Evaluation is not
            weighted.
        on_nonfinite: What an update with a loss or gradient that is not finite does before it is
            made: ``stop`` ends the run, whose folder keeps the last epoch; ``skip`` leaves its
            batch out, and ``metrics.jsonl`` and ``result.json`` count it.
        checkpoint_minutes: Largest time between two checkpoints, which are also written inside an
            epoch; None writes none inside an epoch for this reason.
        checkpoint_updates: Largest number of batches between two checkpoints, in the same way.
        keep_checkpoints: Number of checkpoints to continue from that are kept until training ends:
            the newest, and those before it, in case it is damaged.

    Raises:
        ArgumentError: A value is out of range; the message lists every such value.

    Example:
        >>> TrainOptions(epochs=0, lr=-1)
        Traceback (most recent call last):
        g2d.errors.ArgumentError: lr must be positive, found -1.
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
    class_weights: ClassWeights = None
    on_nonfinite: OnNonfinite = "stop"
    checkpoint_minutes: float | None = 10.0
    checkpoint_updates: int | None = None
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise ArgumentError(" ".join(faults))

    def _faults(self) -> Iterator[str]:
        counts = ("batch_size", "accumulate", "eval_batch_size", "threads")
        for name in (*counts, "checkpoint_updates", "keep_checkpoints"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                yield f"{name} must be one or more, found {getattr(self, name)}."
        for name in ("epochs", "warmup", "workers", "weight_decay", "momentum", "patience", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                yield f"{name} must not be negative, found {getattr(self, name)}."
        rates = {"lr": self.lr, "clip": self.clip, "decay": self.decay}
        rates |= {f"group_lr.{m}": lr for m, lr in self.group_lr.items()}
        given = vars(self) | rates
        for name, most in {**MOST, **dict.fromkeys(rates, MOST["lr"])}.items():
            if given[name] is not None and most < given[name] < math.inf:
                yield f"{name} must be at most {most:,}, found {given[name]}."
        positive = rates | {"checkpoint_minutes": self.checkpoint_minutes}
        for name, value in positive.items():
            if value is not None and not 0 < value < math.inf:
                yield f"{name} must be positive, found {value}."
        for name, kind in get_type_hints(TrainOptions).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                yield choice_fault(name, getattr(self, name), get_args(kind))
        if isinstance(self.class_weights, str) and self.class_weights != "balanced":
            yield f"class_weights must be balanced or numbers, found {self.class_weights!r}."
        if not all(0 <= share <= 1 for share in self.decay_at):
            yield f"decay_at must hold shares between 0 and 1, found {list(self.decay_at)}."
        try:
            torch.device("cpu" if self.device == "auto" else self.device)
        except RuntimeError:
            yield f"device must be auto, cpu, cuda or cuda:N, found {self.device!r}."

    def training(self) -> dict[str, Any]:
        """Return the options that determine the trained weights, as plain values."""
        options = {name: _plain(value) for name, value in vars(self).items()}
        if self.class_weights is None:  # teachers of earlier versions have no such option
            del options["class_weights"]
        return {name: value for name, value in options.items() if name not in MACHINE_OPTIONS}

    def resolved_device(self) -> torch.device:
        """Return the device on which this machine trains.

        Raises:
            ArgumentError: The device does not exist on this machine.
        """
        available = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(available if self.device == "auto" else self.device)
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError):
            raise ArgumentError(
                f"device must exist on this machine, found {self.device!r}, which does not. "
                "device=auto uses CUDA if it is available and the CPU otherwise."
            ) from None
        return device


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple | list) else value
