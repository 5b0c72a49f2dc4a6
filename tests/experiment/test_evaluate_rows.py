"""Evaluation on new rows with their targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import command, write_csv


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a regression on a table."""
    folder = tmp_path_factory.mktemp("values")
    rows = [{"left": i / 7, "right": i % 5, "price": i / 3 + 0.5} for i in range(60)]
    write_csv(folder / "a.csv", rows)
    command("data", "prepare", "table", "--source", folder / "a.csv", "--out", folder / "store",
            "target=price", "--workers", 1, "-q")  # fmt: skip
    command("train", folder / "store/recipe.yaml", "epochs=1", "--out", folder / "run", "-q")
    return folder / "run"


@pytest.mark.parametrize("cell", ["hello", "inf", "2.5 EUR"])
def test_a_target_that_is_no_number_is_refused_with_its_row(
    run: Path, tmp_path: Path, cell: str
) -> None:
    rows = [{"left": i, "right": 1, "price": cell if i == 2 else i} for i in range(4)]
    source = write_csv(tmp_path / "bad.csv", rows)
    printed = command("evaluate", run, "--source", source, code=2)
    rule = f"bad.csv (price) must be finite numbers, found '{cell}' in row 3. Correct the cell"
    assert rule in printed


def test_rows_without_a_target_are_counted_and_left_out(run: Path, tmp_path: Path) -> None:
    rows = [{"left": i, "right": 1, "price": "" if i == 2 else i} for i in range(4)]
    printed = command("evaluate", run, "--source", write_csv(tmp_path / "some.csv", rows))
    assert "warning: rows left out: 1 without a target\n" in printed


def test_targets_are_read_with_the_decimal_sign_of_their_table(run: Path, tmp_path: Path) -> None:
    scores = []
    for name, sign, delimiter in (("point", ".", ","), ("comma", ",", ";")):
        lines = [delimiter.join(["left", "right", "price"])]
        lines += [f"{i}.5{delimiter}1{delimiter}{i}.25".replace(".", sign) for i in range(4)]
        (tmp_path / name).with_suffix(".csv").write_text("\n".join(lines))
        printed = command("evaluate", run, "--source", tmp_path / f"{name}.csv")
        scores.append(printed.splitlines()[1:])
    assert scores[0] == scores[1]
