"""Cells: the order in which they run, failures that cost one cell, processes, and shares."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
import typer

from g2d.cli.options import end
from g2d.errors import ArgumentError, RunError
from g2d.experiment import launching, workers
from g2d.experiment.cells import (
    Cell,
    Event,
    Failure,
    Finished,
    InProcess,
    Outcomes,
    Progress,
    Said,
    carry_out,
    require_some,
)
from g2d.experiment.console import Console
from g2d.experiment.display import Lines, Plain, display
from g2d.experiment.launching import Launch, with_threads
from g2d.experiment.slurm import Array
from g2d.experiment.workers import Workers
from g2d.recipe import Recipe
from support import cells as works


class Kept:
    """Watcher that keeps what it is shown."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.events: list[Event] = []

    def started(self, cell: str) -> None:
        self.order.append(cell)

    def happened(self, event: Event) -> None:
        self.events.append(event)


def serial(*cells: Cell) -> tuple[Outcomes, Kept]:
    kept = Kept()
    return carry_out(cells, InProcess(Console(lambda text: None, progress=False)), kept), kept


def test_a_cell_that_fails_is_reported_and_the_rest_is_finished() -> None:
    kinds = ("data", "recipe", "disk", "bug")
    cells = [Cell(kind, partial(works.fail, kind)) for kind in kinds]
    outcomes, kept = serial(*cells[:2], Cell("good", partial(works.succeed, 3)), *cells[2:])
    assert kept.order == ["data", "recipe", "good", "disk", "bug"]
    assert outcomes.results == {"good": 3}
    reasons = {failure.cell: failure.reason for failure in outcomes.failures}
    assert reasons["data"] == "no such store."
    assert "a is wrong." in reasons["recipe"]
    assert "no space left on device" in reasons["disk"]
    assert "this is a bug in g2d" in reasons["bug"]
    assert [bool(one.trace) for one in outcomes.failures] == [False, False, False, True]
    for failures, code in ((outcomes.failures[:3], 2), (outcomes.failures, 1)):
        with pytest.raises(typer.Exit) as ended:
            end(failures)
        assert ended.value.exit_code == code
    end([])
    with pytest.raises(RunError, match="2 runs failed; the rest is finished"):
        require_some(Outcomes({}, outcomes.failures[:2]), "run")


def test_a_method_that_is_not_supported_is_tried_under_one_seed() -> None:
    unsupported = partial(works.fail, "unsupported")
    outcomes, kept = serial(
        Cell("a, seed 0", unsupported, group="a"),
        Cell("a, seed 1", unsupported, group="a"),
        Cell("b", partial(works.succeed, 1), group="b"),
        Cell("alone", unsupported),
        Cell("last", partial(works.succeed, 1)),
    )
    assert kept.order == ["a, seed 0", "b", "alone", "last"]
    assert [one.unsupported for one in outcomes.failures] == [True, True]


def test_a_cell_starts_after_what_it_needs_and_fails_with_it() -> None:
    outcomes, kept = serial(
        Cell("run", partial(works.succeed, 1), needs=frozenset({"teacher"})),
        Cell("other run", partial(works.succeed, 2), needs=frozenset({"bad teacher"})),
        Cell("teacher", partial(works.succeed, 0)),
        Cell("bad teacher", partial(works.fail, "data")),
    )
    assert kept.order == ["teacher", "run", "bad teacher"]
    assert [*outcomes.results] == ["teacher", "run"]
    assert str(outcomes.failures[-1]) == "other run: it needs what failed (bad teacher)."


class LeftOpen(Workers):
    """Processes that stay when all cells have ended."""

    def close(self) -> None:
        pass


