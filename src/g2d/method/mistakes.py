"""Checks of a user's own loop: likely mistakes get one sentence with the way out."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from g2d.errors import ArgumentError
from g2d.model import check_model
from g2d.task import Task
from g2d.types import Batch

if TYPE_CHECKING:
    from g2d.method.contract import Method
    from g2d.method.state import TrainState

Function = TypeVar("Function", bound=Callable[..., Any])


def require_built(method: Method) -> None:
    """Check that a method was bound to a model.

    Raises:
        ArgumentError: if it was not.
    """
    if "task" not in vars(method):
        raise ArgumentError(
            f"{type(method).__name__} must be built for a model before it is used, found no "
            "model. Call method.build(model, task) before creating the optimizer."
        )


def checked_build(build: Function) -> Function:
    """Return ``build`` with checks of model and task before it."""

    @wraps(build)
    def bind(self: Method, model: object, task: object = None) -> Any:
        check_model(model)
        if not isinstance(task, Task):
            raise ArgumentError(
                "task must be a g2d.Classification, a g2d.Regression or a g2d.MultiLabel, "
                f"found {type(task).__name__}. Call method.build(model, task)."
            )
        return build(self, model, task)

    return cast("Function", bind)


def checked_start(epoch_start: Function) -> Function:
    """Return ``epoch_start`` with checks of method, optimizer and epoch before it."""

    @wraps(epoch_start)
    def start(self: Method, state: TrainState) -> None:
        require_built(self)
        _check_optimizer(self, state)
        state.start_epoch()
        epoch_start(self, state)

    return cast("Function", start)


def checked_step(training_step: Function) -> Function:
    """Return ``training_step`` with checks of method, epoch and batch before it."""

    @wraps(training_step)
    def step(self: Method, state: TrainState, batch: Batch) -> Any:
        require_built(self)
        state.require_started()
        if not isinstance(batch, Batch):
            raise ArgumentError(
                f"batch must be a g2d.Batch, found {type(batch).__name__}. "
                "Write g2d.Batch({'image': x}, target)."
            )
        self.task.check_target(batch.target)
        return training_step(self, state, batch)

    return cast("Function", step)


CHECKED = {"build": checked_build, "epoch_start": checked_start, "training_step": checked_step}
"""Methods of every subclass that get checks, by name."""


def _check_optimizer(method: Method, state: TrainState) -> None:
    """Check that the optimizer trains the model, and every head of the method."""
    trained = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    own = [p for p in method.parameters() if p.requires_grad]
    if any(id(p) not in trained for p in own):
        raise ArgumentError(
            f"optimizer must hold the parameters of {type(method).__name__}, which has heads of "
            "its own, found some without. Create it from method.parameter_groups(model), or from "
            "[*model.parameters(), *method.parameters()], after method.build(model, task)."
        )
    if method.trains and not any(id(p) in trained for p in state.model.parameters()):
        raise ArgumentError(
            "optimizer must hold parameters of the model, found none of them. "
            "Create it from method.parameter_groups(model)."
        )
