"""Figures for a page, as small SVG texts: they take their colors from the page, so that they are right in light, dark and print.

Text stays text, labels stand beside what they name and are pushed apart where they would overlap, and every mark says its number when pointed at.
For files to print and to send, :mod:`g2d.report.figures` draws with matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

COLORS = 6
"""How many colors the page has, ``--c0`` to ``--c5``; further series are dashed."""
WIDTH, HEIGHT, LETTER, BOLD = 440, 250, 6.6, 7.2
"""A curve's canvas, and about how wide a letter is, plain and bold."""


@dataclass(frozen=True)
class Series:
    """A line over epochs.

    Args:
        name: written at its end.
        values: one per epoch; None leaves a gap.
        spread: half the width of its band, per epoch; empty where there is none.
        color: which of the page's; -1 is the color of text.
        dashed: told apart from a line of the same color.
    """

    name: str
    values: Sequence[float | None]
    spread: Sequence[float | None] = ()
    color: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Level:
    """A dotted level, with its name."""

    name: str
    value: float
    color: int = -1


@dataclass(frozen=True)
class Mark:
    """A row of a dot or bar chart.

    Args:
        name: what the row is called.
        value: where it lies; None leaves it empty.
        low, high: the ends of its whisker.
        points: single values, small.
        color: which of the page's.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    points: Sequence[float] = field(default=())
    color: int = 0


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    y_label: str,
    x_label: str = "epoch",
    levels: Sequence[Level] = (),
    floor: float | None = None,
    top: float | None = None,
    step: int = 1,
) -> str:
    """Lines over epochs, with bands.

    Args:
        label: what the figure shows, for who cannot see it.
        y_label, x_label: quantity and unit, written above the axis and below it.
        levels: dotted levels.
        floor, top: the axis reaches at least there.
        step: epochs from one value to the next.
    """
    length = 1 + step * (max((len(line.values) for line in series), default=1) - 1)
    known = [
        v
        for line in series
        for v in (
            *(v for _, v in _finite(line.values)),
            *(edge for _, *edges in _band(line) for edge in edges),
        )
    ]
    known += [level.value for level in levels]
    low, high, ticks = _axis([*known, *(edge for edge in (floor, top) if edge is not None)])
    names = [*(line.name for line in series), *(level.name for level in levels)]
    left, right = (
        12 + LETTER * max(len(_tick(t, ticks)) for t in ticks),
        WIDTH - 14 - BOLD * max((len(name) for name in names), default=0),
    )
    bottom, ceiling = HEIGHT - 34, 26

    def x(epoch: float) -> float:
        return left + (right - left) * ((epoch - 1) / max(1, length - 1) if length > 1 else 0.5)

    def y(value: float) -> float:
        return bottom - (bottom - ceiling) * (value - low) / (high - low)

    parts = [_text(4, 12, y_label, "ax")]
    parts += [f'<path class="grid" d="M{_n(left)} {_n(y(tick))}H{_n(right)}"/>' for tick in ticks]
    parts += [_text(left - 5, y(tick) + 4, _tick(tick, ticks), "ax e") for tick in ticks]
    parts += [_text(x(epoch), bottom + 15, str(epoch), "ax m") for epoch in _epochs(length)]
    parts.append(_text((left + right) / 2, HEIGHT - 4, x_label, "ax m"))
    for level in levels:
        said = _title(f"{level.name}: {level.value:.4g}")
        parts.append(
            f'<path class="dot s{_color(level.color)}" d="M{_n(left)} {_n(y(level.value))}H{_n(right)}">{said}</path>'
        )
    drawn = [line for line in series if _finite(line.values)]
    for line in drawn:
        parts += _curve(line, lambda i: x(1 + step * i), y)
    ends = [(y(level.value), level.name, level.color) for level in levels]
    ends += [(y(_finite(line.values)[-1][1]), line.name, line.color) for line in drawn]
    for place, (at, name, color) in zip(
        _apart([end[0] for end in ends], 13.0, ceiling, bottom), ends, strict=True
    ):
        if abs(place - at) > 4:
            parts.append(
                f'<path class="lead" d="M{_n(right + 1)} {_n(at)}L{_n(right + 6)} {_n(place)}"/>'
            )
        parts.append(_text(right + 7, place + 4, name, f"end f{_color(color)}"))
    return _svg(parts, HEIGHT, label)


def _curve(line: Series, x: Callable[[int], float], y: Callable[[float], float]) -> list[str]:
    """A band, a line broken where a value is missing, and a dot where it is a single one."""
    parts, color = [], _color(line.color)
    band = [(x(i), y(under), y(over)) for i, under, over in _band(line)]
    if band:
        edge = [f"{_n(at)} {_n(under)}" for at, under, _ in band] + [
            f"{_n(at)} {_n(over)}" for at, _, over in reversed(band)
        ]
        parts.append(f'<path class="band f{color}" d="M{" ".join(edge)}Z"/>')
    points = [
        (x(i), y(value)) if value is not None and math.isfinite(value) else None
        for i, value in enumerate(line.values)
    ]
    said = _title(f"{line.name}: {_finite(line.values)[-1][1]:.4g} at the end")
    parts.append(
        f'<path class="line s{color}{" dash" if line.dashed else ""}" d="{_path(points)}">{said}</path>'
    )
    known = [point for point in points if point is not None]
    if len(known) == 1:
        parts.append(
            f'<circle class="f{color}" cx="{_n(known[0][0])}" cy="{_n(known[0][1])}" r="3"/>'
        )
    return parts


def plane_chart(
    clouds: Mapping[str, Sequence[tuple[float, float]]],
    *,
    label: str,
    x_label: str,
    y_label: str,
    joined: bool = False,
    diagonal: bool = False,
) -> str:
    """Points in a plane: joined to lines with a dot each, or clouds whose names stand above the plane.

    Args:
        clouds: points by name.
        joined: draw a line through each cloud, in its order, with its name at its end.
        diagonal: also draw y = x.
    """
    points = [point for cloud in clouds.values() for point in cloud]
    x_low, x_high, x_ticks = _axis([x for x, _ in points])
    y_low, y_high, y_ticks = _axis([y for _, y in points])
    left = 12 + LETTER * max(len(_tick(t, y_ticks)) for t in y_ticks)
    right = WIDTH - 14 - (BOLD * max(map(len, clouds)) if joined else 0)
    bottom, ceiling = HEIGHT - 34, 26 if joined else 42

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across, up = (point[0] - x_low) / (x_high - x_low), (point[1] - y_low) / (y_high - y_low)
        return left + (right - left) * across, bottom - (bottom - ceiling) * up

    parts = [_text(4, 12, y_label, "ax")]
    parts += [
        f'<path class="grid" d="M{_n(left)} {_n(at((x_low, tick))[1])}H{_n(right)}"/>'
        for tick in y_ticks
    ]
    parts += [
        _text(left - 5, at((x_low, tick))[1] + 4, _tick(tick, y_ticks), "ax e") for tick in y_ticks
    ]
    parts += [
        _text(at((tick, y_low))[0], bottom + 15, _tick(tick, x_ticks), "ax m") for tick in x_ticks
    ]
    parts.append(_text((left + right) / 2, HEIGHT - 4, x_label, "ax m"))
    if diagonal:
        low, high = max(x_low, y_low), min(x_high, y_high)
        parts.append(f'<path class="dot sk" d="{_path([at((low, low)), at((high, high))])}"/>')
    beside = 4.0
    for i, (name, cloud) in enumerate(clouds.items()):
        placed = [at(point) for point in cloud]
        if joined:
            parts.append(
                f'<path class="line s{_color(i)}{" dash" if i >= COLORS else ""}" d="{_path(placed)}">{_title(name)}</path>'
            )
        else:
            parts.append(_text(beside, 28, name, f"end f{_color(i)}"))
            beside += 14 + BOLD * len(name)
        radius, seen = (2.5, "") if joined else (1.8, " seed")
        parts += [
            f'<circle class="f{_color(i)}{seen}" cx="{_n(x)}" cy="{_n(y)}" r="{radius}"/>'
            for x, y in placed
        ]
    if joined:
        ends = [
            (at(cloud[-1])[1], name, i) for i, (name, cloud) in enumerate(clouds.items()) if cloud
        ]
        for place, (_, name, color) in zip(
            _apart([end[0] for end in ends], 13.0, ceiling, bottom), ends, strict=True
        ):
            parts.append(_text(right + 7, place + 4, name, f"end f{_color(color)}"))
    return _svg(parts, HEIGHT, label)


def row_chart(
    marks: Sequence[Mark],
    *,
    label: str,
    x_label: str,
    bars: bool = False,
    levels: Sequence[Level] = (),
) -> str:
    """A dot (or bar) with a whisker per row, names at the left.

    Args:
        bars: draw bars from zero.
        levels: vertical dotted levels, named below the axis.
    """
    names = [_short(mark.name, 30) for mark in marks]
    left, right, step = 12 + LETTER * max((len(name) for name in names), default=0), WIDTH - 44, 22
    known = [
        v
        for mark in marks
        for v in (mark.value, mark.low, mark.high, *mark.points)
        if v is not None
    ] + [level.value for level in levels]
    low, high, ticks = _axis([*known, *([0.0] if bars else [])], count=4)
    bottom = 26 + step * len(marks)

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    parts = [_text(left, 12, x_label, "ax")]
    parts += [f'<path class="grid" d="M{_n(x(tick))} 20V{bottom}"/>' for tick in ticks]
    parts += [_text(x(tick), bottom + 14, _tick(tick, ticks), "ax m") for tick in ticks]
    for i, level in enumerate(levels):
        half = LETTER * len(level.name) / 2
        parts.append(
            f'<path class="dot s{_color(level.color)}" d="M{_n(x(level.value))} 20V{bottom}"/>'
        )
        parts.append(
            _text(
                min(max(x(level.value), half + 2), WIDTH - half - 2),
                bottom + 30 + 13 * i,
                level.name,
                f"ax m f{_color(level.color)}",
            )
        )
    for i, (mark, name) in enumerate(zip(marks, names, strict=True)):
        y = 20 + step * i + step / 2
        parts.append(_text(left - 6, y + 4, name, "e", mark.name))
        parts += _mark(mark, x, y, bars=bars, digits=1 if high - low > 5 else 2)
    return _svg(parts, bottom + 20 + 14 * len(levels), label)


def _mark(
    mark: Mark, x: Callable[[float], float], y: float, *, bars: bool, digits: int
) -> list[str]:
    """A bar or dot with its whisker, its single values and its number."""
    if mark.value is None:
        return []
    color, parts, whisker = _color(mark.color), [], mark.low is not None and mark.high is not None
    said = _title(
        f"{mark.name}: {mark.value:.4g}"
        + (f" [{mark.low:.4g}, {mark.high:.4g}]" if whisker else "")
    )
    if bars:
        parts.append(
            f'<rect class="bar f{color}" x="{_n(x(0))}" y="{_n(y - 7)}" width="{_n(max(0.5, x(mark.value) - x(0)))}" height="14">{said}</rect>'
        )
    parts += [
        f'<circle class="seed f{color}" cx="{_n(x(point))}" cy="{_n(y)}" r="2.2"/>'
        for point in mark.points
    ]
    if mark.low is not None and mark.high is not None:
        parts.append(
            f'<path class="whisker {"sk" if bars else f"s{color}"}" d="M{_n(x(mark.low))} {_n(y)}H{_n(x(mark.high))}"/>'
        )
    if not bars:
        parts.append(
            f'<circle class="mean f{color}" cx="{_n(x(mark.value))}" cy="{_n(y)}" r="4.5">{said}</circle>'
        )
    furthest = max(value for value in (mark.value, mark.high, *mark.points) if value is not None)
    parts.append(_text(x(furthest) + 8, y + 4, f"{mark.value:.{digits}f}", "ax halo"))
    return parts


def _text(x: float, y: float, words: str, classes: str, title: str = "") -> str:
    return f'<text class="{classes}" x="{_n(x)}" y="{_n(y)}">{escape(words)}{_title(title) if title else ""}</text>'


def _title(words: str) -> str:
    """What is said when a mark is pointed at."""
    return f"<title>{escape(words)}</title>"


def _svg(parts: Sequence[str], height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{escape(label, quote=True)}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _finite(values: Sequence[float | None]) -> list[tuple[int, float]]:
    """Places and values that can be drawn."""
    return [
        (i, value) for i, value in enumerate(values) if value is not None and math.isfinite(value)
    ]


def _band(line: Series) -> list[tuple[int, float, float]]:
    """Place, lower and upper edge of a line's band, where it has one."""
    return [
        (i, value - spread, value + spread)
        for i, value in _finite(line.values)
        for spread in line.spread[i : i + 1]
        if spread
    ]


