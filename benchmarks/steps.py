"""Measure the seconds per training step of every method on this machine.

The two convolutional encoders cost the same, so that the saving of a suppressed encoder is visible:
a method with prioritization epochs is measured in an exclusive stage and in its last stage. The
methods take turns and the median is printed, because the speed of a machine drifts.

    python benchmarks/steps.py --rounds 10 --batch 32
"""

from __future__ import annotations

import argparse
import inspect
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import nn

import g2d
from g2d.methods import METHODS

CLASSES, SIZE, WIDTH = 10, 32, 32
MODALITIES = ("left", "right")


@dataclass
class Case:
    """A method with its own student, in one of its epochs."""

    label: str
    method: g2d.Method
    state: g2d.TrainState
    batch: g2d.Batch

    def seconds(self) -> float:
        start = perf_counter()
        self.method.training_step(self.state, self.batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return perf_counter() - start


def encoder() -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (1, WIDTH, WIDTH):
        layers += [
            nn.Conv2d(channels, WIDTH, 3, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def model_of(*modalities: str) -> g2d.MultimodalModel:
    return g2d.MultimodalModel(
        {m: encoder() for m in modalities}, g2d.Late(dict.fromkeys(modalities, 4 * WIDTH), CLASSES)
    )


def cases(device: torch.device, size: int) -> list[Case]:
    inputs = {m: torch.randn(size, 1, SIZE, SIZE) for m in MODALITIES}
    teachers = g2d.Teachers({m: model_of(m).to(device) for m in MODALITIES})
    made: list[Case] = []
    for name, kind in METHODS.items():
        if not kind.trains:
            continue
        classes = "classification" in kind.tasks
        task = (
            g2d.Classification(CLASSES) if classes else g2d.Regression(CLASSES, output="identity")
        )
        batch = g2d.Batch(
            inputs, torch.randint(CLASSES, (size,)) if classes else torch.rand(size, CLASSES)
        ).to(device)
        arguments = inspect.signature(kind).parameters
        options = {"teachers": teachers} if kind.needs_teachers else {}
        stages = {"exclusive stage": 1, "last stage": 2} if "tau" in arguments else {"": 1}
        for stage, epoch in stages.items():
            method = kind(**options, **({"tau": (1, 1)} if "tau" in arguments else {}))
            model = model_of(*MODALITIES).to(device)
            method.build(model, task).to(device)
            state = g2d.TrainState(
                model,
                torch.optim.SGD(method.parameter_groups(model), lr=0.01, momentum=0.9),
                task,
                epochs=2,
                rows=lambda *_, batch=batch: [batch],
            )
            state.epoch = epoch
            method.epoch_start(state)
            made.append(Case(f"{name}, {stage}" if stage else name, method, state, batch))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measured = cases(device, arguments.batch)
    for case in measured:
        case.seconds()
    times = [[case.seconds() for case in measured] for _ in range(arguments.rounds)]
    medians = dict(
        zip((case.label for case in measured), map(median, zip(*times, strict=True)), strict=True)
    )
    unit = medians["joint"]
    print(
        f"torch {torch.__version__}, {device}, {arguments.threads} threads, "
        f"batch {arguments.batch}, median of {arguments.rounds}"
    )
    for label, seconds in medians.items():
        print(f"{label:<32}{1000 * seconds:8.1f} ms {seconds / unit:6.2f} x joint")


if __name__ == "__main__":
    main()
