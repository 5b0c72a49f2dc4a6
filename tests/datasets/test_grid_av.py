"""GRID: sentences are paired, parsed and cut out of their clips; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2d.datasets.grid_av.reader import GridOptions, file_name, plan_grid
from g2d.datasets.grid_av.sample import DIGIT, alignment, write_alignments, write_sample
from g2d.errors import DataError
from g2d.prepare import prepare


def write_names(folder: Path, sentences: list[str]) -> None:
    """Write the alignments of sentences, and videos without content."""
    write_alignments(folder, sentences)
    for words in sentences:
        (folder / f"{file_name(tuple(words.split()))}.mpg").write_bytes(b"")


def test_the_window_around_the_digit_is_decoded(tmp_path: Path) -> None:
    write_sample(tmp_path, ["bin blue at f one now", "bin blue at f two now"])
    plan = plan_grid(tmp_path, GridOptions())
    assert [(s.id, s.target, s.facts["first_frame"]) for s in plan.samples] == [
        ("bbaf1n", 1, 27),
        ("bbaf2n", 2, 27),
    ]
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("bbag3n", "missing-file")]
    decoded = plan.decode(tmp_path, plan.samples[0])
    video, audio = (np.asarray(decoded.values[m]) for m in ("video", "audio"))
    assert (video.shape, video.dtype) == ((16, 40, 64), np.uint8)
    assert (audio.shape, audio.dtype) == ((5120,), np.int16)
    assert np.abs(audio).max() > 10_000
    with pytest.raises(DataError, match="found 2 of 1000"):
        prepare(plan, tmp_path, tmp_path / "store")


def test_a_damaged_file_moves_no_other_one_to_a_different_split(tmp_path: Path) -> None:
    write_names(
        tmp_path,
        [f"bin {color} at {letter} two now" for color in ("blue", "green") for letter in "abcdef"],
    )

    def splits() -> dict[str, int]:
        plan = plan_grid(tmp_path, GridOptions())
        split = plan.protocols["grid_av/stratified-v1"].tolist()
        return dict(zip([s.id for s in plan.samples], split, strict=True))

    complete = splits()
    assert list(complete.values()) == [0, 0, 2, 0, 1, 0, 0, 2, 0, 0, 0, 0]
    (tmp_path / "bbaa2n.align").unlink()
    (tmp_path / "bbab2n.align").write_text("nothing")
    damaged = ("bbaa2n", "bbab2n")
    assert splits() == {name: split for name, split in complete.items() if name not in damaged}


def test_files_without_a_sentence_as_name_are_ignored_with_a_warning(tmp_path: Path) -> None:
    write_names(tmp_path, ["bin blue at f two now"])
    (tmp_path / "notes.mpg").write_bytes(b"")
    assert plan_grid(tmp_path, GridOptions()).warnings == (
        "1 files without the name of a GRID sentence are ignored, such as notes.mpg",
    )


def test_an_alignment_with_another_sentence_than_its_name_is_skipped(tmp_path: Path) -> None:
    write_names(tmp_path, ["bin blue at f two now", "bin red by f two now"])
    (tmp_path / "brbf2n.align").write_text(alignment("set red by f two now", DIGIT))
    skipped = plan_grid(tmp_path, GridOptions()).skipped
    assert [(skip.id, skip.reason) for skip in skipped] == [("brbf2n", "no-agreed-label")]


@pytest.mark.parametrize("name", ["bbaf2n", "sbwf2a"], ids=["copy", "second-speaker"])
def test_a_color_letter_and_digit_that_occur_twice_are_refused(tmp_path: Path, name: str) -> None:
    write_names(tmp_path, ["bin blue at f two now"])
    (tmp_path / "s2").mkdir()
    (tmp_path / "s2" / f"{name}.mpg").write_bytes(b"")
    with pytest.raises(DataError, match=f"one speaker.*bbaf2n.mpg and s2/{name}.mpg"):
        plan_grid(tmp_path, GridOptions())
