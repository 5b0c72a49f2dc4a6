"""The files for SLURM, with its commands replaced by small scripts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "docs" / "launch"
FILES = sorted(LAUNCH.glob("*.sbatch"))
COMMANDS = {
    "srun": """#!/bin/bash
echo "$@" >> "$STUBS/srun.txt"
trap 'exit 143' TERM
[ -f "$STUBS/fault" ] && exit 1
[ -f "$STUBS/finishes" ] && { mkdir -p "$RUN"; touch "$RUN/result.json"; exit 0; }
touch "$STUBS/started"
for _ in $(seq 600); do sleep 0.05; done
""",
    "scontrol": """#!/bin/bash
[ "$1" = show ] && { echo node1; echo node2; exit 0; }
echo "$@" >> "$STUBS/scontrol.txt"
""",
}


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """Return an environment with commands of SLURM that write down how they are called."""
    for name, text in COMMANDS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "STUBS": str(tmp_path),
        "RUN": str(tmp_path / "runs" / "a"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
    }


def job(file: Path, cluster: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["bash", str(file), "digits", "method=g2d"], env=cluster)


def test_there_is_a_file_for_one_node_and_one_for_several() -> None:
    assert [file.name for file in FILES] == ["one_node.sbatch", "several_nodes.sbatch"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_shell_finds_no_fault_in_it(file: Path) -> None:
    subprocess.run(["bash", "-n", file], check=True)
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, file], check=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_job_that_runs_out_of_time_is_requeued_until_the_run_is_finished(
    file: Path, cluster: dict[str, str]
) -> None:
    stubs = Path(cluster["STUBS"])
    stopped = job(file, cluster)
    while not (stubs / "started").exists() and stopped.poll() is None:
        time.sleep(0.02)
    time.sleep(0.2)  # until the shell waits
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(20) == 0
    assert (stubs / "scontrol.txt").read_text() == "requeue 7\n"
    (stubs / "finishes").touch()
    assert job(file, cluster).wait(20) == 0
    assert (stubs / "scontrol.txt").read_text() == "requeue 7\n"
    first, second = (stubs / "srun.txt").read_text().splitlines()
    assert first == second
    assert first.endswith(f"-m g2d train digits method=g2d --out {cluster['RUN']} --quiet")
    assert "--nproc-per-node 4" in first
    if "several" in file.name:
        assert "--nnodes 2" in first
        assert "--rdzv-endpoint node1:29500" in first


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_job_that_fails_is_not_requeued(file: Path, cluster: dict[str, str]) -> None:
    stubs = Path(cluster["STUBS"])
    (stubs / "fault").touch()
    assert job(file, cluster).wait(20) == 1
    assert not (stubs / "scontrol.txt").exists()
