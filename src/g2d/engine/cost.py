"""What a training step costs: passes of every encoder, updates and floating-point operations, counted and not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from g2d.method import Method, TrainState
from g2d.types import Batch, Encoded


@dataclass
class Passes:
    """Counts, by modality.

    Args:
        forward: times the encoder was run.
        backward: times a gradient was asked of its features.
    """

    forward: Counter[str] = field(default_factory=Counter)
    backward: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class StepCost:
    """One step's counts.

    Args:
        passes: of the student's encoders.
        updates: of the optimizer.
        flops: floating-point operations, of teachers too.
    """

    passes: Passes
    updates: int
    flops: int


@contextmanager
def counting(encoders: Mapping[str, nn.Module]) -> Iterator[Passes]:
    """Count every pass of these encoders in the block.

    Example:
        >>> import torch
        >>> encoder = nn.Linear(2, 3)
        >>> with counting({"tone": encoder}) as passes:
        ...     encoder(torch.ones(1, 2)).sum().backward()
        >>> passes.forward["tone"], passes.backward["tone"]
        (1, 1)
    """
    passes = Passes()

    def ran(m: str, _module: nn.Module, _inputs: Any, output: Tensor | Encoded) -> None:
        passes.forward[m] += 1
        pooled = output.pooled if isinstance(output, Encoded) else output
        if pooled.requires_grad:
            pooled.register_hook(lambda _: passes.backward.update([m]))

    hooks = [encoder.register_forward_hook(partial(ran, m)) for m, encoder in encoders.items()]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def step_cost(method: Method, state: TrainState, batch: Batch) -> StepCost:
    """Take one training step and count it. The model moves: give a copy if it must not."""
    before = state.step
    with (
        counting(dict(state.model.encoders.items())) as passes,
        FlopCounterMode(display=False) as counter,
    ):
        method.training_step(state, batch)
    return StepCost(passes, state.step - before, int(counter.get_total_flops()))
