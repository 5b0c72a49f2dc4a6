"""Modulation: one coefficient kappa per modality, and the choice of what it scales."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import nn

from g2d.configured import Configured
from g2d.errors import UnsupportedError
from g2d.method.contract import Validation
from g2d.method.state import TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Output

Modulate = Literal["auto", "gradient", "update"]
"""Target of a fractional coefficient: gradients or updates, see :class:`Modulation`."""
Scope = Literal["all", "conv_only"]
"""Parameters that a coefficient scales, see :func:`in_scope`."""


class Modulation(Configured, nn.Module):
    """Base of modulations: one coefficient kappa per modality, known before the forward pass.

    A modulation can be combined with every :class:`SinglePass` method.

    Args:
        modulate: What a fractional coefficient scales; 0 and 1 mean the same in all three.

            - ``"gradient"``: the gradient of the features, which is exact under SGD;
            - ``"update"``: the update of the encoder's parameters, weight decay included, which
              also works under Adam and similar optimizers, where a scaled gradient changes almost
              nothing;
            - ``"auto"``: the gradient under SGD, the update under other optimizers.
        gate_heads: Suppress the head of a modality together with its encoder.
        freeze_batchnorm: Freeze the running statistics of a suppressed encoder too.
    """

    by: str = "batch"
    """The confidence that decides, as a ranking of :class:`~g2d.modulations.SMP` names it."""
    wants_unimodal_logits: bool = False
    """Whether :meth:`observe` reads the student's own z^m."""

    @property
    def exclusive(self) -> bool:
        """Whether there are stages in which one modality learns alone."""
        return False

    def __init__(
        self,
        *,
        modulate: Modulate = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__()
        self.modulate: Modulate = modulate
        self.gate_heads, self.freeze_batchnorm = gate_heads, freeze_batchnorm

    def build(self, model: MultimodalModel, task: Task) -> None:
        """Check the modulation against the model; called by the method's own ``build``."""

    def epoch_start(self, state: TrainState, teachers: Teachers) -> None:
        """Prepare for an epoch; called before its first step."""

    def epoch_state(self) -> dict[str, Any]:
        """Return what :meth:`Method.epoch_state` returns of the modulation."""
        return {}

    def load_epoch_state(self, values: Mapping[str, Any]) -> None:
        """Restore what :meth:`epoch_state` returned; called instead of ``epoch_start``."""

    @abstractmethod
    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        """Return kappa^m of every modality.

        Args:
            state: The training state.
            rho: Confidence of every teacher on the whole batch of all processes (Eq. 5).
        """

    def at_the_door(self, state: TrainState, kappa: dict[str, float]) -> dict[str, float]:
        """Return the coefficients for the gradients; the state keeps those for the update."""
        return modulated(state, kappa, self.modulate, heads=self.gate_heads)

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        """Finish an epoch; called with the validation results.

        Returns:
            The values to record, by name.
        """
        return {}

    def observe(self, output: Output, batch: Batch) -> None:
        """Read the output of a part after its backward pass; runs without gradients."""

    def before_update(self, state: TrainState) -> dict[str, float]:
        """Scale the accumulated gradients of a modulation that has not acted at the door.

        Returns:
            The coefficients kappa^m, for the record; empty if they were known before.
        """
        return {}


def in_scope(parameter: nn.Parameter, scope: Scope) -> bool:
    """Return whether a coefficient scales a parameter.

    Args:
        parameter: Parameter of an encoder or a head.
        scope: ``"all"`` parameters, or ``"conv_only"``: those with four dimensions.
    """
    return scope == "all" or parameter.ndim == 4


def scale_gradient_of(parameter: nn.Parameter, kappa: float) -> None:
    """Multiply an accumulated gradient.

    A coefficient of 0 removes the gradient: with a gradient of zero, momentum and weight decay
    would still move the parameter.
    """
    if kappa == 0:
        parameter.grad = None
    elif kappa != 1 and parameter.grad is not None:
        parameter.grad.mul_(kappa)


def scales_update(state: TrainState, modulate: Modulate) -> bool:
    """Return whether fractional coefficients scale the update instead of the gradient."""
    return modulate == "update" or (modulate == "auto" and state.adaptive)


def modulated(
    state: TrainState,
    kappa: Mapping[str, float],
    modulate: Modulate,
    *,
    heads: bool = False,
    only: Callable[[nn.Parameter], bool] | None = None,
) -> dict[str, float]:
    """Split coefficients between gradients and the update.

    Args:
        state: The training state; keeps the coefficients of its next update.
        kappa: One coefficient per modality.
        modulate: What fractional coefficients scale, see :class:`Modulation`.
        heads: Whether the update of the modality's own head is scaled too.
        only: Which parameters of an encoder get the coefficient in the update; None is all.

    Returns:
        The coefficients for the gradients.

    Raises:
        UnsupportedError: if ``modulate="gradient"`` meets an optimizer that would undo it.
    """
    fractional = {m: value for m, value in kappa.items() if value not in (0.0, 1.0)}
    if not fractional:
        return dict(kappa)
    if scales_update(state, modulate):
        state.scale_update(fractional, heads=heads, only=only)
        return {m: 1.0 if m in fractional else value for m, value in kappa.items()}
    if state.adaptive:
        raise UnsupportedError(
            "modulate='gradient' must have an optimizer that a scaled gradient changes (SGD), "
            f"found {type(state.optimizer).__name__}. "
            "Use modulate='auto', which scales the update there."
        )
    return dict(kappa)
