"""OGM-GE, On-the-fly Gradient Modulation with Generalization Enhancement.

The encoder of the stronger modality learns more slowly.

X. Peng, Y. Wei, A. Deng, D. Wang, D. Hu, "Balanced Multimodal Learning via On-the-fly Gradient
Modulation", CVPR 2022.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from g2d.functional.noise import gradient_noise
from g2d.functional.schedule import Others, partial_suppression
from g2d.functional.windows import Window, checked_window, within
from g2d.method import (
    Log,
    Modulate,
    Scope,
    SinglePass,
    StudentScores,
    TrainState,
    in_scope,
    modulated,
    scale_gradient_of,
    scales_update,
    spaces,
)
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Output


class OGMGE(SinglePass):
    """g^m <- kappa^m g^m + n.

    kappa^m = 1 - tanh(alpha x^m) if x^m = s^m / mean_{j≠m} s^j > 1, else 1.

    1. Forward pass, loss on the fused logits, backward pass.
    2. The score s^m is the mean probability of the true class under the modality's own logits z^m,
       over the whole batch.
    3. The gradient of encoders whose modality is above the others is scaled by kappa^m < 1.
    4. Noise with the standard deviation of each unscaled gradient is added to the gradients of all
       encoders.

    Args:
        alpha: Strength of the modulation. The authors recommend 0.8 on CREMA-D, 0.1 on VGGSound.
        noise: Add the noise of step 4 (GE); without it the method is OGM.
        against: How the scores of the other modalities are combined, see
            :func:`g2d.functional.schedule.partial_suppression`.
        window: Epochs of the modulation: where it begins and ends as shares of the run, or the
            first and the last epoch as ints, counted from 1; None modulates in all epochs. The
            default is the authors' share (51 of 100 epochs, and 151 of 300 in G²D's code).
        scope: ``"conv_only"`` modulates parameters with four dimensions only, as the released code
            does.
        modulate: What a coefficient scales, see :class:`~g2d.method.Modulation`. If it is the
            update, the noise is scaled with it.
    """

    search = spaces(alpha=Log(0.1, 1.5))
    tasks = frozenset({"classification", "multilabel"})
    wants_unimodal_logits = True

    def __init__(
        self,
        *,
        alpha: float = 0.8,
        noise: bool = True,
        against: Others = "mean",
        window: Window = (0.0, 0.5),
        scope: Scope = "all",
        modulate: Modulate = "auto",
    ) -> None:
        super().__init__()
        self.alpha, self.noise = alpha, noise
        self.scope: Scope = scope
        self.against: Others = against
        self.modulate: Modulate = modulate
        self.window = checked_window(window)
        self.kappa: dict[str, float] = {}

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.scores = StudentScores(task)
        return self

    def observe(self, output: Output, batch: Batch) -> None:
        self.scores.add(output, batch)

    def before_update(self, state: TrainState) -> None:
        scores = self.scores.means(state)
        if not within(self.window, state.epoch, state.epochs):
            self.kappa = dict.fromkeys(self.modalities, 1.0)
            return
        self.kappa = partial_suppression(scores, strength=self.alpha, against=self.against)
        at_gradient = modulated(state, self.kappa, self.modulate, only=self._in_scope)
        state.reduce_gradients()
        at_update = scales_update(state, self.modulate)
        for m, kappa in at_gradient.items():
            # An update that is scaled by 0 has no noise either.
            noise = self.noise and not (at_update and kappa == 0)
            for parameter in state.model.encoders[m].parameters():
                if parameter.grad is not None and self._in_scope(parameter):
                    self._modulate(parameter, kappa, state.generator if noise else None)

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        self.scores.clear()
        record = super().training_step(state, batch)
        return record | {f"kappa/{m}": value for m, value in self.kappa.items()}

    def _in_scope(self, parameter: nn.Parameter) -> bool:
        return in_scope(parameter, self.scope)

    def _modulate(
        self, parameter: nn.Parameter, kappa: float, generator: torch.Generator | None
    ) -> None:
        """Scale the gradient of a parameter, and add noise if there is a generator."""
        assert parameter.grad is not None
        if generator is None:
            scale_gradient_of(parameter, kappa)
            return
        noise = gradient_noise(parameter.grad, generator)
        parameter.grad.mul_(kappa).add_(noise)
