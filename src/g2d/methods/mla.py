"""MLA, Multimodal Learning with Alternating unimodal adaptation.

Modalities take turns at one shared head and never share a loss.

X. Zhang, J. Yoon, M. Bansal, H. Yao, "Multimodal Representation Learning by Alternating Unimodal
Adaptation", CVPR 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from g2d.functional.certainty import certainty_weights
from g2d.functional.projections import forgetting, narrowed
from g2d.fusion import Align
from g2d.method import (
    Choice,
    Cost,
    Method,
    Record,
    TrainState,
    check_names,
    order_of_turns,
    pooled_features,
    spaces,
)
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, Present


class MLA(Method):
    """For m = 1..k in turn: z^m = W f^m + b, and a step on CE(z^m, y) alone.

    The prediction is l_i = sum_m lambda_i^m z_i^m, with lambda from the entropies.

    1. In the turn of modality m only encoder m and the shared head (W, b) receive gradients; the
       other encoders do not change.
    2. The gradient of the head is projected, dW <- dW P^T, away from the features of earlier turns.
       P starts as the identity.
    3. One update, with the optimizer's momentum and weight decay.
    4. P <- P - q h^T P, q = P h / (lambda + h^T P h), with the batch mean h of f^m: recursive least
       squares.
    5. Prediction: per row, the more certain modality weighs more (softmax over m of minus the
       entropy of p^m).

    The head belongs to the method, so the model's fusion is not used. Features narrower than the
    widest pass through a linear projector per modality. The order of turns matters by design.

    Args:
        order: Order of the turns; None is the order of the data.
        projection: Project the gradient in step 2; without it, the method is the released code,
            which skips step 2 by mistake.
        update_first: Run step 4 before step 2, so that the gradient of the head also avoids the
            mean of the current batch.
        normalize: Divide P by its Frobenius norm after every step, as the released code would do;
            this slows down the head.
        weights: Fixed lambda^m in place of step 5.
        skip_first_turn: Leave out steps 2 and 4 in the very first turn of the run, as the released
            code would do.
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
        skip_first_turn: bool = False,
    ) -> None:
        super().__init__()
        self.order, self.weights = order, weights
        self.projection, self.update_first, self.normalize = projection, update_first, normalize
        self.skip_first_turn = skip_first_turn
        self.batches = 0

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.turns = order_of_turns(self.order, self.modalities)
        if self.weights is not None:
            check_names("weights", self.weights, self.modalities)
        self.align = Align(model.fusion.dims)
        self.head = nn.Linear(self.align.width, task.outputs)
        self.register_buffer("projector", torch.eye(self.align.width))
        return self

    def head_scale(self, model: MultimodalModel) -> None:
        """Return None: the prediction is weighted row by row and needs no calibration."""

    def epoch_start(self, state: TrainState) -> None:
        self.batches = 0

    def epoch_state(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def load_epoch_state(self, values: Mapping[str, Any]) -> None:
        self.batches = values["batches"]

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        record: Record = {}
        for m in self.turns:
            mean = self._backward(state, m, batch, record)
            if self.projection and not (self.skip_first_turn and state.step == 0):
                self._project(state, mean)
            state.update()
        self.batches += 1
        return state.recorded(record)

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        features = pooled_features(model, inputs, present)
        z = {m: self._logits(m, f) for m, f in features.items()}
        if self.weights is None:
            weight = certainty_weights(z, present)
        else:
            weight = {m: z[m].new_full((len(z[m]),), v) for m, v in self.weights.items()}
        return Output(features, torch.stack([weight[m][:, None] * z[m] for m in z]).sum(0), z)

    def _logits(self, m: str, features: Tensor) -> Tensor:
        z: Tensor = self.head(self.align(m, features))
        return z

    def _backward(self, state: TrainState, m: str, batch: Batch, record: Record) -> Tensor:
        """Compute the gradients of modality m's turn; return h over the batch of all processes."""
        total = torch.zeros(self.align.width + 1, dtype=torch.float64, device=state.device)
        for part in state.parts(batch):
            with state.autocast():
                inputs, present = part.batch.inputs, part.batch.present
                pooled = pooled_features(state.model, inputs, present, only=(m,))[m]
                features = self.align(m, pooled)
                term = self.unimodal_loss(m, self.head(features), part.batch)
            state.backward_terms({m: term}, part, record)
            rows = part.batch.has(m).to(total)
            total += torch.cat([rows @ features.detach().to(total), rows.sum()[None]])
        total = state.sum_across_processes(total)
        return total[:-1] / total[-1].clamp_min(1)

    @torch.no_grad()
    def _project(self, state: TrainState, mean: Tensor) -> None:
        """Project the gradient of the head, and update P by the direction ``mean``."""
        state.reduce_gradients()
        before = self.projector.double()
        after = narrowed(before, mean, forgetting(self.batches, state.batches_per_epoch))
        if self.normalize:
            after = after / after.norm()
        gradient = self.head.weight.grad
        assert gradient is not None
        projector = after if self.update_first else before
        gradient.copy_((gradient.to(before) @ projector.T).to(gradient))
        self.projector.copy_(after)
