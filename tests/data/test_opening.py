"""Stores that are opened, and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d import files
from g2d.data.store import arrays
from g2d.data.store.facts import write_facts
from g2d.data.store.opening import StoreOptions, open_store
from g2d.errors import DataError
from g2d.prepare import check_store, prepare
from g2d.types import Sequence
from support import made_up
from support.made_up import made


def test_a_store_opens_as_what_was_prepared(tmp_path: Path) -> None:
    made(tmp_path, s5="broken", s6="absent")
    source = open_store(StoreOptions(store="store", root=str(tmp_path)))
    assert (source.name, source.protocol, source.modalities, source.size) == (
        "made_up",
        "made_up/by-group-v1",
        ("wave", "steps"),
        39,
    )
    ids = [
        json.loads(line)["id"]
        for line in (tmp_path / "store" / "samples.jsonl").read_text().splitlines()
    ]
    batch = source.gather(np.array([ids.index("0006"), ids.index("0004")]))
    steps = batch.inputs["steps"]
    assert isinstance(steps, Sequence)
    assert batch.has("steps").tolist() == [False, True]
    assert steps.mask.sum(1).tolist() == [0, 5]
    seen = source.view(batch, seed=0, epoch=1, train=True)
    assert seen.present is not None
    alone = source.only(("steps",))
    assert alone.modalities == ("steps",)
    assert alone.content_hash != source.content_hash
    assert source.content_hash == check_hash(tmp_path)
    with pytest.raises(DataError, match=r"made_up/by-group-v1, made_up/leaky"):
        open_store(StoreOptions(store="store", root=str(tmp_path), protocol="nope"))
    with pytest.raises(DataError, match="wave, steps"):
        open_store(StoreOptions(store="store", root=str(tmp_path), modalities=("wav",)))


def check_hash(tmp_path: Path) -> str:
    return str(json.loads((tmp_path / "store" / "dataset.json").read_text())["content_hash"])


def test_statistics_are_those_of_the_protocols_training_rows(tmp_path: Path) -> None:
    made(tmp_path)
    for protocol in ("made_up/by-group-v1", "made_up/leaky"):
        source = open_store(StoreOptions(store="store", root=str(tmp_path), protocol=protocol))
        rows = source.rows("train")
        values, mask = source.arrays["steps"][rows], source.masks["steps"][rows]
        config = source.views["steps"].config()["steps"][0]
        assert config["mean"] == pytest.approx(values[mask].astype(np.float64).mean(0))
        again = open_store(
            StoreOptions(
                store="store",
                root=str(tmp_path),
                protocol=protocol,
                views={"steps": ({"name": "standardize"},)},
            )
        )
        assert again.views["steps"].config()["steps"][0]["mean"] == pytest.approx(config["mean"])


def test_new_rows_are_read_with_their_masks(tmp_path: Path) -> None:
    made(tmp_path)
    source = open_store(StoreOptions(store="store", root=str(tmp_path)))
    source.write_rows(tmp_path / "rows.npz", np.array([3, 8]))
    ids, batch = source.read_rows(tmp_path / "rows.npz")
    assert ids == ["3", "8"]
    steps = batch.inputs["steps"]
    assert isinstance(steps, Sequence)
    assert steps.mask.sum(1).tolist() == [4, 4]


def test_a_valid_store_has_no_errors_and_a_leak_is_a_warning(tmp_path: Path) -> None:
    made(tmp_path, s6="absent")
    findings = check_store(tmp_path / "store")
    assert findings.errors == []
    assert any(
        "made_up/leaky" in text and "groups are in more than one split" in text
        for text in findings.warnings
    )
    assert any("steps is missing on 1 rows" in text for text in findings.warnings)


def test_a_leak_of_the_default_protocol_is_an_error(tmp_path: Path) -> None:
    made_up.write(tmp_path / "raw")
    plan = made_up.plan(tmp_path / "raw")
    prepare(
        made_up.plan(tmp_path / "raw", protocols=dict(reversed(plan.protocols.items()))),
        tmp_path / "raw",
        tmp_path / "store",
    )
    assert any("groups" in text for text in check_store(tmp_path / "store").errors)


@pytest.mark.parametrize("name", ["wave.npy", "target.npy", "samples.jsonl", "splits/leaky.json"])
def test_a_changed_or_missing_file_is_found(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    path = tmp_path / "store" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert any(name in text for text in check_store(tmp_path / "store").errors)
    path.unlink()
    assert any("no such file" in text for text in check_store(tmp_path / "store").errors)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no store: there is no dataset\.json"):
        check_store(tmp_path)
    made(tmp_path)
    path = tmp_path / "store" / "dataset.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "schema": 99}))
    with pytest.raises(DataError, match="schema"):
        check_store(tmp_path / "store")
    for changed in (
        {"rows": 39},
        {"partial": True},
        {"files": {}},
        {"protocols": []},
        {"name": None},
    ):
        path.write_text(json.dumps({**facts, **changed}))
        with pytest.raises(DataError, match="changed since"):
            open_store(StoreOptions(store="store", root=str(tmp_path)))
    path.write_text("{")
    with pytest.raises(DataError, match="damage"):
        open_store(StoreOptions(store="store", root=str(tmp_path)))


def rewritten(folder: Path, name: str, values: np.ndarray) -> None:
    """Change an array and sign the store again, so that no file hash shows the damage."""
    np.save(folder / name, values)
    facts = json.loads((folder / "dataset.json").read_text())
    del facts["signature"]
    facts["files"][name] = files.sha256(folder / name)
    facts["sizes"][name] = (folder / name).stat().st_size
    write_facts(folder, facts)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("splits/by-group-v1.npy", lambda split: np.where(split == 2, 7, split), "place every row"),
        ("splits/by-group-v1.npy", lambda split: split[:-1], "place every row"),
        ("splits/by-group-v1.npy", lambda split: split[::-1].copy(), "hash of made_up/by-group-v1"),
        ("target.npy", lambda target: 1 - target, "content hash"),
        ("wave.npy", lambda wave: wave[:, :-1].copy(), "wave must be int16"),
        ("steps.npy", lambda steps: np.where(steps > 1, np.inf, steps), "infinite"),
    ],
)
def test_a_store_that_contradicts_itself_has_errors(
    tmp_path: Path, name: str, change: Any, message: str
) -> None:
    made(tmp_path)
    rewritten(tmp_path / "store", name, change(np.load(tmp_path / "store" / name)))
    assert any(message in text for text in check_store(tmp_path / "store").errors)


def test_a_feature_that_no_row_has_is_a_warning(tmp_path: Path) -> None:
    made(tmp_path)
    steps = np.load(tmp_path / "store" / "steps.npy")
    steps[..., 1] = np.nan
    rewritten(tmp_path / "store", "steps.npy", steps)
    assert any(
        "steps has no number at all in 1" in text
        for text in check_store(tmp_path / "store").warnings
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wave.npy", "must be int16"),
        ("steps.mask.npy", "must be bool"),
        ("target.npy", "must have 40 rows"),
    ],
)
def test_arrays_of_another_shape_are_not_opened(tmp_path: Path, name: str, message: str) -> None:
    made(tmp_path)
    values = np.load(tmp_path / "store" / name)
    rewritten(tmp_path / "store", name, values[:-1])
    with pytest.raises(DataError, match=message):
        open_store(StoreOptions(store="store", root=str(tmp_path)))


def test_a_file_that_is_no_array_is_refused_without_advice_to_unpickle_it(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "store" / "group.npy"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.".ljust(path.stat().st_size))
    with pytest.raises(
        DataError,
        match=r"group.npy must be an array of a store, found something else\. Prepare",
    ):
        open_store(StoreOptions(store="store", root=str(tmp_path)))


def test_large_rows_are_looked_at_a_few_at_a_time() -> None:
    assert arrays.rows_at_once(np.dtype("uint8"), (3, 256, 256, 3)) == 28
    assert arrays.rows_at_once(np.dtype("float32"), (12,)) == 4096
    assert arrays.rows_at_once(np.dtype("float32"), (2**30,)) == 1
