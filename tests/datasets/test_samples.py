"""Every data set, from a made-up sample with broken files to a trained and evaluated model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app


@dataclass(frozen=True)
class Case:
    """Expectations about the sample of a data set.

    Args:
        encoders: Encoder of each modality.
        splits: Training, validation and test rows.
        settings: Options of the preparation.
        views: Views of the recipe.
        warning: Warning that the preparation must print.
    """

    encoders: Mapping[str, str]
    splits: tuple[int, int, int]
    settings: tuple[str, ...] = ()
    views: Mapping[str, Any] = field(default_factory=dict)
    warning: str = ""


SMALL = {
    "video": [
        {"name": "pixels"},
        {"name": "frames", "count": 1},
        {"name": "crop", "size": 32},
        {"name": "flip"},
    ]
}
CASES = {
    "crema_d": Case(
        {"audio": "cnn", "video": "cnn"},
        (7, 12, 12),
        views=SMALL,
        warning="1005_IEO_ANG_XX: its sound is cut off: 0.75 of 1.50 s",
    ),
    "vggsound": Case({"audio": "cnn", "video": "cnn"}, (15, 6, 6), views=SMALL),
    "av_mnist": Case({"audio": "cnn", "image": "cnn"}, (54, 5, 20)),
    "ur_funny": Case(
        {"audio": "transformer", "visual": "transformer", "text": "transformer"},
        (21, 6, 6),
        ("words=10",),
    ),
    "iemocap": Case(
        {"audio": "cnn", "video": "cnn", "text": "transformer"},
        (28, 8, 8),
        ("frames=2", "side=32"),
    ),
    "mis_me": Case(
        {"image": "cnn", "table": "mlp"},
        (29, 8, 20),
        ("side=64",),
        {"image": [{"name": "pixels"}, {"name": "resize", "size": 32}]},
    ),
    "grid_av": Case(
        {"audio": "cnn", "video": "cnn"},
        (5, 1, 1),
        warning="bbaa2n: its video is cut off: 45 of 75 frames",
    ),
    "houses": Case(
        {"image": "cnn", "table": "mlp"},
        (11, 4, 3),
        views={"image": [{"name": "pixels"}, {"name": "resize", "size": 32}]},
    ),
    "mosi": Case({"audio": "mlp", "video": "mlp", "text": "transformer"}, (19, 1, 4)),
    "mmmo": Case({"audio": "transformer", "video": "transformer"}, (3, 3, 3)),
}
WINDOWED = {"vggsound"}
"""Data sets that are seen through a time window."""


def g2d(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("name", CASES)
def test_raw_files_become_a_store_that_trains(name: str, tmp_path: Path) -> None:
    case, raw, store = CASES[name], tmp_path / "raw", tmp_path / "store"
    planted = import_module(f"g2d.datasets.{name}.sample").write_sample(raw)
    prepare = ("data", "prepare", name, *case.settings, "--source", str(raw), "--out", str(store))
    prepare += ("--workers", "1", "--quiet")
    assert "Give" not in g2d(*prepare, code=2)
    printed = g2d(*prepare, "--allow-partial")
    facts = json.loads((store / "dataset.json").read_text())
    skipped = {skip["id"]: skip["reason"] for skip in facts["skipped"]}
    assert facts["partial"]
    for sample, reason in planted.items():
        assert skipped[sample] == reason
        assert reason in printed
    assert case.warning in printed
    assert tuple(next(iter(facts["protocols"].values()))["rows"].values()) == case.splits
    assert "0 errors" in g2d("data", "check", str(store))
    data = {"name": name, "store": "store", "root": str(tmp_path)}
    recipe = {
        "name": name,
        "data": data | ({"views": case.views} if case.views else {}),
        "encoders": {m: {"name": encoder} for m, encoder in case.encoders.items()},
        "fusion": "late",
        "method": "joint",
        "epochs": 1,
        "train": {"batch_size": max(2, case.splits[0] // 2), "optimizer": "adam", "lr": 0.001},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    g2d("train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run"), "--quiet")
    assert "fused" in g2d("evaluate", str(tmp_path / "run"), "--split", "valid")
    windows = ("evaluate", str(tmp_path / "run"), "--windows", "3")
    assert "3 windows" in g2d(*windows, code=0 if name in WINDOWED else 2)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"]["partial"]
    assert result["data"]["content_hash"] == facts["content_hash"]
    assert result["data"]["kept"] == facts["rows"]
    assert np.isfinite(result["test"]["fused"]["loss"])
