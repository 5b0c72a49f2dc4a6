from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import Concat, Fusion, Late, Sum
from g2d.model import CachedTeachers, MultimodalModel, Teachers, feature_dims, warm_start
from g2d.types import Batch, Encoded

DIMS = {"image": 6, "tone": 5, "word": 3}
FUSIONS: list[type[Fusion]] = [Late, Sum, Concat]


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def encoders() -> dict[str, nn.Module]:
    return {
        "image": conv(),
        "tone": nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU()),
        "word": nn.Linear(2, 3),
    }


def inputs(rows: int = 8) -> dict[str, torch.Tensor]:
    return {
        "image": torch.randn(rows, 1, 5, 5),
        "tone": torch.randn(rows, 4),
        "word": torch.randn(rows, 2),
    }


def build(fusion: type[Fusion] = Late) -> MultimodalModel:
    return MultimodalModel(encoders(), fusion(DIMS, 4))


def sgd(model: MultimodalModel) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameter_groups(), lr=0.1, momentum=0.9, weight_decay=1e-2)


def adamw(model: MultimodalModel) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameter_groups(), lr=0.1, weight_decay=1e-2)


def update(
    model: MultimodalModel, optimizer: torch.optim.Optimizer, kappa: dict[str, float] | None
) -> None:
    model(inputs(), kappa).logits.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("make", [sgd, adamw])
def test_no_bit_of_a_suppressed_encoder_changes(
    make: Callable[[MultimodalModel], torch.optim.Optimizer],
) -> None:
    model = build()
    optimizer = make(model)
    update(model, optimizer, None)  # fills momentum and moments
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    update(model, optimizer, {"image": 0.0, "tone": 1.0, "word": 0.0})
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {
        name for name in before if not name.startswith(("encoders.image", "encoders.word"))
    }


def test_a_coefficient_of_one_is_bit_identical_to_no_modulation() -> None:
    model = build()
    twin = copy.deepcopy(model)
    x = inputs()
    model(x).logits.square().sum().backward()
    twin(x, dict.fromkeys(DIMS, 1.0)).logits.square().sum().backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad)


@pytest.mark.parametrize("kappa", [0.25, torch.tensor(0.25)])
def test_a_fractional_coefficient_scales_every_gradient_of_its_encoder_and_no_other(
    kappa: float | torch.Tensor,
) -> None:
    model = build()
    twin = copy.deepcopy(model)
    x = inputs()
    plain, scaled = model(x).logits, twin(x, {"image": kappa}).logits
    assert torch.equal(plain, scaled)
    plain.square().sum().backward()
    scaled.square().sum().backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        expected = p.grad * 0.25 if name.startswith("encoders.image") else p.grad
        torch.testing.assert_close(q.grad, expected)


def test_batchnorm_of_a_suppressed_encoder_updates_its_statistics_unless_frozen() -> None:
    model = build()
    norm = model.encoders["image"][1]
    start = norm.running_mean.clone()
    model(inputs(), {"image": 0.0}, freeze_batchnorm=True)
    assert torch.equal(norm.running_mean, start)
    assert norm.training
    model(inputs(), {"image": 0.0})
    assert not torch.equal(norm.running_mean, start)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_gated_head_gets_no_gradient_like_its_encoder(fusion: type[Fusion]) -> None:
    model = build(fusion)
    model(inputs(), {"image": 0.0, "tone": 1.0}, gate_heads=True).logits.sum().backward()
    gradients = {name: p.grad for name, p in model.fusion.named_parameters()}
    assert gradients["heads.image.weight"] is None
    assert gradients["heads.tone.weight"] is not None


