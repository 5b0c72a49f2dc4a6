"""Checkpoints: everything that a run needs to continue, as safetensors and JSON; no pickle."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g2d.engine.checkpoint_files import (
    METHOD,
    MODEL,
    OPTIMIZER,
    RANDOM,
    SNAPSHOTS,
    clear_errors,
    newest,
    newest_whole,
    prune,
    read_notes,
    read_tensors,
    write,
)
from g2d.engine.processes import process, random_state, set_random_state, wait
from g2d.engine.replicas import of_other_processes, restore_own
from g2d.locks import require_owned
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel
from g2d.runs import CHECKPOINTS

BEST, LAST = "best", "last"
"""Checkpoints of a run: of the selected epoch, and the one to continue from."""


def save(
    folder: Path,
    model: MultimodalModel,
    method: Method,
    state: TrainState | None = None,
    facts: Mapping[str, Any] | None = None,
    others: Mapping[str, Tensor] | None = None,
    previous: int = 0,
) -> None:
    """Write a checkpoint; see :func:`~g2d.engine.checkpoint_files.write`.

    Args:
        folder: The checkpoint's folder; an existing one is replaced.
        model: Its weights are saved.
        method: Its heads, buffers and counters are saved.
        state: Also save what resuming needs: optimizer, snapshots, random numbers.
        facts: JSON values to keep in ``state.json``, such as scores and schedule.
        others: Random numbers and statistics of the other processes.
        previous: Number of earlier checkpoints to keep.
    """
    files: dict[str, Mapping[str, Tensor]] = {
        MODEL: model.state_dict(),
        METHOD: method.state_dict(),
    }
    notes: dict[str, Any] = dict(facts or {})
    if state is not None:
        files[OPTIMIZER], notes["optimizer"] = _optimizer_state(state.optimizer)
        own = state.state_dict()
        files[SNAPSHOTS] = _flat(own.pop("snapshots"))
        files[RANDOM] = {**_random_state(state, own.pop("generator")), **(others or {})}
        notes["scaler"] = None if state.scaler is None else state.scaler.state_dict()
        notes |= {**own, "notices": method.notices}
    write(folder, files, notes, previous)


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
    folder = newest(folder)
    notes = read_notes(folder)
    _restore(folder, notes, model, method, state)
    return notes


def _restore(
    folder: Path,
    notes: Mapping[str, Any],
    model: MultimodalModel,
    method: Method,
    state: TrainState | None,
) -> None:
    with clear_errors(folder):
        model.load_state_dict(read_tensors(folder, MODEL))
        method.load_state_dict(read_tensors(folder, METHOD))
        if state is None:
            return
        tensors = read_tensors(folder, OPTIMIZER)
        _load_optimizer_state(state.optimizer, tensors, notes["optimizer"])
        if state.scaler is not None:
            state.scaler.load_state_dict(notes["scaler"])
        random = read_tensors(folder, RANDOM)
        # A run may continue on another device, though not bit for bit.
        set_random_state(state.device, random)
        restore_own(random, state.device, model, method)
        snapshots = _nested(read_tensors(folder, SNAPSHOTS))
        own = {"generator": random["method"], "snapshots": snapshots}
        state.load_state_dict({"stop": False, **notes, **own})
        method.notices = dict(notes["notices"])


def load_model(folder: Path, model: MultimodalModel) -> None:
    """Restore the weights of a model from a checkpoint.

    Args:
        folder: The checkpoint's folder.
        model: Built as the saved one.

    Raises:
        RunError: There is no checkpoint, it is damaged, or it does not fit the model.
    """
    folder = newest(folder)
    read_notes(folder)
    with clear_errors(folder):
        model.load_state_dict(read_tensors(folder, MODEL))


def verify(folder: Path) -> None:
    """Compare every file of a checkpoint with its recorded hash.

    Args:
        folder: The checkpoint's folder.

    Raises:
        RunError: There is no checkpoint, or it is damaged.
    """
    read_notes(newest(folder))


class FolderKeeper:
    """Keeper of a run's checkpoints in its folder: rank 0 writes, every process reads.

    Args:
        run: The run folder.
        keep: Number of checkpoints to continue from that are kept until training ends: the newest,
            and those before it, in case it is damaged.
    """

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.run, self.folder, self.keep = run, run / CHECKPOINTS, keep
        self.passed_over: list[str] = []

    def resume(
        self, model: MultimodalModel, method: Method, state: TrainState
    ) -> dict[str, Any] | None:
        """Restore the last checkpoint; return its notes, or None if there is none.

        If the last checkpoint is damaged, the one before is restored, and ``passed_over`` says why.

        Raises:
            RunError: All checkpoints are damaged, or the one of the best epoch is.
        """
        place, faults = newest_whole(self.folder / LAST)
        if place is None:
            return None
        notes = read_notes(place)
        if notes.get("selected"):
            verify(self.folder / BEST)  # at the end of training it would be too late
        _restore(place, notes, model, method, state)
        again = "The one before is used, and what followed is trained again."
        self.passed_over = [f"{fault.partition(' Delete ')[0]} {again}" for fault in faults]
        return notes

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
            save(self.folder / LAST, model, method, state, facts, others, self.keep - 1)

    def restore_best(self, model: MultimodalModel, method: Method) -> None:
        """Restore the weights of the best epoch."""
        wait()
        load(self.folder / BEST, model, method)
        wait()  # calibration writes this checkpoint again
        if process() == 0:
            for place in (BEST, LAST):
                prune(self.folder / place)


class MemoryKeeper:
    """Keeper of the best weights in memory, for a run without a folder."""

    passed_over: Sequence[str] = ()

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


def _random_state(state: TrainState, method: Tensor) -> dict[str, Tensor]:
    """Return the state of the method's generator and of torch's own, which dropout uses."""
    return {"method": method, **random_state(state.device)}


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
    groups = []
    for group, saved in zip(current, notes["groups"], strict=True):
        for name, value in saved.items():
            number = isinstance(value, int | float) and isinstance(group[name], int | float)
            if not number and not isinstance(value, type(json.loads(json.dumps(group[name])))):
                raise ValueError(f"{name} of the optimizer is {value!r:.100}")
        groups.append({**group, **saved})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, entry in state.items():
        for name, value in entry.items():
            if isinstance(value, Tensor) and value.shape not in ((), parameters[i].shape):
                raise ValueError(f"{name} of the optimizer has the shape {tuple(value.shape)}")
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(nested: Mapping[Any, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{key}/{name}": v for key, values in nested.items() for name, v in values.items()}


def _nested(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        branch, _, rest = name.partition("/")
        nested.setdefault(branch, {})[rest] = value
    return nested
