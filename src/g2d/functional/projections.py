"""Projector of recursive least squares: directions in which a shared head may still move.

MLA multiplies the gradient of its shared head by this matrix, so that one modality does not undo
what the head learned from another.
"""

from __future__ import annotations

from torch import Tensor


def forgetting(batch: int, batches_per_epoch: int) -> float:
    """Return lambda = 0.1^(1 + b/N), which falls from 0.1 to 0.01 within an epoch.

    Args:
        batch: Number b of the batch in its epoch, counted from 0.
        batches_per_epoch: Number of batches N.

    Example:
        >>> round(forgetting(0, 10), 6), round(forgetting(10, 10), 6)
        (0.1, 0.01)
    """
    return float(0.1 ** (1 + min(batch / batches_per_epoch, 1.0)))


def narrowed(projector: Tensor, features: Tensor, damping: float) -> Tensor:
    """Return the projector after a direction h has been used.

    P' = P - q h^T P  with  q = P h / (lambda + h^T P h). P stays symmetric with eigenvalues in
    (0, 1]; along h it shrinks by lambda / (lambda + h^T P h).

    Args:
        projector: Matrix P ``(D, D)``, the identity at first.
        features: Direction h ``(D,)``, the mean feature of the rows that used the head.
        damping: lambda, positive.

    Example:
        >>> import torch
        >>> narrowed(torch.eye(2), torch.ones(2), 0.1)
        tensor([[ 0.5238, -0.4762],
                [-0.4762,  0.5238]])
    """
    along = projector @ features
    return projector - along.outer(along) / (damping + features @ along)
