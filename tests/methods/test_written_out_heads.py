"""ReconBoost and MIS-ME, which have heads of their own, against their steps written out."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from g2d.method import Method
from g2d.methods import MISME, ReconBoost
from g2d.types import Batch
from support.tiny import CLASSES, WIDTHS
from support.written_out import WrittenOut, compare, log_softmax, weight_of


class Boosted(WrittenOut):
    """l = b * sum_m z^m; a stage trains one modality on what the others have not solved."""

    defaults: ClassVar = {
        "phases": (4, 4),
        "weights": (5.0, 1.0),
        "alpha": 0.5,
        "class_mean": True,
        "pretrained": False,
        "members": "growing",
        "order": None,
    }

    def z(self, batch: Batch, only: Any, *, train: bool = True) -> dict[str, Tensor]:
        """Return the logits of some modalities, zero in rows without them."""
        z = {}
        for m, f in self.features(batch, only=only, train=train).items():
            at = f"method.align.projectors.{m}"
            f = self.linear(f, at) if at + ".weight" in self.t else f
            hidden = self.linear(f, "method.head.0").clamp_min(0)
            z[m] = self.linear(hidden, "method.head.2") * self.has(batch, m)[:, None]
        return z

    def place(self) -> tuple[int, int]:
        """Return the stage, counted from 0, and the epoch in it."""
        return divmod(self.epoch - 1, sum(self.o.phases))

    def epoch_start(self) -> None:
        stage, within = self.place()
        if "method.size" in self.t:
            self.t["method.size"] = torch.tensor(len(self.members(stage)))
        if within in (0, self.o.phases[0]):
            self.velocity.clear()

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        order = self.o.order or self.modalities
        stage, within = self.place()
        m, previous = order[stage % self.k], order[(stage - 1) % self.k]
        if within >= self.o.phases[0]:
            z = self.z(batch, self.members(stage))
            logits = self.t["method.boost"] * torch.stack(list(z.values())).sum(0)
            terms = {"loss/task": self.losses(logits, batch.target).mean()}
            learning = set(z)
        else:
            known = {
                j: v.detach()
                for j, v in self.z(batch, self.modalities, train=False).items()
                if j != m and j in self.members(stage)
            }
            own = self.z(batch, [m])[m]
            terms, learning = self.alone(batch, stage, own, known, m, previous), {m}
        self.descend(self.gradients(sum(terms.values())))
        return terms | {f"kappa/{j}": float(j in learning) for j in self.modalities}

    def members(self, stage: int) -> list[str]:
        """Return the modalities in the sums, in the order of the data."""
        if self.o.members == "all" or self.o.pretrained:
            return list(self.modalities)
        started = (self.o.order or self.modalities)[: stage + 1]
        return [m for m in self.modalities if m in started]

    def alone(
        self,
        batch: Batch,
        stage: int,
        own: Tensor,
        known: dict[str, Tensor],
        m: str,
        previous: str,
    ) -> dict[str, Tensor]:
        solved = torch.ones(len(batch), dtype=torch.float64)
        if known and (stage > 0 or self.o.pretrained):
            others = self.t["method.boost"].detach() * torch.stack(list(known.values())).sum(0)
            solved = self.confidence(others, batch.target)
        w1, w2 = self.o.weights
        has = self.has(batch, m)
        residual = (w1 - w2 * solved) * self.losses(own, batch.target) * has
        divisor = len(batch) * (CLASSES if self.o.class_mean else 1)
        terms = {f"loss/residual/{m}": residual.sum() / divisor}
        if previous in known and stage > 0:
            apart = log_softmax(own).exp() - log_softmax(known[previous]).exp()
            rows = apart.square().sum(1) / CLASSES * has
            terms[f"loss/consolidation/{m}"] = self.o.alpha * rows.sum() / len(batch)
        return terms

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        z = self.z(batch, self.modalities, train=False)
        z |= {m: 0 * z[m] for m in z if m not in self.members(self.place()[0])}
        return self.t["method.boost"] * torch.stack(list(z.values())).sum(0), z


def boosted(method: Method) -> None:
    """Set the boost rate away from 1."""
    with torch.no_grad():
        method.boost.fill_(0.7)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {"phases": (1, 1)},
        {"phases": (1, 1), "members": "all", "weights": (2.0, 0.5), "alpha": 3.0},
        {"phases": (2, 1), "weights": (3.0, 2.0), "alpha": 2.0, "class_mean": False},
        {"phases": (1, 2), "pretrained": True, "order": True, "hidden": 6},
        {"phases": (4, 3), "order": True},
    ],
    ids=str,
)
def test_reconboost_learns_what_the_others_have_not_solved(changed: dict[str, Any], k: int) -> None:
    modalities = tuple(WIDTHS)[:k]
    options = {"hidden": 9} | changed
    if "order" in options:
        options["order"] = (*modalities[1:], modalities[0])
    records = compare(ReconBoost, Boosted, options, k, epochs=7, prepare=boosted)
    assert any("loss/task" in record for record in records)
    later = any("consolidation" in name for record in records for name in record)
    assert later == (sum(changed["phases"]) < 7)


class Soil(WrittenOut):
    """L = delta * L_S(joint) + sum_m gamma^m * L_S(z^m), or one of two other approaches."""

    defaults: ClassVar = {"approach": "hybrid", "delta": 1.0, "gamma": 1.0}

    def joint(self, h: Tensor, train: bool) -> Tensor:
        """Return the output of linear layers of 256 and 128 on normalized features."""
        for linear, norm in ((0, 1), (4, 5)):
            h = self.linear(h, f"method.joint.{linear}")
            h = self.normalized(h[:, :, None], f"method.joint.{norm}.", train=train)[:, :, 0]
            h = h.clamp_min(0)
        return self.linear(h, "method.joint.8")

    def both(self, batch: Batch, train: bool) -> tuple[Tensor, dict[str, Tensor]]:
        f = self.features(batch, train=train)
        if self.o.approach == "weighted":
            a = {m: self.t[f"method.scalars.{m}"] for m in f}
            z = {m: a[m] * self.head(m, a[m] * f[m], "method.heads.") for m in f}
            return torch.stack(list(z.values())).sum(0), z
        joined = torch.cat(list(f.values()), 1)
        joined = self.normalized(joined[:, :, None], "method.normalize.", train=train)[:, :, 0]
        fused = self.joint(joined, train)
        if self.o.approach == "hybrid":
            return fused, {m: self.head(m, f[m], "method.heads.") for m in f}
        if train:
            return fused, {}
        z, start = {}, 0
        for m in f:
            mask = torch.zeros(joined.shape[1], dtype=torch.float64)
            mask[start : start + WIDTHS[m]] = 1
            z[m], start = self.joint(joined * mask, False), start + WIDTHS[m]
        return fused, z

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        fused, z = self.both(batch, True)
        terms = {"loss/task": self.o.delta * self.losses(fused, batch.target).mean()}
        for m in z if self.o.approach == "hybrid" else ():
            rows = self.losses(z[m], batch.target) * self.has(batch, m)
            if gamma := weight_of(self.o.gamma, m):
                terms[f"loss/unimodal/{m}"] = gamma * rows.sum() / len(batch)
        self.descend(self.gradients(sum(terms.values())))
        return dict(terms)

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.both(batch, False)


def without_dropout(method: Method) -> None:
    """Drop nothing, since the literal form cannot draw the same numbers."""
    for layer in method.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"delta": 0.4, "gamma": 3.0},
        {"delta": 2.0, "gamma": True},
        {"approach": "concat", "delta": 0.6},
        {"approach": "weighted", "delta": 1.7},
    ],
    ids=str,
)
def test_mis_me_adds_the_losses_of_its_heads(changed: dict[str, Any], k: int) -> None:
    options = dict(changed)
    if options.get("gamma") is True:
        options["gamma"] = {m: 0.5 * i for i, m in enumerate(tuple(WIDTHS)[:k])}
    compare(
        MISME,
        Soil,
        options,
        k,
        epochs=2,
        regression=True,
        output="identity",
        prepare=without_dropout,
    )
