"""Coefficients kappa per modality, and what they scale."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import nn

from g2d.errors import ArgumentError, UnsupportedError
from g2d.method.state import TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task


class Modulation(nn.Module):
    """One coefficient kappa per modality, known before the forward pass; composed with any :class:`SinglePass` method.

    Args:
        modulate: what fractional coefficients scale. ``"gradient"``: the gradient at the door (exact under SGD); ``"update"``: the
            step size of the encoder's parameters (works under Adam and its kin, where a scaled gradient does almost nothing);
            ``"auto"``: whichever fits the optimizer. Coefficients 0 and 1 mean the same under all three.
        gate_heads: a modality's own head is gated with its encoder.
        freeze_batchnorm: running statistics of a suppressed encoder stand still too.
    """

    def __init__(
        self, *, modulate: str = "auto", gate_heads: bool = False, freeze_batchnorm: bool = False
    ) -> None:
        super().__init__()
        if modulate not in ("auto", "gradient", "update"):
            raise ArgumentError(
                f"modulate must be 'auto', 'gradient' or 'update', found {modulate!r}."
            )
        self.modulate, self.gate_heads, self.freeze_batchnorm = (
            modulate,
            gate_heads,
            freeze_batchnorm,
        )

    def build(self, model: MultimodalModel, task: Task) -> None:
        """Check the modulation against the model; called by the method's own ``build``."""

    def epoch_start(self, state: TrainState, teachers: Teachers) -> None:
        """Called before the first step of every epoch."""

    @abstractmethod
    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        """kappa^m of every modality, from the teachers' confidence rho on the whole batch of all processes (Eq. 5)."""

    def at_the_door(self, state: TrainState, kappa: dict[str, float]) -> dict[str, float]:
        """The coefficients the door applies; fractional ones go to the update instead where gradients cannot be scaled."""
        return modulated(state, kappa, self.modulate)


def modulated(state: TrainState, kappa: Mapping[str, float], modulate: str) -> dict[str, float]:
    """Split coefficients between gradient and update: returns those for the gradient, hands the others to the state.

    Raises:
        UnsupportedError: fractional coefficients on the gradient under an adaptive optimizer, asked for by name.
    """
    fractional = {m: value for m, value in kappa.items() if value not in (0.0, 1.0)}
    if not fractional or modulate == "gradient" or (modulate == "auto" and not state.adaptive):
        if fractional and state.adaptive:
            raise UnsupportedError(
                f"modulate='gradient' must have an optimizer that a scaled gradient changes (SGD), found {type(state.optimizer).__name__}. "
                "Use modulate='auto', which scales the step size there."
            )
        return dict(kappa)
    state.scale_update(fractional)
    return {m: 1.0 if m in fractional else value for m, value in kappa.items()}
