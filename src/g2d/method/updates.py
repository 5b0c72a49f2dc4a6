"""The step of an optimizer in which the move of some parameters is multiplied by a factor.

Under Adam and similar optimizers a scaled gradient changes almost nothing, so that a coefficient
must scale the move itself. Parameters are identified by identity, whatever the optimizer's groups.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from g2d.errors import UnsupportedError

PROPORTIONAL = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimizers whose moves, weight decay included, are proportional to the learning rate."""
LEAST_NUMBERS = 16
"""Parameters with fewer numbers can be close to a moment by chance."""


def check_optimizer(optimizer: Optimizer) -> None:
    """Check that an optimizer steps without a closure.

    Raises:
        UnsupportedError: It must evaluate the loss again in every step.
    """
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UnsupportedError(
            "optimizer must take a step without a closure, since a method computes the gradients "
            f"once, found {type(optimizer).__name__}. Use SGD, Adam or AdamW."
        )


class Updates:
    """Factors on the next moves of parameters.

    A factor multiplies everything that a step adds to a parameter, decoupled weight decay included;
    moments and momentum are those of a step without factors.

    - SGD, Adam and AdamW take the step with the learning rate of these parameters multiplied.
    - Any other optimizer takes a whole step from p0 to p1, which is then replaced by
      p0 + factor * (p1 - p0).

    Example:
        >>> a, b = (nn.Parameter(torch.ones(1)) for _ in range(2))
        >>> optimizer = torch.optim.AdamW([a, b], lr=0.1, weight_decay=0.0)
        >>> a.grad, b.grad = torch.ones(1), torch.ones(1)
        >>> updates = Updates()
        >>> updates.scale([b], 0.5)
        >>> with updates.scaled(optimizer):
        ...     optimizer.step()
        >>> round(a.item(), 3), round(b.item(), 3)
        (0.9, 0.95)
    """

    def __init__(self) -> None:
        self.factors: dict[nn.Parameter, float] = {}
        self._checked: Optimizer | None = None

    def scale(self, parameters: Iterable[nn.Parameter], factor: float) -> None:
        """Multiply the next move of some parameters by a factor."""
        self.factors |= dict.fromkeys(parameters, factor)

    @contextmanager
    def scaled(self, optimizer: Optimizer) -> Iterator[None]:
        """Multiply the moves of the one step in this context; afterwards there are no factors.

        Raises:
            UnsupportedError: The optimizer keeps copies of the weights, so that it would undo the
                factors in a later step.
        """
        factors = {p: factor for p, factor in self.factors.items() if factor != 1}
        self.factors = {}
        if type(optimizer) in PROPORTIONAL:
            with _rates_multiplied(optimizer, factors):
                yield
            return
        before = {p: p.detach().clone() for p in factors if p.grad is not None}
        yield
        self._check(optimizer, before)
        with torch.no_grad():
            for p, start in before.items():
                p.copy_(start + factors[p] * (p - start))

    def _check(self, optimizer: Optimizer, before: Mapping[nn.Parameter, Tensor]) -> None:
        """Refuse an optimizer whose state holds copies of the weights."""
        if optimizer is self._checked:
            return
        kept = {p: dict(optimizer.state.get(p, {})) for p in before}
        if any(_is_copy(v, before[p]) for p, values in kept.items() for v in values.values()):
            raise UnsupportedError(
                "the optimizer of a method that scales updates must keep no copies of the weights, "
                f"from which it would undo the scaling, found {type(optimizer).__name__}. "
                "Use SGD, Adam or AdamW."
            )
        if any(kept.values()):
            self._checked = optimizer


@contextmanager
def _rates_multiplied(
    optimizer: Optimizer, factors: Mapping[nn.Parameter, float]
) -> Iterator[None]:
    """Cut the groups of an optimizer into groups of one factor each, with their learning rate."""
    groups = list(optimizer.param_groups)
    optimizer.param_groups[:] = [part for group in groups for part in _cut(group, factors)]
    try:
        yield
    finally:
        optimizer.param_groups[:] = groups


def _cut(group: dict[str, Any], factors: Mapping[nn.Parameter, float]) -> Iterator[dict[str, Any]]:
    """Yield a group's parameters as one group per factor."""
    parts: dict[float, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        parts.setdefault(factors.get(parameter, 1.0), []).append(parameter)
    for factor, parameters in parts.items():
        yield group | {"params": parameters, "lr": group["lr"] * factor}


def _is_copy(value: Any, weight: Tensor) -> bool:
    """Return whether an entry of an optimizer's state is close to a parameter's weights."""
    if not isinstance(value, Tensor) or value.shape != weight.shape:
        return False
    if weight.numel() < LEAST_NUMBERS or not value.is_floating_point():
        return False
    return bool((value - weight).norm() < 0.1 * weight.norm())
