"""Pickles: features come through, anything else is refused by name, and nothing that a file says is ever executed."""

from __future__ import annotations

import collections
import json
import os
import pickle
import re
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.datasets.ur_funny.reader import Ragged, URFunnyOptions, plan_ur_funny
from g2d.errors import DataError
from g2d.prepare import plainpickle as pickles
from g2d.prepare.plainpickle import child, convert
from support import raw_ur_funny


class Calls:
    """Pickles as a call of a function, the way an attack does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def save(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def read(path: Path, content: bytes) -> Any:
    """What the child's reader makes of bytes, in this process."""
    path.write_bytes(content)
    with path.open("rb") as file:
        return child.read(file)


def raw(*body: bytes) -> bytes:
    return b"\x80\x04" + b"".join(body) + b"."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def name(module: str, called: str) -> bytes:
    return text(module) + text(called) + b"\x93"


def call(module: str, called: str, argument: str, protocol: int) -> bytes:
    """A pickle that calls ``module.called(argument)``, without either being there."""
    if protocol < 4:
        return b"\x80\x02c" + f"{module}\n{called}\n".encode() + text(argument) + b"\x85R."
    return raw(name(module, called), text(argument), b"\x85R")


def entry(rows: Any, context: list[Any]) -> dict[str, Any]:
    return {"punchline_features": rows, "context_features": context}


FORMS: tuple[Callable[[Any], Any], ...] = (
    lambda rows: rows.tolist(),
    lambda rows: rows,
    lambda rows: np.asfortranarray(rows.astype(">f8")),
    lambda rows: list(rows),
    lambda rows: rows.astype(object),
    lambda rows: tuple(rows.tolist()),
)


@pytest.mark.parametrize("protocol", range(6))
def test_features_come_through_unchanged_in_every_form(tmp_path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    rows = {i: rng.normal(size=(1 + i, 81)).astype(np.float32) for i in range(len(FORMS))} | {
        90: np.zeros((0, 81), np.float32),
        91: np.zeros((0, 81)),
    }
    forms = dict(enumerate(FORMS)) | {90: FORMS[0], 91: FORMS[1]}
    content = {
        i: entry(forms[i](part), [forms[i](part[:1])] * min(i, 3)) for i, part in rows.items()
    }
    folder, digest = convert(save(tmp_path / "covarep.pkl", content, protocol), "covarep")
    found = Ragged.open(folder)
    for i, part in rows.items():
        assert np.array_equal(found.punch(i), part)
        assert [sentence.tolist() for sentence in found.context(i)] == [part[:1].tolist()] * min(
            i, 3
        )
    assert json.loads((folder / "done.json").read_text())["sha256"] == digest


@pytest.mark.parametrize("protocol", range(6))
def test_labels_come_through_as_any_plain_number(tmp_path: Path, protocol: int) -> None:
    table = collections.defaultdict(
        list,
        {
            1: 0,
            2: np.int64(1),
            3: np.array([1.0]),
            np.int32(4): np.float16(1),
            5: np.array(0, ">i2"),
            6: True,
            7.0: [0],
        },
    )
    folder, _ = convert(
        save(tmp_path / "labels.pkl", collections.OrderedDict(table), protocol), "labels"
    )
    assert json.loads((folder / "labels.json").read_text()) == {
        "1": 0.0,
        "2": 1.0,
        "3": 1.0,
        "4": 1.0,
        "5": 0.0,
        "6": 1.0,
        "7": 0.0,
    }
    made = read(
        tmp_path / "whole.pkl",
        pickle.dumps(
            [table, {1, 2}, (b"a", np.str_("b"), np.array(["c", "de"])), b"", np.bool_(True)],
            protocol,
        ),
    )
    assert type(made[0]) is dict
    assert made[1] == {1, 2}
    assert made[2][:2] == (b"a", "b")
    assert made[2][2].tolist() == ["c", "de"]
    assert made[3:] == [b"", True]


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    values = np.arange(3, dtype="<f8") + 0.5
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85"
        + dtype
        + b"\x89U\x18"
        + values.tobytes()
        + b"tb"
    )
    assert read(tmp_path / "old.pkl", b"\x80\x02" + array + b".").tolist() == values.tolist()


