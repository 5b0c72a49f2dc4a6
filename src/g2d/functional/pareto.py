"""One direction from two gradients: the minimum-norm point, and MMPareto's rescaling of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def min_norm_weights(joint: Tensor, own: Tensor) -> tuple[float, float]:
    """Return the weights of the shortest vector a_0 g_0 + a_m g_m with a_0 + a_m = 1, a >= 0.

    a_0 = ( ‖g_m‖² - <g_0, g_m> ) / ‖g_0 - g_m‖², clipped to [0, 1]. The result conflicts with
    neither gradient: its product with both is at least its own squared norm.

    Args:
        joint: Gradient g_0 of the multimodal loss.
        own: Gradient g_m of the unimodal loss, of the same shape.

    Returns:
        a_0 and a_m.

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
    """Return cos(g_0, g_m): negative where the gradients conflict, 0 where one of them is zero.

    Args:
        joint: Gradient g_0 of the multimodal loss.
        own: Gradient g_m of the unimodal loss, of the same shape.

    Example:
        >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([-2.0, 0.0]))
        -1.0
    """
    joint, own = joint.flatten().double(), own.flatten().double()
    lengths = (joint.norm() * own.norm()).item()
    return (joint @ own).item() / lengths if lengths > 0 else 0.0


def pareto_weights(joint: Tensor, own: Tensor) -> tuple[float, float]:
    """Return MMPareto's weights a_0 and a_m.

    They are (1/2, 1/2) where the gradients agree (cos > 0) or one of them is zero, and those of
    the minimum-norm point where they conflict.

    Args:
        joint: Gradient g_0 of the multimodal loss.
        own: Gradient g_m of the unimodal loss, of the same shape.

    Example:
        >>> pareto_weights(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 9.0]))
        (0.5, 0.5)
    """
    conflict = cosine(joint, own) <= 0 and bool(joint.any()) and bool(own.any())
    return min_norm_weights(joint, own) if conflict else (0.5, 0.5)


def pareto_gradients(
    joint: Sequence[Tensor], own: Sequence[Tensor], *, gamma: float, by_tensor: bool = True
) -> list[Tensor]:
    """Return gamma * h with h = 2 a_0 g_0 + 2 a_m g_m, as long as the plain sum g_0 + g_m.

    Args:
        joint: Gradients g_0 of an encoder's parameters, one tensor each.
        own: Gradients g_m of the same parameters.
        gamma: Factor of the result.
        by_tensor: Enlarge every tensor that is shorter than its own plain sum to that length, as
            the released code does. Otherwise rescale the whole gradient of the encoder, which
            keeps its direction, and with it the guarantee that neither loss gets worse.

    Example:
        >>> g = [torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])]
        >>> [round(value, 4) for value in pareto_gradients(*g, gamma=1.5)[0].tolist()]
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
    """Return ‖plain‖ / ‖mixed‖, or 1 if ``mixed`` is zero."""
    length = _norm(mixed)
    return _norm(plain) / length if length > 0 else 1.0


def _norm(tensors: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of all entries together, in float64."""
    return torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt().item()
