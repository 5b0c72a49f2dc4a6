"""Hugging Face models of many families as encoders, made small and random from configurations."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from g2d.encoders import build_encoder
from g2d.errors import ArgumentError
from g2d.fusion import Late
from g2d.model import MultimodalModel
from g2d.types import Sequence

transformers = pytest.importorskip("transformers")

SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
PICTURE = {**SIZE, "image_size": 16, "patch_size": 8}
TEXT = {**SIZE, "vocab_size": 60, "max_position_embeddings": 20}
SOUND = {
    **SIZE,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 8,
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_mel_bins": 8,
    "max_source_positions": 10,
    "vocab_size": 60,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def two_towers(kind: str) -> nn.Module:
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1}
    further = {"projection_dim": 8} if kind == "CLIP" else {}
    config = getattr(transformers, f"{kind}Config")(
        text_config=TEXT | ends, vision_config=PICTURE, **further
    )
    model: nn.Module = getattr(transformers, f"{kind}Model")(config)
    return model


def words(length: int = 7, longest: int = 9) -> Sequence:
    """Return two texts of token ids, the second one shorter, padded to ``longest``."""
    ids = torch.zeros(2, longest, dtype=torch.int64)
    ids[:, :length] = torch.arange(3, 3 + 2 * length).reshape(2, length)
    mask = torch.zeros(2, longest, dtype=torch.bool)
    mask[0, :length] = mask[1, : length - 2] = True
    return Sequence(ids, mask, 60, "its own")


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def masked(values: Tensor) -> Sequence:
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    mask[1, values.shape[1] * 2 // 3 :] = False
    return Sequence(values, mask)


@dataclass(frozen=True)
class Family:
    """A family of models: how one is made, an input, and what must be taken of it."""

    make: Callable[[], nn.Module]
    example: Tensor | Sequence
    words: str
    pool: str


def of(model: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        config = getattr(transformers, model.replace("Model", "Config"))(**options)
        made: nn.Module = getattr(transformers, model)(config)
        return made

    return make


GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 60, "n_positions": 20}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 60}
BART = {
    "d_model": 16,
    **{f"{side}_layers": 1 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 16 for side in ("encoder", "decoder")},
    "vocab_size": 60,
    "max_position_embeddings": 20,
}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "vocab_size": 60}
FAMILIES = {
    "BERT": Family(of("BertModel", **TEXT), words(), "bert for token ids", "pooler"),
    "RoBERTa": Family(of("RobertaModel", **TEXT), words(), "roberta for token ids", "pooler"),
    "DistilBERT": Family(of("DistilBertModel", **DISTIL), words(), "distilbert", "class"),
    "GPT-2": Family(of("GPT2Model", **GPT2), words(), "gpt2 for token ids", "last"),
    "T5": Family(of("T5Model", **T5), words(), "encoder of t5 for token ids", "mean"),
    "BART": Family(of("BartModel", **BART), words(), "encoder of bart for token ids", "mean"),
    "CLIP texts": Family(
        lambda: two_towers("CLIP"), words(), "text half of clip for token ids", "last"
    ),
    "CLIP pictures": Family(
        lambda: two_towers("CLIP"), noise(2, 3, 16, 16), "vision half of clip", "pooler"
    ),
    "SigLIP texts": Family(lambda: two_towers("Siglip"), words(), "text half of siglip", "pooler"),
    "SigLIP pictures": Family(
        lambda: two_towers("Siglip"), noise(2, 3, 16, 16), "vision half of siglip", "pooler"
    ),
    "ViT": Family(of("ViTModel", **PICTURE), noise(2, 3, 16, 16), "vit for pictures", "pooler"),
    "ViT on videos": Family(of("ViTModel", **PICTURE), noise(2, 3, 4, 16, 16), "vit", "pooler"),
    "DINOv2": Family(
        of("Dinov2Model", **PICTURE), noise(2, 3, 16, 16), "dinov2 for pictures", "pooler"
    ),
    "wav2vec2": Family(
        of("Wav2Vec2Model", **SOUND), masked(noise(2, 300)), "wav2vec2 for samples", "mean"
    ),
    "HuBERT": Family(of("HubertModel", **SOUND), masked(noise(2, 300)), "hubert", "mean"),
    "Whisper": Family(
        of("WhisperModel", **WHISPER), masked(noise(2, 15, 8)), "encoder of whisper", "mean"
    ),
    "AST": Family(
        of(
            "ASTModel", **SIZE, patch_size=4, num_mel_bins=8, max_length=16,
            time_stride=4, frequency_stride=4,
        ),
        noise(2, 1, 8, 16),
        "audio-spectrogram-transformer for spectrograms",
        "pooler",
    ),
    "VideoMAE": Family(
        of("VideoMAEModel", **PICTURE, num_frames=4, tubelet_size=2),
        noise(2, 3, 4, 16, 16),
        "videomae for videos",
        "mean",
    ),
    "ViViT": Family(
        of("VivitModel", **PICTURE, num_frames=4, tubelet_size=[2, 8, 8]),
        noise(2, 3, 4, 16, 16),
        "vivit for videos",
        "pooler",
    ),
}  # fmt: skip


def saved(make: Callable[[], nn.Module], folder: Path) -> str:
    """Save a model; weights that start at zero are random too, as if it had been trained."""
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)  # type: ignore[operator]
    return f"hf:{folder}"


def changed_steps(example: Tensor | Sequence) -> list[Tensor | Sequence]:
    """Return the example with another value in one real token of row 1: in each, or in parts."""
    if isinstance(example, Sequence):
        last = int(example.mask[1].sum()) - 1
        examples: list[Tensor | Sequence] = []
        for step in sorted({0, last // 2, last} | (set(range(last)) if last < 9 else set())):
            values = example.values.clone()
            values[1, step] = values[1, step] + (1 if values.is_floating_point() else 30)
            examples.append(Sequence(values, example.mask, example.symbols, example.tokenizer))
        return examples
    places = [(Ellipsis, 0, 0), (Ellipsis, -1, -1)]
    if example.ndim == 5:
        places += [(slice(None), slice(None), t, 3, 9) for t in range(example.shape[2])]
    examples = []
    for place in places:
        values = example.clone()
        values[1:][place] += 1
        examples.append(values)
    return examples


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_features_depend_on_every_real_token_and_on_no_padding(family: str, tmp_path: Path) -> None:
    one = FAMILIES[family]
    name = saved(one.make, tmp_path)
    encoder = build_encoder(name, one.example, frozen=True).train()
    assert isinstance(encoder.taken, str)
    assert one.words in encoder.taken
    assert encoder.pool == one.pool
    encoded = encoder(one.example)
    assert encoded.pooled.shape == (2, 16)
    again = build_encoder(name, one.example, frozen=True).train()
    assert torch.equal(again(one.example).pooled, encoded.pooled)
    for changed in changed_steps(one.example):
        pooled = encoder(changed).pooled
        torch.testing.assert_close(pooled[0], encoded.pooled[0])
        assert (pooled[1] - encoded.pooled[1]).abs().max() > 1e-6
    if isinstance(one.example, Sequence):
        values, mask = one.example.values.clone(), one.example.mask
        values[~mask] = 17  # other values in the padding, then less padding, then another batch
        for rows, length in ((slice(0, 2), mask.shape[1]), (slice(1, 2), int(mask[1].sum()))):
            given = Sequence(values[rows, :length], mask[rows, :length], 60, "its own")
            less = encoder(given)
            torch.testing.assert_close(less.pooled, encoded.pooled[rows], rtol=1e-4, atol=1e-5)
        absent = Sequence(values, torch.zeros_like(mask), 60, "its own")
        assert encoder(absent).pooled.isfinite().all()


@pytest.mark.parametrize(
    ("make", "example", "pool"),
    [
        (lambda: transformers.BertModel(transformers.BertConfig(**TEXT), False), words(), "class"),
        (
            lambda: transformers.RobertaForMaskedLM(transformers.RobertaConfig(**TEXT)),
            words(),
            "class",
        ),
        (
            lambda: transformers.ViTModel(transformers.ViTConfig(**PICTURE), False),
            noise(2, 3, 16, 16),
            "class",
        ),
    ],
)
def test_a_pooler_without_weights_is_not_used(
    make: Callable[[], nn.Module], example: Tensor | Sequence, pool: str, tmp_path: Path
) -> None:
    name = saved(make, tmp_path)
    one, two = (build_encoder(name, example).eval() for _ in range(2))
    assert one.pool == pool
    assert torch.equal(one(example).pooled, two(example).pooled)
    with pytest.raises(ArgumentError, match="the model has no weights for its pooled output"):
        build_encoder(name, example, pool="pooler")
    mean = build_encoder(name, example, pool="mean").eval()(example)
    mask = torch.ones(mean.tokens.shape[:2]) if mean.mask is None else mean.mask.float()
    expected = (mean.tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(mean.pooled, expected)


def test_a_checkpoint_that_lacks_weights_of_its_tokens_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    name = saved(FAMILIES["BERT"].make, tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(
        ArgumentError,
        match=r"must hold all weights that its tokens depend on, found none for 1, among them "
        r"encoder\.layer\.1\.output\.dense\.weight",
    ):
        build_encoder(name, words())


@pytest.mark.parametrize("known", [True, False])
def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, known: bool) -> None:
    name = saved(FAMILIES["BERT"].make, tmp_path)
    marker = tmp_path / "was_run"
    (tmp_path / "own.py").write_text(f"open({str(marker)!r}, 'w').write('x')\nclass Own: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Own", "AutoModel": "own.Own"}
    config["model_type"] = config["model_type"] if known else "own"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with nullcontext() if known else pytest.raises(ArgumentError):
        build_encoder(name, words())
    assert not marker.exists()


def test_samples_of_every_integer_type_are_scaled(tmp_path: Path) -> None:
    signal = (noise(2, 300).clamp(-3, 3) / 4 * 2**15).round()
    encoder = build_encoder(saved(FAMILIES["HuBERT"].make, tmp_path), signal.short()).eval()
    expected = encoder(signal / 2**15).pooled
    for stored in (signal.short(), (signal * 2**16).to(torch.int32)):
        torch.testing.assert_close(encoder(stored).pooled, expected)
    with pytest.raises(ArgumentError, match="found int64"):
        encoder(signal.long())


def test_pixels_are_normalized_as_the_preprocessor_does_unless_a_view_has(tmp_path: Path) -> None:
    pixels, name = noise(2, 3, 16, 16).sigmoid(), saved(FAMILIES["ViT"].make, tmp_path)
    numbers = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(numbers))
    mean, std = (torch.tensor(x)[:, None, None] for x in numbers.values())
    plain = build_encoder(name, pixels).eval()
    ready = build_encoder(name, (pixels - mean) / std).eval()
    torch.testing.assert_close(plain(pixels).pooled, ready((pixels - mean) / std).pooled)
    assert "normalized as its preprocessor does" in plain.taken


def test_wrong_sizes_are_refused_with_the_step_to_use(tmp_path: Path) -> None:
    video = saved(FAMILIES["VideoMAE"].make, tmp_path / "video")
    with pytest.raises(ArgumentError, match=r"Add the step frames: \{name: frames, count: 4\}"):
        build_encoder(video, noise(2, 3, 6, 16, 16))
    with pytest.raises(ArgumentError, match=r"Add the step resize: \{name: resize, size: 16\}"):
        build_encoder(video, noise(2, 3, 4, 24, 24))
    sound = saved(FAMILIES["AST"].make, tmp_path / "sound")
    with pytest.raises(ArgumentError, match="must have 8 bands, found 7"):
        build_encoder(sound, noise(2, 1, 7, 16))
    with pytest.raises(ArgumentError, match="must have at most 16 frames, found 17"):
        build_encoder(sound, noise(2, 1, 8, 17))
    with pytest.raises(ArgumentError, match="Use the step log_mel"):
        build_encoder(sound, noise(2, 300))
    both = saved(lambda: two_towers("CLIP"), tmp_path / "both")
    with pytest.raises(ArgumentError, match="must be for its text or vision half, found one for"):
        build_encoder(both, noise(2, 300))


def test_gray_pictures_and_the_last_layers_alone_can_be_used(tmp_path: Path) -> None:
    name, gray = saved(FAMILIES["ViT"].make, tmp_path), noise(2, 1, 16, 16)
    encoder = build_encoder(name, gray, freeze="last-1").eval()
    colored = encoder(gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(encoder(gray).pooled, colored.pooled)
    trained = {key for key, weight in encoder.model.named_parameters() if weight.requires_grad}
    assert "pooler.dense.weight" in trained
    assert any(".1." in key for key in trained)
    assert not any(".0." in key or "embeddings" in key for key in trained)
    for freeze, sentence in (
        ("last-3", "at most the 2 layers"),
        ("last", "must be all, none, or last-N"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            build_encoder(name, gray, freeze=freeze)


@pytest.mark.parametrize("family", ["BERT", "GPT-2", "ViT", "wav2vec2", "T5"])
def test_adapters_alone_are_trained_and_begin_as_the_frozen_model(
    family: str, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    one = FAMILIES[family]
    name = saved(one.make, tmp_path)
    frozen = build_encoder(name, one.example, frozen=True).eval()
    encoder = build_encoder(name, one.example, lora=2).eval()
    torch.testing.assert_close(encoder(one.example).pooled, frozen(one.example).pooled)
    features = {"m": one.example}
    model = MultimodalModel({"m": encoder}, Late({"m": 16}, 3))
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    for _ in range(2):  # the first step changes B alone, as B begins at zero
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(features).logits, torch.tensor([0, 2])).backward()
        optimizer.step()
    changed = {key for key, weight in model.state_dict().items() if not weight.equal(before[key])}
    assert {key for key in changed if "lora_A" in key}
    assert all("lora_" in key for key in changed if key.startswith("encoders."))
    again = MultimodalModel({"m": build_encoder(name, one.example, lora=2)}, Late({"m": 16}, 3))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.eval()(features).logits, model.eval()(features).logits)
    with pytest.raises(ArgumentError, match="freeze must be none or all with lora"):
        build_encoder(name, one.example, lora=2, freeze="last-1")


@pytest.mark.parametrize("kappa", [0.0, 0.5])
def test_the_door_scales_the_updates_of_adapters(kappa: float, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    one = FAMILIES["ViT"]
    name = saved(one.make, tmp_path)
    grads = []
    for value in (1.0, kappa):
        torch.manual_seed(3)
        encoder = build_encoder(name, one.example, lora=2)
        model = MultimodalModel({"m": encoder}, Late({"m": 16}, 3)).eval()
        logits = model({"m": one.example}, kappa={"m": value}).logits
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
        weights = dict(model.encoders["m"].named_parameters())
        assert all(w.grad is None for key, w in weights.items() if "lora_" not in key)
        grads.append({key: w.grad for key, w in weights.items() if w.grad is not None})
    assert any(grad.abs().max() > 0 for grad in grads[0].values())
    for key, grad in grads[0].items():
        scaled = grads[1].get(key)
        torch.testing.assert_close(
            torch.zeros_like(grad) if scaled is None else scaled, kappa * grad
        )
