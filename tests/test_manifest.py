"""Signed files show every change, and the files that they vouch for stay inside their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from g2d.manifest import (
    CHANGED,
    SIGNED,
    hashes,
    read_signed,
    require_unchanged,
    within,
    write_signed,
)


def test_every_flipped_bit_of_a_signed_file_is_noticed_or_without_effect(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {"epoch": 3, "best": 0.5, "names": ["a", "b"], "deep": {"x": None, "y": True}}
    write_signed(path, content)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                read = read_signed(path)
            except ValueError:
                continue
            assert read == content


@pytest.mark.parametrize("name", ["", "..", "../b", "a/../../b", "/etc/passwd", "a\0b", "link"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "b").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "b")
    with pytest.raises(ValueError, match="must be a file inside"):
        within(folder, name)
    with pytest.raises(ValueError, match="must be a file inside"):
        require_unchanged(folder, {name: "0"})


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    recorded = hashes(tmp_path, ["a"])
    require_unchanged(tmp_path, recorded)
    (tmp_path / "a").write_text("two")
    with pytest.raises(ValueError, match="a has another SHA-256 than recorded: it was changed"):
        require_unchanged(tmp_path, recorded)
    (tmp_path / "a").unlink()
    with pytest.raises(FileNotFoundError):
        require_unchanged(tmp_path, recorded)


def test_only_mappings_open_and_without_a_signature_those_of_earlier_versions(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": 1}))
    assert read_signed(path) == {"a": 1}
    path.write_text(json.dumps({"a": 1, SIGNED: True}))
    with pytest.raises(ValueError, match=CHANGED):
        read_signed(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="it must be a mapping, found list"):
        read_signed(path)
