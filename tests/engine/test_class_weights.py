"""Class weights: rare classes can count as much as frequent ones, for students and teachers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import g2d
from g2d.data import Source
from g2d.engine.options import TrainOptions
from g2d.engine.setup import training_task
from g2d.engine.teacher_cache import TeacherCache
from g2d.errors import ArgumentError, RecipeError
from g2d.experiment.student import Student
from g2d.methods import METHODS
from g2d.task import Classification, Task, task_from_config
from support.workbench import CLASSES, Bench, equal

RARE = np.repeat([0, 1, 2], [80, 15, 5])


def source(target: Any = RARE) -> Source:
    rng = np.random.default_rng(0)
    return Source.from_arrays({"a": rng.normal(size=(100, 3)).astype(np.float32)}, target)


def test_balanced_weights_let_all_classes_count_alike() -> None:
    made = source()
    task = training_task(made, TrainOptions(epochs=1, class_weights="balanced"))
    target = torch.from_numpy(made.target[made.rows("train")])
    weights = task.row_weights(target)
    assert weights.mean().item() == pytest.approx(1)
    totals = [weights[target == c].sum().item() for c in range(3)]
    assert totals == pytest.approx([totals[0]] * 3)


def test_weights_scale_the_loss_and_nothing_else() -> None:
    plain, task = Classification(3), Classification(3, weights=[1.0, 2.0, 0.5])
    logits = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    target = torch.arange(7) % 3
    factor = torch.tensor([1.0, 2.0, 0.5])[target]
    expected = factor * F.cross_entropy(logits, target, reduction="none")
    assert torch.allclose(task.loss_per_row(logits, target), expected)
    assert torch.allclose(task.loss(logits, target), expected.mean())
    assert torch.equal(task.confidence(logits, target), plain.confidence(logits, target))
    assert task_from_config(task.config()).config() == task.config()
    assert "weights" not in plain.config(), "the hashes of earlier versions stay"
    assert torch.equal(plain.row_weights(target), torch.ones(7))


def test_no_weights_leave_no_trace_in_the_options_of_a_teacher() -> None:
    assert "class_weights" not in TrainOptions(epochs=1).training()
    given = TrainOptions(epochs=1, class_weights=(1.0, 2.0)).training()
    assert given["class_weights"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("weights", "target", "message"),
    [
        ((1.0, 2.0), RARE, "one positive number for each of the 3 classes"),
        ((1.0, 0.0, 1.0), RARE, "one positive number"),
        ("balanced", np.arange(100.0), "must be left out where targets are no classes"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: Any, target: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        training_task(source(target), TrainOptions(epochs=1, class_weights=weights))
    with pytest.raises(ArgumentError, match="must be balanced or numbers"):
        TrainOptions(epochs=1, class_weights="even")  # type: ignore[arg-type]


@dataclass
class Weighted(Bench):
    """The problem of the bench with class weights."""

    weights: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def task(self) -> Task:
        return Classification(CLASSES, weights=self.weights)


@pytest.mark.parametrize(
    "name", [name for name, kind in METHODS.items() if kind.trains and name != "mis_me"]
)
def test_weights_reach_every_method(name: str) -> None:
    plain, *_ = Bench(name).train()
    ones, *_ = Weighted(name).train()
    other, *_ = Weighted(name, weights=(4.0, 1.0, 1.0)).train()
    assert equal(plain, ones)
    assert not equal(plain, other)


def test_teachers_are_trained_with_weights(toy: Any, tmp_path: Path) -> None:
    problem = toy()
    classes = problem.source().task.outputs
    trained = []
    for weights in (None, (1.0,) * classes, (9.0,) + (1.0,) * (classes - 1)):
        options = TrainOptions(epochs=1, batch_size=10, lr=0.05, class_weights=weights)
        encoders = {"a": {"name": "toy"}, "b": {"name": "toy"}}
        cache = TeacherCache(tmp_path, problem.source(), encoders, problem.teacher, options)
        trained.append(cache.open(cache.obtain("a"), "last"))
    plain, ones, other = trained
    assert equal(plain, ones)
    assert not equal(plain, other)
    assert len(list(tmp_path.glob("a-*"))) == 3


def test_a_student_is_trained_with_weights_and_evaluated_without() -> None:
    recipe = g2d.Recipe.load("digits/small", ["train.class_weights=balanced", "method=joint"])
    assert recipe.resolved()["train"]["class_weights"] == "balanced"
    data = recipe.build_source()
    student = Student.build(recipe, data)
    assert len(student.method.task.weights) == student.source.task.outputs
    assert student.source.task.weights is None
    assert recipe.teachers.train.class_weights == "balanced"


def test_a_recipe_refuses_other_weights() -> None:
    with pytest.raises(RecipeError, match="class_weights"):
        g2d.Recipe.load("digits", ["train.class_weights=even"])
