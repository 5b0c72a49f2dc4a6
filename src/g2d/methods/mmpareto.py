"""MMPareto: a loss per modality beside the joint one, and in every encoder a direction that worsens neither.

Y. Wei, D. Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance", ICML 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.functional.pareto import cosine, pareto_gradients
from g2d.method import Cost, Log, Method, TrainState, modulated, processes, spaces
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Inputs, Output

Gradients = dict[nn.Parameter, Tensor]
"""Of one loss, by parameter."""


class MMPareto(Method):
    """L_0 = L_S(l, y) and L_m = L_S(H_m f^m, y); encoder m steps along gamma h, h = 2 a_0 dL_0 + 2 a_m dL_m.

    1. dL_0 and dL_m of every encoder, in two backward passes: encoder m sees no other modality's loss.
    2. If they agree (cos > 0), a = (1/2, 1/2); if they conflict, a is the minimum-norm point between them.
    3. h is brought back to the length of dL_0 + dL_m, and enlarged by gamma.
    4. The fusion follows dL_0, the unimodal heads their dL_m.

    Without conflict this is the sum of all losses with encoder rates times gamma.

    Args:
        gamma: enlargement of the encoders' gradient.
        norm_scope: lengths are compared by ``"tensor"`` (the released code: only shorter ones are enlarged, which can bend the
            direction) or by ``"encoder"``, which keeps the guarantee that the step conflicts with neither loss.
        modulate: what gamma scales, see :class:`~g2d.method.Modulation`: a scaled gradient does nothing under Adam.
    """

    cost = Cost(backward=2, flops=1.66)
    search = spaces(gamma=Log(0.5, 3))

    def __init__(
        self,
        *,
        gamma: float = 1.5,
        norm_scope: Literal["tensor", "encoder"] = "tensor",
        modulate: str = "auto",
    ) -> None:
        super().__init__()
        if gamma <= 0:
            raise ArgumentError(f"gamma must be positive, found {gamma}.")
        if norm_scope not in ("tensor", "encoder"):
            raise ArgumentError(f"norm_scope must be 'tensor' or 'encoder', found {norm_scope!r}.")
        if modulate not in ("auto", "gradient", "update"):
            raise ArgumentError(
                f"modulate must be 'auto', 'gradient' or 'update', found {modulate!r}."
            )
        self.gamma, self.norm_scope, self.modulate = gamma, norm_scope, modulate

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.heads = nn.ModuleDict(
            {m: nn.Linear(width, task.outputs) for m, width in model.fusion.dims.items()}
        )
        return self

    def head_scale(self, model: MultimodalModel) -> None:
        """Unimodal predictions come from heads of their own, which do not add up to the fused one."""

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        joint, own = Gradients(), Gradients()
        record: dict[str, Tensor | float] = {}
        for part in state.parts(batch):
            with state.autocast():
                output = state.model(part.batch.inputs, present=part.batch.present)
                fused = self.task.loss(output.logits, part.batch.target)
                unimodal = {
                    m: self.unimodal_loss(m, self.heads[m](f), part.batch)
                    for m, f in output.features.items()
                }
            self._add(state, joint, fused * part.share, state.model.fusion, again=True)
            self._add(
                state, own, torch.stack(tuple(unimodal.values())).sum() * part.share, self.heads
            )
            for name, term in {
                "task": fused,
                **{f"unimodal/{m}": term for m, term in unimodal.items()},
            }.items():
                record[f"loss/{name}"] = (
                    record.get(f"loss/{name}", 0.0) + term.detach() * part.share
                )
        cosines = self._combine(state, joint, own)
        state.update()
        return state.recorded(record | cosines)

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        output = model(inputs, present=present)
        return Output(
            output.features,
            output.logits,
            {m: self.heads[m](f) for m, f in output.features.items()},
        )

    def _add(
        self,
        state: TrainState,
        sums: Gradients,
        loss: Tensor,
        heads: nn.Module,
        *,
        again: bool = False,
    ) -> None:
        """One backward pass: the encoders' gradients into ``sums``, the heads' where the optimizer looks for them."""
        encoders, top = (
            [p for p in module.parameters() if p.requires_grad]
            for module in (state.model.encoders, heads)
        )
        loss = loss if state.scaler is None else state.scaler.scale(loss)
        gradients = torch.autograd.grad(
            loss, [*encoders, *top], retain_graph=again, allow_unused=True
        )
        for parameter, gradient in zip([*encoders, *top], gradients, strict=True):
            if gradient is not None:
                sums[parameter] = sums[parameter] + gradient if parameter in sums else gradient
        for parameter in top:
            if parameter in sums:
                parameter.grad = sums[parameter]

    @torch.no_grad()
    def _combine(self, state: TrainState, joint: Gradients, own: Gradients) -> dict[str, float]:
        gamma, cosines = (
            modulated(state, dict.fromkeys(self.modalities, self.gamma), self.modulate),
            dict[str, float](),
        )
        for m, encoder in state.model.encoders.items():
            # A parameter that neither loss reaches keeps no gradient, and so does not move.
            reached = [p for p in encoder.parameters() if p in joint or p in own]
            if not reached:
                continue
            # The direction depends on the gradients of the whole batch; the update will add it up over processes once more.
            g0, gm = (
                [state.sum_across_processes(sums.get(p, torch.zeros_like(p))) for p in reached]
                for sums in (joint, own)
            )
            combined = pareto_gradients(
                g0, gm, gamma=gamma[m], by_tensor=self.norm_scope == "tensor"
            )
            for parameter, gradient in zip(reached, combined, strict=True):
                parameter.grad = gradient / processes()
            cosines[f"cosine/{m}"] = cosine(
                *(torch.cat([g.flatten() for g in gradients]) for gradients in (g0, gm))
            )
        return cosines
