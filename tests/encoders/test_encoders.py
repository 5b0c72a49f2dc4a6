from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from g2d.encoders import ENCODERS, SmallCNN, build_encoder
from g2d.errors import ArgumentError, MissingDependencyError
from g2d.model import feature_dims
from g2d.recipe.schema import options_model
from g2d.types import Encoded, Sequence


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_encoder_returns_one_row_of_features_per_row(name: str, channels: int) -> None:
    values = torch.randn(3, 4, 5) if name == "transformer" else torch.randn(3, channels, 32, 32)
    encoder = build_encoder(name, values).eval()
    encoded = encoder(values[:1])
    pooled = encoded.pooled if isinstance(encoded, Encoded) else encoded
    assert pooled.shape == (1, feature_dims({"m": encoder}, {"m": values})["m"])


def test_the_small_network_has_128_features() -> None:
    for side in (16, 22, 28):
        values = torch.randn(2, 1, side, side)
        assert build_encoder("cnn", values)(values).pooled.shape == (2, 128)


@pytest.mark.parametrize("size", [(1, 1), (40, 1), (40, 2), (40, 3), (3, 16)])
def test_the_small_network_takes_any_size(size: tuple[int, int]) -> None:
    values = torch.randn(2, 1, *size)
    assert build_encoder("cnn", values)(values).pooled.shape == (2, 128)


def test_the_small_network_halves_every_axis_that_can_be_halved() -> None:
    values, encoder = torch.randn(2, 1, 17, 12), SmallCNN().eval()
    written = nn.Sequential(
        *(nn.AvgPool2d(2) if type(layer).__name__ == "Halve" else layer for layer in encoder.layers)
    ).eval()
    assert torch.equal(encoder(values).pooled, written(values).flatten(1))


def test_frames_are_encoded_one_by_one_and_averaged() -> None:
    video = torch.randn(2, 1, 3, 16, 16)
    encoder = build_encoder("cnn", video).eval()
    whole = encoder(video)
    each = torch.stack([encoder(video[:, :, t]).pooled for t in range(3)]).mean(0)
    torch.testing.assert_close(whole.pooled, each)
    assert whole.tokens.shape == (2, 3 * 4, 32)


def test_padding_and_other_rows_do_not_change_a_prediction() -> None:
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


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def bert(folder: Path) -> Path:
    """Save a small text model of 20 tokens and 8 positions."""
    from transformers import BertConfig, BertModel

    config = BertConfig(**SMALL, vocab_size=20, max_position_embeddings=8)
    BertModel(config).save_pretrained(folder)
    return folder


def tokens(symbols: int | None, length: int, tokenizer: str | None = "its own") -> Sequence:
    return Sequence(
        torch.zeros(2, length, dtype=torch.int64),
        torch.ones(2, length, dtype=torch.bool),
        symbols,
        tokenizer,
    )


def test_a_local_hugging_face_model_is_an_encoder(tmp_path: Path) -> None:
    example = tokens(20, 5)
    encoder = build_encoder(f"hf:{bert(tmp_path)}", example, frozen=True)
    assert encoder(example).pooled.shape == (2, 16)
    assert not any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        (
            tokens(20, 5, None),
            r"must come from a Hugging Face tokenizer, found .* Use its own tokenizer: "
            r"views: \{MODALITY: \[\{name: tokens, tokenizer: .*\}\]\}\.",
        ),
        (
            tokens(21, 5),
            r"token ids for .* must be among the 20 that it knows, found 21\. "
            "Give the step tokens the model's own tokenizer",
        ),
        (
            tokens(20, 9),
            r"must have at most 8 tokens, found 9\. Set the option of the step tokens: length: 8",
        ),
        (
            torch.zeros(2, 3, 8, 8),
            r"must be token ids \(rows, tokens\), found \(2, 3, 8, 8\) float32",
        ),
        (
            torch.zeros(2, 8, dtype=torch.uint8),
            r"must be token ids \(rows, tokens\), found \(2, 8\) uint8",
        ),
        (
            Sequence(torch.zeros(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)),
            r"must be token ids",
        ),
    ],
)
def test_a_text_model_refuses_wrong_inputs_when_it_is_built(
    tmp_path: Path, example: Sequence, sentence: str
) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        build_encoder(f"hf:{bert(tmp_path)}", example)


