"""MSES, Modality-Specific Early Stopping: a branch that overfits goes back to its best epoch and stops; the others go on.

N. Fujimori, R. Endo, Y. Kawai, T. Mochizuki, "Modality-Specific Learning Rate Control for Multimodal Classification", ACPR 2019.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import Additive
from g2d.method import Cost, Method, TrainState, Validation, Whole, spaces
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch


class MSES(Method):
    """L = L_S(l, y) + weight * sum_m L_S(z^m, y), over the branches that still learn.

    1. After every epoch, V^m is the validation loss of the modality's own logits (smoothed, if asked for).
    2. Where V^m has been above its minimum for more than ``patience`` epochs, branch m (encoder and head) stops: at the start of
       the next epoch it is brought back to the epoch of the minimum, and from then on skipped: kappa^m = 0, not a bit moves.
    3. When all branches have stopped, one more epoch evaluates what they are together, and training ends.

    Args:
        patience: epochs without a new minimum (CREMA-D and VGGSound 80, AV-MNIST 10, UR-Funny 30 in the only published settings).
        weight: of the unimodal losses; 0 is joint training, stopped branch by branch.
        smoothing: share of the *previous* epoch's raw loss in V^m, a blend of two points; 0 is none, 0.6 what AGM's authors used.
        restore: what goes back to the epoch of the minimum: the ``"branch"``, or the whole ``"model"``, which rewinds the other
            modalities too.
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
        if restore not in ("branch", "model"):
            raise ArgumentError(f"restore must be 'branch' or 'model', found {restore!r}.")
        self.patience, self.weight, self.smoothing, self.restore = (
            patience,
            weight,
            smoothing,
            restore,
        )

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if not isinstance(model.fusion, Additive):
            raise UnsupportedError(
                f"fusion of MSES must have one head per modality (late, sum or concat), found {type(model.fusion).__name__.lower()}."
            )
        k = len(self.modalities)
        self.register_buffer("frozen", torch.zeros(k, dtype=torch.bool))
        self.register_buffer("pending", torch.zeros(k, dtype=torch.bool))
        self.register_buffer("best", torch.full((k,), math.inf, dtype=torch.float64))
        self.register_buffer("best_epoch", torch.zeros(k, dtype=torch.int64))
        self.register_buffer("previous", torch.full((k,), math.nan, dtype=torch.float64))
        return self

    def epoch_start(self, state: TrainState) -> None:
        """Bring the branches that stopped back to their best epoch; not at once, so that an epoch is judged as it was trained."""
        for i, m in enumerate(self.modalities):
            if self.pending[i]:
                self._restore(state, m)
        self.pending.zero_()

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        if bool(self.frozen.all()):
            return {}
        kappa = {
            m: 0.0
            for m, stopped in zip(self.modalities, self.frozen.tolist(), strict=True)
            if stopped
        }
        record: dict[str, Tensor | float] = {
            f"kappa/{m}": kappa.get(m, 1.0) for m in self.modalities
        }
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
                    if m not in kappa:
                        terms[f"unimodal/{m}"] = self.weight * self.unimodal_loss(m, z, part.batch)
            state.backward(
                sum(terms.values(), start=torch.zeros((), device=state.device)) * part.share
            )
            for name, term in terms.items():
                record[f"loss/{name}"] = (
                    record.get(f"loss/{name}", 0.0) + term.detach() * part.share
                )
        state.update()
        return state.recorded(record)

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        if validation is None:
            raise ArgumentError(
                "validation must be given at the end of every epoch for MSES, found None: it stops branches by their validation loss."
            )
        if bool(self.frozen.all()):
            state.stop = True
            return {}
        for i, m in enumerate(self.modalities):
            if self.frozen[i]:
                continue
            raw = validation.unimodal_loss[m]
            first = bool(self.previous[i].isnan())
            value = (
                raw
                if first
                else self.smoothing * self.previous[i].item() + (1 - self.smoothing) * raw
            )
            self.previous[i] = raw
            if value < self.best[i]:
                self.best[i], self.best_epoch[i] = value, state.epoch
                self._snapshot(state, m)
            elif state.epoch - int(self.best_epoch[i]) > self.patience:
                self.frozen[i] = self.pending[i] = True
        return {
            f"frozen/{m}": float(stopped)
            for m, stopped in zip(self.modalities, self.frozen.tolist(), strict=True)
        }

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
