"""Write run folders by hand, so that the numbers of a table are known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.runs import METRICS, RECIPE, RESULT, Result

Make = Callable[..., Path]
STARTS = count(1)
"""Times at which written runs were started, in seconds."""


def result_of(name: str, seed: int, fused: float, **changed: Any) -> Result:
    """Return the result of a run with the given fused accuracy; see :func:`plain_result`."""
    return Result.model_validate(plain_result(name, seed, fused, **changed))


def plain_result(name: str, seed: int, fused: float, **changed: Any) -> dict[str, Any]:
    """Return the plain content of ``result.json``.

    Args:
        name: Name of the recipe; the method is the part before the first hyphen.
        seed: Seed of the run and of its teachers.
        fused: Test accuracy of all modalities; the i-th modality alone has 0.1 i less.
        changed: Further entries; ``with_teachers=True`` adds teachers and controls.
    """
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
        if changed.pop("with_teachers", False)
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
            "epochs": 4,
            "updates": 40,
            "flops_per_step": 10**8,
            "passes": {
                "encoder_forward": dict.fromkeys(modalities, 1),
                "encoder_backward": dict.fromkeys(modalities, 1),
            },
            "teacher_seconds": 2.0 if teachers else 0.0,
        },
        "notices": ["The ranking is in doubt: it flips."] if teachers else [],
        "complete": True,
        **changed,
    }


def write_run(
    folder: Path,
    name: str,
    seed: int,
    fused: float,
    *,
    recipe: dict[str, Any] | None = None,
    **changed: Any,
) -> Path:
    """Write a finished run of four epochs and return its folder.

    Args:
        folder: The run folder.
        name: Name of the recipe.
        seed: Seed of the run.
        fused: Test accuracy of all modalities.
        recipe: Entries of ``recipe.yaml`` that replace the default ones.
        changed: Entries of ``result.json``, as for :func:`plain_result`.
    """
    folder.mkdir(parents=True)
    result = plain_result(name, seed, fused, **changed)
    (folder / RESULT).write_text(json.dumps(result))
    given = {"name": name, "seed": seed, "method": {"name": result["method"]}, **(recipe or {})}
    (folder / RECIPE).write_text(json.dumps(given))
    started = next(STARTS)
    os.utime(folder / RECIPE, (started, started))
    rng = np.random.default_rng(seed)
    lines = [json.dumps(_record(epoch, result, rng)) for epoch in range(1, 5)]
    (folder / METRICS).write_text("".join(line + "\n" for line in lines))
    return folder


def _record(epoch: int, result: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    modalities = result["modalities"]
    taught = modalities if result["teachers"] else []
    alone = {
        m: {"accuracy": 0.2 * epoch + 0.01 * rng.random(), "loss": 1 / epoch} for m in modalities
    }
    return {
        "epoch": epoch,
        "seconds": 0.1,
        "lr": {},
        "train": {"loss/task": 1 / epoch, **{f"confidence/{m}": 0.2 * epoch for m in taught}},
        "valid": {"fused": {"accuracy": 0.2 * epoch, "loss": 1 / epoch}, "unimodal": alone},
    }


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Return a function: ``make_run("joint", 0, 0.8)`` writes a run and returns its folder."""

    def make(name: str, seed: int, fused: float, **changed: Any) -> Path:
        return write_run(tmp_path / "runs" / name / f"seed-{seed}", name, seed, fused, **changed)

    return make
