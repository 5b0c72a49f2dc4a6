"""DLMG against its step written out."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from g2d.fusion import Late, Sum
from g2d.methods import DLMG
from g2d.types import Batch
from support.written_out import RATE, WrittenOut, compare, log_softmax

POLYNOMIAL = (2.04623704e-1, 3.35472727e-3, 1.22989557e-4, -2.92947416e-6, 2.23835486e-8)
FIFTH = -5.39717505e-11


class Matched(WrittenOut):
    """L = 2 ( a_cls L_S(l, y) + a_mm L_mm ), a_cls + a_mm = 1."""

    defaults: ClassVar = {
        "schedule": "fitted",
        "matching": "js_reverse",
        "weights": (0.5, 0.5),
        "rate": 1.0,
    }

    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the matching of two modalities, the mean over the rows."""
        p, q = log_softmax(a).exp(), log_softmax(b).exp()
        m = (p + q) / 2
        if self.o.matching == "js_reverse":
            return (m * (m / p).log() + m * (m / q).log()).sum(1).mean() / 2
        if self.o.matching == "js":
            return (p * (p / m).log() + q * (q / m).log()).sum(1).mean() / 2
        a, b = (v / v.square().sum(1, keepdim=True).sqrt() for v in (a, b))
        similarity = a @ b.T / 0.07
        rows = -log_softmax(similarity).diagonal().mean()
        columns = -log_softmax(similarity.T).diagonal().mean()
        return (rows + columns) / 2

    def both(self, batch: Batch, *, train: bool) -> tuple[Tensor, Tensor]:
        """Return L_S and L_mm."""
        z = self.logits(self.features(batch, train=train))
        terms = []
        for a, b in combinations(self.modalities, 2):
            rows = (self.has(batch, a) * self.has(batch, b)).bool()
            count = int(rows.sum())
            zero = torch.zeros((), dtype=torch.float64)
            term = self.pair(z[a][rows], z[b][rows]) if count else zero
            terms.append(term * count / len(batch))
        return self.losses(self.fused(z), batch.target).mean(), torch.stack(terms).mean()

    def epoch_start(self) -> None:
        if self.o.schedule != "learned":
            return
        train, valid = (self.rows(split, self.epoch)[0] for split in ("train", "valid"))
        task, matching = self.both(train, train=False)
        held_out = self.both(valid, train=False)[0]
        names = [name for name in self.names if name.startswith("model.")]
        left = self.gradients(held_out, names)
        right = self.gradients(matching - task, names)
        product = sum(float((left[name] * right[name]).sum()) for name in left)
        rate = self.o.rate / 2 ** ((self.epoch - 1) // 20)
        a = float(self.t["method.a_mm"]) + RATE * rate * product
        self.t["method.a_mm"] = torch.tensor(min(max(a, 0.05), 0.95), dtype=torch.float64)

    def share(self) -> tuple[float, float]:
        """Return a_cls and a_mm."""
        if self.o.schedule == "constant":
            return tuple(self.o.weights)
        if self.o.schedule == "learned":
            a = 1 - float(self.t["method.a_mm"])
        elif self.o.schedule == "heuristic":
            a = math.exp(-1 / self.epoch)
        else:
            e = 200 * (self.epoch - 1) / self.epochs
            a = sum(c * e**i for i, c in enumerate((*POLYNOMIAL, FIFTH)))
        return a, 1 - a

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        task, matching = self.both(batch, train=True)
        a_cls, a_mm = self.share()
        terms = {"loss/task": 2 * a_cls * task, "loss/matching": 2 * a_mm * matching}
        self.descend(self.gradients(sum(terms.values())))
        return terms | {"weight/task": a_cls, "weight/matching": a_mm}


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"schedule": "heuristic", "matching": "js"},
        {"schedule": "constant", "weights": (0.9, 0.4), "matching": "infonce"},
        {"schedule": "learned", "rate": 3.0, "matching": "js"},
    ],
    ids=str,
)
def test_dlmg_matches_modalities_before_it_classifies(changed: dict[str, Any], k: int) -> None:
    compare(DLMG, Matched, changed, k, fusion=Sum if changed else Late)


def test_the_rate_of_the_learned_weight_halves_every_twenty_epochs() -> None:
    changed = {"schedule": "learned", "rate": 3.0}
    records = compare(DLMG, Matched, changed, 2, first=20, epochs=22)
    weights = [record["weight/matching"] for record in records[::2]]
    assert len(set(weights)) == 3
    assert all(0.05 < weight < 0.95 for weight in weights)
