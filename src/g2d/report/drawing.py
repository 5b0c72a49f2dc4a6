"""SVG drawings: in a page they take its colors, in a file they bring their own.

The palette and the style sheet of charts exist once: :data:`LIGHT`, :data:`DARK` and
``templates/chart.css``. A page includes the style sheet and sets the colors as CSS variables; a
file gets the style sheet with the colors inserted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from g2d.files import import_extra, one_line, replaced, write_text

COLORS = 6
"""Number of series colors; further series are dashed."""


def _palette(colors: str) -> dict[str, str]:
    names = ("paper", "ink", "soft", "line", *(f"c{i}" for i in range(COLORS)))
    return dict(zip(names, colors.split(), strict=True))


LIGHT = _palette("#fff #1b1f24 #57606a #d5dae0 #0068a8 #bd4a00 #00775a #a3437f #806000 #5a5fc0")
"""Colors on white: paper, text, axes, grid, and one per series."""
DARK = _palette("#14171b #e4e8ec #9aa5b1 #363d46 #5ab4f0 #ff9152 #2fcb9b #ec93c8 #e3b93c #a9adff")
"""The same colors on a dark page."""
FORMATS = ("svg", "png", "pdf")
"""Formats of a chart as a file."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
HEADING = 24
"""Height of the heading of a panel."""


@dataclass(frozen=True)
class Drawing:
    """Drawing on a canvas.

    Args:
        content: SVG elements.
        width: Width of the canvas.
        height: Height of the canvas.
        label: Description for readers who cannot see it.
    """

    content: str
    width: float
    height: float
    label: str

    @property
    def svg(self) -> str:
        """The drawing as part of a page."""
        return f"<svg {self._head}>{self.content}</svg>"

    def standalone(self, *, dark: bool = True) -> str:
        """Return the drawing as a file of its own.

        Args:
            dark: Whether a viewer with a dark theme gets the dark colors.
        """
        style = f"svg {{ font-family: {FONT}; }}\n{_colored(LIGHT)}"
        if dark:
            style += f"@media (prefers-color-scheme: dark) {{\n{_colored(DARK)}}}\n"
        size = f'width="{short(self.width)}" height="{short(self.height)}"'
        return (
            f"<svg {size} {self._head}>\n<style>\n{style}</style>\n"
            f'<rect class="paper" width="100%" height="100%"/>{self.content}</svg>\n'
        )

    def save(self, path: Path) -> Path:
        """Write the drawing to a file; the ending of its name is the format.

        Args:
            path: File that ends in ``.svg``, ``.png`` or ``.pdf``.

        Raises:
            MissingDependencyError: PNG or PDF is wanted, and the extra ``figures`` is missing.
        """
        if path.suffix == ".svg":
            write_text(path, self.standalone())
            return path
        vl_convert = import_extra("vl_convert", "figures", f"a {path.suffix[1:].upper()} chart")
        svg = self.standalone(dark=False)
        pdf = path.suffix == ".pdf"
        content = vl_convert.svg_to_pdf(svg) if pdf else vl_convert.svg_to_png(svg, scale=2)
        with replaced(path) as temporary:
            temporary.write_bytes(content)
        return path

    @property
    def _head(self) -> str:
        return (
            f'viewBox="0 0 {short(self.width)} {short(self.height)}" role="img" '
            f'aria-label="{escaped(self.label)}" xmlns="http://www.w3.org/2000/svg"'
        )


def side_by_side(drawings: Mapping[str, Drawing], label: str) -> Drawing:
    """Return one drawing with a panel per drawing, each with its name above.

    Args:
        drawings: Drawing by name, from left to right.
        label: Description for readers who cannot see it.
    """
    parts, left = [], 0.0
    for name, drawing in drawings.items():
        move = f"translate({short(left)} {HEADING})"
        heading = text(left + drawing.width / 2, 16, name, "end m")
        parts.append(f'{heading}<g transform="{move}">{drawing.content}</g>')
        left += drawing.width
    height = HEADING + max((drawing.height for drawing in drawings.values()), default=0.0)
    return Drawing("".join(parts), left, height, label)


def text(x: float, y: float, words: str, classes: str, title: str = "") -> str:
    """Return a text element.

    Args:
        x: Horizontal position.
        y: Vertical position of the base line.
        words: The text.
        classes: Classes of the style sheet.
        title: Text that appears when the pointer is over the element.
    """
    hover = tooltip(title) if title else ""
    return f'<text class="{classes}" x="{short(x)}" y="{short(y)}">{escaped(words)}{hover}</text>'


def tooltip(words: str) -> str:
    """Return the text that appears when the pointer is over an element."""
    return f"<title>{escaped(words)}</title>"


def escaped(words: str) -> str:
    """Return a text for HTML and SVG, which hold neither markup nor control characters in it.

    Example:
        >>> escaped("a < b")
        'a &lt; b'
    """
    return html.escape(one_line(words))


def short(value: float) -> str:
    """Return a coordinate with at most one digit after the point.

    Example:
        >>> short(12.34), short(12.0)
        ('12.3', '12')
    """
    return f"{value:.1f}".rstrip("0").rstrip(".")


def css_variables(colors: Mapping[str, str]) -> str:
    """Return a palette as CSS variables.

    Example:
        >>> css_variables({"ink": "#000", "c0": "#00f"})
        '--ink: #000; --c0: #00f;'
    """
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


@cache
def _style_sheet() -> str:
    return (files("g2d.report") / "templates" / "chart.css").read_text(encoding="utf-8")


def _colored(colors: Mapping[str, str]) -> str:
    style = "svg .paper { fill: var(--paper); }\n" + _style_sheet()
    return re.sub(r"var\(--(\w+)\)", lambda match: colors[match[1]], style)
