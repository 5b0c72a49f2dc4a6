"""Two gradients, one direction: the minimum-norm point between them, and MMPareto's rescaling of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def min_norm_weights(joint: Tensor, own: Tensor) -> tuple[float, float]:
    """Weights a of the shortest vector a_0 g_0 + a_m g_m with a_0 + a_m = 1, a >= 0.

    a_0 = ( ‖g_m‖² - <g_0, g_m> ) / ‖g_0 - g_m‖², clipped to [0, 1]. The result conflicts with neither gradient: its product with
    both is at least its own squared norm.

    Args:
        joint, own: g_0 and g_m, any equal shape; no gradient passes.

    Example:
        >>> a = min_norm_weights(torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0]))
        >>> round(a[0], 6), round(a[1], 6)
        (0.6, 0.4)
    """
    joint, own = joint.flatten().double(), own.flatten().double()
    apart = (joint - own).square().sum().item()
    a = 0.5 if apart == 0 else ((own.square().sum() - joint @ own).item() / apart)
    a = min(max(a, 0.0), 1.0)
    return a, 1 - a


def cosine(joint: Tensor, own: Tensor) -> float:
    """cos(g_0, g_m), negative where the gradients conflict; 0 where one of them is zero.

    Example:
        >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([-2.0, 0.0]))
        -1.0
    """
    joint, own = joint.flatten().double(), own.flatten().double()
    lengths = (joint.norm() * own.norm()).item()
    return (joint @ own).item() / lengths if lengths > 0 else 0.0


def pareto_weights(joint: Tensor, own: Tensor) -> tuple[float, float]:
    """MMPareto's weights: (1/2, 1/2) where the gradients agree (cos > 0) or one of them is zero, the minimum-norm point where they conflict.

    Example:
        >>> pareto_weights(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 9.0]))
        (0.5, 0.5)
    """
    conflict = cosine(joint, own) <= 0 and bool(joint.any()) and bool(own.any())
    return min_norm_weights(joint, own) if conflict else (0.5, 0.5)


def pareto_gradients(
    joint: Sequence[Tensor], own: Sequence[Tensor], *, gamma: float, by_tensor: bool = True
) -> list[Tensor]:
    """gamma * h, h = 2 a_0 g_0 + 2 a_m g_m, brought to the size of the plain sum g_0 + g_m.

    Args:
        joint, own: the gradients of an encoder's parameters, one tensor each.
        gamma: the final magnification.
        by_tensor: every tensor is enlarged to the norm of its own plain sum where it is shorter (the released code); otherwise the
            encoder's whole gradient is, which keeps the direction and with it the guarantee that neither loss is made worse.

    Example:
        >>> h = pareto_gradients([torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])], gamma=1.5)
        >>> [round(value, 4) for value in h[0].tolist()]
        [0.6708, 1.3416]
    """
    a, b = pareto_weights(
        torch.cat([g.flatten() for g in joint]), torch.cat([g.flatten() for g in own])
    )
    mixed = [2 * a * g + 2 * b * u for g, u in zip(joint, own, strict=True)]
    plain = [g + u for g, u in zip(joint, own, strict=True)]
    pairs = zip(plain, mixed, strict=True)
    factors = (
        [max(_ratio([p], [h]), 1.0) for p, h in pairs]
        if by_tensor
        else [_ratio(plain, mixed)] * len(mixed)
    )
    return [gamma * factor * h for factor, h in zip(factors, mixed, strict=True)]


def _ratio(plain: Sequence[Tensor], mixed: Sequence[Tensor]) -> float:
    """‖plain‖ / ‖mixed‖; 1 where there is nothing to enlarge."""
    length = torch.stack([h.double().square().sum() for h in mixed]).sum().sqrt().item()
    return (
        torch.stack([p.double().square().sum() for p in plain]).sum().sqrt().item() / length
        if length > 0
        else 1.0
    )
