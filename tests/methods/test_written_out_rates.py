"""MSES and MSLR, which follow the validation results, against their steps written out."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from torch import Tensor

from g2d.fusion import Late, Sum
from g2d.method import Validation
from g2d.methods import MSES, MSLR
from g2d.types import Batch
from support.written_out import WrittenOut, compare


class Stopped(WrittenOut):
    """A branch whose validation loss has been above its minimum for too long is restored."""

    defaults: ClassVar = {"patience": 10, "weight": 1.0, "smoothing": 0.0, "restore": "branch"}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.history: dict[str, list[float]] = {m: [] for m in self.modalities}
        self.saved: dict[str, tuple[float, int, dict[str, Tensor]]] = {}
        self.stopped: dict[str, bool] = {}

    def branch(self, m: str) -> list[str]:
        starts = (self.of(m), f"model.fusion.heads.{m}.")
        return [name for name in self.t if name.startswith(starts)]

    def epoch_start(self) -> None:
        for m, restored in self.stopped.items():
            if restored:
                continue
            self.stopped[m] = True
            whole = self.o.restore == "model"
            names = [n for n in self.t if n.startswith("model.")] if whole else self.branch(m)
            for name in names:
                self.t[name] = self.saved[m][2][name].detach().clone()
                self.t[name].requires_grad_(name in self.names)
                self.velocity.pop(name, None)
        self.t["method.pending"] = self.t["method.pending"] & False

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        if len(self.stopped) == self.k:
            return {}
        f = {
            m: self.encode(m, batch.inputs[m], train=m not in self.stopped)
            * self.has(batch, m)[:, None]
            for m in self.modalities
        }
        z = self.logits(f)
        terms = {"loss/task": self.losses(self.fused(z), batch.target).mean()}
        for m in self.modalities:
            if m not in self.stopped and self.o.weight:
                rows = self.losses(z[m], batch.target) * self.has(batch, m)
                terms[f"loss/unimodal/{m}"] = self.o.weight * rows.sum() / len(batch)
        still = {name for m in self.stopped for name in self.branch(m)}
        gradients = self.gradients(sum(terms.values()))
        self.descend({name: g for name, g in gradients.items() if name not in still})
        return terms | {f"kappa/{m}": float(m not in self.stopped) for m in self.modalities}

    def epoch_end(self, validation: Validation) -> dict[str, float]:
        if len(self.stopped) == self.k:
            return {}
        for i, m in enumerate(self.modalities):
            if m in self.stopped:
                continue
            past = self.history[m]
            past.append(validation.unimodal_loss[m])
            value = past[-1]
            if len(past) > 1:
                value = self.o.smoothing * past[-2] + (1 - self.o.smoothing) * past[-1]
            if m not in self.saved or value < self.saved[m][0]:
                now = {name: v.detach().clone() for name, v in self.t.items()}
                self.saved[m] = (value, self.epoch, now)
                self.t["method.best"][i], self.t["method.best_epoch"][i] = value, self.epoch
            elif self.epoch - self.saved[m][1] > self.o.patience:
                self.stopped[m] = False
                self.t["method.frozen"][i] = self.t["method.pending"][i] = True
            self.t["method.previous"][i] = past[-1]
        return {f"frozen/{m}": float(m in self.stopped) for m in self.modalities}


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    ("changed", "stop"),
    [
        ({"patience": 1, "weight": 0.3}, True),
        ({"patience": 2, "smoothing": 0.6, "restore": "model"}, True),
        ({"patience": 0, "weight": 0.0, "smoothing": 0.2}, True),
        ({"smoothing": 0.4}, False),
    ],
    ids=str,
)
def test_mses_stops_branches_at_their_best_epoch(
    changed: dict[str, Any], stop: bool, k: int, regression: bool
) -> None:
    fusion = Sum if "restore" in changed else Late
    records = compare(MSES, Stopped, changed, k, epochs=7, regression=regression, fusion=fusion)
    stopped = any(0.0 in (v for n, v in r.items() if n.startswith("kappa")) for r in records)
    assert stopped == stop


class Paced(WrittenOut):
    """lr^m = c^m * r^m * lr for encoder m and its head."""

    defaults: ClassVar = {
        "strategy": "dynamic",
        "coefficients": None,
        "blend": 0.5,
        "queue": 5,
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.scores: dict[str, list[float]] = {m: [] for m in self.modalities}

    def factors(self) -> dict[str, float]:
        c = {m: (self.o.coefficients or {}).get(m, 1.0) for m in self.modalities}
        if self.o.strategy == "smooth":
            mean = sum(c.values()) / self.k
            c = {m: (1 - self.o.blend) * value + self.o.blend * mean for m, value in c.items()}
        for i, m in enumerate(self.modalities if self.o.strategy == "dynamic" else ()):
            before = self.scores[m][-self.o.queue - 1 : -1]
            ratio = 1.0
            if len(before) == self.o.queue:
                ratio = self.scores[m][-1] / (sum(before) / len(before))
            self.t["method.ratio"][i] = ratio
            c[m] *= ratio
        return c

    def epoch_start(self) -> None:
        self.now = self.factors()

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        loss = self.losses(self.fused(self.logits(self.features(batch))), batch.target).mean()

        def rate(name: str) -> float:
            return next((f for m, f in self.now.items() if f".{m}." in name), 1.0)

        self.descend(self.gradients(loss), rate)
        return {"loss/task": loss}

    def epoch_end(self, validation: Validation) -> dict[str, float]:
        record = {f"rate/{m}": factor for m, factor in self.now.items()}
        for i, m in enumerate(self.modalities if self.o.strategy == "dynamic" else ()):
            self.scores[m].append(validation.unimodal_score[m])
            last = [0.0] * self.o.queue + self.scores[m]
            for place in range(self.o.queue):
                self.t["method.history"][i, place] = last[place - self.o.queue]
            self.t["method.seen"][...] = len(self.scores[m])
        self.factors()
        return record


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {"strategy": "keep", "coefficients": {"sight": 0.4, "sound": 1.7}},
        {"strategy": "smooth", "coefficients": {"sight": 0.2}, "blend": 0.3},
        {"queue": 2, "coefficients": {"sound": 2.0}},
        {"queue": 1},
        {},
    ],
    ids=str,
)
def test_mslr_has_a_rate_for_every_encoder_and_its_head(changed: dict[str, Any], k: int) -> None:
    compare(MSLR, Paced, changed, k, epochs=5 if changed else 7)
