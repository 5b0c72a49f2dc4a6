"""Tables of run folders with known numbers, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.errors import ArgumentError
from g2d.report import FORMATS, Group, Table, comparison_table, groups_of
from g2d.report.comparison import OTHER_METRICS
from g2d.report.formatting import scale_of
from g2d.report.words import comparison_words, run_words
from g2d.runs import find_runs, read_run
from g2d.task import MultiLabel

JOINT, OTHER = (0.50, 0.52, 0.51), (0.70, 0.74, 0.71)


def groups_in(tmp_path: Path) -> list[Group]:
    return groups_of(find_runs([tmp_path / "runs"])[0])


def tables_in(tmp_path: Path) -> list[Table]:
    return [comparison_table(group) for group in groups_in(tmp_path)]


@pytest.fixture
def table(make_run: Any, tmp_path: Path) -> Table:
    """Return the table of three seeds of joint and g2d."""
    for seed, (a, b) in enumerate(zip(JOINT, OTHER, strict=True)):
        make_run("joint", seed, a)
        make_run("g2d", seed, b, with_teachers=True)
    return tables_in(tmp_path)[0]


def test_the_comparison_has_means_differences_and_controls(table: Table) -> None:
    rows = {
        row.name: dict(zip((column.name for column in table.columns), row.cells, strict=True))
        for row in table.rows
    }
    assert list(rows) == [
        "teachers alone",
        "joint",
        "g2d",
        "best teacher",
        "teacher ensemble",
        "teacher ensemble, calibrated",
    ]
    assert rows["joint"]["fused"].value == pytest.approx(51.0)
    assert rows["joint"]["fused"].sd == pytest.approx(1.0)
    difference = rows["g2d"]["difference to joint"]
    assert difference.value == pytest.approx(100 * (0.20 + 0.22 + 0.20) / 3)
    assert difference.low < difference.value < difference.high
    assert rows["g2d"]["fused"].marks == ("better",)
    assert rows["best teacher"]["fused"].value == pytest.approx(70.0)
    assert rows["g2d"]["confidence ratio image"].value == pytest.approx(0.5 / 0.6)
    assert rows["g2d"]["its teachers"].value == 2.0
    assert "selected by accuracy on validation" in table.notes[0]


def test_two_seeds_claim_nothing(make_run: Any, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run("joint", seed, 0.5)
        make_run("g2d", seed, 0.9 + 0.01 * seed)
    (table,) = tables_in(tmp_path)
    assert all(column.name != "p" for column in table.columns)
    assert all(not cell.marks for row in table.rows for cell in row.cells)
    assert any("no interval, no p, no claim" in note for note in table.notes)


LINEAR = {
    "constant": {"test": {"accuracy": 0.4}},
    "linear": {"test": {"accuracy": 0.6}, "unimodal": {"image": {"accuracy": 0.5}}},
}


def test_the_linear_model_has_a_row_and_enlarges_no_family(make_run: Any, tmp_path: Path) -> None:
    for seed in range(3):
        make_run("joint", seed, 0.7 + 0.01 * seed, controls=LINEAR)
        make_run("umt", seed, 0.8 - 0.01 * seed)
    (table,) = tables_in(tmp_path)
    rows = {
        row.name: dict(zip((column.name for column in table.columns), row.cells, strict=True))
        for row in table.rows
    }
    linear = rows["linear model on pooled inputs"]
    assert (linear["fused"].value, linear["image"].value) == (60.0, 50.0)
    assert linear["tone"].value is None
    assert rows["majority or mean"]["fused"].value == pytest.approx(40)
    assert linear["difference to joint"].value is None


@pytest.mark.parametrize(
    ("scores", "clear"),
    [
        ([0.70, 0.71, 0.72], True),
        ([0.61, 0.66, 0.59], False),
        ([0.55, 0.55, 0.55], False),
        ([0.65, 0.65, 0.65], True),
        ([0.99], True),
        ([0.63], False),
    ],
)
def test_a_best_row_that_is_not_clearly_above_the_linear_model_is_named(
    make_run: Any, tmp_path: Path, scores: list[float], clear: bool
) -> None:
    for seed, score in enumerate(scores):
        test = {"fused": {"accuracy": score}, "unimodal": {}, "rows": 40, "groups": 40}
        make_run("joint", seed, score, controls=LINEAR, test=test)
    (group,) = groups_in(tmp_path)
    texts = [text for text in comparison_words(group) if "not clearly above the linear" in text]
    assert bool(texts) != clear
    if texts:
        assert texts[0].startswith("joint, the best trained row, is")
        assert "against 60.0 %" in texts[0]
    if len(scores) == 1:
        assert (texts[0] in run_words(group)) if texts else True


def test_a_table_names_the_rows_that_cannot_show_an_interaction(
    make_run: Any, tmp_path: Path
) -> None:
    make_run("joint", 0, 0.5, additive=True)
    make_run("g2d", 0, 0.5, additive=True)
    make_run("joint-film", 0, 0.5, additive=False)
    (table,) = tables_in(tmp_path)
    (note,) = [note for note in table.notes if "Interaction not tested" in note]
    assert note.startswith("Interaction not tested by joint, g2d: ")


def test_every_format_has_the_same_numbers(table: Table) -> None:
    assert "51.0 ± 1.0" in FORMATS["text"]([table])
    assert "| **71.7 ± 2.1 ↑** |" in FORMATS["markdown"]([table])
    assert "**51.0" not in FORMATS["markdown"]([table])
    assert r"\textbf{71.7 $\pm$ 2.1 $\uparrow$}" in FORMATS["latex"]([table])
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"]([table]))))
    joint = next(row for row in rows if row["name"] == "joint")
    assert float(joint["fused (%)"]) == pytest.approx(51.0)
    assert float(joint["fused sd"]) == pytest.approx(1.0)
    plain = json.loads(FORMATS["json"]([table]))["tables"][0]
    assert plain["rows"][2]["cells"][0]["value"] == pytest.approx(71.6667, abs=1e-3)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_text_fits_the_terminal_and_repeats_the_names(table: Table, width: int) -> None:
    lines = table.text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("joint ") for line in lines) >= 2
    assert sum(line.startswith("best teacher ") for line in lines) >= 2
    numbers = " ".join(" ".join(line.split()) for line in lines)
    for row in table.rows:
        for cell, column in zip(row.cells, table.columns, strict=True):
            assert cell.text(column) in numbers


def test_latex_fits_a_page_and_can_be_cited(table: Table) -> None:
    latex = table.latex()
    assert latex.count(r"\begin{tabular}{l") == latex.count(r"\toprule") >= 2
    assert r"\label{tab:toy-toy-v1}" in latex
    caption, notes = latex.split(r"\label")
    assert r"\caption{toy, toy/v1: test accuracy in \%" in caption
    assert "Holm" in notes
    assert "Holm" not in caption
    assert latex.count("{") == latex.count("}")
    assert all(
        latex.count(rf"\begin{{{e}}}") == latex.count(rf"\end{{{e}}}")
        for e in ("tabular", "table", "minipage")
    )


def test_groups_of_columns_can_be_chosen(table: Table) -> None:
    kept = table.only("fused", "unimodal")
    assert [column.name for column in kept.columns] == ["fused", "image", "tone"]
    assert len(kept.rows[0].cells) == 3
    with pytest.raises(
        ArgumentError, match=r"columns must be one of fused, .*Did you mean 'fused'"
    ):
        table.only("fussed")


def test_runs_on_other_data_have_a_table_of_their_own(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    other = read_run(make_run("umt", 0, 0.6)).result.data.plain()
    make_run("g2d", 0, 0.7, data={**other, "content_hash": "d" * 64})
    assert len(tables_in(tmp_path)) == 2


def test_selection_on_the_test_split_is_marked(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5, select_on="test")
    (table,) = tables_in(tmp_path)
    assert "joint (*)" in table.text()
    assert any("selected on the test split" in note for note in table.notes)


def test_unfinished_runs_are_named_and_left_out(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    (make_run("joint", 1, 0.6) / "result.json").unlink()
    runs, left_out = find_runs([tmp_path / "runs"])
    assert (len(runs), [one.folder.name for one in left_out]) == (1, ["seed-1"])
    result = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "--format", "markdown"])
    assert result.exit_code == 0
    assert "| joint" in result.output


@pytest.mark.parametrize(
    ("form", "part"),
    [("text", "joint"), ("csv", "fused (%)"), ("latex", r"\toprule"), ("json", '"schema": 1')],
)
def test_the_command_prints_or_writes_every_format(
    make_run: Any, tmp_path: Path, form: str, part: str
) -> None:
    make_run("joint", 0, 0.5)
    printed = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "--format", form])
    assert part in printed.output
    written = CliRunner().invoke(
        app,
        [
            "report",
            str(tmp_path / "runs"),
            "--format",
            form,
            "--out",
            str(tmp_path / "deep" / "file"),
        ],
    )
    assert written.exit_code == 0
    assert (tmp_path / "deep" / "file").read_text() == printed.output


def test_every_metric_of_several_labels_is_a_column_in_percent() -> None:
    task = MultiLabel(2)
    names = set(task.metrics().compute())
    assert {task.headline, *OTHER_METRICS[task.headline]} == names
    assert {scale_of(name).unit for name in names} == {"%"}
