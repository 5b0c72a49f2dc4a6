"""Optimizers with a learning rate per group, and schedules as a factor per epoch."""

from __future__ import annotations

import math
from typing import Any

import torch

from g2d.engine.options import TrainOptions
from g2d.errors import ArgumentError


def make_optimizer(groups: list[dict[str, Any]], options: TrainOptions) -> torch.optim.Optimizer:
    """The optimizer over named groups; each remembers its ``base_lr``.

    Raises:
        ArgumentError: ``group_lr`` names a group that does not exist.
    """
    names = [group["name"] for group in groups]
    for name in options.group_lr:
        if name not in names:
            raise ArgumentError(
                f"group_lr must name parameter groups ({', '.join(names)}), found {name!r}."
            )
    groups = [group | {"lr": options.group_lr.get(group["name"], options.lr)} for group in groups]
    for group in groups:
        group["base_lr"] = group["lr"]
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
        )
    adam = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return adam(groups, lr=options.lr, weight_decay=options.weight_decay)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """lr = base_lr * factor * method_factor of every group (a method may keep a factor of its own there). Returns the rates."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor * group.get("method_factor", 1.0)
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


class Schedule:
    """The factor of an epoch; ``plateau`` remembers how validation went."""

    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self.best, self.waited, self.plateau = -math.inf, 0, 1.0

    def factor(self, epoch: int) -> float:
        """Of a 1-based epoch."""
        options, done = self.options, epoch - 1
        if done < options.warmup:
            return (done + 1) / (options.warmup + 1)
        if options.schedule == "step":
            return options.decay ** sum(
                done >= round(share * options.epochs) for share in options.decay_at
            )
        if options.schedule == "cosine":
            return (
                1
                + math.cos(
                    math.pi * (done - options.warmup) / max(1, options.epochs - options.warmup)
                )
            ) / 2
        return self.plateau

    def observe(self, score: float) -> None:
        """The validation score of the epoch that ended."""
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited > self.options.patience and self.options.schedule == "plateau":
            self.plateau, self.waited = self.plateau * self.options.decay, 0

    def state(self) -> dict[str, float]:
        return {"best": self.best, "waited": self.waited, "plateau": self.plateau}

    def load(self, state: dict[str, float]) -> None:
        self.best, self.waited, self.plateau = state["best"], int(state["waited"]), state["plateau"]
