"""What differs between processes: random numbers and, inside an epoch, BatchNorm's statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from g2d.engine.processes import (
    batchnorm_kind,
    is_statistic,
    process,
    random_state,
    set_random_state,
)
from g2d.method import processes


def notices_of_processes(*modules: nn.Module) -> dict[str, str]:
    """Return warnings, by topic, about what several processes do otherwise than one.

    Args:
        modules: Model and method.
    """
    if batchnorm_kind(*modules) != "share of each process":
        return {}
    return {
        "batchnorm": f"BatchNorm normalizes over each process's share of a batch, in {processes()} "
        "processes. The statistics for evaluation are averaged after every epoch. The result "
        "differs from that of one process; without BatchNorm it is the same up to rounding."
    }


def of_other_processes(device: torch.device, *modules: nn.Module) -> dict[str, Tensor]:
    """Return what the other processes have of their own, as ``PROCESS/NAME``.

    All processes must call it. It is empty where there is only one process.

    Args:
        device: Device of the random numbers.
        modules: Model and method.
    """
    if processes() == 1:
        return {}
    own = {**random_state(device), **dict(_statistics(modules))}
    collected: dict[str, Tensor] = {}
    for name, value in own.items():
        values = [torch.empty_like(value, device="cpu") for _ in range(processes())]
        dist.all_gather(values, value.detach().cpu().contiguous())
        collected |= {f"{rank}/{name}": one for rank, one in enumerate(values) if rank > 0}
    return collected


def restore_own(saved: Mapping[str, Tensor], device: torch.device, *modules: nn.Module) -> None:
    """Restore what :func:`of_other_processes` collected of this process.

    The first process, and a process that the saved run did not have, are left as they are.

    Args:
        saved: What was collected; other names are passed over.
        device: Device of the random numbers.
        modules: Model and method.
    """
    prefix = f"{process()}/"
    own = {name.removeprefix(prefix): v for name, v in saved.items() if name.startswith(prefix)}
    if own:
        set_random_state(device, own)
        for name, value in _statistics(modules):
            value.copy_(own[name])


def _statistics(modules: tuple[nn.Module, ...]) -> Iterator[tuple[str, Tensor]]:
    for number, module in enumerate(modules):
        for name, value in module.named_buffers():
            if is_statistic(name):
                yield f"{number}/{name}", value
