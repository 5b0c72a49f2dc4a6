"""Tables with several labels per row: ways to write them, what is recognized and refused."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.errors import DataError
from g2d.prepare import Plan, check_store, prepare
from g2d.task import MultiLabel

NAMES = ["happy", "sad", "anger", "surprise"]
ROWS = 60
draw = random.Random(0)
SETS = [[name for name in NAMES if draw.random() < 0.4] for _ in range(ROWS)]
FULL = [labels or ["sad"] for labels in SETS]
"""Sets without an empty one, which not every spelling can show."""
STATES = {True: "TRUE", False: "FALSE"}


def written(path: Path, target: dict[str, list[Any]]) -> Path:
    """Write a table of a number and the target's columns, CSV or JSONL by the suffix."""
    numbers = random.Random(1)
    columns = {"x": [numbers.random() for _ in range(ROWS)], **target}
    rows = list(zip(*columns.values(), strict=True))
    with path.open("w", newline="") as file:
        if path.suffix == ".jsonl":
            lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
            file.write("\n".join(lines) + "\n")
        else:
            csv.writer(file).writerows([list(columns), *rows])
    return path


def planned(path: Path, **options: Any) -> Plan:
    return plan_table(path, TableOptions(**options))


def columns_of(spell: Any) -> dict[str, list[Any]]:
    return {name: [spell(name in labels) for labels in SETS] for name in NAMES}


WAYS: dict[str, tuple[str, dict[str, list[Any]], dict[str, Any], list[list[str]]]] = {
    "columns of 0 and 1": ("t.csv", columns_of(int), {"target": NAMES}, SETS),
    "columns of 0.0 and 1.0": ("t.csv", columns_of(float), {"target": NAMES}, SETS),
    "columns of TRUE and FALSE": ("t.csv", columns_of(STATES.get), {"target": NAMES}, SETS),
    "columns of JSON booleans": ("t.jsonl", columns_of(bool), {"target": NAMES}, SETS),
    "JSON lists": ("t.jsonl", {"label": SETS}, {}, SETS),
    "lists as JSON in a cell": ("t.csv", {"label": [json.dumps(s) for s in SETS]}, {}, SETS),
    "lists as Python in a cell": ("t.csv", {"label": [str(s) for s in SETS]}, {}, SETS),
    "bars": ("t.csv", {"label": ["|".join(s) or "|" for s in SETS]}, {}, SETS),
    "semicolons": ("t.csv", {"label": ["; ".join(s) for s in FULL]}, {}, FULL),
    "commas": (
        "t.csv",
        {"label": [", ".join(s) for s in FULL]},
        {},
        FULL,
    ),
    "another separator": (
        "t.csv",
        {"label": ["+".join(s) for s in FULL]},
        {"separator": "+"},
        FULL,
    ),
    "single words, by the task": (
        "t.csv",
        {"label": [s[0] for s in FULL]},
        {"task": "multilabel"},
        [s[:1] for s in FULL],
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_several_labels_gives_the_same_targets(way: str, tmp_path: Path) -> None:
    name, target, options, sets = WAYS[way]
    plan = planned(written(tmp_path / name, target), **options)
    assert plan.task["kind"] == "multilabel"
    labels = plan.task["labels"]
    assert sorted(labels) == sorted({label for labels in sets for label in labels})
    assert [sample.target for sample in plan.samples] == [
        tuple(float(label in labels_of_row) for label in labels) for labels_of_row in sets
    ]
    line = next(text for text in plan.inferred if text.startswith("target"))
    assert "several labels per row" in line
    assert not plan.skipped


def test_lists_of_numbers_are_labels_states_or_values(tmp_path: Path) -> None:
    codes = written(
        tmp_path / "codes.jsonl", {"label": [[i % 3, 17][: 1 + i % 2] for i in range(60)]}
    )
    assert planned(codes).task["labels"] == ["0", "1", "2", "17"]
    states = written(
        tmp_path / "states.jsonl", {"label": [[int(n in s) for n in NAMES] for s in SETS]}
    )
    plan = planned(states)
    assert plan.task["labels"] == ["0", "1", "2", "3"]
    assert plan.samples[1].target == tuple(float(n in SETS[1]) for n in NAMES)
    values = written(tmp_path / "values.jsonl", {"label": [[0.5, i / 7] for i in range(60)]})
    with pytest.raises(DataError, match=r"must be one value per row.*give task=multilabel"):
        planned(values)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["Bath, UK", "York, UK", "Rome, IT"], "classification"),
        (["a|x", "b|x", "c|x"], "classification"),
        (["it is fine; really", "it is not; no, never, ever"], "classification"),
        (["cat", "dog"], "classification"),
    ],
)
def test_a_sign_inside_of_names_is_no_separator(
    cells: list[str], kind: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "t.csv", {"label": [cells[i % len(cells)] for i in range(ROWS)]})
    assert planned(path).task["kind"] == kind


