"""CMU-MOSI: CSV files that do not fit together are refused by name and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from g2d.datasets.mosi.reader import MosiOptions, plan_mosi
from g2d.datasets.mosi.sample import write_sample
from g2d.errors import DataError


def first_lines(count: int) -> Callable[[bytes], bytes]:
    return lambda content: b"".join(content.splitlines(keepends=True)[:count])


def written(folder: Path) -> Path:
    """Write three training and two test utterances."""
    write_sample(folder, train=3, test=2)
    return folder


DAMAGE: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("text_test.csv", first_lines(0), "text_test.csv must hold one row or more, found none"),
    (
        "text_train.csv",
        first_lines(2),
        "CSV files of train must have the same rows, "
        "found 3 in audio_train0.csv.* 2 in text_train.csv",
    ),
    (
        "text_train.csv",
        lambda c: c.replace(b'"1"', b'"0"'),
        "must name a line of transcripts.csv once",
    ),
    (
        "text_train.csv",
        lambda c: c.replace(b'"1"', b'"1.5"'),
        "must begin with lines of transcripts.csv",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b'"1"\n', b'"positive"\n'),
        "fourth column the label 0 or 1 .* line 1 is 'video0_0,SOME WORDS,93,positive'",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b',"93","1"\n', b"\n"),
        "fourth column the label 0 or 1 .* line 1 is 'video0_0,SOME WORDS'",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b"WORDS", b"W\xd6RDS", 1),
        "transcripts.csv must be a CSV file in UTF-8",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b"video1_1", b"video1"),
        "line 2 of .*transcripts.csv must begin with VIDEO_NUMBER, found 'video1'",
    ),
    ("transcripts.csv", first_lines(2), "transcripts.csv must have the lines .* up to 4, found 2"),
    (
        "audio/audio_train0.csv",
        lambda c: c[:-40],
        "line 3 of .*audio_train0.csv must hold 74 numbers, found 68",
    ),
    (
        "audio/audio_train0.csv",
        lambda c: c.replace(b'"0.5"', b'"loud"', 1),
        "line 1 of .*audio_train0.csv must hold numbers, found: .*'loud'",
    ),
    (
        "text/text_train0.csv",
        lambda c: c.replace(b'"1"\n', b'"2"\n', 1),
        "must be 0 or 1 and agree .* row 1: 1 in audio_train0.csv, .* 2 in text_train0.csv",
    ),
]


def test_whole_files_are_read(tmp_path: Path) -> None:
    samples = plan_mosi(written(tmp_path), MosiOptions()).samples
    assert [(sample.id, sample.target) for sample in samples] == [
        ("video0_000", 1),
        ("video1_001", 0),
        ("video2_002", 1),
        ("video3_003", 0),
        ("video4_004", 1),
    ]


@pytest.mark.parametrize(
    ("name", "change", "message"), DAMAGE, ids=[f"{name}: {m[:30]}" for name, _, m in DAMAGE]
)
def test_damaged_files_are_refused_by_name_and_line(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path = written(tmp_path) / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        plan_mosi(tmp_path, MosiOptions())


def test_a_transcript_that_is_too_long_is_cut_with_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path) / "transcripts.csv"
    text = path.read_text().replace("SOME WORDS", "A" * 600, 1)
    path.write_text(text.replace("SOME WORDS", "A" * 601, 1))
    plan = plan_mosi(tmp_path, MosiOptions())
    whole, cut = (plan.decode(tmp_path, sample) for sample in plan.samples[:2])
    assert bytes(np.asarray(whole.values["text"])) == b"A" * 600
    assert (whole.warnings, cut.warnings) == ((), ("its transcript is cut off: 600 of 601 bytes",))


@pytest.mark.parametrize(
    ("options", "features"),
    [
        (MosiOptions(), "video features, where used, come from"),
        (MosiOptions(text="vectors"), "video features and text vectors, where used, come from"),
    ],
)
def test_a_caution_names_features_that_know_the_training_labels(
    tmp_path: Path, options: MosiOptions, features: str
) -> None:
    assert plan_mosi(written(tmp_path), options).cautions[0].startswith(features)