ATTACKS = [
    ("posix", "system"), ("nt", "system"), ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"),
    ("builtins", "__import__"), ("__builtin__", "eval"), ("numpy", "load"), ("numpy", "fromfile"), ("subprocess", "Popen"), ("subprocess", "getoutput"),
    ("g2d.prepare.plainpickle", "convert"), ("pickle", "loads"), ("numpy.core.multiarray", "fromfile"), ("builtins", "object.__reduce__"),
    ("numpy", "ndarray.tofile"), ("copyreg", "_reconstructor"), ("__main__", "REFUSED"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("module", "called"), ATTACKS)
def test_any_other_name_is_refused_by_name(
    tmp_path: Path, module: str, called: str, protocol: int
) -> None:
    trace = tmp_path / "touched"
    argument = f"open({str(trace)!r}, 'w')" if "builtin" in module else f"touch {trace}"
    with pytest.raises(child.RefusedError, match=re.escape(f"found the name '{module}.{called}'")):
        read(tmp_path / "evil.pkl", call(module, called, argument, protocol))
    assert not trace.exists()


def test_a_real_attack_leaves_no_trace(tmp_path: Path) -> None:
    trace = tmp_path / "touched"
    command = f"{sys.executable} -c \"open({str(trace)!r}, 'w')\""
    attacks = {
        "posix.system": pickle.dumps(Calls(os.system, command)).replace(b"nt", b"posix"),
        "builtins.eval": pickle.dumps(Calls(eval, f"open({str(trace)!r}, 'w')"), 0).replace(
            b"__builtin__", b"builtins"
        ),
        "posix.mkdir": pickle.dumps({1: Calls(os.mkdir, str(trace))}),
    }
    for named, content in attacks.items():
        (tmp_path / "evil.pkl").write_bytes(content)
        with pytest.raises(
            DataError, match=rf"found the name '{named}'\. Nothing in it was executed\.$"
        ):
            convert(tmp_path / "evil.pkl", "labels")
        assert not trace.exists()
    (tmp_path / "evil.pkl").write_bytes(attacks["posix.system"])
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))",
            str(tmp_path / "evil.pkl"),
        ],
        check=True,
    )
    assert trace.exists(), "the attack must be one that works elsewhere"


def dtype(code: str, order: str = "<", size: int = -1, flags: int = 0) -> bytes:
    state = (
        b"(K\x03"
        + text(order)
        + b"NNNJ"
        + struct.pack("<i", size)
        + b"J\xff\xff\xff\xffK"
        + bytes([flags])
        + b"tb"
    )
    return name("numpy", "dtype") + text(code) + b"\x89\x88\x87R" + state


def array(dtype_: bytes, shape: bytes, data: bytes, fortran: bytes = b"\x89") -> bytes:
    empty = (
        name("numpy.core.multiarray", "_reconstruct")
        + name("numpy", "ndarray")
        + b"K\x00\x85C\x01b\x87R"
    )
    return empty + b"(K\x01" + shape + dtype_ + fortran + data + b"tb"


def held(content: bytes) -> bytes:
    return b"C" + bytes([len(content)]) + content


