"""MSES, Modality-Specific Early Stopping: a branch that overfits stops at its best epoch.

The other branches continue.

N. Fujimori, R. Endo, Y. Kawai, T. Mochizuki, "Modality-Specific Learning Rate Control for
Multimodal Classification", ACPR 2019.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.method import Cost, Method, Record, TrainState, Validation, Whole, separate_heads, spaces
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch


class MSES(Method):
    """L = L_S(l, y) + weight * sum_m L_S(z^m, y), over the branches that still learn.

    1. After every epoch, V^m is the validation loss of the modality's own logits, optionally
       smoothed.
    2. A branch m (encoder and head) whose V^m has been above its minimum for more than ``patience``
       epochs stops. At the start of the next epoch it is restored to the epoch of the minimum, and
       from then on it is skipped: kappa^m = 0, none of its weights changes.
    3. When all branches have stopped, one more epoch evaluates the restored model, and training
       ends.

    Args:
        patience: Epochs without a new minimum (80 on CREMA-D and VGGSound, 10 on AV-MNIST and 30 on
            UR-Funny in the only published settings).
        weight: Weight of the unimodal losses; 0 is joint training whose branches stop one by one.
        smoothing: Weight of the *previous* epoch's raw loss in V^m, a mean of two values: 0 is
            none, AGM's authors used 0.6.
        restore: What is restored to the epoch of the minimum: the ``"branch"``, or the whole
            ``"model"``, which also resets the other modalities.
    """

    cost = Cost(
        besides="a stopped encoder has no backward pass; needs validation after every epoch"
    )
    search = spaces(patience=Whole(2, 15))
    frozen: Tensor
    pending: Tensor
    best: Tensor
    best_epoch: Tensor
    previous: Tensor

    def __init__(
        self,
        *,
        patience: int = 10,
        weight: float = 1.0,
        smoothing: float = 0.0,
        restore: Literal["branch", "model"] = "branch",
    ) -> None:
        super().__init__()
        if patience < 0:
            raise ArgumentError(f"patience must be zero or more epochs, found {patience}.")
        if not 0 <= smoothing < 1:
            raise ArgumentError(f"smoothing must be at least 0 and below 1, found {smoothing}.")
        self.patience, self.weight = patience, weight
        self.smoothing, self.restore = smoothing, restore

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        separate_heads(self, model)
        k = len(self.modalities)
        self.register_buffer("frozen", torch.zeros(k, dtype=torch.bool))
        self.register_buffer("pending", torch.zeros(k, dtype=torch.bool))
        self.register_buffer("best", torch.full((k,), math.inf, dtype=torch.float64))
        self.register_buffer("best_epoch", torch.zeros(k, dtype=torch.int64))
        self.register_buffer("previous", torch.full((k,), math.nan, dtype=torch.float64))
        return self

    def epoch_start(self, state: TrainState) -> None:
        """Restore branches that stopped to their best epoch.

        This waits for the next epoch, so that an epoch is validated as it was trained.
        """
        for i, m in enumerate(self.modalities):
            if self.pending[i]:
                self._restore(state, m)
        self.pending.zero_()

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        if bool(self.frozen.all()):
            return {}
        kappa = {m: 1.0 - stopped for m, stopped in self.by_modality(self.frozen).items()}
        record: Record = {f"kappa/{m}": value for m, value in kappa.items()}
        for part in state.parts(batch):
            with state.autocast():
                output = state.model(
                    part.batch.inputs,
                    kappa,
                    present=part.batch.present,
                    unimodal=self.weight != 0,
                    gate_heads=True,
                    freeze_batchnorm=True,
                )
                terms = {"task": self.task.loss(output.logits, part.batch.target)}
                for m, z in (output.unimodal_logits or {}).items():
                    if kappa[m]:
                        terms[f"unimodal/{m}"] = self.weight * self.unimodal_loss(m, z, part.batch)
            state.backward_terms(terms, part, record)
        state.update()
        return state.recorded(record)

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        losses = self.validated(validation).unimodal_loss
        if bool(self.frozen.all()):
            state.stop = True
            return {}
        for i, m in enumerate(self.modalities):
            if not self.frozen[i]:
                self._judge(state, i, m, losses[m])
        return {f"frozen/{m}": float(value) for m, value in self.by_modality(self.frozen).items()}

    def _judge(self, state: TrainState, i: int, m: str, raw: float) -> None:
        """Keep the branch if its smoothed loss is a new minimum, or stop it after ``patience``."""
        value = raw
        if not self.previous[i].isnan():
            value = self.smoothing * self.previous[i].item() + (1 - self.smoothing) * raw
        self.previous[i] = raw
        if value < self.best[i]:
            self.best[i], self.best_epoch[i] = value, state.epoch
            self._snapshot(state, m)
        elif state.epoch - int(self.best_epoch[i]) > self.patience:
            self.frozen[i] = self.pending[i] = True

    def _snapshot(self, state: TrainState, m: str) -> None:
        if self.restore == "branch":
            state.snapshot(m)
        else:
            state.snapshot("model")
            state.snapshots[f"model of {m}"] = state.snapshots.pop("model")

    def _restore(self, state: TrainState, m: str) -> None:
        if self.restore == "branch":
            state.restore(m)
        else:
            state.snapshots["model"] = state.snapshots.pop(f"model of {m}")
            state.restore("model")
            del state.snapshots["model"]
