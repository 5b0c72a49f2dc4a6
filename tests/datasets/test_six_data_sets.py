"""Every data set of the paper, from its raw layout with broken files in it to a trained and evaluated model, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app
from support import raw_crema_d, raw_iemocap, raw_ur_funny
from support.raw_av_mnist import write_circulating
from support.raw_mis_me import write_mis_me
from support.raw_vggsound import write_vggsound


@dataclass(frozen=True)
class Case:
    """A data set: what writes its raw files, what of them must be skipped and why, what must be told, and what the model is made of."""

    write: Callable[[Path], Mapping[str, str] | None]
    planted: Mapping[str, str] | None
    encoders: Mapping[str, str]
    splits: tuple[int, int, int]
    settings: tuple[str, ...] = ()
    views: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""


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
        raw_crema_d.write_crema_d,
        raw_crema_d.PLANTED,
        {"audio": "cnn", "video": "cnn"},
        (7, 12, 12),
        views=SMALL,
        told="1005_IEO_ANG_XX: its sound is cut off: 0.75 of 1.50 s",
    ),
    "vggsound": Case(
        write_vggsound, None, {"audio": "cnn", "video": "cnn"}, (15, 6, 6), views=SMALL
    ),
    "av_mnist": Case(
        write_circulating,
        {"train_00002": "non-finite"},
        {"audio": "cnn", "image": "cnn"},
        (54, 5, 20),
    ),
    "ur_funny": Case(
        raw_ur_funny.write_ur_funny,
        raw_ur_funny.PLANTED,
        {"audio": "transformer", "visual": "transformer", "text": "transformer"},
        (21, 6, 6),
        ("words=10",),
    ),
    "iemocap": Case(
        raw_iemocap.write_iemocap,
        raw_iemocap.PLANTED,
        {"audio": "cnn", "video": "cnn", "text": "transformer"},
        (28, 8, 8),
        ("frames=2", "side=32"),
    ),
    "mis_me": Case(
        write_mis_me,
        None,
        {"image": "cnn", "table": "mlp"},
        (29, 8, 20),
        ("side=64",),
        {"image": [{"name": "pixels"}, {"name": "resize", "size": 32}]},
    ),
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
    planted = case.write(raw) or case.planted or {}
    prepare = (
        "data",
        "prepare",
        name,
        *case.settings,
        "--source",
        str(raw),
        "--out",
        str(store),
        "--workers",
        "1",
        "--quiet",
    )
    assert "Give" not in g2d(*prepare, code=2)
    told = g2d(*prepare, "--allow-partial")
    facts = json.loads((store / "dataset.json").read_text())
    skipped = {skip["id"]: skip["reason"] for skip in facts["skipped"]}
    assert facts["partial"]
    for sample, reason in planted.items():
        assert skipped[sample] == reason
        assert reason in told
    assert case.told in told
    assert tuple(next(iter(facts["protocols"].values()))["rows"].values()) == case.splits
    assert "0 errors" in g2d("data", "check", str(store))
    recipe = {
        "name": name,
        "data": {
            "name": name,
            "store": "store",
            "root": str(tmp_path),
            **({"views": case.views} if case.views else {}),
        },
        "encoders": {m: {"name": encoder} for m, encoder in case.encoders.items()},
        "fusion": "late",
        "method": "joint",
        "epochs": 1,
        "train": {"batch_size": max(2, case.splits[0] // 2), "optimizer": "adam", "lr": 0.001},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    g2d("train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run"), "--quiet")
    assert "fused" in g2d("evaluate", str(tmp_path / "run"), "--split", "valid")
    several = g2d(
        "evaluate", str(tmp_path / "run"), "--windows", "3", code=0 if name in WINDOWED else 2
    )
    assert "3 windows" in several
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"]["partial"]
    assert result["data"]["content_hash"] == facts["content_hash"]
    assert result["data"]["kept"] == facts["rows"]
    assert np.isfinite(result["test"]["fused"]["loss"])
