"""A folder has one owner; a killed one leaves it at once, a silent one elsewhere after minutes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from g2d import locks
from g2d.errors import RunError
from g2d.files import temporary_path
from g2d.locks import LOCK, OWNER, Lock, owned, owner_of, require_owned, tidy
from support.forks import Child, forked


def owner_elsewhere(folder: Path, silent: float) -> None:
    """Name a process on another computer that was last heard of some seconds ago."""
    folder.mkdir(exist_ok=True)
    last = time.time() - silent
    owner = {"host": "node-7", "pid": 12, "started": last - 60, "heartbeat": last}
    (folder / OWNER).write_text(json.dumps(owner))


def hold(folder: Path, log: Path, *, child: bool = False) -> Child:
    """Start a process that owns a folder until it is killed, with a forked child if wanted."""

    def act() -> None:
        with owned(folder):
            if child and os.fork() == 0:
                time.sleep(20)
                os._exit(0)
            sys.stdout.write("ready\n")
            time.sleep(20)

    process = forked(act, log)
    while not log.exists() or "ready" not in process.output:
        time.sleep(0.01)
    return process


def test_a_second_owner_is_refused_with_the_name_and_start_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = hold(folder, tmp_path / "log")
    start = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    sentence = f"one owner at a time, found process {holder.pid} on this computer since {start}\\."
    with pytest.raises(RunError, match=sentence), owned(folder):
        pass
    holder.kill()
    holder.wait()
    with owned(folder):
        assert owner_of(folder) is not None
    assert list(folder.iterdir()) == []


def test_a_killed_owner_leaves_the_folder_at_once_though_its_child_lives_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = hold(folder, tmp_path / "log", child=True)
    holder.kill()
    assert holder.wait() == -signal.SIGKILL
    assert (folder / OWNER).exists()
    started = time.monotonic()
    with owned(folder):
        assert time.monotonic() - started < 5
    assert list(folder.iterdir()) == []


def test_what_an_owner_left_that_was_killed_at_its_end_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = hold(folder, tmp_path / "log")
    tidy(folder)
    assert {path.name for path in folder.iterdir()} == {LOCK, OWNER}
    holder.kill()
    holder.wait()
    tidy(folder)
    assert list(folder.iterdir()) == []


def test_who_waits_says_so_and_owns_the_folder_next(tmp_path: Path) -> None:
    folder, messages = tmp_path / "run", list[str]()
    holder = hold(folder, tmp_path / "log")
    threading.Timer(0.3, holder.kill).start()
    threading.Thread(target=holder.wait).start()
    with owned(folder, wait=True, say=messages.append):
        (sentence,) = messages
    assert sentence.startswith(f"{folder} belongs to process {holder.pid} on this computer since")
    assert sentence.endswith(": waiting for it.")


def test_an_owner_elsewhere_is_respected_until_it_is_silent_for_ten_minutes(tmp_path: Path) -> None:
    folder, messages = tmp_path / "run", list[str]()
    owner_elsewhere(folder, silent=590)
    with pytest.raises(RunError, match="found process 12 on node-7 since"), owned(folder):
        pass
    assert [path.name for path in folder.iterdir()] == [OWNER]
    owner_elsewhere(folder, silent=610)
    with owned(folder, say=messages.append):
        assert owner_of(folder) == locks._OWNED[folder.resolve()].own
    (sentence,) = messages
    assert sentence.startswith(f"{folder} is taken over from process 12 on node-7 since ")
    assert sentence.endswith(", silent for 10 minutes.")
    assert list(folder.iterdir()) == []


def test_an_owner_that_was_taken_over_writes_nothing_more(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with owned(folder):
        require_owned(folder)
        owner_elsewhere(folder, silent=0)
        with pytest.raises(RunError, match=r"process 12 on node-7 .* took it over"):
            require_owned(folder)
    assert owner_of(folder) is not None  # of the new owner


def test_the_heartbeat_is_written_while_the_folder_is_owned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT", 0.02)
    with owned(tmp_path / "run"):
        first = owner_of(tmp_path / "run")
        time.sleep(0.2)
        last = owner_of(tmp_path / "run")
    assert first is not None
    assert first.is_same(last)
    assert last is not None
    assert last.heartbeat > first.heartbeat


def test_an_owner_may_own_its_folder_again_but_not_another_thread(tmp_path: Path) -> None:
    with owned(tmp_path / "run"):
        with owned(tmp_path / "run"):
            pass
        other: list[bool] = []
        thread = threading.Thread(target=lambda: other.append(Lock(tmp_path / "run").acquire()))
        thread.start()
        thread.join()
        assert other == [False]
        assert (tmp_path / "run" / LOCK).exists()


def test_leftovers_of_killed_processes_are_deleted_and_no_others(tmp_path: Path) -> None:
    from g2d.files import sweep

    log = tmp_path / "log"

    def die() -> None:
        temporary_path(tmp_path / "run" / "deep" / "result.json").write_text("half")
        temporary_path(tmp_path / "run" / "last").mkdir()

    (tmp_path / "run" / "deep").mkdir(parents=True)
    forked(die, log).wait()
    old = (
        tmp_path / "run" / f".recipe.yaml.{os.getpid()}.tmp"
    )  # by an earlier process, in a container
    old.write_text("half")
    kept = temporary_path(tmp_path / "run" / "page.html"), tmp_path / "run" / ".notes.tmp"
    for path in kept:
        path.write_text("whole")
    sweep(tmp_path / "run")
    assert {path for path in (tmp_path / "run").rglob("*") if path.is_file()} == set(kept)
    assert not list((tmp_path / "run").glob(".last*"))


def test_a_folder_that_its_owner_created_and_left_empty_is_deleted(tmp_path: Path) -> None:
    new, written, before = tmp_path / "new", tmp_path / "written", tmp_path / "before"
    before.mkdir()
    for folder in (new, written, before):
        with owned(folder):
            if folder is written:
                (folder / "result.json").touch()
    assert not new.exists()
    assert written.exists()
    assert before.exists()
