"""A user's own arrays in every format: the same store, and a sentence for every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g2d.data import Source
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets import DATASETS
from g2d.datasets.arrays.files import read_arrays
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.errors import DataError
from g2d.prepare import check_store, prepare
from g2d.types import Sequence
from support.made_up_arrays import ROWS, WRITERS, numbers, words


def prepared(path: Path, out: Path, **options: Any) -> dict[str, Any]:
    folder = path if path.is_dir() else path.parent
    return prepare(plan_arrays(path, ArraysOptions(**options)), folder, out, workers=1).facts


def test_every_format_gives_the_same_store(tmp_path: Path) -> None:
    facts = {}
    for name, write in WRITERS.items():
        (tmp_path / name).mkdir()
        path = write(tmp_path / name / "mine", numbers())
        facts[name] = prepared(path, tmp_path / name / "store")
    first = facts.pop("npz")
    assert {f["content_hash"] for f in facts.values()} == {first["content_hash"]}
    assert {str(f["protocols"]) for f in facts.values()} == {str(first["protocols"])}
    assert {m: s["kind"] for m, s in first["modalities"].items()} == {
        "photo": "image",
        "table": "table",
        "steps": "sequence",
        "sound": "audio",
    }
    assert check_store(tmp_path / "npz" / "store").errors == []


def test_a_store_gives_what_the_arrays_give_in_memory(tmp_path: Path) -> None:
    arrays = numbers()
    prepared(WRITERS["npz"](tmp_path / "mine", arrays), tmp_path / "store")
    stored = open_store(StoreOptions(store=str(tmp_path / "store")))
    memory = Source.from_arrays(
        {
            name: values
            for name, values in arrays.items()
            if name not in ("target", "split", "group")
        },
        arrays["target"],
        split=arrays["split"],
        group=arrays["group"],
    )
    assert stored.task.config() == memory.task.config()
    assert stored.modalities == tuple(sorted(memory.modalities))
    assert np.array_equal(stored.split, memory.split)
    rows = np.arange(ROWS)
    a, b = (
        source.view(source.gather(rows), seed=0, epoch=1, train=False)
        for source in (stored, memory)
    )
    assert torch.equal(a.target, b.target)
    assert torch.equal(a.has("sound"), b.has("sound"))
    assert a.has("sound").tolist() == arrays["sound.present"].tolist()
    for m in stored.modalities:
        x, y = a.inputs[m], b.inputs[m]
        if isinstance(x, Sequence):
            assert isinstance(y, Sequence)
            assert torch.equal(x.mask, y.mask)
            x, y = x.values, y.values
        torch.testing.assert_close(x, y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["npz", "folder", "hdf5"])
def test_text_labels_and_names_are_read(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / "mine", words())
    facts = prepared(path, tmp_path / "store")
    assert facts["task"] == {"kind": "classification", "classes": ["no", "yes"]}
    assert facts["protocols"]["mine/given"]["rows"] == {"train": 20, "valid": 20, "test": 20}
    source = open_store(StoreOptions(store=str(tmp_path / "store")))
    raw = source.arrays["note"][np.array([1])].tobytes().rstrip(b"\0").decode()
    first = (tmp_path / "store" / "samples.jsonl").read_text().splitlines()[1]
    assert '"id": "r1"' in first
    assert raw == "row 1 is böse"


def test_rows_that_cannot_be_used_are_skipped_with_a_reason(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=ROWS)
    target[3] = np.nan
    table = rng.normal(size=(ROWS, 2))
    table[7, 0] = np.inf
    names = np.arange(ROWS)
    names[9] = 8
    np.savez(tmp_path / "mine.npz", table=table, target=target, id=names)
    facts = prepared(tmp_path / "mine.npz", tmp_path / "store")
    assert facts["rows"] == ROWS - 2
    assert facts["outcomes"]["table"]["replaced"] == 1
    assert {(skip["id"], skip["reason"]) for skip in facts["skipped"]} == {
        ("3", "no-agreed-label"),
        ("8", "duplicate"),
    }
    assert facts["task"]["kind"] == "regression"


def test_decisions_are_reported_and_options_change_them(tmp_path: Path) -> None:
    path = WRITERS["npz"](tmp_path / "mine", numbers())
    inferred = plan_arrays(path, ArraysOptions()).inferred
    assert "sound: audio, 48 rows, stored as int16 (600,)" in inferred
    assert inferred[-1] == "split: given: 21 train / 21 valid / 18 test"
    given = {"classes": ("a", "b", "c"), "rate": 8000, "kinds": {"steps": "image"}}
    with pytest.raises(
        DataError, match=r"'steps.mask' in .* must mask a sequence or sound, found image"
    ):
        plan_arrays(path, ArraysOptions(**given))
    plan = plan_arrays(path, ArraysOptions(**{**given, "kinds": {}}))
    assert plan.task["classes"] == ["a", "b", "c"]
    assert plan.signals["sound"].view[0]["name"] == "log_mel"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": None}, r"must hold an array 'target', found "),
        ({"table": np.zeros((3, 2))}, r"must have the same number of rows, found .*3 of table"),
        (
            {"split": np.full(ROWS, 7)},
            r"'split' in .* must be train, valid, test or unused, found '7'",
        ),
        ({"target": np.zeros(ROWS, int)}, r"must have two classes or more, found 1"),
        ({"target": np.zeros((ROWS, 2), int)}, r"must be one class per row \(N,\), found int64"),
        ({"steps.mask": np.ones((ROWS, 4), bool)}, r"'steps.mask' in .* must be bool \(60, 5\)"),
        ({"sound.present": np.ones(ROWS)}, r"'sound.present' in .* must be bool \(60,\)"),
        ({"other.mask": np.ones((ROWS, 4), bool)}, r"must mark a modality, found no 'other'"),
        ({"group.": np.ones(ROWS)}, r"'group\.' in .* cannot be the name of a modality"),
        ({"wide": np.zeros((ROWS, 1, 1, 1, 1, 1))}, r"'wide' in .* must have 1 to 5 axes"),
        ({"void": np.zeros((ROWS, 0))}, r"'void' in .* must hold values"),
        ({"when": np.zeros(ROWS, "datetime64[s]")}, r"'when' in .* must be numbers or text"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    arrays = {k: v for k, v in (numbers() | changed).items() if v is not None}
    path = WRITERS["npz"](tmp_path / "mine", arrays)
    with pytest.raises(DataError, match=message):
        plan_arrays(path, ArraysOptions())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.npz", r"cannot read .*none\.npz: no such file or folder"),
        ("mine.txt", r"must be in a file of \.npz, .* or in a folder of \.npy files"),
        ("cut.npz", r"cut\.npz must be an \.npz file of plain arrays"),
        ("cut.safetensors", r"cut\.safetensors must be a safetensors file"),
        ("cut.h5", r"cut\.h5 must be an HDF5 file whose root holds arrays"),
        ("empty", r"must hold \.npy files, found none"),
        ("cut", r"a\.npy must be an \.npy file of plain numbers or text"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "mine.txt").write_text("1,2\n")
    for suffix in ("npz", "safetensors", "h5"):
        (tmp_path / f"cut.{suffix}").write_bytes(b"PK\x03\x04 half a file")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").mkdir()
    np.save(tmp_path / "cut" / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path / name)


def test_the_registry_lists_arrays() -> None:
    assert DATASETS["arrays"].reader is not None
    assert "safetensors" in DATASETS["arrays"].reader.layout
