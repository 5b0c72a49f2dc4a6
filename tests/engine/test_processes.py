"""Two processes of torchrun end with equal weights, and with those of one process."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from g2d.cli import app

SCRIPT = """
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from g2d.datasets.digits.options import DigitsOptions
from g2d.datasets.digits.problem import open_digits
from g2d.engine.fit import fit
from g2d.engine.options import TrainOptions
from g2d.engine.processes import process, start, wait
from g2d.fusion import Late
from g2d.methods import G2D
from g2d.model import MultimodalModel, Teachers

def step_and_die(step, update):
    # Kill this process before an update.
    def stepped(state, batch):
        if state.step + 1 == update:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(state, batch)

    return stepped


start()
source = open_digits(DigitsOptions(setting="mild", eval_draws=1))
sizes = {"image": 256, "tone": 288}
for name, norm in (("plain", nn.Identity), ("batchnorm", nn.BatchNorm1d)):
    more = [nn.Dropout(0.2)] if name == "batchnorm" else []

    def model(modalities, seed):
        torch.manual_seed(seed)
        encoders = {
            m: nn.Sequential(nn.Flatten(), nn.Linear(sizes[m], 8), norm(8), nn.Tanh(), *more)
            for m in modalities
        }
        return MultimodalModel(encoders, Late(dict.fromkeys(modalities, 8), 10))

    teachers = Teachers({m: model((m,), 7) for m in sizes})
    student = model(tuple(sizes), 10 * process())  # weights differ until rank 0 sends its own
    method = G2D(teachers=teachers, tau=(1, 1, )).build(student, source.task)
    if name == "batchnorm" and "die" in sys.argv and process() == 1:
        if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            method.training_step = step_and_die(method.training_step, 8)
    options = TrainOptions(
        epochs=2, batch_size=101, lr=0.05, clip=0.5, accumulate=2, checkpoint_updates=3
    )
    fitted = fit(method, student, source, options, folder=Path(sys.argv[1]) / name)
    score = torch.tensor([fitted.score, fitted.selected_epoch], dtype=torch.float64)
    path = Path(sys.argv[1]) / f"{name}-{process()}.safetensors"
    save_file({"score": score, **student.state_dict()}, path)
wait()
if "TORCHELASTIC_RUN_ID" in os.environ:
    os._exit(0)  # threads of gloo can abort the interpreter on its way out
"""


def torchrun(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *map(str, words),
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )


def largest_difference(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max((a[name].double() - b[name].double()).abs().max().item() for name in a)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Run the script with two processes and with one; return the folders of the results."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "two").mkdir()
    (folder / "one").mkdir()
    (folder / "script.py").write_text(SCRIPT)
    together = torchrun(folder / "script.py", folder / "two")
    assert together.returncode == 0, together.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["script.py", str(folder / "one")])
        runpy.run_path(str(folder / "script.py"))
    return folder / "two", folder / "one"


@pytest.mark.parametrize("name", ["plain", "batchnorm"])
def test_two_processes_end_with_equal_weights_and_statistics(
    trained: tuple[Path, Path], name: str
) -> None:
    first, second = (load_file(trained[0] / f"{name}-{process}.safetensors") for process in (0, 1))
    assert largest_difference(first, second) == 0


def test_without_batchnorm_two_processes_end_where_one_does(trained: tuple[Path, Path]) -> None:
    two, one = (load_file(folder / "plain-0.safetensors") for folder in trained)
    assert largest_difference(two, one) < 2e-5
    records = [
        [json.loads(line) for line in (folder / "plain" / "metrics.jsonl").read_text().splitlines()]
        for folder in trained
    ]
    for a, b in zip(*records, strict=True):
        assert a["valid"]["fused"]["loss"] == pytest.approx(b["valid"]["fused"]["loss"], rel=1e-4)
        assert {
            name: a["train"][name]
            for name in b["train"]
            if name.startswith(("kappa", "confidence", "ranking"))
        } == pytest.approx(
            {
                name: value
                for name, value in b["train"].items()
                if name.startswith(("kappa", "confidence", "ranking"))
            },
            rel=1e-5,
        )


def test_the_recorded_loss_is_that_of_all_processes(trained: tuple[Path, Path]) -> None:
    two, one = (
        json.loads((folder / "plain" / "metrics.jsonl").read_text().splitlines()[0])["train"]
        for folder in trained
    )
    losses = {name: value for name, value in one.items() if name.startswith("loss")}
    assert {name: two[name] for name in losses} == pytest.approx(losses, rel=1e-4)


@pytest.mark.slow
def test_processes_that_torchrun_restarts_end_where_others_do_bit_for_bit(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """The second process is killed inside an epoch, with dropout, BatchNorm and uneven shares."""
    script = trained[0].parent / "script.py"
    started = time.monotonic()
    together = torchrun("--max-restarts", "1", script, tmp_path, "die")
    assert together.returncode == 0, together.stderr
    assert time.monotonic() - started < 120
    for process in (0, 1):
        name = f"batchnorm-{process}.safetensors"
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()
    kept = [folder / "batchnorm" / "checkpoints" / "last" for folder in (tmp_path, trained[0])]
    for path in kept[0].glob("*.safetensors"):
        assert path.read_bytes() == (kept[1] / path.name).read_bytes()
    assert "1/torch" in load_file(kept[0] / "random.safetensors")


@pytest.mark.slow
def test_a_recipe_trained_by_torchrun_gives_the_result_of_one_process(tmp_path: Path) -> None:
    words: list[Any] = [
        "digits",
        "data.modalities=[word]",
        "encoders={word: {name: transformer, width: 16}}",
        "method={name: g2d, tau: [2]}",
    ]
    words += ["data.eval_draws=1", "controls=false", "teachers.epochs=1", "--quiet", "--out"]
    together = torchrun("-m", "g2d", "train", *words, tmp_path / "two" / "run")
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("teacher of word: training") == 1
    alone = CliRunner().invoke(app, ["train", *map(str, words), str(tmp_path / "one" / "run")])
    assert alone.exit_code == 0, alone.output
    two, one = (
        json.loads((tmp_path / name / "run" / "result.json").read_text()) for name in ("two", "one")
    )
    assert two["test"]["fused"]["loss"] == pytest.approx(one["test"]["fused"]["loss"], rel=1e-3)
    assert [(r["processes"], r["batchnorm"]) for r in (two, one)] == [(2, "none"), (1, "none")]
    assert (two["cost"]["updates"], two["selected_epoch"]) == (
        one["cost"]["updates"],
        one["selected_epoch"],
    )
    weights = (
        load_file(tmp_path / name / "run" / "checkpoints" / "last" / "model.safetensors")
        for name in ("two", "one")
    )
    assert largest_difference(*weights) < 1e-4
