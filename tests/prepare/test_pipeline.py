"""Preparation runs in parallel, resumes after a kill, and reports every skipped sample."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data.store.facts import Signal
from g2d.errors import DataError, RunError
from g2d.prepare import Sample, arrays, finishing, pipeline, prepare
from g2d.prepare.arrays import create
from g2d.prepare.journal import Journal
from support import made_up
from support.made_up import made

KILLS = int(os.environ.get("G2D_KILLS", "3"))
"""Number of preparations that are killed; try 20."""


def test_the_hash_does_not_depend_on_workers_or_chunks(tmp_path: Path) -> None:
    one = made(tmp_path, "one", s5="broken", s6="warned")
    two = made(tmp_path, "two", workers=2, s5="broken", s6="warned")
    other = prepare(made_up.plan(tmp_path / "raw", chunk=7), tmp_path / "raw", tmp_path / "three")
    assert one.facts["content_hash"] == two.facts["content_hash"] == other.facts["content_hash"]
    assert np.array_equal(
        np.load(tmp_path / "one" / "wave.npy"), np.load(tmp_path / "two" / "wave.npy")
    )
    assert (tmp_path / "one" / "dataset.json").read_bytes() == (
        tmp_path / "two" / "dataset.json"
    ).read_bytes()


def test_the_hash_covers_bytes_targets_and_parameters(tmp_path: Path) -> None:
    first = made(tmp_path, "a").facts["content_hash"]
    raw = tmp_path / "raw"
    assert (
        prepare(made_up.plan(raw, parameters={"side": 3}), raw, tmp_path / "b").facts[
            "content_hash"
        ]
        != first
    )
    (raw / "0003.txt").write_text("sample 3, otherwise good")
    assert prepare(made_up.plan(raw), raw, tmp_path / "c").facts["content_hash"] != first


def test_unreadable_samples_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    summary = made(tmp_path, s5="broken", s7="infinite", s9="warned")
    skipped = {skip["id"]: skip["reason"] for skip in summary.facts["skipped"]}
    assert skipped == {"0005": "undecodable", "0007": "non-finite"}
    assert "undecodable 1: 0005 (as requested)" in str(summary)
    assert "warning: 0009: it looks odd" in str(summary)
    ids = [
        json.loads(line)["id"]
        for line in (tmp_path / "store" / "samples.jsonl").read_text().splitlines()
    ]
    assert sorted(ids) == [f"{i:04d}" for i in range(40) if i not in (5, 7)]
    waves = np.load(tmp_path / "store" / "wave.npy")
    assert len(waves) == len(ids)
    for name, wave in zip(ids, waves, strict=True):
        rng = np.random.default_rng(int(name))
        rng.normal(size=(5, 3))
        assert np.array_equal(wave, rng.integers(-900, 900, 40))


@pytest.mark.parametrize(
    "kept", [[0, 2, 3, 5], [0, 1, 2, 3, 4, 5], [4, 5], [3], [0, 1], [1, 2, 3, 4, 5]]
)
def test_shrinking_an_array_in_place_survives_repeated_kills(
    tmp_path: Path, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "values.npy", arrays.fill_holes(np.array(kept))
    values = np.arange(18, dtype=np.float16).reshape(6, 3)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for function in ("_write_shape", "_header_bytes"):
        create(path, "float16", (6, 3))
        arrays.open_for_writing(path)[:] = values
        with monkeypatch.context() as patch:
            patch.setattr(arrays, function, stop)
            with contextlib.suppress(KeyboardInterrupt):
                arrays.shrink(path, order)
        for _ in range(2):
            arrays.shrink(path, order)
            assert sorted(np.load(path)[:, 0].tolist()) == [3.0 * row for row in kept]
            assert np.array_equal(np.load(path), values[order])
    np.save(tmp_path / "plain.npy", values[order])
    assert path.read_bytes() == (tmp_path / "plain.npy").read_bytes()


@pytest.mark.parametrize("step", range(9))
def test_a_preparation_killed_while_it_finishes_ends_in_the_same_files(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw"
    made_up.write(raw, s5="broken", s9="absent")
    plan = made_up.plan(raw)
    calm = prepare(plan, raw, tmp_path / "calm").facts
    calls = iter(range(99))

    def stopping(function: Any) -> Any:
        def run(*given: Any, **named: Any) -> Any:
            if next(calls) == step:
                raise KeyboardInterrupt
            return function(*given, **named)

        return run

    with monkeypatch.context() as patch:
        for name in ("shrink", "_link", "_write_rows", "_protocol"):
            patch.setattr(finishing, name, stopping(getattr(finishing, name)))
        with pytest.raises(KeyboardInterrupt):
            prepare(plan, raw, tmp_path / "killed")
    made_up.write(raw)  # repaired too late: the choice of kept samples is final
    again = prepare(plan, raw, tmp_path / "killed")
    assert (again.decoded, again.facts["files"], again.facts["content_hash"]) == (
        0,
        calm["files"],
        calm["content_hash"],
    )
    assert not (tmp_path / "killed" / ".preparing").exists()


def test_a_sample_that_crashes_its_decoder_costs_only_itself(tmp_path: Path) -> None:
    summary = made(tmp_path, workers=2, s13="crash")
    assert summary.facts["skipped"] == [
        {"id": "0013", "reason": "undecodable", "detail": "its decoder crashed"}
    ]
    assert summary.facts["rows"] == 39


def test_a_crash_among_few_samples_costs_only_its_sample(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 12, s3="crash")
    summary = prepare(
        made_up.plan(tmp_path / "raw", chunk=16),
        tmp_path / "raw",
        tmp_path / "store",
        workers=2,
        allow_partial=True,
    )
    assert [skip["id"] for skip in summary.facts["skipped"]] == ["0003"]


def test_a_sample_whose_worker_was_killed_from_outside_is_kept(tmp_path: Path) -> None:
    summary = made(tmp_path, workers=2, s13="killed")
    assert (tmp_path / "raw" / "0013.seen").exists()
    assert summary.facts["skipped"] == []


def test_killing_idle_workers_loses_no_row(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 60)
    calm = prepare(made_up.plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / "calm")
    struck = []

    def strike(done: int, total: int) -> None:
        if done and not struck:
            struck.extend(multiprocessing.active_children())
            for worker in struck:
                worker.kill()
                worker.join()
            time.sleep(0.3)  # the pool notices, and refuses the next chunk

    summary = prepare(
        made_up.plan(tmp_path / "raw"),
        tmp_path / "raw",
        tmp_path / "store",
        workers=2,
        watch=strike,
    )
    assert struck
    assert summary.facts["files"] == calm.facts["files"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unexpected_error_costs_only_its_sample(tmp_path: Path, workers: int) -> None:
    skipped = made(tmp_path, workers=workers, s13="surprise", s14="growing").facts["skipped"]
    assert [(skip["id"], skip["reason"], skip["detail"]) for skip in skipped] == [
        ("0013", "undecodable", "RuntimeError: an unexpected error"),
        ("0014", "undecodable", "it changed while it was read"),
    ]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("n" * 300 + ".txt", "undecodable"),
        ("a\0b.txt", "undecodable"),
        ("0001.txt/more.txt", "missing-file"),
        ("loop.txt", "undecodable"),
    ],
)
def test_an_impossible_path_costs_only_its_sample(tmp_path: Path, path: str, reason: str) -> None:
    made_up.write(tmp_path / "raw", 12)
    (tmp_path / "raw" / "loop.txt").symlink_to("loop.txt")
    samples = [
        Sample(f"{i:04d}", i % 2, f"g{i}", (path if i == 3 else f"{i:04d}.txt",)) for i in range(12)
    ]
    plan = made_up.plan(
        tmp_path / "none", samples=samples, protocols={"made_up/all": np.zeros(12, np.int8)}
    )
    summary = prepare(plan, tmp_path / "raw", tmp_path / "store")
    assert [(skip["id"], skip["reason"]) for skip in summary.facts["skipped"]] == [("0003", reason)]


def test_too_few_samples_are_refused_unless_partial_data_are_allowed(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", **{f"s{i}": "broken" for i in range(5)})
    plan = made_up.plan(tmp_path / "raw")
    with pytest.raises(DataError, match="35 of 40") as caught:
        prepare(plan, tmp_path / "raw", tmp_path / "store")
    assert "--allow-partial" in str(caught.value)
    assert not (tmp_path / "store" / "dataset.json").exists()
    summary = prepare(plan, tmp_path / "raw", tmp_path / "store", allow_partial=True)
    assert summary.decoded == 5, "decoded samples are kept, skipped ones are tried again"
    assert summary.facts["partial"]


def test_repaired_files_are_read_by_the_same_command(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "store"
    made_up.write(raw, **{f"s{i}": "broken" for i in range(0, 40, 3)})
    plan = made_up.plan(raw)
    with pytest.raises(DataError, match="26 of 40"):
        prepare(plan, raw, out)
    made_up.write(raw)
    repaired = prepare(plan, raw, out, workers=2)
    assert (repaired.decoded, repaired.facts["skipped"]) == (14, [])
    assert repaired.facts["files"] == prepare(plan, raw, tmp_path / "whole").facts["files"]


def test_a_file_that_changed_since_it_was_decoded_is_decoded_again(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "store"
    made_up.write(raw, **{f"s{i}": "broken" for i in range(5)})
    plan = made_up.plan(raw)
    with pytest.raises(DataError, match="35 of 40"):
        prepare(plan, raw, out)
    (raw / "0020.txt").write_text("sample 20, and more of it, good")
    summary = prepare(plan, raw, out, allow_partial=True)
    assert summary.decoded == 5 + 1
    assert (
        summary.facts["content_hash"]
        == prepare(plan, raw, tmp_path / "fresh", allow_partial=True).facts["content_hash"]
    )


def test_a_warning_about_a_repaired_file_is_gone(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "store"
    broken = {f"s{i}": "broken" for i in range(5)}
    made_up.write(raw, s20="warned", **broken)
    plan = made_up.plan(raw)
    # The second try reads the repaired file, the third has nothing left to warn about.
    for contents in (broken, {}):
        with pytest.raises(DataError, match="35 of 40"):
            prepare(plan, raw, out)
        made_up.write(raw, **(broken | contents))
    assert prepare(plan, raw, out, allow_partial=True).facts["warnings"] == []


def test_arrays_that_a_killed_process_created_take_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.write(tmp_path / "raw")
    work = tmp_path / "store" / ".preparing"
    work.mkdir(parents=True)
    create(work / "wave.npy", "int16", (40, 40))
    left: list[str] = []
    monkeypatch.setattr(
        pipeline,
        "_check_space",
        lambda plan, work: left.extend(path.name for path in work.glob("*.npy")),
    )
    prepare(made_up.plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / "store")
    assert left == []


def test_the_hash_of_rows_without_files_covers_their_masks(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 4)
    first = [Sample(f"{i:04d}", 0, f"{i}") for i in range(4)]
    hashes = {
        name: prepare(
            made_up.plan(
                tmp_path / "raw",
                samples=first,
                decode=made_up.Padded(steps),
                protocols={"made_up/all": np.zeros(4, np.int8)},
            ),
            tmp_path,
            tmp_path / name,
        ).facts["content_hash"]
        for name, steps in (("one", 1), ("two", 2))
    }
    assert hashes["one"] != hashes["two"]


def test_a_full_disk_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.write(tmp_path / "raw")
    plan, out = made_up.plan(tmp_path / "raw"), tmp_path / "store"
    add, calls = Journal.add, iter(range(99))

    def full(journal: Journal, rows: Any, done: Any) -> None:
        if next(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(journal, rows, done)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", full)
        with pytest.raises(DataError, match="is full"):
            prepare(plan, tmp_path / "raw", out)
    assert prepare(plan, tmp_path / "raw", out).decoded == 40 - 3 * 4


def test_disk_space_is_reserved_before_it_is_used(tmp_path: Path) -> None:
    create(tmp_path / "values.npy", "uint8", (1000, 1000))
    assert (tmp_path / "values.npy").stat().st_blocks * 512 >= 1_000_000


def test_an_incomplete_data_set_is_refused(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw")
    for plan in (
        made_up.plan(tmp_path / "raw", official=50),
        made_up.plan(tmp_path / "raw", missing=("steps",)),
    ):
        with pytest.raises(DataError, match=r"made_up must (have at least 90%|be complete)"):
            prepare(plan, tmp_path / "raw", tmp_path / "store")
    with pytest.raises(DataError, match="found none"):
        prepare(
            made_up.plan(tmp_path / "raw", samples=[], skipped=[made_up.SKIP]),
            tmp_path / "raw",
            tmp_path / "store",
            allow_partial=True,
        )


def test_a_modality_that_no_sample_has_is_refused(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", **{f"s{i}": "absent" for i in range(40)})
    with pytest.raises(DataError, match="must have samples with steps, found none"):
        prepare(made_up.plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / "store")


def test_a_complete_store_is_not_changed_and_another_one_is_refused(tmp_path: Path) -> None:
    first = made(tmp_path)
    again = made(tmp_path)
    assert (again.decoded, again.facts) == (0, first.facts)
    assert "already complete" in str(again)
    for changed in ({"parameters": {"x": 1}}, {"sleep": 0.001}):
        with pytest.raises(DataError, match="other options"):
            prepare(made_up.plan(tmp_path / "raw", **changed), tmp_path / "raw", tmp_path / "store")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="new or empty"):
        prepare(made_up.plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "precious"


PREPARE = """
import sys
sys.path.insert(0, {folder!r})
from support import made_up
from pathlib import Path
from g2d.prepare import prepare
if __name__ == "__main__":
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    watch = lambda done, total: print(done, flush=True)
    prepare(made_up.plan(source, sleep=0.01), source, out, workers=2, watch=watch)
