"""Commands that are killed or started together, and what must be left of them in the end.

``tests/faults`` runs a few, ``benchmarks/chaos.py`` hundreds. Every command runs in a copy of this
process (:mod:`support.forks`), on tiny problems.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from support import made_up
from support.forks import Child, forked, g2d, killed_at

Act = Callable[[], int]

METHODS = ["joint", "g2d", "umt", "ogm_ge", "agm", "pmr", "mla", "mmpareto", "mslr", "g2d_released"]
"""Methods whose training is killed."""
DIGITS = [
    "digits",
    "data.modalities=[image, tone]",
    "data.eval_draws=1",
    "encoders.image={name: mlp, widths: [8]}",
    "encoders.tone={name: mlp, widths: [8]}",
    "epochs=2",
    "train.batch_size=64",
    "train.threads=1",
]
"""A training that takes less than a second."""
LIMIT = 240.0
"""Seconds after which a command hangs."""
REFUSED = re.compile(r"Error: \S+ must have one owner at a time, found (process \d+|another) ")
"""How a command ends whose folder belongs to another one."""


def warm_up(folder: Path) -> None:
    """Run a training here, so that processes have imported everything and start at once.

    Args:
        folder: Folder of the run; it is deleted.
    """
    words = ["train", *DIGITS, "method={name: joint}", "controls=false", "--quiet"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert g2d(*words, "--out", folder / "run")() == 0
    shutil.rmtree(folder)
    for module in ("optuna", "g2d.experiment.tune", "g2d.prepare", "torch.distributed"):
        importlib.import_module(module)


@dataclass(frozen=True)
class Scene:
    """A command, and what it leaves when nothing happens to it.

    Args:
        name: Name of the scene.
        act: Returns the command for a folder, which gets all of its output.
        setup: Prepares the folder for the command.
        group: Whether the command starts processes that are killed with it.
    """

    name: str
    act: Callable[[Path], Act]
    setup: Callable[[Path], object] = lambda folder: None
    group: bool = False


@dataclass(frozen=True)
class Reference:
    """Outcome of a scene when nothing happens to it.

    Args:
        outcome: See :func:`outcome`.
        writes: Number of changes to files.
        seconds: Time that it took.
    """

    outcome: dict[str, Any]
    writes: int
    seconds: float


def training(method: str, *overrides: str, workers: int = 0, controls: bool = False) -> Scene:
    """Return the training of a student with its teachers."""
    words = [*DIGITS, f"method={{name: {method}}}", f"train.workers={workers}", *overrides]
    words.append(f"controls={str(controls).lower()}")
    name = " ".join(["train", method, f"workers {workers}", *overrides])
    return Scene(name, lambda folder: g2d("train", *words, "--quiet", "--out", folder / "run"))


def comparison(*options: str) -> Scene:
    """Return a comparison of joint training and UMT, with controls."""
    words = ["compare", *DIGITS, "--methods", "joint,umt", "--seeds", "1", "--quiet", *options]
    name = " ".join(["compare", *options])
    return Scene(name, lambda folder: g2d(*words, "--out", folder / "all"), group=True)


def search() -> Scene:
    """Return a search of three trials."""
    words = ["tune", *DIGITS, "method={name: umt}", "--trials", "3"]

    def act(folder: Path) -> Act:
        def run() -> int:
            os.chdir(folder)  # the path of the default folder is relative
            return g2d(*words, "--out", "tuned")()

        return run

    return Scene("tune", act)


def preparation() -> Scene:
    """Return the preparation of 40 made-up samples."""

    def act(folder: Path) -> Act:
        def run() -> int:
            from typer import Typer

            from g2d.cli.options import Commands

            made = Typer(cls=Commands)
            raw = folder.parent / "raw"

            @made.command("prepare")
            def prepare() -> None:
                from g2d.prepare import prepare

                prepare(made_up.plan(raw), raw, folder / "store")

            made.command("other")(lambda: None)
            return _ended(lambda: made(["prepare"]))

        return run

    return Scene("prepare", act, lambda folder: made_up.write(folder.parent / "raw"))


def reporting() -> Scene:
    """Return a report of a finished run, with its charts as files."""

    def act(folder: Path) -> Act:
        out = folder / "page.html"
        return g2d("report", folder / "run", "--out", out, "--figures", "svg")

    def setup(folder: Path) -> None:
        words = ["train", *DIGITS, "method={name: joint}", "controls=false", "--quiet"]
        child = forked(g2d(*words, "--out", folder / "run"), folder.parent / "setup.log")
        assert child.wait(LIMIT) == 0, child.output

    return Scene("report", act, setup)


def _ended(act: Callable[[], object]) -> int:
    try:
        act()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def outcome(folder: Path) -> dict[str, Any]:
    """Return everything that commands left in a folder: every name, and content without times.

    Weights, optimizer, random states, predictions, figures of metrics and results count bit for
    bit. Pages and tables show times, and logs of trials the order of sessions: of them, only the
    name counts.
    """
    return {
        str(path.relative_to(folder)): _content(path, str(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    } | {f"{path.relative_to(folder)}/": None for path in folder.rglob("*") if path.is_dir()}


def _content(path: Path, folder: str) -> object:
    if path.suffix in (".safetensors", ".npy"):
        return path.read_bytes()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays}
    if path.suffix not in (".json", ".jsonl", ".yaml", ".txt"):
        return None
    text = path.read_text().replace(folder, "FOLDER")
    if path.suffix == ".json":
        return _timeless(json.loads(text))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in text.splitlines()]
    return text


TIMES = re.compile(r"second|reused|sha256|signature|^files$|^cost$")
"""Keys of measured times, of digests of files with times, and of what depends on who came first."""


def _timeless(content: Any) -> Any:
    if isinstance(content, dict):
        if "columns" in content and "rows" in content:  # a table
            timed = {i for i, column in enumerate(content["columns"]) if column["unit"] == "s"}
            for row in content["rows"]:
                row["cells"] = [cell for i, cell in enumerate(row["cells"]) if i not in timed]
        return {k: _timeless(v) for k, v in content.items() if not TIMES.search(k)}
    return [_timeless(each) for each in content] if isinstance(content, list) else content


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of files that are only in one outcome, or differ."""
    return [
        f"{name} {'differs' if name in one and name in other else 'is missing or left over'}"
        for name in sorted({*one, *other})
        if name not in one or name not in other or one[name] != other[name]
    ]


