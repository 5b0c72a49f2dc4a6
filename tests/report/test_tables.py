"""Tables from run folders with known numbers, in every form."""

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
from g2d.report import FORMATS, build
from g2d.runs import find_runs, read_run

JOINT, OTHER = (0.50, 0.52, 0.51), (0.70, 0.74, 0.71)


def runs_of(make_run: Any, tmp_path: Path) -> list[Any]:
    for seed, (a, b) in enumerate(zip(JOINT, OTHER, strict=True)):
        make_run("joint", seed, a)
        make_run("g2d", seed, b, taught=True)
    return find_runs([tmp_path / "runs"])[0]


def test_the_comparison_has_means_differences_and_controls(make_run: Any, tmp_path: Path) -> None:
    (table,) = build(runs_of(make_run, tmp_path))
    rows = {
        row.name: dict(zip((column.name for column in table.columns), row.cells, strict=True))
        for row in table.rows
    }
    assert list(rows) == [
        "teachers alone",
        "g2d",
        "joint",
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
    (table,) = build(find_runs([tmp_path / "runs"])[0])
    assert all(column.name != "p" for column in table.columns)
    assert all(not cell.marks for row in table.rows for cell in row.cells)
    assert any("no interval, no p, no claim" in note for note in table.notes)


def test_every_format_holds_the_same_numbers(make_run: Any, tmp_path: Path) -> None:
    tables = build(runs_of(make_run, tmp_path))
    assert "51.0 ± 1.0" in FORMATS["text"](tables)
    assert "| **71.7 ± 2.1 ↑** |" in FORMATS["markdown"](tables)
    assert "**51.0" not in FORMATS["markdown"](tables)
    latex = FORMATS["latex"](tables)
    assert r"\textbf{71.7 $\pm$ 2.1 $\uparrow$}" in latex
    assert latex.count(r"\\") == len(tables[0].rows) + 1
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](tables))))
    joint = next(row for row in rows if row["name"] == "joint")
    assert float(joint["fused (%)"]) == pytest.approx(51.0)
    assert float(joint["fused sd"]) == pytest.approx(1.0)
    plain = json.loads(FORMATS["json"](tables))["tables"][0]
    assert plain["rows"][1]["cells"][0]["value"] == pytest.approx(71.6667, abs=1e-3)


def test_runs_on_other_data_stand_in_a_table_of_their_own(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    other = read_run(make_run("umt", 0, 0.6)).result.data.plain()
    make_run("g2d", 0, 0.7, data={**other, "content_hash": "d" * 64})
    assert len(build(find_runs([tmp_path / "runs"])[0])) == 2


def test_selection_on_the_test_split_is_marked(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5, select_on="test")
    (table,) = build(find_runs([tmp_path / "runs"])[0])
    assert "joint (*)" in table.text()
    assert any("selected on the test split" in note for note in table.notes)


def test_the_layout_of_table_4_crosses_objective_and_prioritization(
    make_run: Any, tmp_path: Path
) -> None:
    for seed in range(3):
        make_run("joint", seed, 0.5 + 0.01 * seed)
        make_run(
            "joint-smp",
            seed,
            0.6 + 0.02 * seed,
            recipe={"method": {"name": "joint", "modulation": {"name": "smp", "tau": [1, 1]}}},
        )
    (table,) = build(find_runs([tmp_path / "runs"])[0], "4")
    assert [column.name for column in table.columns][:2] == ["without SMP", "with SMP"]
    assert [cell.value for cell in table.rows[0].cells][:2] == pytest.approx([51.0, 62.0])


def test_what_cannot_be_laid_out_is_refused(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    runs = find_runs([tmp_path / "runs"])[0]
    with pytest.raises(
        ArgumentError, match="--table 7 must be given two schedules tau or more, found none"
    ):
        build(runs, "7")
    with pytest.raises(
        ArgumentError, match=r"--baseline must be a row of the table \(joint\), found 'g2d'"
    ):
        build(runs, baseline="g2d")


def test_unfinished_runs_are_named_and_left_out(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    (make_run("joint", 1, 0.6) / "result.json").unlink()
    runs, unfinished = find_runs([tmp_path / "runs"])
    assert (len(runs), [folder.name for folder in unfinished]) == (1, ["seed-1"])
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
