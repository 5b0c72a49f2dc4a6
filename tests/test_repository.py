"""What the repository promises to a stranger."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import g2d
from g2d.datasets import DATASETS
from g2d.files import EXTRAS
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.recipe import Recipe
from g2d.recipe.packaged import ALIASES, about, packaged, recipe_names

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts),
    *sorted((ROOT / "src").rglob("*.md")),
]
MODALITIES = {"image", "tone", "word", "audio", "visual", "video", "text"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def compared_texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and value of every text that code compares with, matches or uses as a prefix."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts: list[ast.expr] = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith")
        ):
            parts = list(node.args)
        else:
            continue
        for part in parts:
            for value in [
                part,
                *(part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else ()),
            ]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield part.lineno, value.value


def test_the_walk_finds_comparisons() -> None:
    condition = "if name == 'a' or name in ('b', 'c') or name.startswith('d'):"
    code = f"{condition}\n    match name:\n        case 'e': pass"
    assert {text for _, text in compared_texts(ast.parse(code))} == set("abcde")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_code_compares_with_the_name_of_a_method_a_modality_or_a_data_set(path: Path) -> None:
    names = {*METHODS, *MODULATIONS, *DATASETS} | MODALITIES
    assert [
        (line, text)
        for line, text in compared_texts(ast.parse(path.read_text(encoding="utf-8")))
        if text in names
    ] == []


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_card(name: str) -> None:
    card = text_of(f"docs/methods/{name}.md")
    for part in (
        "**Paper.**",
        "**Algorithm.**",
        "**Differences.**",
        "**Needs.**",
        "**Cost.**",
        "**When.**",
    ):
        assert part in card
    assert re.search(r"\$[^$]+\$", card), "a card states its formula"


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_card_that_its_page_includes(name: str) -> None:
    folders = ROOT / "src" / "g2d" / "datasets"
    card = folders / name / "card.md"
    if not card.is_file():  # another form of the same data
        (card,) = folders.glob(f"*/{name}.md")
    for part in ("**Rows.**", "**License.**", "**Modalities.**", "**Target.**", "**Protocols.**"):
        assert part in card.read_text(encoding="utf-8")
    path = card.relative_to(ROOT).as_posix()
    assert text_of(f"docs/data/{name}.md").startswith(f"```{{include}} ../../{path}\n")


def test_every_page_about_data_is_of_a_data_set() -> None:
    assert {path.stem for path in (ROOT / "docs" / "data").glob("*.md")} == DATASETS.keys()


def test_the_reference_lists_every_module_and_every_public_name() -> None:
    modules = {
        path.stem
        for path in (ROOT / "src" / "g2d").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    names = {*modules, *g2d.__all__} - {"__init__", "__main__", "__version__", "cli"}
    listed = re.findall(r"^   g2d\.(\w+)$", text_of("docs/api/index.rst"), re.MULTILINE)
    assert set(listed) == names


@pytest.mark.parametrize("name", recipe_names())
def test_no_packaged_recipe_names_a_folder_and_each_begins_with_a_description(name: str) -> None:
    assert "root" not in Recipe.load(name).given.content["data"]
    assert about(name)


def test_the_wheel_contains_the_packaged_recipes() -> None:
    patterns = tomllib.loads(text_of("pyproject.toml"))["tool"]["setuptools"]["package-data"]["g2d"]
    matched = {path for pattern in patterns for path in (ROOT / "src/g2d").glob(pattern)}
    assert {packaged(name) for name in recipe_names()} <= matched


def test_no_file_names_a_folder_of_a_machine_or_a_package_index() -> None:
    machine = re.compile(
        rb"(?<![\w.])/(home|root|work|Users)/|[A-Z]:\\\\?Users|--(extra-)?index-url|--find-links"
    )
    here = Path(__file__)
    assert [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path != here and machine.search(path.read_bytes())
    ] == []


def test_no_file_is_large() -> None:
    assert [path.name for path in tracked() if path.stat().st_size > 2**20] == []


def test_the_readme_says_the_two_commands() -> None:
    readme = text_of("README.md")
    assert "make demo" in readme
    assert "make test" in readme


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not link.startswith(("http", "mailto")) and not (page.parent / link).exists()
    ]
    assert broken == []


def test_make_names_every_target_in_its_help() -> None:
    makefile = text_of("Makefile")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets
    for target in set(targets[1].split()) - {"help"}:
        assert f'"make {target}' in makefile


INSTALLED = ("docs", "media", "hf", "tables", "hdf5", "tune", "figures", "tensorboard")
"""Extras that ``dev`` installs."""


def test_every_dependency_has_a_pinned_version_within_its_range() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in text_of("constraints.txt").splitlines()
        if "==" in line
    )
    extras = project["optional-dependencies"]
    for text in [
        *project["dependencies"],
        *extras["dev"],
        *(text for extra in INSTALLED for text in extras[extra]),
    ]:
        requirement = Requirement(text)
        if requirement.name != "g2d":
            pin = pins[requirement.name.lower()]
            assert pin in requirement.specifier, f"{text} is pinned to {pin}"


def test_the_table_of_extras_is_that_of_the_project_file() -> None:
    from packaging.requirements import Requirement

    declared = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    names = {
        extra: {Requirement(text).name for text in texts} - {"g2d"}
        for extra, texts in declared.items()
    }
    assert {extra: set(libraries) for extra, libraries in EXTRAS.items()} == {
        extra: names[extra]
        for extra in names.keys() - {"all", "docs", "dev", "dev-integrations", "excel"}
    }
    used = {
        extra
        for path in SOURCES
        for extra in re.findall(r"g2d\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert used <= EXTRAS.keys()


def test_the_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load(text_of("CITATION.cff"))["version"] == g2d.__version__


def test_the_recipe_of_the_guide_is_valid() -> None:
    printed = re.search(r"```yaml\n(.*?)```", text_of("docs/guide/recipes.md"), re.DOTALL)
    assert printed
    assert Recipe.from_mapping(yaml.safe_load(printed[1])).train.epochs == 30


def test_pages_name_recipes_that_exist() -> None:
    command = re.compile(r"\bg2d (?:train|compare|tune) ([a-z_][\w/]*)(?=[ `\n])")
    named = {name for page in PAGES for name in command.findall(page.read_text(encoding="utf-8"))}
    assert "digits" in named
    assert sorted(named - {*recipe_names(), *ALIASES, "runs/tune"}) == []