ONE = b"K\x01\x85"
EIGHT = held(b"A" * 8)
SECRET = ["an object that is in no file"]
ADDRESS = held(struct.pack("<Q", id(SECRET)))
NO_FIT = "content does not fit its shape and type"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # Objects by their addresses: a type that denies holding references, and the other ways to hand over bytes.
        (array(dtype("O", "|", flags=0), ONE, ADDRESS), NO_FIT),
        (array(dtype("O", "|", flags=0x20), ONE, ADDRESS), NO_FIT),
        (array(dtype("O8", "|", flags=63), ONE, ADDRESS), NO_FIT),
        (name("numpy.core.multiarray", "scalar") + dtype("O", "|") + ADDRESS + b"\x86R", "a NumPy scalar of objects"),
        (name("numpy._core.numeric", "_frombuffer") + b"(" + ADDRESS + dtype("O", "|") + ONE + text("C") + b"tR", NO_FIT),
        # Numbers that would be taken for references, from a list.
        (array(dtype("f8", flags=0x3F), ONE, b"]K\x05a"), NO_FIT),
        # A shape, a size or an order that would read beyond what is there.
        (array(dtype("f8"), b"K\xff\x85", EIGHT), NO_FIT),
        (array(dtype("f8"), b"J\xff\xff\xff\xff\x85", EIGHT), "an impossible shape"),
        (array(dtype("f8"), b"\x8a\x08" + struct.pack("<q", 2**62) + b"K\x04\x86", EIGHT), NO_FIT),
        (array(dtype("f8"), b"G?\xf0\x00\x00\x00\x00\x00\x00\x85", EIGHT), "an impossible shape"),
        (array(dtype("f8"), b"]K\x01a", EIGHT), "an impossible shape"),
        (array(dtype("S1", "|", size=2**31 - 1), ONE, EIGHT), NO_FIT),
        (array(dtype("O", "|"), b"K\x02\x85", b"]K\x05a"), NO_FIT),
        (array(dtype("f8"), ONE, EIGHT, fortran=b"K\x07"), "an array without a shape, a type and a content"),
        (array(b"N", ONE, EIGHT), "an array without a shape, a type and a content"),
        (name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R", "an array without a shape"),
        # Types beyond plain numbers and text, and a type that says more of itself than its size.
        (name("numpy", "dtype") + text("V8") + b"\x85R", "found the type 'V8'"),
        (name("numpy", "dtype") + text("f8,O") + b"\x85R", "found the type 'f8,O'"),
        (name("numpy", "dtype") + text("S0") + b"\x85R", "found the type 'S0'"),
        (name("numpy", "dtype") + name("builtins", "list") + b"\x85R", "found the type a Name"),
        (dtype("f8", "x"), "found a type with something else in it"),
        (name("numpy", "dtype") + text("f8") + b"\x85R(K\x03" + text("<") + b"N(X\x01\x00\x00\x00atNK\x08K\x08K\x00tb", "found a type with something else"),
        (array(name("numpy", "dtype") + text("f8") + b"\x85R", ONE, EIGHT), "found a type of something else"),
        (dtype("f8"), "found a DType"),
        # Names on the list that are called or changed otherwise than an array needs.
        (name("numpy", "ndarray") + b"K\x01\x85R", r"a call of numpy\.ndarray"),
        (name("numpy.core.multiarray", "_reconstruct") + name("builtins", "list") + b"K\x00\x85C\x01b\x87R", "numpy's _reconstruct with something else"),
        (name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x05\x85C\x01b\x87R", "numpy's _reconstruct with something else"),
        (name("numpy.core.multiarray", "_reconstruct") + b"N}" + text("__code__") + b"K\x01s\x86b", "an attempt to change a function"),
        (name("numpy", "dtype") + b"N}" + text("__setstate__") + name("builtins", "int") + b"s\x86b", "an attempt to change a function"),
        (name("builtins", "list"), "found a Name"),
        (name("_codecs", "encode") + text("x") + text("zlib") + b"\x86R", r"a call of _codecs\.encode with something else"),
        (b"]" * 12 + b"a" * 11, "at most 8 containers in one another"),
        (b"}\x94K\x01h\x00s", "at most 8 containers in one another"),
        (array(dtype("O", "|"), ONE, b"]\x94h\x00a"), "at most 8 containers in one another"),
        (array(dtype("O", "|"), b")", b"]\x94h\x00a"), "at most 8 containers in one another"),
    ],
)  # fmt: skip
def test_an_array_cannot_be_forged(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(child.RefusedError, match=said):
        read(tmp_path / "forged.pkl", raw(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (raw(b"\x8c\x03pidQ"), "found the opcode BINPERSID"),
        (b"Pid\n.", "found the opcode PERSID"),
        (raw(b"(cbuiltins\nlist\no"), "found the opcode OBJ"),
        (b"(S'x'\nios\nsystem\n.", "found the opcode INST"),
        (raw(b"cbuiltins\nlist\n)\x81"), "found the opcode NEWOBJ"),
        (raw(b"\x82\x01"), "found the opcode EXT1"),
        (b"\x80\x05\x97.", "found the opcode NEXT_BUFFER"),
        (b"\x80\x05}\x98.", "found the opcode READONLY_BUFFER"),
    ],
)
def test_opcodes_outside_the_list_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(child.RefusedError, match=said):
        read(tmp_path / "odd.pkl", content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            raw(b"\x8e" + struct.pack("<Q", 2**60)),
            "no more than 4.0 GiB, found that it asks for more",
        ),
        (
            raw(b"B" + struct.pack("<I", 2**31) + b"short"),
            "expected 2147483648 bytes in a bytes4, but only 6 remain",
        ),
        (pickle.dumps(np.zeros(3), 2)[:-20], r"damage or something else \(ValueError"),
        (b"", "pickle exhausted before seeing STOP"),
        (b"this is no pickle", "at position 4, opcode b' ' unknown"),
        (b".", "damage or something else"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "odd.pkl").write_bytes(content)
    with pytest.raises(DataError, match=said):
        convert(tmp_path / "odd.pkl", "labels")


def test_bytes_after_the_end_are_refused(tmp_path: Path) -> None:
    first = pickle.dumps({1: 0})
    for more in (
        b"x",
        pickle.dumps({2: 1}),
        call("posix", "system", f"touch {tmp_path / 'touched'}", 4),
    ):
        with pytest.raises(
            child.RefusedError,
            match=f"one pickle, found more bytes after its end at byte {len(first)}",
        ):
            read(tmp_path / "two.pkl", first + more)
    assert not (tmp_path / "touched").exists()


def test_what_is_shared_is_looked_at_once(tmp_path: Path) -> None:
    shared: Any = [np.zeros(2)]
    for _ in range(6):
        shared = [shared] * 100
    made = read(tmp_path / "laughs.pkl", pickle.dumps(shared))
    assert made[0] is made[99]
    assert made[0][0][0][0][0][0][0].tolist() == [0, 0]
    within: Any = [1]
    for _ in range(5):
        within = [within]
    with pytest.raises(child.RefusedError, match="at most 8 containers in one another"):
        child.Walk()([within, [[[within]]]])
    objects, itself = child.DType("O"), child.Array()
    itself.state = (1, (), objects, False, [itself])
    with pytest.raises(child.RefusedError, match="at most 8 containers in one another"):
        child.Walk()(itself)


def test_arrays_of_objects_are_walked(tmp_path: Path) -> None:
    hidden = np.empty((1, 2), object)
    hidden[0, 0] = Calls(print, "hello")
    with pytest.raises(child.RefusedError, match=r"found the name '(builtins|__builtin__)\.print'"):
        read(tmp_path / "a.pkl", pickle.dumps({1: hidden}))
    hidden[0, 0] = [1, np.array([2])]
    assert read(tmp_path / "a.pkl", pickle.dumps({1: hidden})) == {1: [[[1, np.array([2])], None]]}


def test_a_file_that_asks_for_too_much_is_stopped(tmp_path: Path) -> None:
    big = tmp_path / "big.pkl"
    big.write_bytes(
        raw(b"}r" + struct.pack("<I", 2**27))
    )  # a few bytes that ask for a table of two gigabytes
    with pytest.raises(DataError, match=r"no more than 1\.0 GiB, found that it asks for more"):
        convert(big, "labels", memory=2**30)
    with pytest.raises(DataError, match="must be read within 0 s, found that it takes longer"):
        convert(big, "labels", seconds=0.05)
    assert [*(tmp_path / ".g2d-converted").iterdir()] == []


def test_what_is_told_is_short_and_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    (tmp_path / "long.pkl").write_bytes(raw(name("A" * 3_000_000 + "\x1b[31m\n", "system")))
    with pytest.raises(DataError, match=r"found the name 'AAAA[A]+\.\.\.\. Nothing") as caught:
        convert(tmp_path / "long.pkl", "labels")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    (tmp_path / "red.pkl").write_bytes(b"cpo\x1b[31msix\nsystem\n.")
    with pytest.raises(
        DataError, match=re.escape(r"found the name 'po\x1b[31msix.system'")
    ) as caught:
        convert(tmp_path / "red.pkl", "labels")
    assert str(caught.value).isprintable()


def test_the_parent_trusts_no_sentence_of_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "CHILD", tmp_path / "child.py")
    for code in (3, 1):
        pickles.CHILD.write_text(
            f"import sys\nsys.stderr.write('\\x1b[31m\\xff' + 'a' * 10**6)\nsys.exit({code})\n"
        )
        with pytest.raises(DataError, match=r"aaa\.\.\.\. Nothing in it was executed\.$") as caught:
            convert(save(tmp_path / "labels.pkl", {1: 0}), "labels")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600 + len(str(tmp_path))


