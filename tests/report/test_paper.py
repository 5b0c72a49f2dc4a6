"""The layouts of the paper's tables: which run stands where, and what is compared with what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from g2d.errors import ArgumentError
from g2d.report import Table, build, published
from g2d.runs import RunRecord, find_runs

NOISE = (0.0, 0.02, -0.02)
WORSE_NOISE = (0.001, 0.018, -0.019)


def found(tmp_path: Path) -> list[Any]:
    return find_runs([tmp_path / "runs"])[0]


def by_name(table: Table, row: str) -> dict[str, Any]:
    (cells,) = [line.cells for line in table.rows if line.name == row]
    return dict(zip((column.name for column in table.columns), cells, strict=True))


def test_table_1_puts_data_sets_side_by_side_and_methods_in_rows(
    make_run: Any, tmp_path: Path
) -> None:
    other = {
        "data": {
            "name": "other",
            "protocol": "other/v1",
            "content_hash": "d" * 64,
            "protocol_hash": "q" * 64,
        }
    }
    for seed, noise in enumerate(NOISE):
        make_run("joint-toy", seed, 0.5 + noise, method="joint")
        make_run("joint-other", seed, 0.6 + noise, method="joint", **other)
        make_run("umt-toy", seed, 0.8 + WORSE_NOISE[seed], method="umt")
    (table,) = build(found(tmp_path), "1")
    assert [column.name for column in table.columns] == [
        f"{data}: {what}" for data in ("other", "toy") for what in ("image", "tone", "fused")
    ]
    assert by_name(table, "joint")["toy: fused"].value == pytest.approx(50)
    assert by_name(table, "joint")["other: fused"].value == pytest.approx(60)
    assert by_name(table, "umt")["toy: fused"].marks == ("better",)
    assert by_name(table, "umt")["other: fused"].value is None
    with pytest.raises(
        ArgumentError, match="--table 2 must be given classification with three modalities"
    ):
        build(found(tmp_path), "2")


def test_table_2_takes_three_modalities(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5, modalities=["image", "tone", "word"])
    (table,) = build(found(tmp_path), "2")
    assert [column.name for column in table.columns] == ["image", "tone", "word", "fused"]


def test_table_3_shows_percentage_error_and_explained_variance(
    make_run: Any, tmp_path: Path
) -> None:
    task = {"kind": "regression", "outputs": 1}
    scores = {"r2": 0.8, "mape": 7.5, "mae": 1.0, "loss": 0.1}
    test = {"fused": scores, "unimodal": {"image": scores, "tone": scores}, "rows": 5, "groups": 5}
    make_run("joint", 0, 0.5, task=task, test=test, valid=test, selection_metric="r2")
    (table,) = build(found(tmp_path), "3")
    assert by_name(table, "joint")["fused mape"].value == 7.5
    assert by_name(table, "joint")["fused r2"].value == 0.8
    assert "7.5" in table.text()
    assert "0.80" in table.text()


def test_table_5_compares_methods_within_each_fusion(make_run: Any, tmp_path: Path) -> None:
    for seed, noise in enumerate(NOISE):
        for i, fusion in enumerate(("late", "film")):
            make_run(f"{fusion}-joint", seed, 0.5 + noise, method="joint", fusion=fusion)
            make_run(
                f"{fusion}-umt",
                seed,
                0.55 + 0.2 * i + WORSE_NOISE[seed],
                method="umt",
                fusion=fusion,
            )
    (table,) = build(found(tmp_path), "5")
    assert {row.name for row in table.rows} == {"late", "film"}
    assert by_name(table, "film")["umt - joint"].value == pytest.approx(25)
    assert by_name(table, "late")["umt - joint"].value == pytest.approx(5)
    assert any("corrected for 2 comparisons" in note for note in table.notes)


def test_table_6_sets_partial_beside_complete_suppression(make_run: Any, tmp_path: Path) -> None:
    for seed, noise in enumerate(NOISE):
        make_run(
            "partial",
            seed,
            0.5 + noise,
            method="g2d",
            recipe={
                "method": {
                    "name": "g2d",
                    "modulation": {"name": "partial_suppression", "epochs": 2},
                }
            },
        )
        make_run(
            "complete",
            seed,
            0.7 + WORSE_NOISE[seed],
            method="g2d",
            recipe={"method": {"name": "g2d", "tau": [2, 2]}},
        )
        make_run("joint", seed, 0.4 + noise)
    (table,) = build(found(tmp_path), "6")
    (row,) = table.rows
    assert by_name(table, row.name)["partial"].value == pytest.approx(50)
    assert by_name(table, row.name)["complete - partial"].value == pytest.approx(20)
    assert by_name(table, row.name)["complete"].marks == ("better",)


def test_table_7_has_a_row_per_schedule_and_says_when_budgets_differ(
    make_run: Any, tmp_path: Path
) -> None:
    for seed, noise in enumerate(NOISE):
        for exclusive in (10, 0, 5):
            recipe = {"method": {"name": "g2d", "tau": [exclusive, 15]}}
            make_run(
                f"tau-{exclusive}",
                seed,
                0.5 + 0.02 * exclusive + noise,
                method="g2d",
                recipe=recipe,
            )
    (table,) = build(found(tmp_path), "7")
    assert [row.name for row in table.rows] == ["(0, 15)", "(5, 15)", "(10, 15)"]
    assert by_name(table, "(10, 15)")["epochs"].value == 25
    assert any("also differ in their number of epochs" in note for note in table.notes)
    assert "published" not in [column.name for column in table.columns]


def test_the_published_value_stands_beside_ours_only_under_the_same_protocol(
    make_run: Any, tmp_path: Path
) -> None:
    protocol, values = next(
        (name, methods)
        for name, methods in published.RESULTS.items()
        if any("accuracy" in value for value in methods.values())
    )
    method, value = next(iter(values.items()))
    data = {
        "name": "there",
        "protocol": protocol,
        "content_hash": "e" * 64,
        "protocol_hash": "r" * 64,
    }
    make_run("same", 0, 0.5, method=method, data=data)
    make_run("toy", 0, 0.5, method=method)
    there, toy = sorted(
        build(found(tmp_path)),
        key=lambda table: "published" not in [column.name for column in table.columns],
    )
    assert by_name(there, "same")["published"].value == value["accuracy"]
    assert published.NOTE in there.notes
    assert "published" not in [column.name for column in toy.columns]
    assert published.NOTE not in toy.notes


def test_two_recipes_for_one_cell_are_refused(make_run: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_run(name, 0, 0.5, method="g2d", recipe={"method": {"name": "g2d", "tau": [1, 1]}})
    make_run("off", 0, 0.5, method="g2d", recipe={"method": {"name": "g2d"}})
    with pytest.raises(ArgumentError, match="one recipe per cell, found 'a' and 'b'"):
        build(found(tmp_path), "4")


def test_recipes_of_one_name_that_differ_are_told_apart_and_repeated_seeds_are_not_counted_twice(
    make_run: Any, tmp_path: Path
) -> None:
    make_run("a", 0, 0.5, recipe={"name": "same", "method": {"name": "g2d", "alpha": 1}})
    make_run("b", 1, 0.7, recipe={"name": "same", "method": {"name": "g2d", "alpha": 2}})
    runs = [
        RunRecord(run.folder, run.result.model_copy(update={"name": "same"}))
        for run in found(tmp_path)
    ]
    (table,) = build(runs)
    assert [row.name for row in table.rows] == ["same (method.alpha=1)", "same (method.alpha=2)"]
    (table,) = build([runs[0], runs[0]])
    assert [row.cells[0].n for row in table.rows] == [1]
