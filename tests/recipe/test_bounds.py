"""Recipes of any content are read in bounded time, or refused with a sentence."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path

import pytest

from g2d.encoders import MLP, SmallCNN, Transformer
from g2d.errors import ArgumentError, DataError, RecipeError
from g2d.files import is_plain_name, require_names
from g2d.methods import ReconBoost
from g2d.plainyaml import MOST_CHARACTERS, parse, read_mapping
from g2d.recipe import Recipe
from g2d.types import is_name

BOMB = "a: &a [1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
CHAIN = "k0: &k0 [1]\n" + "".join(f"k{i}: &k{i} [*k{i - 1}]\n" for i in range(1, 60))
REFUSED = {
    BOMB: "more than 10,000 values",
    CHAIN: "more than 32 levels deep",
    "a: &a [*a]": "a value that contains itself",
    "a: &a {b: *a}": "a value that contains itself",
    "[" * 2000: "more than 32 levels deep",
    "{a: " * 2000: "more than 32 levels deep",
    "- " * 2000: "more than 32 levels deep",
    f"[{'1,' * 20_000}]": "more than 10,000 values",
    "x" * (MOST_CHARACTERS + 1): "more than 1,048,576 characters",
    "1" * 100_000: "a value that does not fit its tag",
    "10000000000000000000": "a whole number of more than 64 bits",
    "!!int ''": "a value that does not fit its tag",
    "!!int '0b'": "a value that does not fit its tag",
    "!!float ''": "a value that does not fit its tag",
    "!!bool maybe": "a value that does not fit its tag",
    "!!map 3": "a value that does not fit its tag",
    "!!timestamp x": "the tag !!timestamp",
    "!!binary aGk=": "the tag !!binary",
    "!!set {a}": "the tag !!set",
    "<<: {a: 1}": "the tag !!merge",
    "!!python/object/apply:os.system [id]": "the tag !!python/object/apply:os.system",
    '"\\0"': "a text with a zero byte or half of a character",
    '"\\ud800"': "a text with a zero byte or half of a character",
    "? [a]\n: 1": "a list or a mapping as a key",
    "&a a: 1\n*a : 2": "the key 'a' is given twice",
    "\x01": "special characters are not allowed",
    "a: *x": "undefined alias",
    "a: 1\n---\nb: 2": "another document",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:20]))
def test_what_is_too_large_too_deep_or_not_plain_is_one_sentence(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "mine")
    (fault,) = caught.value.faults
    assert fault.startswith("the text must be plain YAML, found: ")
    assert REFUSED[text] in fault
    assert len(fault) < 300
    if len(text) < 1000:  # the same reader takes the values of overrides
        with pytest.raises(RecipeError, match=r"name must be a YAML value"):
            Recipe.load("digits", [f"name={text}"])


def test_plain_values_are_read_as_before_and_clock_times_are_text() -> None:
    text = "[1, -2, +3, 0x1f, 0b11, 1_000, 1.5, 1e-3, .inf, yes, null, 1:30, 010, 2020-01-01]"
    assert parse(text, "mine") == [
        *(1, -2, 3, 31, 3, 1000, 1.5, 0.001, float("inf"), True, None),
        *("1:30", "010", "2020-01-01"),
    ]
    assert parse("a: &a [1, 2]\nb: *a", "mine") == {"a": [1, 2], "b": [1, 2]}


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "large.yaml").write_text("#" * (MOST_CHARACTERS + 1))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    device = tmp_path / "zero.yaml"
    device.symlink_to("/dev/zero")
    reasons = {
        "pipe.yaml": "it is a pipe or a device, not a file",
        "zero.yaml": "it is a pipe or a device, not a file",
        "folder.yaml": "it is a directory, not a file",
        "large.yaml": "it has more than 1,048,576 bytes",
        "latin.yaml": "it is not UTF-8 text",
        "none.yaml": "no such file or directory",
        f"{'x' * 300}.yaml": "file name too long",
    }
    for name, reason in reasons.items():
        with pytest.raises(RecipeError, match=f"cannot read recipe .*: {reason}"):
            Recipe.load(tmp_path / name)
    with pytest.raises(RecipeError, match="cannot read recipe"):
        read_mapping(Path("a\0b"))


NAMES = {
    "g2d": True,
    "crema_d-joint+smp, 3": True,
    "Größe ≥ 2": True,
    **dict.fromkeys(
        ("", ".", "..", "../x", "/etc/x", "a/../../x", "a\\b", "a\0", "a\nb", "\x1b[31m"), False
    ),
    **dict.fromkeys(("\x9b31m", "a\u2028b", "\ud800", "x" * 201, "é" * 101), False),
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_one_rule_holds_for_names_of_runs_classes_and_modalities(name: str) -> None:
    assert is_plain_name(name) == NAMES[name]
    assert is_name(name) == NAMES[name]
    if NAMES[name]:
        require_names("classes", [name])
        assert Recipe.load("digits").changed(name=name).name == name
        return
    with pytest.raises(DataError, match="classes must have names of 1 to 200 bytes"):
        require_names("classes", [name])
    if name:
        with pytest.raises(
            RecipeError, match=r"name must be 1 to 200 bytes without slashes|must hold plain values"
        ):
            Recipe.load("digits").changed(name=name)
        encoders = {name: "mlp", "tone": "mlp"}
        with pytest.raises(RecipeError, match="a modality of encoders must be 1 to 200 bytes"):
            Recipe.load("digits").changed(encoders=encoders)


def test_the_teachers_folder_is_no_name_of_a_run() -> None:
    with pytest.raises(RecipeError, match="name must not be 'teachers'"):
        Recipe.load("digits", ["name=teachers"])


NUMBERS = {
    "seed=9223372036854775808": "seed must be a YAML value",
    "seed=-1": "seed must not be negative",
    "train.workers=5000": "workers must be at most 256, found 5000",
    "train.threads=100000": "threads must be at most 1,024, found 100000",
    "train.batch_size=1000000000000": "batch_size must be at most 1,048,576",
    "train.eval_batch_size=1000000000000": "eval_batch_size must be at most 1,048,576",
    "epochs=1000000000": "epochs must be at most 1,000,000",
    "epochs=1:30": "epochs must be a whole number or null, found '1:30'",
    "train.weight_decay=.inf": "weight_decay must not be negative, found inf",
    "train.momentum=.nan": "momentum must not be negative, found nan",
    "train.lr=.inf": "lr must be positive",
    "train.weight_decay=1e308": "weight_decay must be at most 1e\\+30",
    "train.group_lr.image=1e308": "group_lr.image must be at most 1e\\+30",
    "data.tone_db=1e19": "data.tone_db must be less than or equal to 200",
    "data.word_p=&a [*a]": "data.word_p must be a YAML value",
    "method.name=[x]": "method must name a method .*, found \\['x'\\]",
    "fusion.name=[x]": "fusion must name a fusion .*, found \\['x'\\]",
    "data.name=[x]": "data.name must name a data set .*, found \\['x'\\]",
    "method={name: [x]}": "method must name a method .*, found \\['x'\\]",
    "encoders.tone={name: [x]}": "encoders.tone must name an encoder .*, found \\['x'\\]",
}


@pytest.mark.parametrize("override", NUMBERS)
def test_numbers_and_names_of_any_kind_are_refused_with_a_sentence(override: str) -> None:
    with pytest.raises(RecipeError, match=NUMBERS[override]):
        Recipe.load("digits", [override])


def test_sizes_of_layers_are_bounded_when_they_are_built() -> None:
    for wrong in (0, -3, 65_537, 10**12):
        for build in (
            lambda wrong=wrong: MLP(features=2, widths=(8, wrong)),
            lambda wrong=wrong: SmallCNN(widths=(wrong,)),
            lambda wrong=wrong: Transformer(features=2, width=wrong),
            lambda wrong=wrong: Transformer(features=2, length=wrong),
            lambda wrong=wrong: ReconBoost(hidden=wrong),
            lambda wrong=wrong: Transformer(features=2, layers=wrong),
            lambda wrong=wrong: Transformer(features=2, heads=wrong),
        ):
            with pytest.raises(ArgumentError, match=r"must be between 1 and (65,536|256), found"):
                build()
    for share in (-0.1, 1.5, float("nan"), float("inf")):
        for build in (
            lambda share=share: MLP(features=2, dropout=(0.1, share)),
            lambda share=share: Transformer(features=2, dropout=share),
        ):
            with pytest.raises(ArgumentError, match=r"dropout must be between 0 and 1, found"):
                build()
    with pytest.raises(ArgumentError, match="widths must hold one size or more, found none"):
        MLP(features=2, widths=())


def test_long_values_and_many_faults_make_a_short_message() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load("digits", [f"name={['x' * 500_000]}", f"train.lr={'y' * 500_000}"])
    assert len(str(caught.value)) < 1500
    with pytest.raises(RecipeError, match="and 150 more") as caught:
        Recipe.from_mapping({f"key{i}": i for i in range(198)} | {"data": "digits"})
    assert len(caught.value.faults) == 200


def test_made_up_recipes_texts_and_overrides_are_read_or_refused_with_a_sentence() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_recipes.py"
    spec = importlib.util.spec_from_file_location("fuzz_recipes", path)
    assert spec is not None
    assert spec.loader is not None
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    outcomes = []
    for number in range(210):
        kind = ("mapping", "text", "overrides")[number % 3]
        outcome, detail = made_up.outcome_of(kind, random.Random(number))
        assert outcome in ("read", "refused"), f"input {number}: {detail}"
        outcomes.append(outcome)
    assert min(outcomes.count("read"), outcomes.count("refused")) > 2
