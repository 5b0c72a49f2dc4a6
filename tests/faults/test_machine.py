"""Faults of the machine end every command with a sentence and exit code 2, in one place."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import typer
from safetensors.torch import save_file
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset
from typer.testing import CliRunner, Result

from g2d.cli import app
from g2d.cli.options import Commands
from g2d.errors import RunError
from g2d.machine import machine_fault
from g2d.methods import METHODS

FULL = Path("/dev/full")
"""A device on which every write finds a full disk."""


class Deadly(Dataset[int]):
    """Rows whose reading kills the process that reads them."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return row


def dead_worker() -> None:
    list(DataLoader(Deadly(), num_workers=1, multiprocessing_context="fork"))


def error_of_a_worker() -> None:
    """Raise an error as torch does in the process that waits for a worker."""
    try:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "rows.npy")
    except OSError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    wrapped.reraise()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let every write beyond a size fail, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save_without_room() -> None:
    with TemporaryDirectory() as folder, largest_file(100):
        save_file({"a": torch.zeros(1000)}, Path(folder) / "weights.safetensors")


def read_only() -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), "runs/a")


def vanished() -> None:
    try:
        Path("gone/rows.npy").read_bytes()
    except OSError as error:
        raise LookupError("no rows") from error


def dead_process() -> None:
    """Wait for a process of the same training that has ended."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    with TemporaryDirectory() as folder:
        child = os.fork()
        store = dist.FileStore(f"{folder}/store", 2)
        dist.init_process_group("gloo", store=store, rank=int(child == 0), world_size=2)
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        try:
            dist.all_reduce(torch.zeros(1))
        finally:
            dist.destroy_process_group()
            del os.environ["GLOO_SOCKET_IFNAME"]


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "full disk": (
        lambda: FULL.write_text("x"),
        r"cannot use a file: no space left on device\. Make room on the disk\. Run the same",
    ),
    "no room, in Rust": (save_without_room, r"cannot use a file: file too large\. Run the same"),
    "path too long": (
        lambda: Path("x" * 300).write_text("x"),
        r"cannot use x{300}: file name too long\. Choose a shorter name",
    ),
    "zero byte": (lambda: Path("a\0b").write_text("x"), "a path must not contain a zero byte"),
    "no folder": (
        lambda: (FULL / "run").mkdir(),
        r"cannot use /dev/full/run: not a directory\. Choose another folder",
    ),
    "vanished file": (
        vanished,
        r"cannot use gone/rows\.npy: no such file or directory\. It may have been moved",
    ),
    "memory of torch": (lambda: torch.empty(2**60), "the memory of the machine must suffice"),
    "size of torch": (lambda: torch.empty(2**62, 2**62), "the memory of the machine must suffice"),
    "memory of NumPy": (lambda: np.empty(2**57), "the memory of the machine must suffice"),
    "size of NumPy": (lambda: np.empty(2**62), "the memory of the machine must suffice"),
    "read-only disk": (
        read_only,
        r"cannot use runs/a: read-only file system\. Choose another folder, which can be written",
    ),
    "dead worker": (
        dead_worker,
        "a process that reads data was ended by the machine",
    ),
    "dead process": (
        dead_process,
        "another process of this training has ended or cannot be reached, and this one cannot go",
    ),
    "error in a worker": (
        error_of_a_worker,
        r"cannot use .*: input/output error\. The disk or its connection failed",
    ),
}
"""Actions with a real fault of the machine, and the sentence for it."""


def commands_of(action: Callable[[], object]) -> typer.Typer:
    """Return a command line with a command that acts, as those of g2d do."""
    made = typer.Typer(cls=Commands)
    made.command("act")(lambda: action() and None)
    made.command("other")(lambda: None)
    return made


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_machine_is_a_sentence_and_exit_code_2(name: str) -> None:
    action, sentence = FAULTS[name]
    result = CliRunner().invoke(commands_of(action), ["act"])
    assert result.exit_code == 2, result.exception
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        action()
    assert machine_fault(caught.value) == line.removeprefix("Error: ")
    with pytest.raises(RunError, match=f"^{sentence}"):
        raise RunError(machine_fault(caught.value))


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), ValueError("b"), RuntimeError("shapes differ"), BrokenPipeError(errno.EPIPE)],
    ids=repr,
)
def test_a_bug_remains_a_bug(error: Exception) -> None:
    def fail() -> None:
        raise error

    assert machine_fault(error) is None
    result = CliRunner().invoke(commands_of(fail), ["act"])
    assert result.exit_code == 1


def test_a_message_shows_no_control_characters() -> None:
    def fail() -> None:
        raise RunError("first \x1b[31mred\nsecond\r\x07 line")

    result = CliRunner().invoke(commands_of(fail), ["act"])
    assert result.output == "Error: first  [31mred\nsecond   line\n"


def train(out: Path, *overrides: str) -> Result:
    small = ["encoders.image={name: cnn, widths: [4], pool: 1}", "encoders.tone={name: mlp}"]
    words = ["train", "digits", "method=joint", "epochs=2", "controls=false", *small]
    small = ["data.eval_draws=1", *overrides, "--quiet"]
    return CliRunner().invoke(app, [*words, *small, "--out", str(out)])


def test_a_training_without_room_on_the_disk_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with largest_file(12_000):
        stopped = train(tmp_path / "run")
    assert stopped.exit_code == 2, stopped.exception
    assert stopped.output.startswith("Error: cannot use a file: file too large. Run the same ")
    assert not (tmp_path / "run" / "result.json").exists()
    done = train(tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "result.json").exists()
    assert list(tmp_path.rglob("*.tmp*")) == []


def test_a_run_stopped_by_nan_goes_on_when_its_batch_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unlucky(METHODS["joint"]):  # type: ignore[misc]
        """Joint training whose loss is NaN in some batches of a session, counted from 1."""

        bad, batches = 40, 0

        def objective(self, *arguments: Any) -> Any:
            Unlucky.batches += 1
            factor = math.nan if Unlucky.batches == Unlucky.bad else 1.0
            return {name: factor * term for name, term in super().objective(*arguments).items()}

    monkeypatch.setitem(METHODS, "joint", Unlucky)
    stopped = train(tmp_path / "run")
    assert stopped.exit_code == 2, stopped.exception
    assert "the loss must stay finite, found nan in epoch 2, after 39 updates" in stopped.output
    assert "train.on_nonfinite=skip leaves the batch out." in stopped.output
    Unlucky.bad, Unlucky.batches = 6, 0
    done = train(tmp_path / "run", "train.on_nonfinite=skip")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["cost"]["skipped_updates"] == 1
    assert result["cost"]["updates"] + 1 == 2 * 34
    assert any("was not finite" in notice for notice in result["notices"])
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["train"].get("skipped_updates") for line in lines] == [None, 1]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    long = "x" * 300
    for out, reason in ((tmp_path / "file" / "run", "ot a directory"), (tmp_path / long, "too lo")):
        result = train(out)
        assert result.exit_code == 2, result.exception
        assert reason in result.output
        assert "Traceback" not in result.output
