"""Names in tables and charts are texts as they are: they run nothing and break nothing."""

from __future__ import annotations

import csv
import html
import io
import re
from xml.etree import ElementTree

import pytest

from g2d.files import csv_cell, one_line
from g2d.report.curves import as_csv
from g2d.report.drawing import Drawing, text, tooltip
from g2d.report.tables import FORMATS, Cell, Column, Row, Table

NAMES = (
    "=HYPERLINK(1)",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "two\nlines",
    "a|b",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x][y]",
    "<javascript:alert(1)>",
    "*bold* _italic_ __both__ ~~gone~~ `code`",
    "ogm_ge_2",
    "\\textbf{x} $y$ 5% & # ~ ^",
    "&lt;b&gt;",
    "\x1b[31mred\x9b0m",
    "line\u2028separator",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_of(name: str) -> Table:
    """Return a table that has a name wherever one can be."""
    cells = (Cell(-1.5, marks=("better",)), Cell(name))
    return Table(name, (Column(name), Column("b")), (Row(name, cells),), (name,), name)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_cell_of_a_csv_file_is_a_formula_and_numbers_stay(name: str) -> None:
    numbers: list[object] = [-1.5, -2, "+3.5", "-0.5", "-"]
    texts = [
        table_of(name).csv(),
        FORMATS["csv"]([table_of(name)] * 2).partition("\n")[2],
        as_csv([name, "y"], [[name, -1.5]]),
    ]
    for content in texts:
        cells = [cell for row in csv.reader(io.StringIO(content)) for cell in row]
        assert [cell for cell in cells if cell.startswith(FORMULA)] == ["-1.5"] * cells.count(
            "-1.5"
        )
        assert name in cells or f"'{name}" in cells
        assert "-1.5" in cells
    assert [csv_cell(number) for number in numbers] == numbers
    title = FORMATS["csv"]([table_of(name)] * 2).splitlines()[0]
    assert title == f"# {one_line(name)}"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_markdown_shows_a_name_and_nothing_else(name: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    page = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(table_of(name).markdown())
    texts = [
        re.sub(r"</?strong>", "", cell) for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", page)
    ]
    plain = " ".join(one_line(name).split())
    assert [" ".join(html.unescape(cell).split()) for cell in texts] == [
        *(plain, plain, "b"),
        *(plain, "-1.5 ↑", plain),
    ]
    assert set(re.findall(r"<(\w+)", page)) <= {
        "p",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
    }


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_latex_and_text_have_a_row_per_row_and_no_commands_of_a_name(name: str) -> None:
    blocks = re.findall(
        r"\\begin{tabular}{l(r+)}\n.*?\\midrule\n(.*?)\n\\bottomrule",
        table_of(name).latex(),
        re.DOTALL,
    )
    assert blocks
    command = r"\\text(bf|backslash|asciitilde|asciicircum)\b|\\\w+arrow|\\[&%$#_{}]"
    for columns, row in blocks:
        bare = re.sub(command, "", row)
        assert "\n" not in row
        assert bare.count("&") == len(columns)
        assert not re.search(r"[%#_^~]|\\[a-z]", bare)
    drawn = table_of(name).text(200)
    assert one_line(drawn.replace("\n", "")) == drawn.replace("\n", "")
    (row,) = re.split(r"─+\n", drawn.split("\n\n")[1])[1].splitlines()
    assert row.startswith(one_line(name))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_chart_is_well_formed_and_holds_a_name_as_text(name: str) -> None:
    drawing = Drawing(text(1, 1, name, "m", title=name) + tooltip(name), 10, 10, name)
    root = ElementTree.fromstring(drawing.standalone())
    texts = [element.text for element in root.iter() if element.tag.endswith(("}text", "}title"))]
    assert texts == [one_line(name)] * 3
    assert root.attrib["aria-label"] == one_line(name)
