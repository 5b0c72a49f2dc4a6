"""Cost of a training step: encoder passes, updates and floating-point operations, all counted."""

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
    """Passes of every encoder, by modality.

    Args:
        forward: Number of forward passes.
        backward: Number of backward passes that reached the encoder's features.
    """

    forward: Counter[str] = field(default_factory=Counter)
    backward: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class StepCost:
    """Counts of one training step.

    Args:
        passes: Passes of the student's encoders.
        updates: Updates of the optimizer.
        flops: Floating-point operations, teachers included.
    """

    passes: Passes
    updates: int
    flops: int


@contextmanager
def counting(encoders: Mapping[str, nn.Module]) -> Iterator[Passes]:
    """Count every pass of these encoders in the block.

    Args:
        encoders: Encoders by modality.

    Example:
        >>> import torch
        >>> encoder = nn.Linear(2, 3)
        >>> with counting({"tone": encoder}) as passes:
        ...     encoder(torch.ones(1, 2)).sum().backward()
        >>> passes.forward["tone"], passes.backward["tone"]
        (1, 1)
    """
    passes = Passes()

    def count(m: str, _module: nn.Module, _inputs: Any, output: Tensor | Encoded) -> None:
        passes.forward[m] += 1
        pooled = output.pooled if isinstance(output, Encoded) else output
        if pooled.requires_grad:
            pooled.register_hook(lambda _: passes.backward.update([m]))

    hooks = [encoder.register_forward_hook(partial(count, m)) for m, encoder in encoders.items()]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def step_cost(method: Method, state: TrainState, batch: Batch) -> StepCost:
    """Take one training step and count it.

    Args:
        method: The method whose step is counted.
        state: Holds the model, which the step changes; pass a copy to keep the original.
        batch: Rows of the step.
    """
    before, encoders = state.step, dict(state.model.encoders.items())
    if state.started != state.epoch:  # preparing an epoch can be a pass over all rows
        state.start_epoch()
    with counting(encoders) as passes, FlopCounterMode(display=False) as counter:
        method.training_step(state, batch)
    return StepCost(passes, state.step - before, int(counter.get_total_flops()))
