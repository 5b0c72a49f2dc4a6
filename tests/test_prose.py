"""Plain English in code, messages and pages: patterns that readers stumbled over stay out.

Run it alone for a list: ``python tests/test_prose.py src/g2d/data``.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks")
CODE = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "src/**/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts and ".venv" not in path.parts
)
THIS = Path(__file__)

WORDS = re.compile(
    r"\b(told|said|stands?(?! out)|stood|anew|beside|aloud|taught|mend(?:s|ed|ing)?|floors|saith|"
    r"strays?|bears?|learnt|licen[c]e[sd]?|colou[r]s?|behaviou[r]|neighbou[r]s?|whilst|amongst|"
    r"thereof|therein|hence|wherein|be it|none has|lies|lay|laid)\b",
    re.IGNORECASE,
)
"""Words with a plainer counterpart: reports, is, again, next to, out loud, repair, layer, ..."""
OPENERS = frozenset(
    {
        "what",
        "of",
        "whether",
        "who",
        "whose",
        "until",
        "by",
        "how",
        "where",
        "when",
        "that",
        "which",
    }
    | {"as", "from", "to", "for", "with", "in", "on", "at", "up", "so", "if", "all", "one", "only"}
    | {"the", "a", "an", "its", "every", "each", "both", "some", "no", "not", "nothing"}
)
"""First words of a function's docstring that are no verb."""
NAMES = frozenset({"found", "there", "told", "said", "shown", "wanted", "asked"})
"""Names of variables that do not say what the variable holds."""
TWO_PARAMETERS = re.compile(r"^\s+\w+(?:, \w+)*: .*\. (?:[a-z_]\w*)(?:, [a-z_]\w*)*: \S")


def docstrings(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.Constant]]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield node, value


def faults_of_code(path: Path) -> Iterator[str]:
    """Yield ``line: fault`` for every pattern in a Python file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > 100:
            yield f"{number}: longer than 100 columns"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or "STRING" in tokenize.tok_name.get(
            token.type, ""
        ):
            for match in WORDS.finditer(token.string):
                yield f"{token.start[0]}: {match[0]!r} has a plainer counterpart"
    for node, docstring in docstrings(tree):
        lines = docstring.value.splitlines()
        for offset, line in enumerate(lines):
            if TWO_PARAMETERS.match(line):
                yield f"{docstring.lineno + offset}: two parameters on one line of Args"
        if isinstance(node, ast.ClassDef) and re.match(r"(What|How|Whether|Of|Who)\b", lines[0]):
            yield f"{docstring.lineno}: the docstring of {node.name} must begin with a noun"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines:
            is_property = any("property" in ast.unparse(d) for d in node.decorator_list)
            first = re.split(r"\W", lines[0].strip(), maxsplit=1)[0].lower()
            if first in OPENERS and not is_property and not node.name.startswith("test_"):
                yield f"{docstring.lineno}: the docstring of {node.name} must begin with a verb"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NAMES:
            yield f"{node.lineno}: the variable {node.id!r} does not say what it holds"
        if isinstance(node, ast.FunctionDef) and WORDS.search(node.name.replace("_", " ")):
            yield f"{node.lineno}: the name {node.name} has a plainer counterpart"


def faults_of_page(path: Path) -> Iterator[str]:
    """Yield ``line: fault`` for every word in a page that has a plainer counterpart."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for match in WORDS.finditer(line):
            yield f"{number}: {match[0]!r} has a plainer counterpart"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_is_written_in_plain_english(path: Path) -> None:
    assert path == THIS or list(faults_of_code(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_are_written_in_plain_english(path: Path) -> None:
    assert list(faults_of_page(path)) == []


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        place = Path(argument)
        files = [place] if place.is_file() else [*place.rglob("*.py"), *place.rglob("*.md")]
        for file in sorted(files):
            check = faults_of_code if file.suffix == ".py" else faults_of_page
            for fault in check(file):
                sys.stdout.write(f"{file}:{fault}\n")
