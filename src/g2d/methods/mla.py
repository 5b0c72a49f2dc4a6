"""MLA, Multimodal Learning with Alternating unimodal adaptation: modalities take turns at one shared head, and never share a loss.

X. Zhang, J. Yoon, M. Bansal, H. Yao, "Multimodal Representation Learning by Alternating Unimodal Adaptation", CVPR 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.functional.certainty import certainty_weights
from g2d.functional.projections import forgetting, narrowed
from g2d.fusion import Align
from g2d.method import Choice, Cost, Method, TrainState, spaces
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Inputs, Output


class MLA(Method):
    """For m = 1..k in turn: z^m = W f^m + b, a step on CE(z^m, y) alone; l_i = sum_m lambda_i^m z_i^m with lambda from the entropies.

    1. Only encoder m and the shared head (W, b) receive gradients in modality m's turn; the others do not move a bit.
    2. The head's gradient is projected, dW <- dW P^T, away from the features of the turns before: P starts as the identity.
    3. One update, with the optimizer's momentum and weight decay.
    4. P <- P - q h^T P, q = P h / (lambda + h^T P h), h the batch's mean of f^m: recursive least squares.
    5. Prediction: per row, the surer modality weighs more (softmax over m of minus the entropy of p^m).

    The head is the method's own, so the model's fusion is not used. Features narrower than the widest pass through a projector
    of their modality. The order of turns matters by design.

    Args:
        order: of the turns; None is the order of the data.
        projection: False leaves step 2 out, as the released code does without meaning to.
        update_first: step 4 before step 2: the head's gradient avoids the present batch's own mean too.
        normalize: divide P by its Frobenius norm after every step, as the released code would; it slows the head down.
        weights: fixed lambda^m instead of step 5.
    """

    cost = Cost(updates="k")
    search = spaces(projection=Choice((True, False)))
    tasks = frozenset({"classification"})
    own_heads = True
    projector: Tensor

    def __init__(
        self,
        *,
        order: Sequence[str] | None = None,
        projection: bool = True,
        update_first: bool = False,
        normalize: bool = False,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.order, self.projection, self.update_first, self.normalize, self.weights = (
            order,
            projection,
            update_first,
            normalize,
            weights,
        )
        self.batches = 0

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.turns = self.modalities if self.order is None else tuple(self.order)
        if sorted(self.turns) != sorted(self.modalities):
            raise ArgumentError(
                f"order must name every modality once ({', '.join(self.modalities)}), found {', '.join(self.turns)}."
            )
        if self.weights is not None and set(self.weights) != set(self.modalities):
            raise ArgumentError(
                f"weights must hold one number per modality ({', '.join(self.modalities)}), found {', '.join(self.weights)}."
            )
        self.align = Align(model.fusion.dims)
        self.head = nn.Linear(self.align.width, task.outputs)
        self.register_buffer("projector", torch.eye(self.align.width))
        return self

    def head_scale(self, model: MultimodalModel) -> None:
        """The prediction is weighted row by row: there is nothing left to calibrate."""

    def epoch_start(self, state: TrainState) -> None:
        self.batches = 0

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        record: dict[str, Tensor | float] = {}
        for m in self.turns:
            loss, mean = self._backward(state, m, batch)
            if self.projection:
                self._project(state, mean)
            state.update()
            record[f"loss/{m}"] = loss
        self.batches += 1
        return state.recorded(record)

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        features = {
            m: encoded.pooled for m, encoded in model.encode(inputs, present=present).items()
        }
        z = {m: self._logits(m, f) for m, f in features.items()}
        weight = (
            certainty_weights(z, present)
            if self.weights is None
            else {m: torch.full((len(z[m]),), value).to(z[m]) for m, value in self.weights.items()}
        )
        return Output(features, torch.stack([weight[m][:, None] * z[m] for m in z]).sum(0), z)

    def _logits(self, m: str, features: Tensor) -> Tensor:
        z: Tensor = self.head(self.align(m, features))
        return z

    def _backward(self, state: TrainState, m: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gradients of modality m's turn. Returns its loss, and h over the whole batch of all processes."""
        loss = torch.zeros((), device=state.device)
        total = torch.zeros(self.align.width + 1, dtype=torch.float64, device=state.device)
        for part in state.parts(batch):
            present = part.batch.present
            with state.autocast():
                features = self.align(
                    m, state.model.encode(part.batch.inputs, present=present, only=(m,))[m].pooled
                )
                term = self.unimodal_loss(m, self.head(features), part.batch)
            state.backward(term * part.share)
            loss += term.detach() * part.share
            there = part.batch.has(m).to(total)
            total += torch.cat([there @ features.detach().to(total), there.sum()[None]])
        total = state.sum_across_processes(total)
        return loss, total[:-1] / total[-1].clamp_min(1)

    @torch.no_grad()
    def _project(self, state: TrainState, mean: Tensor) -> None:
        state.reduce_gradients()
        before = self.projector.double()
        after = narrowed(before, mean, forgetting(self.batches, state.batches_per_epoch))
        if self.normalize:
            after = after / after.norm()
        gradient = self.head.weight.grad
        assert gradient is not None
        gradient.copy_(
            (gradient.to(before) @ (after if self.update_first else before).T).to(gradient)
        )
        self.projector.copy_(after)
