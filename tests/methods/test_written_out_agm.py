"""AGM against its step written out, with 2^k passes where the method needs two."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from g2d.fusion import Late, Sum
from g2d.methods import AGM
from g2d.types import Batch
from support.tiny import WIDTHS
from support.written_out import WrittenOut, compare


class Shares(WrittenOut):
    """l = sum_m G_{c^m}(u^m), with u^m what m adds to the prediction, over all orders."""

    defaults: ClassVar = {
        "alpha": 2.5,
        "cap": 10.0,
        "window": None,
        "after_window": "one",
        "coalitions": "reuse",
        "permutations": None,
        "absent": "zero_input",
        "clip": None,
        "modulate": "auto",
    }

    def absent(self, m: str, batch: Batch) -> Tensor:
        """Return the features of an absent modality, zero in rows that lack it anyway."""
        if self.o.absent == "feature_mean":
            f = self.t[f"method.mean_{m}"][None]
        else:
            f = self.encode(m, 0 * batch.inputs[m], train=False)
        return f * self.has(batch, m)[:, None]

    def orders(self, train: bool) -> list[tuple[str, ...]]:
        """Return all orders in which modalities can arrive, or random ones."""
        if self.o.permutations is None:
            return list(permutations(self.modalities))
        if not train:
            generator = torch.Generator().manual_seed(0)
        else:
            generator = self.generator = getattr(self, "generator", torch.Generator())
            if self.epoch == 1 and not float(self.t["method.updates"]):
                generator.manual_seed(0)
        draws = [torch.randperm(self.k, generator=generator) for _ in range(self.o.permutations)]
        return [tuple(self.modalities[i] for i in draw) for draw in draws]

    def split(self, batch: Batch, f: dict[str, Tensor], train: bool = True) -> dict[str, Tensor]:
        """Return u^m: the mean gain of m over the orders in which modalities arrive."""
        nothing = {m: self.absent(m, batch) for m in f}
        again = self.features(batch, train=False) if self.o.coalitions == "eval" else f
        u = dict.fromkeys(f, torch.zeros((), dtype=torch.float64))
        orders = self.orders(train)
        for order in orders:
            before: Tensor | float = 0.0
            for i, m in enumerate(order):
                coalition = order[: i + 1]
                having = f if len(coalition) == self.k else again
                after = self.fused(
                    self.logits({j: (having if j in coalition else nothing)[j] for j in f})
                )
                u[m] = u[m] + (after - before) / len(orders)
                before = after
        return u

    def coefficients(self, q: dict[str, float]) -> dict[str, float]:
        def strength(of: dict[str, float], m: str) -> float:
            mean = sum(of.values()) / self.k
            return math.exp(self.k / (self.k - 1) * (mean - of[m]))

        running = dict(zip(q, self.t["method.running"].tolist(), strict=True))
        return {
            m: math.exp(
                self.o.alpha
                * min(
                    strength(running, m) - strength(q, m),
                    math.inf if self.o.cap is None else self.o.cap,
                )
            )
            for m in q
        }

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        f, c = self.features(batch), dict.fromkeys(self.modalities, 1.0)
        start, end = self.window()
        is_over = self.epoch > end
        inside = start <= self.epoch and (self.o.after_window == "keep" or not is_over)
        logits = self.fused(self.logits(f))
        if inside:
            u = self.split(batch, f)
            q = self.entropies(u, batch)
            c = self.coefficients(q)
            if self.o.after_window == "keep":
                if is_over:
                    c = dict(zip(c, self.t["method.kept"].tolist(), strict=True))
                self.t["method.kept"] = torch.tensor(list(c.values()), dtype=torch.float64)
            t = self.t["method.updates"] = self.t["method.updates"] + 1
            new = torch.tensor(list(q.values()), dtype=torch.float64)
            self.t["method.running"] = self.t["method.running"] * (t - 1) / t + new / t
            if self.o.modulate != "update":
                logits = sum(u[m].detach() + c[m] * (u[m] - u[m].detach()) for m in u)
        loss = self.losses(logits, batch.target).mean()
        gradients = self.gradients(loss)
        if inside and self.o.absent == "feature_mean":
            self.remember(batch, f)
        self.clipped(gradients)

        def rate(name: str) -> float:
            return c[name.split(".")[2]] if "encoders" in name else 1.0

        self.descend(gradients, rate if self.o.modulate == "update" else lambda _: 1.0)
        return {"loss/task": loss} | {f"kappa/{m}": value for m, value in c.items()}

    def entropies(self, u: dict[str, Tensor], batch: Batch) -> dict[str, float]:
        """Return q^m, at most -log 1e-8 per row; without any row, the mean so far."""
        q = dict(zip(u, self.t["method.running"].tolist(), strict=True))
        for m, share in u.items():
            has = self.has(batch, m)
            rows = self.losses(share.detach(), batch.target).clamp_max(-math.log(1e-8))
            if has.sum():
                q[m] = float((rows * has).sum() / has.sum())
        return q

    def remember(self, batch: Batch, f: dict[str, Tensor]) -> None:
        for m, features in f.items():
            count = float(self.has(batch, m).sum())
            if count:
                at, t = f"method.mean_{m}", float(self.t["method.updates"])
                mean = features.detach().sum(0) / count
                self.t[at] = self.t[at] + (mean - self.t[at]) / t

    def clipped(self, gradients: dict[str, Tensor]) -> None:
        heads = [g for name, g in gradients.items() if "fusion" in name]
        if self.o.clip is None or max(float(g.abs().max()) for g in heads) <= 1:
            return
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
        for name in gradients:
            gradients[name] = gradients[name] * min(1.0, self.o.clip / (norm + 1e-6))

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        f = self.features(batch, train=False)
        u = self.split(batch, f, train=False)
        return self.fused(self.logits(f)), {m: share / self.scale for m, share in u.items()}


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"alpha": 0.7, "cap": 0.05},
        {"alpha": 1.5, "cap": None, "absent": "feature_mean"},
        {"window": (2, 2), "absent": "feature_mean", "alpha": 0.4},
        {"clip": 0.3, "alpha": 30.0, "cap": 0.1, "window": None},
        {"modulate": "update", "alpha": 0.9, "window": (0.34, 0.67)},
        {"window": (1, 2), "after_window": "keep", "coalitions": "eval", "alpha": 0.8},
        {"permutations": 2, "alpha": 1.2},
    ],
    ids=str,
)
def test_agm_scales_the_gradient_of_every_share(changed: dict[str, Any], k: int) -> None:
    fusion = Sum if "clip" in changed else Late
    records = compare(AGM, Shares, changed, k, fusion=fusion)
    c = [[record[f"kappa/{m}"] for m in tuple(WIDTHS)[:k]] for record in records]
    assert min(map(min, c)) < 1 < max(map(max, c))
    if changed.get("window") in [(2, 2), (0.34, 0.67)]:
        assert [set(values) == {1.0} for values in c] == [True, True, False, False, True, True]
