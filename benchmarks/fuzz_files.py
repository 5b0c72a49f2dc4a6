"""Mutated stores, checkpoints and results: signed again or not, and read by every command.

A mutation that is not signed again must be noticed, or leave every output as it was. One that is
signed again is a forgery, which no check can notice, but whatever it holds must end in an output or
in a sentence.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz_recipes import mutated

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from g2d.data.store.facts import DATASET
from g2d.engine.checkpoint_files import NOTES
from g2d.errors import G2DError
from g2d.files import sha256
from g2d.machine import machine_fault
from g2d.manifest import SIGNATURE, signed
from g2d.runs import DATA, RESULT
from support.bits import BROKEN, READERS, Noticed, World

PATTERNS: dict[str, tuple[str, ...]] = {
    "stores": ("store/*.*", "store/splits/*"),
    "checkpoints": (
        *("runs/*/seed-0/checkpoints/*/*", f"{BROKEN}/checkpoints/*/*"),
        "runs/teachers/*/checkpoints/*/*",
    ),
    "results": (
        *("runs/*/seed-0/*.json*", "runs/*/seed-0/*.yaml", "runs/*/seed-0/predictions/*"),
        *("runs/teachers/*/*.json*", f"{BROKEN}/*.json*", f"{BROKEN}/*.yaml"),
    ),
}
"""Patterns of the files of every part."""
TOKENS = [
    *(b"null", b"NaN", b"-1", b"1e999", b'""', b"[]", b"{}", b"\x00", b"\xff", b"'", b"(", b"{"),
    *(b"\n", b"\\", b"9" * 30, b"[" * 2000, b'"\\ud800"', b"../x", b"True", b": ", b"'''"),
]
"""Bytes that are put into a file."""


def read_files(part: str, world: World, rng: random.Random) -> tuple[str, str]:
    """Mutate a file of a part, run its readers, and repair it; return the outcome and details.

    Args:
        part: A key of :data:`PATTERNS`.
        world: The world whose files are mutated.
        rng: The random numbers that make the mutation.
    """
    paths = sorted({path for pattern in PATTERNS[part] for path in world.top.glob(pattern)})
    path = rng.choice([path for path in paths if path.is_file()])
    seal = rng.random() < 0.7
    with repaired(path, *sealing(path)):
        mutate(path, rng)
        seal = seal and sealed(path)
        outcomes = {_outcome(world, name, seal) for name in readers_of(world, path)}
    name = f"{path.relative_to(world.top)} {'signed again' if seal else 'not signed'}"
    for outcome, detail in outcomes:
        if outcome == "traceback":
            return outcome, f"{name}: {detail}"
    refused = [detail for outcome, detail in outcomes if outcome == "refused"]
    return ("refused", f"{name}: {refused[0]}") if refused else ("read", name)


def readers_of(world: World, path: Path) -> list[str]:
    """Return the names of the readers that open a file."""
    first, second = path.relative_to(world.top).parts[:2]
    if first == "store":
        return ["check", "evaluate joint"]
    if first == BROKEN or second == "teachers":
        return ["continue"]
    own = [name for name in READERS if name == f"evaluate {second}"]
    return [*own, *(["report"] if "checkpoints" not in path.parts or not own else [])]


def _outcome(world: World, name: str, seal: bool) -> tuple[str, str]:
    try:
        output = READERS[name](world.top)
    except G2DError as error:
        sentence = str(error).strip()
        return ("refused", sentence) if sentence else ("traceback", "no sentence")
    except Exception as error:
        sentence = machine_fault(error) or ""
        if sentence:
            return "refused", sentence
        import traceback

        return "traceback", f"{name}\n{traceback.format_exc()[-1500:]}"
    if isinstance(output, Noticed):
        return "refused", "left out"
    if not seal and output != world.whole[name]:
        return "traceback", f"{name} gives another output and does not say so"
    return "read", ""


def mutate(path: Path, rng: random.Random) -> None:
    """Change the content of a file."""
    data = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        content = json.loads(data)
        content.pop(SIGNATURE, None) if rng.random() < 0.5 else None
        for _ in range(rng.randint(1, 2)):
            content = mutated(rng, content)
        path.write_text(json.dumps(content, default=str), encoding="utf-8", errors="replace")
        return
    if path.suffix == ".jsonl" and rng.random() < 0.6 and data:
        lines = data.decode().splitlines()
        place = rng.randrange(len(lines))
        lines[place] = json.dumps(mutated(rng, json.loads(lines[place])), default=str)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
        return
    changed = bytearray(data)
    # Headers are at the beginning of arrays and tensors.
    reach = min(len(changed), 200) if rng.random() < 0.6 else len(changed)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(max(1, reach))
        way = rng.random()
        if way < 0.5 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif way < 0.7:
            end = len(changed) if rng.random() < 0.3 else place + 8
            del changed[place:end]
        else:
            changed[place:place] = rng.choice(TOKENS)
    path.write_bytes(bytes(changed))


def sealing(path: Path) -> list[Path]:
    """Return the files that vouch for a file."""
    if "store" in path.parts:
        root = Path(*path.parts[: path.parts.index("store") + 1])
        return [root / DATASET]
    if "checkpoints" in path.parts:
        return [path.with_name(NOTES)]
    root = path.parent.parent if path.parent.name == "predictions" else path.parent
    return [vouching for vouching in (root / DATA, root / RESULT) if vouching.is_file()]


def sealed(path: Path) -> bool:
    """Sign a file again, and what vouches for it; return False if that is impossible."""
    try:
        if path.suffix == ".json":
            _sign(path, lambda content: None)
        for vouching in sealing(path):
            name = path.relative_to(vouching.parent).as_posix()
            if vouching != path:
                _sign(vouching, lambda content, name=name: _record(content, name, path))
    except (ValueError, TypeError, AttributeError, KeyError):
        return False
    return True


def _record(content: dict[str, Any], name: str, path: Path) -> None:
    if name in content["files"]:
        content["files"][name] = sha256(path)
        if "sizes" in content:
            content["sizes"][name] = path.stat().st_size


def _sign(path: Path, change: Callable[..., object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop(SIGNATURE, None)
    change(content)
    path.write_text(json.dumps(signed(content), indent=1), encoding="utf-8")


@contextmanager
def repaired(*paths: Path) -> Iterator[None]:
    """Give files their content back in the end."""
    kept = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    try:
        yield
    finally:
        for path, (content, changed) in kept.items():
            path.write_bytes(content)
            os.utime(path, ns=(changed, changed))
