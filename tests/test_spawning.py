"""Processes that a script starts through the package, and the main module that they leave alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from g2d.experiment import workers
from g2d.experiment.workers import Workers
from g2d.spawning import needs_main, spawning

BEGIN = "import multiprocessing\nimport g2d\nprint('begin')\n"
FIT = """
rows = [f"{i},{i % 3},{i % 2}" for i in range(60)]
open("rows.csv", "w").write("\\n".join(["left,right,label", *rows]))
g2d.fit("rows.csv", target="label", out="fit", budget="fast", epochs=1)
"""
JOBS = """
given = {"seeds": [0, 1], "controls": "none", "oversubscribe": True, "progress": False}
g2d.compare("digits/small", methods="joint", jobs=2, epochs=1, out="jobs", **given)
"""
READERS = """
multiprocessing.set_start_method("spawn")  # as on macOS and Windows
g2d.train("digits/small", method="joint", epochs=1, out="run", **{"train.workers": 1})
"""


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(FIT, id="fit"),
        pytest.param(JOBS, id="jobs", marks=pytest.mark.slow),
        pytest.param(READERS, id="readers", marks=pytest.mark.slow),
    ],
)
def test_a_script_without_a_guard_runs_once(tmp_path: Path, lines: str) -> None:
    (tmp_path / "script.py").write_text(BEGIN + lines + "print('end')\n")
    command = [sys.executable, "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert (words.count("begin"), words.count("end")) == (1, 1)
    assert "Traceback" not in done.stderr


def test_a_function_of_the_main_module_needs_it_and_one_of_a_package_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Decode:
        pass

    Decode.__module__, Decode.__qualname__ = "__main__", "Decode"
    monkeypatch.setattr(sys.modules["__main__"], "Decode", Decode, raising=False)
    assert needs_main({"decode": Decode()})
    assert not needs_main({"decode": needs_main, "values": b"_" * 200_000})


@pytest.mark.parametrize("main", [True, False])
def test_a_process_imports_the_main_module_only_if_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: bool
) -> None:
    written = tmp_path / "imported"
    script = tmp_path / "script.py"
    script.write_text(f"open({str(written)!r}, 'w').close()\n")
    module = ModuleType("__main__")
    module.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", module)
    process = spawning(main=main).Process(target=print)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert written.exists() is main


def test_processes_for_jobs_import_a_script_that_registers_a_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not Workers(0).main
    monkeypatch.setitem(workers.METHODS, "mine", type("Mine", (), {"__module__": "mine"}))
    assert Workers(0).main
