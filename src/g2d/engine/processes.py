"""Several processes, started by ``torchrun``: who is who, and what they must agree on."""

from __future__ import annotations

import atexit
import os
import random
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from g2d.method import processes


def start() -> None:
    """Join the others if ``torchrun`` started us; does nothing otherwise."""
    if "TORCHELASTIC_RUN_ID" in os.environ and not dist.is_initialized():
        dist.init_process_group("gloo", timeout=timedelta(minutes=30))
        atexit.register(leave)


def leave() -> None:
    """Part from the others; threads of theirs would otherwise outlive the interpreter and abort it."""
    if dist.is_initialized():
        dist.destroy_process_group()


def process() -> int:
    """Our number; 0 is the one that writes."""
    return dist.get_rank() if processes() > 1 else 0


def seed_everything(seed: int) -> None:
    """The global generators of Python and torch: initial weights and dropout come from them."""
    random.seed(seed)
    torch.manual_seed(seed)


def broadcast_weights(*modules: nn.Module) -> None:
    """Start from the weights of process 0."""
    if processes() > 1:
        for module in modules:
            for value in module.state_dict().values():
                dist.broadcast(value, 0)


def average_statistics(model: nn.Module) -> None:
    """Average BatchNorm's running statistics, which every process gathers on its own rows."""
    if processes() > 1:
        for name, value in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                dist.all_reduce(value)
                value /= processes()


def wait() -> None:
    """Until all have come this far."""
    if processes() > 1:
        dist.barrier()
