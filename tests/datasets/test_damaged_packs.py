"""Small data sets whose files do not fit together: refused by name, or skipped row by row, never shifted in silence."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from g2d.datasets.opening import read_options

from g2d.datasets import READERS
from g2d.datasets.mmmo.reader import MMMO, POM, SETS, YOUTUBE, Reviews, plan_reviews
from g2d.errors import DataError
from g2d.prepare import Plan


def planned(name: str, source: Path, **options: object) -> Plan:
    return READERS[name].plan(source, read_options(READERS[name], options))


def write_h5(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["d1"] = values


def write_reviews(folder: Path, reviews: Reviews) -> None:
    """Three rows of each split; ``text`` for validation and test only, as published."""
    for split in ("train", "valid", "test"):
        target = np.eye(3) if reviews is YOUTUBE else np.full((3, *reviews.target), 4.0)
        write_h5(folder / f"y_{split}.h5", target if target.ndim > 1 else target[:, None])
        for m, width in reviews.widths.items():
            if m != "text":
                write_h5(folder / f"{m}_{split}.h5", np.ones((3, 20, width)))
            elif split != "train":
                write_h5(folder / f"text_{split}_emb.h5", np.ones((3, 20, width)))


@pytest.mark.parametrize("reviews", SETS.values(), ids=SETS)
def test_whole_reviews_are_read_set_by_set(tmp_path: Path, reviews: Reviews) -> None:
    write_reviews(tmp_path / reviews.name, reviews)
    plan = planned(reviews.name, tmp_path)
    assert (len(plan.samples), plan.protocols[f"{reviews.name}/official"].tolist()) == (
        9,
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
    )
    assert plan.samples[1].target == {"mmmo": 1, "youtube": 1, "pom": (4.0,) * 17}[reviews.name]


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        (
            "y_train.h5",
            np.ones((2, 1)),
            "train files of .*mmmo must hold as many rows of everything, found 3 of audio, 3 of video, 2 of target",
        ),
        ("audio_test.h5", np.ones((1, 20, 74)), "test files .* found 1 of audio"),
        ("text_valid_emb.h5", np.ones((4, 20, 300)), "valid files .* 4 of text"),
        (
            "video_valid.h5",
            np.ones((3, 20, 41)),
            r"video of valid files of .*mmmo must have rows of shape \(20, 36\), found an array of \(3, 20, 41\)",
        ),
        (
            "y_test.h5",
            np.eye(3),
            r"target of test files .* must have rows of shape \(\), found an array of \(3, 3\)",
        ),
        ("audio_train.h5", np.full((3, 20, 74), b"x"), "must hold numbers"),
    ],
)
def test_files_of_reviews_that_do_not_fit_together_are_refused(
    tmp_path: Path, file: str, values: np.ndarray, said: str
) -> None:
    write_reviews(tmp_path / "mmmo", MMMO)
    write_h5(tmp_path / "mmmo" / file, values)
    with pytest.raises(DataError, match=said):
        planned("mmmo", tmp_path)


@pytest.mark.parametrize(
    ("written", "read"), [(MMMO, YOUTUBE), (YOUTUBE, MMMO), (POM, MMMO), (MMMO, POM)]
)
def test_reviews_of_one_set_are_not_taken_for_those_of_another(
    tmp_path: Path, written: Reviews, read: Reviews
) -> None:
    write_reviews(tmp_path / "files", written)
    with pytest.raises(DataError, match="Is it another data set's"):
        planned(read.name, tmp_path / "files")


def test_reviews_without_a_usable_target_are_skipped(tmp_path: Path) -> None:
    write_reviews(tmp_path / "youtube", YOUTUBE)
    write_h5(tmp_path / "youtube" / "y_train.h5", np.array([[0, 1, 0], [0, 0, 0], [0.5, 0.5, 0]]))
    write_reviews(tmp_path / "mmmo", MMMO)
    write_h5(tmp_path / "mmmo" / "y_train.h5", np.array([[5.0], [np.nan], [1.0]]))
    assert [skip.id for skip in planned("youtube", tmp_path).skipped] == [
        "youtube_0001",
        "youtube_0002",
    ]
    plan = planned("mmmo", tmp_path)
    assert [(skip.id, skip.reason, skip.detail) for skip in plan.skipped] == [
        ("mmmo_0001", "no-agreed-label", "its target is nan")
    ]
    assert [(sample.id, sample.target) for sample in plan.samples[:2]] == [
        ("mmmo_0000", 1),
        ("mmmo_0002", 0),
    ]


def test_a_step_that_holds_the_filler_is_set_to_zero_and_masked(tmp_path: Path) -> None:
    write_reviews(tmp_path / "mmmo", MMMO)
    audio = np.ones((3, 20, 74))
    audio[1, 4, 7], audio[1, 5] = -255, 0
    write_h5(tmp_path / "mmmo" / "audio_train.h5", audio)
    plan = planned("mmmo", tmp_path)
    decoded = plan.decode(tmp_path, plan.samples[1])
    assert np.flatnonzero(~decoded.masks["audio"]).tolist() == [4, 5]
    assert not np.asarray(decoded.values["audio"])[4].any()
    assert decoded.masks["video"].all()


def test_rows_without_any_step_are_counted_aloud(tmp_path: Path) -> None:
    write_reviews(tmp_path / "mmmo", MMMO)
    for m, width in (("audio", 74), ("video", 36)):
        write_h5(tmp_path / "mmmo" / f"{m}_test.h5", np.zeros((3, 20, width)))
    assert any(
        "3 of 9 rows hold neither sound nor face" in sentence
        for sentence in planned("mmmo", tmp_path).warnings
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [("pom", {"text": True}), ("pom", {"regression": False}), ("youtube", {"regression": True})],
)
def test_an_option_that_a_set_of_reviews_has_not_is_refused(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    with pytest.raises(DataError, match=f"{next(iter(options))}: Extra inputs"):
        planned(name, tmp_path, **options)


def write_mosi(folder: Path) -> Path:
    """Three utterances to learn from and two to test, in the files of bc-LSTM."""
    labels = {"train": [1, 0, 1], "test": [0, 1]}
    lines = {"train": [0, 1, 2], "test": [3, 4]}
    spoken = [
        [f"video_{i}", "SOME WORDS", "93", label]
        for i, label in enumerate([*labels["train"], *labels["test"]])
    ]
    tables: dict[str, list[list[object]]] = {"transcripts.csv": spoken}
    for part, known in labels.items():
        for m, width in (("audio", 73), ("video", 100), ("text", 100)):
            tables[f"{m}/{m}_{part}0.csv"] = [[*[0.5] * width, label] for label in known]
        tables[f"text_{part}.csv"] = [[line, 0.5] for line in lines[part]]
    for name, rows in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return folder


def first_lines(count: int) -> Callable[[bytes], bytes]:
    return lambda content: b"".join(content.splitlines(keepends=True)[:count])


MOSI_DAMAGE: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("text_test.csv", first_lines(0), "text_test.csv must hold one row or more, found none"),
    (
        "text_train.csv",
        first_lines(2),
        "CSV files of train must have the same rows, found 3 in audio_train0.csv.* 2 in text_train.csv",
    ),
    (
        "text_train.csv",
        lambda c: c.replace(b'"1"', b'"0"'),
        "must name a line of transcripts.csv once",
    ),
    ("text_train.csv", lambda c: c.replace(b'"1"', b'"1.5"'), "must be lines of transcripts.csv"),
    (
        "transcripts.csv",
        lambda c: c.replace(b'"1"\n', b'"positive"\n'),
        "fourth column the label 0 or 1 .* line 1 is 'video_0,SOME WORDS,93,positive'",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b',"93","1"\n', b"\n"),
        "fourth column the label 0 or 1 .* line 1 is 'video_0,SOME WORDS'",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b"WORDS", b"W\xd6RDS", 1),
        "transcripts.csv must be a CSV file in UTF-8",
    ),
    (
        "transcripts.csv",
        lambda c: c.replace(b"video_1", b"video1"),
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


@pytest.mark.parametrize(
    ("name", "change", "said"),
    MOSI_DAMAGE,
    ids=[f"{name}: {said[:30]}" for name, _, said in MOSI_DAMAGE],
)
def test_damaged_files_of_mosi_are_refused_by_name_and_line(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    assert [sample.id for sample in planned("mosi", write_mosi(tmp_path / "whole")).samples] == [
        f"video_{i:03d}" for i in range(5)
    ]
    path = write_mosi(tmp_path / "damaged") / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        planned("mosi", tmp_path / "damaged")


def test_a_transcript_of_mosi_is_stored_whole_or_said_to_be_cut(tmp_path: Path) -> None:
    path = write_mosi(tmp_path) / "transcripts.csv"
    path.write_text(
        path.read_text().replace("SOME WORDS", "A" * 600, 1).replace("SOME WORDS", "A" * 601, 1)
    )
    plan = planned("mosi", tmp_path)
    whole, cut = (plan.decode(tmp_path, sample) for sample in plan.samples[:2])
    assert bytes(np.asarray(whole.values["text"])) == b"A" * 600
    assert (whole.warnings, cut.warnings) == ((), ("its transcript is cut off: 600 of 601 bytes",))


def test_numbers_of_mosi_that_know_the_training_labels_are_named(tmp_path: Path) -> None:
    write_mosi(tmp_path)
    assert (
        planned("mosi", tmp_path)
        .cautions[0]
        .startswith("video features come from networks that were trained on the training rows")
    )
    assert (
        planned("mosi", tmp_path, text="vectors")
        .cautions[0]
        .startswith("video features and text vectors come from")
    )


HOUSES = ["4 4 4053 85255 869500", "4 3 3343 36372 865200", "3 4 3923 85266 889000"]


def write_houses(folder: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    """The table of the authors; photographs are not looked into."""
    (folder / "Houses Dataset").mkdir(parents=True)
    (folder / "Houses Dataset" / "HousesInfo.txt").write_text(
        "\n".join(lines) + "\n", encoding=encoding
    )
    for number in range(1, len(HOUSES) + 1):
        (folder / "Houses Dataset" / f"{number}_frontal.jpg").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "4 3 3343 36372 0",
        "4 3 3343 36372 -5",
        "4 3 3343 36372 nan",
        "4 3 0 36372 865200",
        "4 3 -1 36372 865200",
        "nan 3 1 3 865200",
    ],
)
def test_a_house_whose_numbers_mean_nothing_is_skipped(tmp_path: Path, line: str) -> None:
    plan = planned("houses", write_houses(tmp_path, [HOUSES[0], line, HOUSES[2]]))
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("002", "non-finite")]
    assert [(sample.id, sample.target) for sample in plan.samples] == [
        ("001", 869500),
        ("003", 889000),
    ]


@pytest.mark.parametrize(
    ("lines", "encoding", "said"),
    [
        (HOUSES, "utf-16", "HousesInfo.txt must be a text in UTF-8"),
        (
            HOUSES[1:],
            "utf-8",
            "must have a line for every house, found 2 and photographs of house 3",
        ),
        (
            [*HOUSES[:2], "", "3 4 3923 85266"],
            "utf-8",
            "line 4 of .*HousesInfo.txt must be bedrooms bathrooms area zipcode price, found '3 4 3923 85266'",
        ),
    ],
)
def test_a_damaged_table_of_houses_is_refused(
    tmp_path: Path, lines: list[str], encoding: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        planned("houses", write_houses(tmp_path, lines, encoding))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.txt": "x"}, "houses.zip must hold houses.csv in UTF-8, found: .*houses.csv"),
        (
            {"houses.csv": "house,bedrooms,bathrooms,area_sqft,zipcode\n1,4,4,4053,85255\n"},
            "must have the columns house.* found no price_usd",
        ),
        (
            {
                "houses.csv": "house,bedrooms,bathrooms,area_sqft,zipcode,price_usd\n1,4,4,big,85255,5\n"
            },
            "line 2 of houses.csv .* found '4 4 big 85255 5'",
        ),
    ],
)
def test_a_pack_of_houses_that_lacks_its_table_is_refused(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    with zipfile.ZipFile(tmp_path / "houses.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match=said):
        planned("houses", tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "lacking"),
    [
        ("grid_av", "grid_s1_digit_windows.npz", "name"),
        ("mosi", "mosi_utterances.npz", "audio"),
        ("mmmo", "mmmo_sequences.npz", "audio"),
        ("pom", "pom_sequences.npz", "audio"),
    ],
)
def test_a_pack_without_its_arrays_is_refused_by_the_name_of_one(
    tmp_path: Path, name: str, file: str, lacking: str
) -> None:
    np.savez(tmp_path / file, other=np.zeros(3))
    with pytest.raises(DataError, match=f"{file} must hold .*, found no {lacking}"):
        planned(name, tmp_path)


def test_a_pack_whose_text_is_of_other_rows_than_it_says_is_refused(tmp_path: Path) -> None:
    rows = {
        "audio": np.ones((4, 20, 74)),
        "video": np.ones((4, 20, 36)),
        "target": np.ones(4),
        "split": np.zeros(4, np.uint8),
    }
    np.savez(
        tmp_path / "mmmo_sequences.npz",
        **rows,
        text=np.ones((3, 20, 300)),
        has_text=np.array([True, True, False, False]),
    )
    with pytest.raises(DataError, match="found 3 of text, 2 of has_text"):
        plan_reviews(MMMO, tmp_path, MMMO.options())
