"""Tables of the paper as commands: what is listed, what is run, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import g2d
from g2d.cli import app
from g2d.errors import ArgumentError
from g2d.paper import grid
from g2d.runs import read_run
from support.made_up import made_clips

TINY = (
    "epochs=1",
    "data.eval_draws=1",
    "encoders.image={name: cnn, widths: [4, 4], pool: 1}",
    "encoders.tone={name: mlp, widths: [8]}",
)
"""Overrides that make runs on digits short."""


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["reproduce", *map(str, words)], env={"COLUMNS": "200"})


def listed(output: str) -> list[str]:
    """Return the names of the runs that a dry run lists."""
    return re.findall(r"^(\S+-\S+) .* \d+ of \d+$", output, re.MULTILINE)


def test_a_dry_run_lists_the_36_runs_of_table_1_and_what_must_be_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_DATA", str(tmp_path / "data"))
    result = call("table1", "--dry-run", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    names = [f"{d}-{m}" for d in grid.DATASETS["1"] for m in grid.METHODS["1"]]
    assert listed(result.output) == names
    assert "0 of 36 are finished" in result.output
    for dataset, words in (
        ("crema_d", "crema_d frames=legacy keep_known_bad=true"),
        ("av_mnist", "av_mnist"),
        ("vggsound", "vggsound frames=legacy"),
    ):
        sentence = f"{dataset} is not prepared: run g2d data prepare {words} --source DIR --out "
        assert result.output.count(sentence + str(tmp_path / "data")) == 1
    refused = call("table1", "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "run g2d data prepare vggsound frames=legacy" in refused.output
    assert not (tmp_path / "out").exists()


def test_other_problems_get_every_distinct_run_once(tmp_path: Path) -> None:
    out = ("--dry-run", "--out", tmp_path)
    assert listed(call("table4", "--data", "digits", *out).output) == [
        f"digits-{method}" for method in grid.METHODS["4"]
    ]
    trio = ("image-tone", "image-word", "tone-word", "")
    assert listed(call("table2", "--data", "digits", *out).output) == [
        "-".join(["digits-trio", *filter(None, [pair, method])])
        for pair in trio
        for method in grid.METHODS["2"]
    ]
    alone = ["image-joint", "tone-joint", "joint", "mis_me", "g2d"]
    regression = listed(call("table3", "--data", "digits/regression", *out).output)
    assert regression == [f"digits-regression-{name}" for name in alone]
    schedules = call("table7", "--data", "digits/mild", *out).output
    assert listed(schedules) == [
        *(f"digits-mild-g2d-tau-{first}-15" for first in (0, 5, 10)),
        "digits-mild-g2d",
    ]
    assert (
        "7 runs of Table 7 in the paper correspond to 4 distinct runs on digits/mild." in schedules
    )
    assert (
        "Without a counterpart on digits/mild: audio + video + text of iemocap: (0, 0, 150), "
        "(50, 50, 150), (75, 75, 150)."
    ) in schedules


def test_a_table_is_rerun_on_digits_and_finished_runs_are_not_repeated(tmp_path: Path) -> None:
    words = ("table4", "--data", "digits", "--methods", "joint,g2d-loss", "--quiet")
    first = call(*words, "--out", tmp_path, *TINY)
    assert first.exit_code == 0, first.output
    runs = sorted((tmp_path / "leak-free").glob("digits-*/seed-0"))
    assert [run.parent.name for run in runs] == ["digits-g2d-loss", "digits-joint"]
    written = [(run / "result.json").stat().st_mtime_ns for run in runs]
    again = call(*words, "--seeds", "1", "--out", tmp_path, *TINY)
    assert again.output.count("there is nothing left to do") == 2
    assert [(run / "result.json").stat().st_mtime_ns for run in runs] == written
    finished = call(*words, "--dry-run", "--seeds", "2", "--out", tmp_path, *TINY)
    assert "2 of 4 are finished" in finished.output
    score = 100 * (read_run(runs[1]).fused("accuracy") or 0)
    row = rf"joint\W+{score:.2f}\W"
    for text in (first.output, (tmp_path / "table4.md").read_text()):
        assert re.search(row, text), text
    page = (tmp_path / "table4.html").read_text()
    assert "Table 4, digits: test accuracy" in page
    other = call("table4", "--data", "digits", "--methods", "joint", "--out", tmp_path, "epochs=3")
    assert other.exit_code == 2
    assert "must have the same recipe to be resumed" in other.output


def test_the_paper_protocol_trains_on_the_validation_rows_and_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G2D_DATA", str(tmp_path))
    place = [[0, 0, 0, 1, 2][i // 4 % 5] for i in range(40)]
    parameters = grid.PROTOCOLS["crema_d"]["data.prepare"]
    protocols = {"crema_d/legacy": np.array(place, np.int8)}
    made_clips(
        tmp_path, "crema_d_paper", name="crema_d", protocols=protocols, parameters=parameters
    )
    missing = call("table1", "--dry-run", "--out", tmp_path / "out").output
    assert "crema_d is not prepared" not in missing
    assert "av_mnist is not prepared" in missing
    small = {m: {"name": "mlp", "widths": [4]} for m in ("audio", "video")}
    result = g2d.reproduce(
        1, data="crema_d", methods=["joint", "umt"], out=tmp_path / "out", progress=False,
        say=lambda _: None, epochs=1, encoders=small,
    )  # fmt: skip
    assert len(result.runs) == 2
    joint = result.runs[0].result
    assert joint.data.rows == {"train": 32, "valid": 8, "test": 8}
    assert joint.selected_on_test
    assert joint.test.fused["accuracy"] == joint.valid.fused["accuracy"]
    (table,) = result.tables
    assert "selected by accuracy on the test split" in table.notes[0]
    rows = {row.name: row for row in table.rows}
    assert rows["joint"].marks == ("test",)
    assert [*rows] == ["teachers alone", "joint", "umt"]
    published, measured, difference = (cell.value for cell in rows["joint"].cells[-3:])
    assert published == 67.47
    assert measured == pytest.approx(100 * joint.test.fused["accuracy"])
    assert difference == pytest.approx(measured - 67.47)
    assert (
        repr(result)
        == "Reproduction of Table 1, crema_d, audio + video from 2 runs; print() shows it"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table8"], "table must be one of table1, .*, found 'table8'"),
        (["table1", "--data", "crema"], "--data must be a data set of .*Did you mean 'crema_d'"),
        (["table1", "--methods", "mis_me"], "a method of table 1 must be one of joint, .*'mis_me'"),
        (["table1", "--data", "digits", "--protocol", "paper"], "protocol must be leak-free"),
        (["table1", "--data", "digits", "method=joint"], "method must be left out, found 'joint'"),
        (["table1", "--data", "digits", "epochs=many"], "epochs must be a whole number"),
        (["table7", "--data", "digits", "epochs=2"], r"epochs must be 6 or more for .*\(50, 150\)"),
        (["table1", "--data", "./none.yaml"], "no such file"),
        (["table1", "--data", "digits", "alpha"], "must be written key=value"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_in_a_sentence(words: list[str], sentence: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert re.search(sentence, result.output), result.output


def test_a_number_of_seeds_below_one_is_refused() -> None:
    with pytest.raises(ArgumentError, match="seeds must be 1 or more, found 0"):
        g2d.reproduce("table1", seeds=0)
