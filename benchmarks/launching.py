"""Lose processes of ``torchrun``, and run the files for SLURM on this computer.

Parts:

- ``lost``: two processes train; one of them, the first or the second, is killed or stopped in the
  middle of an epoch. Prints the seconds until ``torchrun`` has ended. Then the same command is run
  again, and must end like a run without interruption, bit for bit.
- ``requeue``: ``several_nodes.sbatch``, with an ``srun`` that starts two agents of ``torchrun`` on
  the loopback interface. The job gets SIGTERM in the middle of an epoch, and is run again.

    python benchmarks/launching.py lost requeue --folder /tmp/launching
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAUNCH = Path(__file__).parents[1] / "docs" / "launch"
WORDS = [
    "digits",
    "method={name: g2d, tau: [2, 2]}",
    "epochs=4",
    "encoders.image={name: cnn, widths: [8], pool: 2}",
    "train.batch_size=33",
    "train.checkpoint_updates=5",
    "teachers.epochs=1",
    "controls=false",
]
TORCHRUN = f"""#!/bin/bash
exec {sys.executable} -W ignore -m torch.distributed.run --local-addr 127.0.0.1 "$@"
"""
SRUN = """#!/bin/bash
"$@" & a=$!
"$@" & b=$!
trap 'kill -TERM $a $b' TERM
wait $a; wait $a; code=$?
wait $b
exit $code
"""
SCONTROL = """#!/bin/bash
[ "$1" = show ] && { echo 127.0.0.1; exit 0; }
echo "$@" >> "$STUBS/requeued.txt"
"""


def environment(folder: Path, run: Path) -> dict[str, str]:
    stubs = folder / "stubs"
    stubs.mkdir(parents=True, exist_ok=True)
    for name, text in {"torchrun": TORCHRUN, "srun": SRUN, "scontrol": SCONTROL}.items():
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        **os.environ,
        "PATH": f"{stubs}{os.pathsep}{os.environ['PATH']}",
        "STUBS": str(stubs),
        "RUN": str(run),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PROCESSES": "1",
        "PORT": str(port),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "2",
    }


def torchrun(folder: Path, run: Path) -> subprocess.Popen[str]:
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "g2d", "train", *WORDS]
    return started([*command, "--out", str(run), "--quiet"], folder, run)


def job(folder: Path, run: Path) -> subprocess.Popen[str]:
    return started(["bash", str(LAUNCH / "several_nodes.sbatch"), *WORDS], folder, run)


def started(command: list[str], folder: Path, run: Path) -> subprocess.Popen[str]:
    kept = (folder / "output.txt").open("a+")
    return subprocess.Popen(
        command, env=environment(folder, run), stdout=kept, stderr=kept, text=True
    )


def wait_for_epoch(process: subprocess.Popen[str], run: Path, lines: int) -> None:
    """Wait until the student has finished some epochs, and a bit more."""
    metrics, end = run / "metrics.jsonl", time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        if metrics.exists() and len(metrics.read_text().splitlines()) >= lines:
            time.sleep(0.2)
            return
        time.sleep(0.02)
    raise SystemExit(f"{run} did not train: see output.txt")


def workers(process: subprocess.Popen[str]) -> dict[int, int]:
    """Return the process ids of the ranks."""
    ranks = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        rank = [int(v[5:]) for v in variables if v.startswith(b"RANK=")]
        if parent == process.pid and rank:
            ranks[rank[0]] = int(place.name)
    return ranks


def outcome(run: Path) -> dict[str, Any]:
    """Return weights, records and result of a run, without measured times."""

    def timeless(content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {k: timeless(v) for k, v in content.items() if "seconds" not in k and k != "reused"}

    files: dict[str, Any] = {}
    for path in sorted((run / "checkpoints").rglob("*.safetensors")):
        files[str(path.relative_to(run))] = path.read_bytes()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    files["metrics"] = [timeless(json.loads(line)) for line in lines]
    result = timeless(json.loads((run / "result.json").read_text()))
    files["result"] = {k: v for k, v in result.items() if k not in ("files", "signature")}
    return files


def same(whole: Path, run: Path) -> str:
    a, b = outcome(whole), outcome(run)
    differing = [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]
    return "bit-identical" if not differing else f"DIFFERENT: {', '.join(sorted(differing))}"


def interrupted(
    start: Callable[[Path, Path], subprocess.Popen[str]], folder: Path, whole: Path
) -> None:
    """Train without interruption, unless this was done before."""
    if not (whole / "result.json").exists():
        process = start(folder, whole)
        if process.wait(600) != 0:
            raise SystemExit(f"the run without interruption failed: see {folder}/output.txt")


def lost(folder: Path) -> None:
    whole = folder / "whole" / "run"
    interrupted(torchrun, folder, whole)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for rank in (0, 1):
            run = folder / f"{number.name}-{rank}" / "run"
            process = torchrun(folder, run)
            wait_for_epoch(process, run, 2)
            os.kill(workers(process)[rank], number)
            start = time.monotonic()
            code = process.wait(300)
            seconds = time.monotonic() - start
            again = torchrun(folder, run).wait(600)
            print(
                f"rank {rank} {number.name}: torchrun ended after {seconds:.1f} s with {code}; "
                f"the same command again: {again}, {same(whole, run)}",
                flush=True,
            )


def requeue(folder: Path) -> None:
    whole, run = folder / "whole-job" / "run", folder / "job" / "run"
    interrupted(job, folder, whole)
    process = job(folder, run)
    wait_for_epoch(process, run, 2)
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    process.wait(300)
    seconds = time.monotonic() - start
    inside = json.loads((run / "checkpoints" / "last" / "state.json").read_text())["inside"]
    requeued = (folder / "stubs" / "requeued.txt").read_text().strip()
    again = job(folder, run).wait(600)
    print(
        f"two agents: ended {seconds:.1f} s after SIGTERM, scontrol {requeued}, checkpoint after "
        f"batch {inside and inside['batches']} of an epoch; again: {again}, {same(whole, run)}"
    )


def main() -> None:
    parts = {"lost": lost, "requeue": requeue}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--folder", type=Path, required=True, help="An empty folder to work in.")
    arguments = parser.parse_args()
    for name in arguments.parts:
        folder = arguments.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        parts[name](folder)


if __name__ == "__main__":
    main()
