"""Drawings as files: they bring their own colors, and become PNG and PDF with an extra."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from g2d.errors import MissingDependencyError
from g2d.report.charts import Series, line_chart
from g2d.report.drawing import DARK, LIGHT, Drawing, side_by_side


@pytest.fixture
def drawing() -> Drawing:
    return line_chart([Series("image", [0.1, 0.5, 0.7])], label="a <chart>", y_label="accuracy")


def test_a_file_needs_no_page(drawing: Drawing) -> None:
    text = drawing.standalone()
    root = ElementTree.fromstring(text)
    assert (root.attrib["width"], root.attrib["height"]) == ("440", "250")
    assert root.attrib["aria-label"] == "a <chart>"
    assert "var(" not in text
    assert LIGHT["c0"] in text
    assert DARK["c0"] in text.partition("prefers-color-scheme: dark")[2]
    assert "prefers-color-scheme" not in drawing.standalone(dark=False)


def test_a_page_gives_its_own_colors(drawing: Drawing) -> None:
    assert "<style>" not in drawing.svg
    assert not any(color in drawing.svg for color in LIGHT.values())


def test_every_class_of_a_chart_has_a_style(drawing: Drawing) -> None:
    text = drawing.standalone()
    style = text[text.index("<style>") : text.index("</style>")]
    classes = {name for names in re.findall(r'class="([^"]+)"', text) for name in names.split()}
    assert all(f"svg .{name} {{" in style for name in classes)


def test_panels_are_next_to_each_other(drawing: Drawing) -> None:
    both = side_by_side({"joint": drawing, "g2d": drawing}, "both")
    assert (both.width, both.height) == (880, 274)
    assert both.content.count("translate(") == 2
    ElementTree.fromstring(both.standalone())


@pytest.mark.parametrize(
    ("form", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<svg")]
)
def test_a_drawing_becomes_a_file_of_any_format(
    drawing: Drawing, tmp_path: Path, form: str, start: bytes
) -> None:
    if form != "svg":
        pytest.importorskip("vl_convert", reason="the extra figures is not installed")
    path = drawing.save(tmp_path / "deep" / f"chart.{form}")
    assert path.read_bytes().startswith(start)


def test_a_missing_extra_is_one_sentence(
    drawing: Drawing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(
        MissingDependencyError, match=r"a PNG chart needs vl-convert-python, .* 'g2d\[figures\]'"
    ):
        drawing.save(tmp_path / "chart.png")
    assert list(tmp_path.iterdir()) == []
