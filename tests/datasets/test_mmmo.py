"""ICT-MMMO: the HDF5 files of the splits are read together, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2d.datasets.mmmo.reader import MMMOOptions, plan_mmmo
from g2d.datasets.mmmo.sample import write_array, write_sample
from g2d.errors import DataError


def test_the_splits_of_the_files_are_the_protocol(tmp_path: Path) -> None:
    write_sample(tmp_path / "mmmo")
    plan = plan_mmmo(tmp_path, MMMOOptions())
    assert plan.protocols["mmmo/official"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert {sample.target for sample in plan.samples} == {1}
    scores = plan_mmmo(tmp_path, MMMOOptions(regression=True))
    assert {sample.target for sample in scores.samples} == {4.0}


def test_text_is_missing_in_the_training_rows(tmp_path: Path) -> None:
    write_sample(tmp_path)
    plan = plan_mmmo(tmp_path, MMMOOptions(text=True))
    assert any("only other rows have text" in text for text in plan.warnings)
    decoded = [plan.decode(tmp_path, sample) for sample in plan.samples]
    assert [row.values["text"] is not None for row in decoded] == [False] * 3 + [True] * 6


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        (
            "y_train.h5",
            np.ones((2, 1)),
            "train files of .*mmmo must have the same rows, "
            "found 3 of audio, 3 of video, 2 of target",
        ),
        ("audio_test.h5", np.ones((1, 20, 74)), "test files .* found 1 of audio"),
        ("text_valid_emb.h5", np.ones((4, 20, 300)), "valid files .* 4 of text"),
        (
            "video_valid.h5",
            np.ones((3, 20, 41)),
            r"video_valid.h5 must have rows of shape \(20, 36\), found \(20, 41\)",
        ),
        ("y_test.h5", np.eye(3), r"y_test.h5 must have rows of shape \(\), found \(3,\)"),
        ("audio_train.h5", np.full((3, 20, 74), b"x"), "must hold numbers"),
        ("audio_train.h5", None, "must hold HDF5 data d1"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    tmp_path: Path, file: str, values: np.ndarray | None, message: str
) -> None:
    write_sample(tmp_path / "mmmo")
    path = tmp_path / "mmmo" / file
    if values is None:
        path.write_bytes(b"damage")
    else:
        write_array(path, values)
    with pytest.raises(DataError, match=message):
        plan_mmmo(tmp_path, MMMOOptions())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_sample(tmp_path)
    (tmp_path / "audio_valid.h5").unlink()
    with pytest.raises(DataError, match=r"found no audio_valid\.h5"):
        plan_mmmo(tmp_path, MMMOOptions())


def test_text_without_files_is_refused(tmp_path: Path) -> None:
    write_sample(tmp_path)
    for path in tmp_path.glob("text_*"):
        path.unlink()
    with pytest.raises(DataError, match=r"text=true needs the files text_\*_emb.h5, found none"):
        plan_mmmo(tmp_path, MMMOOptions(text=True))


def test_reviews_without_a_finite_score_are_skipped(tmp_path: Path) -> None:
    write_sample(tmp_path)
    write_array(tmp_path / "y_train.h5", np.array([[5.0], [np.nan], [1.0]]))
    plan = plan_mmmo(tmp_path, MMMOOptions())
    assert [(skip.id, skip.reason, skip.detail) for skip in plan.skipped] == [
        ("mmmo_0001", "no-agreed-label", "its target is nan")
    ]
    assert [(sample.id, sample.target) for sample in plan.samples[:2]] == [
        ("mmmo_0000", 1),
        ("mmmo_0002", 0),
    ]


def test_steps_with_the_filler_are_set_to_zero_and_masked(tmp_path: Path) -> None:
    write_sample(tmp_path)
    audio = np.ones((3, 20, 74))
    audio[1, 4, 7], audio[1, 5] = -255, 0
    write_array(tmp_path / "audio_train.h5", audio)
    plan = plan_mmmo(tmp_path, MMMOOptions())
    decoded = plan.decode(tmp_path, plan.samples[1])
    assert np.flatnonzero(~decoded.masks["audio"]).tolist() == [4, 5]
    assert not np.asarray(decoded.values["audio"])[4].any()
    assert decoded.masks["video"].all()


def test_a_warning_counts_the_rows_without_any_step(tmp_path: Path) -> None:
    write_sample(tmp_path)
    for m, width in (("audio", 74), ("video", 36)):
        write_array(tmp_path / f"{m}_test.h5", np.zeros((3, 20, width)))
    warnings = plan_mmmo(tmp_path, MMMOOptions()).warnings
    assert any("3 of 9 rows have neither sound nor face" in text for text in warnings)
