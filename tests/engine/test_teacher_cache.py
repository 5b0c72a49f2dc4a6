"""Teachers are trained once, and reused if everything that determines them is equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g2d.data.views import Chain
from g2d.engine import checkpoint
from g2d.engine.callbacks import Callback
from g2d.engine.evaluate import evaluate
from g2d.engine.fit import fit
from g2d.engine.options import TrainOptions
from g2d.engine.teacher_cache import Teacher, TeacherCache
from g2d.method import Method
from g2d.methods import G2D, Joint
from g2d.model import CachedTeachers, Teachers
from g2d.types import Batch

OPTIONS = TrainOptions(epochs=2, batch_size=10, lr=0.05)
ENCODERS = {"a": {"name": "toy", "width": 5}, "b": {"name": "toy", "width": 5}}
FIXED = {"views": {"a": Chain("a", ()), "b": Chain("b", ())}}


@pytest.fixture
def cache(toy: Any, tmp_path: Path) -> Callable[..., TeacherCache]:
    """Return a factory of caches in one folder, whose messages are in ``messages``."""

    def build(
        options: TrainOptions = OPTIONS,
        encoders: Any = ENCODERS,
        watch: Any = lambda name: (),
        **changed: Any,
    ) -> TeacherCache:
        problem, messages = toy(changed=changed), []
        made = TeacherCache(
            tmp_path / "teachers",
            problem.source(),
            encoders,
            problem.teacher,
            options,
            say=messages.append,
            watch=watch,
        )
        made.messages = messages  # type: ignore[attr-defined]
        return made

    return build


def test_the_second_student_starts_at_once(cache: Any) -> None:
    first, again = cache(), cache()
    trained, reused = first.obtain("a"), again.obtain("a")
    assert first.messages == ["teacher of a: training, because there is none yet."]
    assert again.messages == [f"teacher of a: reused ({trained.folder.name})."]
    assert (trained.reused, reused.reused) == (False, True)
    assert (reused.folder, reused.facts) == (trained.folder, trained.facts)


def test_a_teacher_is_a_unimodal_model_trained_jointly_and_its_facts_are_measured(
    cache: Any, toy: Any
) -> None:
    made = cache()
    teacher = made.obtain("b")
    source = made.source.only(("b",))
    model = made.open(teacher, "best")
    method: Method = Joint().build(model, source.task)
    for split in ("train", "valid", "test"):
        result = evaluate(method, model, source, split)
        assert teacher.facts["splits"][split]["accuracy"] == result.score
        assert teacher.facts["splits"][split]["confidence"] == result.confidence
    torch.manual_seed(OPTIONS.seed)
    fresh = toy().model(("b",))
    by_hand = fit(Joint().build(fresh, source.task), fresh, source, OPTIONS)
    assert by_hand.selected_epoch == teacher.facts["epoch"]
    assert all(
        torch.equal(a, b)
        for a, b in zip(fresh.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_best_and_last_are_both_kept(cache: Any) -> None:
    made = cache(replace(OPTIONS, epochs=6, lr=0.5))
    teachers, members = made.teachers(distil="best", ranking="last")
    assert isinstance(teachers, Teachers)
    assert teachers.ranking is not None
    for teacher in members:
        best, last = (made.open(teacher, which).state_dict() for which in ("best", "last"))
        same = all(torch.equal(a, b) for a, b in zip(best.values(), last.values(), strict=True))
        assert same == (teacher.facts["epoch"] == 6)
        for kept, expected in ((teachers.models, best), (teachers.ranking, last)):
            assert all(
                torch.equal(a, b)
                for a, b in zip(
                    kept[teacher.modality].state_dict().values(), expected.values(), strict=True
                )
            )
    assert any(teacher.facts["epoch"] < 6 for teacher in members), (
        "choose a rate under which some best epoch is not the last"
    )
    assert made.teachers()[0].ranking is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"options": replace(OPTIONS, seed=1)}, "the most similar one has seed 0 instead of 1"),
        ({"options": replace(OPTIONS, epochs=3)}, "the most similar one has epochs 2 instead of 3"),
        (
            {"options": replace(OPTIONS, lr=0.1, momentum=0.5)},
            "the most similar one has lr 0.05 instead of 0.1, momentum 0.9 instead of 0.5",
        ),
        (
            {"options": replace(OPTIONS, group_lr={"a": 0.1})},
            'the most similar one has group_lr {} instead of {"a": 0.1}',
        ),
        (
            {"encoders": ENCODERS | {"a": {"name": "toy", "width": 6}}},
            'the most similar one has encoder {"name": "toy", "width": 5} instead of {"name": "t',
        ),
        ({"protocol": "toy/v2"}, "the most similar one has protocol "),
        (
            {"views": {"a": Chain("a", ()), "b": Chain("b", ())}},
            "the most similar one has protocol ",
        ),
    ],
)
def test_every_change_of_a_determinant_trains_another_teacher_and_is_named(
    cache: Any, changed: dict[str, Any], reason: str
) -> None:
    first = cache().obtain("a")
    made = cache(**changed)
    teacher = made.obtain("a")
    assert not teacher.reused
    assert teacher.folder != first.folder
    assert made.messages[0].startswith(f"teacher of a: training, because {reason}")
    assert cache().obtain("a").reused


def test_one_changed_byte_of_training_data_trains_another(cache: Any, toy: Any) -> None:
    cache().obtain("a")
    arrays = {m: values.copy() for m, values in toy().source().arrays.items()}
    arrays["a"].view(np.uint8)[0, 0] ^= 1
    made = cache(arrays=arrays)
    assert not made.obtain("a").reused
    assert "because the most similar one has data " in made.messages[0]


def test_a_teacher_is_reused_if_only_options_of_the_machine_differ(cache: Any, toy: Any) -> None:
    for m in ("a", "b"):
        cache().obtain(m)
    elsewhere = replace(
        OPTIONS, device="cpu", workers=1, threads=1, eval_batch_size=3, group_lr={"b": 0.1}
    )
    other_width = ENCODERS | {"b": {"name": "toy", "width": 9}}
    arrays = {m: values.copy() for m, values in toy().source().arrays.items()}
    arrays["b"][0, 0] += 1
    for changed in ({"options": elsewhere}, {"encoders": other_width}, {"arrays": arrays}):
        assert cache(**changed).obtain("a").reused, changed
    for changed in ({"encoders": other_width}, {"arrays": arrays}):
        assert not cache(**changed).obtain("b").reused


def test_the_nearest_teacher_is_the_one_that_is_named(cache: Any) -> None:
    cache(replace(OPTIONS, seed=7, lr=0.5)).obtain("a")
    cache(replace(OPTIONS, seed=8)).obtain("a")
    made = cache()
    made.obtain("a")
    assert made.messages == [
        "teacher of a: training, because the most similar one has seed 8 instead of 0."
    ]


def test_the_determinants_are_saved_with_the_teacher(cache: Any) -> None:
    made = cache()
    facts = json.loads((made.obtain("a").folder / "determinants.json").read_text())
    assert facts == made.determinants("a")
    assert {
        "schema",
        "modality",
        "encoder",
        "task",
        "data",
        "protocol",
        "seed",
        "epochs",
        "batch_size",
        "lr",
        "schedule",
        "select_on",
    } <= set(facts)
    assert not {"device", "workers", "threads", "compile", "eval_batch_size"} & set(facts)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: _cut(folder / "checkpoints" / "best" / "model.safetensors"),
        lambda folder: _cut(folder / "checkpoints" / "last" / "model.safetensors"),
        lambda folder: (folder / "checkpoints" / "best" / "model.safetensors").unlink(),
        lambda folder: (folder / "teacher.json").write_text('{"epoch": 2'),
    ],
)
def test_a_damaged_teacher_is_trained_again(cache: Any, damage: Callable[[Path], object]) -> None:
    teacher = cache().obtain("a")
    damage(teacher.folder)
    made = cache()
    again = made.obtain("a")
    assert made.messages == ["teacher of a: training, because its files are damaged."]
    assert {**again.facts, "seconds": 0} == {**teacher.facts, "seconds": 0}
    assert cache().obtain("a").reused


class Interruption(Callback):
    def on_epoch(self, record: Any) -> None:
        if record["epoch"] == 2:
            raise KeyboardInterrupt


def test_an_interrupted_teacher_resumes_and_a_damaged_one_is_deleted(
    cache: Any, tmp_path: Path
) -> None:
    whole = cache().obtain("b")

    def interrupted() -> Path:
        with pytest.raises(KeyboardInterrupt):
            cache(watch=lambda name: [Interruption()]).obtain("a")
        assert not list((tmp_path / "teachers").glob("a-*/teacher.json"))
        (folder,) = (tmp_path / "teachers").glob("a-*")
        return folder

    folder = interrupted()
    epochs: list[int] = []

    class Counting(Callback):
        def on_epoch(self, record: Any) -> None:
            epochs.append(record["epoch"])

    first = cache(watch=lambda name: [Counting()]).obtain("a")
    assert epochs == [2]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    _cut(interrupted() / "checkpoints" / "last" / "optimizer.safetensors")
    again = cache(watch=lambda name: [Counting()]).obtain("a")
    assert epochs == [2, 1, 2]
    assert {**again.facts, "seconds": 0} == {**first.facts, "seconds": 0}
    assert whole.folder.is_dir()


def test_outputs_are_cached_only_if_rows_are_the_same_in_every_epoch(cache: Any) -> None:
    assert not isinstance(cache().teachers()[0], CachedTeachers)
    cached, _ = cache(**FIXED).teachers()
    assert isinstance(cached, CachedTeachers)
    source = cache(**FIXED).source
    rows = np.concatenate([source.rows("train"), source.rows("valid")])
    assert cached.known[rows].all()
    plain = Teachers(cached.models)
    batch: Batch = source.view(
        source.gather(source.rows("train")[5:9]), seed=0, epoch=1, train=True
    )
    for m in source.modalities:
        torch.testing.assert_close(cached(batch).features[m], plain(batch).features[m])
        torch.testing.assert_close(cached(batch).ranking_logits[m], plain(batch).logits[m])


def test_a_student_of_cached_teachers_resumes_bit_for_bit(
    cache: Any, toy: Any, content: Any, tmp_path: Path
) -> None:
    def student(folder: Path, callbacks: Any = ()) -> None:
        teachers, _ = cache(**FIXED).teachers()
        problem = toy(changed=FIXED)
        model = problem.model()
        method = G2D(teachers=teachers, tau=(1, 2)).build(model, problem.source().task)
        fit(
            method,
            model,
            problem.source(),
            TrainOptions(epochs=3, batch_size=7),
            folder=folder,
            callbacks=callbacks,
        )

    student(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        student(tmp_path / "cut", [Interruption()])
    student(tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_training_teachers_or_reusing_them_gives_the_same_student(cache: Any, toy: Any) -> None:
    weights = []
    for _ in range(2):
        teachers, members = cache().teachers()
        problem = toy()
        model = problem.model()
        fit(
            G2D(teachers=teachers, tau=(1, 1)).build(model, problem.source().task),
            model,
            problem.source(),
            replace(OPTIONS, epochs=2),
        )
        weights.append(model.state_dict())
    assert all(isinstance(teacher, Teacher) and teacher.reused for teacher in members)
    assert all(
        torch.equal(a, b) for a, b in zip(*(values.values() for values in weights), strict=True)
    )


def test_a_teachers_folder_can_be_verified(cache: Any) -> None:
    folder = cache().obtain("a").folder
    for which in ("best", "last"):
        checkpoint.verify(folder / "checkpoints" / which)
