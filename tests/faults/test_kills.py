"""Commands that are killed go on and leave what they leave in peace; two at once do no damage."""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from g2d.experiment.console import Console
from g2d.experiment.student import Student
from g2d.experiment.teachers import teacher_sets
from g2d.plainyaml import parse
from g2d.recipe import Recipe
from support import chaos
from support.chaos import DIGITS, Reference, Scene
from support.forks import forked, killed_at

pytestmark = pytest.mark.slow
References = Callable[[Scene], Reference]


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    chaos.warm_up(tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> References:
    """Return a function that runs a scene in peace, once, and returns what it leaves."""
    wholes: dict[str, Reference] = {}

    def of(scene: Scene) -> Reference:
        if scene.name not in wholes:
            wholes[scene.name] = chaos.reference(scene, tmp_path_factory.mktemp("whole") / "work")
        return wholes[scene.name]

    return of


KILLED: list[tuple[Callable[[], Scene], int]] = [
    (lambda: chaos.training("umt", "train.checkpoint_updates=5", workers=2), 3),
    (chaos.comparison, 2),
    (chaos.search, 2),
    (chaos.preparation, 2),
    (chaos.reporting, 1),
]
"""Commands, and how often each is killed."""


@pytest.mark.parametrize(
    "place", range(len(KILLED)), ids=["train", "compare", "tune", "data", "report"]
)
def test_a_killed_command_goes_on_bit_for_bit_and_leaves_nothing_over(
    place: int, reference: References, tmp_path: Path
) -> None:
    make, kills = KILLED[place]
    scene = make()
    whole, rng = reference(scene), random.Random(place)
    assert chaos.chain(scene, whole, tmp_path / "work", rng, kills) == []


@pytest.mark.parametrize("place", range(4), ids=["train", "teachers", "compare", "data"])
def test_two_commands_started_together_do_no_damage(
    place: int, reference: References, tmp_path: Path
) -> None:
    one, two = chaos.PAIRS[(0, 1, 2, 4)[place]]()
    wholes = [reference(one), reference(two)]
    assert chaos.pair((one, two), wholes, tmp_path / "work", delay=0.0) == []


def test_thirteen_methods_started_together_train_each_teacher_once(tmp_path: Path) -> None:
    base = Recipe.load(DIGITS[0], [*DIGITS[1:], "controls=true"])
    source = base.build_source()

    def obtained(method: str) -> Callable[[], None]:
        def run() -> None:
            changes = dict(one.split("=", 1) for one in chaos.OF_METHOD.get(method, []))
            changed = {key: parse(value, key) for key, value in changes.items()}
            student = Student.build(base.changed({"method": method, **changed}), source)
            teacher_sets(student, tmp_path / method, Console(sys.stdout.write, progress=False))

        return run

    children = [forked(obtained(method), tmp_path / f"{method}.log") for method in chaos.CROWD]
    for child in children:
        assert child.wait() == 0, child.output
    printed = "".join(child.output for child in children)
    for m in ("image", "tone"):
        assert printed.count(f"teacher of {m}: training, because there is none yet.") == 1
        assert printed.count(f"teacher of {m}: reused") == len(chaos.CROWD) - 1 == 12
    assert re.search(r"belongs to process \d+ on this computer since .*: waiting for it", printed)


def test_a_finished_run_without_page_or_figures_gets_them(tmp_path: Path) -> None:
    scene = chaos.training("joint")
    whole = chaos.reference(scene, tmp_path / "work")
    for lost in ("report.html", "figures"):
        path = tmp_path / "work" / "run" / lost
        path.rename(tmp_path / lost)
        child = forked(scene.act(tmp_path / "work"), tmp_path / "log")
        assert child.wait() == 0, child.output
        assert "there is nothing left to do" in child.output
        assert chaos.differences(whole.outcome, chaos.outcome(tmp_path / "work")) == []


def test_a_run_killed_in_its_first_writes_goes_on(tmp_path: Path) -> None:
    scene, left = chaos.training("joint"), ""
    for write in range(1, 20):
        folder = tmp_path / str(write)
        folder.mkdir()
        assert forked(killed_at(scene.act(folder), folder, write), tmp_path / "log").wait() == -9
        left = next((path.name for path in folder.rglob(".recipe.yaml.*")), "")
        if left:
            break
    assert left
    assert forked(scene.act(folder), tmp_path / "log").wait() == 0
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize("killed", [False, True])
def test_a_reader_shows_errors_unless_its_parent_was_killed(killed: bool, tmp_path: Path) -> None:
    from g2d.data.loader import _end_with_parent

    def parent() -> None:
        if os.fork() == 0:
            _end_with_parent(0)
            if killed:
                os.kill(os.getppid(), 9)
            sys.excepthook(ConnectionResetError, ConnectionResetError("lost"), None)
            os.write(1, b"end")
            os._exit(0)
        time.sleep(1.0)

    process = forked(parent, tmp_path / "log")
    assert process.wait() == (-9 if killed else 0)
    while not process.output.endswith("end"):
        time.sleep(0.01)
    assert ("lost" in process.output) == (not killed)


def test_a_search_goes_on_where_the_lock_of_optuna_was_left(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    os.symlink("tuned/digits.trials.log", tmp_path / "tuned" / "digits.trials.log.lock")
    assert forked(chaos.search().act(tmp_path), tmp_path / "log").wait(60) == 0
