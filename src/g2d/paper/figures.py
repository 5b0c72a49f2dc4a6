"""Figures of the paper: curves of several recipes in panels with one vertical axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from g2d.report.curves import CURVES, recorded
from g2d.report.drawing import Drawing, side_by_side
from g2d.runs import RunRecord


def panels(recipes: Mapping[str, Sequence[RunRecord]], name: str) -> Drawing | None:
    """Return the curves of several recipes side by side.

    A recipe without teachers gets the levels of another recipe's teachers.

    Args:
        recipes: Seeds of each recipe by name, from left to right.
        name: ``"unimodal"`` (Fig. 1), ``"confidence"`` (Fig. 3), ``"prioritized"``,
            ``"alignment"`` (Fig. 5) or ``"loss"``.

    Returns:
        The drawing, or None if no recipe recorded these values.
    """
    records = {label: recorded(runs) for label, runs in recipes.items()}
    curves = {label: CURVES[name](r) for label, r in records.items() if r is not None}
    drawn = {label: curve for label, curve in curves.items() if curve is not None}
    if not drawn:
        return None
    levels = next((curve.levels for curve in drawn.values() if curve.levels), ())
    drawn = {
        label: curve if curve.levels else replace(curve, levels=levels)
        for label, curve in drawn.items()
    }
    together = [value for curve in drawn.values() for value in curve.extent]
    title = next(iter(drawn.values())).title
    return side_by_side(
        {label: curve.draw(together) for label, curve in drawn.items()},
        f"{title}: {', '.join(drawn)}",
    )


def draw_panels(
    recipes: Mapping[str, Sequence[RunRecord]],
    folder: Path,
    names: Sequence[str] = ("unimodal", "confidence", "prioritized"),
    form: str = "svg",
) -> list[Path]:
    """Write the figures of several recipes as files.

    Args:
        recipes: Seeds of each recipe by name, from left to right.
        folder: Folder of the files.
        names: Names of figures; see :func:`panels`.
        form: ``"svg"``, or with the extra ``figures`` ``"png"`` or ``"pdf"``.

    Returns:
        The written files.

    Raises:
        MissingDependencyError: PNG or PDF is wanted, and the extra ``figures`` is missing.
    """
    drawings = {name: panels(recipes, name) for name in names}
    return [
        drawing.save(folder / f"{name}.{form}")
        for name, drawing in drawings.items()
        if drawing is not None
    ]
