"""Measure the bytes of a checkpoint, and the seconds that writing it takes, on this machine.

A checkpoint holds the weights, the moments of the optimizer and the random states, with the SHA-256
of every file. Its cost depends on the number of parameters alone, so that the encoders here are
linear layers.

    python benchmarks/checkpoints.py --folder /tmp --rounds 5
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import nn

import g2d
from g2d.engine import checkpoint
from g2d.engine.options import TrainOptions
from g2d.methods import METHODS

CLASSES, WIDTH = 10, 512
MILLIONS = (0.1, 1, 10, 25, 100)
"""Parameters of the models, in millions. Two ResNet-18 have 22."""


def training_state(millions: float, optimizer: str) -> tuple[g2d.Method, g2d.TrainState]:
    """Return a method and a state after one update, so that the optimizer has all moments."""
    inputs = max(1, round(millions * 1e6 / 2 / WIDTH))
    encoders = {m: nn.Linear(inputs, WIDTH) for m in ("left", "right")}
    model = g2d.MultimodalModel(encoders, g2d.Late(dict.fromkeys(encoders, WIDTH), CLASSES))
    method = METHODS["joint"]().build(model, g2d.Classification(CLASSES))
    kind = torch.optim.AdamW if optimizer == "adamw" else torch.optim.SGD
    options = {} if optimizer == "adamw" else {"momentum": 0.9}
    state = g2d.TrainState(
        model, kind(method.parameter_groups(model), lr=0.01, **options), method.task
    )
    batch = g2d.Batch({m: torch.randn(4, inputs) for m in encoders}, torch.arange(4))
    method.epoch_start(state)
    method.training_step(state, batch)
    return method, state


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=None, help="Where to write; a disk to measure."
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    minutes = TrainOptions(epochs=1).checkpoint_minutes
    assert minutes is not None
    place = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        print(f"  parameters  optimizer  megabytes  seconds  share of {minutes:g} min")
        for millions in MILLIONS:
            for optimizer in ("sgd", "adamw"):
                method, state = training_state(millions, optimizer)
                seconds = []
                for _ in range(arguments.rounds):
                    start = perf_counter()
                    checkpoint.save(place / "last", state.model, method, state, {}, previous=1)
                    seconds.append(perf_counter() - start)
                taken, written = median(seconds), size(place / "last") / 1e6
                share = taken / (60 * minutes)
                print(
                    f"{millions:>10g} M  {optimizer:9}  {written:9.1f}  {taken:7.3f}  {share:.3%}"
                )
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
