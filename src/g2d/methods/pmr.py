"""PMR, Prototypical Modal Rebalance: class prototypes speed up the slow modality.

In the first epochs they also slow down the dominant modality.

Y. Fan, W. Xu, H. Wang, J. Wang, S. Guo, "PMR: Prototypical Modal Rebalance for Multimodal
Learning", CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.prototypes import (
    Weighting,
    class_sums,
    entropy_per_row,
    prototype_logits,
    rebalance_weights,
)
from g2d.functional.sums import sum_and_count
from g2d.functional.windows import (
    Window,
    checked_length,
    checked_window,
    first_epochs,
    within,
)
from g2d.method import Cost, Log, Method, Record, TrainState, pooled_features, spaces
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, Present


class PMR(Method):
    """L = L_S + alpha * sum_m beta^m CE(sim^m, y) - mu * max_j beta^j * H(softmax(sim^best)).

    1. At the start of an epoch, prototypes are the class means of every modality's features on a
       tenth of the training rows, mixed with the old ones: c <- eps * c_old + (1 - eps) * c_new.
       They receive no gradient.
    2. sim^m[i, c] = -‖f_i^m - c_c^m‖; S^m is the mean probability of the true class under
       softmax(sim^m), over the whole batch.
    3. beta^m = clip( max_j S^j / S^m - 1, 0, 1 ): the paper's rule at k = 2. The released code
       gives every slower modality the full weight 1.
    4. The slow modalities learn from their prototypes with weight beta^m. In the first epochs an
       entropy bonus slows down the best one.

    Args:
        alpha: Weight of the prototype losses.
        mu: Weight of the entropy bonus (the paper: 1e-2 or 1e-3; the released code has none).
        entropy_epochs: First epochs that have the bonus: their number as an int, or a share of the
            run as a float (10 of 150 epochs); None is all epochs.
        momentum: eps.
        fraction: Share of the training rows from which the prototypes are computed.
        window: Epochs of the rebalancing: where it begins and ends as shares of the run, or the
            first and the last epoch as ints, counted from 1; None rebalances in all epochs. The
            default is the authors' share (101 of 150 epochs).
        weighting: Weights of the slower modalities: ``"graded"`` is beta^m above, the paper's rule;
            ``"full"`` is 1 for each, however small the difference, as in the released code.
        readout: Unimodal predictions: ``"heads"`` are the fusion's unimodal logits, comparable with
            other methods'; ``"prototypes"`` are sim^m, with the prototypes of the last epoch.
    """

    cost = Cost(besides="a tenth of an epoch of forwards per epoch")
    search = spaces(alpha=Log(0.1, 4), mu=Log(1e-4, 0.1))
    tasks = frozenset({"classification"})

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        mu: float = 1e-2,
        entropy_epochs: int | float | None = 0.0667,
        momentum: float = 0.2,
        fraction: float = 0.1,
        window: Window = (0.0, 0.6667),
        weighting: Weighting = "graded",
        readout: Literal["heads", "prototypes"] = "heads",
    ) -> None:
        super().__init__()
        if not 0 < fraction <= 1:
            raise ArgumentError(f"fraction must be above 0 and at most 1, found {fraction}.")
        self.alpha, self.mu = alpha, mu
        self.entropy_epochs = checked_length(entropy_epochs, "entropy_epochs")
        self.weighting: Weighting = weighting
        self.momentum, self.fraction = momentum, fraction
        self.window, self.readout = checked_window(window), readout

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        for m, width in model.fusion.dims.items():
            self.register_buffer(f"prototypes_{m}", torch.zeros(task.outputs, width))
            self.register_buffer(f"known_{m}", torch.zeros(task.outputs, dtype=torch.bool))
        return self

    @torch.no_grad()
    def epoch_start(self, state: TrainState) -> None:
        """Update the prototypes; a class that the drawn rows lack keeps its old one."""
        if not within(self.window, state.epoch, state.epochs):
            return
        totals: dict[str, tuple[Tensor, Tensor]] = {}
        with evaluating(state.model), state.autocast():
            for batch in state.train_rows(self.fraction):
                features = pooled_features(state.model, batch.inputs, batch.present)
                for m, f in features.items():
                    present = None if batch.present is None else batch.present.get(m)
                    new = class_sums(f, batch.target, self.task.outputs, present)
                    old = totals.get(m)
                    totals[m] = new if old is None else (old[0] + new[0], old[1] + new[1])
        for m, (sums, counts) in totals.items():
            # Processes pass over the same rows, but their BatchNorm statistics may differ.
            self._mix(m, state.sum_across_processes(sums), state.sum_across_processes(counts))

    def _mix(self, m: str, sums: Tensor, counts: Tensor) -> None:
        """Mix new class means into the prototypes of a modality."""
        prototypes, known = self.get_buffer(f"prototypes_{m}"), self.get_buffer(f"known_{m}")
        new = sums / counts.clamp_min(1)[:, None]
        mixed = self.momentum * prototypes + (1 - self.momentum) * new
        updated = torch.where(known[:, None], mixed, new)
        prototypes.copy_(torch.where((counts > 0)[:, None], updated, prototypes))
        known |= counts > 0

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        parts = list(state.parts(batch))
        with state.autocast():
            # All parts before any backward pass: the weights depend on the whole batch.
            outputs = [state.model(part.batch.inputs, present=part.batch.present) for part in parts]
        active = within(self.window, state.epoch, state.epochs) and bool(self.alpha or self.mu)
        beta, sims = dict.fromkeys(self.modalities, 0.0), list[dict[str, Tensor]]()
        if active:
            sims = [self._sims(output.features) for output in outputs]
            beta = self._weights(state, [part.batch for part in parts], sims)
        record: Record = {f"beta/{m}": value for m, value in beta.items()}
        for i, part in enumerate(parts):
            terms = {"task": self.task.loss(outputs[i].logits, part.batch.target)}
            if active:
                terms |= self._rebalancing(state, part.batch, sims[i], beta)
            state.backward_terms(terms, part, record)
        state.update()
        return state.recorded(record)

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        output = super().predict(model, inputs, present)
        if self.readout == "heads":
            return output
        return Output(output.features, output.logits, self._sims(output.features))

    def _sims(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return sim^m ``(B, C)`` per modality."""
        return {
            m: prototype_logits(
                f, self.get_buffer(f"prototypes_{m}"), self.get_buffer(f"known_{m}")
            )
            for m, f in features.items()
        }

    def _usable(self, m: str, batch: Batch) -> Tensor:
        """Return the rows ``(B,)`` that have the modality and whose class has a prototype."""
        return self.get_buffer(f"known_{m}")[batch.target] & batch.has(m)

    @torch.no_grad()
    def _weights(
        self, state: TrainState, batches: Sequence[Batch], sims: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, float]:
        """Return beta^m from S^m over the whole batch of all processes.

        A modality without usable rows gets 0. If there are many classes, a batch may hold only
        classes that the drawn rows lack: all modalities get 0.
        """
        total = torch.zeros(len(self.modalities), 2, dtype=torch.float64, device=state.device)
        for batch, sim in zip(batches, sims, strict=True):
            for i, m in enumerate(self.modalities):
                confidence = self.task.confidence(sim[m], batch.target)
                total[i] += sum_and_count(confidence, self._usable(m, batch))
        sums = zip(self.modalities, state.sum_across_processes(total).tolist(), strict=True)
        scores = {m: s / n for m, (s, n) in sums if n}
        if not scores and not any(self.get_buffer(f"known_{m}").any() for m in self.modalities):
            raise ArgumentError(
                "prototypes must exist before the first step, found none. "
                "Call method.epoch_start(state) at the start of every epoch."
            )
        beta = rebalance_weights(scores, self.weighting) if scores else {}
        return dict.fromkeys(self.modalities, 0.0) | beta

    def _has_bonus(self, state: TrainState) -> bool:
        """Return whether the entropy bonus is in force in this epoch."""
        last = first_epochs(self.entropy_epochs, state.epochs, "entropy_epochs")
        return last is None or state.epoch <= last

    def _rebalancing(
        self, state: TrainState, batch: Batch, sims: Mapping[str, Tensor], beta: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Return the prototype losses and the entropy bonus."""
        terms = {}
        for m, weight in beta.items():
            if self.alpha * weight != 0:
                losses = self.task.loss_per_row(sims[m], batch.target) * self._usable(m, batch)
                terms[f"prototype/{m}"] = self.alpha * weight * losses.mean()
        bonus = self.mu * max(beta.values())
        if bonus != 0 and self._has_bonus(state):
            for m in (m for m, weight in beta.items() if weight == 0):
                terms[f"entropy/{m}"] = -bonus * (entropy_per_row(sims[m]) * batch.has(m)).mean()
        return terms
