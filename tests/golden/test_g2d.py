"""G²D as released equals its authors' code; G²D of the paper differs as its card says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.functional import true_class_confidence
from g2d.fusion import BiGated, Concat, FiLM, Fusion, Late, Sum
from g2d.method import Method
from g2d.methods.g2d import G2D
from g2d.methods.g2d_released import G2DReleased
from g2d.model import MultimodalModel
from g2d.modulations import PartialSuppression
from support.golden import (
    TOLERANCE,
    Different,
    Equal,
    Golden,
    Reader,
    check,
    distance,
    entry,
    replay,
    total,
)

FUSIONS: dict[str, tuple[type[Fusion], dict[str, Any]]] = {
    "g2d_late": (Late, {}),
    "g2d_sum": (Sum, {}),
    "g2d_concat": (Concat, {}),
    "g2d_film": (FiLM, {"plus_one": False, "unimodal": "self_modulation"}),
    "g2d_gated": (BiGated, {"unimodal": "self_modulation"}),
    "g2d_late_temperature": (Late, {}),
    "g2d_late_partial": (Late, {}),
}
RELEASED = ["g2d_late", "g2d_sum", "g2d_concat", "g2d_film", "g2d_gated"]


def built(golden: Golden, kind: type[Method], **options: Any) -> tuple[MultimodalModel, Method]:
    """Return the recorded model and a method with the recorded weights of its terms."""
    fusion, of_fusion = FUSIONS[golden.name]
    model = golden.model(fusion, **of_fusion)
    weights = {name: golden.per_modality(name) for name in ("alpha", "beta")}
    method = kind(teachers=golden.teachers(), **weights, **options)
    return model, method.build(model, golden.task).double()


def losses_of(golden: Golden) -> dict[str, Reader]:
    """Return readers of the loss and of every term, whose recorded values are unweighted."""
    readers = {"loss/total": total, "loss/task": entry("loss/task")}
    for term, weight in (("feature", "alpha"), ("logit", "beta")):
        for m, value in golden.per_modality(weight).items():
            readers[f"term/{term}.{m}"] = entry(f"loss/{term}/{m}", 1 / value)
    return readers


@pytest.mark.parametrize("name", RELEASED)
def test_the_released_step_is_reproduced_with_every_fusion(name: str) -> None:
    golden = Golden(name)
    model, method = built(golden, G2DReleased, tau=(1, 1))
    check(replay(golden, model, method), Equal(), losses=losses_of(golden))


@pytest.mark.parametrize("name", ["g2d_late", "g2d_concat", "g2d_film", "g2d_gated"])
def test_unimodal_logits_are_read_as_in_the_released_code(name: str) -> None:
    golden = Golden(name)
    model, method = built(golden, G2DReleased, tau=(1, 1))
    batches = [batch for _, batch in golden.batches()]
    read: dict[str, list[float]] = {m: [] for m in golden.modalities}

    @torch.no_grad()
    def before_step(step: int) -> None:
        batch = batches[step]
        for m, z in (model(batch.inputs, unimodal=True).unimodal_logits or {}).items():
            read[m].append(golden.task.loss(z, batch.target).item())

    replay(golden, model, method, before_step=before_step)
    for m, ours in read.items():
        theirs = golden.below("loss")[f"unimodal.{m}"]
        assert distance(torch.tensor(ours, dtype=torch.float64), theirs)[1] <= TOLERANCE


def test_the_paper_suppresses_whole_encoders() -> None:
    golden = Golden("g2d_late")
    model, method = built(golden, G2D, tau=(2, 1), ranking="batch")
    because = "The authors' code suppresses convolution weights only"
    check(
        replay(golden, model, method),
        Different("g2d", because, loss=6e-2, coefficient=0, after=1e-1),
    )


def test_the_temperature_reaches_the_logit_distillation() -> None:
    golden = Golden("g2d_late_temperature")
    temperature = golden.hyper["temperature"]
    model, method = built(golden, G2D, tau="none", temperature=temperature)
    check(replay(golden, model, method), Equal(), losses=losses_of(golden), coefficients={})


def test_partial_suppression_by_the_teachers_differs_from_the_released_one() -> None:
    golden = Golden("g2d_late_partial")
    model, method = built(golden, G2D, modulation=PartialSuppression(epochs=2))
    because = "The only partial suppression of the authors' code scores the student"
    check(
        replay(golden, model, method),
        Different("g2d", because, loss=5e-2, coefficient=3e-1, after=9e-2),
    )


def test_partial_suppression_by_the_student_on_convolutions_equals_the_released_one() -> None:
    golden = Golden("g2d_late_partial")
    suppression = PartialSuppression(
        epochs=2, scores="student", alpha=golden.hyper["strength"], scope="conv_only"
    )
    model, method = built(golden, G2D, modulation=suppression)
    check(replay(golden, model, method), Equal(), losses=losses_of(golden))


@pytest.mark.parametrize("name", FUSIONS)
def test_teachers_give_the_recorded_features_logits_and_scores(name: str) -> None:
    golden, teachers = Golden(name), Golden(name).teachers()
    outputs = [(teachers(batch), batch.target) for _, batch in golden.batches()]
    for m in golden.modalities:
        scores = [true_class_confidence(output.logits[m], y).mean() for output, y in outputs]
        ours = {
            "features": torch.cat([output.features[m] for output, _ in outputs]),
            "logits": torch.cat([output.logits[m] for output, _ in outputs]),
            "score": torch.stack(scores),
        }
        for part, values in ours.items():
            assert distance(values, golden.below(f"teacher_{part}")[m])[1] <= TOLERANCE
