"""The pickle reader reads plain values, refuses everything else by name, and executes nothing."""

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

from g2d.errors import DataError
from g2d.prepare import plainpickle as pickles
from g2d.prepare.plainpickle import child, convert
from support import label_converters as converters


class Calls:
    """Object that is pickled as a call of a function, the way an attack does."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def record(kind: str, digest: str) -> dict[str, Any]:
    return {"kind": kind, "version": converters.VERSION, "sha256": digest}


def save(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def read(path: Path, content: bytes) -> Any:
    """Read bytes with the child's reader, in this process."""
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
    """Return a pickle that calls ``module.called(argument)``."""
    if protocol < 4:
        return b"\x80\x02c" + f"{module}\n{called}\n".encode() + text(argument) + b"\x85R."
    return raw(name(module, called), text(argument), b"\x85R")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_containers_and_arrays_are_read_in_every_protocol(
    tmp_path: Path, protocol: int
) -> None:
    numbers = collections.defaultdict(list, {1: np.int64(1), np.int32(4): np.float16(1)})
    text_ = (b"a", np.str_("b"), np.array(["c", "de"]))
    value = [collections.OrderedDict(numbers), {1, 2}, text_, b"", np.bool_(True), numbers]
    made = read(tmp_path / "whole.pkl", pickle.dumps(value, protocol))
    assert (type(made[0]), made[0]) == (dict, {1: 1, 4: 1.0})
    assert (type(made[5]), made[5]) == (dict, made[0])
    assert made[1] == {1, 2}
    assert made[2][:2] == (b"a", "b")
    assert made[2][2].tolist() == ["c", "de"]
    assert made[3:5] == [b"", True]


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    values = np.arange(3, dtype="<f8") + 0.5
    dtype = (
        b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x03\x85" + dtype + b"\x89U\x18" + values.tobytes() + b"tb"
    )
    assert read(tmp_path / "old.pkl", b"\x80\x02" + array + b".").tolist() == values.tolist()


