"""Stacks of heads: the weighted sum, saving, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import g2d
from g2d.cli import app
from g2d.engine import checkpoint
from g2d.engine.stack import Stack
from g2d.errors import UnsupportedError
from g2d.method import Method
from g2d.model import MultimodalModel
from support.workbench import Bench, predicted


def stacked(
    name: str = "joint", fusion: str = "late", sets: int = 2
) -> tuple[Bench, MultimodalModel, Method, Stack]:
    bench = Bench(name, fusion=fusion)
    model, method, _ = bench.train()
    return bench, model, method, Stack(method, [bench.teachers() for _ in range(sets)])


@pytest.mark.parametrize("fusion", ["late", "concat"])
def test_without_fitted_weights_it_is_the_mean_of_all_heads(fusion: str) -> None:
    bench, model, method, stack = stacked(fusion=fusion)
    batch = next(bench.rows("valid"))
    teachers, student = bench.teachers()(batch), predicted(method, model, batch)
    assert student.unimodal_logits is not None
    ensemble = sum(teachers.logits.values()) / 2
    torch.testing.assert_close(
        predicted(stack, model, batch).logits, (2 * ensemble + student.logits) / 3
    )


def test_its_unimodal_logits_add_up_to_the_fused_ones() -> None:
    bench, model, _, stack = stacked()
    stack.weights = torch.tensor([0.1, 2.0, 0.3, 0.4, 0.5, 0.6])
    output = predicted(stack, model, next(bench.rows("valid")))
    assert output.unimodal_logits is not None
    torch.testing.assert_close(sum(output.unimodal_logits.values()), output.logits)


def test_a_student_without_separate_heads_gives_its_fused_prediction() -> None:
    bench, model, method, stack = stacked("mla")
    batch = next(bench.rows("valid"))
    heads = stack.heads(model, batch.inputs)
    assert [one.modality for one in heads] == ["sight", "sound", "sight", "sound", None]
    torch.testing.assert_close(heads[-1].logits, predicted(method, model, batch).logits)


def test_a_student_that_is_not_trained_gives_no_head() -> None:
    bench, model, _, stack = stacked("ume")
    assert len(stack.heads(model, next(bench.rows("valid")).inputs)) == 4


def test_its_weights_and_members_are_saved_with_it(tmp_path: Path) -> None:
    bench, model, _, stack = stacked()
    stack.weights = torch.tensor([0.1, 2.0, 0.3, 0.4, 0.5, 0.6])
    batch = next(bench.rows("valid"))
    expected = predicted(stack, model, batch).logits
    checkpoint.save(tmp_path / "stack", model, stack)
    other = Bench("joint")
    fresh = other.model(seed=3)
    again = Stack(other.method(fresh), [Bench("joint").teachers() for _ in range(2)])
    for parameter in again.sets.parameters():
        parameter.zero_()
    checkpoint.load(tmp_path / "stack", fresh, again)
    assert torch.equal(predicted(again, fresh, batch).logits, expected)


def test_it_is_never_trained_and_its_heads_are_not_weighted_twice() -> None:
    bench, model, method, stack = stacked()
    with pytest.raises(UnsupportedError, match="epochs of a stack must be 0"):
        stack.training_step(bench.state(method, model), next(bench.rows()))
    assert stack.head_scale(model) is None


@pytest.mark.parametrize(
    ("recipe", "heads"),
    [("stack", ["teachers 1", "teachers 2"]), ("g2d", ["teachers 1", "student"])],
)
def test_a_recipe_stacks_and_is_opened_again(recipe: str, heads: list[str], tmp_path: Path) -> None:
    small = [
        "encoders.image={name: cnn, widths: [4, 4], pool: 1}",
        "encoders.tone={name: mlp, widths: [8]}",
        "data.eval_draws=1",
        "teachers.epochs=1",
    ]
    more = ["method.tau=[1,0]", "stack=1"] if recipe == "g2d" else []
    result = CliRunner().invoke(
        app,
        [
            "train",
            "digits",
            f"method={recipe}",
            *small,
            *more,
            "--quiet",
            "--out",
            str(tmp_path / "a"),
        ],
    )
    assert result.exit_code == 0, result.output
    run = g2d.load(tmp_path / "a")
    assert run.result is not None
    assert list(run.result.stack.head_weights) == [
        f"{member}: {m}" for member in heads for m in ("image", "tone")
    ]
    assert run.evaluate().fused["accuracy"] == pytest.approx(run.result.test.fused["accuracy"])
    assert isinstance(run.method, Stack)
    assert run.method.weights.tolist() == pytest.approx(
        list(run.result.stack.head_weights.values())
    )


def test_a_negative_number_of_sets_is_refused() -> None:
    result = CliRunner().invoke(app, ["train", "digits", "method=stack", "stack=-1"])
    assert result.exit_code == 2
    assert "stack must be greater than or equal to 0, found -1" in result.output