def reference(scene: Scene, folder: Path) -> Reference:
    """Run a scene in peace.

    Args:
        scene: The scene.
        folder: An empty folder, whose parent is for logs and raw data.
    """
    folder.mkdir(parents=True)
    scene.setup(folder)
    started = time.monotonic()
    child = forked(killed_at(scene.act(folder), folder, 0), folder.parent / "reference.log")
    code = child.wait(LIMIT)
    assert code == 0, f"{scene.name}: {code}\n{child.output}"
    seconds = time.monotonic() - started
    writes = re.findall(r"writes: (\d+)", child.output)
    return Reference(outcome(folder), int(writes[-1]), seconds)


def chain(
    scene: Scene, whole: Reference, folder: Path, rng: random.Random, kills: int
) -> list[str]:
    """Kill a command again and again, let it end, and return what is wrong.

    Half of the kills are right before a write, the others at a random moment.

    Args:
        scene: The scene.
        whole: Its reference.
        folder: An empty folder, whose parent is for logs and raw data.
        rng: Chooses the moments.
        kills: Number of kills.
    """
    folder.mkdir(parents=True)
    scene.setup(folder)
    log, faults = folder.parent / f"{folder.name}.log", list[str]()
    for number in range(kills):
        act = scene.act(folder)
        if rng.random() < 0.5:
            child = forked(killed_at(act, folder, 1 + rng.randrange(whole.writes)), log)
        else:
            child = forked(_leading(act) if scene.group else act, log)
            time.sleep(rng.uniform(0.0, whole.seconds))
            _kill(child, scene.group and rng.random() < 0.5)
        try:
            code = child.wait(LIMIT)
        except TimeoutError as error:
            return [str(error)]
        if code not in (0, -signal.SIGKILL):
            faults.append(f"kill {number + 1} of {kills}: exit code {code}")
    return [*faults, *_ending(scene, whole, folder, log)]


def _leading(act: Act) -> Act:
    """Let the process lead a group, so that it can be killed with those that it starts."""

    def run() -> int:
        os.setpgid(0, 0)
        return act()

    return run


def _kill(child: Child, group: bool) -> None:
    if group:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            child.kill()
    else:
        child.kill()


def _ending(scene: Scene, whole: Reference, folder: Path, log: Path) -> Iterator[str]:
    """Run a command to its end; yield what is wrong with its end and with what it leaves."""
    child = forked(scene.act(folder), log)
    try:
        code = child.wait(LIMIT)
    except TimeoutError as error:
        yield str(error)
        return
    if code:
        yield f"the last session ended with {code}: {child.output[-3000:]}"
    yield from differences(whole.outcome, outcome(folder))
    if "Traceback" in child.output:
        yield child.output[-3000:]