def test_what_is_recognized_can_be_overruled(tmp_path: Path) -> None:
    bars = written(tmp_path / "bars.csv", {"label": ["|".join(s) for s in FULL]})
    assert "task=classification" in next(x for x in planned(bars).inferred if "target" in x)
    plan = planned(bars, task="classification")
    assert len(plan.task["classes"]) == len({"|".join(s) for s in FULL})
    states = written(tmp_path / "states.csv", columns_of(int))
    assert "task=regression" in next(
        x for x in planned(states, target=NAMES).inferred if "target" in x
    )
    assert planned(states, target=NAMES, task="regression").task["outputs"] == len(NAMES)


def test_targets_that_do_not_fit_are_refused_or_reported(tmp_path: Path) -> None:
    numbers = columns_of(int) | {"happy": [0, 1, 2] * 20}
    path = written(tmp_path / "three.csv", numbers)
    assert planned(path, target=NAMES).task["kind"] == "regression"
    with pytest.raises(DataError, match="columns of several labels must hold 0 and 1"):
        planned(path, target=NAMES, task="multilabel")
    with pytest.raises(DataError, match=r"must have one target.*give task=multilabel"):
        planned(path, target=NAMES, task="classification")
    one = {name: [int(i % 4 == place) for i in range(ROWS)] for place, name in enumerate(NAMES)}
    warnings = planned(written(tmp_path / "one.csv", one), target=NAMES).warnings
    assert any("exactly one of the labels" in text for text in warnings)
    blank = columns_of(int)
    blank["sad"][3] = ""
    assert [
        skip.id for skip in planned(written(tmp_path / "b.csv", blank), target=NAMES).skipped
    ] == ["00000003"]
    lists: list[Any] = [None, *SETS[1:]]
    assert len(planned(written(tmp_path / "l.jsonl", {"label": lists})).skipped) == 1


def test_a_store_of_several_labels_opens_as_their_task(tmp_path: Path) -> None:
    rare = [[*labels, "rare"] if i < 3 else labels for i, labels in enumerate(SETS)]
    prepare(
        planned(written(tmp_path / "t.jsonl", {"label": rare})),
        tmp_path,
        tmp_path / "out",
        workers=1,
    )
    source = open_store(StoreOptions(store=str(tmp_path / "out")))
    assert isinstance(source.task, MultiLabel)
    assert source.target.dtype == np.float32
    assert source.target.sum(0).tolist() == [
        sum(name in labels for labels in rare) for name in source.task.labels
    ]
    # The three rows with the rare label are in three splits.
    place = source.task.labels.index("rare")
    assert [source.target[source.rows(s), place].sum() for s in ("train", "valid", "test")] == [
        1,
        1,
        1,
    ]
    findings = check_store(tmp_path / "out")
    assert findings.errors == []
    assert any("5 labels" in line for line in findings.lines)
