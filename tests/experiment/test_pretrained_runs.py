"""Runs with a Hugging Face model as encoder: what they say, and runs of earlier versions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from g2d.errors import RunError
from g2d.experiment.exporting import export
from g2d.experiment.loading import load
from g2d.experiment.run import run
from g2d.recipe import Recipe
from g2d.runs import RECIPE, read_result
from support.earlier import drop_hashes

transformers = pytest.importorskip("transformers")


def recipe(folder: Path, method: str, **options: Any) -> Recipe:
    """Return a recipe of one epoch with a small ViT without pooler for the image."""
    if not folder.exists():
        torch.manual_seed(0)
        config = transformers.ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
            image_size=SIDE, patch_size=SIDE // 2, num_channels=1,
        )  # fmt: skip
        transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return Recipe.load("digits/small", [f"method={method}", "epochs=1"]).changed(
        encoders={"image": {"name": f"hf:{folder}", **options}, "tone": "mlp"}
    )


SIDE = 16


def test_a_run_says_what_it_took_of_a_model(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    messages: list[str] = []
    given = recipe(tmp_path / "vit", "ogm_ge", lora=1).changed({"train.optimizer": "adamw"})
    result = run(given, tmp_path / "run", say=messages.append, progress=False)
    taken = result.encoders["image"]
    assert taken.startswith("vit for pictures; videos frame by frame; features are the class token")
    assert "adapters of rank 1 in" in taken
    assert f"Encoder of image: {taken}." in messages
    opened = load(tmp_path / "run")
    source = transformers.ViTModel.from_pretrained(tmp_path / "vit").state_dict()
    trained = dict(opened.model.encoders["image"].model.named_parameters())
    moved = [w for key, w in trained.items() if "lora_B" in key and w.abs().max() > 0]
    assert moved
    for key, weight in trained.items():
        plain = key.replace(".base_layer", "")
        if "lora_" not in key and "pooler" not in key:
            assert weight.equal(source[plain])
    scores = opened.evaluate("test").record()["fused"]
    assert scores["accuracy"] == result.test.fused["accuracy"]


def test_a_run_of_an_earlier_version_keeps_its_pooling(tmp_path: Path) -> None:
    then = recipe(tmp_path / "vit", "joint", pool="earlier", frozen=True)
    out = tmp_path / "run"
    before = run(then, out, progress=False, say=lambda _: None)
    content = yaml.safe_load((out / RECIPE).read_text())
    for option in ("pool", "freeze", "lora"):
        del content["encoders"]["image"][option]
    (out / RECIPE).write_text(yaml.safe_dump(content))  # as the earlier version wrote it
    drop_hashes(out)
    opened = load(out)
    assert opened.model.encoders["image"].pool == "earlier"
    assert opened.evaluate("test").record()["fused"] == before.test.fused
    messages: list[str] = []
    now = recipe(tmp_path / "vit", "joint", frozen=True)
    assert now.encoders["image"].options["pool"] == "auto"
    assert run(now, out, say=messages.append) == read_result(out)
    assert f"{out} keeps the pooling of the version that began it for image." in messages
    with pytest.raises(RunError, match=r"encoders.image.pool was 'earlier' and is now 'class'"):
        run(recipe(tmp_path / "vit", "joint", frozen=True, pool="class"), out)


def test_an_exported_run_has_its_pretrained_model(tmp_path: Path) -> None:
    run(recipe(tmp_path / "vit", "joint"), tmp_path / "run", progress=False, say=lambda _: None)
    opened = load(tmp_path / "run")
    batch = opened.source.gather(opened.source.rows("test")[:9])
    seen = opened.source.view(batch, seed=0, epoch=0, train=False)
    before = opened.predict(seen.inputs).output.logits
    export(opened, tmp_path / "model")
    for name in ("vit", "run"):
        shutil.rmtree(tmp_path / name)
    bundle = load((tmp_path / "model").rename(tmp_path / "moved"))
    assert bundle.predict(seen.inputs).output.logits.equal(before)
    for name in ("bundle.json", "README.md"):
        assert str(tmp_path) not in (tmp_path / "moved" / name).read_text()
