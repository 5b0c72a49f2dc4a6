"""A run does every piece of work once: its example batch, its encoders, its hashes, its checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import g2d
from g2d.data import Source, source
from g2d.experiment import evaluation, run, student
from g2d.recipe import Recipe
from g2d.recipe import recipe as building

Small = Callable[..., Recipe]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count calls of the functions that a run should need once."""
    calls: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def count(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return original(*args, **options)

        monkeypatch.setattr(owner, name, count)

    counted(building, "build_encoder")
    counted(Recipe, "example")
    counted(Recipe, "build_source")
    counted(student, "check")
    return calls


def quiet(recipe: Recipe, folder: Path) -> None:
    run(recipe, folder, progress=False, say=lambda _: None)


def test_a_run_builds_each_encoder_once_per_model_that_it_trains_or_opens(
    small: Small, counts: Counter[str], tmp_path: Path
) -> None:
    recipe = small("method=g2d", "epochs=2", "teachers.epochs=1")
    quiet(recipe, tmp_path / "a")
    # Two encoders each: the student, the teachers in training, the teachers at their best epoch.
    assert counts == {"example": 1, "build_source": 1, "check": 1, "build_encoder": 6}
    counts.clear()
    quiet(recipe.changed(seed=0, name="again"), tmp_path / "b")  # with the same teachers
    assert counts == {"example": 1, "build_source": 1, "check": 1, "build_encoder": 4}
    counts.clear()
    quiet(recipe, tmp_path / "a")  # finished
    assert counts == {}
    g2d.load(tmp_path / "a")
    assert counts == {"example": 1, "build_source": 1, "build_encoder": 2}


def test_a_finished_student_is_evaluated_once_per_split(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    splits: list[str] = []
    original = evaluation.evaluate

    def evaluate(method: Any, model: Any, data: Source, split: str, **options: Any) -> Any:
        splits.append(split)
        return original(method, model, data, split, **options)

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    quiet(small("method=joint", "epochs=1"), tmp_path / "a")
    assert splits == ["valid", "test"]


def test_a_stack_builds_the_encoders_of_its_student_once(
    small: Small, counts: Counter[str], tmp_path: Path
) -> None:
    quiet(small("method=stack", "teachers.epochs=1"), tmp_path / "a")
    assert counts["build_encoder"] == 2 + 2 * 4  # two sets of teachers, trained and opened
    counts.clear()
    g2d.load(tmp_path / "a")
    assert counts["build_encoder"] == 2


def test_the_content_of_the_data_is_hashed_once_per_source(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashed: list[str] = []
    original = source._digest

    def digest(facts: Any, *arrays: Any) -> str:
        if len(arrays) > 1:  # the values of all modalities, not the split of a protocol
            hashed.append("+".join(str(array.shape) for array in arrays))
        return original(facts, *arrays)

    monkeypatch.setattr(source, "_digest", digest)
    quiet(small("method=g2d", "epochs=2", "teachers.epochs=1"), tmp_path / "a")
    assert max(Counter(hashed).values()) == 1
    assert isinstance(g2d.load(tmp_path / "a").source, Source)
