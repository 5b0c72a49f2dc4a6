"""The controls without deep learning: a constant, and a linear model on pooled inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from g2d.data import Source
from g2d.engine.linear import plain_controls
from g2d.engine.pooled import BUCKETS, pooled, pooled_rows
from g2d.task import Regression
from g2d.types import Sequence

ROWS = 240
RNG = np.random.default_rng(0)
CLASS = RNG.integers(0, 3, ROWS)
SPLIT = np.array(["train", "train", "train", "valid", "test"] * (ROWS // 5))


def picture() -> NDArray[np.uint8]:
    """Return pictures whose class is which third of the rows is bright."""
    values = RNG.integers(0, 80, (ROWS, 24, 12, 3))
    for i, label in enumerate(CLASS):
        values[i, 8 * label : 8 * label + 8] += 100
    return values.astype(np.uint8)


def sound() -> NDArray[np.int16]:
    """Return sound whose class is its pitch, at a random phase."""
    t = np.arange(1600) / 8000
    phase = RNG.uniform(0, 6, (ROWS, 1))
    wave = np.sin(2 * np.pi * np.array([400, 900, 2000])[CLASS][:, None] * t + phase)
    return (8000 * wave + 1000 * RNG.standard_normal((ROWS, 1600))).astype(np.int16)


def text() -> NDArray[np.str_]:
    """Return texts whose class is one of their words, at a random place."""
    words = np.array(["cat", "dog", "cow"])[CLASS]
    pairs = ((word, f"other{RNG.integers(5)}") for word in words)
    return np.array([" ".join(RNG.permutation(pair)) for pair in pairs])


def numbers() -> NDArray[np.float32]:
    """Return numbers of different units, one of which rises with the class; some are missing."""
    values = RNG.standard_normal((ROWS, 4)) * [1, 100, 0.01, 0] + [0, 500, 0, 7]
    values[:, 2] += 0.05 * CLASS
    values[RNG.random(ROWS) < 0.1, 0] = np.nan
    return values.astype(np.float32)


def sequence() -> NDArray[np.float32]:
    """Return sequences whose class is the mean of one of their values."""
    values = RNG.standard_normal((ROWS, 6, 2)) + 2 * CLASS[:, None, None] * [0, 1]
    return values.astype(np.float32)


KINDS: dict[str, Any] = {
    "picture": picture(),
    "sound": sound(),
    "text": text(),
    "numbers": numbers(),
    "sequence": sequence(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_is_learned_from_alone(kind: str) -> None:
    source = Source.from_arrays(
        {kind: KINDS[kind]},
        CLASS,
        split=SPLIT,
        kinds={"sequence": "sequence"} if kind == "sequence" else {},
        rate=8000 if kind == "sound" else None,
    )
    controls = plain_controls(source)
    most = np.bincount(CLASS[SPLIT == "train"]).argmax()
    expected = (CLASS[SPLIT == "test"] == most).mean()
    assert controls["constant"]["test"]["accuracy"] == pytest.approx(expected)
    assert controls["linear"]["test"]["accuracy"] > 0.9
    assert controls["linear"]["unimodal"][kind] == controls["linear"]["test"]


def test_modalities_together_know_more_than_each_and_rows_may_lack_some() -> None:
    side = CLASS == 2
    low = (CLASS == 0).astype(np.float32)[:, None] + 0.3 * RNG.standard_normal((ROWS, 1))
    high = side.astype(np.float32)[:, None] + 0.3 * RNG.standard_normal((ROWS, 1))
    has = RNG.random(ROWS) < 0.8
    source = Source.from_arrays({"low": low, "high": high, "high.present": has}, CLASS, split=SPLIT)
    linear = plain_controls(source)["linear"]
    alone = {m: values["accuracy"] for m, values in linear["unimodal"].items()}
    assert linear["test"]["accuracy"] > max(alone.values()) + 0.03
    assert max(alone.values()) < 0.85
    assert set(linear["strengths"]) == {"low", "high", "all"}


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_values_are_predicted_in_the_scale_of_the_targets(output: Any) -> None:
    x = RNG.uniform(-1, 1, (ROWS, 3)).astype(np.float32)
    y = 0.5 + 0.2 * x[:, :1] + 0.1 * x[:, 1:2]
    source = Source.from_arrays({"x": x}, y.astype(np.float32), split=SPLIT)
    assert source.task.kind == "regression"
    source.task = Regression(1, output=output, low=10.0, high=20.0, variance=0.02)
    source._content_hash = output  # as another data set
    controls = plain_controls(source)
    assert controls["constant"]["test"]["r2"] == pytest.approx(0, abs=0.1)
    assert controls["linear"]["test"]["r2"] > 0.99


def test_several_labels_have_a_model_each_and_one_that_never_changes_its_frequency() -> None:
    x = RNG.standard_normal((ROWS, 2)).astype(np.float32)
    target = np.column_stack([x[:, 0] > 0, x[:, 1] > 0.5, np.zeros(ROWS, bool)])
    source = Source.from_arrays({"x": x}, target, split=SPLIT)
    controls = plain_controls(source)
    assert controls["linear"]["test"]["micro_f1"] > 0.9
    assert controls["constant"]["test"]["micro_f1"] < 0.7


def test_a_class_without_training_rows_and_a_single_class_are_no_fault() -> None:
    x = RNG.standard_normal((ROWS, 2)).astype(np.float32)
    rare = np.where((SPLIT == "test") & (CLASS == 0), 2, (x[:, 0] > 0).astype(int))
    controls = plain_controls(Source.from_arrays({"x": x}, rare, split=SPLIT))
    assert 0.5 < controls["linear"]["test"]["accuracy"] < 0.9
    single = np.where(SPLIT == "test", CLASS, 1)
    controls = plain_controls(Source.from_arrays({"x": x}, single, split=SPLIT))
    assert controls["linear"]["test"] == controls["constant"]["test"]


def test_the_test_rows_decide_nothing() -> None:
    x = KINDS["numbers"]
    changed = np.where(SPLIT == "test", RNG.permutation(CLASS), CLASS)
    first, second = (
        plain_controls(Source.from_arrays({"x": x}, target, split=SPLIT))["linear"]["strengths"]
        for target in (CLASS, changed)
    )
    assert first == second


def test_pooling_is_the_mean_over_real_steps_cells_and_frames() -> None:
    steps = Sequence(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]]))
    assert pooled(steps)[0].tolist() == [[2.0]]
    film = torch.arange(2.0)[None, None, :, None, None].expand(1, 1, 2, 16, 16)
    assert pooled(film)[0].tolist() == [[0.5] * 64]
    bands = torch.tensor([[[[1.0, 3.0], [5.0, 5.0]]]])
    assert pooled(bands, "spectrogram")[0].tolist() == [[2.0, 5.0, 1.0, 0.0]]
    counts, counted = pooled(torch.tensor([[7, 7, BUCKETS + 1, 0]]))
    assert counted
    assert (counts[0, 7], counts[0, 1], counts.sum()) == (2, 1, 3)
    assert pooled(torch.tensor([[float("nan"), float("inf")]]))[0].tolist() == [[0.0, 0.0]]


def test_of_many_rows_evenly_spread_ones_are_read() -> None:
    x = np.arange(1000, dtype=np.float32)[:, None]
    source = Source.from_arrays(
        {"x": x}, np.arange(1000) % 2, split=["train"] * 900 + ["valid"] * 100
    )
    assert len(pooled_rows(source, "train", 10).target) == 10
    assert len(pooled_rows(source, "valid", 1000).target) == 100
    assert len(source.rows("train")) == 900
