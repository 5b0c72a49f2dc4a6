"""Every constructor argument of every method changes the trained model or its predictions."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from g2d.methods import METHODS
from g2d.modulations import PartialSuppression
from support.workbench import Bench, predicted, takes, weights

CHANGED: dict[str, dict[str, Any]] = {
    "joint": {"unimodal": 1.0},
    "umt": {"weight": 2.0, "reduction": "sum"},
    "ume": {"combine": "probabilities"},
    "g2d": {
        "tau": (0, 4),
        "alpha": 2.0,
        "beta": {"sight": 2.0, "sound": 1.0},
        "temperature": 2.0,
        "reduction": "sum",
        "ranking": "validation",
        "gate_heads": True,
        "freeze_batchnorm": True,
        "modulation": PartialSuppression(),
    },
    "g2d_released": {
        "tau": (0, 0, 4),
        "alpha": 2.0,
        "beta": 2.0,
        "extra_epoch": False,
        "init": "released",
    },
    "mses": {"patience": 0, "weight": 0.5, "smoothing": 0.6, "restore": "model"},
    "mslr": {"strategy": "smooth", "coefficients": {"sight": 2.0}, "blend": 0.9, "queue": 1},
    "ogm_ge": {
        "alpha": 0.1,
        "noise": False,
        "against": "min",
        "window": (0.0, 1.0),
        "scope": "conv_only",
        "modulate": "update",
    },
    "agm": {
        "alpha": 1.0,
        "cap": 0.0,
        "window": (0.0, 0.5),
        "after_window": "keep",
        "coalitions": "eval",
        "absent": "feature_mean",
        "clip": 0.01,
        "modulate": "update",
    },
    "pmr": {
        "alpha": 2.0,
        "mu": 0.1,
        "entropy_epochs": 2,
        "momentum": 0.9,
        "fraction": 0.25,
        "window": (0.0, 1.0),
        "weighting": "full",
        "readout": "prototypes",
    },
    "mla": {
        "order": ("sound", "sight"),
        "projection": False,
        "update_first": True,
        "normalize": True,
        "weights": {"sight": 0.5, "sound": 0.5},
        "skip_first_turn": True,
    },
    "mmpareto": {"gamma": 1.0, "norm_scope": "encoder", "modulate": "update"},
    "reconboost": {
        "phases": (2, 1),
        "weights": (4.0, 1.0),
        "alpha": 1.0,
        "hidden": 9,
        "class_mean": False,
        "pretrained": True,
        "members": "all",
        "order": ("sound", "sight"),
    },
    "dlmg": {"schedule": "heuristic", "matching": "js", "weights": (0.9, 0.1), "rate": 50.0},
    "mis_me": {"approach": "concat", "delta": 0.5, "gamma": 0.5},
}
"""Per method and argument, a value that differs from the default."""

AROUND: dict[tuple[str, str], dict[str, Any]] = {
    ("g2d", "modulation"): {"tau": None},
    ("agm", "clip"): {"alpha": 50.0, "cap": None},
    ("agm", "after_window"): {"window": (1, 1)},
    ("pmr", "entropy_epochs"): {"window": None},
    ("pmr", "momentum"): {"window": None},
    ("mslr", "blend"): {"strategy": "smooth"},
    ("mslr", "queue"): {"strategy": "dynamic"},
    ("dlmg", "weights"): {"schedule": "constant"},
    ("dlmg", "rate"): {"schedule": "learned"},
}
"""Other options without which an argument has no effect."""

THREE = {
    ("g2d", "ranking"),
    ("ogm_ge", "against"),
    *(("g2d_released", argument) for argument in CHANGED["g2d_released"]),
}
"""Arguments that have no effect here with two modalities."""

EVERY = [(name, argument) for name, changed in CHANGED.items() for argument in changed]


def result(name: str, k: int, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return weights, buffers and predictions after four epochs."""
    regression = "classification" not in METHODS[name].tasks
    tau = {"tau": (1, 1, 2)[3 - k :]} if takes(METHODS[name], "tau") else {}
    bench = Bench(name, k=k, batchnorm=True, regression=regression, options=tau | options)
    torch.manual_seed(0)
    model, method, _ = bench.train(range(1, 5))
    output = predicted(method, model, next(bench.rows("valid")))
    unimodal = {f"unimodal/{m}": z for m, z in (output.unimodal_logits or {}).items()}
    return weights(model, method) | unimodal | {"fused": output.logits}


@pytest.mark.parametrize("name", METHODS)
def test_every_argument_is_listed(name: str) -> None:
    arguments = set(inspect.signature(METHODS[name]).parameters) - {"teachers"}
    if name != "g2d":
        arguments -= {"modulation"}  # the same for all; only G²D has a modulation to replace
    assert set(CHANGED[name]) == arguments


@pytest.mark.parametrize(("name", "argument"), EVERY)
def test_every_argument_changes_the_result(name: str, argument: str) -> None:
    around = AROUND.get((name, argument), {})
    k = 3 if (name, argument) in THREE else 2
    before = result(name, k, around)
    after = result(name, k, around | {argument: CHANGED[name][argument]})
    same = before.keys() == after.keys() and all(
        torch.equal(before[key], after[key]) for key in before
    )
    assert not same, f"{argument} has no effect"
