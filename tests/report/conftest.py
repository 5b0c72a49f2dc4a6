"""Run folders written by hand, so that a table's numbers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Make = Callable[..., Path]


def result_of(name: str, seed: int, fused: float, **changed: Any) -> dict[str, Any]:
    modalities = changed.pop("modalities", ["image", "tone"])
    unimodal = {
        m: {"accuracy": fused - 0.1 * (i + 1), "confidence": 0.5, "loss": 1.0}
        for i, m in enumerate(modalities)
    }
    teachers = (
        {
            m: {
                "test": {"accuracy": 0.7, "loss": 1.0, "confidence": 0.6},
                "valid": {"accuracy": 0.7},
                "confidence": {"train": 0.9, "valid": 0.6, "test": 0.6},
                "confidence_ratio": 0.5 / 0.6,
                "epoch": 3,
                "reused": True,
                "seconds": 1.0,
                "folder": m,
            }
            for m in modalities
        }
        if changed.pop("taught", False)
        else {}
    )
    controls = (
        {
            "best_teacher": {"modality": "image", "test": {"accuracy": 0.7}},
            "ensemble": {"test": {"accuracy": 0.75}},
            "ensemble_calibrated": {
                "test": {"accuracy": 0.76},
                "head_weights": {"image": 1.0, "tone": 0.5},
            },
        }
        if teachers
        else {}
    )
    return {
        "schema": 1,
        "name": name,
        "method": name.split("-")[0],
        "fusion": "late",
        "modalities": modalities,
        "task": {"kind": "classification", "classes": ["a", "b", "c"]},
        "data": {
            "name": "toy",
            "protocol": "toy/v1",
            "content_hash": "c" * 64,
            "protocol_hash": "p" * 64,
            "rows": {"train": 10, "valid": 5, "test": 5},
        },
        "seed": seed,
        "teacher_seed": seed,
        "versions": {"g2d": "0.1.0", "torch": "2.13.0"},
        "threads": 1,
        "device": "cpu",
        "epochs": 4,
        "selected_epoch": 3,
        "select_on": "validation",
        "selection_metric": "accuracy",
        "calibrated": False,
        "test": {
            "fused": {"accuracy": fused, "loss": 0.9, "confidence": 0.6},
            "unimodal": unimodal,
            "rows": 5,
            "groups": 5,
        },
        "valid": {"fused": {"accuracy": fused, "loss": 0.9}, "unimodal": unimodal},
        "teachers": teachers,
        "controls": controls,
        "cost": {
            "seconds": 2.0,
            "teacher_seconds": 2.0 if teachers else 0.0,
            "epochs": 4,
            "updates": 40,
            "flops_per_step": 10**8,
            "passes": {
                "encoder_forward": dict.fromkeys(modalities, 1),
                "encoder_backward": dict.fromkeys(modalities, 1),
            },
        },
        "notices": ["The ranking is in doubt: it flips."] if teachers else [],
        "complete": True,
        **changed,
    }


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """``make_run("joint", 0, 0.8)`` writes a finished run and returns its folder."""

    def make(
        name: str, seed: int, fused: float, *, recipe: dict[str, Any] | None = None, **changed: Any
    ) -> Path:
        folder = tmp_path / "runs" / name / f"seed-{seed}"
        folder.mkdir(parents=True)
        result = result_of(name, seed, fused, **changed)
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "recipe.yaml").write_text(
            json.dumps(
                {"name": name, "seed": seed, "method": {"name": result["method"]}, **(recipe or {})}
            )
        )
        rng = np.random.default_rng(seed)
        records = []
        for epoch in range(1, 5):
            alone = {
                m: {"accuracy": 0.2 * epoch + 0.01 * rng.random(), "loss": 1 / epoch}
                for m in result["modalities"]
            }
            train = {
                "loss/task": 1 / epoch,
                **{
                    f"confidence/{m}": 0.2 * epoch
                    for m in result["modalities"]
                    if result["teachers"]
                },
            }
            records.append(
                {
                    "epoch": epoch,
                    "seconds": 0.1,
                    "lr": {},
                    "train": train,
                    "valid": {
                        "fused": {"accuracy": 0.2 * epoch, "loss": 1 / epoch},
                        "unimodal": alone,
                    },
                }
            )
        (folder / "metrics.jsonl").write_text(
            "".join(json.dumps(record) + "\n" for record in records)
        )
        return folder

    return make
