"""Optimizers with a learning rate per group, and schedules as a factor per epoch."""

from __future__ import annotations

import math
from typing import Any

import torch

from g2d.engine.options import TrainOptions
from g2d.errors import ArgumentError


def make_optimizer(groups: list[dict[str, Any]], options: TrainOptions) -> torch.optim.Optimizer:
    """Return the optimizer over named groups, each with its ``base_lr``.

    Args:
        groups: Parameter groups as :meth:`~g2d.method.Method.parameter_groups` returns them.
        options: Kind of optimizer and learning rates.

    Raises:
        ArgumentError: ``group_lr`` names a group that does not exist.
    """
    names = [group["name"] for group in groups]
    for name in options.group_lr:
        if name not in names:
            raise ArgumentError(
                f"group_lr must name parameter groups ({', '.join(names)}), found {name!r}."
            )
    rates = [options.group_lr.get(name, options.lr) for name in names]
    groups = [g | {"lr": lr, "base_lr": lr} for g, lr in zip(groups, rates, strict=True)]
    lr, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=options.momentum, weight_decay=decay)
    adam = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return adam(groups, lr=lr, weight_decay=decay)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Set the learning rate of every group to base_lr * factor.

    Args:
        optimizer: Made by :func:`make_optimizer`.
        factor: The schedule's factor for the epoch.

    Returns:
        The learning rates by group.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


class Schedule:
    """Factor on the learning rate per epoch; ``plateau`` remembers the validation scores.

    Args:
        options: Kind of schedule, number of epochs, warm-up.

    Example:
        >>> schedule = Schedule(TrainOptions(epochs=4, schedule="step", decay_at=[0.5]))
        >>> [schedule.factor(epoch) for epoch in (1, 2, 3, 4)]
        [1.0, 1.0, 0.1, 0.1]
    """

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self.best, self.waited, self.plateau = -math.inf, 0, 1.0

    def factor(self, epoch: int) -> float:
        """Return the factor of an epoch, counted from 1."""
        options, done = self.options, epoch - 1
        if done < options.warmup:
            return (done + 1) / (options.warmup + 1)
        if options.schedule == "step":
            return options.decay ** sum(
                done >= round(share * options.epochs) for share in options.decay_at
            )
        if options.schedule == "cosine":
            length = max(1, options.epochs - options.warmup)
            return (1 + math.cos(math.pi * (done - options.warmup) / length)) / 2
        return self.plateau

    def observe(self, score: float) -> None:
        """Record the validation score of the epoch that ended."""
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited > self.options.patience and self.options.schedule == "plateau":
            self.plateau, self.waited = self.plateau * self.options.decay, 0

    def state(self) -> dict[str, float]:
        """Return the values that a checkpoint keeps."""
        return {"best": self.best, "waited": self.waited, "plateau": self.plateau}

    def load(self, state: dict[str, float]) -> None:
        """Restore the values of a checkpoint."""
        self.best, self.waited, self.plateau = state["best"], int(state["waited"]), state["plateau"]