PUNCH = {
    "punchline_embedding_indexes": [1],
    "context_embedding_indexes": [[1]],
    "punchline_sentence": "ha",
    "context_sentences": ["ho"],
}


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("folds", {"train": [1]}, "the keys dev, test, train, found no dev"),
        (
            "folds",
            {"train": {1: 2}, "dev": [], "test": []},
            "a list of ids for each fold, found a dict",
        ),
        ("folds", {"train": [1.5], "dev": [], "test": []}, "whole numbers as ids, found 1.5"),
        ("folds", {"train": ["1"], "dev": [], "test": []}, "whole numbers as ids, found '1'"),
        ("labels", [1, 2], "a mapping, found a list"),
        ("labels", {1.7: 0, 1.2: 1}, "whole numbers as ids, found 1.7"),
        ("labels", {"1": 0}, "whole numbers as ids, found '1'"),
        ("labels", {(1,): 0}, "whole numbers as ids, found a tuple"),
        ("labels", {2**70: 0}, f"whole numbers as ids, found {2**70}"),
        ("labels", {1: None}, "one number as the label of id 1, found None"),
        ("labels", {1: [0, 1]}, "one number as the label of id 1, found 2"),
        ("labels", {1: "1"}, "one number as the label of id 1, found '1'"),
        (
            "covarep",
            {1: {"punchline_features": [[1.0] * 80]}},
            "81 numbers per word of id 1, found 80",
        ),
        (
            "covarep",
            {1: {"punchline_features": [1.0] * 81}},
            r"81 numbers per word of id 1, found the shape \(81,\)",
        ),
        (
            "covarep",
            {1: {"punchline_features": [[None] + [1.0] * 80]}},
            "81 numbers per word of id 1, found None",
        ),
        (
            "covarep",
            {1: {"punchline_features": [[1.0] * 80 + ["2"]]}},
            "81 numbers per word of id 1, found '2'",
        ),
        (
            "covarep",
            {1: {"punchline_features": [[1.0] * 81, [1.0]]}},
            "81 numbers per word of id 1, found rows of different lengths",
        ),
        (
            "covarep",
            {7: {"punchline_features": [], "context_features": [[[1.0]]]}},
            "81 numbers per word of id 7, found 1",
        ),
        (
            "covarep",
            {1: {"punchline_features": [], "more": 1}},
            "the keys context_features, punchline_features, found 'more'",
        ),
        (
            "covarep",
            {1: {"context_features": []}},
            "the keys punchline_features, found no punchline_features",
        ),
        (
            "openface",
            {1: {"punchline_features": [[1.0] * 75]}},
            "371 numbers per word of id 1, found 75",
        ),
        (
            "openface-v1",
            {1: {"punchline_features": [[1.0] * 371]}},
            "75 numbers per word of id 1, found 371",
        ),
        ("embedding", [[1.0] * 50], "300 numbers per word, found 50"),
        ("words", {1: {"evil": 1}}, "found 'evil'"),
        (
            "words",
            {1: PUNCH | {"punchline_embedding_indexes": [3.7]}},
            "whole numbers as word indexes of id 1, found 3.7",
        ),
        (
            "words",
            {1: PUNCH | {"context_embedding_indexes": [[float("nan")]]}},
            "whole numbers as word indexes of id 1, found nan",
        ),
        (
            "words",
            {1: PUNCH | {"punchline_embedding_indexes": [[1, 2]]}},
            "1 numbers per word of id 1, found 2",
        ),
        (
            "words",
            {1: PUNCH | {"punchline_sentence": None}},
            "text as the sentences of id 1, found None",
        ),
        (
            "words",
            {1: PUNCH | {"context_sentences": [b"ho"]}},
            "text as the sentences of id 1, found b'ho'",
        ),
        (
            "words",
            {1: {key: PUNCH[key] for key in PUNCH if "sentence" not in key}},
            "found no context_sentences",
        ),
    ],
)
def test_what_would_be_changed_or_lost_is_refused(
    tmp_path: Path, kind: str, content: Any, said: str
) -> None:
    with pytest.raises(child.RefusedError, match=said):
        child.KINDS[kind](read(tmp_path / "odd.pkl", pickle.dumps(content)), tmp_path)
    assert not [*tmp_path.glob("*.json")]


