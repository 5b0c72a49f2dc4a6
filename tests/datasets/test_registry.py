"""The registry of data sets, and finding and reading the files in their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2d.datasets import DATASETS, find_dataset
from g2d.datasets.folders import by_stem, find_file, find_files, read_csv
from g2d.errors import DataError
from g2d.prepare import name_hash

OWN = {"table", "arrays"}
"""Data sets whose source is one file of the user's."""


def test_every_folder_is_a_data_set_and_aliases_are_found() -> None:
    folders = {
        path.parent.name
        for path in Path(find_dataset.__code__.co_filename).parent.glob("*/__init__.py")
    }
    assert folders <= DATASETS.keys()
    assert find_dataset("manifest") is DATASETS["table"]


@pytest.mark.parametrize(("name", "near"), [("crema", "crema_d"), ("manifst", "manifest")])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(name: str, near: str) -> None:
    with pytest.raises(
        DataError, match=f"must be one of .*, found '{name}'. Did you mean '{near}'"
    ):
        find_dataset(name)


def test_name_hashes_are_the_same_on_every_machine() -> None:
    assert name_hash("1001_DFA_ANG_XX") == 2222258598
    assert name_hash("--0PQM4-hqg") == 715599501


def test_rows_of_a_csv_file_are_numbered_by_the_lines_where_they_begin(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        '\ufeffa , "b, c"\n\n , \n"two\nlines",x\nlast\n', encoding="utf-8"
    )
    assert list(read_csv(tmp_path / "a.csv")) == [
        (1, ["a", "b, c"]),
        (4, ["two\nlines", "x"]),
        (6, ["last"]),
    ]
    with pytest.raises(DataError, match="must be a CSV file"):
        list(read_csv(tmp_path))


def test_files_are_found_behind_links_and_every_folder_is_entered_once(tmp_path: Path) -> None:
    source, disk = tmp_path / "source", tmp_path / "disk"
    for path in (source / "b.mp4" / "b.MP4", disk / "a.mp4", disk / "more" / "c.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (source / "shard").symlink_to(disk)
    (disk / "loop").symlink_to(source)
    paths = find_files(source, ".mp4")
    assert [path.relative_to(source).as_posix() for path in paths] == [
        "b.mp4/b.MP4",
        "shard/a.mp4",
        "shard/more/c.mp4",
    ]
    assert find_file(source, "c.mp4") == source / "shard" / "more" / "c.mp4"
    assert find_file(source, "b.mp4") is None
    assert by_stem(source, paths)[1] == []


@pytest.mark.parametrize(
    "name", [name for name, dataset in DATASETS.items() if dataset.reader and name not in OWN]
)
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    reader = DATASETS[name].reader
    assert reader is not None
    with pytest.raises(DataError, match="must"):
        reader.plan(tmp_path, reader.options())
