"""Messages about skipped samples name the cause and what repairs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.errors import REASONS, DataError
from g2d.prepare import prepare
from g2d.prepare.causes import CURES


def refusal(source: Path, text: str) -> str:
    """Return the message of a table that cannot be prepared."""
    source.write_text(text)
    plan = plan_table(source, TableOptions(size=8))
    with pytest.raises(DataError) as error:
        prepare(plan, source.parent, source.parent / "store")
    return str(error.value)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (lambda i: f"train_images/{i}_0.jpg;train_images/{i}_1.jpg", "2 paths with ';' between"),
        (lambda i: f"train_images/{i}_0.jpg|train_images/{i}_1.jpg", "2 paths with '|' between"),
        (lambda i: f"{i}_0.jpg", "train_images/0_0.jpg exists there"),
        (lambda i: f"images/{i}_0.jpg", "train_images/0_0.jpg exists there"),
        (lambda i: f"train_images/{i}_0.png", "0_0.jpg exists there; its suffix is not .png"),
        (lambda i: f"train_images/{i}_0.JPG", "0_0.jpg exists there; its capital letters differ"),
        (
            lambda i: f"/media/anna/{i}_0.jpg",
            "another computer or account; write it relative to the table",
        ),
        (lambda i: f"C:\\pics/{i}_0.jpg", "it has backslashes, as on Windows"),
        (lambda i: f"https://example.com/{i}_0.jpg", "download the files and give their paths"),
        (lambda i: f"'train_images/{i}_0.jpg'", "it has quotes or blanks around the name"),
    ],
)
def test_a_path_that_leads_nowhere_is_examined(
    tmp_path: Path, cell: Callable[[int], str], words: str
) -> None:
    (tmp_path / "train_images").mkdir()
    for i in range(8):
        for side in (0, 1):
            Image.new("RGB", (8, 8)).save(tmp_path / f"train_images/{i}_{side}.jpg")
    rows = [f's{i},"{cell(i)}",{"ab"[i % 2]}' for i in range(8)]
    message = refusal(tmp_path / "a.csv", "\n".join(["id,photo,label", *rows]))
    assert words in message
    if "column" not in message.splitlines()[0]:
        assert "for example, s0: no file /" in message
        assert "missing-file: Add the files, or correct their paths." in message


@pytest.mark.parametrize("suffix", ["npy", "pt"])
def test_arrays_and_unknown_files_that_do_not_exist_are_examined_too(
    tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "feats").mkdir()
    for i in range(30):
        (tmp_path / f"feats/{i}.{suffix}").write_bytes(b"something")
    source = tmp_path / "a.csv"
    rows = [f"s{i},{i}.{suffix},{'ab'[i % 2]}" for i in range(30)]
    source.write_text("\n".join(["id,heard,label", *rows]))
    with pytest.raises(DataError, match=f"no file {tmp_path}/0.{suffix}") as error:
        plan_table(source, TableOptions())
    assert f"feats/0.{suffix} exists there" in str(error.value)


def test_a_failed_download_is_named(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_text("<!DOCTYPE html><p>Not found")
    rows = [f"s{i},{i}.jpg,{'ab'[i % 2]}" for i in range(8)]
    message = refusal(tmp_path / "a.csv", "\n".join(["id,photo,label", *rows]))
    assert f"for example, s0: {tmp_path / '0.jpg'} is a web page; its download failed" in message
    assert "undecodable: Replace damaged files" in message


@pytest.mark.parametrize(("column", "setting"), [("id", {}), ("patient", {"id": "patient"})])
def test_ids_that_repeat_are_named_once_with_the_option_that_keeps_all_rows(
    tmp_path: Path, column: str, setting: dict[str, str]
) -> None:
    rows = [f"patient{n // 4},{50 + n % 7},{n // 4 % 2}" for n in range(80)]
    source = tmp_path / "a.csv"
    source.write_text("\n".join([f"{column},rate,label", *rows]))
    with pytest.raises(DataError) as error:
        prepare(plan_table(source, TableOptions(**setting)), tmp_path, tmp_path / "store")
    message = str(error.value)
    assert f"give group={column}, which keeps all rows" in message
    assert "duplicate 60: patient0 3 times, patient1 3 times" in message
    assert message.count("patient1 3") == 1
    assert "and 10 more" in message
    kept = prepare(plan_table(source, TableOptions(group=column)), tmp_path, tmp_path / "store")
    assert kept.facts["rows"] == 80
    (protocol,) = kept.facts["protocols"].values()
    assert protocol["groups_on_two_sides"] == 0


def test_a_file_that_many_rows_lack_is_named_once(tmp_path: Path) -> None:
    rows = [f"s{i},gone.jpg,{'ab'[i % 2]}" for i in range(8)]
    message = refusal(tmp_path / "a.csv", "\n".join(["id,photo,label", *rows]))
    assert "missing-file 8: s0, s1, s2, s3, s4, s5, s6, s7 (photo: gone.jpg)" in message


def test_every_reason_has_a_cure() -> None:
    assert set(CURES) == set(REASONS)


@pytest.mark.parametrize("suffix", ["png", "npy", "wav", "mp4"])
@pytest.mark.parametrize("unreadable", ["skip", "lack"])
def test_a_pipe_in_place_of_a_file_is_refused_and_never_waited_for(
    tmp_path: Path, suffix: str, unreadable: Literal["skip", "lack"]
) -> None:
    rows = ["file,size,label", *(f"{i}.{suffix},{i / 7},{i % 2}" for i in range(6))]
    for i in range(6):
        os.mkfifo(tmp_path / f"{i}.{suffix}")
    (tmp_path / "a.csv").write_text("\n".join(rows))
    options = TableOptions(size=8, unreadable=unreadable)
    with pytest.raises(DataError, match=r"must"):
        prepare(plan_table(tmp_path / "a.csv", options), tmp_path, tmp_path / "store")
