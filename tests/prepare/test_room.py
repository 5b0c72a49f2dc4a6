"""A preparation that cannot end well does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2d.data.store.facts import Signal
from g2d.errors import DataError
from g2d.prepare import prepare
from support import made_up


def test_a_disk_without_room_is_told_before_the_work(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 4)
    huge = {"wave": Signal("audio", "int16", (2**50,))}
    with pytest.raises(DataError, match="room for"):
        prepare(made_up.plan(tmp_path / "raw", signals=huge), tmp_path / "raw", tmp_path / "store")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 4)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="can be written"):
        prepare(made_up.plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / "file" / "store")
