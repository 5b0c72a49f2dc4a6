"""A tiny problem in float64 that is neutral nowhere.

Rows lack modalities, a batch lacks one altogether, every encoder has a convolution, a normalization
and a linear layer, widths differ, and the weights and statistics of the normalizations are not
those of a new layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

from g2d.fusion import Additive, Late
from g2d.method import Validation
from g2d.model import MultimodalModel, Teachers
from g2d.task import Classification, Regression, Task
from g2d.types import Batch

WIDTHS = {"sight": 4, "sound": 3, "word": 5}
ROWS, CLASSES, BATCHES = 7, 3, 2
VARIANCE = (0.1, 0.3)


def task_of(regression: bool, output: Literal["sigmoid", "identity"] = "sigmoid") -> Task:
    """Return the task: three classes, or two values whose variances differ."""
    if not regression:
        return Classification(CLASSES)
    return Regression(2, output=output, variance=VARIANCE)


def network(
    modalities: Iterable[str],
    outputs: int,
    seed: int,
    fusion: type[Additive] = Late,
) -> MultimodalModel:
    """Return a model with an encoder of three kinds of layers per modality, in float64."""
    torch.manual_seed(seed)
    dims = {m: WIDTHS[m] for m in modalities}
    encoders = {
        m: nn.Sequential(
            nn.Conv2d(1, 2, 2),
            nn.BatchNorm2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(8, width),
        )
        for m, width in dims.items()
    }
    model = MultimodalModel(encoders, fusion(dims, outputs)).double()
    with torch.no_grad():
        for values in [*model.parameters(), *model.buffers()]:
            if values.is_floating_point():
                values += 0.4 * torch.rand_like(values)
    return model


def teachers_of(modalities: Iterable[str], outputs: int) -> Teachers:
    """Return teachers of which other checkpoints distill than rank."""
    distilling, ranking = (
        {m: network((m,), outputs, seed + i) for i, m in enumerate(modalities)}
        for seed in (50, 160)
    )
    return Teachers(distilling, ranking)


def batches(
    k: int, epoch: int, split: str = "train", *, regression: bool = False, complete: bool = False
) -> list[Batch]:
    """Return the batches of an epoch, whose rows differ from those of other epochs and splits.

    The mask of the last of three modalities is not given; the second batch of an even epoch lacks
    the first modality.
    """
    modalities = tuple(WIDTHS)[:k]
    g = torch.Generator().manual_seed(100 * epoch + (split == "valid"))
    made = []
    for number in range(BATCHES):
        inputs = {
            m: torch.randn(ROWS, 1, 3, 3, generator=g, dtype=torch.float64) for m in modalities
        }
        present = {m: torch.rand(ROWS, generator=g) > 0.3 for m in modalities[:2]}
        if number == 1 and epoch % 2 == 0:
            present[modalities[0]] = torch.zeros(ROWS, dtype=torch.bool)
        if k == 2:  # every row has a modality; the third, whose mask is not given, has all rows
            present[modalities[1]] |= ~present[modalities[0]]
        target = (
            torch.rand(ROWS, 2, generator=g, dtype=torch.float64)
            if regression
            else torch.randint(CLASSES, (ROWS,), generator=g)
        )
        made.append(Batch(inputs, target, torch.arange(ROWS), None if complete else present))
    return made


def validation_of(modalities: Iterable[str], epoch: int) -> Validation:
    """Return results of which some modalities get worse over the epochs, each by its own amount."""
    losses = {m: abs(epoch - 1.3 - 0.7 * i) for i, m in enumerate(modalities)}
    scores = {m: 0.3 + 0.1 * ((epoch * (i + 2)) % 5) for i, m in enumerate(modalities)}
    return Validation(1.0, 0.5, losses, scores)
