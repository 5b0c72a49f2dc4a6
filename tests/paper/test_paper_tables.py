"""Layouts of the paper's tables: rows, columns, and which cells are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from g2d.errors import ArgumentError
from g2d.paper import build, published
from g2d.report import Group, Table, groups_of
from g2d.runs import RunRecord, find_runs

NOISE = (0.0, 0.02, -0.02)
WORSE_NOISE = (0.001, 0.018, -0.019)


def groups_in(tmp_path: Path) -> list[Group]:
    return groups_of(find_runs([tmp_path / "runs"])[0])


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
    (table,) = build(groups_in(tmp_path), "1")
    assert [column.name for column in table.columns] == [
        f"{data}: {what}" for data in ("toy", "other") for what in ("image", "tone", "fused")
    ]
    assert by_name(table, "joint")["toy: fused"].value == pytest.approx(50)
    assert by_name(table, "joint")["other: fused"].value == pytest.approx(60)
    assert by_name(table, "umt")["toy: fused"].marks == ("better",)
    assert by_name(table, "umt")["other: fused"].value is None
    with pytest.raises(
        ArgumentError, match="--table 2 must get classification with three modalities"
    ):
        build(groups_in(tmp_path), "2")


def test_table_2_takes_three_modalities(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5, modalities=["image", "tone", "word"])
    (table,) = build(groups_in(tmp_path), "2")
    assert [column.name for column in table.columns] == ["image", "tone", "word", "fused"]


def test_table_3_shows_percentage_error_and_explained_variance(
    make_run: Any, tmp_path: Path
) -> None:
    task = {"kind": "regression", "outputs": 1}
    scores = {"r2": 0.8, "mape": 7.5, "mae": 1.0, "loss": 0.1}
    test = {"fused": scores, "unimodal": {"image": scores, "tone": scores}, "rows": 5, "groups": 5}
    make_run("joint", 0, 0.5, task=task, test=test, valid=test, selection_metric="r2")
    (table,) = build(groups_in(tmp_path), "3")
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
    (table,) = build(groups_in(tmp_path), "5")
    assert {row.name for row in table.rows} == {"late", "film"}
    assert by_name(table, "film")["umt - joint"].value == pytest.approx(25)
    assert by_name(table, "late")["umt - joint"].value == pytest.approx(5)
    assert any("corrected for 2 comparisons" in note for note in table.notes)


def test_table_6_compares_partial_with_complete_suppression(make_run: Any, tmp_path: Path) -> None:
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
    (table,) = build(groups_in(tmp_path), "6")
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
    (table,) = build(groups_in(tmp_path), "7")
    assert [row.name for row in table.rows] == ["(0, 15)", "(5, 15)", "(10, 15)"]
    assert by_name(table, "(10, 15)")["epochs"].value == 25
    assert any("also differ in their number of epochs" in note for note in table.notes)
    assert "published" not in [column.name for column in table.columns]


def test_published_values_appear_only_under_the_same_protocol(
    make_run: Any, tmp_path: Path
) -> None:
    data = {
        "name": "published data",
        "protocol": "av_mnist/legacy",
        "content_hash": "e" * 64,
        "protocol_hash": "r" * 64,
    }
    modalities = ["audio", "image"]
    make_run("same", 0, 0.5, method="mla", data=data, modalities=modalities)
    make_run("toy", 0, 0.5, method="mla", modalities=modalities)
    same, toy = sorted(
        build(groups_in(tmp_path)),
        key=lambda table: "published" not in [column.name for column in table.columns],
    )
    assert by_name(same, "same")["published"].value == 65.32
    assert published.NOTE in same.notes
    assert "published" not in [column.name for column in toy.columns]
    assert published.NOTE not in toy.notes


def test_two_recipes_for_one_cell_are_refused(make_run: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_run(name, 0, 0.5, method="g2d", recipe={"method": {"name": "g2d", "tau": [1, 1]}})
    make_run("off", 0, 0.5, method="g2d", recipe={"method": {"name": "g2d"}})
    with pytest.raises(ArgumentError, match="one recipe per cell, found 'a' and 'b'"):
        build(groups_in(tmp_path), "4")


def test_different_recipes_of_one_name_are_distinguished_and_repetitions_are_no_seeds(
    make_run: Any, tmp_path: Path
) -> None:
    make_run("a", 0, 0.5, recipe={"name": "same", "method": {"name": "g2d", "alpha": 1}})
    make_run("b", 1, 0.7, recipe={"name": "same", "method": {"name": "g2d", "alpha": 2}})
    runs = [
        RunRecord(run.folder, run.result.model_copy(update={"name": "same"}))
        for run in find_runs([tmp_path / "runs"])[0]
    ]
    (table,) = build(groups_of(runs))
    assert [row.name for row in table.rows] == ["same (method.alpha=1)", "same (method.alpha=2)"]
    (table,) = build(groups_of([runs[0], runs[0]]))
    assert [row.cells[0].n for row in table.rows] == [1]


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
    (table,) = build(groups_in(tmp_path), "4")
    assert [column.name for column in table.columns][:2] == ["without SMP", "with SMP"]
    assert [cell.value for cell in table.rows[0].cells][:2] == pytest.approx([51.0, 62.0])


def test_layouts_without_runs_and_unknown_names_are_refused(make_run: Any, tmp_path: Path) -> None:
    make_run("joint", 0, 0.5)
    groups = groups_in(tmp_path)
    for options, sentence in (
        ({"layout": "7"}, "--table 7 must get two schedules tau or more, found none"),
        ({"layout": "8"}, "--table must be one of compare, 1, .*, found '8'"),
        (
            {"baseline": "jont"},
            "--baseline must be one of joint, found 'jont'. Did you mean 'joint'",
        ),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            build(groups, **options)
