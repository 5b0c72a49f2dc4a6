from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from g2d.data.pca import principal_components


def test_components_are_scikit_learns_up_to_their_sign() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 5)) * [3, 1, 4, 1.5, 0.5]
    variance, components = principal_components(np.cov(rows, rowvar=False))
    reference = PCA().fit(rows)
    np.testing.assert_allclose(variance, reference.explained_variance_)
    np.testing.assert_allclose(np.abs(components), np.abs(reference.components_), atol=1e-9)


def test_components_are_orthonormal_and_rebuild_the_covariance() -> None:
    covariance = np.cov(np.random.default_rng(1).normal(size=(6, 40)))
    variance, components = principal_components(covariance)
    np.testing.assert_allclose(components @ components.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(components.T * variance @ components, covariance, atol=1e-12)
