"""Everything that a run needs to go on, in a folder of safetensors and JSON; nothing is pickled."""

from __future__ import annotations

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

from g2d.errors import RunError
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel

SCHEMA = 1
FILES = (
    "state.json",
    "model.safetensors",
    "method.safetensors",
    "optimizer.safetensors",
    "snapshots.safetensors",
    "random.safetensors",
)


def save(
    folder: Path,
    model: MultimodalModel,
    method: Method,
    state: TrainState | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint aside, then put it in place at once, so that a reader never sees half of one.

    Args:
        state: also what resuming needs: optimizer, snapshots, random numbers.
        facts: JSON values to keep beside (epoch, scores, schedule).
    """
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file(_plain(model.state_dict()), aside / "model.safetensors")
    save_file(_plain(method.state_dict()), aside / "method.safetensors")
    notes: dict[str, Any] = {"schema": SCHEMA, **(facts or {})}
    if state is not None:
        tensors, numbers = _optimizer_state(state.optimizer)
        save_file(tensors, aside / "optimizer.safetensors")
        save_file(
            {
                f"{branch}/{name}": value
                for branch, values in state.snapshots.items()
                for name, value in values.items()
            },
            aside / "snapshots.safetensors",
        )
        save_file(_random_state(state), aside / "random.safetensors")
        scaler = None if state.scaler is None else state.scaler.state_dict()
        notes |= {
            "epoch": state.epoch,
            "step": state.step,
            "optimizer": numbers,
            "scaler": scaler,
            "notices": method.notices,
        }
    (aside / "state.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")
    old = _old(folder)
    recover(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> bool:
    """Whether a checkpoint stands in a folder. One that was moved aside by a save that was then killed is put back first."""
    if not folder.exists():
        with suppress(OSError):  # nothing there, or another process was faster
            _old(folder).rename(folder)
    return folder.is_dir()


def load(
    folder: Path, model: MultimodalModel, method: Method, state: TrainState | None = None
) -> dict[str, Any]:
    """Bring model, method and, if given, the training state back to a checkpoint. Returns its facts.

    Raises:
        RunError: there is none, it is damaged, or it does not fit the model.
    """
    recover(folder)
    with _clearly(folder):
        notes = _notes(folder)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        method.load_state_dict(load_file(folder / "method.safetensors"))
        if state is not None:
            _load_optimizer_state(
                state.optimizer, load_file(folder / "optimizer.safetensors"), notes["optimizer"]
            )
            state.snapshots = _nested(load_file(folder / "snapshots.safetensors"))
            _load_random_state(state, load_file(folder / "random.safetensors"))
            if state.scaler is not None:
                state.scaler.load_state_dict(notes["scaler"])
            state.epoch, state.step, method.notices = (
                notes["epoch"],
                notes["step"],
                notes["notices"],
            )
    return notes


def load_model(folder: Path, model: MultimodalModel) -> None:
    """Bring a model alone back to a checkpoint.

    Raises:
        RunError: there is none, it is damaged, or it does not fit the model.
    """
    recover(folder)
    with _clearly(folder):
        model.load_state_dict(load_file(folder / "model.safetensors"))


def verify(folder: Path) -> None:
    """Read every file of a checkpoint once.

    Raises:
        RunError: it is not there, or damaged.
    """
    recover(folder)
    with _clearly(folder):
        _notes(folder)
        for path in {folder / "model.safetensors", *folder.glob("*.safetensors")}:
            load_file(path)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def _clearly(folder: Path) -> Iterator[None]:
    """What can be wrong with a checkpoint, said in a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        # safetensors names no file in an attribute of its error.
        missing = next(
            (path.name for name in FILES if not (path := folder / name).is_file()), folder.name
        )
        raise RunError(
            f"a checkpoint must be a folder that g2d wrote, found no {missing} in {folder}. Delete what is left of it to train anew."
        ) from error
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        RuntimeError,
        SafetensorError,
    ) as error:
        found = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise RunError(
            f"the checkpoint {folder} must be whole and fit its recipe's model, found: {found}. Delete the folder to train anew."
        ) from error


def _notes(folder: Path) -> dict[str, Any]:
    notes = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if not isinstance(notes, dict):
        raise ValueError("state.json holds no mapping")
    if notes.get("schema") != SCHEMA:
        raise RunError(
            f"the checkpoint {folder} must have schema {SCHEMA}, found {notes.get('schema')}. It was written by another version of g2d."
        )
    return notes


def _random_state(state: TrainState) -> dict[str, Tensor]:
    """Of the method's generator and of torch's own, which dropout draws from."""
    states = {"method": state.generator.get_state(), "torch": torch.get_rng_state()}
    return states | (
        {"cuda": torch.cuda.get_rng_state(state.device)} if state.device.type == "cuda" else {}
    )


def _load_random_state(state: TrainState, states: Mapping[str, Tensor]) -> None:
    state.generator.set_state(states["method"])
    torch.set_rng_state(states["torch"])
    if (
        state.device.type == "cuda" and "cuda" in states
    ):  # a run may go on on another device, though not bit for bit
        torch.cuda.set_rng_state(states["cuda"], state.device)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by ``parameter/name``, and the numbers of the groups and the state."""
    packed = optimizer.state_dict()
    tensors = {
        f"{i}/{key}": value.contiguous()
        for i, entry in packed["state"].items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }
    numbers = {
        f"{i}/{key}": value
        for i, entry in packed["state"].items()
        for key, value in entry.items()
        if not isinstance(value, Tensor)
    }
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        for group in packed["param_groups"]
    ]
    return tensors, {"groups": groups, "numbers": numbers}


def _load_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]
) -> None:
    packed = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *notes["numbers"].items()]:
        i, _, key = name.partition("/")
        state.setdefault(int(i), {})[key] = value
    groups = [
        saved | {"params": group["params"]}
        for group, saved in zip(packed["param_groups"], notes["groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _nested(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    nested: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        branch, _, rest = name.partition("/")
        nested.setdefault(branch, {})[rest] = value
    return nested
