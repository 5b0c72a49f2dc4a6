"""MMPareto: a loss per modality next to the joint loss, and a direction that worsens neither.

Y. Wei, D. Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance",
ICML 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.functional.pareto import cosine, pareto_gradients
from g2d.method import (
    Cost,
    Log,
    Method,
    Modulate,
    Record,
    TrainState,
    modulated,
    processes,
    record_terms,
    spaces,
)
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, Present

Gradients = dict[nn.Parameter, Tensor]
"""Gradients of one loss by parameter."""


class MMPareto(Method):
    """L_0 = L_S(l, y), L_m = L_S(H_m f^m, y); encoder m follows gamma h.

    h = 2 a_0 dL_0 + 2 a_m dL_m.

    1. Two backward passes give dL_0 and dL_m in every encoder: the loss of another modality does
       not reach encoder m.
    2. If they agree (cos > 0), a = (1/2, 1/2); if they conflict, a is the minimum-norm point
       between them.
    3. h is rescaled to the length of dL_0 + dL_m and multiplied by gamma.
    4. The fusion follows dL_0, the unimodal heads follow dL_m.

    Without conflict this is the sum of all losses with the encoders' learning rates times gamma.

    Args:
        gamma: Factor on the encoders' gradient.
        norm_scope: Which lengths are compared in step 3. ``"tensor"``: those of each tensor, as in
            the released code; only shorter ones are enlarged, which can change the direction.
            ``"encoder"``: those of the whole encoder, which guarantees that the step conflicts with
            neither loss.
        modulate: What gamma scales, see :class:`~g2d.method.Modulation`: a scaled gradient changes
            nothing under Adam.
    """

    cost = Cost(backward=2, flops=1.66)
    search = spaces(gamma=Log(0.5, 3))

    def __init__(
        self,
        *,
        gamma: float = 1.5,
        norm_scope: Literal["tensor", "encoder"] = "tensor",
        modulate: Modulate = "auto",
    ) -> None:
        super().__init__()
        if gamma <= 0:
            raise ArgumentError(f"gamma must be positive, found {gamma}.")
        self.gamma, self.norm_scope = gamma, norm_scope
        self.modulate: Modulate = modulate

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        dims = model.fusion.dims
        self.heads = nn.ModuleDict({m: nn.Linear(dims[m], task.outputs) for m in dims})
        return self

    def head_scale(self, model: MultimodalModel) -> None:
        """Return None: the unimodal heads do not add up to the fused prediction."""

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        joint, own, record = Gradients(), Gradients(), Record()
        for part in state.parts(batch):
            with state.autocast():
                output = state.model(part.batch.inputs, present=part.batch.present)
                fused = self.task.loss(output.logits, part.batch.target)
                unimodal = {
                    f"unimodal/{m}": self.unimodal_loss(m, z, part.batch)
                    for m, z in self._unimodal(output.features).items()
                }
            alone = torch.stack(tuple(unimodal.values())).sum()
            self._add(state, joint, fused * part.share, state.model.fusion, again=True)
            self._add(state, own, alone * part.share, self.heads)
            record_terms({"task": fused} | unimodal, part, record)
        cosines = self._combine(state, joint, own)
        state.update()
        return state.recorded(record | cosines)

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        output = model(inputs, present=present)
        return Output(output.features, output.logits, self._unimodal(output.features))

    def _unimodal(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {m: self.heads[m](f) for m, f in features.items()}

    def _add(
        self,
        state: TrainState,
        sums: Gradients,
        loss: Tensor,
        heads: nn.Module,
        *,
        again: bool = False,
    ) -> None:
        """Run one backward pass.

        Args:
            state: The training state.
            sums: Receives the gradients of encoders and heads.
            loss: The loss, weighted by the share of its part.
            heads: The heads behind the loss; their gradients also go to the optimizer.
            again: Keep the graph for another backward pass.
        """
        encoders, top = (
            [p for p in module.parameters() if p.requires_grad]
            for module in (state.model.encoders, heads)
        )
        parameters = [*encoders, *top]
        state.watch_loss(loss)
        loss = loss if state.scaler is None else state.scaler.scale(loss)
        gradients = torch.autograd.grad(loss, parameters, retain_graph=again, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                sums[parameter] = sums[parameter] + gradient if parameter in sums else gradient
        for parameter in top:
            if parameter in sums:
                parameter.grad = sums[parameter]

    @torch.no_grad()
    def _combine(self, state: TrainState, joint: Gradients, own: Gradients) -> dict[str, float]:
        """Set the encoders' gradients; return the cosine between both gradients per modality."""
        gamma = modulated(state, dict.fromkeys(self.modalities, self.gamma), self.modulate)
        cosines = {}
        for m, encoder in state.model.encoders.items():
            # A parameter that neither loss reaches keeps no gradient, so that it does not change.
            reached = [p for p in encoder.parameters() if p in joint or p in own]
            if not reached:
                continue
            # The direction depends on the gradients of the whole batch. The update sums over the
            # processes once more, so that the result is divided by their number.
            g0, gm = (
                [state.sum_across_processes(sums.get(p, torch.zeros_like(p))) for p in reached]
                for sums in (joint, own)
            )
            by_tensor = self.norm_scope == "tensor"
            combined = pareto_gradients(g0, gm, gamma=gamma[m], by_tensor=by_tensor)
            for parameter, gradient in zip(reached, combined, strict=True):
                parameter.grad = gradient / processes()
            flat = (torch.cat([g.flatten() for g in gradients]) for gradients in (g0, gm))
            cosines[f"cosine/{m}"] = cosine(*flat)
        return cosines
