"""Drawings: labels keep apart and inside, axes enclose, gaps stay gaps."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from g2d.report.charts import (
    HEIGHT,
    WIDTH,
    Level,
    Mark,
    Series,
    _apart,
    _axis,
    line_chart,
    row_chart,
)

VALUES = st.floats(-1e6, 1e6)


def texts(svg: str) -> list[str]:
    return [
        element.text or ""
        for element in ElementTree.fromstring(svg).iter()
        if element.tag.endswith("text")
    ]


@given(st.lists(st.floats(26, 216), min_size=1, max_size=12))
def test_labels_are_a_line_apart_and_inside_in_their_order(places: list[float]) -> None:
    found = _apart(places, 13.0, 26, 216)
    ordered = sorted(found)
    assert all(b - a >= 13 - 1e-4 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= 26 - 1e-4
    assert ordered[-1] <= 216 + 1e-4
    assert [places[i] for i in sorted(range(len(found)), key=lambda i: found[i])] == sorted(places)


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_an_axis_encloses_its_values_in_few_even_steps(values: list[float]) -> None:
    low, high, ticks = _axis(values)
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert low <= min(values) + slack
    assert high >= max(values) - slack
    assert low < high
    assert 2 <= len(ticks) <= 12
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in itertools.pairwise(ticks)}
    assert steps == {1.0}


def test_a_missing_value_is_a_gap_and_not_a_zero() -> None:
    svg = line_chart(
        [Series("image", [0.5, None, 0.7, math.nan, 0.9, 0.8])], label="x", y_label="accuracy"
    )
    (path,) = re.findall(r'class="line s0" d="([^"]+)"', svg)
    assert path.count("M") == 3
    assert path.count("L") == 1


def test_a_single_epoch_is_a_dot() -> None:
    assert "<circle" in line_chart([Series("image", [0.5])], label="x", y_label="accuracy")


def test_a_band_is_drawn_where_there_is_a_deviation() -> None:
    assert 'class="band' in line_chart(
        [Series("image", [0.5, 0.6], [0.1, 0.2])], label="x", y_label="y"
    )
    assert 'class="band' not in line_chart([Series("image", [0.5, 0.6])], label="x", y_label="y")


def test_names_are_text_and_cannot_become_markup() -> None:
    svg = row_chart(
        [Mark("<b>&", 0.5, 0.4, 0.6, (0.45, 0.55))],
        label='a "quoted" <label>',
        x_label="x < y",
        levels=[Level("<base>", 0.5)],
    )
    assert {"<b>&", "x < y", "<base>"} <= set(texts(svg))


def test_everything_lies_on_the_canvas() -> None:
    lines = [Series(f"modality {i}", [0.01 * i, 1 - 0.01 * i], color=i) for i in range(9)]
    marks = [
        Mark(f"a very long name of a recipe, number {i}", 50.0 + i, 40.0, 99.0) for i in range(30)
    ]
    for svg, height in (
        (line_chart(lines, label="x", y_label="y"), HEIGHT),
        (row_chart(marks, label="x", x_label="y", bars=True), None),
    ):
        root = ElementTree.fromstring(svg)
        _, _, width, tall = map(float, root.attrib["viewBox"].split())
        assert width == WIDTH
        assert height is None or tall == height
        for element in root.iter():
            if "x" in element.attrib:
                assert 0 <= float(element.attrib["x"]) <= width
                assert 0 <= float(element.attrib["y"]) <= tall


def test_no_number_is_an_empty_row_and_bars_start_at_zero() -> None:
    svg = row_chart(
        [Mark("nothing", None), Mark("half", 50.0), Mark("all", 100.0)],
        label="x",
        x_label="y",
        bars=True,
    )
    half, whole = (float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', svg))
    assert math.isclose(2 * half, whole, rel_tol=0.01)