def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, sha256 = save(tmp_path / "labels.pkl", {1: 0, 2: 0}), pickles.sha256

    def changed(hashed: Path) -> str:
        digest = sha256(hashed)
        save(path, {1: 1, 2: 1})
        return digest

    monkeypatch.setattr(pickles, "sha256", changed)
    with pytest.raises(DataError, match="found that it changed while it was read"):
        convert(path, "labels")
    monkeypatch.undo()
    digest = sha256(path)
    monkeypatch.setattr(child, "limit", lambda *_: None)
    monkeypatch.setattr(child, "read", lambda _: save(path, {1: 0, 2: 0}))
    assert child.main("labels", str(path), digest, str(tmp_path), "0", "0") == pickles.REFUSED
    assert "found that it changed while it was read" in capsys.readouterr().err
    assert not (tmp_path / "labels.json").exists()
    monkeypatch.undo()
    assert [*(tmp_path / ".g2d-converted").iterdir()] == []
    folder, _ = convert(save(path, {1: 0, 2: 0}), "labels")
    assert json.loads((folder / "labels.json").read_text()) == {"1": 0, "2": 0}


def _cut(folder: Path) -> None:
    path = folder / "labels.json"
    path.write_bytes(path.read_bytes()[:-3])


def _older(folder: Path) -> None:
    path = folder / "done.json"
    path.write_text(
        path.read_text().replace(
            f'"version": {pickles.VERSION}', f'"version": {pickles.VERSION - 1}'
        )
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "labels.json").unlink(),
        lambda folder: (folder / "labels.json").write_text(""),
        lambda folder: (folder / "labels.json").write_text('{"1": 1.0}'),
        lambda folder: (folder / "done.json").write_text("{}"),
        lambda folder: (folder / "done.json").unlink(),
        lambda folder: (folder / "more.json").write_text("{}"),
        lambda folder: (shutil.rmtree(folder), folder.mkdir()),
        _cut,
        _older,
    ],
    ids=["lacking", "empty", "changed", "no-record", "no-done", "more", "nothing", "cut", "older"],
)
def test_a_conversion_that_is_not_whole_is_made_again(
    tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    path = save(tmp_path / "labels.pkl", {1: 0})
    folder, digest = convert(path, "labels")
    damage(folder)
    assert not pickles._whole(folder, "labels", digest)
    again, _ = convert(path, "labels")
    assert again == folder
    assert json.loads((folder / "labels.json").read_text()) == {"1": 0.0}
    assert pickles._whole(folder, "labels", digest)


def test_a_conversion_that_is_whole_is_used_and_belongs_to_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "labels.pkl", {1: 0})
    folder, digest = convert(path, "labels")
    assert "-labels-" in folder.name
    assert not pickles._whole(folder, "folds", digest)
    monkeypatch.setattr(pickles, "CHILD", tmp_path / "none.py")
    assert convert(path, "labels") == (folder, digest)
    with pytest.raises(DataError, match="its reader ended with"):
        convert(path, "folds")
    assert [*folder.parent.iterdir()] == [folder]


