"""Results, epochs and diagnoses: typed when read, and written again byte for byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from g2d.errors import RunError
from g2d.manifest import hashes, unsigned, write_signed
from g2d.report import groups_of
from g2d.report.page import chapters_of, render_page
from g2d.runs import (
    ANALYSIS,
    METRICS,
    PREDICTIONS,
    RECIPE,
    RESULT,
    Analysis,
    Result,
    RunRecord,
    find_runs,
    read_analysis,
    read_epochs,
    read_result,
    read_run,
)
from support.written_runs import plain_result, result_of, write_run

GOLDEN = Path(__file__).parent / "golden"
"""A run folder that version 0.1.0 wrote."""


def page_of(run: RunRecord) -> str:
    groups = groups_of([run])
    return render_page(groups, chapters_of(groups))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "g2d" / "seed-0", "g2d", 0, 0.7, with_teachers=True)


def test_a_result_is_read_into_attributes(folder: Path) -> None:
    run = read_run(folder)
    assert run.result.teachers["image"].confidence["test"] == 0.6
    assert run.result.controls["ensemble_calibrated"].head_weights == {"image": 1.0, "tone": 0.5}
    assert (run.headline, run.fused("accuracy"), run.fused("r2")) == ("accuracy", 0.7, None)
    assert run.unimodal("tone", "accuracy") == pytest.approx(0.5)
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3, 4]
    assert run.epochs[0].train["confidence/tone"] == 0.2


def test_a_result_is_written_with_the_same_bytes_as_it_was_read(folder: Path) -> None:
    plain = plain_result("g2d", 0, 0.7, with_teachers=True, stack={"teacher_sets": 1, "later": [1]})
    plain["invented"] = {"by": "a later version"}
    write_signed(folder / RESULT, plain)
    text = (folder / RESULT).read_text()
    result = read_result(folder)
    assert result is not None
    result.write(folder)
    assert (folder / RESULT).read_text() == text


def test_a_folder_of_version_0_1_0_opens_and_is_written_with_a_signature_and_the_same_bytes(
    tmp_path: Path,
) -> None:
    golden = read_run(GOLDEN)
    golden.result.write(tmp_path)
    signed_now = (tmp_path / RESULT).read_text().partition(',\n "signed": ')
    assert signed_now[0] + "\n}\n" == (GOLDEN / RESULT).read_text()
    lines = [json.dumps(epoch.plain()) for epoch in golden.epochs]
    assert lines == (GOLDEN / METRICS).read_text().splitlines()
    assert golden.epochs[1].train["kappa/tone"] == 0.0
    assert golden.result.teachers["image"].confidence_ratio == pytest.approx(1.3353, abs=1e-4)
    assert "digits-g2d leaves tone at 19.9 % (its teacher alone: 27.6 %)" in page_of(golden)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"name": "\xe9"}', b"\0", b"1" * 10_000])
def test_bytes_of_any_kind_are_damage_that_a_sentence_names(folder: Path, content: bytes) -> None:
    for name, read in ((RESULT, read_result), (METRICS, read_epochs), (ANALYSIS, read_analysis)):
        (folder / name).write_bytes(content)
        with pytest.raises(RunError, match=f"{name} must .*, found") as caught:
            read(folder)
        assert len(str(caught.value)) < 600
    (folder / RECIPE).write_bytes(content)
    assert isinstance(RunRecord(folder, result_of("joint", 3, 0.5)).recipe_text, str)


def test_the_representation_of_a_result_is_one_line() -> None:
    assert repr(result_of("joint", 3, 0.5)) == (
        "Result('joint', seed 3, epoch 3 of 4; test accuracy: fused 0.500, image 0.400, tone 0.300)"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 0}, "must have schema 1, found 0. An earlier version of g2d wrote it"),
        ({"schema": 7}, "must have schema 1, found 7. A later version of g2d wrote it"),
        ({"schema": None}, "must have schema 1, found none"),
        ({"test": 3}, "must hold a complete result, found damage: test: .*, found 3"),
        ({"data": {}}, "found damage: data.name is missing. Delete it and train again"),
    ],
)
def test_damage_and_other_versions_are_one_sentence(
    folder: Path, change: dict[str, Any], sentence: str
) -> None:
    (folder / RESULT).write_text(json.dumps(plain_result("g2d", 0, 0.7) | change))
    with pytest.raises(RunError, match=sentence):
        read_result(folder)


@pytest.mark.parametrize("name", [RESULT, METRICS, ANALYSIS])
@pytest.mark.parametrize("content", ["{", "[3]", '{"schema": 1, "complete": true, "verdict": 1}'])
def test_every_damaged_file_is_refused_by_its_path(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(RunError, match=f"{name} must (be|hold|have) .*found"):
        read_result(folder), read_epochs(folder), read_analysis(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (RESULT, lambda text: text.replace('"fused"', '"fuse"', 1)),
        (RESULT, lambda text: text.replace("0.7", "0.3", 1)),
        (METRICS, lambda text: text.replace("0.", "1.", 1)),
        (METRICS, lambda text: ""),
        (RECIPE, lambda text: text + "# a remark"),
        (RECIPE, lambda text: text[: len(text) // 2] + "}["),
        (ANALYSIS, lambda text: text.replace("well", "bad")),
        (PREDICTIONS, lambda text: text + "x"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_changed_run_is_left_out_with_its_reason_and_the_others_are_reported(
    tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    for seed in range(2):
        folder = write_run(tmp_path / f"seed-{seed}", "joint", seed, 0.7)
        (folder / PREDICTIONS).parent.mkdir()
        (folder / PREDICTIONS).write_text("logits")
        Analysis.model_validate({"modalities": {"image": {"state": "well"}}}).write(folder)
        content = plain_result("joint", seed, 0.7)
        content["files"] = hashes(folder, (METRICS, RECIPE, PREDICTIONS))
        write_signed(folder / RESULT, content)
    assert len(find_runs([tmp_path])[0]) == 2
    path = tmp_path / "seed-1" / name
    assert change(path.read_text()) != path.read_text()
    path.write_text(change(path.read_text()))
    runs, (left_out,) = find_runs([tmp_path])
    assert [run.seed for run in runs] == [0]
    assert str(left_out).startswith(f"{tmp_path / 'seed-1'} is left out: ")
    assert name in str(left_out)
    groups = groups_of(runs)
    page = render_page(groups, chapters_of(groups), left_out=[left_out])
    assert "is left out: " in page
    with pytest.raises(RunError, match=r"found none \(0 unfinished\)\.\n.*is left out"):
        find_runs([tmp_path / "seed-1"])


def test_an_incomplete_result_is_no_result(folder: Path) -> None:
    (folder / RESULT).write_text(json.dumps({"schema": 1, "complete": False}))
    assert read_result(folder) is None
    with pytest.raises(RunError, match="must be a finished run, found no complete result"):
        read_run(folder)


def test_runs_are_found_in_natural_order_and_each_only_once(tmp_path: Path) -> None:
    for seed in (10, 2):
        write_run(tmp_path / "joint" / f"seed-{seed}", "joint", seed, 0.5)
    write_run(tmp_path / "joint" / "seed-3", "joint", 3, 0.5).joinpath(RESULT).unlink()
    runs, left_out = find_runs([tmp_path, tmp_path / "joint" / "seed-2"])
    assert [run.seed for run in runs] == [2, 10]
    assert list(map(str, left_out)) == [
        f"{tmp_path / 'joint' / 'seed-3'} is not finished and is left out."
    ]
    with pytest.raises(RunError, match="no such folder"):
        find_runs([tmp_path / "nothing"])
    with pytest.raises(RunError, match=r"at least one finished run, found none \(1 unfinished\)"):
        find_runs([tmp_path / "joint" / "seed-3"])


def test_methods_of_a_comparison_keep_the_order_in_which_they_were_started(tmp_path: Path) -> None:
    for start, name in enumerate(("umt", "joint", "g2d")):
        for seed in (1, 0):
            recipe = write_run(tmp_path / name / f"seed-{seed}", name, seed, 0.5) / RECIPE
            os.utime(recipe, (start, start))
    runs, _ = find_runs([tmp_path])
    assert [run.name for run in runs[::2]] == ["umt", "joint", "g2d"]
    assert [run.seed for run in runs] == [0, 1] * 3


def test_a_diagnosis_keeps_the_names_of_its_file(tmp_path: Path) -> None:
    plain = {
        "verdict": ["image is suppressed"],
        "modalities": {"image": {"inside the model": 0.5, "gap": [0.2, 0.1, 0.3], "state": "well"}},
        "score_of_every_subset": {"none": 0.1},
        "reliability": {"points": {"image": [[0.5, 0.25]]}, "x": "confidence", "joined": True},
        "later": [1, 2],
    }
    Analysis.model_validate({**plain, "alignment_with_teacher": {}}).write(tmp_path)
    assert unsigned(json.loads((tmp_path / ANALYSIS).read_text())) == plain
    analysis = read_analysis(tmp_path)
    assert analysis is not None
    assert analysis.modalities["image"].gap == (0.2, 0.1, 0.3)
    assert analysis.reliability is not None
    assert analysis.reliability.points == {"image": [(0.5, 0.25)]}
    assert repr(analysis) == "Analysis(image: well)"
    assert read_analysis(tmp_path / "nothing") is None
    (tmp_path / ANALYSIS).write_text('{"name": null}')
    with pytest.raises(RunError, match="found damage: it holds no part of a diagnosis"):
        read_analysis(tmp_path)


def test_a_result_can_be_built_in_python(tmp_path: Path) -> None:
    built = Result(**plain_result("joint", 0, 0.5))
    built.write(tmp_path)
    assert read_result(tmp_path) == built
