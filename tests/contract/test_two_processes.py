"""Every method gives the same weights on two processes as on one with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from g2d.engine.nonfinite import Steps
from g2d.method import processes
from g2d.methods import METHODS
from support.workbench import EPOCHS, Bench, poisoned, run, takes, weights

TRAINED = [name for name, kind in METHODS.items() if kind.trains]

SCRIPT = """
import os
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from g2d.engine.processes import start, wait
from contract.test_two_processes import keep

start()
keep(Path(sys.argv[1]))
wait()
os._exit(0)  # threads of gloo can abort the interpreter on its way out
"""


def bench_of(name: str) -> Bench:
    """Return a bench without dropout and BatchNorm, which differ between processes."""
    options = {"approach": "weighted"} if takes(METHODS[name], "approach") else {}
    return Bench(
        name,
        k=3,
        absent=True,
        regression="classification" not in METHODS[name].tasks,
        options=options,
    )


def keep(folder: Path) -> None:
    """Train every method on this process's share of the batches; save weights and last record."""
    process = torch.distributed.get_rank() if processes() > 1 else 0
    for name in TRAINED:
        bench = bench_of(name)
        model = bench.model()
        method = bench.method(model)
        records = run(
            bench,
            method,
            bench.state(method, model),
            range(1, EPOCHS + 1),
            process=process,
            processes=processes(),
        )
        recorded = {
            f"record.{key}": torch.tensor(value, dtype=torch.float64)
            for key, value in records[-1].items()
        }
        kept = {name: value.contiguous() for name, value in weights(model, method).items()}
        save_file(
            kept | recorded | skipped(bench, process),
            folder / f"{name}-{process}.safetensors",
        )


def skipped(bench: Bench, process: int) -> dict[str, torch.Tensor]:
    """Return the weights after three batches, the second of which has NaN on one process only."""
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    method.epoch_start(state)
    batches = list(bench.rows(process=process, processes=processes()))[:3]
    if process == processes() - 1:
        batches[1] = poisoned(batches[1])
    steps = Steps(method, state, "skip")
    assert [steps.take(batch) is None for batch in batches] == [False, True, False]
    return {f"skipped.{name}": value.clone() for name, value in weights(model, method).items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders with the weights of two processes, and of one."""
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    (two / "script.py").write_text(SCRIPT)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    arguments = [*command, str(two / "script.py"), str(two), str(Path(__file__).parents[1])]
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr
    keep(one)
    return two, one


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_end_where_one_does(trained: tuple[Path, Path], name: str) -> None:
    first, second, alone = (
        load_file(folder / f"{name}-{process}.safetensors")
        for folder, process in ((trained[0], 0), (trained[0], 1), (trained[1], 0))
    )
    assert first.keys() == second.keys() == alone.keys()
    for key in alone:
        torch.testing.assert_close(
            first[key],
            second[key],
            rtol=0,
            atol=0,
            equal_nan=True,
            msg=lambda text, key=key: f"{key} of the two processes: {text}",
        )
        torch.testing.assert_close(
            first[key],
            alone[key],
            rtol=2e-4,
            atol=2e-5,
            equal_nan=True,
            msg=lambda text, key=key: f"{key}: {text}",
        )
