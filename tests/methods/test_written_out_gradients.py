"""OGM-GE, MMPareto and MLA, which change gradients, against their steps written out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from g2d.fusion import Late, Sum
from g2d.methods import MLA, OGMGE, MMPareto
from g2d.types import Batch
from support.tiny import WIDTHS
from support.written_out import WrittenOut, compare, entropy


class OGM(WrittenOut):
    """kappa^m = 1 - tanh(alpha x^m) if x^m > 1; g^m <- kappa^m g^m + n."""

    defaults: ClassVar = {
        "alpha": 0.8,
        "noise": True,
        "against": "mean",
        "window": (0.0, 0.5),
        "scope": "all",
        "modulate": "auto",
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.generator = torch.Generator().manual_seed(0)

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        z = self.logits(self.features(batch))
        loss = self.losses(self.fused(z), batch.target).mean()
        gradients = self.gradients(loss)
        kappa = dict.fromkeys(self.modalities, 1.0)
        if self.inside():
            s = self.mean_confidence(z, batch, 0.0)
            for m in self.modalities:
                others = [s[j] for j in self.modalities if j != m]
                against = {
                    "mean": sum(others) / len(others),
                    "sum": sum(others),
                    "min": min(others),
                }[self.o.against]
                x = s[m] / max(against, 1e-8)
                kappa[m] = 1 - math.tanh(self.o.alpha * x) if x > 1 else 1.0
            for m in self.modalities:
                self.modulate(m, kappa[m], gradients)

        def rate(name: str) -> float:
            scaled = self.o.modulate == "update" and "encoders" in name and self.selected(name)
            return kappa[name.split(".")[2]] if scaled else 1.0

        self.descend(gradients, rate)
        return {"loss/task": loss} | {f"kappa/{m}": value for m, value in kappa.items()}

    def selected(self, name: str) -> bool:
        """Return whether a parameter is in the scope."""
        return self.o.scope == "all" or self.t[name].ndim == 4

    def modulate(self, m: str, kappa: float, gradients: dict[str, Tensor]) -> None:
        noise = self.o.noise and not (kappa == 0 and self.o.modulate == "update")
        for name in [name for name in gradients if name.startswith(self.of(m))]:
            if not self.selected(name):
                continue
            g = gradients[name]
            scaled = g if self.o.modulate == "update" else kappa * g
            if noise and g.numel() > 1:
                deviation = ((g - g.mean()).square().sum() / (g.numel() - 1)).sqrt() + 1e-8
                scaled = (
                    scaled + deviation * torch.randn(g.shape, generator=self.generator).double()
                )
            gradients[name] = scaled
            if kappa == 0 and not noise:
                del gradients[name]


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"alpha": 0.2, "against": "min"},
        {"alpha": 0.2, "against": "sum", "noise": False, "window": None},
        {"scope": "conv_only", "window": (2, 2)},
        {"modulate": "update", "alpha": 0.3, "window": (1, 3), "scope": "conv_only"},
        {"scope": "conv_only", "noise": False, "window": (0.34, 1.0)},
    ],
    ids=str,
)
def test_ogm_ge_damps_modalities_above_the_others_and_adds_noise(
    changed: dict[str, Any], k: int
) -> None:
    fusion = Sum if "scope" in changed else Late
    records = compare(OGMGE, OGM, changed, k, fusion=fusion)
    damped = [sum(record[f"kappa/{m}"] < 1 for m in tuple(WIDTHS)[:k]) for record in records]
    assert 0 < max(damped) < k
    epochs = {1 + i // 2 for i, number in enumerate(damped) if number}
    if (window := changed.get("window", (0.0, 0.5))) is not None:
        assert (
            epochs == {(0.0, 0.5): {1}, (2, 2): {2}, (0.34, 1.0): {2, 3}, (1, 3): {1, 2, 3}}[window]
        )


class Pareto(WrittenOut):
    """Encoder m follows gamma h, h = 2 a_0 dL_0 + 2 a_m dL_m, as long as dL_0 + dL_m."""

    defaults: ClassVar = {"gamma": 1.5, "norm_scope": "tensor", "modulate": "auto"}

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        f = self.features(batch)
        record: dict[str, Any] = {}
        joint = self.losses(self.fused(self.logits(f)), batch.target).mean()
        own = {}
        for m in self.modalities:
            rows = self.losses(self.head(m, f[m], "method.heads."), batch.target)
            own[m] = (rows * self.has(batch, m)).sum() / len(batch)
            record[f"loss/unimodal/{m}"] = own[m]
        moves = {n: g for n, g in self.gradients(joint).items() if "encoders" not in n}
        for m in self.modalities:
            heads = [name for name in self.names if name.startswith(f"method.heads.{m}.")]
            moves |= self.gradients(own[m], heads)
            names = [name for name in self.names if name.startswith(self.of(m))]
            g0, gm = self.gradients(joint, names), self.gradients(own[m], names)
            combined, record[f"cosine/{m}"] = self.combined(g0, gm)
            moves |= combined
        gamma = self.o.gamma
        if self.o.modulate == "update":
            self.descend(moves, lambda name: gamma if "encoders" in name else 1.0)
        else:
            self.descend({n: g * (gamma if "encoders" in n else 1.0) for n, g in moves.items()})
        return record | {"loss/task": joint}

    def combined(
        self, g0: dict[str, Tensor], gm: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], float]:
        def product(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
            return sum(float((a[name] * b[name]).sum()) for name in a)

        lengths = math.sqrt(product(g0, g0) * product(gm, gm))
        cosine = product(g0, gm) / lengths if lengths else 0.0
        a = 0.5
        if cosine <= 0 and lengths:
            apart = {name: g0[name] - gm[name] for name in g0}
            a = (product(gm, gm) - product(g0, gm)) / product(apart, apart)
            assert 0 <= a <= 1
        h = {name: 2 * a * g0[name] + 2 * (1 - a) * gm[name] for name in g0}
        plain = {name: g0[name] + gm[name] for name in g0}
        whole = math.sqrt(product(plain, plain) / product(h, h)) if product(h, h) else 1.0
        for name in h:
            length = float(h[name].norm())
            own = max(float(plain[name].norm()) / length, 1.0) if length else 1.0
            h[name] = h[name] * (own if self.o.norm_scope == "tensor" else whole)
        return h, cosine

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        f = self.features(batch, train=False)
        own = {m: self.head(m, f[m], "method.heads.") for m in f}
        return self.fused(self.logits(f)), own


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [{}, {"gamma": 0.6, "norm_scope": "encoder"}, {"gamma": 0.7, "modulate": "update"}],
    ids=str,
)
def test_mmpareto_combines_the_gradients_of_two_losses(
    changed: dict[str, Any], k: int, regression: bool
) -> None:
    records = compare(MMPareto, Pareto, changed, k, epochs=4, regression=regression)
    cosines = [record[f"cosine/{m}"] for record in records for m in tuple(WIDTHS)[:k]]
    assert min(cosines) < 0 < max(cosines)


class Alternating(WrittenOut):
    """In the turn of m, a step on CE(z^m, y) whose gradient of the head is projected."""

    defaults: ClassVar = {
        "order": None,
        "projection": True,
        "update_first": False,
        "normalize": False,
        "weights": None,
        "skip_first_turn": False,
    }
    first_turn = True

    def aligned(self, m: str, f: Tensor) -> Tensor:
        at = f"method.align.projectors.{m}"
        return self.linear(f, at) if at + ".weight" in self.t else f

    def epoch_start(self) -> None:
        self.batch = 0

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        record: dict[str, Tensor | float] = {}
        for m in self.o.order or self.modalities:
            has = self.has(batch, m)
            f = self.aligned(m, self.features(batch, only=[m])[m])
            losses = self.losses(self.linear(f, "method.head"), batch.target)
            loss = record[f"loss/{m}"] = (losses * has).sum() / len(batch)
            gradients = self.gradients(loss)
            skipped = self.o.skip_first_turn and self.first_turn
            self.first_turn = False
            if self.o.projection and not skipped:
                h = (f.detach() * has[:, None]).sum(0) / max(float(has.sum()), 1)
                self.project(gradients, h)
            self.descend(gradients)
        self.batch += 1
        return record

    def project(self, gradients: dict[str, Tensor], h: Tensor) -> None:
        before = self.t["method.projector"]
        damping = 0.1 ** (1 + self.batch / 2)
        q = before @ h / (damping + float(h @ before @ h))
        after = before - torch.outer(q, h) @ before
        if self.o.normalize:
            after = after / after.square().sum().sqrt()
        used = after if self.o.update_first else before
        gradients["method.head.weight"] = gradients["method.head.weight"] @ used.T
        self.t["method.projector"] = after

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        f = self.features(batch, train=False)
        z = {m: self.linear(self.aligned(m, f[m]), "method.head") for m in f}
        if self.o.weights is not None:
            return sum((self.o.weights[m] * z[m] for m in z), start=torch.zeros(())), z
        certainty = {m: (-entropy(z[m])).exp() * self.has(batch, m) for m in z}
        total = torch.stack(list(certainty.values())).sum(0)
        fused = torch.stack([(certainty[m] / total)[:, None] * z[m] for m in z]).sum(0)
        return fused, z


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"update_first": True, "normalize": True},
        {"normalize": True, "skip_first_turn": True},
        {"projection": False, "order": True},
        {"weights": True, "update_first": True},
    ],
    ids=str,
)
def test_mla_takes_turns_at_one_head_whose_gradient_is_projected(
    changed: dict[str, Any], k: int
) -> None:
    modalities = tuple(WIDTHS)[:k]
    filled = {
        "order": modalities[::-1],
        "weights": {m: 0.3 + 0.5 * i for i, m in enumerate(modalities)},
    }
    options = {name: filled.get(name, value) for name, value in changed.items()}
    compare(MLA, Alternating, options, k)
