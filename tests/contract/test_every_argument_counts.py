"""Every argument of every method and modulation changes the trained model or its predictions.

Arguments and choices are read from the constructors, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from g2d.method import Method, Modulation, Validation
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS, PartialSuppression
from g2d.types import Batch
from support.workbench import Bench, predicted, takes

WRITTEN_OUT = Path(__file__).parents[1] / "methods"
KINDS: dict[str, type[Method | Modulation]] = {**METHODS, **MODULATIONS}

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
        "permutations": 1,
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
    "smp": {
        "tau": (0, 4),
        "ranking": "validation",
        "gate_heads": True,
        "freeze_batchnorm": True,
    },
    "partial_suppression": {
        "epochs": 2,
        "scores": "student",
        "alpha": 0.3,
        "scope": "conv_only",
        "modulate": "update",
        "gate_heads": True,
        "freeze_batchnorm": True,
    },
}
"""Per method or modulation and argument, a value that differs from the default."""

WITHOUT_EFFECT = {("smp", "modulate")}
"""Arguments without effect: coefficients of 0 and 1 mean the same whatever they scale."""

AROUND: dict[tuple[str, str], dict[str, Any]] = {
    ("g2d", "modulation"): {"tau": None},
    ("agm", "clip"): {"alpha": 50.0, "cap": None},
    ("agm", "after_window"): {"window": (1, 1)},
    ("pmr", "entropy_epochs"): {"window": None},
    ("pmr", "momentum"): {"window": None},
    ("mses", "smoothing"): {"patience": 0},
    ("mses", "restore"): {"patience": 0},
    ("mslr", "strategy"): {"queue": 1},
    ("mslr", "blend"): {"strategy": "smooth"},
    ("mslr", "queue"): {"strategy": "dynamic"},
    ("dlmg", "weights"): {"schedule": "constant"},
    ("dlmg", "rate"): {"schedule": "learned"},
}
"""Other options without which an argument has no effect."""

THREE = {
    ("g2d", "ranking"),
    ("smp", "ranking"),
    ("ogm_ge", "against"),
    *(("g2d_released", argument) for argument in CHANGED["g2d_released"]),
}
"""Arguments that have no effect here with two modalities."""

EVERY = [(name, argument) for name, changed in CHANGED.items() for argument in changed]

CHOICES = [
    (name, argument, get_args(hint))
    for name, kind in KINDS.items()
    for argument, hint in get_type_hints(kind.__init__).items()
    if get_origin(hint) is Literal
    and len(get_args(hint)) > 2
    and argument != "ranking"
    and (name, argument) not in WITHOUT_EFFECT
]
"""Arguments with more than two choices.

Rankings are compared in ``methods/test_written_out_single_pass.py``, where every epoch has other
rows.
"""

EQUAL = {("auto", "gradient")}
"""Choices that are the same under SGD."""


class Wavering(Bench):
    """A bench whose validation losses rise and fall, and whose last batch can lack sight."""

    def rows(self, split: str = "train", size: int = 12, **share: int) -> Iterator[Batch]:
        """Yield batches; if rows lack modalities, all rows of the last batch lack sight."""
        batches = list(super().rows(split, size, **share))
        if batches[-1].present is not None:
            batches[-1].present["sight"][:] = False
        yield from batches

    def validation(self, epoch: int) -> Validation:
        losses = {
            m: (1.0, 0.5, 0.55, 0.4)[epoch - 1] if m == "sight" else 1 / epoch
            for m in self.modalities
        }
        return Validation(1.0, 0.5, losses, {m: 0.5 / loss for m, loss in losses.items()})


def result(name: str, k: int, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the model's weights and buffers and the predictions after four epochs.

    A modulation is tried with UMT, whose loss it does not change, on rows that lack modalities.
    """
    if takes(KINDS[name], "tau"):
        options = {"tau": (1, 1, 2)[3 - k :]} | options
    absent = name in MODULATIONS
    if absent:
        name, options = "umt", {"modulation": MODULATIONS[name](**options)}
    regression = "classification" not in METHODS[name].tasks
    bench = Wavering(name, k, options, batchnorm=True, regression=regression, absent=absent)
    torch.manual_seed(0)
    model, method, _ = bench.train(range(1, 5))
    output = predicted(method, model, next(bench.rows("valid")))
    unimodal = {f"unimodal/{m}": z for m, z in (output.unimodal_logits or {}).items()}
    return {**model.state_dict(), **unimodal, "fused": output.logits}


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Return whether a value that two results share differs."""
    assert a.keys() == b.keys()
    return any(not torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", KINDS)
def test_every_argument_is_listed(name: str) -> None:
    arguments = set(inspect.signature(KINDS[name]).parameters) - {"teachers"}
    if name != "g2d":
        arguments -= {"modulation"}  # the same for all; only G²D has a modulation to replace
    assert set(CHANGED[name]) == {a for a in arguments if (name, a) not in WITHOUT_EFFECT}


@pytest.mark.parametrize("name", [name for name in CHANGED if name != "ume"])
def test_every_argument_has_a_step_that_is_written_out(name: str) -> None:
    """UME takes no steps."""
    kind = rf"(\bcompare\(\s*|\W){KINDS[name].__name__}[,(]"
    texts = [path.read_text() for path in WRITTEN_OUT.glob("test_written_out_*.py")]
    text = "".join(text for text in texts if re.search(kind, text))
    left_out = {a for a in CHANGED[name] if not re.search(rf'"{a}"|\b{a}=', text)}
    assert left_out == set()


@pytest.mark.parametrize(("name", "argument"), EVERY)
def test_every_argument_changes_the_result(name: str, argument: str) -> None:
    around = AROUND.get((name, argument), {})
    k = 3 if (name, argument) in THREE else 2
    before = result(name, k, around)
    after = result(name, k, around | {argument: CHANGED[name][argument]})
    assert differ(before, after), f"{argument} has no effect"


@pytest.mark.parametrize(("name", "argument", "choices"), CHOICES)
def test_no_two_choices_of_an_argument_are_the_same(
    name: str, argument: str, choices: tuple[str, ...]
) -> None:
    around = AROUND.get((name, argument), {})
    results = {choice: result(name, 3, around | {argument: choice}) for choice in choices}
    same = {pair for pair in combinations(choices, 2) if not differ(*(results[c] for c in pair))}
    assert same <= EQUAL


@pytest.mark.parametrize(("name", "argument"), WITHOUT_EFFECT)
def test_an_argument_that_is_listed_without_effect_has_none(name: str, argument: str) -> None:
    assert not differ(*(result(name, 2, {argument: by}) for by in ("gradient", "update")))
