"""Checkpoints: everything that a run needs to continue, as safetensors and JSON; no pickle."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from g2d.engine.processes import process, random_state, set_random_state, wait
from g2d.engine.replicas import of_other_processes, restore_own
from g2d.errors import RunError
from g2d.files import temporary_path, temporary_paths
from g2d.locks import require_owned
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel
from g2d.runs import CHECKPOINTS

SCHEMA = 1
BEST, LAST = "best", "last"
"""Checkpoints of a run: of the selected epoch, and the one to continue from."""
NOTES, MODEL, METHOD = "state.json", "model.safetensors", "method.safetensors"
OPTIMIZER, SNAPSHOTS = "optimizer.safetensors", "snapshots.safetensors"
RANDOM = "random.safetensors"
FILES = (NOTES, MODEL, METHOD, OPTIMIZER, SNAPSHOTS, RANDOM)
"""Files of a checkpoint; the last three are needed only to resume."""
FAULT = (OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, SafetensorError)
"""Errors of reading a checkpoint that is damaged or belongs to another model."""


def save(
    folder: Path,
    model: MultimodalModel,
    method: Method,
    state: TrainState | None = None,
    facts: Mapping[str, Any] | None = None,
    others: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint under a temporary name, then move it into place.

    A reader sees the old checkpoint or the new one, never half of one.

    Args:
        folder: The checkpoint's folder; an existing one is replaced.
        model: Its weights are saved.
        method: Its heads, buffers and counters are saved.
        state: Also save what resuming needs: optimizer, snapshots, random numbers.
        facts: JSON values to keep in ``state.json``, such as scores and schedule.
        others: Random numbers and statistics of the other processes.
    """
    for leftover in temporary_paths(folder):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = temporary_path(folder)
    temporary.mkdir(parents=True)
    save_file(_plain(model.state_dict()), temporary / MODEL)
    save_file(_plain(method.state_dict()), temporary / METHOD)
    notes: dict[str, Any] = {"schema": SCHEMA, **(facts or {})}
    if state is not None:
        tensors, notes["optimizer"] = _optimizer_state(state.optimizer)
        save_file(tensors, temporary / OPTIMIZER)
        own = state.state_dict()
        save_file(_flat(own.pop("snapshots")), temporary / SNAPSHOTS)
        random = _random_state(state, own.pop("generator"))
        save_file({**random, **(others or {})}, temporary / RANDOM)
        notes["scaler"] = None if state.scaler is None else state.scaler.state_dict()
        notes |= {**own, "notices": method.notices}
    (temporary / NOTES).write_text(json.dumps(notes, indent=1), encoding="utf-8")
    old = _old(folder)
    recover(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> bool:
    """Return True if a checkpoint exists, after putting back one that a killed save moved away."""
    if not folder.exists():
        with suppress(OSError):  # there is none, or another process was faster
            _old(folder).rename(folder)
    return folder.is_dir()


def load(
    folder: Path, model: MultimodalModel, method: Method, state: TrainState | None = None
) -> dict[str, Any]:
    """Restore a model, its method and, if given, the training state from a checkpoint.

    Args:
        folder: The checkpoint's folder.
        model: Built as the saved one.
        method: Built as the saved one.
        state: Built as the saved one; needs a checkpoint that was saved with a state.

    Returns:
        The content of ``state.json``.

    Raises:
        RunError: There is no checkpoint, it is damaged, or it does not fit the model.
    """
    recover(folder)
    with _clear_errors(folder):
        notes = _notes(folder)
        model.load_state_dict(load_file(folder / MODEL))
        method.load_state_dict(load_file(folder / METHOD))
        if state is not None:
            tensors = load_file(folder / OPTIMIZER)
            _load_optimizer_state(state.optimizer, tensors, notes["optimizer"])
            if state.scaler is not None:
                state.scaler.load_state_dict(notes["scaler"])
            random = load_file(folder / RANDOM)
            # A run may continue on another device, though not bit for bit.
            set_random_state(state.device, random)
            restore_own(random, state.device, model, method)
            snapshots = _nested(load_file(folder / SNAPSHOTS))
            own = {"generator": random["method"], "snapshots": snapshots}
            state.load_state_dict({"stop": False, **notes, **own})
            method.notices = notes["notices"]
    return notes


def load_model(folder: Path, model: MultimodalModel) -> None:
    """Restore the weights of a model from a checkpoint.

    Args:
        folder: The checkpoint's folder.
        model: Built as the saved one.

    Raises:
        RunError: There is no checkpoint, it is damaged, or it does not fit the model.
    """
    recover(folder)
    with _clear_errors(folder):
        model.load_state_dict(load_file(folder / MODEL))


def verify(folder: Path) -> None:
    """Read every file of a checkpoint once.

    Args:
        folder: The checkpoint's folder.

    Raises:
        RunError: There is no checkpoint, or it is damaged.
    """
    recover(folder)
    with _clear_errors(folder):
        _notes(folder)
        for path in {folder / MODEL, *folder.glob("*.safetensors")}:
            load_file(path)


class FolderKeeper:
    """Keeper of a run's checkpoints in its folder: rank 0 writes, every process reads.

    Args:
        run: The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run / CHECKPOINTS

    def resume(
        self, model: MultimodalModel, method: Method, state: TrainState
    ) -> dict[str, Any] | None:
        """Restore the last checkpoint; return its notes, or None if there is none."""
        if not recover(self.folder / LAST):
            return None
        return load(self.folder / LAST, model, method, state)

    def save_best(self, model: MultimodalModel, method: Method) -> None:
        """Keep the weights of the best epoch so far."""
        if process() == 0:
            require_owned(self.run)
            save(self.folder / BEST, model, method)

    def save_last(
        self, model: MultimodalModel, method: Method, state: TrainState, facts: dict[str, Any]
    ) -> None:
        """Keep what is needed to continue after this update or epoch."""
        others = of_other_processes(state.device, model, method)
        if process() == 0:
            require_owned(self.run)
            save(self.folder / LAST, model, method, state, facts, others)

    def restore_best(self, model: MultimodalModel, method: Method) -> None:
        """Restore the weights of the best epoch."""
        wait()
        load(self.folder / BEST, model, method)
        wait()  # calibration writes this checkpoint again


class MemoryKeeper:
    """Keeper of the best weights in memory, for a run without a folder."""

    def __init__(self) -> None:
        self.kept: tuple[dict[str, Any], dict[str, Any]] | None = None

    def resume(
        self, model: MultimodalModel, method: Method, state: TrainState
    ) -> dict[str, Any] | None:
        """Return None: nothing is kept between runs."""
        return None

    def save_best(self, model: MultimodalModel, method: Method) -> None:
        """Copy the weights of the best epoch so far."""
        self.kept = copy.deepcopy((model.state_dict(), method.state_dict()))

    def save_last(
        self, model: MultimodalModel, method: Method, state: TrainState, facts: dict[str, Any]
    ) -> None:
        """Do nothing: a run in memory cannot be resumed."""

    def restore_best(self, model: MultimodalModel, method: Method) -> None:
        """Restore the weights of the best epoch."""
        if self.kept is not None:
            model.load_state_dict(self.kept[0])
            method.load_state_dict(self.kept[1])


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """Turn everything that can be wrong with a checkpoint into one sentence."""
    try:
        yield
    except FileNotFoundError as error:
        # The error of safetensors has no attribute with the file's name.
        missing = next((name for name in FILES if not (folder / name).is_file()), folder.name)
        raise RunError(
            f"cannot read checkpoint {folder}: it has no {missing}. "
            "Delete the folder to train from the start."
        ) from error
    except FAULT as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise RunError(
            f"the checkpoint {folder} must be undamaged and fit its recipe's model, found: "
            f"{reason}. Delete the folder to train from the start."
        ) from error


def _notes(folder: Path) -> dict[str, Any]:
    notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    if not isinstance(notes, dict):
        raise ValueError(f"{NOTES} is no mapping")
    if notes.get("schema") != SCHEMA:
        raise RunError(
            f"the checkpoint {folder} must have schema {SCHEMA}, found {notes.get('schema')}. "
            "It was written by another version of g2d."
        )
    return notes


def _random_state(state: TrainState, method: Tensor) -> dict[str, Tensor]:
    """Return the state of the method's generator and of torch's own, which dropout uses."""
    return {"method": method, **random_state(state.device)}


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors as ``parameter/name``, and the numbers of the groups and the state."""
    packed = optimizer.state_dict()
    values = _flat(packed["state"])
    tensors = {key: v.contiguous() for key, v in values.items() if isinstance(v, Tensor)}
    numbers = {key: v for key, v in values.items() if key not in tensors}
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        for group in packed["param_groups"]
    ]
    return tensors, {"groups": groups, "numbers": numbers}


def _load_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]
) -> None:
    entries = _nested({**tensors, **notes["numbers"]})
    state = {int(i): entry for i, entry in entries.items()}
    current = optimizer.state_dict()["param_groups"]
    groups = [
        saved | {"params": group["params"]}
        for group, saved in zip(current, notes["groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(nested: Mapping[Any, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{key}/{name}": v for key, values in nested.items() for name, v in values.items()}


def _nested(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        branch, _, rest = name.partition("/")
        nested.setdefault(branch, {})[rest] = value
    return nested