def test_a_disk_that_cannot_be_written_is_left_for_a_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = save(tmp_path / "labels.pkl", {1: 0})
    (tmp_path / ".g2d-converted").write_text("stands for a disk that cannot be written")
    folder, _ = convert(path, "labels")
    own = tmp_path / "cache" / "g2d" / "converted"
    assert folder.parent == own
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    shutil.rmtree(own)
    own.write_text("in its place")
    with pytest.raises(DataError, match=r"converted must be a folder of yours.+Set XDG_CACHE_HOME"):
        convert(path, "labels")


def test_a_pickle_that_cannot_be_read_and_a_place_that_is_taken_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"labels\.pkl must be a file that can be read, found: No such file"
    ):
        convert(tmp_path / "labels.pkl", "labels")
    folder, _ = convert(save(tmp_path / "labels.pkl", {1: 0}), "labels")
    shutil.rmtree(folder)
    folder.write_text("in its place")
    with pytest.raises(
        DataError, match=r"must be a new folder with room for what labels\.pkl holds"
    ):
        convert(tmp_path / "labels.pkl", "labels")
    assert [*folder.parent.iterdir()] == [folder]


def test_a_malicious_file_ends_the_preparation_with_exit_code_2(tmp_path: Path) -> None:
    raw_ur_funny.write_ur_funny(tmp_path / "raw")
    (tmp_path / "raw" / "covarep_features_sdk.pkl").write_bytes(
        call("posix", "system", f"touch {tmp_path / 'touched'}", 4)
    )
    result = CliRunner().invoke(
        app,
        [
            "data",
            "prepare",
            "ur_funny",
            "--source",
            str(tmp_path / "raw"),
            "--out",
            str(tmp_path / "out"),
            "--quiet",
        ],
    )
    assert result.exit_code == 2
    assert "posix.system" in result.output
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "strange", ["more.pkl", "more.pickle", "more.p", "more.pk", "DATA.PKL", "data_folds.Pickle"]
)
def test_files_that_are_not_known_are_not_opened(tmp_path: Path, strange: str) -> None:
    raw_ur_funny.write_ur_funny(tmp_path)
    (tmp_path / strange).write_bytes(b"anything")
    with pytest.raises(
        DataError,
        match=re.escape(f"found {strange!r}. Move it away: what is not known is not opened."),
    ):
        plan_ur_funny(tmp_path, URFunnyOptions())
    (tmp_path / strange).unlink()
    (tmp_path / "humor_label_sdk.pkl").unlink()
    with pytest.raises(DataError, match=r"found no humor_label_sdk\.pkl"):
        plan_ur_funny(tmp_path, URFunnyOptions())
    assert not (tmp_path / ".g2d-converted").exists()
