"""Formulas as pure functions of tensors and numbers: no module, no state, torch alone.

They are Eqs. 1-8 of the paper, the formulas of the methods, metrics and spectrograms.

Example:
    >>> from g2d.functional import stage
    >>> stage(3, tau=(2, 4))
    2
"""

from __future__ import annotations

from inspect import isfunction

from g2d.functional.boosting import *
from g2d.functional.calibration import *
from g2d.functional.certainty import *
from g2d.functional.gradients import *
from g2d.functional.lags import *
from g2d.functional.losses import *
from g2d.functional.matching import *
from g2d.functional.metrics import *
from g2d.functional.noise import *
from g2d.functional.pareto import *
from g2d.functional.precision import *
from g2d.functional.projections import *
from g2d.functional.prototypes import *
from g2d.functional.schedule import *
from g2d.functional.scoring import *
from g2d.functional.shapley import *
from g2d.functional.spectrogram import *
from g2d.functional.sums import *
from g2d.functional.windows import *

__all__ = [
    name
    for name, value in globals().items()
    if isfunction(value) and value.__module__.startswith(f"{__name__}.")
]
