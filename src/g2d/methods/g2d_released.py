"""G²D as its authors' released code runs it, to reproduce its numbers and to show its drift.

It differs from the paper in three ways. Only convolution weights are suppressed. Suppressing sets a
gradient to zero, so that momentum and weight decay still move the weights. The last exclusive stage
is one epoch longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from g2d.errors import UnsupportedError
from g2d.functional.schedule import Tau
from g2d.fusion import BiGated, Concat, FiLM, Fusion
from g2d.method import Cost, Distillation, Log, TrainState, per_modality, spaces
from g2d.model import MultimodalModel, Teachers
from g2d.modulations import SMP
from g2d.task import Task
from g2d.types import Output


class G2DReleased(Distillation):
    """The loss of G²D (Eq. 4); gradients of convolution weights are zero where kappa = 0.

    The backward pass of every encoder is computed. With a bilinear gate (``bigated``) the projected
    features u^m are distilled instead of f^m.

    Args:
        teachers: Frozen unimodal teachers.
        tau: Prioritization epochs, as in :class:`~g2d.modulations.SMP`.
        alpha: Weight of the feature distillation, one for all modalities or one for each.
        beta: Weight of the logit distillation, one for all modalities or one for each.
        extra_epoch: Add one epoch to the last exclusive stage, as the released code does: it
            compares epochs counted from 0 and includes the last one.
        init: Initialization of the fusion. ``"released"`` draws the weights of its linear layers
            from a Xavier-normal distribution and sets their biases to zero; ``"torch"`` keeps
            those of PyTorch.
    """

    cost = Cost(teacher=1, flops=1.34)
    search = spaces(alpha=Log(0.1, 30), beta=Log(0.1, 10))
    modulation: _OpenDoor

    def __init__(
        self,
        *,
        teachers: Teachers,
        tau: Tau = None,
        alpha: float | Mapping[str, float] = 1.0,
        beta: float | Mapping[str, float] = 1.0,
        extra_epoch: bool = True,
        init: Literal["torch", "released"] = "torch",
    ) -> None:
        super().__init__(
            teachers=teachers, modulation=_OpenDoor(tau, extra_epoch), alpha=alpha, beta=beta
        )
        self.init = init
        self._projected: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None

    def build(self, model: MultimodalModel, task: Task) -> Self:
        """Bind the method to a model and a task; with ``init="released"`` initialize its fusion.

        Raises:
            UnsupportedError: if the fusion differs from the released one of its kind.
        """
        super().build(model, task)
        fusion = model.fusion
        distils = any(per_modality("alpha", self.alpha, model.modalities).values())
        _require_released(fusion, distils)
        self._projected = fusion.projected if isinstance(fusion, BiGated) else None
        if self.init == "released":
            _initialize(fusion)
        return self

    def distilled(self, output: Output) -> Mapping[str, Tensor]:
        features = output.features
        return features if self._projected is None else self._projected(features)

    def before_update(self, state: TrainState) -> None:
        for m, kappa in self.modulation.kappa.items():
            for parameter in state.model.encoders[m].parameters():
                if kappa == 0 and parameter.ndim == 4 and parameter.grad is not None:
                    parameter.grad.zero_()


class _OpenDoor(SMP):
    """The schedule of SMP, whose coefficients are kept for the update instead of the door."""

    def __init__(self, tau: Tau, extra_epoch: bool) -> None:
        super().__init__(tau=tau, ranking="batch")
        self.extra_epoch = extra_epoch

    def stages(self, state: TrainState, modalities: Sequence[str]) -> tuple[int, ...]:
        lengths = list(super().stages(state, modalities))
        if self.extra_epoch and len(lengths) > 1:
            lengths[-2] += 1
        return tuple(lengths)

    def at_the_door(self, state: TrainState, kappa: dict[str, float]) -> dict[str, float]:
        self.kappa = kappa
        return {}


def _require_released(fusion: Fusion, distils: bool) -> None:
    """Refuse a fusion whose options differ from those of the released code.

    Args:
        fusion: Fusion of the student.
        distils: Whether features are distilled.
    """
    if isinstance(fusion, FiLM) and fusion.plus_one:
        raise UnsupportedError(
            "plus_one of film fusion must be false with g2d_released, whose authors scale by gamma "
            "alone, found true. Use g2d, or set fusion.plus_one=false."
        )
    if isinstance(fusion, BiGated) and distils:
        wrong = [f"{m} {d}" for m, d in fusion.dims.items() if d != fusion.width]
        if wrong:
            raise UnsupportedError(
                "features of all modalities must be as wide as the projected features of bigated "
                f"fusion ({fusion.width}) with g2d_released, which distils these, "
                f"found {', '.join(wrong)}. Use g2d."
            )
    if isinstance(fusion, FiLM | BiGated) and fusion.readout != "self_modulation":
        raise UnsupportedError(
            "unimodal logits must be read by self_modulation with g2d_released, "
            f"found {fusion.readout}. Use g2d, or set fusion.unimodal=self_modulation."
        )


@torch.no_grad()
def _initialize(fusion: Fusion) -> None:
    """Draw weights of linear layers from Xavier-normal distributions; set biases to zero."""
    for layer in fusion.modules():
        if isinstance(layer, nn.Linear):
            joint = isinstance(fusion, Concat)  # each of its heads is a part of one layer
            inputs = sum(fusion.dims.values()) if joint else layer.in_features
            layer.weight.normal_(std=math.sqrt(2 / (inputs + layer.out_features)))
    for name, parameter in fusion.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
