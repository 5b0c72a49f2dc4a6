"""The pickles of UR-FUNNY: their content is converted unchanged, or refused with the reason."""

from __future__ import annotations

import collections
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.datasets.ur_funny import formats
from g2d.datasets.ur_funny.formats import Ragged
from g2d.datasets.ur_funny.reader import URFunnyOptions, plan_ur_funny
from g2d.datasets.ur_funny.sample import write_sample
from g2d.errors import DataError
from g2d.prepare.plainpickle import child, convert


def save(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


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
def test_features_are_converted_unchanged_in_every_form(tmp_path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    rows = {i: rng.normal(size=(1 + i, 81)).astype(np.float32) for i in range(len(FORMS))} | {
        90: np.zeros((0, 81), np.float32),
        91: np.zeros((0, 81)),
    }
    forms = dict(enumerate(FORMS)) | {90: FORMS[0], 91: FORMS[1]}
    content = {
        i: entry(forms[i](part), [forms[i](part[:1])] * min(i, 3)) for i, part in rows.items()
    }
    folder, digest = convert(save(tmp_path / "covarep.pkl", content, protocol), "covarep", formats)
    converted = Ragged.open(folder)
    for i, part in rows.items():
        assert np.array_equal(converted.punch(i), part)
        assert [sentence.tolist() for sentence in converted.context(i)] == [
            part[:1].tolist()
        ] * min(i, 3)
    assert json.loads((folder / "done.json").read_text())["sha256"] == digest


@pytest.mark.parametrize("protocol", range(6))
def test_labels_may_be_any_plain_number(tmp_path: Path, protocol: int) -> None:
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
        save(tmp_path / "labels.pkl", collections.OrderedDict(table), protocol), "labels", formats
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


PUNCH = {
    "punchline_embedding_indexes": [1],
    "context_embedding_indexes": [[1]],
    "punchline_sentence": "ha",
    "context_sentences": ["ho"],
}


@pytest.mark.parametrize(
    ("kind", "content", "message"),
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
def test_content_that_conversion_would_change_is_refused(
    tmp_path: Path, kind: str, content: Any, message: str
) -> None:
    with save(tmp_path / "odd.pkl", content).open("rb") as file:
        value = child.read(file)
    with pytest.raises(child.RefusedError, match=message):
        formats.CONVERTERS[kind](value, tmp_path)
    assert not [*tmp_path.glob("*.json")]


def test_a_malicious_file_ends_the_preparation_with_exit_code_2(tmp_path: Path) -> None:
    write_sample(tmp_path / "raw")
    (tmp_path / "raw" / "covarep_features_sdk.pkl").write_bytes(
        f"cposix\nsystem\n(S'touch {tmp_path / 'touched'}'\ntR.".encode()
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
def test_unknown_pickles_are_not_opened(tmp_path: Path, strange: str) -> None:
    write_sample(tmp_path)
    (tmp_path / strange).write_bytes(b"anything")
    with pytest.raises(
        DataError,
        match=re.escape(f"found {strange!r}. Move it away: unknown pickles are not opened."),
    ):
        plan_ur_funny(tmp_path, URFunnyOptions())
    (tmp_path / strange).unlink()
    (tmp_path / "humor_label_sdk.pkl").unlink()
    with pytest.raises(DataError, match=r"found no humor_label_sdk\.pkl"):
        plan_ur_funny(tmp_path, URFunnyOptions())
    assert not (tmp_path / ".g2d-converted").exists()