ATTACKS = [
    tuple(attack.split(":"))
    for attack in [
        "posix:system",
        "nt:system",
        "os:system",
        "builtins:eval",
        "builtins:exec",
        "builtins:getattr",
        "builtins:__import__",
        "__builtin__:eval",
        "numpy:load",
        "numpy:fromfile",
        "subprocess:Popen",
        "subprocess:getoutput",
        "g2d.prepare.plainpickle:convert",
        "pickle:loads",
        "numpy.core.multiarray:fromfile",
        "builtins:object.__reduce__",
        "numpy:ndarray.tofile",
        "copyreg:_reconstructor",
        "__main__:REFUSED",
    ]
]


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
            convert(tmp_path / "evil.pkl", "labels", converters)
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
NO_FIT = "content does not fit its shape"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Objects by their addresses: a type that denies holding references, and other ways.
        (array(dtype("O", "|", flags=0), ONE, ADDRESS), NO_FIT),
        (array(dtype("O", "|", flags=0x20), ONE, ADDRESS), NO_FIT),
        (array(dtype("O8", "|", flags=63), ONE, ADDRESS), NO_FIT),
        (
            name("numpy.core.multiarray", "scalar") + dtype("O", "|") + ADDRESS + b"\x86R",
            "a NumPy scalar of objects",
        ),
        (
            name("numpy._core.numeric", "_frombuffer")
            + b"("
            + ADDRESS
            + dtype("O", "|")
            + ONE
            + text("C")
            + b"tR",
            NO_FIT,
        ),
        # Numbers that would be taken for references, from a list.
        (array(dtype("f8", flags=0x3F), ONE, b"]K\x05a"), NO_FIT),
        # A shape, a size or an order that would read beyond the end of the data.
        (array(dtype("f8"), b"K\xff\x85", EIGHT), NO_FIT),
        (array(dtype("f8"), b"J\xff\xff\xff\xff\x85", EIGHT), "an impossible shape"),
        (array(dtype("f8"), b"\x8a\x08" + struct.pack("<q", 2**62) + b"K\x04\x86", EIGHT), NO_FIT),
        (array(dtype("f8"), b"G?\xf0\x00\x00\x00\x00\x00\x00\x85", EIGHT), "an impossible shape"),
        (array(dtype("f8"), b"]K\x01a", EIGHT), "an impossible shape"),
        (array(dtype("S1", "|", size=2**31 - 1), ONE, EIGHT), NO_FIT),
        (array(dtype("O", "|"), b"K\x02\x85", b"]K\x05a"), NO_FIT),
        (
            array(dtype("f8"), ONE, EIGHT, fortran=b"K\x07"),
            "an array without a shape, a type and a content",
        ),
        (array(b"N", ONE, EIGHT), "an array without a shape, a type and a content"),
        (
            name("numpy.core.multiarray", "_reconstruct")
            + name("numpy", "ndarray")
            + b"K\x00\x85C\x01b\x87R",
            "an array without a shape",
        ),
        # Types other than plain numbers and text, and a type with more in its state than a size.
        (name("numpy", "dtype") + text("V8") + b"\x85R", "found the type 'V8'"),
        (name("numpy", "dtype") + text("f8,O") + b"\x85R", "found the type 'f8,O'"),
        (name("numpy", "dtype") + text("S0") + b"\x85R", "found the type 'S0'"),
        (name("numpy", "dtype") + name("builtins", "list") + b"\x85R", "found the type a Name"),
        (dtype("f8", "x"), "found a type with more in it"),
        (
            name("numpy", "dtype")
            + text("f8")
            + b"\x85R(K\x03"
            + text("<")
            + b"N(X\x01\x00\x00\x00atNK\x08K\x08K\x00tb",
            "found a type with more in it",
        ),
        (
            array(name("numpy", "dtype") + text("f8") + b"\x85R", ONE, EIGHT),
            "found a type of something else",
        ),
        (dtype("f8"), "found a DType"),
        # Allowed names, called or changed in a way that no array needs.
        (name("numpy", "ndarray") + b"K\x01\x85R", r"a call of numpy\.ndarray"),
        (
            name("numpy.core.multiarray", "_reconstruct")
            + name("builtins", "list")
            + b"K\x00\x85C\x01b\x87R",
            "numpy's _reconstruct with something else",
        ),
        (
            name("numpy.core.multiarray", "_reconstruct")
            + name("numpy", "ndarray")
            + b"K\x05\x85C\x01b\x87R",
            "numpy's _reconstruct with something else",
        ),
        (
            name("numpy.core.multiarray", "_reconstruct")
            + b"N}"
            + text("__code__")
            + b"K\x01s\x86b",
            "an attempt to change a function",
        ),
        (
            name("numpy", "dtype")
            + b"N}"
            + text("__setstate__")
            + name("builtins", "int")
            + b"s\x86b",
            "an attempt to change a function",
        ),
        (name("builtins", "list"), "found a Name"),
        (
            name("_codecs", "encode") + text("x") + text("zlib") + b"\x86R",
            r"a call of _codecs\.encode with something else",
        ),
        (b"]" * 12 + b"a" * 11, "at most 8 containers in one another"),
        (b"}\x94K\x01h\x00s", "at most 8 containers in one another"),
        (array(dtype("O", "|"), ONE, b"]\x94h\x00a"), "at most 8 containers in one another"),
        (array(dtype("O", "|"), b")", b"]\x94h\x00a"), "at most 8 containers in one another"),
    ],
)
def test_an_array_cannot_be_forged(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(child.RefusedError, match=message):
        read(tmp_path / "forged.pkl", raw(content))


@pytest.mark.parametrize(
    ("content", "message"),
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
def test_opcodes_outside_the_list_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(child.RefusedError, match=message):
        read(tmp_path / "odd.pkl", content)


@pytest.mark.parametrize(
    ("content", "message"),
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
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "odd.pkl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        convert(tmp_path / "odd.pkl", "labels", converters)


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


def test_shared_values_are_visited_once(tmp_path: Path) -> None:
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
        convert(big, "labels", converters, memory=2**30)
    with pytest.raises(DataError, match="must be read within 0 s, found that it takes longer"):
        convert(big, "labels", converters, seconds=0.05)
    assert [*(tmp_path / ".g2d-converted").iterdir()] == []


def test_messages_are_short_and_hold_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "long.pkl").write_bytes(raw(name("A" * 3_000_000 + "\x1b[31m\n", "system")))
    with pytest.raises(DataError, match=r"found the name 'AAAA[A]+\.\.\.\. Nothing") as caught:
        convert(tmp_path / "long.pkl", "labels", converters)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    (tmp_path / "red.pkl").write_bytes(b"cpo\x1b[31msix\nsystem\n.")
    with pytest.raises(
        DataError, match=re.escape(r"found the name 'po\x1b[31msix.system'")
    ) as caught:
        convert(tmp_path / "red.pkl", "labels", converters)
    assert str(caught.value).isprintable()


def test_the_parent_cleans_every_message_of_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "CHILD", tmp_path / "child.py")
    for code in (3, 1):
        pickles.CHILD.write_text(
            f"import sys\nsys.stderr.write('\\x1b[31m\\xff' + 'a' * 10**6)\nsys.exit({code})\n"
        )
        with pytest.raises(DataError, match=r"aaa\.\.\.\. Nothing in it was executed\.$") as caught:
            convert(save(tmp_path / "labels.pkl", {1: 0}), "labels", converters)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600 + len(str(tmp_path))


def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, sha256 = save(tmp_path / "labels.pkl", {1: 0, 2: 0}), pickles.sha256

    def changed(hashed: Path) -> str:
        digest = sha256(hashed)
        save(path, {1: 1, 2: 1})
        return digest

    monkeypatch.setattr(pickles, "sha256", changed)
    with pytest.raises(DataError, match="found that it changed meanwhile"):
        convert(path, "labels", converters)
    monkeypatch.undo()
    digest = sha256(path)
    monkeypatch.setattr(child, "limit", lambda *_: None)
    monkeypatch.setattr(child, "read", lambda _: save(path, {1: 0, 2: 0}))
    assert (
        child.main(str(converters.__file__), "labels", str(path), digest, str(tmp_path), "0", "0")
        == pickles.REFUSED
    )
    assert "found that it changed meanwhile" in capsys.readouterr().err
    assert not (tmp_path / "labels.json").exists()
    monkeypatch.undo()
    assert [*(tmp_path / ".g2d-converted").iterdir()] == []
    folder, _ = convert(save(path, {1: 0, 2: 0}), "labels", converters)
    assert json.loads((folder / "labels.json").read_text()) == {"1": 0, "2": 0}


def _cut(folder: Path) -> None:
    path = folder / "labels.json"
    path.write_bytes(path.read_bytes()[:-3])


def _older(folder: Path) -> None:
    path = folder / "done.json"
    path.write_text(
        path.read_text().replace(
            f'"version": {converters.VERSION}', f'"version": {converters.VERSION - 1}'
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
    ids=["missing", "empty", "changed", "no-record", "no-done", "more", "nothing", "cut", "older"],
)
def test_an_incomplete_conversion_is_repeated(
    tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    path = save(tmp_path / "labels.pkl", {1: 0})
    folder, digest = convert(path, "labels", converters)
    damage(folder)
    assert not pickles._is_complete(folder, record("labels", digest))
    again, _ = convert(path, "labels", converters)
    assert again == folder
    assert json.loads((folder / "labels.json").read_text()) == {"1": 0.0}
    assert pickles._is_complete(folder, record("labels", digest))


def test_a_complete_conversion_is_reused_for_its_own_kind_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "labels.pkl", {1: 0})
    folder, digest = convert(path, "labels", converters)
    assert "-labels-" in folder.name
    assert not pickles._is_complete(folder, record("folds", digest))
    monkeypatch.setattr(pickles, "CHILD", tmp_path / "none.py")
    assert convert(path, "labels", converters) == (folder, digest)
    with pytest.raises(DataError, match="its reader ended with"):
        convert(path, "folds", converters)
    assert [*folder.parent.iterdir()] == [folder]


def test_a_read_only_folder_falls_back_to_the_cache_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = save(tmp_path / "labels.pkl", {1: 0})
    (tmp_path / ".g2d-converted").write_text("a file where the folder should be")
    folder, _ = convert(path, "labels", converters)
    own = tmp_path / "cache" / "g2d" / "converted"
    assert folder.parent == own
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    shutil.rmtree(own)
    own.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot write converted pickles to .+Set XDG_CACHE_HOME"):
        convert(path, "labels", converters)


def test_a_missing_pickle_and_an_occupied_folder_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*labels\.pkl: no such file"):
        convert(tmp_path / "labels.pkl", "labels", converters)
    folder, _ = convert(save(tmp_path / "labels.pkl", {1: 0}), "labels", converters)
    shutil.rmtree(folder)
    folder.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot write .*, the conversion of labels\.pkl: "):
        convert(tmp_path / "labels.pkl", "labels", converters)
    assert [*folder.parent.iterdir()] == [folder]
