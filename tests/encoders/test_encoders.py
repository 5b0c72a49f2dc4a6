from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from g2d.encoders import ENCODERS, build_encoder, encoder_options
from g2d.errors import ArgumentError
from g2d.model import feature_dims
from g2d.types import Encoded, Sequence


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_encoder_yields_one_row_of_features_per_row(name: str, channels: int) -> None:
    values = torch.randn(3, 4, 5) if name == "transformer" else torch.randn(3, channels, 32, 32)
    encoder = build_encoder(name, values).eval()
    encoded = encoder(values[:1])
    pooled = encoded.pooled if isinstance(encoded, Encoded) else encoded
    assert pooled.shape == (1, feature_dims({"m": encoder}, {"m": values})["m"])


def test_the_small_network_has_the_prototype_s_128_features() -> None:
    for side in (16, 22, 28):
        values = torch.randn(2, 1, side, side)
        assert build_encoder("cnn", values)(values).pooled.shape == (2, 128)


def test_frames_are_encoded_one_by_one_and_averaged() -> None:
    video = torch.randn(2, 1, 3, 16, 16)
    encoder = build_encoder("cnn", video).eval()
    whole = encoder(video)
    each = torch.stack([encoder(video[:, :, t]).pooled for t in range(3)]).mean(0)
    torch.testing.assert_close(whole.pooled, each)
    assert whole.tokens.shape == (2, 3 * 4, 32)


def test_padding_and_batch_mates_do_not_change_a_prediction() -> None:
    values = torch.randn(2, 6, 5)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    encoder = build_encoder("transformer", values).eval()
    together = encoder(Sequence(values, mask)).pooled[1]
    alone = encoder(Sequence(values[1:, :4], mask[1:, :4])).pooled[0]
    torch.testing.assert_close(together, alone)
    values[1, 4:] = 1e3
    torch.testing.assert_close(encoder(Sequence(values, mask)).pooled[1], alone)


def test_a_transformer_reads_token_ids() -> None:
    ids = torch.randint(0, 9, (2, 5))
    assert build_encoder("transformer", ids, vocabulary=9)(ids).pooled.shape == (2, 64)


def test_a_sequence_that_is_too_long_is_refused() -> None:
    values = torch.randn(1, 9, 5)
    with pytest.raises(ArgumentError, match="a sequence must have at most 8 steps, found 9"):
        build_encoder("transformer", values, length=8)(values)


def test_resnet18_is_the_standard_one() -> None:
    encoder = build_encoder("resnet18", torch.zeros(1, 3, 32, 32))
    assert sum(p.numel() for p in encoder.parameters()) == 11_176_512
    first = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    assert first.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)


def test_a_local_hugging_face_model_is_an_encoder(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path)
    example = Sequence(torch.randint(0, 20, (2, 5)), torch.ones(2, 5, dtype=torch.bool))
    encoder = build_encoder(f"hf:{tmp_path}", example, frozen=True)
    assert encoder(example).pooled.shape == (2, 16)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="must be a model that can be fetched or a local folder"):
        build_encoder(f"hf:{tmp_path}", torch.zeros(1, 3, 8, 8))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"found 'resnet8'\. Did you mean 'resnet18'"):
        build_encoder("resnet8", torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_inputs_of_the_wrong_shape_are_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"inputs of the encoder '{name}' must be"):
        build_encoder(name, torch.zeros(2, 7))


def test_a_recipe_says_what_the_data_do_not() -> None:
    assert set(encoder_options("mlp")) == {"widths", "dropout"}
    assert set(encoder_options("cnn")) == {"widths", "pool"}
    assert set(encoder_options("hf:bert")) == {"frozen"}
