"""Measure how fast samples are read from a store, compared with decoding them each time.

Also measured: memory, and the share of a ResNet-18 step that reading and views take. The folders
rawmedia-mini and avdigits under G2D_DATA (else ../shared/data) are used; a missing one is skipped
with a message.

    python benchmarks/loading.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from g2d.data import Loader, Source
from g2d.data.store.facts import Signal
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.av_mnist.reader import AVMNISTOptions, plan_av_mnist
from g2d.datasets.crema_d.reader import CremaOptions, plan_crema
from g2d.encoders import build_encoder
from g2d.prepare import Decoded, Plan, Sample, prepare
from g2d.types import Batch

SHARED = Path(os.environ.get("G2D_DATA", Path(__file__).parents[2] / "shared" / "data"))


class Stored(Dataset[Batch]):
    """Rows of a store; a whole batch is gathered at once, as the loader of g2d does."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return self.source.size

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.source.gather(np.array(rows))


class Decoding(Dataset[dict[str, torch.Tensor]]):
    """Rows without a store; every sample is decoded on access."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder

    def __len__(self) -> int:
        return len(self.plan.samples)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        decoded = self.plan.decode(self.folder, self.plan.samples[row])
        return {
            m: torch.from_numpy(values)
            for m, values in decoded.values.items()
            if values is not None
        }


def per_second(batches: Iterator[int]) -> float:
    """Return the samples per second, after a first batch to warm up."""
    next(batches)
    start = time.perf_counter()
    count = sum(batches)
    return count / (time.perf_counter() - start)


def order(rows: int, repeats: int) -> RandomSampler:
    """Return a sampler of random rows, as in training."""
    return RandomSampler(
        range(rows),
        replacement=True,
        num_samples=rows * repeats,
        generator=torch.Generator().manual_seed(0),
    )


def stored(source: Source, batch: int, repeats: int, workers: int) -> Iterator[int]:
    """Yield the sizes of batches that are read from the store."""
    rows = Stored(source)
    for made in DataLoader(
        rows,
        batch_size=batch,
        sampler=order(len(rows), repeats),
        collate_fn=lambda whole: whole,
        num_workers=workers,
    ):
        yield len(made)


def decoded(plan: Plan, folder: Path, batch: int, repeats: int, workers: int) -> Iterator[int]:
    """Yield the sizes of batches that are decoded sample by sample."""
    rows = Decoding(plan, folder)
    for made in DataLoader(
        rows, batch_size=batch, sampler=order(len(rows), repeats), num_workers=workers
    ):
        yield len(next(iter(made.values())))


def compare(name: str, plan: Plan, folder: Path, repeats: int, batch: int) -> None:
    """Prepare a store and print a line of the table."""
    with tempfile.TemporaryDirectory() as out:
        prepare(plan, folder, Path(out) / "store", allow_partial=True)
        source = open_store(StoreOptions(store=str(Path(out) / "store")))
        size = (
            sum(path.stat().st_size for path in (Path(out) / "store").rglob("*.npy"))
            / source.size
            / 1024
        )
        for workers in (0, 2):
            fast = per_second(stored(source, batch, repeats * 20, workers))
            slow = per_second(decoded(plan, folder, batch, max(2, repeats // 10), workers))
            print(
                f"{name:<28}{workers:>8}{fast:>12,.0f}{slow:>12,.0f}"
                f"{fast / slow:>9,.0f} x{size:>10,.0f}"
            )


SEEN = {
    "video": Signal(
        "video",
        "uint8",
        (1, 128, 128, 3),
        ({"name": "pixels"}, {"name": "crop", "size": 112}, {"name": "flip"}),
    ),
    "audio": Signal(
        "audio", "int16", (14_336,), ({"name": "log_spectrogram", "n_fft": 254, "hop": 128},)
    ),
}


def draw(source: Path, sample: Sample) -> Decoded:
    """Return a clip of noise."""
    rng = np.random.default_rng(int(sample.id))
    return Decoded(
        {
            "video": rng.integers(0, 255, SEEN["video"].shape, np.uint8),
            "audio": rng.integers(-9000, 9000, SEEN["audio"].shape, np.int16),
        }
    )


def share_of_a_step(steps: int = 6, batch: int = 16, rows: int = 256) -> None:
    """Measure the share of reading and views in a step of ResNet-18.

    The inputs are pictures of 112 x 112 and spectrograms of 128 x 113, read from a store.
    """
    samples = [Sample(str(i), i % 10, str(i)) for i in range(rows)]
    classes = {"kind": "classification", "classes": list("0123456789")}
    plan = Plan("made_up", classes, SEEN, samples, draw, {"made_up/all": np.zeros(rows, np.int8)})
    with tempfile.TemporaryDirectory() as out:
        prepare(plan, Path(out), Path(out) / "store")
        feed, whole = timed_steps(
            open_store(StoreOptions(store=str(Path(out) / "store"))), steps, batch
        )
    print(
        f"reading and views in a ResNet-18 step at 112 x 112, batch {batch}, two modalities: "
        f"{1000 * feed / steps:.1f} of {1000 * whole / steps:.0f} ms, {feed / whole:.1%}"
    )


def timed_steps(source: Source, steps: int, batch: int) -> tuple[float, float]:
    """Return the seconds of reading and views, and of whole steps, after one step to warm up."""
    loader = Loader(source, "train", batch, shuffle=True)
    example = next(loader.epoch(1)).inputs
    encoders = torch.nn.ModuleDict(
        {m: build_encoder("resnet18", values) for m, values in example.items()}
    )
    heads = torch.nn.ModuleDict({m: torch.nn.Linear(512, 10) for m in example})
    optimizer = torch.optim.SGD([*encoders.parameters(), *heads.parameters()], lr=0.01)
    batches, feed, whole = loader.epoch(1), 0.0, 0.0
    for step in range(steps + 1):
        start = time.perf_counter()
        made = next(batches)
        fed = time.perf_counter()
        logits = sum(heads[m](encoders[m](values).pooled) for m, values in made.inputs.items())
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, made.target).backward()
        optimizer.step()
        if step:
            feed, whole = feed + fed - start, whole + time.perf_counter() - start
    return feed, whole


def as_crema(clips: Path, folder: Path) -> Path:
    """Unpack the clips of rawmedia-mini under names of CREMA-D; return their folder."""
    with tarfile.open(clips) as file:
        file.extractall(folder, filter="data")
    layout = folder / "cremad-layout"
    for part in ("AudioWAV", "VideoFlash"):
        for i, path in enumerate(sorted((layout / part).iterdir())):
            path.rename(path.with_stem(f"10{i:02d}_DFA_{'ANG' if i % 2 else 'HAP'}_XX"))
    return layout


def peak(measure: Callable[[], None]) -> None:
    """Run a measurement and print the peak memory of the process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measure()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{'':<28}peak memory {after / 1024:,.0f} MB, {(after - before) / 1024:+,.0f} MB here")


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    torch.manual_seed(0)
    print(
        f"{'samples per second':<28}{'workers':>8}{'store':>12}{'decoding':>12}"
        f"{'':>11}{'kB/sample':>10}"
    )
    clips = SHARED / "rawmedia-mini" / "rawmedia_mini.tar"
    if clips.is_file():
        with tempfile.TemporaryDirectory() as raw:
            folder = as_crema(clips, Path(raw))
            plan = plan_crema(folder, CremaOptions())
            peak(lambda: compare("rawmedia (flv + wav)", plan, folder, repeats, 8))
    else:
        print(f"skipped rawmedia-mini: not in {SHARED} (G2D_DATA)")
    digits = SHARED / "avdigits"
    if digits.is_dir():
        peak(
            lambda: compare(
                "avdigits (AV-MNIST rebuilt)",
                plan_av_mnist(digits, AVMNISTOptions(limit=50)),
                digits,
                repeats,
                64,
            )
        )
    else:
        print(f"skipped avdigits: not in {SHARED} (G2D_DATA)")
    peak(share_of_a_step)


if __name__ == "__main__":
    main()
