"""What a trained model does with its modalities: figures for any model with encoders and a fusion, given some rows."""

from __future__ import annotations

from g2d.analysis.readout import ReadoutError, readout_error

__all__ = ["ReadoutError", "readout_error"]
