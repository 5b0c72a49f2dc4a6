"""Which run of the paper a finished run corresponds to, and the value that the paper prints."""

from __future__ import annotations

from typing import Any

from g2d.paper.grid import COMPLETE, PARTIAL, PROTOCOLS
from g2d.paper.published import FUSED, published_values
from g2d.recipe.variants import VARIANTS, Variant
from g2d.report.lines import modulation_of
from g2d.runs import RunRecord

NO_SUPPRESSION = "none"
"""Kind of suppression of a run that suppresses nothing; the others are those of Table 6."""
_DATASETS = {settings["data.protocol"]: dataset for dataset, settings in PROTOCOLS.items()}
_USUAL_FUSION = "late"


def tau_of(run: RunRecord) -> tuple[int, ...]:
    """Return the prioritization epochs of a run; empty if it has none."""
    tau = modulation_of(run).get("tau") or run.recipe.get("method", {}).get("tau")
    return tuple(tau) if isinstance(tau, list) else ()


def suppression_of(run: RunRecord) -> str:
    """Return how a run suppresses modalities.

    A schedule suppresses them completely; another modulation does so partially.
    """
    if tau_of(run):
        return COMPLETE
    return PARTIAL if modulation_of(run) else NO_SUPPRESSION


def variant_of(run: RunRecord) -> str:
    """Return the variant that a run is, or its method if it is none."""
    method = run.result.method
    fits = (n for n, v in VARIANTS.items() if v.method == method and _is_variant(run.recipe, v))
    return next(fits, method)


def printed_for(run: RunRecord, metric: str, table: str = "") -> float | None:
    """Return the value that the paper prints for what a run does, or None.

    Args:
        run: A finished run. It corresponds to one of the paper if data set, protocol, modalities,
            method, and what the table varies are the same.
        metric: Name of the test metric.
        table: Number of the table; by default that of methods, or of fusions or of partial
            suppression for a run that has one.
    """
    suppression, fusion = suppression_of(run), run.result.fusion
    varied = {"5": fusion, "6": suppression, "7": str(tau_of(run))}
    if not table and fusion != _USUAL_FUSION:
        table = "5"
    elif not table and suppression == PARTIAL:
        table = "6"
    variant = varied.get(table, "")
    dataset, method = _DATASETS.get(run.result.data.protocol), variant_of(run)
    for value in published_values():
        if (
            value.table == (table or value.table)
            and (value.dataset, value.method, value.variant) == (dataset, method, variant)
            and (value.of, value.metric) == (FUSED, metric)
            and set(value.modalities) == set(run.modalities)
        ):
            return value.value
    return None


def _is_variant(recipe: dict[str, Any], variant: Variant) -> bool:
    """Return whether a resolved recipe has the settings of a variant."""
    for key, expected in variant.settings.items():
        value: Any = recipe
        for part in key.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        if value is None:  # an earlier version's word for no prioritization
            value = "none"
        if isinstance(expected, dict) and isinstance(value, dict):
            value = {name: value.get(name) for name in expected}
        if value != expected:
            return False
    return True
