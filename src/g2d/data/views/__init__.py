"""Views: how stored values become a model's input, as chains of steps.

A recipe can replace the view of a modality::

    data:
      views:
        audio:
          - {name: window, samples: 8000}
          - {name: log_spectrogram, n_fft: 256, hop: 128}
"""

from __future__ import annotations

from g2d.data.views.canvas import Canvas
from g2d.data.views.chain import STEPS, Chain, View, read_chain, shift_windows, stream
from g2d.data.views.numbers import PCA, Clip, Scale, Standardize
from g2d.data.views.pictures import Crop, Flip, Frames, Pixels, Resize
from g2d.data.views.sequences import Pool
from g2d.data.views.sound import LogMel, LogSpectrogram, Noise, Window
from g2d.data.views.step import Draw, Step
from g2d.data.views.words import OneHot, Tokens

__all__ = [
    "PCA",
    "STEPS",
    "Canvas",
    "Chain",
    "Clip",
    "Crop",
    "Draw",
    "Flip",
    "Frames",
    "LogMel",
    "LogSpectrogram",
    "Noise",
    "OneHot",
    "Pixels",
    "Pool",
    "Resize",
    "Scale",
    "Standardize",
    "Step",
    "Tokens",
    "View",
    "Window",
    "read_chain",
    "shift_windows",
    "stream",
]
