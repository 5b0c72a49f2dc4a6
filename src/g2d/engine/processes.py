"""Several processes started by ``torchrun``: joining them, and what they must agree on."""

from __future__ import annotations

import atexit
import os
import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.nn.modules.batchnorm import _BatchNorm

from g2d.engine.alive import SILENCE, SignsOfLife
from g2d.engine.joining import connection, store_of_this_start
from g2d.method import processes

T = TypeVar("T")
BatchNormKind = Literal["none", "whole batch", "share of each process"]
"""Rows over which BatchNorm normalizes in training."""
LONGEST_WAIT = timedelta(days=1)
"""Time for which processes wait for one that is alive, such as while it waits for a teacher."""


def start() -> None:
    """Join the process group if ``torchrun`` started this process; otherwise do nothing.

    The processes of a computer share its GPUs out.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        store, prefix, rank, number = store_of_this_start()
        own = PrefixStore(prefix, store)
        dist.init_process_group(
            "gloo", store=own, rank=rank, world_size=number, timeout=LONGEST_WAIT
        )
        beats = PrefixStore(f"{prefix}/alive", connection(SILENCE / 2))
        signs = SignsOfLife(beats, rank, number)
        signs.start()
        atexit.register(leave, signs)


def leave(signs: SignsOfLife) -> None:
    """Destroy the process group; its threads would otherwise abort the interpreter at exit."""
    signs.leave()
    if dist.is_initialized():
        dist.destroy_process_group()


def process() -> int:
    """Return the rank of this process; rank 0 writes files."""
    return dist.get_rank() if processes() > 1 else 0


def once(act: Callable[[], T]) -> T:
    """Call a function on rank 0 alone; return its value, or raise its error, on every process.

    Args:
        act: The function; with one process, it is called as it is.
    """
    if processes() == 1:
        return act()
    outcome: list[tuple[T | None, Exception | None]] = [(None, None)]
    if process() == 0:
        try:
            outcome = [(act(), None)]
        except Exception as error:
            outcome = [(None, error)]
    dist.broadcast_object_list(outcome, 0)
    value, failure = outcome[0]
    if failure is not None:
        raise failure
    return value  # type: ignore[return-value]


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python and torch, which initial weights and dropout use."""
    random.seed(seed)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's generators for a device, which dropout uses."""
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(device: torch.device, states: Mapping[str, torch.Tensor]) -> None:
    """Restore what :func:`random_state` returned, on the same or another device."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def broadcast_weights(*modules: nn.Module) -> None:
    """Copy the weights of rank 0 to all processes."""
    if processes() > 1:
        for module in modules:
            for value in module.state_dict().values():
                dist.broadcast(value, 0)


def is_statistic(name: str) -> bool:
    """Return whether a buffer, by its name, is a running statistic of BatchNorm."""
    return name.endswith(("running_mean", "running_var"))


def batchnorm_kind(*modules: nn.Module) -> BatchNormKind:
    """Return over which rows the BatchNorm layers of some modules normalize in training."""
    layers = [layer for module in modules for layer in module.modules()]
    if not any(isinstance(layer, _BatchNorm) for layer in layers):
        return "none"
    return "whole batch" if processes() == 1 else "share of each process"


def average_statistics(*modules: nn.Module) -> None:
    """Average BatchNorm's running statistics, which every process gathers on its own rows."""
    if processes() > 1:
        for module in modules:
            for name, value in module.named_buffers():
                if is_statistic(name):
                    dist.all_reduce(value)
                    value /= processes()


def largest(value: int) -> int:
    """Return the largest of the values of all processes."""
    if processes() == 1:
        return value
    values = torch.tensor(value)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return int(values)


def wait() -> None:
    """Wait until every process has reached this call (a barrier)."""
    if processes() > 1:
        dist.barrier()
