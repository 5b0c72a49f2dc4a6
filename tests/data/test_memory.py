"""Sources from arrays and from sequences of mappings, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from g2d.data import SPLITS, Loader, Source
from g2d.data.views import Chain, Scale
from g2d.errors import ArgumentError, DataError
from g2d.task import Classification, Regression
from g2d.types import Sequence
from support.made_up_arrays import ROWS, numbers, words


def source(**changed: Any) -> Source:
    """Return a source of two tables, 100 rows and two classes."""
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "arrays": {"a": rng.normal(3, 2, (100, 4)), "b": rng.normal(size=(100, 2))},
        "target": rng.integers(0, 2, 100),
    }
    return Source.from_arrays(**(given | changed))


def test_rows_without_a_split_are_divided_by_their_groups() -> None:
    group = np.arange(100) // 4
    made = source(group=group)
    sides = [set(group[made.rows(split)].tolist()) for split in SPLITS]
    assert [len(side) for side in sides] == [15, 5, 5]
    assert len(set.union(*sides)) == 25
    assert made.protocol == "arrays/strata-v1"
    assert np.array_equal(made.split, source(group=[f"{g}" for g in group]).split)


def test_a_given_split_is_kept_and_validation_is_completed() -> None:
    words_of = np.array(["train"] * 80 + ["test"] * 15 + ["unused"] * 5)
    made = source(split=words_of)
    assert made.protocol == "arrays/given-valid-by-strata-v1"
    assert [len(made.rows(split)) for split in SPLITS] == [72, 8, 15]
    with pytest.raises(DataError, match="must have training rows"):
        source(split=["test"] * 100)


def test_default_views_are_fitted_on_training_rows_alone() -> None:
    made = source()
    batch = made.view(made.gather(made.rows("train")), seed=0, epoch=1, train=True)
    values = batch.inputs["a"]
    assert isinstance(values, torch.Tensor)
    torch.testing.assert_close(values.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("target", "kind", "outputs"),
    [
        (np.arange(100) % 3, Classification, 3),
        ([f"class {i % 4}" for i in range(100)], Classification, 4),
        (np.arange(100) % 2 == 0, Classification, 2),
        (np.linspace(0, 9, 100), Regression, 1),
        (np.random.default_rng(0).normal(size=(100, 3)), Regression, 3),
    ],
)
def test_the_task_follows_from_the_type_of_the_target(
    target: Any, kind: type, outputs: int
) -> None:
    task = source(target=target).task
    assert isinstance(task, kind)
    assert task.outputs == outputs


def test_the_task_and_the_names_of_classes_can_be_given() -> None:
    target = np.arange(100) % 3
    made = source(target=target, task="regression")
    assert isinstance(made.task, Regression)
    values = made.task.unscale(torch.from_numpy(made.target))
    torch.testing.assert_close(values[:, 0], torch.from_numpy(target).float())
    named = source(target=target, classes=["x", "y", "z"]).task
    assert isinstance(named, Classification)
    assert named.classes == ("x", "y", "z")
    with pytest.raises(DataError, match="must be among the 2 classes, found '2'"):
        source(target=target, classes=["x", "y"])


def test_views_can_be_steps_or_views() -> None:
    view = Chain("a", (Scale(mean=3.0),))
    made = source(views={"a": view, "b": [{"name": "scale", "std": 2.0}]})
    batch = made.view(made.gather(np.arange(5)), seed=0, epoch=1, train=True)
    assert torch.equal(batch.inputs["a"], torch.from_numpy(made.arrays["a"][:5]) - 3)
    assert torch.equal(batch.inputs["b"], torch.from_numpy(made.arrays["b"][:5]) / 2)
    with pytest.raises(DataError, match="views must be of a, b, found 'c'"):
        source(views={"c": view})
    with pytest.raises(ArgumentError, match="the step 'pixels' of the view of 'a' must be given"):
        source(views={"a": [{"name": "pixels"}]})


@pytest.mark.parametrize(
    ("values", "kind", "shape"),
    [
        (np.zeros((100, 6, 5, 3), np.uint8), "image", (3, 6, 5)),
        (np.zeros((100, 3, 6, 5), np.uint8), "image", (3, 6, 5)),
        (np.zeros((100, 6, 5), np.uint8), "image", (1, 6, 5)),
        (np.zeros((100, 6, 5, 3), np.float32), "image", (3, 6, 5)),
        (np.zeros((100, 2, 6, 5, 3), np.uint8), "video", (3, 2, 6, 5)),
        (np.zeros((100, 512), np.int16), "audio", (1, 129, 5)),
        (np.zeros(100), "table", (1,)),
        (np.zeros((100, 7), bool), "table", (7,)),
        (np.zeros((100, 7), np.uint8), "table", (7,)),
    ],
)
def test_the_kind_follows_from_type_and_shape(
    values: Any, kind: str, shape: tuple[int, ...]
) -> None:
    made = source(arrays={"m": values})
    assert made.facts["kinds"] == {"m": kind}
    batch = made.view(made.gather(np.arange(2)), seed=0, epoch=1, train=True)
    assert tuple(batch.inputs["m"].shape) == (2, *shape)


def test_a_grid_of_numbers_is_a_sequence_unless_its_kind_is_given() -> None:
    grid = np.random.default_rng(0).normal(size=(100, 6, 5))
    made = source(arrays={"m": grid})
    batch = made.view(made.gather(np.arange(2)), seed=0, epoch=1, train=True)
    assert isinstance(batch.inputs["m"], Sequence)
    image = source(arrays={"m": grid}, kinds={"m": "image"})
    batch = image.view(image.gather(np.arange(2)), seed=0, epoch=1, train=True)
    assert tuple(batch.inputs["m"].shape) == (2, 1, 6, 5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"target": [0.5] * 99 + [np.nan]},
            "row '00000099' of the arrays cannot be used: its target",
        ),
        ({"target": np.zeros(100)}, "targets of the training rows must differ"),
        ({"ids": ["same"] * 100}, "cannot be used: an id that occurs before"),
        ({"arrays": {}}, "must hold an array per modality, found only a target"),
        ({"arrays": {"group": np.zeros(100)}}, "must hold an array per modality"),
        ({"kinds": {"a": "picture"}}, "must give a modality .* a kind .* found a: picture"),
        ({"kinds": {"a": "video"}}, "'a' in the arrays must be numbers .* for the kind video"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        source(**changed)


def test_an_epoch_of_every_kind_of_modality_can_be_read() -> None:
    arrays = numbers() | {"note": words()["note"]}
    roles = {name: arrays.pop(name) for name in ("target", "split", "group")}
    made = Source.from_arrays(arrays, **roles)
    batches = list(Loader(made, "train", 8, seed=0, shuffle=True).epoch(1))
    assert sum(len(batch.target) for batch in batches) == 21
    assert made.content_hash == Source.from_arrays(arrays, **roles).content_hash


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "image": Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)),
            "text": f"a word {i % 3}",
            "audio": {"array": rng.uniform(-1, 1, 300 + i), "sampling_rate": 8000},
            "track": rng.normal(size=(1 + i % 4, 2)).tolist(),
            "age": None if i % 6 == 0 else float(i),
            "height": i * 2,
            "weight": i * 0.5,
            "label": i % 2,
            "person": f"p{i // 2}",
        }
        for i in range(ROWS)
    ]


def test_rows_of_a_data_set_become_modalities() -> None:
    made = Source.from_dataset(
        rows(),
        {
            "image": "image",
            "text": "text",
            "audio": "audio",
            "track": "track",
            "age": "age",
            "body": ["height", "weight"],
        },
        "label",
        group="person",
    )
    assert made.facts["kinds"] == {
        "image": "image",
        "text": "text",
        "audio": "audio",
        "track": "sequence",
        "age": "table",
        "body": "table",
    }
    assert isinstance(made.task, Classification)
    assert made.views["audio"].config()["steps"][0]["rate"] == 8000
    batch = made.gather(np.arange(7))
    assert batch.has("age").tolist() == [False, True, True, True, True, True, False]
    track = batch.inputs["track"]
    assert isinstance(track, Sequence)
    assert track.mask.sum(1).tolist() == [1, 2, 3, 4, 1, 2, 3]
    assert len(np.unique(made.group)) == ROWS // 2
    for pair in np.split(made.split, ROWS // 2):
        assert pair[0] == pair[1]


def test_a_mapping_of_splits_gives_the_split() -> None:
    parts = {"train": rows()[:40], "validation": rows()[40:50], "test": rows()[50:]}
    made = Source.from_dataset(parts, ["text", "height"], "weight")
    assert [len(made.rows(split)) for split in SPLITS] == [40, 10, 10]
    assert isinstance(made.task, Regression)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["nothing"], "must have a column 'nothing', found image, text"),
        (["ragged"], r"values of 'ragged' must have one shape, found \(1, 1\)"),
        (["hollow"], "the column of 'hollow' must hold values"),
    ],
)
def test_columns_that_cannot_be_used_are_refused(columns: list[str], message: str) -> None:
    changed = [
        row | {"ragged": np.zeros((1 + i % 2, 1 + i % 3)), "hollow": None}
        for i, row in enumerate(rows())
    ]
    with pytest.raises(DataError, match=message):
        Source.from_dataset(changed, columns, "label")


def test_a_hugging_face_data_set_gives_the_same_source_and_names_its_classes() -> None:
    # The folder tests/datasets has the same name, so a module of the library is asked for.
    pytest.importorskip("datasets.arrow_dataset", reason="the library datasets is not installed")
    import datasets as hugging_face

    names = ["image", "text", "track", "age", "label"]
    plain = [{name: row[name] for name in names} for row in rows()]
    features = hugging_face.Features(
        image=hugging_face.Image(),
        text=hugging_face.Value("string"),
        track=hugging_face.List(hugging_face.List(hugging_face.Value("float64"))),
        age=hugging_face.Value("float64"),
        label=hugging_face.ClassLabel(names=["cat", "dog"]),
    )
    stored = hugging_face.Dataset.from_list(plain, features=features)
    theirs = Source.from_dataset(stored, names[:-1], "label")
    ours = Source.from_dataset(plain, names[:-1], "label", classes=["cat", "dog"])
    assert theirs.content_hash == ours.content_hash
    assert theirs.protocol_hash == ours.protocol_hash
    assert isinstance(theirs.task, Classification)
    assert theirs.task.classes == ("cat", "dog")
    parts = stored.train_test_split(0.25, seed=0)
    made = Source.from_dataset(parts, ["text"], "label")
    assert len(made.rows("test")) == 15
    with pytest.raises(DataError, match="must have a column 'nothing', found image, text"):
        Source.from_dataset(stored, ["nothing"], "label")


def test_arrays_of_0_and_1_are_several_labels() -> None:
    rng = np.random.default_rng(0)
    states = rng.random((100, 3)) < 0.4
    made = source(target=states)
    assert made.task.config() == {"kind": "multilabel", "labels": ["0", "1", "2"]}
    assert made.target.dtype == np.float32
    assert np.array_equal(made.target, states)
    assert made.content_hash == source(target=states.astype(np.int64)).content_hash
    assert source(target=states.astype(float)).task.kind == "regression"
    named = source(target=states.astype(float), task="multilabel", classes=["a", "b", "c"])
    assert named.task.names == ("a", "b", "c")
    unknown = states.astype(float)
    unknown[4, 1] = np.nan
    for target, sentence in (
        (np.eye(3, dtype=np.int64)[rng.integers(0, 3, 100)], "exactly one 1 in every row"),
        (states * 2.0, "must be 0 or 1 per label .* found 2"),
        (unknown, "its target is missing"),
        (states[:, 0], r"found bool \(100,\)"),
    ):
        options = {} if "exactly" in sentence else {"task": "multilabel"}
        with pytest.raises(DataError, match=sentence):
            source(target=target, **options)
    with pytest.raises(DataError, match="classes must name the 3 labels"):
        source(target=states, classes=["a"])


def test_lists_of_labels_in_a_data_set_are_several_labels() -> None:
    rows = [{"x": float(i), "y": [["cat"], ["dog", "cat"], []][i % 3]} for i in range(60)]
    made = Source.from_dataset(rows, ["x"], "y")
    assert made.task.config() == {"kind": "multilabel", "labels": ["cat", "dog"]}
    assert made.target[:3].tolist() == [[1, 0], [1, 1], [0, 0]]
    codes = [{"x": float(i), "y": [[0], [1, 0]][i % 2]} for i in range(60)]
    assert Source.from_dataset(codes, ["x"], "y", classes=["a", "b"]).task.names == ("a", "b")
    swapped = Source.from_dataset(rows, ["x"], "y", classes=["dog", "cat"])
    assert swapped.target[:3].tolist() == [[0, 1], [1, 1], [0, 0]]
    with pytest.raises(DataError, match="labels must be among the 1 named ones, found 'dog'"):
        Source.from_dataset(rows, ["x"], "y", classes=["cat"])