def pair(
    scenes: tuple[Scene, Scene], wholes: Sequence[Reference], folder: Path, delay: float
) -> list[str]:
    """Start two commands together on one folder, and return what is wrong.

    Each must end well, or be refused because the other one owns the folder. Run again one after
    the other, they must leave what they leave in peace.

    Args:
        scenes: The commands; equal, or with different folders that share teachers.
        wholes: Their references.
        folder: An empty folder.
        delay: Seconds between the two starts.
    """
    folder.mkdir(parents=True)
    for scene in scenes:
        scene.setup(folder)
    children, faults = list[Child](), list[str]()
    for number, scene in enumerate(scenes):
        children.append(forked(scene.act(folder), folder.parent / f"{folder.name}-{number}.log"))
        time.sleep(delay)
    codes = []
    for child in children:
        try:
            codes.append(child.wait(LIMIT))
        except TimeoutError as error:
            faults.append(str(error))
            codes.append(0)
        refused = codes[-1] == 2 and REFUSED.search(child.output)
        if (codes[-1] and not refused) or "Traceback" in child.output:
            faults.append(f"exit code {codes[-1]}: {child.output[-3000:]}")
    if 0 not in codes:
        faults.append(f"one of them must end well, found the exit codes {codes}")
    for scene in dict.fromkeys(scenes):
        again = forked(scene.act(folder), folder.parent / f"{folder.name}-again.log")
        if again.wait(LIMIT):
            faults.append(again.output[-3000:])
    expected = functools.reduce(lambda a, b: a | b, (whole.outcome for whole in wholes))
    return [*faults, *differences(expected, outcome(folder))]


CROWD = [
    "g2d",
    "g2d_released",
    "umt",
    "joint",
    "ogm_ge",
    "agm",
    "pmr",
    "mla",
    "mmpareto",
    "mslr",
    "reconboost",
    "mses",
    "ume",
]
"""Thirteen methods that are started together and share their teachers."""
OF_METHOD = {"mmpareto": ["fusion=concat"], "reconboost": ["method.phases=[1, 1]"]}
"""Overrides that methods need."""


def crowd(folder: Path) -> list[str]:
    """Start thirteen methods together, which share teachers; return what is wrong.

    Args:
        folder: An empty folder.
    """
    folder.mkdir(parents=True)
    children = {
        method: forked(
            g2d(
                *("train", *DIGITS, f"method={{name: {method}}}", *OF_METHOD.get(method, [])),
                *("controls=true", "--quiet", "--out", folder / method),
            ),
            folder.parent / f"{method}.log",
        )
        for method in CROWD
    }
    faults = [f"{name}: {child.output[-2000:]}" for name, child in children.items() if child.wait()]
    printed = "".join(child.output for child in children.values())
    for m in ("image", "tone"):
        trained = printed.count(f"teacher of {m}: training")
        if trained != 1:
            faults.append(f"the teacher of {m} was trained {trained} times")
    return faults


def ranks(scene: Scene, folder: Path, log: Path) -> list[Child]:
    """Start a command as the two processes of a training, as torchrun does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    common |= {"TORCHELASTIC_RUN_ID": "chaos", "GLOO_SOCKET_IFNAME": "lo", "LOCAL_WORLD_SIZE": "2"}

    def joined(rank: int) -> Act:
        def run() -> int:
            os.environ.update(common | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
            return scene.act(folder)()

        return run

    return [forked(joined(rank), log.with_suffix(f".{rank}.log")) for rank in range(2)]


def rank_killed(scene: Scene, whole: Reference, folder: Path, rng: random.Random) -> list[str]:
    """Kill one of two processes of a training, then train on with two; return what is wrong.

    Args:
        scene: The scene.
        whole: What two processes leave in peace; see :func:`reference_of_ranks`.
        folder: An empty folder.
        rng: Chooses the process and the moment.
    """
    folder.mkdir(parents=True)
    children = ranks(scene, folder, folder.parent / folder.name)
    time.sleep(rng.uniform(0.2, whole.seconds))
    victim = rng.choice(children)
    victim.kill()
    faults = []
    for child in children:
        try:
            code = child.wait(90)
        except TimeoutError as error:
            return [str(error)]
        if child is not victim and code == 1:
            faults.append(f"the other process ended with a traceback: {child.output[-3000:]}")
    again = ranks(scene, folder, folder.parent / folder.name)
    codes = [child.wait(LIMIT) for child in again]
    if any(codes):
        faults.append(f"the second session ended with {codes}: {again[0].output[-3000:]}")
    return [*faults, *differences(whole.outcome, outcome(folder))]


def reference_of_ranks(scene: Scene, folder: Path) -> Reference:
    """Run a scene in peace as the two processes of a training."""
    folder.mkdir(parents=True)
    started = time.monotonic()
    for child in ranks(scene, folder, folder.parent / folder.name):
        assert child.wait(LIMIT) == 0, child.output
    return Reference(outcome(folder), 0, time.monotonic() - started)


def _twice(scene: Scene) -> tuple[Scene, Scene]:
    return scene, scene


def _neighbors() -> tuple[Scene, Scene]:
    """Return two trainings in one folder that need the same teachers."""
    words = [*DIGITS, "controls=false"]

    def named(method: str) -> Scene:
        own = [*words, f"method={{name: {method}}}", "--quiet"]
        return Scene(
            f"train {method} next to another",
            lambda folder: g2d("train", *own, "--out", folder / method),
        )

    return named("g2d"), named("umt")


PAIRS: tuple[Callable[[], tuple[Scene, Scene]], ...] = (
    lambda: _twice(training("umt", workers=2)),
    _neighbors,
    lambda: _twice(comparison()),
    lambda: _twice(search()),
    lambda: _twice(preparation()),
)
"""Commands that are started together."""
