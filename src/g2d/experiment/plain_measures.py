"""Measures of use as plain values for ``analysis.json``."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import Any

from g2d import analysis
from g2d.runs import Plot


def plain_measures(measures: analysis.Measures) -> dict[str, Any]:
    """Return the fields of :class:`~g2d.runs.analysis.Analysis` for measures of use.

    Args:
        measures: The measures.
    """
    uses = measures.modalities
    interaction, errors = measures.interaction, measures.error_table
    histograms = {m: use.histogram for m, use in uses.items() if use.histogram}
    return {
        "uses": {m: _plain_use(use) for m, use in uses.items()},
        "imbalance": measures.imbalance,
        "interaction": (
            len(uses) > 1
            and {
                "share": astuple(interaction.share),
                "state": interaction.state,
                "text": str(interaction),
            }
        )
        or None,
        "errors": errors
        and {
            "patterns": [asdict(pattern) for pattern in errors.patterns],
            **{
                name: astuple(getattr(errors, name))
                for name in ("oracle", "loss", "rescue", "ensemble")
            },
        },
        "co_information": {
            " and ".join(pair): bits for pair, bits in measures.co_information.items()
        },
        "contributions": Plot(
            points=histograms,
            x="contribution to a row",
            y="share of rows",
            caption="Shapley value of every row, of the number of modalities times whether the "
            "prediction from them is right. Below 0 the modality makes a right prediction wrong.",
        )
        if histograms
        else None,
    }


def _plain_use(use: analysis.Use) -> dict[str, Any]:
    """Return the fields of :class:`~g2d.runs.analysis.ModalityUse`."""
    figures = {
        **{name: getattr(use, name) for name in ("alone", "utilization", "perceptual")},
        **{name: getattr(use, name) for name in ("contribution", "harmed")},
        **({"follow": use.follow.own, "rest": use.follow.rest} if use.follow else {}),
    }
    return {name: astuple(figure) for name, figure in figures.items() if figure is not None}
