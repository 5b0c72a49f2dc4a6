"""Figures from run folders: what is drawn is what was recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from g2d.report import confidence_curves, prioritized_modality, unimodal_curves
from g2d.report.figures import write_figures


def run_folder(folder: Path, *, epochs: int = 4, shift: float = 0.0, teachers: bool = True) -> Path:
    """A run folder as training leaves it: image rises, tone stays."""
    folder.mkdir(parents=True)
    with (folder / "metrics.jsonl").open("w") as file:
        for epoch in range(1, epochs + 1):
            train = (
                {
                    "confidence/image": 0.4,
                    "confidence/tone": 0.7,
                    "kappa/image": 1.0,
                    "kappa/tone": float(epoch > 2),
                }
                if teachers
                else {"loss/task": 1.0}
            )
            unimodal = {"image": {"accuracy": 0.1 * epoch + shift}, "tone": {"accuracy": 0.3}}
            file.write(
                json.dumps(
                    {
                        "epoch": epoch,
                        "train": train,
                        "valid": {"fused": {"accuracy": 0.5}, "unimodal": unimodal},
                    }
                )
                + "\n"
            )
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, list[Path]]:
    return {
        name: [run_folder(tmp_path / name / f"seed-{s}", shift=0.05 * s) for s in range(2)]
        for name in ("joint", "g2d")
    }


@pytest.mark.parametrize("draw", [unimodal_curves, confidence_curves, prioritized_modality])
def test_every_figure_is_written_as_svg_and_png(
    runs: dict[str, list[Path]], tmp_path: Path, draw: object
) -> None:
    assert callable(draw)
    svg, png = draw(runs, tmp_path / "out" / "figure")
    assert svg.read_text().startswith("<?xml")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_the_same_numbers_give_the_same_bytes(runs: dict[str, list[Path]], tmp_path: Path) -> None:
    first, again = (
        unimodal_curves(runs, tmp_path / name)[0].read_bytes() for name in ("first", "again")
    )
    assert first == again


def test_other_numbers_give_another_picture(runs: dict[str, list[Path]], tmp_path: Path) -> None:
    other = {"joint": runs["joint"], "g2d": [run_folder(tmp_path / "other", shift=0.3)]}
    assert (
        unimodal_curves(runs, tmp_path / "a")[0].read_bytes()
        != unimodal_curves(other, tmp_path / "b")[0].read_bytes()
    )


def test_a_band_is_drawn_over_seeds_and_none_for_a_single_one(
    runs: dict[str, list[Path]], tmp_path: Path
) -> None:
    def bands(svg: Path) -> int:
        return len(re.findall(r'id="(?:FillBetween)?PolyCollection_\d+"', svg.read_text()))

    single = {name: folders[:1] for name, folders in runs.items()}
    assert bands(unimodal_curves(single, tmp_path / "single")[0]) == 0
    assert bands(unimodal_curves(runs, tmp_path / "seeds")[0]) == 4


def test_a_run_draws_what_it_recorded(tmp_path: Path) -> None:
    with_teachers, without = run_folder(tmp_path / "a"), run_folder(tmp_path / "b", teachers=False)
    assert {path.stem for path in write_figures(with_teachers)} == {
        "unimodal",
        "confidence",
        "prioritized",
    }
    assert {path.stem for path in write_figures(without)} == {"unimodal"}
    assert write_figures(tmp_path / "never trained") == []
