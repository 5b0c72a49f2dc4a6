"""Checkpoints: plain files, replaced atomically, and a clear message if they are damaged."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from g2d.engine import checkpoint
from g2d.engine.callbacks import Callback
from g2d.engine.checkpoint_files import generations
from g2d.engine.options import TrainOptions
from g2d.engine.setup import check, make_state
from g2d.errors import RunError
from g2d.files import temporary_path, temporary_paths

FILES = {
    "state.json",
    "model.safetensors",
    "method.safetensors",
    "optimizer.safetensors",
    "snapshots.safetensors",
    "random.safetensors",
}


@pytest.fixture
def run(toy: Any, tmp_path: Path) -> Path:
    toy().fit(tmp_path, epochs=2, optimizer="adam")
    return tmp_path


def test_a_checkpoint_is_safetensors_and_json_and_nothing_else(run: Path) -> None:
    folders = sorted((run / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["best", "last"]
    assert {path.name for path in folders[1].iterdir()} == FILES
    assert {path.name for path in folders[0].iterdir()} == {
        "state.json",
        "model.safetensors",
        "method.safetensors",
    }
    for path in (path for folder in folders for path in folder.iterdir()):
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            with safe_open(path, "pt") as file:
                names = set(file.keys())
            assert names or path.name == "snapshots.safetensors"


def test_loading_restores_what_was_saved(toy: Any, tmp_path: Path) -> None:
    problem = toy()
    model = problem.model()
    method = problem.method(model, "g2d", tau=(1, 1))
    source, options = (
        problem.source(),
        TrainOptions(epochs=2, optimizer="adamw", precision="float16"),
    )
    state = make_state(method, model, source, options, check(method, model, source, options))
    method.epoch_start(state)
    for batch in list(state.train_rows()):
        method.training_step(state, batch)
    state.snapshot("a")
    state.snapshot("model")
    assert state.scaler is not None
    state.epoch = 7
    method.notices["x"] = "a sentence"
    checkpoint.save(tmp_path / "c", model, method, state, {"selected": 3})
    drawn = torch.rand(3), torch.rand(3, generator=state.generator)

    other_model = problem.model(seed=5)
    other_method = problem.method(other_model, "g2d", tau=(1, 1))
    other = make_state(
        other_method,
        other_model,
        source,
        options,
        check(other_method, other_model, source, options),
    )
    facts = checkpoint.load(tmp_path / "c", other_model, other_method, other)
    assert (facts["selected"], other.epoch, other.step, other_method.notices) == (
        3,
        7,
        state.step,
        {"x": "a sentence"},
    )
    assert torch.equal(torch.rand(3), drawn[0])
    assert torch.equal(torch.rand(3, generator=other.generator), drawn[1])
    assert other.scaler is not None
    assert other.scaler.state_dict() == state.scaler.state_dict()
    for branch, values in state.snapshots.items():
        assert all(
            torch.equal(other.snapshots[branch][name], value) for name, value in values.items()
        )
    mine, theirs = state.optimizer.state_dict(), other.optimizer.state_dict()
    assert json.dumps(theirs["param_groups"]) == json.dumps(mine["param_groups"])
    for i, entry in mine["state"].items():
        assert all(torch.equal(theirs["state"][i][key], value) for key, value in entry.items())


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "the weights are cut off": lambda last: _truncate(last / "model.safetensors"),
    "the weights are empty": lambda last: (last / "model.safetensors").write_bytes(b""),
    "the weights are missing": lambda last: (last / "model.safetensors").unlink(),
    "the optimizer is cut off": lambda last: _truncate(last / "optimizer.safetensors"),
    "the optimizer is missing": lambda last: (last / "optimizer.safetensors").unlink(),
    "the random numbers are garbage": lambda last: (last / "random.safetensors").write_bytes(
        b"\x80\x04garbage" * 9
    ),
    "the notes are cut off": lambda last: _truncate(last / "state.json"),
    "the notes are no text": lambda last: (last / "state.json").write_bytes(b"\xff\xfe\x00"),
    "the notes are a list": lambda last: (last / "state.json").write_text("[1]"),
    "the notes lack the optimizer": lambda last: (last / "state.json").write_text('{"schema": 1}'),
    "the notes are of a later version": lambda last: (last / "state.json").write_text(
        '{"schema": 99}'
    ),
    "it is a file": lambda last: (
        [path.unlink() for path in last.iterdir()],
        last.rmdir(),
        last.write_text("hm"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_in_a_sentence(toy: Any, run: Path, damage: str) -> None:
    last = run / "checkpoints" / "last"
    DAMAGE[damage](last)
    model = toy().model()
    options = TrainOptions(epochs=2, optimizer="adam")
    method = toy().method(model)
    state = make_state(
        method, model, toy().source(), options, check(method, model, toy().source(), options)
    )
    with pytest.raises(
        RunError, match=r"^(cannot read|the) checkpoint .*: .*\.$|must have schema 1, found 99"
    ) as caught:
        checkpoint.load(last, model, method, state)
    assert str(last) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused_in_a_sentence(toy: Any, run: Path) -> None:
    model = toy(batchnorm=False).model()
    best = run / "checkpoints" / "best"
    for load in (
        lambda: checkpoint.load(best, model, toy().method(model)),
        lambda: checkpoint.load_model(best, model),
    ):
        with pytest.raises(
            RunError,
            match=r"must be undamaged and fit .*encoders\.a\.1\..*\. Delete the folder",
        ):
            load()


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_flipped_bit_is_noticed_and_the_checkpoint_before_is_used(
    toy: Any, tmp_path: Path, name: str, content: Callable[[Path], dict[str, Any]]
) -> None:
    class Stop(Callback):
        """Stop a training before its last epoch."""

        def on_epoch(self, record: Any) -> None:
            if record["epoch"] == 4:
                raise KeyboardInterrupt

    toy().fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        toy().fit(tmp_path / "cut", [Stop()])
    place = tmp_path / "cut" / "checkpoints" / "last"
    assert [path.name for path in generations(place)] == ["last", "last-1"]
    flip(place / name)
    with pytest.raises(RunError, match=r"must be undamaged and fit its recipe's model, found: "):
        checkpoint.verify(place)

    heard: list[str] = []

    class Heard(Callback):
        """Keep the notices."""

        def on_notice(self, sentence: str) -> None:
            heard.append(sentence)

    resumed, _, _ = toy().fit(tmp_path / "cut", [Heard()])
    assert [record["epoch"] for record in resumed.history] == [3, 4]
    (sentence,) = heard
    assert sentence.startswith(f"the checkpoint {place} must be undamaged")
    assert sentence.endswith("The one before is used, and what followed is trained again.")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert generations(place) == [place]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_run_whose_best_epoch_is_damaged_is_refused_before_it_is_trained_on(
    toy: Any, run: Path
) -> None:
    flip(run / "checkpoints" / "best" / "model.safetensors")
    with pytest.raises(RunError, match=r"best must be undamaged .*model\.safetensors has another"):
        toy().fit(run, epochs=2, optimizer="adam")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text[:40], "0 whole lines"),
        (lambda text: text.replace("0.", "1.", 1), "others: they were changed"),
        (lambda text: None, "no such file"),
        (lambda text: "\xff" + text, "others: they were changed or damaged"),
    ],
)
def test_metrics_that_do_not_fit_the_checkpoint_are_refused_and_a_line_too_many_is_cut(
    toy: Any, run: Path, change: Callable[[str], str | None], found: str
) -> None:
    path = run / "metrics.jsonl"
    text = path.read_text()
    path.write_text(text + text.splitlines()[-1] + "\n{half")
    toy().fit(run, epochs=2, optimizer="adam")
    assert path.read_text() == text
    path.unlink() if (changed := change(text)) is None else path.write_text(changed)
    with pytest.raises(RunError, match=f"must hold the 2 epochs of its checkpoint, found {found}"):
        toy().fit(run, epochs=2, optimizer="adam")


def test_a_checkpoint_without_hashes_opens(toy: Any, run: Path) -> None:
    for folder in (run / "checkpoints").iterdir():
        notes = json.loads((folder / "state.json").read_text())
        for key in ("files", "signed", "signature", "metrics"):
            notes.pop(key, None)
        (folder / "state.json").write_text(json.dumps(notes))
        checkpoint.verify(folder)
    (run / "checkpoints" / "last").rename(run / "checkpoints" / ".last.old")  # a killed save
    resumed, _, _ = toy().fit(run, epochs=2, optimizer="adam")
    assert (resumed.history, resumed.epochs_done) == ([], 2)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, os.strerror(errno.EIO))])
def test_a_fault_of_the_machine_is_not_called_damage(
    run: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> str:
        raise error

    monkeypatch.setattr("g2d.manifest.sha256", fail)
    with pytest.raises(type(error)):
        checkpoint.verify(run / "checkpoints" / "last")


def test_verifying_reads_every_file(run: Path) -> None:
    last = run / "checkpoints" / "last"
    checkpoint.verify(last)
    _truncate(last / "optimizer.safetensors")
    with pytest.raises(RunError, match="must be undamaged"):
        checkpoint.verify(last)
    with pytest.raises(RunError, match=r"nowhere: it has no state\.json"):
        checkpoint.verify(run / "nowhere")


class _Killed(BaseException):
    """Replacement for a kill signal."""


@pytest.mark.parametrize("moment", ["half written", "old one moved away"])
def test_a_killed_save_leaves_the_previous_checkpoint(
    toy: Any,
    tmp_path: Path,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
    content: Callable[[Path], dict[str, Any]],
) -> None:
    toy().fit(tmp_path / "whole")
    saved = checkpoint.save
    plain_rename = Path.rename

    class Kill(Callback):
        """Let the next save fail when epoch 3 is about to be saved."""

        def on_epoch(self, record: Any) -> None:
            if record["epoch"] == 3:
                if moment == "half written":
                    monkeypatch.setattr(
                        "g2d.engine.checkpoint_files.write_signed",
                        lambda *_: (_ for _ in ()).throw(_Killed),
                    )
                else:
                    monkeypatch.setattr(Path, "rename", rename)

    def rename(self: Path, target: Path) -> Path:
        if self == temporary_path(target):
            raise _Killed
        return plain_rename(self, target)

    with pytest.raises(_Killed):
        toy().fit(tmp_path / "cut", [Kill()])
    monkeypatch.undo()
    assert checkpoint.save is saved
    assert temporary_path(tmp_path / "cut" / "checkpoints" / "last").exists()
    resumed, _, _ = toy().fit(tmp_path / "cut")
    assert [record["epoch"] for record in resumed.history] == [3, 4]
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_a_save_deletes_what_killed_processes_left(run: Path, toy: Any) -> None:
    best = run / "checkpoints" / "best"
    leftover = best.with_name(".best.1.tmp")  # written by a process with another number
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    model = toy().model()
    checkpoint.save(best, model, toy().method(model))
    assert list(temporary_paths(best)) == []
