"""A small world of runs, teachers, a store and a comparison, whose files are damaged one by one."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d import compare
from g2d.data.store.opening import verify_store
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.engine.checkpoint import LAST, FolderKeeper
from g2d.engine.checkpoint_files import newest_whole
from g2d.errors import G2DError
from g2d.experiment import load, run
from g2d.experiment.diagnosing import diagnose_run, find_teachers
from g2d.machine import machine_fault
from g2d.paper import build
from g2d.prepare import check_store, prepare
from g2d.recipe import Recipe
from g2d.report import FORMATS, groups_of
from g2d.report.page import chapters_of, render_page
from g2d.runs import CHECKPOINTS, find_runs
from support.outcomes import timeless

ROWS, EPOCHS = 60, 3
METHODS = ("joint", "g2d", "stack")
FINISHED = (*METHODS, "joint-warm")
"""Names of the runs of the comparison, with the one that it adds as a control."""
BROKEN = "student"
"""Name of the run that is not finished."""
LAST_PLACE = f"{CHECKPOINTS}/{LAST}"
KINDS = {
    "store": ("store/**/*",),
    "run": ("runs/*/seed-0/*", "runs/*/seed-0/predictions/*"),
    "checkpoints": ("runs/*/seed-0/checkpoints/**/*",),
    "teachers": ("runs/teachers/**/*",),
    "comparison": ("runs/*", "runs/*/seed-0/figures/*"),
    "unfinished": (f"{BROKEN}/**/*",),
}
"""Patterns of the files of every kind."""


def silent(*_: object) -> None:
    """Pass over a message."""


def recipe_of(top: Path, method: str, **changes: Any) -> Recipe:
    """Return a recipe on the store of a world."""
    content = {
        "name": method,
        "data": {"name": "store", "store": "store", "root": str(top)},
        "encoders": {"a": {"name": "mlp", "widths": [8]}, "b": {"name": "mlp", "widths": [8]}},
        "fusion": "concat",
        "method": "g2d" if method == "stack" else method,
        "epochs": EPOCHS,
        "train": {"lr": 0.05},
        "teachers": {"epochs": 2, "folder": str(top / "runs" / "teachers")},
        **({"stack": 1} if method == "stack" else {}),
    }
    return Recipe.from_mapping({**content, **changes})


def build_world(top: Path) -> None:
    """Write a store, train and compare on it, diagnose a run, and leave one unfinished."""
    rng = np.random.default_rng(0)
    target = np.arange(ROWS) % 3
    a = rng.normal(size=(ROWS, 6)).astype(np.float32) + target[:, None]
    b = rng.normal(size=(ROWS, 4)).astype(np.float32) - target[:, None]
    b[5] = np.nan
    split = np.array(["train", "train", "train", "valid", "test"])[np.arange(ROWS) // 3 % 5]
    np.savez(top / "mine.npz", a=a, b=b, target=target, split=split)
    plan = plan_arrays(top / "mine.npz", ArraysOptions())
    prepare(plan, top, top / "store", workers=1)
    (top / "mine.npz").unlink()
    recipes = [recipe_of(top, method) for method in METHODS]
    compare(recipes, seeds=1, out=top / "runs", progress=False, say=silent)
    diagnose_run(top / "runs" / "g2d" / "seed-0")
    keep = FolderKeeper.save_last

    def copied(keeper: FolderKeeper, model: Any, method: Any, state: Any, facts: Any) -> None:
        keep(keeper, model, method, state, facts)
        if state.epoch == EPOCHS - 1:
            shutil.copytree(keeper.run, top / BROKEN, ignore=shutil.ignore_patterns(".*"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderKeeper, "save_last", copied)
        run(recipe_of(top, "g2d"), top / "whole", progress=False, say=silent)
    shutil.rmtree(top / "whole")


@dataclass
class World:
    """A world and what its readers return while nothing is damaged.

    Args:
        top: Its folder.
        files: Its files by kind.
        whole: Output of every reader.
    """

    top: Path
    files: dict[str, list[Path]] = field(default_factory=dict)
    whole: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def made(cls, top: Path) -> World:
        """Build a world, and read it once."""
        build_world(top)
        world = cls(top)
        for kind, patterns in KINDS.items():
            paths = (path for pattern in patterns for path in top.glob(pattern))
            world.files[kind] = sorted({path for path in paths if path.is_file()})
            assert world.files[kind], kind
        world.whole = {name: read(top) for name, read in READERS.items()}
        return world

    def trial(self, kind: str, cut: bool, rng: random.Random) -> str:
        """Damage a file, run every reader, and repair it.

        Args:
            kind: A key of :data:`KINDS`.
            cut: Whether the file is cut off; otherwise one bit is flipped.
            rng: Chooses the file and the place.

        Returns:
            ``noticed``, ``recovered``, ``no effect``, or a fault: a text with a colon.
        """
        path = rng.choice(self.files[kind])
        with damaged(path, cut, rng) as change:
            outcome = self._read(kind)
        return outcome if ":" not in outcome else f"{path.relative_to(self.top)} {change} {outcome}"

    def _read(self, kind: str) -> str:
        states = set()
        for name, read in READERS.items():
            if name.startswith("continue") and kind not in ("unfinished", "teachers", "store"):
                continue
            try:
                output = read(self.top)
            except G2DError as error:
                if not str(error).strip() or "Traceback" in str(error):
                    return f"{name}: no sentence: {error}"
                states.add("noticed")
                continue
            except Exception as error:
                if machine_fault(error) is None:
                    return f"{name}: traceback: {error!r}"
                states.add("noticed")
                continue
            if output != self.whole[name]:
                if not isinstance(output, Noticed):
                    return f"{name}: silently another output"
                states.add("noticed")
        if states and kind == "teachers":
            return "recovered"  # the unfinished run trained it again, with the same result
        passed_over = kind == "unfinished" and newest_whole(self.top / BROKEN / LAST_PLACE)[1]
        return "noticed" if states else "recovered" if passed_over else "no effect"


class Noticed(str):
    """An output that differs from that of the undamaged world and says so."""

    __slots__ = ()


@contextmanager
def damaged(path: Path, cut: bool, rng: random.Random) -> Iterator[str]:
    """Damage a file for a while; yield what was done."""
    whole = path.read_bytes()
    times = path.stat()
    data = bytearray(whole)
    place = rng.randrange(max(1, len(data)))
    bit = rng.randrange(8)
    if cut:
        del data[place:]
    elif data:
        data[place] ^= 1 << bit
    path.write_bytes(data)
    try:
        yield f"cut to {place} bytes" if cut else f"byte {place}, bit {bit}"
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def read_store(top: Path) -> str:
    """Check the store, as ``g2d data check`` does."""
    findings = check_store(top / "store")
    return Noticed(findings) if findings.errors else str(findings)


def read_report(top: Path) -> str:
    """Put all runs in tables and on a page, as ``g2d report`` does."""
    runs, left_out = find_runs([top / "runs"])
    groups = groups_of(runs)
    text = FORMATS["json"](build(groups)) + render_page(groups, chapters_of(groups))
    return Noticed(text) if left_out else text


def read_run(top: Path, method: str) -> str:
    """Evaluate a run, as ``g2d evaluate --verify`` does, and find its teachers."""
    opened = load(top / "runs" / method / "seed-0")
    verify_store(opened.recipe.data_options)
    load(opened.folder, LAST)
    evaluation = opened.evaluate("test", keep_rows=True)
    text = f"{evaluation.record()} {opened.result}"
    assert evaluation.logits is not None
    text += sha256(evaluation.logits.numpy().tobytes()).hexdigest()
    teachers = find_teachers(opened)
    for m, teacher in teachers.items():
        for name, tensor in teacher.state_dict().items():
            text += f" {m} {name} {sha256(tensor.numpy().tobytes()).hexdigest()}"
    return text if len(teachers) == 2 else Noticed(text)


def read_unfinished(top: Path) -> dict[str, Any]:
    """Continue the unfinished run to its end, as ``g2d train`` does, in a copy."""
    copy = top / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copytree(top / BROKEN, copy / BROKEN)
    shutil.copytree(top / "runs" / "teachers", copy / "runs" / "teachers")
    recipe = recipe_of(top, "g2d").changed({"teachers.folder": str(copy / "runs" / "teachers")})
    verify_store(recipe.data_options)
    run(recipe, copy / BROKEN, progress=False, say=silent)
    outcome: dict[str, Any] = {}
    for path in sorted((copy / BROKEN).rglob("*")):
        name = str(path.relative_to(copy))
        if path.suffix == ".json":
            outcome[name] = timeless(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            outcome[name] = [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix in (".npz", ".safetensors", ".yaml"):
            outcome[name] = path.read_bytes()
    shutil.rmtree(copy)
    return outcome


READERS: dict[str, Callable[[Path], Any]] = {
    "check": read_store,
    "report": read_report,
    **{f"evaluate {method}": lambda top, m=method: read_run(top, m) for method in FINISHED},
    "continue": read_unfinished,
}
"""Everything that reads files of a world."""
