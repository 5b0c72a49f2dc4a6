"""A table with every oddity at once, and made-up inputs of every kind, valid and damaged."""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import g2d
from g2d.cli import app
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.errors import DataError
from g2d.prepare import prepare

ROWS = 120
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def odd_table(path: Path) -> None:
    """Write a compressed table in cp1252 with decimal commas, row numbers, dates, and more."""
    rng = random.Random(0)
    rows = [
        ["", "Größe", "Preis", "Farbe", "Raucher", "Datum", "Notiz", "leer", "gleich", "klasse"]
    ]
    for i in range(ROWS):
        c = 2 if i % 40 == 0 else i % 2
        words = " ".join(rng.choices(["Stück", "größer", "klein", "rot", "neu", "alt"], k=9))
        rows.append(
            [
                str(i),
                f"{rng.gauss(c, 1):.3f}".replace(".", ","),
                f"{1000 * c + rng.uniform(1, 999):,.2f}".translate({44: 46, 46: 44}),
                ["rot", "grün", "blau"][rng.randrange(3)],
                rng.choice(["ja", "nein", "?", "N/A"]),
                f"{1 + i % 28:02d}.03.2024",
                words,
                "",
                "immer",
                ["gut", "schlecht", "selten"][c] if i != 5 else "NULL",
            ]
        )
    rows[20][1], rows[21][1] = "-", "NA"
    text = "sep=;\r\n" + "\r\n".join(";".join(row) for row in rows) + "\r\n"
    path.write_bytes(gzip.compress(text.encode("cp1252")))


def test_a_table_with_every_oddity_prepares_with_a_report_and_trains(tmp_path: Path) -> None:
    odd_table(tmp_path / "odd.csv.gz")
    store = tmp_path / "store"
    given = ["data", "prepare", "table", "target=klasse", "--source", str(tmp_path / "odd.csv.gz")]
    done = CliRunner().invoke(app, [*given, "--out", str(store), "--workers", "1", "--quiet"])
    assert done.exit_code == 0, done.output
    report = done.output.splitlines()

    def printed(*words: str) -> bool:
        return any(all(word in line for word in words) for line in report)

    assert printed("cp1252"), done.output
    assert printed("Datum", "kinds.Datum="), "a date is left out, with the way back"
    assert printed("row numbers") or printed("counter") or printed("''"), done.output
    assert printed("Farbe", "categor"), done.output
    assert printed("Raucher", "categor"), done.output
    assert printed("Notiz", "text"), done.output
    assert printed("leer"), "an empty column"
    assert printed("gleich"), "a constant column"
    assert printed("no-agreed-label 1"), done.output
    assert printed("selten"), "a rare class"
    facts: dict[str, Any] = json.loads((store / "dataset.json").read_text())
    assert {m: s["kind"] for m, s in facts["modalities"].items()} == {
        "table": "table",
        "Notiz": "text",
    }
    assert facts["rows"] == ROWS - 1 == facts["expected"]
    assert facts["task"] == {"kind": "classification", "classes": ["gut", "schlecht", "selten"]}
    train = ["train", str(store / "recipe.yaml"), "--out", str(tmp_path / "run"), "--quiet"]
    done = CliRunner().invoke(app, train)
    assert done.exit_code == 0, done.output
    assert g2d.load(tmp_path / "run").evaluate("test").fused["accuracy"] > 0.6


def test_made_up_inputs_become_sound_stores_or_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz_inputs

    kinds = []
    for number in range(36):
        folder = tmp_path / str(number)
        folder.mkdir()
        kind, detail = fuzz_inputs.outcome(number, folder, train=False)
        assert kind != "fault", f"input {number}: {detail}"
        kinds.append(kind)
    assert kinds.count("kept") > 12
    assert kinds.count("refused") > 2
    for module in ("fuzz_inputs", "made_up_inputs"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_json_array_is_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    rows = [{"größe": i * 1.5, "label": f"Farbe grün {i % 2}"} for i in range(40)]
    source = tmp_path / "t.json"
    source.write_bytes(json.dumps(rows, ensure_ascii=False).encode(encoding))
    plan = plan_table(source, TableOptions())
    assert plan.task["classes"] == ["Farbe grün 0", "Farbe grün 1"]
    assert any("cp1252" in line for line in plan.inferred) == (encoding == "cp1252")
    source.write_bytes(source.read_bytes()[:200] + b"\xc3\xa4\xc3\xb6\xff")
    with pytest.raises(DataError):
        plan_table(source, TableOptions())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipes_are_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match="found a pipe or a device"):
        plan_table(tmp_path / "t.csv", TableOptions())
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(DataError, match="must be regular files"):
        plan_arrays(tmp_path, ArraysOptions())
    lines = ["x,voice,label", *(f"{i},x.{['npy', 'wav'][i % 2]},{i % 2}" for i in range(4))]
    (tmp_path / "u.csv").write_text("\n".join(lines))
    os.mkfifo(tmp_path / "x.wav")

    def prepared(kind: str) -> None:
        plan = plan_table(tmp_path / "u.csv", TableOptions(kinds={"voice": kind}))
        prepare(plan, tmp_path, tmp_path / f"store-{kind}")

    for kind in ("array", "audio"):
        with pytest.raises(DataError):
            prepared(kind)