def test_processes_share_devices_and_one_that_dies_costs_its_cell_only(tmp_path: Path) -> None:
    engine, kept, file = LeftOpen(2, ("5", "7")), Kept(), tmp_path / "pid"
    cells = [
        Cell("killed", works.die),
        Cell("a", works.device),
        Cell("wrong", partial(works.fail, "recipe")),
        Cell("b", works.device),
    ]
    outcomes = carry_out(cells, engine, kept)
    assert set(outcomes.results) == {"a", "b"}
    assert set(outcomes.results.values()) <= {"5", "7"}
    failures = {failure.cell: failure.reason for failure in outcomes.failures}
    assert "its process ended by signal 9 (SIGKILL), often because memory" in failures["killed"]
    assert "a is wrong." in failures["wrong"]
    assert {Said("a", "hello"), Progress("a", "a student", 2, 3)} <= set(kept.events)

    engine.start(Cell("long", partial(works.wait_long, file)))
    while not file.exists():
        list(engine.events())
    assert [worker.cell for worker in engine.workers].count("long") == 1
    engine.stop()
    assert not any(worker.process.is_alive() for worker in engine.workers)
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_shares_divide_the_cells_and_impossible_launches_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = list(range(11))
    shares = [Launch(shard=f"{i}/4").share(cells) for i in (1, 2, 3, 4)]
    assert sorted(cell for share in shares for cell in share) == cells
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert Launch().share(cells) == cells
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0", "-1/2"):
        with pytest.raises(ArgumentError, match="shard must be i/n with i from 1 to n"):
            Launch(shard=wrong)
    with pytest.raises(ArgumentError, match="jobs must be 1 or more, found 0"):
        Launch(0)
    with pytest.raises(ArgumentError, match="jobs must be left out with ray"):
        Launch(2, ray="local")
    monkeypatch.setattr(launching, "cores", lambda: 8)
    two = Recipe.load("digits", ["train.threads=2"])
    Launch(4).check_cores([two])
    with pytest.raises(ArgumentError, match=r"at most 4 .*8 cores, 2 threads per run\), found 5"):
        Launch(5).check_cores([Recipe.load("digits"), two])
    Launch(5, oversubscribe=True).check_cores([two])


def test_the_threads_of_a_run_belong_to_its_recipe_and_not_to_the_jobs() -> None:
    assert with_threads(Recipe.load("digits", ["train.threads=null"])).train.threads == 1
    assert with_threads(Recipe.load("digits", ["train.threads=3"])).train.threads == 3


def test_progress_is_plain_lines_or_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    events = [Said("a", "hello"), Progress("a", "a student", 1, 2), Finished("a", None)]
    for terminal, kind in ((False, Plain), (True, Lines)):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
        with display(2, lines.append, progress=True) as watcher:
            assert type(watcher) is kind
            for event in [*events, Failure("b", "no data.")]:
                watcher.started(event.cell)
                watcher.happened(event)
    assert lines == [
        "a: hello",
        "1 of 2: a, 0 s",
        "b failed: no data.",
        "a: hello",
        "b failed: no data.",
    ]


def test_a_slurm_script_is_valid_and_runs_the_share_of_its_task(tmp_path: Path) -> None:
    names = [("a\nb, seed 0", True), ("a, seed 1", False), ("it's, seed 0", False)]
    command = ["compare", "my recipe.yaml", "name=it's", "--seeds", "2"]
    script = Array(command, names, Launch(2), threads=3, teachers=["teachers", "x"]).script()
    assert "#SBATCH --array=2-3\n#SBATCH --cpus-per-task=6\n" in script
    assert "#   g2d teachers x\n" in script
    program = tmp_path / "g2d"
    program.write_text('#!/bin/bash\nprintf "[%s]" "$@"\nexit ${CODE:-0}\n')
    (tmp_path / "scontrol").write_text('#!/bin/bash\nprintf "scontrol[%s]" "$@"\n')
    for file in (program, tmp_path / "scontrol"):
        file.chmod(0o755)
    path = tmp_path / "array.sh"
    path.write_text(script)
    assert subprocess.run(["bash", "-n", path], check=True, capture_output=True).stderr == b""
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **task}
    words = "[compare][my recipe.yaml][name=it's][--seeds][2][--shard][2/3]"
    for code, ended, more in (
        ("0", 0, ""),
        ("2", 2, ""),
        ("143", 0, "scontrol[requeue]scontrol[7_2]"),
    ):
        run = subprocess.run(
            ["bash", path],
            check=False,
            capture_output=True,
            text=True,
            env=environment | {"CODE": code},
        )
        assert (run.stdout, run.returncode) == (words + more, ended)
    shares = Array(command, names, Launch(shard="1/2"), threads=1).script()
    assert "--array=1-2\n" in shares
    assert '/2" &\n' in shares
    finished = Array(command, [("a", True)], Launch(), threads=1).script()
    assert "--array" not in finished
    assert subprocess.run(["bash", "-c", finished], check=True, capture_output=True).stdout


def test_a_process_whose_first_one_has_ended_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers.signal, "signal", lambda *_: None)
    first, other = multiprocessing.Pipe()
    first.close()
    workers.work(other, None)
