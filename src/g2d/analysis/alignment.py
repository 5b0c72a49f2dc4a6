"""Features compared with those of the teachers (Fig. 5), and between modalities (Fig. 4)."""

from __future__ import annotations

from itertools import combinations
from typing import Literal, get_args

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from g2d.analysis.rows import Rows
from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.functional.precision import at_least_float32

Projection = Literal["pca", "tsne"]


def feature_alignment(student: Tensor, teacher: Tensor) -> float:
    """Return the mean cosine of f_s^m and f_t^m over the rows  (Fig. 5).

    Args:
        student: Features f_s^m ``(N, D)``.
        teacher: Features f_t^m ``(N, D)`` of the same rows.

    Raises:
        ArgumentError: The two shapes differ.

    Example:
        >>> import torch
        >>> round(feature_alignment(torch.ones(2, 2), torch.tensor([[3.0, 3.0], [1.0, -1.0]])), 4)
        0.5
    """
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"features must have the shape of the teacher's, {tuple(teacher.shape)}, "
            f"found {tuple(student.shape)}."
        )
    return (
        F.cosine_similarity(at_least_float32(student), at_least_float32(teacher), dim=1)
        .mean()
        .item()
    )


def modality_gap(rows: Rows) -> dict[tuple[str, str], float]:
    """Return the distance between the mean features of every pair of modalities  (Fig. 4).

    Features are L2-normalized first; narrower ones are padded with zeros.

    Args:
        rows: Output of a model; rows that lack a modality do not count for it.
    """
    means = {m: cloud.mean(0) for m, cloud in _clouds(rows).items()}
    return {(a, b): float(np.linalg.norm(means[a] - means[b])) for a, b in combinations(means, 2)}


def projected(
    rows: Rows, method: Projection = "pca", seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Project the L2-normalized features of all modalities together to two dimensions.

    Args:
        rows: Output of a model; rows that lack a modality are left out of its cloud.
        method: ``"pca"`` or ``"tsne"``.
        seed: Seed of the projection.

    Returns:
        Points ``(N, 2)`` per modality.

    Raises:
        ArgumentError: There is no such method.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    one_of("method", method, get_args(Projection))
    clouds = _clouds(rows)
    stacked = np.concatenate(list(clouds.values()))
    projection = (
        PCA(2, random_state=seed)
        if method == "pca"
        else TSNE(2, random_state=seed, init="pca", perplexity=min(30, (len(stacked) - 1) // 3))
    )
    flat = projection.fit_transform(stacked).astype(np.float64)
    ends = np.cumsum([len(cloud) for cloud in clouds.values()])[:-1]
    return dict(zip(clouds, np.split(flat, ends), strict=True))


def _clouds(rows: Rows) -> dict[str, NDArray[np.float64]]:
    """Return L2-normalized features per modality, padded with zeros to one width."""
    widest = max(f.shape[1] for f in rows.features.values())
    return {
        m: F.pad(F.normalize(f[rows.has[m]].double(), dim=1), (0, widest - f.shape[1])).numpy()
        for m, f in rows.features.items()
    }
