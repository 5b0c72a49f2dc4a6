"""Losses, gradients and weights that are not finite: they stop a run, or the update is skipped."""

from __future__ import annotations

import torch
from torch import Tensor

from g2d.engine.options import OnNonfinite
from g2d.engine.processes import is_statistic, random_state, set_random_state
from g2d.errors import NonFiniteError
from g2d.method import Method, Record, TrainState
from g2d.model import MultimodalModel
from g2d.types import Batch

SKIPPED = "skipped_updates"
"""Name of the number of skipped batches of an epoch in ``metrics.jsonl``, and of all of a run."""
NOTICE = (
    "A loss or a gradient was not finite. The batch was skipped; "
    f"metrics.jsonl counts such batches as {SKIPPED}."
)


class Steps:
    """Training steps of a run.

    Args:
        method: Takes the steps.
        state: The training state.
        on_nonfinite: With ``"stop"``, an update that is not finite ends the run before it is made.
            With ``"skip"``, its batch is left out, as if the batch did not exist: buffers, such as
            the statistics of BatchNorm, and random numbers are those from before it.
            A method that makes several updates per batch keeps those that were made.
    """

    def __init__(self, method: Method, state: TrainState, on_nonfinite: OnNonfinite) -> None:
        self.method, self.state, self.on_nonfinite = method, state, on_nonfinite

    def take(self, batch: Batch) -> Record | None:
        """Train on one batch; return its record, or None if it was skipped.

        Raises:
            NonFiniteError: The update is not finite, and it must not be skipped.
        """
        if self.on_nonfinite == "stop":
            return self._stopping(batch)
        modules = (self.state.model, self.method)
        buffers = [(b, b.clone()) for module in modules for b in module.buffers()]
        own, random = self.state.generator.get_state(), random_state(self.state.device)
        try:
            return self.method.training_step(self.state, batch)
        except NonFiniteError:
            for buffer, value in buffers:
                buffer.copy_(value)
            self.state.generator.set_state(own)
            set_random_state(self.state.device, random)
            self.method.notices[SKIPPED] = NOTICE
            return None

    def _stopping(self, batch: Batch) -> Record:
        try:
            return self.method.training_step(self.state, batch)
        except NonFiniteError as error:
            raise NonFiniteError(f"{error} train.on_nonfinite=skip leaves the batch out.") from None


def require_finite_weights(
    model: MultimodalModel, method: Method, epoch: int, *, inside: bool = False
) -> None:
    """Check weights and the statistics of BatchNorm, before a checkpoint keeps them.

    Args:
        model: The model after an epoch, or after an update of it.
        method: Its own heads are checked too.
        epoch: Number of the epoch, for the message.
        inside: Whether the epoch goes on.

    Raises:
        NonFiniteError: One of them is not finite.
    """
    named: list[tuple[str, Tensor]] = [*model.named_parameters(), *method.named_parameters()]
    named += [(name, value) for name, value in model.named_buffers() if is_statistic(name)]
    if bool(torch.stack([value.detach().isfinite().all() for _, value in named]).all()):
        return
    wrong = next(name for name, value in named if not value.isfinite().all())
    raise NonFiniteError(
        f"the weights must stay finite, found {wrong} with values that are not, "
        f"{'in' if inside else 'after'} epoch {epoch}, which is not kept. "
        "A smaller lr or train.clip may help."
    )
