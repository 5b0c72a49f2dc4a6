"""Many runs at once: the table is that of one run after another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.errors import ArgumentError
from g2d.experiment.comparing import Comparison, compare
from g2d.recipe import Recipe

WORDS = ("digits/small", "epochs=2", "--methods", "joint,g2d", "--seeds", "1")


def comparison(out: Path, **launch: Any) -> Comparison:
    """Compare two recipes and one that fails."""
    given = [
        Recipe.load("digits/small", ["epochs=2", "method=joint", "name=joint"]),
        Recipe.load("digits/small", ["epochs=2", "method=g2d", "name=g2d"]),
        Recipe.load("digits/small", ["epochs=2", "method=joint", "name=bad", "train.lr=1e20"]),
        Recipe.load("digits/small", ["epochs=2", "method=mis_me", "name=mis_me"]),
    ]
    return compare(given, seeds=1, out=out, progress=False, say=lambda text: None, **launch)


def without_times(out: Path) -> Any:
    """Return the tables without the two columns of seconds."""
    tables = json.loads((out / "compare.json").read_text())["tables"]
    for table in tables:
        kept = [i for i, column in enumerate(table["columns"]) if column["unit"] != "s"]
        assert len(kept) == len(table["columns"]) - 2
        for row in table["rows"]:
            row["cells"] = [row["cells"][i] for i in kept]
    return tables


def same_as_serial(serial: Path, other: Path) -> None:
    """Check tables and everything that determines a result, bit for bit."""
    assert without_times(other) == without_times(serial)
    for path in serial.glob("*/seed-*/result.json"):
        one, two = (
            json.loads((out / path.relative_to(serial)).read_text()) for out in (serial, other)
        )
        assert one["test"] == two["test"]
        assert one["valid"] == two["valid"]
        assert one["controls"] == two["controls"]
        predictions = path.parent / "predictions" / "test.npz"
        again = other / predictions.relative_to(serial)
        assert predictions.read_bytes() == again.read_bytes()


@pytest.mark.slow
def test_shares_and_jobs_give_the_table_of_one_run_after_another(tmp_path: Path) -> None:
    serial, jobs = tmp_path / "serial", tmp_path / "jobs"
    for shard in ("1/2", "2/2"):
        assert comparison(serial, shard=shard).tables == []
    results = sorted(serial.glob("*/seed-0/result.json"))
    assert [path.parts[-3] for path in results] == ["g2d", "joint", "joint-warm"]
    written = [path.stat().st_mtime_ns for path in results]
    reference = comparison(serial)
    assert len(reference.runs) == 3
    assert [path.stat().st_mtime_ns for path in results] == written  # no run is trained again
    (failure,) = reference.failures
    assert failure.cell == "bad, seed 0"
    assert "finite" in failure.reason
    assert "1 run failed; the rest is finished." in str(reference)
    (skipped,) = reference.skipped
    assert skipped.startswith("mis_me is left out: ")

    parallel = comparison(jobs, jobs=2, oversubscribe=True)
    assert [(one.cell, one.reason) for one in parallel.failures] == [(failure.cell, failure.reason)]
    assert parallel.skipped == reference.skipped
    same_as_serial(serial, jobs)
    teachers = sorted(path.name for path in (serial / "teachers").iterdir())
    assert sorted(path.name for path in (jobs / "teachers").iterdir()) == teachers


def test_teachers_are_trained_each_once_and_reused_by_the_comparison(tmp_path: Path) -> None:
    def call(command: str, *more: str) -> str:
        words = [command, *WORDS, "--out", str(tmp_path), "--quiet", *more]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        return result.output

    assert "2 teachers trained, 0 finished before." in call("teachers")
    assert "0 teachers trained, 2 finished before." in call("teachers")
    assert "training, because" not in call("compare", "--shard", "2/3")
    script = call("compare", "--dry-run")
    assert "#SBATCH --array=1,3\n" in script
    words = f"digits/small epochs=2 --methods joint,g2d --seeds 1 --out {tmp_path}"
    assert f"\n#   g2d teachers {words}\n" in script
    assert f"\ng2d compare {words} --quiet --shard " in script


def test_a_local_ray_gives_the_same_table(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(ArgumentError, match="ray must be the address of a cluster that runs"):
        comparison(tmp_path / "nowhere", ray="127.0.0.1:1")
    comparison(tmp_path / "serial")
    other = comparison(tmp_path / "ray", ray="local")
    assert [one.cell for one in other.failures] == ["bad, seed 0"]
    same_as_serial(tmp_path / "serial", tmp_path / "ray")
