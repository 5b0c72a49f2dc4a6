"""Charts as SVG: lines over epochs, points in a plane, and rows of dots or bars.

Text stays text. Labels are next to what they name and are moved apart if they would overlap. Every
mark shows its number when the pointer is over it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from g2d.report.drawing import COLORS, Drawing, short, text, tooltip
from g2d.report.formatting import Bounds, clipped

WIDTH, HEIGHT = 440, 250
"""Canvas of a chart over epochs or in a plane."""
LETTER, BOLD = 6.6, 7.2
"""Approximate width of a letter, plain and bold."""
BOTTOM = HEIGHT - 34
"""Vertical position of the horizontal axis."""
NO_BOUNDS: Bounds = (None, None)


@dataclass(frozen=True)
class Series:
    """Line over epochs.

    Args:
        name: Name, written at the end of the line.
        values: One value per epoch; None leaves a gap.
        spread: Half the width of the band per epoch; empty without a band.
        color: Index of a color; -1 is the color of text.
        dashed: Whether the line is dashed, to distinguish it from another of the same color.
        steps: Whether the line jumps between epochs instead of rising in a slope.
    """

    name: str
    values: Sequence[float | None]
    spread: Sequence[float | None] = ()
    color: int = 0
    dashed: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Level:
    """Dotted level with its name.

    Args:
        name: Name, written at its end.
        value: Its position.
        color: Index of a color; -1 is the color of text.
    """

    name: str
    value: float
    color: int = -1


@dataclass(frozen=True)
class Mark:
    """Row of a dot or bar chart.

    Args:
        name: Name of the row.
        value: Position of the dot or end of the bar; None leaves the row empty.
        low: Lower end of the whisker.
        high: Upper end of the whisker.
        points: Single values, drawn as small dots.
        color: Index of a color.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    points: Sequence[float] = field(default=())
    color: int = 0


@dataclass(frozen=True)
class Axis:
    """Axis with ticks at multiples of 1, 2 or 5.

    Args:
        low: Lower end.
        high: Upper end.
        ticks: Positions of the ticks, from the lower to the upper end.
    """

    low: float
    high: float
    ticks: Sequence[float]

    @property
    def labels(self) -> list[str]:
        """Text of every tick."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [f"{tick:,.{digits}f}" for tick in self.ticks]

    @property
    def width(self) -> float:
        """Width of the tick labels."""
        return 12 + LETTER * max(map(len, self.labels))

    def share(self, value: float) -> float:
        """Return the position of a value between the ends, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def axis(values: Sequence[float], count: int = 5, bounds: Bounds = NO_BOUNDS) -> Axis:
    """Return an axis that encloses some values.

    Args:
        values: The values.
        count: Approximate number of steps.
        bounds: Least and greatest possible value; values beyond them are ignored.

    Example:
        >>> axis([0.12, 0.83]).ticks
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> axis([62.0, 113.0], bounds=(0.0, 100.0)).ticks
        [60.0, 70.0, 80.0, 90.0, 100.0]
    """
    known = [clipped(value, bounds) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = (
            clipped(low - 0.05 * max(1.0, abs(low)), bounds),
            clipped(high + 0.05 * max(1.0, abs(high)), bounds),
        )
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 10) for i in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks)


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    y_label: str,
    x_label: str = "epoch",
    levels: Sequence[Level] = (),
    include: Sequence[float] = (),
    bounds: Bounds = NO_BOUNDS,
    every: int = 1,
) -> Drawing:
    """Draw lines over epochs, with bands.

    Args:
        series: The lines.
        label: Description for readers who cannot see the chart.
        y_label: Quantity and unit of the vertical axis.
        x_label: Quantity of the horizontal axis.
        levels: Dotted levels.
        include: Values that the vertical axis includes in any case.
        bounds: Least and greatest possible value; axis and bands end there.
        every: Number of epochs from one value to the next.
    """
    length = 1 + every * (max((len(line.values) for line in series), default=1) - 1)
    y_axis = axis([*extent(series, levels), *include], bounds=bounds)
    names = [*(line.name for line in series), *(level.name for level in levels)]
    left, right = y_axis.width, WIDTH - 14 - BOLD * max(map(len, names), default=0)
    top = 26

    def x(epoch: float) -> float:
        return left + (right - left) * ((epoch - 1) / max(1, length - 1) if length > 1 else 0.5)

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - top) * y_axis.share(clipped(value, bounds))

    parts = [*_vertical(y_axis, y, left, right), text(4, 12, y_label, "ax")]
    parts += [text(x(epoch), BOTTOM + 15, str(epoch), "ax m") for epoch in _epochs(length)]
    parts.append(text((left + right) / 2, HEIGHT - 4, x_label, "ax m"))
    for level in levels:
        hover = tooltip(f"{level.name}: {level.value:.4g}")
        path = f"M{short(left)} {short(y(level.value))}H{short(right)}"
        parts.append(f'<path class="dot s{_color(level.color)}" d="{path}">{hover}</path>')
    drawn = [line for line in series if _known(line.values)]
    for line in drawn:
        parts += _curve(line, lambda i: x(1 + every * i), y)
    ends = [(y(level.value), level.name, level.color) for level in levels]
    ends += [(y(_known(line.values)[-1][1]), line.name, line.color) for line in drawn]
    parts += _end_labels(ends, right, top)
    return Drawing("".join(parts), WIDTH, HEIGHT, label)


