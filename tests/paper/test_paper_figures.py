"""Figures of the paper: panels with one axis, drawn from what was recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from g2d.paper import draw_panels
from g2d.paper.figures import panels
from g2d.runs import METRICS, RunRecord, read_run
from support.written_runs import write_run


def recorded(folder: Path, *, shift: float = 0.0, teachers: bool = True) -> RunRecord:
    """Write a run of four epochs: image rises, tone stays."""
    write_run(folder, folder.parent.name, 0, 0.5)
    epochs = []
    for epoch in range(1, 5):
        train = {"loss/task": 1.0}
        if teachers:
            train |= {f"confidence/{m}": 0.4 for m in ("image", "tone")}
            train |= {"kappa/image": 1.0, "kappa/tone": float(epoch > 2)}
        unimodal = {"image": {"accuracy": 0.1 * epoch + shift}, "tone": {"accuracy": 0.3}}
        valid = {"fused": {"accuracy": 0.5}, "unimodal": unimodal}
        epochs.append(json.dumps({"epoch": epoch, "train": train, "valid": valid}) + "\n")
    (folder / METRICS).write_text("".join(epochs))
    return read_run(folder)


@pytest.fixture
def recipes(tmp_path: Path) -> dict[str, list[RunRecord]]:
    return {
        name: [recorded(tmp_path / name / f"seed-{s}", shift=0.05 * s) for s in range(2)]
        for name in ("joint", "g2d")
    }


def test_panels_share_one_axis_and_are_small(recipes: dict[str, list[RunRecord]]) -> None:
    drawing = panels(recipes, "unimodal")
    assert drawing is not None
    assert len(drawing.standalone()) < 20_000
    first, second = drawing.content.split("<g ")[1:]

    def ticks(panel: str) -> list[str]:
        return re.findall(r'class="ax e"[^>]*>([\d.]+)<', panel)

    assert ticks(first) == ticks(second) != []
    assert drawing.content.count('class="band') == 2


def test_the_prioritized_modality_jumps_between_epochs(
    recipes: dict[str, list[RunRecord]],
) -> None:
    drawing = panels(recipes, "prioritized")
    assert drawing is not None
    lines = re.findall(r'class="line s1" d="([^"]+)"', drawing.content)
    assert len(lines) == 2
    for line in lines:
        assert "L" not in line
        assert len(set(re.findall(r"V([\d.]+)", line))) == 2


def test_the_same_numbers_give_the_same_bytes(
    recipes: dict[str, list[RunRecord]], tmp_path: Path
) -> None:
    first, again = (draw_panels(recipes, tmp_path / name) for name in ("first", "again"))
    assert [path.name for path in first] == ["unimodal.svg", "confidence.svg", "prioritized.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = draw_panels({"g2d": recipes["g2d"][1:]}, tmp_path / "other")
    assert first[0].read_bytes() != other[0].read_bytes()


def test_only_recorded_values_are_drawn(tmp_path: Path) -> None:
    without = {"joint": [recorded(tmp_path / "joint" / "seed-0", teachers=False)]}
    assert [path.stem for path in draw_panels(without, tmp_path / "out")] == ["unimodal"]
    (tmp_path / "joint" / "seed-0" / METRICS).unlink()
    never = {"joint": [read_run(tmp_path / "joint" / "seed-0")]}
    assert draw_panels(never, tmp_path / "out") == []