def _axis(values: Sequence[float], count: int = 5) -> tuple[float, float, list[float]]:
    """Ends and ticks at multiples of 1, 2 or 5 that enclose the values.

    Example:
        >>> _axis([0.12, 0.83])
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)) * 0.1, high + 0.5 * max(1.0, abs(high)) * 0.1
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 10) for i in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _tick(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _epochs(length: int) -> list[int]:
    """The first epoch, the last, and round ones between that stand far enough from both."""
    step = next(
        (s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000) if length / s <= 6), 5000
    )
    between = [
        epoch
        for epoch in range(step, length, step)
        if epoch - 1 >= step * 0.7 and length - epoch >= step * 0.7
    ]
    return sorted({1, *between, length})


def _apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least a gap apart, inside the bounds where they fit, each near where it was.

    Example:
        >>> _apart([50.0, 51.0, 10.0], 10.0, 0.0, 100.0)
        [45.5, 55.5, 10.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[float]] = []  # each: sum of wishes for its first place, count
    for i in order:
        blocks.append([places[i], 1.0])
        while (
            len(blocks) > 1
            and blocks[-2][0] / blocks[-2][1] + gap * blocks[-2][1] > blocks[-1][0] / blocks[-1][1]
        ):
            wish, count = blocks.pop()
            blocks[-1][0] += wish - count * gap * blocks[-1][1]
            blocks[-1][1] += count
    settled = [start / count + gap * k for start, count in blocks for k in range(int(count))]
    if settled:
        over = max(0.0, settled[-1] - high)
        settled = [max(place - over, low + gap * k) for k, place in enumerate(settled)]
    found = list(places)
    for i, place in zip(order, settled, strict=True):
        found[i] = round(place, 6)
    return found


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    out, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        out.append(f"{pen}{_n(point[0])} {_n(point[1])}")
        pen = "L"
    return "".join(out)


def _color(index: int) -> str:
    return str(index % COLORS) if index >= 0 else "k"


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
