"""Scaling of a gradient on its way back (Eq. 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Scale(torch.autograd.Function):
    """Identity in the forward pass, bit for bit; gradient times kappa in the backward pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, kappa: Tensor | float) -> Tensor:
        ctx.kappa = kappa
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.kappa, None


def scale_gradient(values: Tensor, kappa: Tensor | float) -> Tensor:
    """Return the same values, but scale their gradient by kappa in the backward pass  (Eq. 8).

    An encoder is reached only through its features f^m, so kappa * dL/df^m scales the gradient of
    all its parameters by exactly kappa.

    Args:
        values: Any tensor; it receives kappa times the gradient.
        kappa: A number, or a 0-d tensor on the device of ``values`` (for which torch.compile does
            not compile again at every new value). The number 1 returns ``values`` itself; the
            number 0 cuts the graph.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> scale_gradient(x, 0.25).sum().backward()
        >>> x.grad
        tensor([0.2500, 0.2500])
        >>> scale_gradient(x, 0.0).requires_grad
        False
    """
    if not isinstance(kappa, Tensor):
        if kappa == 1:
            return values
        if kappa == 0:
            return values.detach()
    apply: Callable[[Tensor, Tensor | float], Tensor] = _Scale.apply
    return apply(values, kappa)
