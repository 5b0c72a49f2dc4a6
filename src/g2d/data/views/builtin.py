"""Views of the built-in problems.

Each has an ``identity``: the values by which the first version of the library hashed it, so that
runs, results and teachers of that version remain valid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from g2d.data.views.canvas import Canvas
from g2d.data.views.chain import Chain
from g2d.data.views.numbers import Scale
from g2d.data.views.sound import LogMel, LogSpectrogram
from g2d.data.views.step import Draw, plain


def unit_pixels(modality: str) -> Chain:
    """Return a view of gray uint8 pixels as numbers in 0..1 with a channel axis.

    Args:
        modality: Name of the modality.
    """
    identity = {"view": "scaled", "mean": 0.0, "std": 255.0, "channel": True}
    return Chain(modality, (Scale(std=255.0, channel=True),), identity)


def canvas_view(modality: str, canvas: Canvas) -> Chain:
    """Return a view that is a canvas.

    Args:
        modality: Name of the modality.
        canvas: The canvas.
    """
    options = canvas.model_dump(exclude={"name"})
    return Chain(modality, (canvas,), {"view": "canvas", **options})


def standardized_spectrogram(
    modality: str, step: LogSpectrogram | LogMel, samples: Tensor
) -> Chain:
    """Return a view that standardizes a spectrogram by one mean and std, rounded to 4 digits.

    Args:
        modality: Name of the modality.
        step: The spectrogram.
        samples: Sound of the training rows, shape ``(N, L)``.
    """
    grid = plain(step(samples, Draw(0, 0, torch.arange(len(samples)), train=False)))
    moments = {"mean": round(float(grid.mean()), 4), "std": round(float(grid.std()), 4)}
    options = step.model_dump(exclude={"name", "power", "pad_mode"})
    scale = Scale(mean=moments["mean"], std=moments["std"])
    return Chain(modality, (step, scale), {"view": step.name, **options, **moments})
