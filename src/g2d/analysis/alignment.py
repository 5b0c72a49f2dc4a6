"""Features against those of the teachers (Fig. 5), and modalities against each other (Fig. 4)."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from g2d.analysis.rows import Rows
from g2d.errors import ArgumentError


def feature_alignment(features: Tensor, taught: Tensor) -> float:
    """Mean cosine of f_s^m and f_t^m over the rows, both ``(N, D)``  (Fig. 5).

    Example:
        >>> import torch
        >>> round(feature_alignment(torch.ones(2, 2), torch.tensor([[3.0, 3.0], [1.0, -1.0]])), 4)
        0.5
    """
    if features.shape != taught.shape:
        raise ArgumentError(
            f"features must have the shape of the teacher's, {tuple(taught.shape)}, found {tuple(features.shape)}."
        )
    return F.cosine_similarity(features.float(), taught.float(), dim=1).mean().item()


def modality_gap(rows: Rows) -> dict[tuple[str, str], float]:
    """Per pair of modalities, the distance of the means of their L2-normalised features  (Fig. 4); narrower features are filled with zeros."""
    means = {m: cloud.mean(0) for m, cloud in _clouds(rows).items()}
    return {(a, b): float(np.linalg.norm(means[a] - means[b])) for a, b in combinations(means, 2)}


def projected(
    rows: Rows, method: Literal["pca", "tsne"] = "pca", seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """The same clouds in two dimensions, ``(N, 2)`` per modality, by PCA or t-SNE with a fixed seed."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method not in ("pca", "tsne"):
        raise ArgumentError(f"method must be 'pca' or 'tsne', found {method!r}.")
    clouds = _clouds(rows)
    stacked = np.concatenate(list(clouds.values()))
    made = (
        PCA(2, random_state=seed)
        if method == "pca"
        else TSNE(2, random_state=seed, init="pca", perplexity=min(30, (len(stacked) - 1) // 3))
    )
    flat = made.fit_transform(stacked).astype(np.float64)
    return dict(
        zip(
            clouds,
            np.split(flat, np.cumsum([len(cloud) for cloud in clouds.values()])[:-1]),
            strict=True,
        )
    )


def _clouds(rows: Rows) -> dict[str, NDArray[np.float64]]:
    widest = max(f.shape[1] for f in rows.features.values())
    return {
        m: F.pad(F.normalize(f[rows.has[m]].double(), dim=1), (0, widest - f.shape[1])).numpy()
        for m, f in rows.features.items()
    }
