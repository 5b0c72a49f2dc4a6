"""OGM-GE, On-the-fly Gradient Modulation with Generalization Enhancement: the stronger modality's encoder learns more slowly.

X. Peng, Y. Wei, A. Deng, D. Wang, D. Hu, "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.noise import gradient_noise
from g2d.functional.schedule import Others, checked_window, partial_suppression, within
from g2d.method import Log, SinglePass, TrainState, modulated, spaces
from g2d.types import Batch, Output, TeacherOutput


class OGMGE(SinglePass):
    """g^m <- kappa^m g^m + n, with kappa^m = 1 - tanh(alpha x^m) where x^m = s^m / mean_{j≠m} s^j > 1, else 1.

    1. Forward, loss on the fused logits, backward.
    2. The score s^m is the mean probability that the modality's own logits z^m give to the truth, over the whole batch.
    3. Encoders of modalities above the others have their gradient scaled by kappa^m < 1.
    4. Noise with the standard deviation of each unscaled gradient is added to the gradients of all encoders.

    Args:
        alpha: strength of the modulation. The authors recommend 0.8 on CREMA-D and 0.1 on VGGSound.
        noise: step 4 (GE); False is OGM.
        against: what a score is compared with where there are more than two modalities, see
            :func:`g2d.functional.schedule.partial_suppression`.
        window: first and last epoch of the modulation, counted from 1 (the authors': 1 to 51 of 100); None is always.
        scope: ``"conv_only"`` modulates parameters of four dimensions alone, as the released code does.
        modulate: what a coefficient scales, see :class:`~g2d.method.Modulation`. Where it scales the step, the noise is scaled with it.
    """

    search = spaces(alpha=Log(0.1, 1.5))
    tasks = frozenset({"classification"})
    wants_unimodal_logits = True

    def __init__(
        self,
        *,
        alpha: float = 0.8,
        noise: bool = True,
        against: Others = "mean",
        window: Sequence[int] | None = (1, 51),
        scope: Literal["all", "conv_only"] = "all",
        modulate: str = "auto",
    ) -> None:
        super().__init__()
        if against not in get_args(Others):
            raise ArgumentError(
                f"against must be one of {', '.join(get_args(Others))}, found {against!r}."
            )
        if scope not in ("all", "conv_only"):
            raise ArgumentError(f"scope must be 'all' or 'conv_only', found {scope!r}.")
        if modulate not in ("auto", "gradient", "update"):
            raise ArgumentError(
                f"modulate must be 'auto', 'gradient' or 'update', found {modulate!r}."
            )
        self.alpha, self.noise, self.against, self.window = (
            alpha,
            noise,
            against,
            checked_window(window),
        )
        self.scope, self.modulate = scope, modulate
        self.kappa: dict[str, float] = {}
        self._scores: list[Tensor] = []

    def objective(
        self, output: Output, batch: Batch, teacher: TeacherOutput | None
    ) -> dict[str, Tensor]:
        return {"task": self.task.loss(output.logits, batch.target)}

    def observe(self, output: Output, batch: Batch) -> None:
        assert output.unimodal_logits is not None
        rows = []
        for m, z in output.unimodal_logits.items():
            confidence = self.task.confidence(z, batch.target)
            present = batch.has(m).to(confidence)
            rows.append(torch.stack([(confidence * present).sum(), present.sum()]))
        self._scores.append(torch.stack(rows).double())

    def before_update(self, state: TrainState) -> None:
        scores = self._batch_scores(state)
        if not within(self.window, state.epoch):
            self.kappa = dict.fromkeys(self.modalities, 1.0)
            return
        self.kappa = partial_suppression(scores, strength=self.alpha, against=self.against)
        at_gradient = modulated(state, self.kappa, self.modulate)
        if self.scope == "conv_only" and at_gradient != self.kappa:
            raise UnsupportedError(
                "scope='conv_only' must scale gradients, found a step size to scale, which belongs to whole encoders. Use scope='all'."
            )
        state.reduce_gradients()
        for m in self.modalities:
            for parameter in self._selected(state.model.encoders[m]):
                self._modulate(parameter, at_gradient[m], state.generator)

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        self._scores = []
        record = super().training_step(state, batch)
        return record | {f"kappa/{m}": value for m, value in self.kappa.items()}

    def _batch_scores(self, state: TrainState) -> dict[str, float]:
        """s^m over the whole batch of all processes; 0 for a modality that no row has."""
        total = state.sum_across_processes(torch.stack(self._scores).sum(0)).tolist()
        return {m: s / max(n, 1.0) for m, (s, n) in zip(self.modalities, total, strict=True)}

    def _selected(self, encoder: nn.Module) -> list[nn.Parameter]:
        return [
            p
            for p in encoder.parameters()
            if p.grad is not None and (self.scope == "all" or p.ndim == 4)
        ]

    def _modulate(self, parameter: nn.Parameter, kappa: float, generator: torch.Generator) -> None:
        assert parameter.grad is not None
        noise = gradient_noise(parameter.grad, generator) if self.noise else None
        if kappa == 0 and noise is None:
            parameter.grad = None  # a zero would leave momentum and weight decay at work
            return
        if kappa != 1:
            parameter.grad.mul_(kappa)
        if noise is not None:
            parameter.grad.add_(noise)
