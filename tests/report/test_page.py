"""The page: one file that requests nothing, for one run and for two hundred."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.report import groups_of, lines, page, write_page, write_report
from g2d.report.curves import epoch_figures
from g2d.report.page import chapters_of, render_page
from g2d.runs import RunRecord, find_runs, grouping, read_run

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
    """Parser that verifies that every tag is closed, and collects what the page would request."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.addresses += [
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
    parser = Balanced()
    parser.feed(text)
    assert not parser.open
    return parser


def page_of(*runs: RunRecord) -> str:
    groups = groups_of(runs)
    return render_page(groups, chapters_of(groups))


def test_a_run_gets_a_page_and_its_charts(make_run: Any) -> None:
    folder = make_run("g2d", 0, 0.7, with_teachers=True)
    written = {str(path.relative_to(folder)) for path in write_report(folder)}
    charts = {f"figures/{name}.svg" for name in ("unimodal", "confidence", "loss")}
    assert written == {"report.html"} | charts
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert {address.split(":")[0][:5] for address in read(text).addresses} <= {"data", "#"}
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
    text = page_of(read_run(folder))
    assert "<script" not in text
    assert "</pre><b>" not in text
    read(text)


def test_a_comparison_is_summarized_in_words(make_run: Any, tmp_path: Path) -> None:
    for seed in range(4):
        make_run("joint", seed, 0.50 + 0.01 * (seed % 2))
        make_run("g2d", seed, 0.70 + 0.013 * (seed % 3), with_teachers=True)
    text = page_of(*find_runs([tmp_path / "runs"])[0])
    words = re.sub(r"<[^>]+>", " ", text)
    assert (
        "The highest mean is that of a control, teacher ensemble, calibrated, 76.0 %; "
        "the highest of the trained recipes is g2d"
    ) in words
    assert "significant after correction (p &lt; 0.05); better: g2d" in words
    assert {address[:5] for address in read(text).addresses} <= {"data:", "#prob"}


def test_a_diagnosis_is_on_the_page_in_the_units_of_the_tables(make_run: Any) -> None:
    folder = make_run("joint", 0, 0.5)
    points = {"image": [[0.0, 0.1], [0.5, 0.4], [1.0, 0.9]], "tone": [[0.0, 0.2], [1.0, 0.3]]}
    content = {
        "verdict": ["image is <suppressed>"],
        "modalities": {
            "image": {
                "inside the model": 0.475,
                "gap": [0.305, 0.267, 0.344],
                "confidence ratio": [0.63, 0.59, 0.67],
                "loss without it": 0.238,
                "Shapley value": 1.77,
                "state": "suppressed",
            }
        },
        "recall_by_class": {"a": {"image": 0.125, "tone": 0.375}},
        "score_of_every_subset": {"none": 0.103, "image + tone": 0.522},
        "calibrated_heads": {"weight of image": 4.5454, "fused after": 0.61},
        "reliability": {"points": points, "x": "confidence", "y": "share", "joined": True},
        "score_under_noise": {"points": points, "x": "noise", "y": "accuracy"},
    }
    (folder / "analysis.json").write_text(json.dumps(content))
    text = page_of(read_run(folder))
    read(text)
    for part in (
        "image is &lt;suppressed&gt;",
        "47.5",
        "30.5 [26.7, 34.4]",
        "0.63 [0.59, 0.67]",
        "1.77",
        "12.5",
        "52.2",
        "4.55",
        "61.0 %",
        "share (%)",
        "image,0.5,40",
    ):
        assert part in text
    plain = page_of(read_run(make_run("other", 0, 0.5)))
    assert "Diagnosis" in text
    assert "Diagnosis" not in plain
    assert text.count("<svg") == plain.count("<svg") + 2


def test_a_summary_leaves_the_judgment_of_modalities_to_the_verdict(make_run: Any) -> None:
    folder = make_run("joint", 0, 0.75, with_teachers=True)
    summary = "joint leaves no modality clearly below what its teacher learns alone"
    assert summary not in page_of(read_run(folder))
    assert "joint leaves tone at 55.0 % (its teacher alone: 70.0 %)" in page_of(read_run(folder))
    content = {
        "verdict": ["image is suppressed"],
        "split": "valid",
        "modalities": {"image": {"gap": [0.06, 0.055, 0.065], "state": "suppressed"}},
    }
    (folder / "analysis.json").write_text(json.dumps(content))
    text = page_of(read_run(folder))
    assert "joint leaves" not in text
    assert "image is suppressed" in text
    assert "Verdict on the rows of valid" in text
    assert "Controls that need no multimodal training reach more" in text


