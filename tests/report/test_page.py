"""The page: one file that asks for nothing, in words, for one run and for two hundred."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.report import render_page
from g2d.report.curves import epoch_figures
from g2d.report.page import write_page, write_report
from g2d.runs import find_runs, read_run

VOID = {
    "meta",
    "link",
    "br",
    "img",
    "path",
    "line",
    "rect",
    "circle",
    "polyline",
    "polygon",
    "input",
    "hr",
}


class Balanced(HTMLParser):
    """Sees that every tag is closed, and what the page would ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.asked += [
            str(value)
            for name, value in attributes
            if name in ("src", "href", "xlink:href", "data", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def read(text: str) -> Balanced:
    found = Balanced()
    found.feed(text)
    assert not found.open
    return found


def test_a_run_has_a_page_beside_it(make_run: Any) -> None:
    folder = make_run("g2d", 0, 0.7, taught=True)
    assert folder / "report.html" in write_report(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert {address.split(":")[0][:5] for address in read(text).asked} <= {"data", "#"}
    for part in (
        "g2d on toy, seed 0",
        "toy/v1",
        "torch 2.13.0",
        "The ranking is in doubt: it flips.",
        "confidence ratio",
        "Data (CSV)",
    ):
        assert part in text
    assert text.count("<svg") >= 3


def test_what_comes_from_a_recipe_cannot_become_markup(make_run: Any) -> None:
    folder = make_run(
        "joint", 0, 0.5, notices=["<script>alert(1)</script>"], recipe={"name": "</pre><b>bold</b>"}
    )
    text = render_page([read_run(folder)])
    assert "<script" not in text
    assert "</pre><b>" not in text
    read(text)


def test_a_comparison_says_in_words_what_the_interval_allows(make_run: Any, tmp_path: Path) -> None:
    for seed in range(4):
        make_run("joint", seed, 0.50 + 0.01 * (seed % 2))
        make_run("g2d", seed, 0.70 + 0.013 * (seed % 3), taught=True)
    text = render_page(find_runs([tmp_path / "runs"])[0])
    words = re.sub(r"<[^>]+>", " ", text)
    assert (
        "The highest mean is that of a control, teacher ensemble, calibrated, 76.0 %; the highest of what was trained is g2d"
        in words
    )
    assert "stand after correction (p &lt; 0.05); better: g2d" in words
    assert {address[:5] for address in read(text).asked} <= {"data:", "#prob"}


def test_a_diagnosis_that_lies_beside_a_run_is_shown_as_what_it_looks_like(make_run: Any) -> None:
    folder = make_run("joint", 0, 0.5)
    sections = {
        "verdict": ["image is suppressed"],
        "shapley": {
            "image": {"mean": [0.25, 0.2, 0.3], "state": "<suppressed>"},
            "tone": {"mean": [0.75, 0.7, 0.8], "state": "well"},
        },
        "recall_by_class": {"a": {"image": 0.1, "tone": 0.3}},
        "pairs": {"image": [[1, 2], [3, 4]], "tone": "no"},
    }
    (folder / "analysis.json").write_text(json.dumps(sections))
    text = render_page([read_run(folder)])
    read(text)
    for part in (
        "image is suppressed",
        "0.250 [0.200, 0.300]",
        "&lt;suppressed&gt;",
        "<h4>Recall by class</h4>",
        "<summary>numbers</summary>",
    ):
        assert part in text
    plain = render_page([read_run(make_run("other", 0, 0.5))])
    assert "Diagnosis" in text
    assert "Diagnosis" not in plain


def test_two_hundred_runs_make_a_page_under_ten_megabytes(make_run: Any, tmp_path: Path) -> None:
    for recipe in range(40):
        for seed in range(5):
            make_run(f"method{recipe}", seed, 0.5 + 0.001 * recipe + 0.01 * seed, taught=True)
    runs = find_runs([tmp_path / "runs"])[0]
    assert len(runs) == 200
    path = write_page(tmp_path / "report.html", runs)
    assert path.stat().st_size < 10 * 2**20
    read(path.read_text(encoding="utf-8"))


def test_the_command_writes_the_page(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    make_run("g2d", 0, 0.6)
    result = CliRunner().invoke(app, ["report", str(tmp_path / "runs")])
    assert result.exit_code == 0
    assert "2 runs reported in" in result.output
    assert (tmp_path / "runs" / "report.html").is_file()


def test_a_baseline_that_is_no_row_is_refused_and_one_that_is_is_used(
    make_run: Any, tmp_path: Path
) -> None:
    for seed in range(3):
        make_run("joint", seed, 0.50 + 0.01 * seed)
        make_run("umt", seed, 0.70 + 0.013 * (seed % 2))
    folder = str(tmp_path / "runs")
    refused = CliRunner().invoke(app, ["report", folder, "--baseline", "jiont"])
    assert refused.exit_code == 2
    assert "--baseline must be a row of the table (joint, umt), found 'jiont'." in refused.output
    assert not (tmp_path / "runs" / "report.html").exists()
    assert CliRunner().invoke(app, ["report", folder, "--baseline", "umt"]).exit_code == 0
    assert "difference to umt" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")


def test_long_runs_are_thinned_evenly_in_a_large_comparison_and_say_so(
    make_run: Any, tmp_path: Path
) -> None:
    folder = make_run("g2d", 0, 0.5, taught=True)
    (record,) = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][
        -1:
    ]
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({**record, "epoch": epoch}) + "\n" for epoch in range(1, 301))
    )
    whole, thinned = epoch_figures([read_run(folder)]), epoch_figures([read_run(folder)], points=60)
    for figure, short in zip(whole, thinned, strict=True):
        assert [row.split(",")[0] for row in figure.data.splitlines()[1:]] == [
            str(epoch) for epoch in range(1, 301)
        ]
        assert [row.split(",")[0] for row in short.data.splitlines()[1:]] == [
            str(epoch) for epoch in range(1, 301, 5)
        ]
        assert "Every 5 epochs" in short.caption
        assert "Every 5 epochs" not in figure.caption


@pytest.mark.slow
def test_two_hundred_recipes_of_three_hundred_epochs_stay_under_ten_megabytes(
    make_run: Any, tmp_path: Path
) -> None:
    first = make_run("recipe0", 0, 0.5, taught=True)
    (record,) = [json.loads(line) for line in (first / "metrics.jsonl").read_text().splitlines()][
        -1:
    ]
    train = {
        **record["train"],
        **{
            f"{term}/{m}": 0.123456789
            for term in ("loss/feature", "loss/logit", "kappa", "confidence_validation")
            for m in ("image", "tone")
        },
    }
    metrics = "".join(
        json.dumps({**record, "train": train, "epoch": epoch}) + "\n" for epoch in range(1, 301)
    )
    for recipe in range(200):
        folder = first if recipe == 0 else make_run(f"recipe{recipe}", 0, 0.5, taught=True)
        (folder / "metrics.jsonl").write_text(metrics)
    path = write_page(tmp_path / "report.html", find_runs([tmp_path / "runs"])[0])
    assert path.stat().st_size < 10 * 2**20


def test_a_section_of_a_diagnosis_can_say_how_it_is_drawn(make_run: Any) -> None:
    folder = make_run("joint", 0, 0.5)
    points = {"image": [[0.0, 0.1], [0.5, 0.4], [1.0, 0.9]], "tone": [[0.0, 0.2], [1.0, 0.3]]}
    content = {
        "reliability": {
            "points": points,
            "x": "confidence",
            "y": "share of right rows",
            "caption": "dotted: honest",
            "joined": True,
            "diagonal": True,
        }
    }
    content["plane"] = {"points": points, "x": "first", "y": "second"}
    (folder / "analysis.json").write_text(json.dumps(content))
    text = render_page([read_run(folder)])
    plain = render_page([read_run(make_run("umt", 0, 0.5))])
    assert text.count("<svg") == plain.count("<svg") + 2
    assert text.count("<circle") == plain.count("<circle") + 10
    assert "share of right rows" in text
    assert "image,0.5,0.4" in text
    read(text)


def test_alignment_with_the_teachers_is_drawn_where_it_was_recorded(make_run: Any) -> None:
    folder = make_run("g2d", 0, 0.7, taught=True)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        record["train"]["alignment/image"] = 0.1 * record["epoch"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert "Alignment with the teachers" in render_page([read_run(folder)])
