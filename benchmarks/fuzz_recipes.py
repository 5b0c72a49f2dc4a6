"""Read thousands of made-up recipes, and report every traceback and hang.

An input is a recipe as a mapping, the text of a recipe, or overrides of one; or it is valid but
odd, and a model is built from it and trained for one step. Every one must be read, be refused with
a sentence, or need more memory than the machine has, which is a sentence too.

    python benchmarks/fuzz_recipes.py [--inputs 10000] [--seed 0] [--only NUMBER]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from g2d.data import Source
from g2d.engine.setup import make_state
from g2d.errors import G2DError
from g2d.experiment.student import Student, untrained_teachers
from g2d.fusion import FUSIONS
from g2d.machine import machine_fault
from g2d.methods import METHODS
from g2d.recipe import Recipe
from g2d.recipe.packaged import packaged, recipe_names

LIMIT = 10
"""Seconds that one input may take."""
PLAIN: list[Any] = [
    *(None, [], {}, "", -1, 0, 2**62, 1e308, float("nan"), float("inf"), True, "\x1b", "../x"),
    *(["a", 1], [0.5, 0.5], [float("nan")], {"name": ["x"]}, {"name": None}, {1: 2}, {None: 1}),
]
"""Values of any kind, where a recipe has another."""
TEXTS = [
    *("null", "[]", "{}", "''", "-1", "0", "1e400", "-.inf", ".nan", "true", "[1, 2]", "[a, b]"),
    *("{a: 1}", "{name: g2d}", "{name: [x]}", "{1: 2}", "{null: 1}", "9223372036854775807", "a.b"),
    *("../x", '"\\x1b"', '"\\ud800"', "&a [1]", "default", "[[1]]", "{image: {}}", "{image: .nan}"),
    *("g2d", "joint+smp", "1:30", "[0.5, 0.5]", "[.nan, .nan]", "x" * 3000, "*a", "&a ", "!!int "),
    *("\n", "  ", ": ", "- ", "{", "}", "[", "]", "|", ">", "'", '"', "#", "%", "@", "`", "<<: "),
]
"""Values and signs of YAML."""
NUMBERS = [
    *("null", "0", "-1", "1", "2", "3", "7", "65536", "1000000", "9223372036854775807", "0.5"),
    *("1.5", "-0.5", ".nan", ".inf", "1e308", "true", "[0]", "[1]", "[-1]", "[0.5, 0.5]", "[1, 1]"),
    *("[]", "[2.0]", "[.nan]", "{image: 1.0, tone: 1.0}", "{image: -1.0, tone: .nan}", "[tone]"),
]
"""Values for options of encoders, fusions and methods."""


class HangError(Exception):
    """An input took longer than the limit."""


def main() -> int:
    """Read all inputs; return 1 if there was a traceback or a hang."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="Number of the only input to read.")
    options = parser.parse_args()
    numbers = range(options.inputs) if options.only is None else [options.only]
    outcomes, started = Counter[tuple[str, str]](), time.perf_counter()
    for number in numbers:
        rng = random.Random(f"{options.seed}-{number}")
        kind = rng.choice(list(KINDS))
        outcome, detail = outcome_of(kind, rng)
        outcomes[kind, outcome] += 1
        if outcome in ("traceback", "hang"):
            print(f"input {number} ({kind}): {outcome}\n{detail}", flush=True)
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:10} {outcome:10} {count:6}")
    print(f"{sum(outcomes.values())} inputs in {time.perf_counter() - started:.0f} s")
    return int(any(outcome in ("traceback", "hang") for _, outcome in outcomes))