def extent(series: Sequence[Series], levels: Sequence[Level] = ()) -> list[float]:
    """Return all positions of lines, bands and levels."""
    return [
        *(value for line in series for _, value in _known(line.values)),
        *(end for line in series for _, *ends in _band(line) for end in ends),
        *(level.value for level in levels),
    ]


def plane_chart(
    clouds: Mapping[str, Sequence[tuple[float, float]]],
    *,
    label: str,
    x_label: str,
    y_label: str,
    joined: bool = False,
    diagonal: bool = False,
    bounds: Bounds = NO_BOUNDS,
) -> Drawing:
    """Draw points in a plane, as lines or as clouds.

    Args:
        clouds: Coordinates ``(x, y)`` by name.
        label: Description for readers who cannot see the chart.
        x_label: Quantity of the horizontal axis.
        y_label: Quantity of the vertical axis.
        joined: Whether the points of a name are joined to a line, with its name at the end;
            otherwise the names are above the plane.
        diagonal: Whether y = x is drawn too.
        bounds: Least and greatest possible y.
    """
    points = [point for cloud in clouds.values() for point in cloud]
    x_axis, y_axis = axis([x for x, _ in points]), axis([y for _, y in points], bounds=bounds)
    left = y_axis.width
    right = WIDTH - 14 - (BOLD * max(map(len, clouds)) if joined else 0)
    top = 26 if joined else 42

    def x(value: float) -> float:
        return left + (right - left) * x_axis.share(value)

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - top) * y_axis.share(value)

    parts = [*_vertical(y_axis, y, left, right), text(4, 12, y_label, "ax")]
    ticks = zip(x_axis.ticks, x_axis.labels, strict=True)
    parts += [text(x(tick), BOTTOM + 15, words, "ax m") for tick, words in ticks]
    parts.append(text((left + right) / 2, HEIGHT - 4, x_label, "ax m"))
    if diagonal:
        low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
        parts.append(f'<path class="dot sk" d="{_path([(x(low), y(low)), (x(high), y(high))])}"/>')
    placed = {name: [(x(a), y(b)) for a, b in cloud] for name, cloud in clouds.items()}
    parts += _joined(placed, right, top) if joined else _scattered(placed)
    return Drawing("".join(parts), WIDTH, HEIGHT, label)


def _joined(
    placed: Mapping[str, Sequence[tuple[float, float]]], right: float, top: float
) -> Iterator[str]:
    """Yield a line with dots per name."""
    for i, (name, points) in enumerate(placed.items()):
        classes = f"line s{_color(i)}{' dash' if i >= COLORS else ''}"
        yield f'<path class="{classes}" d="{_path(points)}">{tooltip(name)}</path>'
        yield from _dots(points, f"f{_color(i)}", 2.5)
    ends = [(points[-1][1], name, i) for i, (name, points) in enumerate(placed.items()) if points]
    yield from _end_labels(ends, right, top)


