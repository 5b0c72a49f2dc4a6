"""Rows, splits, hashes, and new rows from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g2d.data import Source
from g2d.data import source as source_module
from g2d.data.store.arrays import read_npz
from g2d.data.views import Chain, Scale, Standardize
from g2d.datasets.digits.options import DigitsOptions
from g2d.datasets.digits.problem import open_digits
from g2d.errors import ArgumentError, DataError
from g2d.task import Classification
from g2d.types import Sequence

SOURCE = open_digits(DigitsOptions(modalities=("image", "tone", "word"), eval_draws=1))


PLAIN = Chain("any", ())


def small(**changed: Any) -> Source:
    """Six rows of two tables."""
    parts: dict[str, Any] = {
        "name": "small",
        "task": Classification(2),
        "arrays": {
            "a": np.arange(12, dtype=np.float32).reshape(6, 2),
            "b": np.arange(6, dtype=np.uint8)[:, None],
        },
        "target": np.array([0, 1, 0, 1, 0, 1]),
        "group": np.arange(6),
        "split": np.array([0, 0, 0, 1, 2, -1], np.int8),
        "protocol": "small/v1",
        "views": {"a": PLAIN, "b": PLAIN},
        "facts": {},
    }
    return Source(**(parts | changed))


def test_a_split_is_its_rows_and_unused_rows_are_in_none() -> None:
    assert [small().rows(split).tolist() for split in ("train", "valid", "test")] == [
        [0, 1, 2],
        [3],
        [4],
    ]
    with pytest.raises(ArgumentError, match="split must be one of train, valid, test, found 'dev'"):
        small().rows("dev")


def test_the_content_hash_covers_every_byte_and_the_protocol_hash_who_is_where() -> None:
    base = small()
    byte = base.arrays["b"].copy()
    byte[5] += 1
    assert small(arrays=base.arrays | {"b": byte}).content_hash != base.content_hash
    assert small(target=np.array([0, 1, 0, 1, 0, 0])).content_hash != base.content_hash
    assert small(facts={"noise": 1}).content_hash != base.content_hash
    wider = base.arrays["a"].reshape(3, 4)
    assert small(arrays={"a": wider, "b": base.arrays["b"]}).content_hash != base.content_hash
    moved = small(split=np.array([0, 0, 1, 1, 2, -1], np.int8))
    assert moved.protocol_hash != base.protocol_hash
    assert moved.content_hash == base.content_hash
    assert (
        small(views={"a": Chain("a", (Scale(mean=1.0),)), "b": PLAIN}).protocol_hash
        != base.protocol_hash
    )
    assert small().content_hash == base.content_hash


def test_gathered_rows_keep_their_order_and_ids() -> None:
    batch = SOURCE.gather(torch.tensor([5, 2, 9]))
    assert batch.index is not None
    assert batch.index.tolist() == [5, 2, 9]
    np.testing.assert_array_equal(batch.inputs["tone"], SOURCE.arrays["tone"][[5, 2, 9]])
    np.testing.assert_array_equal(batch.target, SOURCE.target[[5, 2, 9]])


def test_a_source_prints_its_modalities_and_rows_and_writes_a_plain_list(tmp_path: Path) -> None:
    source = SOURCE.only(("tone",))
    assert f"modalities=('tone',), rows={source.size})" in repr(source)
    source.write_rows(tmp_path / "rows.npz", [7, 3])
    assert source.read_rows(tmp_path / "rows.npz")[0] == ["7", "3"]


def test_one_modality_of_it_is_what_a_teacher_sees() -> None:
    tone = SOURCE.only(("tone",))
    assert tone.modalities == ("tone",)
    assert tone.content_hash != SOURCE.content_hash
    np.testing.assert_array_equal(tone.rows("test"), SOURCE.rows("test"))


def test_written_rows_read_back_as_the_model_sees_them(tmp_path: Path) -> None:
    rows = SOURCE.rows("test")[[7, 3, 11]]
    SOURCE.write_rows(tmp_path / "rows.npz", rows)
    ids, batch = SOURCE.read_rows(tmp_path / "rows.npz")
    expected = SOURCE.view(SOURCE.gather(rows), seed=5, epoch=9, train=False)
    assert ids == [str(row) for row in rows]
    assert torch.equal(batch.inputs["image"], expected.inputs["image"])
    assert torch.equal(batch.inputs["tone"], expected.inputs["tone"])
    assert isinstance(batch.inputs["word"], Sequence)
    assert torch.equal(batch.inputs["word"].values, expected.inputs["word"].values)


def test_written_rows_record_missing_modalities_and_keep_missing_numbers(
    tmp_path: Path,
) -> None:
    values = np.array(
        [[1.0, np.nan], [0.0, 0.0], [3.0, 4.0], [5.0, 8.0], [0.0, 0.0], [7.0, 9.0]], np.float32
    )
    present = np.array([True, False, True, True, False, True])
    fills = {"a": Chain("a", (Standardize(mean=(3.0, 5.0), std=(2.0, 2.0)),)), "b": PLAIN}
    source = small(arrays=small().arrays | {"a": values}, views=fills, present={"a": present})
    rows = np.array([4, 0, 3])
    source.write_rows(tmp_path / "rows.npz", rows)
    _, batch = source.read_rows(tmp_path / "rows.npz")
    expected = source.view(source.gather(rows), seed=0, epoch=0, train=False)
    assert batch.has("a").tolist() == [False, True, True]
    assert batch.has("b").all()
    for m in ("a", "b"):
        assert torch.equal(batch.inputs[m], expected.inputs[m])
    source.write_rows(tmp_path / "whole.npz", rows[1:])
    assert source.read_rows(tmp_path / "whole.npz")[1].has("a").all()


def test_values_of_a_row_that_lacks_the_modality_are_ignored(tmp_path: Path) -> None:
    steps = np.full((2, 3, 1), np.nan, np.float32)
    masks = {"a": np.ones((6, 3), np.bool_)}
    source = small(
        arrays={"a": np.zeros((6, 3, 1), np.float32)}, views={"a": Chain("a", ())}, masks=masks
    )
    steps[0] = 1
    np.savez(tmp_path / "rows.npz", **{"a": steps, "a.present": np.array([True, False])})
    seen = source.read_rows(tmp_path / "rows.npz")[1].inputs["a"]
    assert isinstance(seen, Sequence)
    assert seen.values.flatten().tolist() == [1, 1, 1, 0, 0, 0]


def test_rows_without_ids_are_numbered_and_more_arrays_than_needed_are_fine(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "rows.npz",
        a=np.zeros((2, 2), np.float64),
        b=np.array([[1], [255]]),
        notes=np.array(["x"]),
    )
    ids, batch = small().read_rows(tmp_path / "rows.npz")
    assert ids == ["0", "1"]
    assert batch.inputs["b"].tolist() == [[1], [255]]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"b": None}, r"must hold an array for every modality, found none for 'b'\."),
        ({"a": np.zeros((2, 3))}, r"rows of 'a' in .* must have the shape \(2,\), found \(3,\)\."),
        (
            {"a": np.float64(3)},
            r"rows of 'a' in .* must have the shape \(2,\), found a single number\.",
        ),
        (
            {"a": np.array([[1, np.nan], [0, 0]])},
            r"values of 'a' in .* must be finite, found NaN\. Add the step 'standardize'",
        ),
        (
            {"a": np.array([[1, np.inf], [0, 1]])},
            r"values of 'a' in .* must be finite, found NaN\. Add the step 'standardize'",
        ),
        (
            {"a": np.array([[1, 1e39], [0, 0]])},
            r"values of 'a' in .* must be finite, found NaN\. Add the step 'standardize'",
        ),
        ({"b": np.array([[1.0], [np.nan]])}, r"values of 'b' in .* must be finite, found NaN\."),
        (
            {"a.present": np.array([True])},
            r"'a\.present' in .* must be bool \(2,\), found bool \(1,\)\.",
        ),
        (
            {"a.present": np.array([1, 0])},
            r"'a\.present' in .* must be bool \(2,\), found int64 \(2,\)\.",
        ),
        (
            {"a": np.array([["x", "y"], ["x", "y"]])},
            r"values of 'a' in .* must be numbers, found the type <U1\.",
        ),
        ({"a": np.zeros((3, 2))}, r"must have the same number of rows, found 3 of a, 2 of b\."),
        (
            {"id": np.array(["only one"])},
            r"must have the same number of rows, found 2 of a, 2 of b, 1 of id\.",
        ),
        (
            {"a": np.zeros((0, 2)), "b": np.zeros((0, 1))},
            r"must hold one row or more, found none\.",
        ),
        (
            {"b": np.array([[3], [256]])},
            r"values of 'b' in .* must be whole numbers between 0 and 255 \(uint8\), "
            r"found int64 from 3 to 256\.",
        ),
        (
            {"b": np.array([[0.5], [1.0]])},
            r"must be whole numbers between 0 and 255 \(uint8\), found float64 from 0\.5 to 1\.0\.",
        ),
        (
            {"a": np.array([[{}, 1], [2, 3]], dtype=object)},
            r"must be an \.npz file of plain arrays, found: other content\.",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    arrays = {"a": np.zeros((2, 2), np.float32), "b": np.zeros((2, 1), np.uint8)} | changed
    np.savez(
        tmp_path / "rows.npz",
        **{name: values for name, values in arrays.items() if values is not None},
    )
    with pytest.raises(DataError, match=sentence):
        small().read_rows(tmp_path / "rows.npz")


def test_letters_beyond_the_alphabet_are_refused(tmp_path: Path) -> None:
    source = SOURCE.only(("word",))
    np.savez(tmp_path / "rows.npz", word=np.full((1, 8), 27))
    with pytest.raises(
        DataError, match=r"symbols must be numbers from 0 \(padding\) to 26, found 27"
    ):
        source.read_rows(tmp_path / "rows.npz")


def test_a_file_that_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    SOURCE.write_rows(tmp_path / "whole.npz", SOURCE.rows("test")[:2])
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "lone.npy", np.zeros((2, 2)))
    (tmp_path / "text.npz").write_text("id,image\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:600] + bytes([whole[600] ^ 255]) + whole[601:])
    for name in ("lone.npy", "text.npz", "empty.npz", "cut.npz", "flipped.npz", "."):
        with pytest.raises(
            DataError, match=r"must be an \.npz file of plain arrays, found: "
        ) as refusal:
            SOURCE.read_rows(tmp_path / name)
        assert "pickle" not in str(refusal.value)
    with pytest.raises(DataError, match=r"cannot read .*absent\.npz: no such file\."):
        SOURCE.read_rows(tmp_path / "absent.npz")


def test_content_hashes_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    digest = source_module._digest

    def counted(facts: Any, *arrays: Any) -> str:
        calls.append(len(arrays))
        return digest(facts, *arrays)

    monkeypatch.setattr(source_module, "_digest", counted)
    source = small()
    for _ in range(3):
        assert source.content_hash
        assert source.only(("a",)).content_hash
        assert source.seen(source.views).content_hash
    assert calls == [3, 2]  # two modalities and the target; one modality and the target


def test_an_archive_of_unknown_compression_is_refused_with_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", a=np.ones(3))
    data = bytearray((tmp_path / "rows.npz").read_bytes())
    data[8] = data[data.index(b"PK\x01\x02") + 10] = 99
    (tmp_path / "rows.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"must be an \.npz file of plain arrays, found"):
        read_npz(tmp_path / "rows.npz")
