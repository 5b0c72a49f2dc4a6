"""PMR, Prototypical Modal Rebalance: class prototypes speed up the slow modality and, early on, slow down the dominant one.

Y. Fan, W. Xu, H. Wang, J. Wang, S. Guo, "PMR: Prototypical Modal Rebalance for Multimodal Learning", CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.prototypes import (
    class_sums,
    entropy_per_row,
    prototype_logits,
    rebalance_weights,
)
from g2d.functional.schedule import checked_window, within
from g2d.method import Cost, Log, Method, TrainState, spaces
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Inputs, Output


class PMR(Method):
    """L = L_S + alpha * sum_m beta^m CE(sim^m, y) - mu * max_j beta^j * H(softmax(sim^best)).

    1. At the start of an epoch, prototypes are the class means of every modality's features on a tenth of the training rows,
       mixed with the old ones: c <- eps * c_old + (1 - eps) * c_new. They receive no gradient.
    2. sim^m[i, c] = -‖f_i^m - c_c^m‖; S^m is the mean probability that softmax(sim^m) gives to the truth, over the whole batch.
    3. beta^m = clip( max_j S^j / S^m - 1, 0, 1 ): the paper's rule at k = 2.
    4. The slow modalities learn from their prototypes with weight beta^m; in the first epochs an entropy bonus holds the best back.

    Args:
        alpha: weight of the prototype losses.
        mu: weight of the entropy bonus (the paper: 1e-2 or 1e-3; the released code has none).
        entropy_epochs: the bonus ends after this epoch.
        momentum: eps.
        fraction: share of the training rows behind the prototypes.
        window: first and last epoch of the rebalancing, counted from 1 (the authors': 1 to 101 of 150); None is always.
        readout: unimodal predictions: the fusion's unimodal logits, comparable with other methods', or ``"prototypes"``, sim^m,
            with the prototypes of the last epoch's start.
    """

    cost = Cost(besides="a tenth of an epoch of forwards per epoch")
    search = spaces(alpha=Log(0.1, 4), mu=Log(1e-4, 0.1))
    tasks = frozenset({"classification"})
    needs_rows = True

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        mu: float = 1e-2,
        entropy_epochs: int = 10,
        momentum: float = 0.2,
        fraction: float = 0.1,
        window: Sequence[int] | None = (1, 101),
        readout: Literal["heads", "prototypes"] = "heads",
    ) -> None:
        super().__init__()
        if readout not in ("heads", "prototypes"):
            raise ArgumentError(f"readout must be 'heads' or 'prototypes', found {readout!r}.")
        if not 0 < fraction <= 1:
            raise ArgumentError(f"fraction must be above 0 and at most 1, found {fraction}.")
        self.alpha, self.mu, self.entropy_epochs = alpha, mu, entropy_epochs
        self.momentum, self.fraction, self.window, self.readout = (
            momentum,
            fraction,
            checked_window(window),
            readout,
        )

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        for m, width in model.fusion.dims.items():
            self.register_buffer(f"prototypes_{m}", torch.zeros(task.outputs, width))
            self.register_buffer(f"known_{m}", torch.zeros(task.outputs, dtype=torch.bool))
        return self

    @torch.no_grad()
    def epoch_start(self, state: TrainState) -> None:
        """Refresh the prototypes; a class that the drawn rows lack keeps the one it had."""
        if not self._active(state):
            return
        totals: dict[str, tuple[Tensor, Tensor]] = {}
        with evaluating(state.model), state.autocast():
            for batch in state.train_rows(self.fraction):
                for m, encoded in state.model.encode(batch.inputs).items():
                    present = None if batch.present is None else batch.present.get(m)
                    # where, not a product: what an encoder makes of an absent input may be infinite.
                    features = (
                        encoded.pooled
                        if present is None
                        else torch.where(present[:, None], encoded.pooled, 0.0)
                    )
                    new = class_sums(features, batch.target, self.task.outputs, present)
                    old = totals.get(m)
                    totals[m] = new if old is None else (old[0] + new[0], old[1] + new[1])
        for m, (sums, counts) in totals.items():
            # Processes see the same rows, yet their BatchNorm statistics may differ within an epoch.
            sums, counts = state.sum_across_processes(sums), state.sum_across_processes(counts)
            prototypes, known = self.get_buffer(f"prototypes_{m}"), self.get_buffer(f"known_{m}")
            new_prototypes = sums / counts.clamp_min(1)[:, None]
            mixed = torch.where(
                known[:, None],
                self.momentum * prototypes + (1 - self.momentum) * new_prototypes,
                new_prototypes,
            )
            prototypes.copy_(torch.where((counts > 0)[:, None], mixed, prototypes))
            known |= counts > 0

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        parts = list(state.parts(batch))
        with state.autocast():
            # All parts before any backward: the weights depend on the whole batch.
            outputs = [state.model(part.batch.inputs, present=part.batch.present) for part in parts]
        active = self._active(state) and bool(self.alpha or self.mu)
        sims = (
            [{m: self._sim(m, f) for m, f in output.features.items()} for output in outputs]
            if active
            else []
        )
        beta = (
            self._weights(state, [part.batch for part in parts], sims)
            if active
            else dict.fromkeys(self.modalities, 0.0)
        )
        record: dict[str, Tensor | float] = {f"beta/{m}": value for m, value in beta.items()}
        for i, part in enumerate(parts):
            terms = {"task": self.task.loss(outputs[i].logits, part.batch.target)}
            if active:
                terms |= self._rebalancing(state, part.batch, sims[i], beta)
            state.backward(
                sum(terms.values(), start=torch.zeros((), device=state.device)) * part.share
            )
            for name, term in terms.items():
                record[f"loss/{name}"] = (
                    record.get(f"loss/{name}", 0.0) + term.detach() * part.share
                )
        state.update()
        return state.recorded(record)

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        output = super().predict(model, inputs, present)
        if self.readout == "heads":
            return output
        return Output(
            output.features, output.logits, {m: self._sim(m, f) for m, f in output.features.items()}
        )

    def _active(self, state: TrainState) -> bool:
        return within(self.window, state.epoch)

    def _sim(self, m: str, features: Tensor) -> Tensor:
        return prototype_logits(
            features, self.get_buffer(f"prototypes_{m}"), self.get_buffer(f"known_{m}")
        )

    def _usable(self, m: str, batch: Batch) -> Tensor:
        """Rows ``(B,)`` that have the modality and whose class has a prototype."""
        return self.get_buffer(f"known_{m}")[batch.target] & batch.has(m)

    @torch.no_grad()
    def _weights(
        self, state: TrainState, batches: Sequence[Batch], sims: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, float]:
        """beta^m from S^m over the whole batch of all processes; 0 for a modality that no row could be judged by."""
        total = torch.zeros(len(self.modalities), 2, dtype=torch.float64, device=state.device)
        for batch, sim in zip(batches, sims, strict=True):
            for i, m in enumerate(self.modalities):
                usable = self._usable(m, batch)
                total[i] += torch.stack(
                    [(self.task.confidence(sim[m], batch.target) * usable).sum(), usable.sum()]
                ).double()
        counted = {
            m: s / n
            for m, (s, n) in zip(
                self.modalities, state.sum_across_processes(total).tolist(), strict=True
            )
            if n
        }
        if not counted:
            raise ArgumentError(
                "prototypes must exist before the first step, found none. Call method.epoch_start(state) at the start of every epoch."
            )
        return dict.fromkeys(self.modalities, 0.0) | rebalance_weights(counted)

    def _rebalancing(
        self, state: TrainState, batch: Batch, sims: Mapping[str, Tensor], beta: Mapping[str, float]
    ) -> dict[str, Tensor]:
        terms = {
            f"prototype/{m}": self.alpha
            * weight
            * (self.task.loss_per_row(sims[m], batch.target) * self._usable(m, batch)).mean()
            for m, weight in beta.items()
            if self.alpha * weight != 0
        }
        bonus = self.mu * max(beta.values())
        if bonus != 0 and state.epoch <= self.entropy_epochs:
            for m in (m for m, weight in beta.items() if weight == 0):
                terms[f"entropy/{m}"] = -bonus * (entropy_per_row(sims[m]) * batch.has(m)).mean()
        return terms
