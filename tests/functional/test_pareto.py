"""Directions that worsen neither loss: by hand, against another library, and as theorems."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from g2d.functional.pareto import cosine, min_norm_weights, pareto_gradients, pareto_weights

Pair = tuple[Tensor, Tensor]


def pair(seed: int, conflicting: bool, size: int = 12) -> Pair:
    """Return two random gradients; the second is reflected so that it conflicts, or does not."""
    g = torch.Generator().manual_seed(seed)
    joint, own = torch.randn(2, size, generator=g, dtype=torch.float64) * torch.tensor(
        [[1.0], [0.01 + 10 * torch.rand(1, generator=g).item()]]
    )
    return joint, own if (joint @ own < 0) == conflicting else -own


def test_two_conflicting_gradients_by_hand() -> None:
    joint, own = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    assert min_norm_weights(joint, own) == pytest.approx((0.6, 0.4))
    h = 2 * 0.6 * joint + 2 * 0.4 * own
    assert h.tolist() == pytest.approx([0.4, 0.8])
    assert [(h @ joint).item(), (h @ own).item()] == pytest.approx([0.4, 0.4])
    assert pareto_gradients([joint], [own], gamma=1.0)[0].tolist() == pytest.approx(
        [0.447214, 0.894427], abs=1e-6
    )
    assert pareto_gradients([joint], [own], gamma=1.5)[0].tolist() == pytest.approx(
        [0.670820, 1.341641], abs=1e-6
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_minimum_norm_point_is_that_of_torchjd(seed: int) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation", reason="torchjd is not installed")
    joint, own = pair(seed, conflicting=True)
    a, b = pareto_weights(joint, own)
    expected = aggregation.MGDA(epsilon=1e-12, max_iters=100_000)(torch.stack([joint, own]))
    torch.testing.assert_close(a * joint + b * own, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_gradients_that_agree_get_half_each_and_give_gamma_times_their_sum(seed: int) -> None:
    joint, own = pair(seed, conflicting=False)
    assert pareto_weights(joint, own) == (0.5, 0.5)
    for by_tensor in (True, False):
        h = torch.cat(
            pareto_gradients(
                [joint[:5], joint[5:]], [own[:5], own[5:]], gamma=1.5, by_tensor=by_tensor
            )
        )
        torch.testing.assert_close(h, 1.5 * (joint + own))


@given(seed=st.integers(0, 10**6), cut=st.integers(1, 11))
def test_in_encoder_mode_the_step_conflicts_with_no_loss_and_has_the_length_of_the_sum(
    seed: int, cut: int
) -> None:
    joint, own = pair(seed, conflicting=seed % 2 == 0)
    h = torch.cat(
        pareto_gradients(
            [joint[:cut], joint[cut:]], [own[:cut], own[cut:]], gamma=1.0, by_tensor=False
        )
    )
    if cosine(joint, own) <= 0:
        assert h @ joint > 0
        assert h @ own > 0
    assert h.norm().item() == pytest.approx((joint + own).norm().item(), rel=1e-9)


def test_by_tensor_only_tensors_shorter_than_their_sum_are_enlarged() -> None:
    joint, own = (
        [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])],
        [torch.tensor([-1.0, 1.0]), torch.tensor([0.0, -4.0])],
    )
    a, b = pareto_weights(torch.cat(joint), torch.cat(own))
    mixed = [2 * a * g + 2 * b * u for g, u in zip(joint, own, strict=True)]
    enlarged = pareto_gradients(joint, own, gamma=1.0)
    for h, raw, plain in zip(
        enlarged, mixed, [g + u for g, u in zip(joint, own, strict=True)], strict=True
    ):
        assert h.norm().item() == pytest.approx(max(raw.norm().item(), plain.norm().item()))
        assert cosine(h, raw) == pytest.approx(1.0)


def test_opposite_gradients_cancel_and_zero_gradients_do_not_conflict() -> None:
    g = torch.tensor([1.0, -2.0])
    assert pareto_gradients([g], [-g], gamma=1.5)[0].tolist() == [0.0, 0.0]
    for joint, own in ((g, 0 * g), (0 * g, g), (0 * g, 0 * g)):
        assert pareto_weights(joint, own) == (0.5, 0.5)
        torch.testing.assert_close(
            pareto_gradients([joint], [own], gamma=2.0)[0], 2.0 * (joint + own)
        )
