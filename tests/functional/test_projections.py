"""The projector of MLA's head, and weights by certainty."""

from __future__ import annotations

import pytest
import torch

from g2d.functional.certainty import certainty_weights
from g2d.functional.projections import forgetting, narrowed


def test_the_projector_by_hand() -> None:
    projector = narrowed(torch.eye(2), torch.ones(2), 0.1)
    assert projector.tolist() == [
        pytest.approx([0.523810, -0.476190], abs=1e-6),
        pytest.approx([-0.476190, 0.523810], abs=1e-6),
    ]


def test_the_projector_stays_symmetric_with_eigenvalues_between_0_and_1() -> None:
    g, projector = torch.Generator().manual_seed(0), torch.eye(6, dtype=torch.float64)
    for step in range(200):
        projector = narrowed(
            projector, torch.randn(6, generator=g, dtype=torch.float64), forgetting(step % 10, 10)
        )
        torch.testing.assert_close(projector, projector.T)
        values = torch.linalg.eigvalsh(projector)
        assert values.min() > 0
        assert values.max() <= 1 + 1e-12


def test_the_projector_is_the_inverse_of_recursive_least_squares() -> None:
    """Compare with P = (I + sum_t h_t h_t^T / lambda)^-1 for a constant lambda."""
    h = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    projector = torch.eye(4, dtype=torch.float64)
    for row in h:
        projector = narrowed(projector, row, 0.05)
    torch.testing.assert_close(
        projector, torch.linalg.inv(torch.eye(4, dtype=torch.float64) + h.T @ h / 0.05)
    )


def test_a_direction_used_often_is_projected_out() -> None:
    projector, h = (
        torch.eye(3, dtype=torch.float64),
        torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64),
    )
    other = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)
    for _ in range(100):
        projector = narrowed(projector, h, 0.1)
    assert (projector @ h).norm() < 1e-3 * h.norm()
    torch.testing.assert_close(projector @ other, other)


def test_the_damping_falls_within_an_epoch_to_its_limit() -> None:
    assert [round(forgetting(b, 4), 6) for b in (0, 2, 4, 99)] == [0.1, 0.031623, 0.01, 0.01]


def test_the_more_certain_modality_gets_the_larger_weight() -> None:
    z = {
        "a": torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log(),
        "b": torch.tensor([[0.6, 0.4], [0.5, 0.5]]).log(),
    }
    weights = certainty_weights(z)
    assert weights["a"].tolist() == pytest.approx([0.586115, 0.5], abs=1e-6)
    assert weights["b"].tolist() == pytest.approx([0.413885, 0.5], abs=1e-6)


def test_a_missing_modality_gets_no_weight_and_weights_are_finite() -> None:
    z = {"a": torch.tensor([[1e4, -1e4], [0.0, 0.0]]), "b": torch.tensor([[0.0, 0.0], [-1e4, 1e4]])}
    weights = certainty_weights(z, {"a": torch.tensor([False, True])})
    assert weights["a"].tolist() == pytest.approx([0.0, 1 / 3], abs=1e-6)
    assert (weights["a"] + weights["b"]).tolist() == pytest.approx([1.0, 1.0])
