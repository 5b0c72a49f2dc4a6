"""DLMG's matching of modalities and its schedules."""

from __future__ import annotations

import math

import pytest
import torch

from g2d.functional.matching import (
    fitted_weight,
    heuristic_weight,
    infonce,
    jensen_shannon,
    js_reverse,
    pairwise_matching,
)

P, Q = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.2, 0.8]]).log()


def test_the_two_divergences_by_hand() -> None:
    assert js_reverse(P, Q).item() == pytest.approx(0.223144, abs=1e-6)
    assert jensen_shannon(P, Q).item() == pytest.approx(0.192745, abs=1e-6)


def test_the_two_divergences_written_out() -> None:
    a, b = torch.randn(7, 4, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    reverse = forward = 0.0
    for row, other in zip(a.softmax(1).tolist(), b.softmax(1).tolist(), strict=True):
        for p, q in zip(row, other, strict=True):
            m = (p + q) / 2
            reverse += 0.5 * (m * math.log(m / p) + m * math.log(m / q)) / 7
            forward += 0.5 * (p * math.log(p / m) + q * math.log(q / m)) / 7
    assert js_reverse(a, b).item() == pytest.approx(reverse, rel=1e-5)
    assert jensen_shannon(a, b).item() == pytest.approx(forward, rel=1e-5)


def test_the_true_divergence_is_bounded_and_the_released_one_is_not() -> None:
    sure, opposite = torch.tensor([[60.0, -60.0]]), torch.tensor([[-60.0, 60.0]])
    assert jensen_shannon(sure, opposite).item() == pytest.approx(math.log(2))
    assert 50 < js_reverse(sure, opposite).item() < math.inf


@pytest.mark.parametrize("matching", [js_reverse, jensen_shannon, infonce])
def test_both_modalities_receive_a_gradient_and_the_order_does_not_matter(matching: object) -> None:
    assert callable(matching)
    a, b = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    loss = matching(a, b)
    loss.backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.abs().sum() > 0
    assert b.grad.abs().sum() > 0
    torch.testing.assert_close(loss, matching(b, a))


def test_all_pairs_count_the_same_and_missing_rows_add_nothing() -> None:
    z = {m: torch.randn(6, 3) for m in "abc"}
    pairs = [js_reverse(z["a"], z["b"]), js_reverse(z["a"], z["c"]), js_reverse(z["b"], z["c"])]
    loss = pairwise_matching(z, js_reverse)
    assert loss is not None
    torch.testing.assert_close(loss, torch.stack(pairs).mean())
    present = torch.tensor([True, True, False, True, False, True])
    some = pairwise_matching({"a": z["a"], "b": z["b"]}, js_reverse, {"a": present})
    assert some is not None
    torch.testing.assert_close(some, js_reverse(z["a"][present], z["b"][present]) * 4 / 6)
    none = pairwise_matching({"a": z["a"], "b": z["b"]}, js_reverse, {"a": ~present & present})
    assert none is not None
    assert none.item() == 0
    assert pairwise_matching({"a": z["a"]}, js_reverse) is None


def test_the_fitted_schedule_at_the_authors_epochs_and_its_limit() -> None:
    assert [fitted_weight(e + 1, 200) for e in (0, 20, 40, 80, 100, 150)] == pytest.approx(
        [0.2046, 0.301, 0.400, 0.5002, 0.539, 0.8213], abs=6e-4
    )
    assert fitted_weight(181, 200) == 1.0  # the polynomial gives 1.008
    assert fitted_weight(200, 200) == pytest.approx(0.916, abs=1e-3)
    assert [fitted_weight(e + 1, 30) for e in (0, 15)] == pytest.approx(
        [fitted_weight(1, 200), fitted_weight(101, 200)]
    )


def test_the_heuristic_schedule_fades_out_matching() -> None:
    assert [1 - heuristic_weight(t) for t in (1, 2, 5, 10, 100)] == pytest.approx(
        [0.632, 0.393, 0.181, 0.095, 0.010], abs=6e-4
    )
