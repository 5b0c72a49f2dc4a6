"""Joint, UMT, G²D, its released code and modulations, against their steps written out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
from torch import Tensor

from g2d.fusion import Late, Sum
from g2d.methods import G2D, UMT, G2DReleased, Joint
from g2d.modulations import SMP, PartialSuppression
from g2d.types import Batch
from support.tiny import CLASSES, WIDTHS, teachers_of
from support.written_out import WrittenOut, compare, log_softmax, weight_of


class Distilled(WrittenOut):
    """Eq. 4, behind a modulation: L_S + alpha * sum_m L_feat^m + beta * sum_m L_logit^m."""

    defaults: ClassVar = {
        "alpha": 1.0,
        "beta": 1.0,
        "temperature": 1.0,
        "reduction": "mean",
        "unimodal": 0.0,
        "teachers": None,
        "modulation": None,
        "ranking": "batch",
        "gate_heads": False,
        "freeze_batchnorm": False,
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.score: dict[str, float] | None = None

    def teachers_output(self, batch: Batch, which: str) -> dict[str, tuple[Tensor, Tensor]]:
        """Return features and logits of the teachers that distill (``models``) or rank."""
        outputs = {}
        for m, teacher in getattr(self.o.teachers, which).items():
            t = {f"model.{name}": v for name, v in teacher.state_dict().items()}
            f = self.encode(m, batch.inputs[m], train=False, t=t)
            head = f"model.fusion.heads.{m}."
            outputs[m] = (f, f @ t[head + "weight"].T + t[head + "bias"])
        return outputs

    def rho(self, rows: list[Batch]) -> dict[str, float]:
        """Return the mean confidence of the ranking teachers over many batches (Eq. 5)."""
        confidences: dict[str, list[float]] = {m: [] for m in self.modalities}
        for batch in rows:
            for m, (_, logits) in self.teachers_output(batch, "ranking").items():
                confidence = self.confidence(logits, batch.target).tolist()
                has = self.has(batch, m).tolist()
                confidences[m] += [c for c, known in zip(confidence, has, strict=True) if known]
        return {m: sum(c) / len(c) if c else float("inf") for m, c in confidences.items()}

    def epoch_start(self) -> None:
        if self.o.ranking == "epoch":
            self.score = self.rho(self.rows("train", self.epoch))
        elif self.o.ranking != "batch" and self.score is None:
            train = self.rho(self.rows("train", 1))
            valid = self.rho(self.rows("valid", 1))
            self.score = {
                "dataset": train,
                "validation": valid,
                "memorization": {m: train[m] - valid[m] for m in train},
            }[self.o.ranking]

    def kappa(self, batch: Batch, z: dict[str, Tensor] | None = None) -> dict[str, float]:
        """Return the coefficients of the modulation, or none without one.

        Args:
            batch: The batch.
            z: Unimodal logits of the student; None before the forward pass.
        """
        tau, damping = getattr(self.o, "tau", None), getattr(self.o, "damping", None)
        if tau is not None:
            score = self.rho([batch]) if self.score is None else self.score
            order = sorted(self.modalities, key=lambda m: (score[m], self.modalities.index(m)))
            end = 0
            for stage, length in enumerate(tau[:-1]):
                end += length
                if self.epoch <= end:
                    return {m: float(m == order[stage]) for m in self.modalities}
            return dict.fromkeys(self.modalities, 1.0)
        if damping is None or (damping["scores"] == "student" and z is None):
            return {}
        scores = self.rho([batch]) if z is None else self.mean_confidence(z, batch, 0.0)
        kappa = dict.fromkeys(self.modalities, 1.0)
        last = damping["epochs"] or self.epochs
        if isinstance(last, float):
            last = math.floor(last * self.epochs + 1e-6)
        for m in self.modalities:
            others = [scores[j] for j in self.modalities if j != m]
            x = scores[m] / max(sum(others) / len(others), 1e-8)
            if x > 1 and self.epoch <= last:
                kappa[m] = 1 - math.tanh(damping["alpha"] * x)
        return kappa

    def terms(self, batch: Batch, f: dict[str, Tensor], z: dict[str, Tensor]) -> dict[str, Tensor]:
        fused, n, o = self.fused(z), len(batch), self.o
        terms = {"loss/task": self.losses(fused, batch.target).sum() / n}
        if o.unimodal:
            for m in self.modalities:
                own = self.losses(z[m], batch.target)
                terms[f"loss/unimodal/{m}"] = o.unimodal * own.sum() / n
        if not self.distills:
            return terms
        for m, (features, logits) in self.teachers_output(batch, "models").items():
            has = self.has(batch, m)
            apart = ((f[m] - features) ** 2).sum(1)
            if o.reduction == "mean":
                apart = apart / WIDTHS[m]
            if alpha := weight_of(o.alpha, m):
                terms[f"loss/feature/{m}"] = alpha * (apart * has).sum() / n
            if self.classes:
                q, p = log_softmax(logits / o.temperature), log_softmax(fused / o.temperature)
                divergence = (q.exp() * (q - p)).sum(1) * o.temperature**2
            else:
                apart = (self.values(fused) - self.values(logits)).square()
                divergence = apart.sum(1) / apart.shape[1]
            if beta := weight_of(o.beta, m):
                terms[f"loss/logit/{m}"] = beta * (divergence * has).sum() / n
        return terms

    distills = True

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        kappa = self.kappa(batch)
        frozen = {m for m, value in kappa.items() if value == 0 and self.o.freeze_batchnorm}
        f = {
            m: self.encode(m, batch.inputs[m], train=m not in frozen) * self.has(batch, m)[:, None]
            for m in self.modalities
        }
        z = self.logits(f)
        terms = self.terms(batch, f, z)
        if getattr(self.o, "damping", {}).get("scores") == "student":
            kappa = self.kappa(batch, z)
        self.move(self.gradients(sum(terms.values())), kappa)
        return terms | self.alignment(batch, f) | {f"kappa/{m}": v for m, v in kappa.items()}

    def alignment(self, batch: Batch, f: dict[str, Tensor]) -> dict[str, float]:
        """Return the mean cosine between the features of student and teachers."""
        cosines = {}
        teachers = self.teachers_output(batch, "models") if self.o.teachers else {}
        for m, (features, _) in teachers.items():
            lengths = f[m].square().sum(1).sqrt() * features.square().sum(1).sqrt()
            cosine = (f[m] * features).sum(1) / lengths.clamp_min(1e-8)
            cosines[f"alignment/{m}"] = float(cosine.detach().mean())
        return cosines

    def move(self, gradients: dict[str, Tensor], kappa: dict[str, float]) -> None:
        damping = getattr(self.o, "damping", {})
        factor = {
            f"model.{part}.{m}.": value
            for m, value in kappa.items()
            for part in ("encoders", "fusion.heads")
            if part == "encoders" or self.o.gate_heads
        }

        def of(name: str) -> float:
            if damping.get("scope") == "conv_only" and self.t[name].ndim != 4:
                return 1.0
            return next((v for start, v in factor.items() if name.startswith(start)), 1.0)

        kept = {name: g for name, g in gradients.items() if of(name) != 0}
        if damping.get("modulate") == "update":
            self.descend(kept, of)
        else:
            self.descend({name: of(name) * g for name, g in kept.items()})


class Plain(Distilled):
    """Joint training."""

    distills = False


class Released(Distilled):
    """Gradients of suppressed convolutions are zero, and the last exclusive stage is longer."""

    def kappa(self, batch: Batch, z: dict[str, Tensor] | None = None) -> dict[str, float]:
        tau = list(self.o.tau)
        if getattr(self.o, "extra_epoch", True):
            tau[-2] += 1
        keep, self.o.tau = self.o.tau, tau
        kappa = super().kappa(batch)
        self.o.tau = keep
        return kappa

    def move(self, gradients: dict[str, Tensor], kappa: dict[str, float]) -> None:
        for m, value in kappa.items():
            if value == 0:
                gradients[self.of(m) + "0.weight"] = 0 * gradients[self.of(m) + "0.weight"]
        self.descend(gradients)


def options_of(method: dict[str, Any], k: int, regression: bool) -> dict[str, Any]:
    """Return options with teachers, and one stage of every length 1, 0 and 2 for k modalities."""
    modalities = tuple(WIDTHS)[:k]
    made = dict(method, teachers=teachers_of(modalities, 2 if regression else CLASSES))
    for name in ("alpha", "beta", "weight"):
        if isinstance(made.get(name), dict):
            made[name] = {m: made[name][m] for m in modalities}
    return made


EACH = {"sight": 0.5, "sound": 3.0, "word": 1.5}
AWAY: dict[str, Any] = {"alpha": EACH, "beta": 0.7, "temperature": 2.5, "reduction": "sum"}
TAU = {2: (2, 1), 3: (1, 2, 1)}


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        AWAY,
        AWAY | {"alpha": 0.3, "beta": {"sight": 0.0, "sound": 2.0, "word": 1.5}},
        {"gate_heads": True, "freeze_batchnorm": True},
    ],
    ids=["default", "away", "weights", "gates"],
)
def test_g2d_takes_the_steps_of_algorithm_1(
    changed: dict[str, Any], k: int, regression: bool
) -> None:
    options = options_of(changed | {"tau": TAU[k], "ranking": "batch"}, k, regression)
    records = compare(G2D, Distilled, options, k, epochs=4, regression=regression)
    learns = [tuple(m for m in WIDTHS if record.get(f"kappa/{m}")) for record in records]
    assert learns[-1] == tuple(WIDTHS)[:k]
    assert len(set(learns)) > 2  # the ranking flips between batches


@pytest.mark.parametrize("first", [1, 2])
def test_the_five_rankings_are_those_written_out_and_differ(first: int) -> None:
    """Rows differ between epochs and splits; a run that is resumed ranks by the first epoch."""
    seen = set()
    for by in ("batch", "epoch", "dataset", "validation", "memorization"):
        options = options_of({"ranking": by, "tau": (1, 1, 1)}, 3, False)
        records = compare(G2D, Distilled, options, 3, first=first)
        seen.add(tuple(record[f"kappa/{m}"] for record in records for m in WIDTHS))
    assert len(seen) == (5 if first == 1 else 3)


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "extra", [{}, {"extra_epoch": False, "init": "released"}], ids=["extra", "exact"]
)
def test_the_released_code_zeroes_gradients_of_convolutions_alone(
    extra: dict[str, Any], k: int, regression: bool
) -> None:
    options = options_of({"alpha": EACH, "beta": 0.7, "tau": TAU[k]} | extra, k, regression)
    compare(
        G2DReleased,
        Released,
        options,
        k,
        epochs=5,
        regression=regression,
        output="identity",
        fusion=Sum,
    )


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize("k", [2, 3])
def test_umt_distills_features(k: int, regression: bool) -> None:
    for weight in (EACH, 2.0):
        options = options_of({"weight": weight, "reduction": "sum"}, k, regression)
        written = options | {"alpha": options["weight"], "beta": 0.0}
        compare(UMT, Distilled, options, k, regression=regression, written=written)


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize("k", [2, 3])
def test_joint_training_adds_the_losses_of_the_modalities(k: int, regression: bool) -> None:
    for fusion, complete, options in ((Sum, False, {"unimodal": 0.7}), (Late, True, {})):
        compare(Joint, Plain, options, k, regression=regression, complete=complete, fusion=fusion)


STUDENT = {"scores": "student", "alpha": 0.4}
DAMPING: tuple[dict[str, Any], ...] = (
    {},
    {"epochs": 2, "alpha": 0.3, "modulate": "update", "gate_heads": True},
    {"alpha": 0.6, "scope": "conv_only", "modulate": "update"},
    {"alpha": 0.6, "scope": "conv_only", "epochs": 0.67},
    {"gate_heads": True, "freeze_batchnorm": True},
    STUDENT,
    STUDENT | {"scope": "conv_only", "epochs": 0.67},
    STUDENT | {"gate_heads": True, "modulate": "update"},
)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("changed", DAMPING, ids=str)
def test_a_modulation_scales_the_encoders_of_every_single_pass_method(
    changed: dict[str, Any], k: int
) -> None:
    damping = {"epochs": None, "scores": "teachers", "alpha": 1.0, "scope": "all"} | changed
    gates = {name: v for name, v in changed.items() if name in Plain.defaults and name != "alpha"}
    options = options_of({"modulation": PartialSuppression(**changed)}, k, False)
    written = options | gates | {"damping": damping}
    records = compare(Joint, Plain, options, k, written=written)
    damped = [min(record[f"kappa/{m}"] for m in tuple(WIDTHS)[:k]) for record in records]
    assert any(0 < kappa < 1 for kappa in damped)
    assert (damped[-1] == 1) == ("epochs" in changed)


@pytest.mark.parametrize("k", [2, 3])
def test_prioritization_can_be_combined_with_umt(k: int) -> None:
    options = options_of(
        {"modulation": SMP(tau=TAU[k], ranking="batch", gate_heads=True), "weight": 2.0}, k, False
    )
    written = {"alpha": 2.0, "beta": 0.0, "tau": TAU[k], "gate_heads": True}
    compare(UMT, Distilled, options, k, epochs=4, written=options | written)
