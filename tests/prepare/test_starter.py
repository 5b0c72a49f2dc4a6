"""The first recipe of a store trains with little memory, whatever the size of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import g2d
from g2d.cli import app
from g2d.data.views import Draw, Pool, defaults
from g2d.prepare import write_starter
from g2d.types import Sequence


def facts(kind: str, shape: tuple[int, ...], view: Any, train: int = 100) -> dict[str, Any]:
    rows = {"train": train, "valid": 10, "test": 10}
    signal = {"kind": kind, "shape": list(shape), "view": list(view)}
    return {"modalities": {"x": signal}, "protocols": {"p": {"rows": rows}}}


def starter(folder: Path, *given: Any, **more: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    path = write_starter(folder, facts(*given, **more))
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


@pytest.mark.parametrize(
    ("kind", "shape", "view", "batch", "steps"),
    [
        ("table", (5,), defaults.NUMBERS, 32, None),
        ("sequence", (512, 8), defaults.SEQUENCE, 32, None),
        ("sequence", (20_000, 8), defaults.SEQUENCE, 32, ["standardize", "pool"]),
        ("sequence", (20_000, 100), defaults.SEQUENCE, 4, ["standardize", "pool"]),
        ("image", (128, 128, 3), defaults.PIXELS, 32, None),
        ("image", (1024, 1024, 3), defaults.PIXELS, 32, ["pixels", "resize", "standardize"]),
        ("image", (3, 2000, 2000), defaults.GRID, 2, None),
        ("video", (8, 128, 128, 3), defaults.PIXELS, 32, None),
        (
            "video",
            (64, 1024, 1024, 3),
            defaults.PIXELS,
            8,
            ["pixels", "frames", "resize", "standardize"],
        ),
        ("audio", (160_000,), defaults.sound(16_000), 32, None),
        ("audio", (9_600_000,), defaults.sound(16_000), 3, None),
        ("text", (2000,), defaults.TEXT, 32, None),
    ],
)
def test_rows_of_any_size_fit_into_a_batch(
    tmp_path: Path, kind: str, shape: tuple[int, ...], view: Any, batch: int, steps: Any
) -> None:
    recipe = starter(tmp_path / "s", kind, shape, view)
    assert recipe["train"]["batch_size"] == batch
    views = recipe["data"].get("views")
    assert (None if views is None else [step["name"] for step in views["x"]]) == steps


def test_large_tables_have_large_batches(tmp_path: Path) -> None:
    sizes = [
        starter(tmp_path / str(rows), "table", (4,), (), train=rows)["train"]["batch_size"]
        for rows in (30_000, 100_000, 10**6)
    ]
    assert sizes == [32, 128, 256]


def test_a_recipe_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("mine")
    write_starter(tmp_path, facts("table", (4,), ()))
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_steps_are_averaged_without_padding() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(3, 10, 2)))
    mask = torch.arange(10) < torch.tensor([[10], [4], [0]])
    pooled = Pool(steps=4)(Sequence(values, mask), Draw(0, 0, torch.arange(3), train=False))
    assert pooled.mask.tolist() == [[True] * 4, [True, True, False, False], [False] * 4]
    assert torch.allclose(pooled.values[0, 3], values[0, 9])
    assert torch.allclose(pooled.values[1, 1], values[1, 3])
    assert torch.allclose(pooled.values[0, 1], values[0, 3:6].mean(0))
    other = values.clone()
    other[~mask] = 9.0
    again = Pool(steps=4)(Sequence(other, mask), Draw(0, 0, torch.arange(3), train=False))
    assert torch.equal(again.values, pooled.values), "padding does not matter"


def test_a_sequence_of_twenty_thousand_steps_trains(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    target = np.arange(20) % 2
    signal = rng.normal(size=(20, 20_000, 2)).astype(np.float32) + target[:, None, None]
    np.savez(tmp_path / "a.npz", signal=signal, target=target)
    store = tmp_path / "store"
    prepare = ("data", "prepare", "arrays", "--source", str(tmp_path / "a.npz"))
    done = CliRunner().invoke(app, [*prepare, "--out", str(store), "--workers", "1"])
    assert done.exit_code == 0, done.output
    run = g2d.train(store / "recipe.yaml", tmp_path / "run", epochs=1, progress=False)
    assert 0 <= run.evaluate("test").fused["accuracy"] <= 1