def test_a_page_groups_its_runs_once(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        make_run("joint", seed, 0.5)
        make_run("g2d", seed, 0.6, with_teachers=True)
    calls: list[str] = []

    def counted(module: Any, name: str) -> None:
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: [calls.append(name), original(*given)][1])

    counted(grouping, "_by_recipe")
    counted(lines, "lines_of")
    counted(page, "comparison_table")
    assert CliRunner().invoke(app, ["report", str(tmp_path / "runs")]).exit_code == 0
    assert sorted(calls) == ["_by_recipe", "lines_of"]


def test_two_hundred_runs_make_a_page_under_ten_megabytes(make_run: Any, tmp_path: Path) -> None:
    for recipe in range(40):
        for seed in range(5):
            make_run(
                f"method{recipe}", seed, 0.5 + 0.001 * recipe + 0.01 * seed, with_teachers=True
            )
    groups = groups_of(find_runs([tmp_path / "runs"])[0])
    assert len(groups[0].runs) == 200
    (path,) = write_page(tmp_path / "report.html", groups)
    assert path.stat().st_size < 10 * 2**20
    read(path.read_text(encoding="utf-8"))


def test_the_command_writes_the_page(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    make_run("g2d", 0, 0.6)
    result = CliRunner().invoke(app, ["report", str(tmp_path / "runs")])
    assert result.exit_code == 0
    assert "2 runs reported in" in result.output
    assert (tmp_path / "runs" / "report.html").is_file()


def test_a_baseline_must_be_a_row_of_the_table(make_run: Any, tmp_path: Path) -> None:
    for seed in range(3):
        make_run("joint", seed, 0.50 + 0.01 * seed)
        make_run("umt", seed, 0.70 + 0.013 * (seed % 2))
    folder = str(tmp_path / "runs")
    refused = CliRunner().invoke(app, ["report", folder, "--baseline", "jiont"])
    assert refused.exit_code == 2
    assert "--baseline must be one of joint, umt, found 'jiont'." in refused.output
    assert not (tmp_path / "runs" / "report.html").exists()
    assert CliRunner().invoke(app, ["report", folder, "--baseline", "umt"]).exit_code == 0
    assert "difference to umt" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")


def test_long_runs_are_thinned_evenly_in_a_large_comparison_and_the_caption_says_so(
    make_run: Any, tmp_path: Path
) -> None:
    folder = make_run("g2d", 0, 0.5, with_teachers=True)
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
    first = make_run("recipe0", 0, 0.5, with_teachers=True)
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
        folder = first if recipe == 0 else make_run(f"recipe{recipe}", 0, 0.5, with_teachers=True)
        (folder / "metrics.jsonl").write_text(metrics)
    groups = groups_of(find_runs([tmp_path / "runs"])[0])
    (path,) = write_page(tmp_path / "report.html", groups)
    assert path.stat().st_size < 10 * 2**20


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_command_writes_charts_as_files(make_run: Any, tmp_path: Path, form: str) -> None:
    if form != "svg":
        pytest.importorskip("vl_convert", reason="the extra figures is not installed")
    make_run("joint", 0, 0.5)
    make_run("g2d", 0, 0.6, with_teachers=True)
    result = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "--figures", form])
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "runs" / "figures").iterdir()}
    assert {f"fused.{form}", f"image-alone.{form}", f"g2d-confidence.{form}"} <= names


def test_the_tables_of_the_paper_are_at_the_top_of_a_page(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    make_run("g2d", 0, 0.6)
    command = ["report", str(tmp_path / "runs"), "--table", "1"]
    assert CliRunner().invoke(app, command).exit_code == 0
    text = (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert text.index("Test accuracy per modality and fused") < text.index("toy, toy/v1")
    wrong = CliRunner().invoke(app, [*command, "--format", "text", "--figures", "svg"])
    assert "--figures must be used with --format html, found text" in wrong.output
    chosen = [*command, "--table", "compare", "--format", "text", "--columns", "fused"]
    assert "updates" not in CliRunner().invoke(app, chosen).output


def test_alignment_with_the_teachers_is_drawn_if_recorded(make_run: Any) -> None:
    folder = make_run("g2d", 0, 0.7, with_teachers=True)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        record["train"]["alignment/image"] = 0.1 * record["epoch"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert "Alignment with the teachers" in page_of(read_run(folder))