"""


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_preparation_continues_and_ends_in_the_same_hash(
    tmp_path: Path, seed: int
) -> None:
    raw = tmp_path / "raw"
    made_up.write(raw, s5="broken")
    undisturbed = prepare(made_up.plan(raw, sleep=0.01), raw, tmp_path / "calm").facts
    script = tmp_path / "prepare.py"
    script.write_text(PREPARE.format(folder=str(Path(made_up.__file__).parents[1])))
    stop = random.Random(seed).randrange(1, 32)
    process = subprocess.Popen(
        [sys.executable, str(script), str(raw), str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= stop:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "killed" / "dataset.json").exists()
    time.sleep(0.5)  # the workers notice that their parent is gone
    summary = prepare(made_up.plan(raw, sleep=0.01), raw, tmp_path / "killed")
    assert summary.facts["content_hash"] == undisturbed["content_hash"]
    assert summary.facts["files"] == undisturbed["files"]
    assert summary.decoded <= 40 - stop + 1, (
        "finished samples are not decoded again; the broken one is"
    )


def test_pressing_ctrl_c_twice_ends_at_once_and_the_same_command_continues(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    made_up.write(raw)
    script = tmp_path / "prepare.py"
    script.write_text(PREPARE.format(folder=str(Path(made_up.__file__).parents[1])))
    command = [sys.executable, str(script), str(raw), str(tmp_path / "store")]
    # A test run in the background ignores SIGINT, and its children would too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line):
            break
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert prepare(made_up.plan(raw, sleep=0.01), raw, tmp_path / "store").facts["rows"] == 40


def test_two_processes_do_not_write_one_store(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "store"
    made_up.write(raw)
    script = tmp_path / "prepare.py"
    script.write_text(PREPARE.format(folder=str(Path(made_up.__file__).parents[1])))
    process = subprocess.Popen(
        [sys.executable, str(script), str(raw), str(out)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(RunError, match="store must have one owner at a time, found process "):
        prepare(made_up.plan(raw, sleep=0.01), raw, out)
    process.communicate()
    assert process.returncode == 0


def test_a_second_process_is_refused_before_it_touches_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "store"
    made_up.write(raw)
    begin = pipeline._begin
    refused = []

    def second() -> None:
        with pytest.raises(RunError, match="store must have one owner at a time, found process "):
            prepare(made_up.plan(raw), raw, out)
        refused.append(True)

    def meanwhile(*given: Any) -> None:
        if not refused:
            other = threading.Thread(target=second)
            other.start()
            other.join()
        begin(*given)

    monkeypatch.setattr(pipeline, "_begin", meanwhile)
    assert prepare(made_up.plan(raw), raw, out).facts["rows"] == 40
    assert refused == [True]


def test_a_group_named_after_one_of_its_rows_is_one_group(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 6)
    samples = [
        replace(sample, group=["0000", "0000", "0002", "g", "g", "0005"][i])
        for i, sample in enumerate(made_up.plan(tmp_path / "raw").samples)
    ]
    prepare(made_up.plan(tmp_path / "raw", samples=samples), tmp_path / "raw", tmp_path / "store")
    group = np.load(tmp_path / "store" / "group.npy").tolist()
    assert group[0] == group[1]
    assert group[3] == group[4]
    assert len(set(group)) == 4


def test_an_incomplete_last_line_of_the_journal_is_ignored(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "store"
    made_up.write(raw, **{f"s{i}": "broken" for i in range(5)})
    plan = made_up.plan(raw)
    with pytest.raises(DataError):
        prepare(plan, raw, out)
    journal = out / ".preparing" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    assert prepare(plan, raw, out, allow_partial=True).decoded == 4 + 5


def test_too_little_disk_space_is_reported_before_the_work(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 4)
    huge = {"wave": Signal("audio", "int16", (2**50,))}
    with pytest.raises(DataError, match=r"must have .* GiB of free space"):
        prepare(made_up.plan(tmp_path / "raw", signals=huge), tmp_path / "raw", tmp_path / "store")


def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw", 4)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"cannot write to .*file/store: not a directory"):
        prepare(made_up.plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / "file" / "store")


def test_a_store_holds_no_temporary_file(tmp_path: Path) -> None:
    made(tmp_path, s5="broken")
    (tmp_path / "store" / "dataset.json").unlink()
    (tmp_path / "store" / ".group.npy.1.tmp").touch()
    (tmp_path / "store" / ".preparing").mkdir()
    made(tmp_path, s5="broken")
    assert [path.name for path in (tmp_path / "store").glob(".*")] == []
