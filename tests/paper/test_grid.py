"""The grid of the paper's runs: counted, resolved, and checked against every printed value."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from g2d.paper import grid
from g2d.paper.grid import Cell, cells
from g2d.paper.matching import printed_for
from g2d.paper.published import NOTE, TEACHER, published, published_values
from g2d.paper.reproduced import Repetition, reproduced_tables
from g2d.recipe import Recipe
from g2d.runs import RunRecord
from support.written_runs import result_of, write_run

RUNS = {"1": 36, "2": 24, "3": 5, "4": 18, "5": 24, "6": 8, "7": 7}
SUMS = {"1": 5765.31, "2": 4699.85, "3": 56.0, "4": 1279.25, "5": 1630.56, "6": 547.89, "7": 560.54}
"""Sums of the values of a table as printed, to two digits."""


def paper_recipe(cell: Cell) -> Recipe:
    problem = Recipe.load(cell.dataset)
    settings = cell.settings(problem) | grid.PROTOCOLS[cell.dataset] | grid.ON_TEST
    return problem.changed(settings)


@pytest.mark.parametrize("table", RUNS)
def test_the_runs_of_a_table_are_counted_and_each_has_a_valid_recipe(table: str) -> None:
    recipes = [paper_recipe(cell) for cell in cells(table)]
    assert len(recipes) == RUNS[table]
    assert len({repr(recipe.resolved()) for recipe in recipes}) == RUNS[table]
    for cell, recipe in zip(cells(table), recipes, strict=True):
        assert recipe.modalities == cell.modalities
        assert recipe.data.options["protocol"].split("/")[1].startswith("legacy")
        assert recipe.train.select_on == recipe.teachers.train.select_on == "test"
        assert (recipe.train.batch_size, recipe.train.lr, recipe.train.momentum) == (16, 1e-3, 0.9)
        part = recipe.method if recipe.modulation is None else recipe.modulation
        assert part.options.get("ranking", "batch") == "batch"  # the paper's


def test_the_tables_have_122_runs_of_which_common_ones_are_trained_once() -> None:
    everything = [cell for table in grid.TABLES for cell in cells(table)]
    assert len(everything) == sum(RUNS.values()) == 122
    recipes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in everything:
        recipe = paper_recipe(cell)
        recipes.setdefault((cell.dataset, recipe.name), []).append(recipe.resolved())
    assert all(one == same[0] for same in recipes.values() for one in same)
    # Table 4 shares nine runs with Tables 1 and 2, Table 5 four, Table 6 four, Table 7 one.
    assert len(recipes) == 122 - 9 - 4 - 4 - 1


def test_a_run_has_the_strength_that_is_published_for_its_data_set() -> None:
    alpha = {
        (cell.dataset, cell.method): paper_recipe(cell).method.options["alpha"]
        for cell in cells("1")
        if cell.method in ("ogm_ge", "agm")
    }
    assert alpha["vggsound", "ogm_ge"] == 0.1
    assert alpha["crema_d", "ogm_ge"] == 0.8
    assert alpha["vggsound", "agm"] == 1.5


def test_every_printed_value_belongs_to_one_run_or_to_a_teacher() -> None:
    values = published_values()
    assert len(values) == 262
    keys = Counter(replace(value, value=0.0) for value in values)
    assert max(keys.values()) == 1
    owners = {
        (c.table, c.dataset, c.modalities, c.method, c.variant) for t in RUNS for c in cells(t)
    }
    printed = {
        (v.table, v.dataset, v.modalities, v.method, v.variant)
        for v in values
        if v.method != TEACHER
    }
    assert printed == owners
    teachers = [(v.table, v.dataset, v.of) for v in values if v.method == TEACHER]
    assert teachers == [
        *(("1", d, m) for d in grid.DATASETS["1"] for m in grid.modalities_of(d)),
        *(("2", "ur_funny", m) for m in grid.modalities_of("ur_funny")),
    ]
    for table, total in SUMS.items():
        assert sum(v.value for v in values if v.table == table) == pytest.approx(total, abs=5e-3)


def test_schedules_of_table_7_keep_the_teachers_and_the_epoch_of_the_decay() -> None:
    recipes = [paper_recipe(cell) for cell in cells("7")]
    for dataset in grid.DATASETS["7"]:
        same = [recipe for recipe in recipes if recipe.data.name == dataset]
        assert len({repr(recipe.teachers) for recipe in same}) == 1
        assert same[0].teachers.train.epochs == 300
    assert [recipe.train.epochs for recipe in recipes] == [150, 200, 250, 300, 150, 250, 300]
    decays = [[round(s * r.train.epochs) for s in r.train.decay_at] for r in recipes]
    assert decays == [[], [], [200], [200], [], [200], [200]]
    short = Recipe.load("digits", ["epochs=6"])
    taus = [cell.settings(short)["method.tau"] for cell in cells("7") if len(cell.tau) == 2]
    assert taus == [[0, 3], [1, 3], [2, 3], [3, 3]]


TOY = {"name": "toy", "protocol": "toy/v1", "content_hash": "c", "protocol_hash": "p"}


def run_of(folder: Path, fused: float = 0.5, **changed: Any) -> RunRecord:
    """Write a run on the data of the paper."""
    data = {"name": "crema_d", "protocol": "crema_d/legacy"}
    data |= {"content_hash": "c" * 64, "protocol_hash": "p" * 64}
    method = {"name": changed["method"], **changed.pop("options", {})}
    recipe = {"method": method, "warm_start": changed.pop("warm_start", False)}
    defaults: dict[str, Any] = {"data": data, "modalities": ["audio", "video"]}
    seed = changed.pop("seed", 0)
    write_run(folder, "run", seed, fused, recipe=recipe, **(defaults | changed))
    return RunRecord(folder, result_of("run", seed, fused, **(defaults | changed)))


@pytest.mark.parametrize(
    ("changed", "table", "value"),
    [
        ({"method": "joint"}, "", 67.47),
        ({"method": "mla"}, "", 79.70),
        ({"method": "g2d", "options": {"tau": [12, 12]}}, "", 85.89),
        ({"method": "g2d", "options": {"tau": "none"}}, "", 78.63),
        ({"method": "g2d", "options": {"tau": None}}, "", 78.63),
        ({"method": "joint", "options": {"modulation": {"name": "smp", "tau": [1, 1]}}}, "", 80.78),
        ({"method": "g2d", "options": {"modulation": {"name": "partial_suppression"}}}, "", 81.99),
        ({"method": "g2d", "options": {"tau": [1, 1]}, "fusion": "film"}, "", 84.27),
        ({"method": "g2d", "options": {"tau": [50, 150]}}, "7", 82.80),
        ({"method": "g2d", "options": {"tau": [51, 150]}}, "7", None),
        ({"method": "joint", "fusion": "film"}, "", None),
        ({"method": "joint", "warm_start": True}, "", None),
        ({"method": "joint", "modalities": ["audio"]}, "", None),
        ({"method": "joint", "data": TOY}, "", None),
    ],
)  # fmt: skip
def test_a_run_gets_the_printed_value_of_what_it_does(
    tmp_path: Path, changed: dict[str, Any], table: str, value: float | None
) -> None:
    assert printed_for(run_of(tmp_path / "run", **changed), "accuracy", table) == value


def test_measured_values_and_differences_are_next_to_the_published_ones(tmp_path: Path) -> None:
    joint, g2d = (cell for cell in cells("1")[:12] if cell.method in ("joint", "g2d"))
    modalities = ("audio", "video")
    runs = [
        run_of(tmp_path / str(seed), 0.70 + 0.02 * seed, method="joint", seed=seed,
               with_teachers=True, select_on="test")
        for seed in (0, 1)
    ]  # fmt: skip
    repeated = [
        Repetition(joint, "crema_d", modalities, runs),
        Repetition(g2d, "crema_d", modalities),
    ]
    (table,) = reproduced_tables(repeated, same_protocol=True)
    names = [column.name for column in table.columns]
    parts = ("published", "measured", "difference")
    assert names == [f"{of} {part}" for of in (*modalities, "fused") for part in parts]
    rows = {row.name: dict(zip(names, row.cells, strict=True)) for row in table.rows}
    assert [*rows] == ["teachers alone", "joint", "g2d"]
    fused = [rows["joint"][f"fused {part}"].value for part in parts]
    assert fused == pytest.approx([67.47, 71.0, 3.53])
    assert [rows["joint"][f"video {part}"].value for part in parts] == pytest.approx(
        [27.42, 51.0, 23.58]
    )
    teachers = [rows["teachers alone"][f"audio {part}"].value for part in parts]
    assert teachers == pytest.approx([61.69, 70.0, 8.31])
    assert [rows["g2d"][f"fused {part}"].value for part in parts] == [85.89, None, None]
    assert [row.marks for row in table.rows] == [("test",), ("test",), ()]
    assert published(g2d, "accuracy") == 85.89
    assert NOTE in table.notes
    (leak_free,) = reproduced_tables(repeated, same_protocol=False)
    assert NOTE not in leak_free.notes
    assert "measured on crema_d/legacy with the epoch selected on" in " ".join(leak_free.notes)
    (other,) = reproduced_tables([Repetition(joint, "toy", modalities, runs)], same_protocol=False)
    assert [column.name for column in other.columns] == [
        "audio measured",
        "video measured",
        "fused measured",
    ]
    assert "The paper has no values of toy" in " ".join(other.notes)