def test_a_text_model_is_tried_on_a_text_of_maximum_length(tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(**SMALL, vocab_size=20, max_position_embeddings=8)
    RobertaModel(config).save_pretrained(tmp_path)
    padded = Sequence(
        torch.ones(2, 8, dtype=torch.int64), torch.eye(2, 8).bool(), 20, "its own"
    )  # RoBERTa has no position for padding, and never uses 2 of its 8 positions
    with pytest.raises(
        ArgumentError, match=r"must be as the model takes them, found \(1, 8\), for which it fails"
    ):
        build_encoder(f"hf:{tmp_path}", padded)
    build_encoder(
        f"hf:{tmp_path}", Sequence(padded.values[:, :6], padded.mask[:, :6], 20, "its own")
    )


def test_an_image_model_refuses_wrong_inputs_when_it_is_built(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

    ViTModel(ViTConfig(**SMALL, image_size=16, patch_size=8)).save_pretrained(tmp_path / "vit")
    images = torch.zeros(2, 3, 16, 16)
    assert build_encoder(f"hf:{tmp_path / 'vit'}", images)(images).pooled.shape == (2, 16)
    with pytest.raises(
        ArgumentError,
        match=r"must be as the model takes them, found \(2, 3, 20, 20\), for which it fails: .*16",
    ):
        build_encoder(f"hf:{tmp_path / 'vit'}", torch.zeros(2, 3, 20, 20))
    with pytest.raises(ArgumentError, match="must be one grid per row, as it is no text model"):
        build_encoder(f"hf:{tmp_path / 'vit'}", tokens(20, 5))
    ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    ).save_pretrained(tmp_path / "resnet")
    with pytest.raises(ArgumentError, match="must have 3 channels, found 1"):
        build_encoder("resnet18", torch.zeros(2, 1, 16, 16), pretrained=str(tmp_path / "resnet"))


def test_mobilenet_starts_from_a_local_folder_or_file_of_weights(tmp_path: Path) -> None:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    whole = MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=1.0)).eval()
    whole.save_pretrained(tmp_path)
    images, file = torch.randn(2, 3, 32, 32), tmp_path / "model.safetensors"
    with torch.no_grad():
        expected = whole.mobilenet_v2(images).last_hidden_state.flatten(2).mean(2)
        for pretrained in (tmp_path, file):
            encoder = build_encoder("mobilenet_v2", images, pretrained=str(pretrained)).eval()
            torch.testing.assert_close(encoder(images).pooled, expected)
    for pretrained in (tmp_path, file):
        with pytest.raises(ArgumentError, match=r"must hold all weights of ResNetModel, found no"):
            build_encoder("resnet18", images, pretrained=str(pretrained))
    with pytest.raises(ArgumentError, match=r"a file of tensors .*, found none of them: No such"):
        build_encoder("mobilenet_v2", images, pretrained=str(tmp_path / "other.safetensors"))


def test_a_transformer_reads_the_frames_of_spectrograms_and_videos_in_order() -> None:
    sound, video = torch.randn(2, 1, 6, 5), torch.randn(2, 3, 5, 4, 4)
    for values, frames in (
        (sound, [sound[:, 0, :, t] for t in range(5)]),
        (video, [video[:, :, t].flatten(1) for t in range(5)]),
    ):
        encoder = build_encoder("transformer", values, width=8, heads=2).eval()
        torch.testing.assert_close(
            encoder(values).pooled, encoder(torch.stack(frames, dim=1)).pooled
        )


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="must be a model that can be fetched, a local folder"):
        build_encoder(f"hf:{tmp_path}", torch.zeros(1, 3, 8, 8))


def test_an_unknown_name_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ArgumentError, match=r"found 'resnet8'\. Did you mean 'resnet18'"):
        build_encoder("resnet8", torch.zeros(1, 3, 8, 8))


def test_bytes_and_widths_that_no_head_divides_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"must be numbers .* found \(2, 8, 8, 3\) uint8"):
        build_encoder("cnn", torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    with pytest.raises(ArgumentError, match=r"must be a multiple of its heads \(4\), found 10"):
        build_encoder("transformer", torch.zeros(2, 5, 3), width=10)


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_inputs_of_the_wrong_shape_are_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"inputs of the encoder '{name}' must be"):
        build_encoder(name, torch.zeros(2, 7))


def test_options_are_the_arguments_that_are_not_read_from_the_data() -> None:
    assert set(options_model("encoder", "mlp").model_fields) == {"widths", "dropout"}
    assert set(options_model("encoder", "cnn").model_fields) == {"widths", "pool"}
    assert set(options_model("encoder", "hf:bert").model_fields) == {
        *("frozen", "freeze", "pool", "lora")
    }


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "hf:bert"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    with pytest.raises(
        MissingDependencyError,
        match=rf"'{name}' needs transformers, which is not installed: pip install 'g2d\[hf\]'\.",
    ):
        build_encoder(name, torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cnn", "SmallCNN(channels=3, widths=(12, 24, 48, 32), pool=2)"),
        ("mlp", "MLP(features=48, widths=(64, 64), dropout=())"),
        ("resnet18", "resnet18(channels=3, pretrained=None)"),
        ("mobilenet_v2", "mobilenet_v2(channels=3, pretrained=None)"),
    ],
)
def test_repr_shows_the_arguments(name: str, text: str) -> None:
    assert repr(build_encoder(name, torch.zeros(2, 3, 4, 4))) == text


def test_repr_of_sequence_encoders_shows_the_arguments(tmp_path: Path) -> None:
    transformer = build_encoder("transformer", tokens(7, 5), layers=2)
    assert repr(transformer).split() == [
        "Transformer(",
        *("features=None,", "vocabulary=7,", "width=64,", "layers=2,"),
        *("heads=4,", "length=512,", "dropout=0.0,", ")"),
    ]
    assert repr(build_encoder(f"hf:{bert(tmp_path)}", tokens(20, 5))) == (
        f"HuggingFace({str(tmp_path)!r}, freeze='none', pool='pooler', lora=0)"
    )
