"""Figures over epochs, drawn from the ``metrics.jsonl`` of run folders: a line per modality, a band over seeds.

Each is written as SVG and PNG; the same numbers give the same bytes of SVG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from g2d.runs import Epoch, read_epochs

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, told apart without red and green."""
Runs = Mapping[str, Sequence[Path]]
"""Run folders, one per seed, under the name of what they have in common."""


def unimodal_curves(
    runs: Runs, out: Path, teachers: Mapping[str, float] | None = None
) -> list[Path]:
    """What each modality's own logits get right on validation, epoch by epoch, one panel per group of runs (as the paper's Fig. 1).

    Args:
        teachers: what each teacher alone gets right on validation, drawn as a dotted level.
        out: the file without its ending.
    """

    def level(axes: Axes) -> None:
        for color, score in zip(COLORS, (teachers or {}).values(), strict=False):
            axes.axhline(100 * score, color=color, linestyle=":", linewidth=1.2)

    headline = _headline(runs)
    percent = 100 if headline == "accuracy" else 1
    label = (
        "validation accuracy of a modality alone (%)"
        if headline == "accuracy"
        else f"validation {headline} of a modality alone"
    )
    note = "dotted: the modality's teacher" if teachers else ""
    return _panels(
        runs,
        out,
        lambda record, m: percent * record.valid.unimodal.get(m, {}).get(headline, np.nan),
        label,
        level,
        note,
    )


def confidence_curves(runs: Runs, out: Path) -> list[Path]:
    """The teachers' confidence in the truth on the training batches, by which they are ranked  (Eq. 5, the paper's Fig. 3)."""
    return _panels(
        runs,
        out,
        lambda record, m: record.train.get(f"confidence/{m}", np.nan),
        "teachers' confidence (mean probability of the truth)",
    )


def prioritized_modality(runs: Runs, out: Path) -> list[Path]:
    """The coefficient of each modality's encoder, mean over an epoch's updates: the share of updates in which it learnt  (Eq. 7)."""
    return _panels(
        runs,
        out,
        lambda record, m: record.train.get(f"kappa/{m}", np.nan),
        "share of updates in which the encoder learns",
    )


def write_figures(folder: Path) -> list[Path]:
    """Figures of one run as files, in ``figures/``; those for which it recorded numbers."""
    records = read_epochs(folder)
    if not records:
        return []
    runs, out = {folder.name: [folder]}, folder / "figures"
    written = unimodal_curves(runs, out / "unimodal")
    if any(name.startswith("confidence/") for name in records[0].train):
        written += confidence_curves(runs, out / "confidence")
    if any(name.startswith("kappa/") for name in records[0].train):
        written += prioritized_modality(runs, out / "prioritized")
    return written


def _headline(runs: Runs) -> str:
    for folders in runs.values():
        for record in read_epochs(folders[0])[:1]:
            return "accuracy" if "accuracy" in record.valid.fused else "r2"
    return "accuracy"


def _panels(
    runs: Runs,
    out: Path,
    value: Callable[[Epoch, str], float],
    label: str,
    decorate: Callable[[Axes], None] | None = None,
    note: str = "",
) -> list[Path]:
    """One panel per group of runs, with shared axes, and the name of every line beside its end."""
    with mpl.rc_context(
        {
            "svg.hashsalt": "g2d",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=(3.6 * len(runs) + 0.8, 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
        for axes, (name, folders) in zip(panels, runs.items(), strict=True):
            kept = [records for records in map(read_epochs, folders) if records]
            modalities = list(kept[0][0].valid.unimodal) if kept else []
            ends = [
                _curve(
                    axes,
                    [[value(record, m) for record in records] for records in kept],
                    COLORS[i % 6],
                )
                for i, m in enumerate(modalities)
            ]
            if decorate is not None:
                decorate(axes)
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.margins(x=0.02)
            _name_lines(axes, modalities, ends)
        panels[0].set_ylabel(label, wrap=True)
        if note:
            figure.supxlabel(note, fontsize=8)
        return _write(figure, out)


def _curve(axes: Axes, values: Sequence[Sequence[float]], color: str) -> float:
    """Mean over seeds with a band of one standard deviation; the value where the line ends."""
    epochs = min(map(len, values))
    table: NDArray[np.float64] = np.array([row[:epochs] for row in values], dtype=np.float64)
    mean, x = table.mean(0), np.arange(1, epochs + 1)
    axes.plot(x, mean, color=color, linewidth=1.8)
    if len(table) > 1:
        spread = table.std(0, ddof=1)
        axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    return float(mean[-1])


def _name_lines(axes: Axes, names: Sequence[str], ends: Sequence[float]) -> None:
    """Each line's name at its right end, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    gap, last = 0.07 * (high - low), -np.inf
    for i in sorted((i for i in range(len(names)) if np.isfinite(ends[i])), key=lambda i: ends[i]):
        last = max(ends[i], last + gap)
        axes.annotate(
            names[i],
            (1.01, last),
            xycoords=("axes fraction", "data"),
            color=COLORS[i % 6],
            va="center",
            annotation_clip=False,
        )


def _write(figure: Figure, out: Path) -> list[Path]:
    out.parent.mkdir(parents=True, exist_ok=True)
    svg, png = out.with_name(f"{out.name}.svg"), out.with_name(f"{out.name}.png")
    figure.savefig(svg, metadata={"Date": None})
    figure.savefig(png, dpi=150)
    return [svg, png]
