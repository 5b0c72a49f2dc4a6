"""Charts: labels do not overlap, axes enclose their values, missing values are gaps."""

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
    axis,
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
def test_labels_keep_their_order_at_least_one_line_apart(places: list[float]) -> None:
    moved = _apart(places, 13.0, 26, 216)
    ordered = sorted(moved)
    assert all(b - a >= 13 - 1e-4 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= 26 - 1e-4
    assert ordered[-1] <= 216 + 1e-4
    assert [places[i] for i in sorted(range(len(moved)), key=lambda i: moved[i])] == sorted(places)


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_an_axis_encloses_its_values_in_few_even_steps(values: list[float]) -> None:
    drawn = axis(values)
    low, high, ticks = drawn.low, drawn.high, drawn.ticks
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert low <= min(values) + slack
    assert high >= max(values) - slack
    assert low < high
    assert 2 <= len(ticks) <= 12
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in itertools.pairwise(ticks)}
    assert steps == {1.0}


@given(st.lists(st.floats(-50, 150), min_size=1, max_size=20))
def test_an_axis_ends_where_a_score_ends(values: list[float]) -> None:
    drawn = axis(values, bounds=(0.0, 100.0))
    assert 0.0 <= drawn.low < drawn.high <= 100.0


def test_whiskers_and_bands_end_where_a_score_ends() -> None:
    rows = row_chart([Mark("warm", 81.7, 49.9, 113.5)], label="x", x_label="y", bounds=(0.0, 100.0))
    assert max(float(text) for text in texts(rows.svg) if re.fullmatch(r"[\d.]+", text)) == 100.0
    (end,) = re.findall(r'class="whisker[^>]*H([\d.]+)"', rows.svg)
    assert float(end) == WIDTH - 44
    lines = line_chart(
        [Series("image", [90.0, 95.0], [20.0, 20.0])], label="x", y_label="y", bounds=(0.0, 100.0)
    )
    (band,) = re.findall(r'class="band f0" d="M([^"]+)Z"', lines.svg)
    assert min(float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", band)) == 26.0


def test_steps_change_halfway_between_two_epochs() -> None:
    svg = line_chart([Series("image", [0.0, 1.0], steps=True)], label="x", y_label="y").svg
    (path,) = re.findall(r'class="line s0" d="([^"]+)"', svg)
    assert re.fullmatch(r"M[\d.]+ [\d.]+H[\d.]+V[\d.]+H[\d.]+", path)


def test_a_missing_value_is_a_gap_and_not_a_zero() -> None:
    svg = line_chart(
        [Series("image", [0.5, None, 0.7, math.nan, 0.9, 0.8])], label="x", y_label="accuracy"
    ).svg
    (path,) = re.findall(r'class="line s0" d="([^"]+)"', svg)
    assert path.count("M") == 3
    assert path.count("L") == 1


def test_a_single_epoch_is_a_dot() -> None:
    drawing = line_chart([Series("image", [0.5])], label="x", y_label="accuracy")
    assert "<circle" in drawing.svg


def test_a_band_is_drawn_only_with_a_deviation() -> None:
    with_band = line_chart([Series("image", [0.5, 0.6], [0.1, 0.2])], label="x", y_label="y")
    assert 'class="band' in with_band.svg
    without = line_chart([Series("image", [0.5, 0.6])], label="x", y_label="y")
    assert 'class="band' not in without.svg


def test_names_are_text_and_cannot_become_markup() -> None:
    svg = row_chart(
        [Mark("<b>&", 0.5, 0.4, 0.6, (0.45, 0.55))],
        label='a "quoted" <label>',
        x_label="x < y",
        levels=[Level("<base>", 0.5)],
    ).svg
    assert {"<b>&", "x < y", "<base>"} <= set(texts(svg))


def test_everything_is_on_the_canvas() -> None:
    lines = [Series(f"modality {i}", [0.01 * i, 1 - 0.01 * i], color=i) for i in range(9)]
    marks = [
        Mark(f"a very long name of a recipe, number {i}", 50.0 + i, 40.0, 99.0) for i in range(30)
    ]
    for svg, height in (
        (line_chart(lines, label="x", y_label="y").svg, HEIGHT),
        (row_chart(marks, label="x", x_label="y", bars=True).svg, None),
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
    ).svg
    half, whole = (float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', svg))
    assert math.isclose(2 * half, whole, rel_tol=0.01)
