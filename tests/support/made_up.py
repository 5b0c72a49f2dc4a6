"""A made-up data set whose decoder fails on request, importable by worker processes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2d.data.store.facts import Signal
from g2d.errors import UnreadableError
from g2d.prepare import Decoded, Plan, Sample, Skip, Summary, prepare

SIGNALS = {
    "wave": Signal("audio", "int16", (40,), ({"name": "scale", "std": 1000.0},), {"rate": 40}),
    "steps": Signal("sequence", "float32", (5, 3), ({"name": "standardize"},), masked=True),
}


def decode(source: Path, sample: Sample) -> Decoded:
    """Return values derived from the id, or fail as the last word of the file requests."""
    text = (source / sample.files[0]).read_text()
    time.sleep(float(sample.facts.get("sleep", 0)))
    match text.split()[-1]:
        case "crash":
            os._exit(9)
        case "killed" if not (marker := source / f"{sample.id}.seen").exists():
            marker.touch()
            os._exit(9)
        case "surprise":
            raise RuntimeError("an unexpected error")
        case "growing":
            (source / sample.files[0]).write_text(text + " ")
            warnings = ()
        case "broken":
            raise UnreadableError("undecodable", "as requested")
        case "infinite":
            return Decoded(
                {"wave": np.zeros(40, np.int16), "steps": np.full((5, 3), np.inf, np.float32)},
                {"steps": np.ones(5, bool)},
            )
        case "absent":
            return Decoded({"wave": np.ones(40, np.int16), "steps": None})
        case "warned":
            warnings = ("it looks odd",)
        case _:
            warnings = ()
    rng = np.random.default_rng(int(sample.id))
    length = 1 + int(sample.id) % 5
    steps = np.where(np.arange(5)[:, None] < length, rng.normal(size=(5, 3)), 0).astype(np.float32)
    return Decoded(
        {"wave": rng.integers(-900, 900, 40).astype(np.int16), "steps": steps},
        {"steps": np.arange(5) < length},
        warnings,
    )


@dataclass(frozen=True)
class Padded:
    """Decoder of rows without files: zeros, the first steps of which are real."""

    steps: int

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        return Decoded(
            {"wave": np.zeros(40, np.int16), "steps": np.zeros((5, 3), np.float32)},
            {"steps": np.arange(5) < self.steps},
        )


def write(folder: Path, count: int = 40, **requests: str) -> None:
    """Write one small file per sample, unless it already has the same content.

    Args:
        folder: Folder of the files.
        count: Number of samples.
        requests: What decoding does with some samples, for example ``s3="crash"``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        path, text = folder / f"{i:04d}.txt", f"sample {i} {requests.get(f's{i}', 'good')}"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def plan(folder: Path, *, sleep: float = 0.0, chunk: int = 4, **changed: Any) -> Plan:
    """Plan the preparation of all files; four consecutive samples are a group."""
    names = sorted(path.stem for path in folder.glob("*.txt"))
    samples = [
        Sample(
            name,
            int(name) % 2,
            f"g{int(name) // 4}",
            (f"{name}.txt",),
            {"sleep": sleep} if sleep else {},
        )
        for name in names
    ]
    place = np.array([{0: 2, 1: 1}.get(int(name) // 4 % 5, 0) for name in names], np.int8)
    leaky = np.array([int(name) % 3 for name in names], np.int8)
    fields: dict[str, Any] = {
        "name": "made_up",
        "task": {"kind": "classification", "classes": ["even", "odd"]},
        "signals": SIGNALS,
        "samples": samples,
        "decode": decode,
        "protocols": {"made_up/by-group-v1": place, "made_up/leaky": leaky},
        "chunk": chunk,
    }
    return Plan(**(fields | changed))


SKIP = Skip("9999", "missing-file", "planned")


def made(tmp_path: Path, name: str = "store", workers: int = 1, **requests: str) -> Summary:
    """Write the files and prepare them."""
    write(tmp_path / "raw", **requests)
    return prepare(plan(tmp_path / "raw"), tmp_path / "raw", tmp_path / name, workers=workers)


def decode_clip(source: Path, sample: Sample) -> Decoded:
    """Return noise as the sound and the picture of a clip."""
    rng = np.random.default_rng(int(sample.id))
    values = rng.integers(-900, 900, (2, 40)).astype(np.int16)
    return Decoded({"audio": values[0], "video": values[1]})


def made_clips(tmp_path: Path, store: str, **changed: Any) -> Summary:
    """Prepare 40 clips of sound and picture under the name of a data set.

    Args:
        tmp_path: Folder of the raw files and of the store.
        store: Name of the store's folder.
        changed: Further fields of the plan.
    """
    write(tmp_path / "raw")
    signals = {"audio": SIGNALS["wave"], "video": SIGNALS["wave"]}
    clips = plan(tmp_path / "raw", signals=signals, decode=decode_clip, **changed)
    return prepare(clips, tmp_path / "raw", tmp_path / store, workers=1)