def outcome_of(kind: str, rng: random.Random) -> tuple[str, str]:
    """Return what became of an input, and the details.

    Args:
        kind: A key of :data:`KINDS`.
        rng: The random numbers that make the input.
    """
    before = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(LIMIT)
    try:
        KINDS[kind](rng)
    except HangError:
        return "hang", traceback.format_exc()
    except G2DError as error:
        sentence = str(error).strip()
        return ("refused", sentence) if sentence else ("traceback", traceback.format_exc())
    except Exception as error:
        sentence = machine_fault(error) or ""
        return ("memory", sentence) if sentence else ("traceback", traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "read", ""


def _hang(*_: object) -> None:
    raise HangError


def read_mapping(rng: random.Random) -> None:
    """Read a resolved recipe in which one or two values have been replaced."""
    method = rng.choice([*METHODS, "joint+smp"])
    content = _resolved(f"method={method}")
    for _ in range(rng.randint(1, 2)):
        content = mutated(rng, content)
    Recipe.from_mapping(content)


def mutated(rng: random.Random, value: Any) -> Any:
    """Return a value with one part replaced by something of another kind."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {rng.choice([1, None, True, "../x", str(key) * 2]): value[key]} | value
        return {**value, key: mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], mutated(rng, value[place]), *value[place + 1 :]]
    return rng.choice(PLAIN)


def read_text(rng: random.Random) -> None:
    """Read the text of a packaged recipe with some characters changed."""
    text = list(packaged(rng.choice(recipe_names())).read_text(encoding="utf-8"))
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(text))
        if rng.random() < 0.3:
            del text[place : place + rng.randint(1, 20)]
        else:
            text[place:place] = rng.choice([*TEXTS, "\0", "\x85", "\u2028", "\ufeff", "\ud800"])
        text = text or ["x"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made_up.yaml"
        path.write_bytes("".join(text).encode("utf-8", "surrogatepass"))
        Recipe.load(path)


def read_overrides(rng: random.Random) -> None:
    """Read a packaged recipe with up to three overrides of any key by any value."""
    keys = [
        *_keys(_resolved("method=g2d")),
        *("methods", "methods.g2d", "method.modulation", ".", "..", "a..b", "encoders"),
    ]
    overrides = []
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(keys) + rng.choice(["", "", "", ".name", ".x", ".image", "."])
        overrides.append(f"{key}={rng.choice(TEXTS)}")
    Recipe.load(rng.choice(recipe_names()), overrides)


def build(rng: random.Random) -> None:
    """Build model and method with odd options, and train them for one step."""
    chosen = {
        "method": rng.choice(list(METHODS)),
        "fusion": rng.choice(list(FUSIONS)),
        "encoders.image": rng.choice(["cnn", "mlp", "transformer"]),
        "encoders.tone": rng.choice(["mlp", "cnn", "transformer"]),
    }
    words = [f"{key}={name}" for key, name in chosen.items()]
    words += ["epochs=4", "data.eval_draws=1"]
    places = ("train.", *(f"{key}." for key in chosen))
    keys = [key for key in _keys(_resolved(*words)) if key.startswith(places)]
    keys = [key for key in keys if not key.endswith((".name", ".threads", ".compile"))]
    odd = [f"{key}={rng.choice(NUMBERS)}" for key in rng.sample(keys, rng.randint(1, 2))]
    recipe, source = Recipe.load("digits", [*words, *odd]), built_in()
    student = Student.build(recipe, source)
    model, task = student.model, source.task
    teachers = untrained_teachers(model, task) if recipe.needs_teachers else None
    method = recipe.build_method(teachers).build(model, task)
    state = make_state(method, model, source, recipe.train, student.loader)
    rows = source.gather(source.rows("train")[:16])
    method.epoch_start(state)
    method.training_step(state, source.view(rows, seed=0, epoch=1, train=True))


def warm_up() -> None:
    """Load what the first inputs load, which takes longer than an input."""
    for number in range(20):
        with suppress(G2DError, ArithmeticError, ValueError, RuntimeError):
            build(random.Random(number))


@cache
def built_in() -> Source:
    """Return the built-in data, which are made once."""
    return Recipe.load("digits", ["data.eval_draws=1"]).build_source()


@cache
def _resolved(*overrides: str) -> dict[str, Any]:
    return Recipe.load("digits", overrides).resolved()


def _keys(content: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in content.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{key}.")


KINDS = {"mapping": read_mapping, "text": read_text, "overrides": read_overrides, "build": build}
"""Functions that make and read an input, by its kind."""


if __name__ == "__main__":
    sys.exit(main())
