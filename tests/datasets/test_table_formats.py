"""Tables in every format, encoding and with every delimiter hold the same rows."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data.store.opening import StoreOptions
from g2d.datasets.table import formats, json_array
from g2d.datasets.table.opening import open_any
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.datasets.table.rows import TableFile
from g2d.errors import DataError
from g2d.prepare import prepare

HEADER = ("id", "größe", "note", "label")
ROWS = [(f"r{i}", round(i / 7, 3), f"Zeile {i}, “schön”", "ab"[i % 2]) for i in range(30)]
RECORDS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]


def csv_text(delimiter: str = ",", first: str = "") -> str:
    lines = [delimiter.join(HEADER)]
    lines += [delimiter.join((r[0], str(r[1]), f'"{r[2]}"', r[3])) for r in ROWS]
    return first + "\r\n".join(lines) + "\r\n"


def lines_text() -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS)


def parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    writer.write_table(pyarrow.Table.from_pylist(RECORDS), path, row_group_size=7)


def excel(path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append([])
    for row in (HEADER, *ROWS):
        book.active.append(row)
    book.save(path)


WRITERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "comma": ("a.csv", lambda p: p.write_bytes(csv_text().encode())),
    "semicolon": ("a.csv", lambda p: p.write_bytes(csv_text(";").encode())),
    "tab": ("a.tsv", lambda p: p.write_bytes(csv_text("\t").encode())),
    "bar": ("a.txt", lambda p: p.write_bytes(csv_text("|").encode())),
    "separator line": ("a.csv", lambda p: p.write_bytes(csv_text(";", "sep=;\r\n").encode())),
    "quoted separator": ("a.csv", lambda p: p.write_bytes(csv_text("^", '"sep=^"\n').encode())),
    "blank lines": ("a.csv", lambda p: p.write_bytes(csv_text(";", "\r\n \r\n").encode())),
    "mark": ("a.csv", lambda p: p.write_bytes(csv_text(";", "sep=;\n").encode("utf-8-sig"))),
    "utf-16": ("a.csv", lambda p: p.write_bytes(csv_text("\t").encode("utf-16"))),
    "big endian": ("a.csv", lambda p: p.write_bytes(b"\xfe\xff" + csv_text().encode("utf-16-be"))),
    "utf-32": ("a.csv", lambda p: p.write_bytes(csv_text().encode("utf-32"))),
    "without mark": ("a.csv", lambda p: p.write_bytes(csv_text().encode("utf-16-le"))),
    "cp1252": ("a.csv", lambda p: p.write_bytes(csv_text(";").encode("cp1252"))),
    "json lines": ("a.jsonl", lambda p: p.write_bytes(lines_text().encode())),
    "lines in .txt": ("a.txt", lambda p: p.write_bytes(lines_text().encode())),
    "json lines, utf-16": ("a.jsonl", lambda p: p.write_bytes(lines_text().encode("utf-16"))),
    "array": ("a.json", lambda p: p.write_bytes(json.dumps(RECORDS).encode())),
    "spread array": ("a.json", lambda p: p.write_bytes(json.dumps(RECORDS, indent=2).encode())),
    "parquet": ("a.parquet", parquet),
    "parquet by its bytes": ("a.csv", parquet),
    "excel": ("a.xlsx", excel),
    "gzip": ("a.csv.gz", lambda p: p.write_bytes(gzip.compress(csv_text(";").encode()))),
    "gzip, no suffix": ("a.csv", lambda p: p.write_bytes(gzip.compress(csv_text().encode()))),
    "gzip of an array": (
        "a.json.gz",
        lambda p: p.write_bytes(gzip.compress(json.dumps(RECORDS).encode())),
    ),
    "bzip2": ("a.csv.bz2", lambda p: p.write_bytes(bz2.compress(csv_text().encode()))),
    "xz": ("a.tsv.xz", lambda p: p.write_bytes(lzma.compress(csv_text("\t").encode()))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_holds_the_same_rows(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "BLOCK", 100)
    monkeypatch.setattr(json_array, "BLOCK", 100)
    file, write = WRITERS[name]
    write(tmp_path / file)
    table = TableFile(tmp_path / file)
    assert list(table.columns) == list(HEADER)
    assert [(r["id"], float(r["größe"]), r["note"], r["label"]) for r in table] == ROWS
    assert table[17]["note"] == ROWS[17][2]
    plan = plan_table(tmp_path / file, TableOptions())
    assert plan.task["classes"] == ["a", "b"]
    assert {m: signal.kind for m, signal in plan.signals.items()} == {
        "table": "table",
        "note": "text",
    }
    guessed = [line for line in plan.inferred if "read as cp1252" in line]
    assert bool(guessed) == (name == "cp1252")


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    text = "имя,x,label\n" + "".join(
        f"слово {i},{i / 7},{['да', 'нет'][i % 2]}\n" for i in range(30)
    )
    (tmp_path / "a.csv").write_bytes(text.encode("cp1251"))
    plan = plan_table(tmp_path / "a.csv", TableOptions(encoding="cp1251"))
    assert plan.task["classes"] == ["да", "нет"]
    prepare(plan, tmp_path, tmp_path / "store")
    opened = open_any(StoreOptions(store="store", root=str(tmp_path)))
    for name, encoding in (("old.csv", "cp1251"), ("new.csv", "utf-8")):
        (tmp_path / name).write_bytes("имя,x\nслово 3,2\n".encode(encoding))
    values = [opened.read_rows(tmp_path / name)[1].inputs["имя"] for name in ("old.csv", "new.csv")]
    assert values[0].values.tolist() == values[1].values.tolist()
    with pytest.raises(DataError, match="encoding must be one that Python knows"):
        plan_table(tmp_path / "a.csv", TableOptions(encoding="klingon"))


def test_new_rows_are_read_in_every_format(tmp_path: Path) -> None:
    rows = [record | {"größe": record["größe"]} for record in RECORDS]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    prepare(plan_table(tmp_path / "a.jsonl", TableOptions()), tmp_path, tmp_path / "store")
    opened = open_any(StoreOptions(store="store", root=str(tmp_path)))
    for name in ("parquet", "excel", "gzip", "array"):
        file, write = WRITERS[name]
        write(tmp_path / file)
        ids, batch = opened.read_rows(tmp_path / file)
        assert (ids[3], len(batch)) == ("r3", 30)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0 old", "an old Excel file; save it as .xlsx or CSV"),
        (b"\x28\xb5\x2f\xfd....", "compressed with zstd"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x89HDF\r\n", "g2d data prepare arrays"),
        (b"%PDF-1.7", "a PDF file"),
        (b"\x80\x04\x95....", "a pickle, which is not opened"),
        (b"\x00\x01\x02\x03binary\x00\x00", "bytes that are no text"),
        (b"\x1f\x8bnot gzip at all", "must be a complete table"),
        (gzip.compress(b"a,label\n1,x\n" * 99, mtime=0)[:40], "must be a complete table"),
        (b"PAR1 not parquet PAR1", "must be a complete table"),
        (b"PK\x03\x04 not a zip", "must be a complete table"),
        (b'[{"x": 1}, {"x": ', "in element 2"),
        (b'[{"x": 1} {"x": 2}]', "must end with ]"),
        (b'[{"x": 1}, 7]', "must be JSON objects, found int in row 2"),
        (b"[" * 100_000, "in element 1"),
        (b"\xff\xfea\0,\0b", "utf-16"),
    ],
    ids=lambda given: repr(given[:20]) if isinstance(given, bytes) else None,
)
def test_a_file_that_is_no_table_is_refused_with_the_way_out(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / ("a.json" if content.startswith(b"[") else "a.csv")
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        TableFile(path)
    assert str(path) in str(error.value)


def test_an_archive_of_arrays_is_no_table(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"a zip archive; unpack it.*g2d data prepare arrays"):
        TableFile(tmp_path / "a.npz")


def test_dates_and_lists_of_parquet_and_nested_values_are_read_or_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    start = datetime.datetime(2024, 1, 1)
    rows: list[dict[str, Any]] = [
        {
            "__index_level_0__": 100 - i,
            "when": start + datetime.timedelta(hours=i),
            "day": start.date(),
            "vector": [i / 7, 1.0],
            "label": "ab"[i % 2],
        }
        for i in range(30)
    ]
    writer.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    plan = plan_table(tmp_path / "a.parquet", TableOptions())
    assert list(plan.signals) == ["vector"]
    assert sum("dates, left out" in line for line in plan.inferred) == 2
    for extra, message in (
        ({"image": {"bytes": b"1", "path": "x"}}, "binary data"),
        ({"box": {"left": 1}}, "'box' must hold plain values or lists of them"),
        ({"grid": [[1, 2], [3, 4]]}, "'grid' must hold plain values or lists of them"),
    ):
        table = pyarrow.Table.from_pylist([row | extra for row in rows])
        writer.write_table(table, tmp_path / "b.parquet")
        with pytest.raises(DataError, match=message):
            plan_table(tmp_path / "b.parquet", TableOptions())
