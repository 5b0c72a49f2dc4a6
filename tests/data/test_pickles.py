"""Pickles: features come through, anything else is refused by name, and nothing that a file says is ever executed."""

from __future__ import annotations

import collections
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import raw_ur_funny
from typer.testing import CliRunner

from g2d.cli import app
from g2d.data.pickles import convert
from g2d.data.readers.ur_funny import Ragged, URFunnyOptions, plan_ur_funny
from g2d.errors import DataError


class Calls:
    """Pickles as a call of a function, the way an attack does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def save(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def named(module: str, name: str, protocol: int) -> bytes:
    """A pickle that calls ``module.name('touched')``, without either being there."""
    if protocol < 4:
        return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"X\x07\x00\x00\x00touched\x85R."
    text = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + text + b"\x93\x8c\x07touched\x85R."


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("as_arrays", [False, True])
def test_features_come_through_unchanged(tmp_path: Path, protocol: int, as_arrays: bool) -> None:
    rng = np.random.default_rng(0)
    rows = {i: rng.normal(size=(1 + i, 81)).astype(np.float32) for i in range(3)}
    make = (lambda part: part) if as_arrays else (lambda part: part.tolist())
    content = {i: {"punchline_features": make(part), "context_features": [make(part[:1])] * i} for i, part in rows.items()}
    folder, digest = convert(save(tmp_path / "covarep.pkl", content, protocol), "covarep")
    read = Ragged.open(folder)
    for i, part in rows.items():
        assert np.array_equal(read.punch(i), part)
        assert len(read.context(i)) == i
    assert json.loads((folder / "done.json").read_text())["sha256"] == digest


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_labels_come_through_as_any_plain_number(tmp_path: Path, protocol: int) -> None:
    table = collections.OrderedDict({1: 0, 2: np.int64(1), 3: np.array([1.0])}) if protocol >= 2 else {1: 0, 2: 1, 3: 1.0}
    folder, _ = convert(save(tmp_path / "labels.pkl", table, protocol), "labels")
    assert json.loads((folder / "labels.json").read_text()) == {"1": 0.0, "2": 1.0, "3": 1.0}


ATTACKS = [
    ("posix", "system"), ("nt", "system"), ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"),
    ("builtins", "__import__"), ("__builtin__", "eval"), ("numpy", "load"), ("numpy", "fromfile"), ("subprocess", "Popen"),
    ("g2d.data.pickles", "convert"), ("pickle", "loads"), ("numpy.core.multiarray", "fromfile"), ("builtins", "object.__reduce__"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("module", "name"), ATTACKS)
def test_any_other_name_is_refused_by_name(tmp_path: Path, module: str, name: str, protocol: int) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(named(module, name, protocol))
    with pytest.raises(DataError) as caught:
        convert(path, "labels")
    assert f"{module}.{name}" in str(caught.value)
    assert "Nothing in it was executed" in str(caught.value)


def test_a_real_attack_leaves_no_trace(tmp_path: Path) -> None:
    import os

    trace = tmp_path / "touched"
    for command in (Calls(os.system, f"touch {trace}"), Calls(eval, f"open({str(trace)!r}, 'w')"), {1: Calls(os.mkdir, str(trace))}):
        with pytest.raises(DataError, match=r"(posix|nt)\.|builtins\.eval"):
            convert(save(tmp_path / "evil.pkl", command), "labels")
        assert not trace.exists()


ARRAY = pickle.dumps(np.zeros(3), 2)


def raw(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (raw(b"\x8c\x03pidQ"), "BINPERSID"),
        (b"Pid\n.", "PERSID"),
        (raw(b"(cbuiltins\nlist\no"), "OBJ"),
        (b"(S'x'\nios\nsystem\n.", "INST"),
        (raw(b"cbuiltins\nlist\n)\x81"), "NEWOBJ"),
        (raw(b"\x82\x01"), "EXT1"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (raw(b"\x8e" + struct.pack("<Q", 2**60)), "damage|GiB"),
        (raw(b"B" + struct.pack("<I", 2**31) + b"short"), "damage"),
        (ARRAY[:-20], "damage"),
        (b"", "damage"),
        (b"this is no pickle", "found"),
        (raw(b"cnumpy\nndarray\n(K\x01tR"), "damage"),
        (raw(b"cnumpy._core.multiarray\n_reconstruct\n(cbuiltins\nlist\nK\x05\x85C\x01btR"), "_reconstruct"),
        (raw(b"c_codecs\nencode\n(\x8c\x01x\x8c\x04zlibtR"), "_codecs.encode"),
        (raw(b"]" * 12 + b"a" * 11), "containers"),
    ],
)
def test_what_is_malformed_or_outside_the_list_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        convert(path, "labels")


def test_arrays_of_objects_are_walked(tmp_path: Path) -> None:
    hidden = np.empty(1, object)
    hidden[0] = Calls(print, "hello")
    with pytest.raises(DataError, match=r"builtins\.print"):
        convert(save(tmp_path / "a.pkl", {1: hidden}), "labels")


def test_a_file_that_asks_for_too_much_is_stopped(tmp_path: Path) -> None:
    itself = b"\x80\x04]\x94(h\x00e."  # a list that holds itself
    (tmp_path / "deep.pkl").write_bytes(itself)
    with pytest.raises(DataError, match="containers"):
        convert(tmp_path / "deep.pkl", "labels")
    big = save(tmp_path / "big.pkl", {i: [0.5] * 2000 for i in range(2000)})
    with pytest.raises(DataError, match=r"GiB|signal"):
        convert(big, "labels", memory=120 * 2**20)
    with pytest.raises(DataError, match="within"):
        convert(big, "labels", seconds=0.05)


def test_other_content_than_expected_is_refused(tmp_path: Path) -> None:
    for kind, content in (("folds", {"train": [1]}), ("labels", [1, 2]), ("covarep", {1: {"punchline_features": [[1.0] * 80]}}), ("words", {1: {"evil": 1}})):
        with pytest.raises(DataError, match="must hold"):
            convert(save(tmp_path / f"{kind}.pkl", content), kind)


def test_a_malicious_file_ends_the_preparation_with_exit_code_2(tmp_path: Path) -> None:
    raw_ur_funny.write_ur_funny(tmp_path / "raw")
    (tmp_path / "raw" / "covarep_features_sdk.pkl").write_bytes(named("posix", "system", 4))
    result = CliRunner().invoke(app, ["data", "prepare", "ur_funny", "--source", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), "--quiet"])
    assert result.exit_code == 2
    assert "posix.system" in result.output
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_known_are_not_opened(tmp_path: Path) -> None:
    raw_ur_funny.write_ur_funny(tmp_path)
    (tmp_path / "more.pkl").write_bytes(b"anything")
    with pytest.raises(DataError, match=r"more\.pkl"):
        plan_ur_funny(tmp_path, URFunnyOptions())
    (tmp_path / "more.pkl").unlink()
    (tmp_path / "humor_label_sdk.pkl").unlink()
    with pytest.raises(DataError, match=r"no humor_label_sdk\.pkl"):
        plan_ur_funny(tmp_path, URFunnyOptions())


@pytest.mark.parametrize("protocol", [2, 5])
def test_punchlines_are_what_the_files_say(tmp_path: Path, protocol: int) -> None:
    raw_ur_funny.write_ur_funny(tmp_path, protocol)
    content = raw_ur_funny.ur_funny_content()
    plan = plan_ur_funny(tmp_path, URFunnyOptions(words=4))
    sample = next(s for s in plan.samples if s.id == "00010")
    decoded = plan.decode(tmp_path, sample)
    rows = np.array(content["covarep_features_sdk.pkl"][10]["punchline_features"], np.float32)
    assert decoded.values["audio"] is not None
    assert np.array_equal(decoded.values["audio"], rows[:4])
    assert {m: v.shape for m, v in decoded.values.items() if v is not None} == {"audio": (4, 81), "visual": (4, 371), "text": (4, 300)}
    vectors = np.array(content["word_embedding_list.pkl"])[content["language_sdk.pkl"][10]["punchline_embedding_indexes"]]
    assert np.array_equal(decoded.values["text"], vectors[:4].astype(np.float16))
    odd = plan.decode(tmp_path, next(s for s in plan.samples if s.id == "00007"))
    assert odd.values["audio"] is not None
    assert np.isnan(odd.values["audio"][0, 2])
    cut = plan.decode(tmp_path, next(s for s in plan.samples if s.id == "00008"))
    assert cut.warnings
    place = plan.protocols["ur_funny/legacy-994"]
    assert place[[s.id for s in plan.samples].index("00012")] == -1
