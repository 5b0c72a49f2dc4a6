"""Fusions with approximate unimodal logits: formulas, readouts, and rules of every fusion."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from g2d.encoders import build_encoder
from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import (
    FUSIONS,
    BiGated,
    Concat,
    CrossAttention,
    FiLM,
    Fusion,
    FusionMLP,
    Late,
    Sum,
    build_fusion,
)
from g2d.model import MultimodalModel, example_features
from g2d.types import Encoded

DIMS = {"image": 6, "tone": 5, "word": 3}
TOKENS = {"image": 4, "word": 2}


def encoded(rows: int = 7, k: int = 3) -> dict[str, Encoded]:
    """Return features of k modalities, float64.

    The tone has no tokens, and some tokens of the word are padding.
    """
    features = {
        m: Encoded(
            torch.randn(rows, d, dtype=torch.float64),
            torch.randn(rows, 3, TOKENS[m], dtype=torch.float64) if m in TOKENS else None,
        )
        for m, d in list(DIMS.items())[:k]
    }
    if "word" in features:
        mask = torch.ones(rows, 3, dtype=torch.bool)
        mask[:, 2] = False
        features["word"] = Encoded(features["word"].pooled, features["word"].tokens, mask)
    return features


def numbers(layer: nn.Module, x: Tensor) -> Tensor:
    """Pass one row through a linear layer, product by product."""
    assert isinstance(layer, nn.Linear)
    return torch.stack(
        [
            sum((w * v for w, v in zip(row, x, strict=True)), start=b)
            for row, b in zip(layer.weight, layer.bias, strict=True)
        ]
    )


@pytest.mark.parametrize("plus_one", [True, False])
@pytest.mark.parametrize("conditioned", ["image", "word"])
def test_film_is_its_formula_row_by_row(plus_one: bool, conditioned: str) -> None:
    fusion = FiLM(DIMS, 4, conditioned=conditioned, plus_one=plus_one).double()
    f = encoded()
    logits, _ = fusion(f)
    width = DIMS[conditioned]
    for i in range(len(logits)):
        pairs = [numbers(fusion.generators[m], f[m].pooled[i]) for m in DIMS if m != conditioned]
        gamma, beta = (
            sum(pair[:width] for pair in pairs) + (1 if plus_one else 0),
            sum(pair[width:] for pair in pairs),
        )
        torch.testing.assert_close(
            logits[i], numbers(fusion.head, gamma * f[conditioned].pooled[i] + beta)
        )


def test_film_of_two_modalities_lets_the_first_modulate_the_second_as_in_the_original() -> None:
    fusion = FiLM({"image": 6, "tone": 5}, 4, plus_one=False).double()
    f = encoded(k=2)
    gamma, beta = fusion.generators["image"](f["image"].pooled).chunk(2, dim=1)
    torch.testing.assert_close(fusion(f)[0], fusion.head(gamma * f["tone"].pooled + beta))


def test_self_modulation_of_film_modulates_a_modality_by_itself() -> None:
    fusion = FiLM({"image": 5, "tone": 5}, 4, plus_one=False, unimodal="self_modulation").double()
    f = {m: Encoded(torch.randn(7, 5, dtype=torch.float64)) for m in fusion.dims}
    z = fusion(f, unimodal=True)[1]
    for m in fusion.dims:
        gamma, beta = fusion.generators["image"](f[m].pooled).chunk(2, dim=1)
        torch.testing.assert_close(
            z[m], (gamma * f[m].pooled + beta) @ fusion.head.weight.T + fusion.head.bias / 2
        )


@pytest.mark.parametrize("gated", [None, "tone"])
def test_bigated_is_its_formula_row_by_row(gated: str | None) -> None:
    fusion = BiGated(DIMS, 4, gated=gated, width=3).double()
    f = encoded()
    logits, _ = fusion(f)
    for i in range(len(logits)):
        u = {m: numbers(fusion.projections[m], f[m].pooled[i]).detach() for m in DIMS}
        choices = [
            torch.stack(
                [
                    u[t][d] * math.prod(1 / (1 + math.exp(-u[j][d])) for j in DIMS if j != t)
                    for d in range(3)
                ]
            )
            for t in ([gated] if gated else DIMS)
        ]
        torch.testing.assert_close(logits[i], numbers(fusion.head, sum(choices) / len(choices)))


def test_bigated_of_two_modalities_gates_the_second_by_the_first() -> None:
    fusion = BiGated({"image": 6, "tone": 5}, 4, unimodal="self_modulation").double()
    f = encoded(k=2)
    u = {m: fusion.projections[m](f[m].pooled) for m in fusion.dims}
    logits, z = fusion(f, unimodal=True)
    torch.testing.assert_close(logits, fusion.head(u["image"].sigmoid() * u["tone"]))
    torch.testing.assert_close(z["tone"], u["tone"] @ fusion.head.weight.T + fusion.head.bias / 2)


@pytest.mark.parametrize("name", ["film", "bigated", "mlp"])
def test_the_readout_zero_other_is_the_joint_head_with_all_others_zero(name: str) -> None:
    f = encoded()
    fusion = build_fusion(name, f, 4).double()
    z = fusion(f, unimodal=True)[1]
    for m in DIMS:
        alone = {j: e if j == m else Encoded(torch.zeros_like(e.pooled)) for j, e in f.items()}
        torch.testing.assert_close(z[m], fusion(alone)[0])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_perceptron_is_two_linear_layers_on_the_concatenated_features(k: int) -> None:
    f = encoded(k=k)
    fusion = build_fusion("mlp", f, 4, width=9).double()
    assert isinstance(fusion, FusionMLP)
    first = nn.Linear(sum(e.pooled.shape[1] for e in f.values()), 9).double()
    with torch.no_grad():
        first.weight.copy_(torch.cat([layer.weight for layer in fusion.hidden.values()], 1))
        first.bias.copy_(fusion.bias)
    logits = fusion(f)[0]
    for i, row in enumerate(logits):
        hidden = numbers(first, torch.cat([e.pooled[i] for e in f.values()]))
        expected = numbers(fusion.head, torch.stack([h if h > 0 else 0 * h for h in hidden]))
        torch.testing.assert_close(row, expected)


def test_a_perceptron_begins_as_torch_begins_a_layer_on_all_features() -> None:
    dims = {"image": 300, "tone": 100}
    fusion = FusionMLP(dims, 4, width=200)
    for name, width in dims.items():
        largest = fusion.hidden[name].weight.abs().max()
        assert 0.99 / 20 < largest <= 1 / 20, f"{name} of width {width}"


def test_cross_attention_is_its_formula_row_by_row() -> None:
    fusion = CrossAttention(DIMS, 4, token_dims=TOKENS, width=6, heads=2).double()
    f = encoded(rows=3)
    logits, z = fusion(f, unimodal=True)
    c = {m: fusion.classes[m](f[m].pooled) for m in DIMS}

    def answer(m: str, i: int, keys: list[Tensor]) -> Tensor:
        norm, attention = fusion.norms[m], fusion.attentions[m]
        query, keys = attention.query(norm(c[m][i])), [norm(key) for key in keys]
        mixed = []
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            weights = torch.stack(
                [query[part] @ attention.key(key)[part] / math.sqrt(3) for key in keys]
            ).softmax(0)
            mixed.append(
                sum(w * attention.value(key)[part] for w, key in zip(weights, keys, strict=True))
            )
        return fusion.heads[m](c[m][i] + attention.out(torch.cat(mixed)))

    for i in range(3):
        tokens = {
            "image": [fusion.tokens["image"](t) for t in f["image"].tokens[i]],
            "tone": [c["tone"][i]],  # no tokens: the class token is the only one
            "word": [
                fusion.tokens["word"](t) for t in f["word"].tokens[i][:2]
            ],  # the third is padding
        }
        expected = [
            answer(m, i, [c[m][i], *(t for j in DIMS if j != m for t in tokens[j])]) for m in DIMS
        ]
        torch.testing.assert_close(logits[i], sum(expected) / 3)
        for m in DIMS:
            torch.testing.assert_close(z[m][i], answer(m, i, [c[m][i]]))


def test_queries_of_cross_attention_learn_even_without_tokens() -> None:
    fusion = CrossAttention(DIMS, 4, width=6, heads=2).double()
    fusion({m: Encoded(e.pooled) for m, e in encoded().items()})[0].square().sum().backward()
    for attention in fusion.attentions.values():
        assert attention.query.weight.grad.abs().max() > 1e-6
        assert attention.key.weight.grad.abs().max() > 1e-6


def test_unimodal_logits_of_cross_attention_do_not_depend_on_the_others() -> None:
    fusion = CrossAttention(DIMS, 4, token_dims=TOKENS, width=6, heads=2).double()
    f, g = encoded(), encoded()
    z = fusion(f, unimodal=True)[1]
    for m in DIMS:
        assert torch.equal(
            z[m], fusion({j: f[j] if j == m else g[j] for j in DIMS}, unimodal=True)[1][m]
        )


def test_tokens_of_a_missing_modality_are_masked() -> None:
    encoders = {
        "image": build_encoder("cnn", torch.zeros(2, 1, 8, 8), widths=(3, 4)),
        "word": build_encoder("transformer", torch.zeros(2, 5, 3), width=8),
    }
    inputs = {"image": torch.randn(4, 1, 8, 8), "word": torch.randn(4, 5, 3)}
    model = MultimodalModel(
        encoders, build_fusion("cross_attention", example_features(encoders, inputs), 3, width=8)
    ).eval()
    present = {"word": torch.tensor([True, True, False, True])}
    encoded_ = model.encode(inputs, present=present)
    assert encoded_["word"].mask.any(1).tolist() == [True, True, False, True]
    changed = {**inputs, "word": inputs["word"].clone()}
    changed["word"][2] += 5
    assert torch.equal(
        model(inputs, present=present).logits, model(changed, present=present).logits
    )
    assert not torch.equal(model(inputs).logits, model(changed).logits)


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_every_fusion_takes_one_to_three_modalities_of_unequal_width(name: str, k: int) -> None:
    f = encoded(k=k)
    fusion = build_fusion(name, f, 4).double()
    logits, z = fusion(f, unimodal=True)
    assert logits.shape == (7, 4)
    assert {m: values.shape for m, values in z.items()} == dict.fromkeys(f, (7, 4))
    logits.square().sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all()
        for p in fusion.parameters()
        if name != "cross_attention" or k > 1
    )
    assert fusion(f)[1] is None
    if k == 1:
        torch.testing.assert_close(z["image"], logits)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_is_restored_from_its_state(name: str) -> None:
    f = encoded()
    fusion, other = build_fusion(name, f, 4).double(), build_fusion(name, f, 4).double()
    assert not torch.equal(fusion(f)[0], other(f)[0])
    other.load_state_dict(fusion.state_dict())
    assert torch.equal(fusion(f)[0], other(f)[0])


@pytest.mark.parametrize("name", FUSIONS)
def test_the_order_of_the_modalities_does_not_matter(name: str) -> None:
    f = encoded()
    options = {"conditioned": "tone"} if name == "film" else {}
    fusion = build_fusion(name, f, 4, **options).double()
    turned = build_fusion(name, dict(reversed(f.items())), 4, **options).double()
    turned.load_state_dict(fusion.state_dict())
    torch.testing.assert_close(turned(f)[0], fusion(f)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["film", "bigated", "cross_attention", "mlp"])
def test_heads_that_are_not_separate_cannot_be_gated(name: str) -> None:
    with pytest.raises(UnsupportedError, match="gate_heads must have one head per modality"):
        build_fusion(name, encoded(), 4).double()(encoded(), head_kappa={"image": 0.0})


def test_a_suppressed_encoder_gets_no_gradient_from_any_fusion() -> None:
    for name in FUSIONS:
        encoders = {
            "image": build_encoder("cnn", torch.zeros(2, 1, 8, 8), widths=(3, 4)),
            "tone": nn.Linear(4, 5),
        }
        inputs = {"image": torch.randn(4, 1, 8, 8), "tone": torch.randn(4, 4)}
        model = MultimodalModel(encoders, build_fusion(name, example_features(encoders, inputs), 3))
        model(inputs, {"image": 0.0}).logits.square().sum().backward()
        assert all(p.grad is None for p in encoders["image"].parameters())
        assert all(p.grad is not None for p in encoders["tone"].parameters())


REFUSALS: list[tuple[type[Fusion], dict[str, object], str]] = [
    (
        FiLM,
        {"conditioned": "sound"},
        "conditioned must be one of image, tone, word, found 'sound'",
    ),
    (FiLM, {"unimodal": "self_modulation"}, "must be equally wide, found image 6, tone 5, word 3"),
    (
        FiLM,
        {"unimodal": "both"},
        "unimodal must be one of zero_other, self_modulation, found 'both'",
    ),
    (BiGated, {"gated": "sound"}, "gated must be one of image, tone, word"),
    (BiGated, {"width": 0}, "width must be between 1 and 65,536, found 0"),
    (FusionMLP, {"width": 0}, "width must be between 1 and 65,536, found 0"),
    (
        CrossAttention,
        {"width": 6, "heads": 4},
        "width must be a multiple of heads, found width=6 and heads=4",
    ),
]


@pytest.mark.parametrize(("fusion", "options", "message"), REFUSALS)
def test_invalid_options_are_refused(
    fusion: type[Fusion], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        fusion(DIMS, 4, **options)


def test_an_unknown_fusion_is_refused_by_name() -> None:
    with pytest.raises(
        ArgumentError,
        match=r"fusion must be one of late, .*, found 'gated'\. Did you mean 'bigated'\?",
    ):
        build_fusion("gated", encoded(), 4)


def test_an_encoder_that_stops_returning_tokens_is_refused() -> None:
    fusion = CrossAttention(DIMS, 4, token_dims=TOKENS, width=6, heads=2).double()
    with pytest.raises(ArgumentError, match="the encoder of 'image' must yield tokens"):
        fusion({m: Encoded(e.pooled) for m, e in encoded().items()})


def test_exactly_the_additive_fusions_are_marked_additive() -> None:
    assert [fusion for fusion in FUSIONS.values() if fusion.additive] == [Late, Sum, Concat]


@pytest.mark.parametrize(
    "fusion",
    [
        Sum({"a": 3, "b": 2}, 4),
        FiLM({"a": 3, "b": 2}, 4, conditioned="a", plus_one=False),
        BiGated(DIMS, 4, width=7),
        CrossAttention({"a": 3}, 4, token_dims={"a": 2}),
        FusionMLP(DIMS, 4, width=7),
    ],
)
def test_repr_is_the_call_that_builds_the_fusion(fusion: Fusion) -> None:
    twin = eval(repr(fusion))
    assert type(twin) is type(fusion)
    assert twin.arguments == fusion.arguments
    assert {n: v.shape for n, v in twin.state_dict().items()} == {
        n: v.shape for n, v in fusion.state_dict().items()
    }
