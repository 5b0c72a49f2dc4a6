from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.functional.calibration import fit_head_weights


def nll(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target, reduction="sum")


def test_a_noisy_head_loses_its_weight_and_a_good_one_gains() -> None:
    target = torch.randint(0, 3, (300,))
    good = 2 * F.one_hot(target, 3).float() + torch.randn(300, 3)
    loud = 8 * torch.randn(300, 3)
    a = fit_head_weights([good, loud], target, nll)
    assert a[0] > 0.5 > 0.1 > a[1]


def test_the_fit_is_a_minimum_of_its_objective() -> None:
    target = torch.randint(0, 3, (200,))
    heads = [F.one_hot(target, 3) + torch.randn(200, 3), torch.randn(200, 3)]
    stacked = torch.stack(heads).double()

    def objective(a: Tensor) -> float:
        prior = (a.double().log() + torch.tensor(2.0).log()).square().sum() / 2
        return (nll((a.double()[:, None, None] * stacked).sum(0), target) + prior).item()

    a = fit_head_weights(heads, target, nll)
    best = objective(a)
    for step in (0.98, 1.02):
        for j in range(2):
            nudged = a.clone()
            nudged[j] *= step
            assert objective(nudged) > best


def test_weights_do_not_depend_on_the_order_of_heads() -> None:
    target = torch.randint(0, 3, (100,))
    heads = [F.one_hot(target, 3) + torch.randn(100, 3), torch.randn(100, 3)]
    torch.testing.assert_close(
        fit_head_weights(heads[::-1], target, nll).flip(0),
        fit_head_weights(heads, target, nll),
        rtol=1e-3,
        atol=1e-4,
    )