@pytest.mark.parametrize("fusion", FUSIONS)
def test_unimodal_logits_add_up_or_average_to_the_fused_ones(fusion: type[Fusion]) -> None:
    model = build(fusion).double()
    output = model({m: x.double() for m, x in inputs().items()}, unimodal=True)
    assert output.unimodal_logits is not None
    z = torch.stack(list(output.unimodal_logits.values()))
    torch.testing.assert_close(
        z.mean(0) if fusion is Late else z.sum(0), output.logits, rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_student_started_from_its_teachers_is_their_ensemble(fusion: type[Fusion]) -> None:
    teachers = {
        m: MultimodalModel({m: e}, Late({m: DIMS[m]}, 4)).eval() for m, e in encoders().items()
    }
    model = build(fusion).eval()
    warm_start(model, teachers)
    x = inputs()
    expected = torch.stack([t(x).logits for t in teachers.values()]).mean(0)
    torch.testing.assert_close(model(x).logits, expected)


def test_one_encoder_under_two_modalities_is_refused() -> None:
    shared = nn.Linear(2, 3)
    with pytest.raises(
        ArgumentError, match="encoders must not share parameters, found one in both 'a' and 'b'"
    ):
        MultimodalModel({"a": shared, "b": shared}, Late({"a": 3, "b": 3}, 2))


def test_encoders_and_fusion_must_agree_on_the_modalities() -> None:
    with pytest.raises(
        ArgumentError,
        match=r"fusion must take the encoders' modalities in their order \(a\), found b",
    ):
        MultimodalModel({"a": nn.Linear(2, 3)}, Late({"b": 3}, 2))


def test_a_missing_input_is_named() -> None:
    with pytest.raises(ArgumentError, match="found none for tone, word"):
        build()({"image": torch.zeros(2, 1, 5, 5)})


def test_an_encoder_that_returns_a_map_is_refused() -> None:
    model = MultimodalModel({"image": nn.Conv2d(1, 2, 3)}, Late({"image": 2}, 2))
    with pytest.raises(
        ArgumentError,
        match=r"must return features of shape \(rows, D\) or Encoded, found \(2, 2, 3, 3\)",
    ):
        model({"image": torch.zeros(2, 1, 5, 5)})


def test_features_of_a_missing_modality_are_zero_even_if_the_encoder_returns_nan() -> None:
    model = build().eval()
    x = inputs(3)
    x["tone"][1] = float("nan")
    present = {"tone": torch.tensor([True, False, True])}
    output = model(x, present=present)
    assert torch.equal(output.features["tone"][1], torch.zeros(5))
    assert torch.isfinite(output.logits).all()


def test_reading_the_feature_dimension_does_not_change_the_encoder() -> None:
    given = encoders()
    state = copy.deepcopy(given["image"].state_dict())
    assert feature_dims(given, inputs()) == DIMS
    assert given["image"].training
    assert all(
        torch.equal(value, state[name]) for name, value in given["image"].state_dict().items()
    )


class Tokens(nn.Module):
    """An encoder with tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, values: torch.Tensor) -> Encoded:
        tokens = self.linear(values)
        return Encoded(tokens.mean(1), tokens)


def test_the_gradient_of_tokens_is_scaled_too() -> None:
    model = MultimodalModel({"word": Tokens()}, Late({"word": 3}, 2))
    x = {"word": torch.randn(4, 7, 2)}
    for kappa in (1.0, 0.5):
        encoded = model.encode(x, {"word": kappa})["word"]
        assert encoded.tokens is not None
        (gradient,) = torch.autograd.grad(encoded.tokens.sum(), model.encoders["word"].linear.bias)
        torch.testing.assert_close(gradient, torch.full((3,), 28 * kappa))
    closed = model.encode(x, {"word": 0.0})["word"].tokens
    assert closed is not None
    assert not closed.requires_grad


def teachers() -> dict[str, MultimodalModel]:
    return {m: MultimodalModel({m: e}, Late({m: DIMS[m]}, 4)) for m, e in encoders().items()}


def test_teachers_are_frozen_and_their_output_is_in_no_graph() -> None:
    given = teachers()
    buffers = {m: copy.deepcopy(t.state_dict()) for m, t in given.items()}
    answer = Teachers(given)(Batch(inputs(), torch.zeros(8, dtype=torch.int64)))
    assert not any(p.requires_grad for t in given.values() for p in t.parameters())
    assert not any(t.requires_grad for t in (*answer.features.values(), *answer.logits.values()))
    assert all(
        torch.equal(value, buffers[m][name])
        for m, t in given.items()
        for name, value in t.state_dict().items()
    )


class Own(nn.Module):
    """A user's teacher, which is no multimodal model.

    Args:
        teacher: Its encoder and head are used.
        features: Whether to return the features too.
    """

    def __init__(self, teacher: MultimodalModel, features: bool) -> None:
        super().__init__()
        (self.encoder,) = copy.deepcopy(teacher).encoders.values()
        (self.head,) = copy.deepcopy(teacher).fusion.heads.values()
        self.features = features

    def forward(self, values: Any) -> Any:
        features = self.encoder(values)
        logits = self.head(features)
        return (features, logits) if self.features else logits


@pytest.mark.parametrize("features", [True, False])
@pytest.mark.parametrize("kind", [Teachers, partial(CachedTeachers, rows=8)])
def test_any_module_with_logits_can_be_a_teacher(kind: Any, features: bool) -> None:
    given, target = teachers(), torch.zeros(8, dtype=torch.int64)
    batch = Batch(inputs(), target, torch.arange(8))
    own = {m: Own(teacher, features) for m, teacher in given.items()}
    expected, answer = Teachers(given)(batch), kind(own, own)(batch)
    assert answer.features.keys() == (expected.features.keys() if features else set())
    for name in ("features", "logits", "ranking_logits"):
        for m, values in getattr(answer, name).items():
            torch.testing.assert_close(values, getattr(expected, name)[m])
    assert not any(module.training for module in own.values())
    assert not any(p.requires_grad for module in own.values() for p in module.parameters())
    assert Teachers(kind(own).models)(batch).logits.keys() == own.keys()


def test_cached_teachers_compute_the_same_output_once_per_row() -> None:
    models = teachers()
    plain, cached = Teachers(models), CachedTeachers(models, rows=20)
    x = inputs(20)
    calls = []
    models["word"].register_forward_hook(lambda *_: calls.append(1))
    for index in (torch.arange(12), torch.arange(8, 20), torch.arange(20)):
        batch = Batch(
            {m: v[index] for m, v in x.items()}, torch.zeros(len(index), dtype=torch.int64), index
        )
        output, expected = cached(batch), plain(batch)
        for m in DIMS:
            torch.testing.assert_close(output.features[m], expected.features[m])
            torch.testing.assert_close(output.logits[m], expected.logits[m])
    assert (
        len(calls) == 3 + 2
    )  # three plain calls; the cache computed two batches and looked up the third


def test_another_checkpoint_can_rank() -> None:
    distils, ranks = teachers(), teachers()
    batch = Batch(inputs(), torch.zeros(8, dtype=torch.int64))
    answer = Teachers(distils, ranks)(batch)
    torch.testing.assert_close(answer.ranking_logits["word"], Teachers(ranks)(batch).logits["word"])
    assert not torch.equal(answer.ranking_logits["word"], answer.logits["word"])


def test_a_teacher_of_another_modality_is_refused() -> None:
    given = teachers()
    with pytest.raises(
        ArgumentError,
        match="the teacher of 'tone' must be a model of that modality alone, found one of word",
    ):
        Teachers({"tone": given["word"]})


def test_a_teacher_with_another_encoder_cannot_start_a_student() -> None:
    given = teachers() | {"word": MultimodalModel({"word": nn.Linear(2, 7)}, Late({"word": 7}, 4))}
    with pytest.raises(
        ArgumentError, match="the teacher of 'word' must have the student's encoder"
    ):
        warm_start(build(), given)


def test_a_teacher_with_another_head_cannot_start_a_student() -> None:
    given = teachers() | {"word": MultimodalModel({"word": nn.Linear(2, 3)}, Sum({"word": 3}, 4))}
    with pytest.raises(
        UnsupportedError, match="a teacher must be one encoder and one linear layer"
    ):
        warm_start(build(), given)


def test_repr_of_a_model_is_one_line_per_part() -> None:
    assert repr(build()).splitlines() == [
        "MultimodalModel(",
        "  image: Sequential(...), 72 parameters",
        "  tone: Sequential(...), 35 parameters",
        "  word: Linear(in_features=2, out_features=3, bias=True), 9 parameters",
        "  fusion: Late(dims={'image': 6, 'tone': 5, 'word': 3}, outputs=4), 68 parameters",
        ")",
    ]


def test_repr_of_teachers_names_the_modalities() -> None:
    assert repr(Teachers(teachers())) == "Teachers(image, tone, word)"
    cached = CachedTeachers(teachers(), teachers(), rows=20)
    assert repr(cached) == (
        "CachedTeachers(image, tone, word, ranked by other checkpoints, rows=20)"
    )
