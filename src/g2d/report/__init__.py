"""What a run looks like: figures drawn from run folders."""

from __future__ import annotations

from g2d.report.figures import confidence_curves, prioritized_modality, unimodal_curves, write_report

__all__ = ["confidence_curves", "prioritized_modality", "unimodal_curves", "write_report"]
