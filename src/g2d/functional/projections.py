"""Where a shared head may still move: the projector of recursive least squares, which remembers every direction that was used."""

from __future__ import annotations

from torch import Tensor


def forgetting(batch: int, batches_per_epoch: int) -> float:
    """lambda = 0.1^(1 + b/N), which falls from 0.1 to 0.01 within an epoch; b counts batches from 0, N is their number.

    Example:
        >>> round(forgetting(0, 10), 6), round(forgetting(10, 10), 6)
        (0.1, 0.01)
    """
    return float(0.1 ** (1 + min(batch / batches_per_epoch, 1.0)))


def narrowed(projector: Tensor, features: Tensor, damping: float) -> Tensor:
    """P - q h^T P  with  q = P h / (lambda + h^T P h): the projector after a direction h has been used.

    P stays symmetric with eigenvalues in (0, 1]; along h it shrinks by lambda / (lambda + h^T P h).

    Args:
        projector: P ``(D, D)``, the identity at first.
        features: h ``(D,)``, the mean feature of the rows that used the head.
        damping: lambda, positive.

    Example:
        >>> import torch
        >>> narrowed(torch.eye(2), torch.ones(2), 0.1)
        tensor([[ 0.5238, -0.4762],
                [-0.4762,  0.5238]])
    """
    along = projector @ features
    return projector - along.outer(along) / (damping + features @ along)
