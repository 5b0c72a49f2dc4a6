"""G²D, its released code, UME and UMT with teachers whose ranking is known."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from g2d.errors import ArgumentError
from g2d.functional.losses import feature_distillation, logit_distillation
from g2d.fusion import Late
from g2d.method import Method, TrainState
from g2d.methods import G2D, UME, UMT, G2DReleased, Joint
from g2d.model import MultimodalModel, Teachers
from g2d.modulations import SMP, PartialSuppression
from g2d.task import Classification
from g2d.types import Batch
from support.workbench import equal

DIMS = {"image": 6, "tone": 5}
TASK = Classification(3)


def encoders() -> dict[str, nn.Module]:
    return {
        "image": nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        "tone": nn.Linear(4, 5),
    }


def student() -> MultimodalModel:
    torch.manual_seed(1)
    return MultimodalModel(encoders(), Late(DIMS, 3))


def teachers(confident: str = "image") -> Teachers:
    """Return teachers, one of which is certain of the class of every row: it ranks last."""
    torch.manual_seed(2)
    models = {m: MultimodalModel({m: e}, Late({m: DIMS[m]}, 3)) for m, e in encoders().items()}
    with torch.no_grad():
        models[confident].fusion.heads[confident].bias[0] += 9.0
    return Teachers(models)


def batch(seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return Batch(
        {"image": torch.randn(8, 1, 5, 5, generator=g), "tone": torch.randn(8, 4, generator=g)},
        torch.zeros(8, dtype=torch.int64),
    )


def train(
    method: Method, steps: int = 4, epoch: int = 1, epochs: int | None = None
) -> tuple[MultimodalModel, list[dict[str, float]]]:
    model = student()
    method.build(model, TASK)
    state = TrainState(
        model,
        torch.optim.SGD(method.parameter_groups(model), lr=0.1, momentum=0.9, weight_decay=1e-4),
        TASK,
        epochs=epochs,
    )
    state.epoch = epoch
    method.epoch_start(state)
    records = [method.training_step(state, batch(i)) for i in range(steps)]
    return model, [{name: float(value) for name, value in record.items()} for record in records]


def test_without_distillation_and_modulation_it_is_joint_training_bit_for_bit() -> None:
    plain = G2D(teachers=teachers(), tau="none", alpha=0.0, beta=0.0)
    assert equal(train(plain)[0], train(Joint())[0])
    distilled = G2D(teachers=teachers(), tau="none", alpha=1.0, beta=0.0)
    assert not equal(train(distilled)[0], train(Joint())[0])


def test_without_logit_distillation_and_modulation_it_is_umt_bit_for_bit() -> None:
    assert equal(
        train(G2D(teachers=teachers(), tau="none", alpha=0.5, beta=0.0))[0],
        train(UMT(teachers=teachers(), weight=0.5))[0],
    )


def test_the_terms_are_those_of_equation_4() -> None:
    t, model = teachers(), student()
    method = G2D(teachers=t, alpha=2.0, beta=3.0).build(model, TASK)
    b = batch()
    output, teacher = model(b.inputs), t(b)
    terms = method.objective(output, b, teacher)
    assert set(terms) == {"task", "feature/image", "feature/tone", "logit/image", "logit/tone"}
    torch.testing.assert_close(
        terms["feature/tone"],
        2 * feature_distillation(output.features["tone"], teacher.features["tone"]),
    )
    torch.testing.assert_close(
        terms["logit/image"], 3 * logit_distillation(output.logits, teacher.logits["image"])
    )
    torch.testing.assert_close(terms["task"], nn.functional.cross_entropy(output.logits, b.target))


@pytest.mark.parametrize("confident", ["image", "tone"])
def test_the_least_confident_teachers_modality_learns_first_and_alone(confident: str) -> None:
    weak = "tone" if confident == "image" else "image"
    start = student().state_dict()
    model, records = train(G2D(teachers=teachers(confident), tau=(2, 2), ranking="batch"))
    assert records[0][f"kappa/{weak}"] == 1.0
    assert records[0][f"kappa/{confident}"] == 0.0
    unchanged = {
        name
        for name, _ in model.named_parameters()
        if torch.equal(model.state_dict()[name], start[name])
    }
    assert unchanged == {
        name for name, _ in model.named_parameters() if name.startswith(f"encoders.{confident}")
    }


@pytest.mark.parametrize("tau", [None, (0.5, 0.5)])
@pytest.mark.parametrize("kind", [G2D, G2DReleased])
def test_the_stages_follow_from_the_length_of_the_run(
    kind: type[Method], tau: tuple[float, ...] | None
) -> None:
    exclusive = 2 if kind is G2D else 3  # the released code adds an epoch
    options = {"ranking": "batch"} if kind is G2D else {}
    learns = [
        train(kind(teachers=teachers(), tau=tau, **options), steps=1, epoch=epoch, epochs=5)[1][0]
        for epoch in range(1, 6)
    ]
    assert [record["kappa/image"] for record in learns] == [0.0] * exclusive + [1.0] * (
        5 - exclusive
    )
    assert {record["kappa/tone"] for record in learns} == {1.0}


@pytest.mark.parametrize("kind", [G2D, G2DReleased])
def test_the_word_none_suppresses_nothing(kind: type[Method]) -> None:
    _, records = train(kind(teachers=teachers(), tau="none"))
    assert {record.get("kappa/image", 1.0) for record in records} == {1.0}
    _, records = train(Joint(modulation=SMP(tau="none"), teachers=teachers()))
    assert {record["kappa/image"] for record in records} == {1.0}


def test_a_run_too_short_or_of_unknown_length_is_refused_when_training_starts() -> None:
    with pytest.raises(ArgumentError, match="epochs must be known unless tau holds whole epochs"):
        train(G2D(teachers=teachers()))
    model = student()
    method = G2D(teachers=teachers(), ranking="batch").build(model, TASK)
    optimizer = torch.optim.SGD(method.parameter_groups(model), lr=0.1)
    with pytest.raises(ArgumentError, match="epochs must be 2 or more to give each stage an epoch"):
        method.epoch_start(TrainState(model, optimizer, TASK, epochs=1))


def test_in_the_last_stage_everything_learns() -> None:
    _, records = train(G2D(teachers=teachers(), tau=(2, 2), ranking="batch"), epoch=3)
    assert records[0]["kappa/image"] == records[0]["kappa/tone"] == 1.0


def test_smp_can_be_combined_with_joint_and_with_umt() -> None:
    for method in (
        Joint(modulation=SMP(tau=(2, 2), ranking="batch"), teachers=teachers()),
        UMT(teachers=teachers(), modulation=SMP(tau=(2, 2), ranking="batch")),
    ):
        _, records = train(method)
        assert records[0]["kappa/image"] == 0.0


def test_partial_suppression_damps_the_modality_of_the_confident_teacher() -> None:
    _, records = train(G2D(teachers=teachers(), modulation=PartialSuppression()))
    assert 0 < records[0]["kappa/image"] < 1
    assert records[0]["kappa/tone"] == 1.0


@pytest.mark.parametrize(("epochs", "last"), [(2, 2), (0.5, 4), (0.05, 1), (None, 8)])
def test_partial_suppression_ends_after_a_number_of_epochs_or_a_share_of_the_run(
    epochs: float | None, last: int
) -> None:
    for epoch in (last, last + 1):
        method = G2D(teachers=teachers(), modulation=PartialSuppression(epochs=epochs))
        _, records = train(method, steps=1, epoch=epoch, epochs=8)
        assert (records[0]["kappa/image"] < 1) == (epoch == last or epochs is None)
    with pytest.raises(ArgumentError, match="epochs must be a whole number of epochs, or a share"):
        PartialSuppression(epochs=1.5)


def test_a_schedule_of_the_wrong_length_is_refused_when_built() -> None:
    with pytest.raises(ArgumentError, match="tau must hold one length per modality"):
        G2D(teachers=teachers(), tau=(1, 1, 1)).build(student(), TASK)


def test_smp_without_teachers_is_refused() -> None:
    with pytest.raises(ArgumentError, match="teachers must be given with SMP"):
        Joint(modulation=SMP(tau=(1, 1)))


def test_two_modulations_are_refused() -> None:
    with pytest.raises(ArgumentError, match="tau must be left out if another modulation is given"):
        G2D(teachers=teachers(), tau=(1, 1), modulation=PartialSuppression())


def test_the_released_code_lets_suppressed_convolutions_drift_by_momentum_and_weight_decay() -> (
    None
):
    method = G2DReleased(teachers=teachers(), tau=(2, 2))
    model = student()
    method.build(model, TASK)
    optimizer = torch.optim.SGD(
        method.parameter_groups(model), lr=0.1, momentum=0.9, weight_decay=1e-2
    )
    state = TrainState(model, optimizer, TASK)
    state.epoch = 4  # every encoder learns, which fills the momentum
    method.epoch_start(state)
    method.training_step(state, batch(0))
    weight = model.encoders["image"][0].weight
    norm = model.encoders["image"][1].weight
    theta, velocity, gamma = (
        weight.detach().clone(),
        optimizer.state[weight]["momentum_buffer"].clone(),
        norm.detach().clone(),
    )
    state.epoch = 1  # image is suppressed
    method.epoch_start(state)
    method.training_step(state, batch(1))
    torch.testing.assert_close(weight.detach(), theta - 0.1 * (0.9 * velocity + 1e-2 * theta))
    assert not torch.equal(weight, theta)
    assert not torch.equal(norm, gamma)  # BatchNorm's own weights still learn


def test_the_released_code_suppresses_one_epoch_longer() -> None:
    assert train(G2DReleased(teachers=teachers(), tau=(2, 2)), epoch=3)[1][0]["kappa/image"] == 0.0
    assert (
        train(G2D(teachers=teachers(), tau=(2, 2), ranking="batch"), epoch=3)[1][0]["kappa/image"]
        == 1.0
    )


def test_ume_is_the_mean_of_its_teachers_and_is_not_trained() -> None:
    t, model, b = teachers(), student(), batch()
    prediction = UME(teachers=t).build(model, TASK).predict(model.eval(), b.inputs)
    torch.testing.assert_close(prediction.logits, torch.stack(list(t(b).logits.values())).mean(0))
    probabilities = (
        UME(teachers=t, combine="probabilities")
        .build(model, TASK)
        .predict(model, b.inputs)
        .logits.softmax(1)
    )
    torch.testing.assert_close(
        probabilities, torch.stack([z.softmax(1) for z in t(b).logits.values()]).mean(0)
    )


def test_accumulation_ranks_once_and_gives_the_same_step() -> None:
    encoders_ = {"image": nn.Sequential(nn.Flatten(), nn.Linear(25, 6)), "tone": nn.Linear(4, 5)}
    t = Teachers(
        {
            m: MultimodalModel({m: copy.deepcopy(e)}, Late({m: DIMS[m]}, 3))
            for m, e in encoders_.items()
        }
    )
    results = []
    for parts in (1, 3):
        model = MultimodalModel(copy.deepcopy(encoders_), Late(DIMS, 3))
        torch.manual_seed(3)
        model.fusion = Late(DIMS, 3)
        method = G2D(teachers=t, tau=(1, 1), ranking="batch").build(model, TASK)
        state = TrainState(
            model, torch.optim.SGD(method.parameter_groups(model), lr=0.1), TASK, accumulate=parts
        )
        method.epoch_start(state)
        record = method.training_step(state, batch())
        assert state.step == 1
        results.append((model, record))
    for p, q in zip(results[0][0].parameters(), results[1][0].parameters(), strict=True):
        torch.testing.assert_close(p, q)
    torch.testing.assert_close(results[0][1]["loss/task"], results[1][1]["loss/task"])


def test_an_unreliable_ranking_causes_a_warning() -> None:
    torch.manual_seed(2)
    models = {m: MultimodalModel({m: e}, Late({m: DIMS[m]}, 3)) for m, e in encoders().items()}
    with torch.no_grad():
        for parameter in (p for teacher in models.values() for p in teacher.fusion.parameters()):
            parameter.zero_()  # both are equally uncertain
    method, model = G2D(teachers=Teachers(models), tau=(2, 2), ranking="batch"), student()
    method.build(model, TASK)
    state = TrainState(model, torch.optim.SGD(method.parameter_groups(model), lr=0.1), TASK)
    method.epoch_start(state)
    method.training_step(state, batch())
    summary = method.epoch_end(state, None)
    assert summary["ranking/margin"] < 0.10
    assert "teachers differ by only" in method.notices["margin"]
    certain = G2D(teachers=teachers(), tau=(2, 2), ranking="batch").build(model, TASK)
    certain.training_step(state, batch())
    certain.epoch_end(state, None)
    assert certain.notices == {}
