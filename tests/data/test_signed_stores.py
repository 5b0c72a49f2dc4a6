"""Stores whose facts were edited and signed again: typed, inside their folder, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data.store.arrays import StoredArray
from g2d.data.store.facts import read_facts, write_facts
from g2d.data.store.opening import StoreOptions, open_store, verify_store
from g2d.errors import DataError
from g2d.files import sha256
from g2d.manifest import signed
from g2d.prepare import check_store
from g2d.recipe import Recipe
from support.made_up import made

DEFAULT = "made_up/by-group-v1"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    made(folder, s6="absent")
    return folder / "store"


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "store")
    return tmp_path / "store"


def opened(store: Path) -> Any:
    return open_store(StoreOptions(store=store.name, root=str(store.parent)))


def sign(store: Path, change: Callable[[dict[str, Any]], object]) -> None:
    facts = read_facts(store)
    change(facts)
    (store / "dataset.json").write_text(json.dumps(signed(facts)))


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "split goes up": (
        lambda f: f["protocols"][DEFAULT].update(file="../x.npy"),
        "a path must stay inside the store",
    ),
    "split is absolute": (
        lambda f: f["protocols"][DEFAULT].update(file="/etc/passwd"),
        "a path must stay inside the store",
    ),
    "file goes up": (lambda f: f["files"].update({"a/../../b": "0"}), "must stay inside"),
    "modality goes up": (
        lambda f: f["modalities"].update({"../outside": f["modalities"].pop("wave")}),
        "a name must be no path",
    ),
    "kind": (lambda f: f["modalities"]["wave"].update(kind="smell"), "Input should be 'audio'"),
    "type": (lambda f: f["modalities"]["wave"].update(dtype="O"), "values must be numbers"),
    "type that is code": (lambda f: f["modalities"]["wave"].update(dtype="(("), "no type of NumPy"),
    "shape": (lambda f: f["modalities"]["wave"].update(shape=[-1]), "greater than or equal to 0"),
    "huge shape": (lambda f: f["modalities"]["wave"].update(shape=[2**40] * 9), "fit into memory"),
    "no axis": (lambda f: f["modalities"]["wave"].update(shape=[]), "at least one axis"),
    "rows": (lambda f: f.update(rows=7), "splits must place each of the 7 rows once"),
    "rows as text": (lambda f: f.update(rows="40"), "rows: Input should be a valid integer"),
    "no protocol": (lambda f: f.update(protocols={}), "protocols: Dictionary should have at least"),
    "no modality": (lambda f: f.update(modalities={}), "modalities: Dictionary should have at"),
    "array not listed": (lambda f: f["files"].pop("wave.npy"), "files must list wave.npy"),
    "task": (lambda f: f["task"].update(kind="regression"), "classification and the kind"),
    "classes": (lambda f: f["task"].update(classes=["a", "a"]), "names must differ"),
    "counts": (
        lambda f: f["protocols"][DEFAULT]["target"].update(counts=[1]),
        "counts must be one per class",
    ),
    "scale": (
        lambda f: f["protocols"][DEFAULT]["target"].update(low=1.0),
        "a scale must have low, high and variance",
    ),
    "list": (lambda f: f.update(parameters=[1]), "parameters: Input should be a valid dict"),
}


@pytest.mark.parametrize("name", FORGED)
def test_facts_that_are_signed_again_must_be_valid(store: Path, name: str) -> None:
    change, reason = FORGED[name]
    sign(store, change)
    with pytest.raises(DataError, match=r"must describe a store, found .*Prepare") as got:
        opened(store)
    assert reason in str(got.value)


def test_no_link_leads_out_of_a_store(store: Path) -> None:
    for name in ("wave.npy", "target.npy", "splits/by-group-v1.npy", "dataset.json"):
        outside = store.parent / "outside"
        shutil.move(store / name, outside)
        (store / name).symlink_to(outside)
        with pytest.raises(DataError, match="must be a file inside"):
            opened(store)
        (store / name).unlink()
        shutil.move(outside, store / name)
    moved = store.rename(store.parent / "moved")
    store.symlink_to(moved)  # the folder itself may be reached through a link
    assert opened(store).size == 40


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("splits/by-group-v1.npy", np.full(40, 7, np.int8), "from -1 to 2 per row"),
        ("splits/by-group-v1.npy", np.zeros(40), "from -1 to 2 per row"),
        ("group.npy", np.zeros((40, 2), np.int64), "a number for the group"),
        ("target.npy", np.full(40, 9), "class numbers below"),
        ("target.npy", np.zeros((40, 3)), "a finite target per row and output"),
        ("target.npy", np.full(40, np.nan), "a finite target per row and output"),
        ("present.npy", np.ones((40, 9), np.bool_), "must mark every row and modality"),
    ],
)
def test_arrays_that_are_signed_again_must_be_in_range(
    store: Path, name: str, values: np.ndarray[Any, Any], reason: str
) -> None:
    np.save(store / name, values)
    size, digest = (store / name).stat().st_size, sha256(store / name)

    def change(facts: dict[str, Any]) -> None:
        facts["files"][name], facts["sizes"][name] = digest, size

    sign(store, change)
    with pytest.raises(DataError, match=reason):
        opened(store)


@pytest.mark.parametrize("view", [3, "x", [[1]], [None], {"name": 1}, [{"name": "nope"}], None])
def test_views_and_samples_that_are_signed_again_must_be_valid(store: Path, view: Any) -> None:
    for name, text in (
        ("splits/by-group-v1.json", json.dumps({"wave": view, "steps": []})),
        ("samples.jsonl", json.dumps({"id": view, "sha256": view}) + "\n"),
    ):
        (store / name).write_text(text)
        size, digest = (store / name).stat().st_size, sha256(store / name)

        def change(facts: dict[str, Any]) -> None:
            facts["files"][name], facts["sizes"][name] = digest, size  # noqa: B023

        sign(store, change)
    with pytest.raises(DataError, match="view"):
        opened(store)
    assert any("samples.jsonl must have a line" in text for text in check_store(store).errors)


HEADERS = [
    b"{'descr': '<i2', 'fortran_order': False, 'shape': (40, 38), }",
    b"{'descr': '<i2', 'fortran_order': False, 'shape': (40, ",
    b"{'descr': '<i2', '''fortran",
    b"{" * 90,
    b"\\\n(\x00'",
    b"{'descr': 'O', 'fortran_order': False, 'shape': (40,), }",
]


@pytest.mark.parametrize("header", HEADERS)
def test_every_damage_of_an_arrays_header_is_a_sentence(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.npy"
    text = header.ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 40)
    with pytest.raises(DataError, match="must be an array of a store, found"):
        StoredArray(path)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def test_sizes_and_small_files_are_verified_on_opening_and_the_rest_on_request(store: Path) -> None:
    recipe = Recipe.from_mapping(
        {
            "name": "made-up",
            "data": {"name": "store", "store": store.name, "root": str(store.parent)},
            "encoders": {"wave": "mlp", "steps": "mlp"},
            "fusion": "late",
            "method": "joint",
            "epochs": 1,
        }
    )
    verify_store(recipe.data_options)
    for name in ("splits/by-group-v1.json", "splits/by-group-v1.npy", "target.npy", "group.npy"):
        whole = (store / name).read_bytes()
        flip(store / name, -1)
        with pytest.raises(DataError):
            opened(store)
        (store / name).write_bytes(whole + b"\n")
        with pytest.raises(DataError, match=r"must have [\d,]+ bytes, found"):
            opened(store)
        (store / name).write_bytes(whole)
    flip(store / "wave.npy", -1)
    opened(store)
    with pytest.raises(DataError, match=r"wave\.npy has another SHA-256 than recorded"):
        verify_store(recipe.data_options)


def test_a_store_of_an_earlier_version_records_no_sizes_and_opens(store: Path) -> None:
    facts = read_facts(store)
    del facts["sizes"]
    write_facts(store, facts)
    assert opened(store).size == 40
