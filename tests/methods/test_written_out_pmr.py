"""PMR against its step written out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from g2d.fusion import Late, Sum
from g2d.methods import PMR
from g2d.types import Batch
from support.tiny import BATCHES, CLASSES
from support.written_out import WrittenOut, compare, entropy


class Prototypes(WrittenOut):
    """L = L_S + alpha * sum_m beta^m CE(sim^m, y) - mu * max_j beta^j * H(softmax(sim^best))."""

    defaults: ClassVar = {
        "alpha": 1.0,
        "mu": 1e-2,
        "entropy_epochs": 0.0667,
        "momentum": 0.2,
        "fraction": 0.1,
        "window": (0.0, 0.6667),
        "weighting": "graded",
        "readout": "heads",
    }

    def epoch_start(self) -> None:
        if not self.inside():
            return
        drawn = self.rows("train", self.epoch)[: max(1, int(self.o.fraction * BATCHES))]
        for m in self.modalities:
            for c in range(CLASSES):
                features = [
                    f
                    for batch in drawn
                    for f, y, has in zip(
                        self.encode(m, batch.inputs[m], train=False).detach(),
                        batch.target,
                        self.has(batch, m),
                        strict=True,
                    )
                    if y == c and has
                ]
                if not features:
                    continue
                at, new = f"method.prototypes_{m}", torch.stack(features).mean(0)
                if self.t[f"method.known_{m}"][c]:
                    new = self.o.momentum * self.t[at][c] + (1 - self.o.momentum) * new
                self.t[at][c] = new
                self.t[f"method.known_{m}"][c] = True

    def sims(self, f: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return minus the distance to every prototype; -1e9 where there is none."""
        sims = {}
        for m, features in f.items():
            away = features[:, None] - self.t[f"method.prototypes_{m}"][None]
            distance = away.square().sum(2).clamp_min(1e-300).sqrt()  # slope 0 at 0
            sims[m] = torch.where(self.t[f"method.known_{m}"][None], -distance, -1e9)
        return sims

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        f, o, n = self.features(batch), self.o, len(batch)
        terms = {"loss/task": self.losses(self.fused(self.logits(f)), batch.target).sum() / n}
        beta = dict.fromkeys(self.modalities, 0.0)
        if self.inside():
            sims = self.sims(f)
            usable = {m: self.has(batch, m) * self.t[f"method.known_{m}"][batch.target] for m in f}
            scores = {
                m: float((self.confidence(sims[m].detach(), batch.target) * rows).sum())
                / float(rows.sum())
                for m, rows in usable.items()
                if rows.sum()
            }
            best = max(scores.values())
            beta |= {m: self.weight(best, s) for m, s in scores.items()}
            for m in self.modalities:
                if beta[m]:
                    rows = self.losses(sims[m], batch.target) * usable[m]
                    terms[f"loss/prototype/{m}"] = o.alpha * beta[m] * rows.sum() / n
                elif max(beta.values()) and self.epoch <= self.last_bonus():
                    rows = entropy(sims[m]) * self.has(batch, m)
                    terms[f"loss/entropy/{m}"] = -o.mu * max(beta.values()) * rows.sum() / n
        self.descend(self.gradients(sum(terms.values())))
        return terms | {f"beta/{m}": value for m, value in beta.items()}

    def last_bonus(self) -> float:
        """Return the last epoch with the entropy bonus."""
        last: float = math.inf if self.o.entropy_epochs is None else self.o.entropy_epochs
        if not isinstance(last, int) and last <= 1:
            last = max(1, math.floor(last * self.epochs + 1e-6))
        return last

    def weight(self, best: float, score: float) -> float:
        if self.o.weighting == "full":
            return 1.0 if score < best else 0.0
        return min(max(best / score - 1, 0.0), 1.0)

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        fused, z = super().predict(batch)
        if self.o.readout == "heads":
            return fused, z
        return fused, self.sims(self.features(batch, train=False))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {"window": (0.26, 1.0), "entropy_epochs": 0.75},
        {"alpha": 3.0, "mu": 0.3, "weighting": "full", "entropy_epochs": 2, "fraction": 1.0},
        {"momentum": 0.7, "window": (0.0, 0.75), "fraction": 1.0, "entropy_epochs": 1.0},
        {"mu": 0.5, "window": (2, 3), "entropy_epochs": None, "readout": "prototypes"},
        {"entropy_epochs": 3, "mu": 0.2, "fraction": 0.5, "window": None, "readout": "prototypes"},
    ],
    ids=str,
)
def test_pmr_pulls_slow_modalities_towards_their_prototypes(
    changed: dict[str, Any], k: int
) -> None:
    records = compare(PMR, Prototypes, changed, k, epochs=4, fusion=Sum if changed else Late)
    bonus = {1 + i // 2 for i, r in enumerate(records) if any("entropy" in name for name in r)}
    expected = {0.75: {2, 3}, 2: {1, 2}, 1.0: {1, 2, 3}, None: {2, 3}, 3: {1, 2, 3}}
    assert bonus == expected[changed["entropy_epochs"]]
