"""Principal component analysis by the eigenvectors of a covariance matrix.

This is NumPy's solver rather than torch's: the two differ in the last bits, and fitted components
are part of stored data and of hashes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def principal_components(covariance: Floats) -> tuple[Floats, Floats]:
    """Return the principal components of a covariance matrix, by decreasing variance.

    Args:
        covariance: Covariance ``(D, D)`` of the training rows, float64.

    Returns:
        The variance along every component ``(D,)``, not clipped at zero, and the components
        ``(D, D)``, one per row, each of length 1.

    Example:
        >>> variance, components = principal_components(np.array([[2.0, 0.0], [0.0, 3.0]]))
        >>> variance.tolist(), np.abs(components).tolist()
        ([3.0, 2.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    variance, vectors = np.linalg.eigh(covariance)
    return variance[::-1], np.ascontiguousarray(vectors[:, ::-1].T)


def project(rows: Floats, train: Floats, count: int) -> Floats:
    """Project rows onto the leading principal components of training rows.

    Args:
        rows: Rows to project, shape ``(N, D)``.
        train: Training rows, shape ``(M, D)``.
        count: Number of components.
    """
    mean = train.mean(0)
    top = principal_components(np.cov(train, rowvar=False))[1][:count]
    return np.asarray(mean + (rows - mean) @ top.T @ top)