def _scattered(placed: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[str]:
    """Yield a cloud per name, and the names above the plane."""
    start = 4.0
    for i, (name, points) in enumerate(placed.items()):
        yield text(start, 28, name, f"end f{_color(i)}")
        start += 14 + BOLD * len(name)
        yield from _dots(points, f"f{_color(i)} seed", 1.8)


def row_chart(
    marks: Sequence[Mark],
    *,
    label: str,
    x_label: str,
    bars: bool = False,
    levels: Sequence[Level] = (),
    bounds: Bounds = NO_BOUNDS,
) -> Drawing:
    """Draw a dot or bar with a whisker per row, with the names at the left.

    Args:
        marks: The rows.
        label: Description for readers who cannot see the chart.
        x_label: Quantity and unit.
        bars: Whether bars from zero are drawn instead of dots.
        levels: Vertical dotted levels, with their names below the axis.
        bounds: Least and greatest possible value; axis and whiskers end there.
    """
    names = [_shortened(mark.name, 30) for mark in marks]
    left, right, step = 12 + LETTER * max(map(len, names), default=0), WIDTH - 44, 22
    values = [
        value
        for mark in marks
        for value in (mark.value, mark.low, mark.high, *mark.points)
        if value is not None
    ]
    values += [level.value for level in levels]
    x_axis = axis([*values, *([0.0] if bars else [])], 4, bounds)
    bottom = 26 + step * len(marks)

    def x(value: float) -> float:
        return left + (right - left) * x_axis.share(clipped(value, bounds))

    parts = [text(left, 12, x_label, "ax")]
    for tick, words in zip(x_axis.ticks, x_axis.labels, strict=True):
        parts.append(f'<path class="grid" d="M{short(x(tick))} 20V{bottom}"/>')
        parts.append(text(x(tick), bottom + 14, words, "ax m"))
    for i, level in enumerate(levels):
        line = f"M{short(x(level.value))} 20V{bottom}"
        parts.append(f'<path class="dot s{_color(level.color)}" d="{line}"/>')
        half = LETTER * len(level.name) / 2
        middle = min(max(x(level.value), half + 2), WIDTH - half - 2)
        classes = f"ax m f{_color(level.color)}"
        parts.append(text(middle, bottom + 30 + 13 * i, level.name, classes))
    digits = 1 if x_axis.high - x_axis.low > 5 else 2
    for i, (mark, name) in enumerate(zip(marks, names, strict=True)):
        y = 20 + step * i + step / 2
        parts.append(text(left - 6, y + 4, name, "e", mark.name))
        parts += _mark(mark, x, y, bars=bars, digits=digits)
    return Drawing("".join(parts), WIDTH, bottom + 20 + 14 * len(levels), label)


def _mark(
    mark: Mark, x: Callable[[float], float], y: float, *, bars: bool, digits: int
) -> list[str]:
    """Return a bar or dot with its whisker, its single values and its number."""
    if mark.value is None:
        return []
    color, parts, words = _color(mark.color), [], f"{mark.name}: {mark.value:.4g}"
    if mark.low is not None and mark.high is not None:
        words += f" [{mark.low:.4g}, {mark.high:.4g}]"
    if bars:
        size = f'y="{short(y - 7)}" width="{short(max(0.5, x(mark.value) - x(0)))}" height="14"'
        parts.append(f'<rect class="bar f{color}" x="{short(x(0))}" {size}>{tooltip(words)}</rect>')
    parts += _dots([(x(point), y) for point in mark.points], f"f{color} seed", 2.2)
    if mark.low is not None and mark.high is not None:
        line = f"M{short(x(mark.low))} {short(y)}H{short(x(mark.high))}"
        parts.append(f'<path class="whisker {"sk" if bars else f"s{color}"}" d="{line}"/>')
    if not bars:
        center = f'cx="{short(x(mark.value))}" cy="{short(y)}"'
        parts.append(f'<circle class="f{color}" {center} r="4.5">{tooltip(words)}</circle>')
    furthest = max(value for value in (mark.value, mark.high, *mark.points) if value is not None)
    parts.append(text(x(furthest) + 8, y + 4, f"{mark.value:.{digits}f}", "ax halo"))
    return parts


def _vertical(
    y_axis: Axis, y: Callable[[float], float], left: float, right: float
) -> Iterator[str]:
    """Yield grid lines and labels of a vertical axis."""
    for tick, words in zip(y_axis.ticks, y_axis.labels, strict=True):
        yield f'<path class="grid" d="M{short(left)} {short(y(tick))}H{short(right)}"/>'
        yield text(left - 5, y(tick) + 4, words, "ax e")


def _curve(line: Series, x: Callable[[int], float], y: Callable[[float], float]) -> list[str]:
    """Return a band and a line, which is broken at missing values; a single value is a dot."""
    parts, color = [], _color(line.color)
    band = [(x(i), y(low), y(high)) for i, low, high in _band(line)]
    if band:
        lower = [f"{short(at)} {short(low)}" for at, low, _ in band]
        upper = [f"{short(at)} {short(high)}" for at, _, high in reversed(band)]
        parts.append(f'<path class="band f{color}" d="M{" ".join([*lower, *upper])}Z"/>')
    points = [
        (x(i), y(value)) if value is not None and math.isfinite(value) else None
        for i, value in enumerate(line.values)
    ]
    hover = tooltip(f"{line.name}: {_known(line.values)[-1][1]:.4g} at the end")
    classes = f"line s{color}{' dash' if line.dashed else ''}"
    path = _path(points, steps=line.steps)
    parts.append(f'<path class="{classes}" d="{path}">{hover}</path>')
    known = [point for point in points if point is not None]
    return [*parts, *(_dots(known, f"f{color}", 3) if len(known) == 1 else ())]


def _end_labels(ends: Sequence[tuple[float, str, int]], right: float, top: float) -> Iterator[str]:
    """Yield the names of lines at their ends, with a leader to those that were moved."""
    places = _apart([end[0] for end in ends], 13.0, top, BOTTOM)
    for place, (at, name, color) in zip(places, ends, strict=True):
        if abs(place - at) > 4:
            line = f"M{short(right + 1)} {short(at)}L{short(right + 6)} {short(place)}"
            yield f'<path class="lead" d="{line}"/>'
        yield text(right + 7, place + 4, name, f"end f{_color(color)}")


def _dots(points: Sequence[tuple[float, float]], classes: str, radius: float) -> Iterator[str]:
    for x, y in points:
        yield f'<circle class="{classes}" cx="{short(x)}" cy="{short(y)}" r="{radius}"/>'


def _known(values: Sequence[float | None]) -> list[tuple[int, float]]:
    """Return places and values that can be drawn."""
    return [
        (i, value) for i, value in enumerate(values) if value is not None and math.isfinite(value)
    ]


def _band(line: Series) -> list[tuple[int, float, float]]:
    """Return place, lower and upper edge of a line's band."""
    return [
        (i, value - spread, value + spread)
        for i, value in _known(line.values)
        for spread in line.spread[i : i + 1]
        if spread
    ]


def _epochs(length: int) -> list[int]:
    """Return the first epoch, the last, and round ones between with enough distance to both."""
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
    """Return places at least a gap apart, inside the bounds if they fit, near the given ones.

    Example:
        >>> _apart([50.0, 51.0, 10.0], 10.0, 0.0, 100.0)
        [45.5, 55.5, 10.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[float]] = []  # sum of the preferred first places, number of places
    for i in order:
        blocks.append([places[i], 1.0])
        while (
            len(blocks) > 1
            and blocks[-2][0] / blocks[-2][1] + gap * blocks[-2][1] > blocks[-1][0] / blocks[-1][1]
        ):
            preferred, count = blocks.pop()
            blocks[-1][0] += preferred - count * gap * blocks[-1][1]
            blocks[-1][1] += count
    settled = [start / count + gap * k for start, count in blocks for k in range(int(count))]
    if settled:
        over = max(0.0, settled[-1] - high)
        settled = [max(place - over, low + gap * k) for k, place in enumerate(settled)]
    moved = list(places)
    for i, place in zip(order, settled, strict=True):
        moved[i] = round(place, 6)
    return moved


def _path(points: Sequence[tuple[float, float] | None], *, steps: bool = False) -> str:
    """Return a path through points that is broken at None; steps change halfway between two."""
    out: list[str] = []
    before = None
    for point in points:
        if point is not None:
            x, y = point
            if before is None:
                out.append(f"M{short(x)} {short(y)}")
            elif steps:
                out.append(f"H{short((before + x) / 2)}V{short(y)}H{short(x)}")
            else:
                out.append(f"L{short(x)} {short(y)}")
        before = None if point is None else point[0]
    return "".join(out)


def _color(index: int) -> str:
    return str(index % COLORS) if index >= 0 else "k"


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
