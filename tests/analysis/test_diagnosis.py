"""The verdict: who is suppressed, who is dead, and when nothing is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g2d.analysis import Rows, diagnose
from g2d.task import Classification, Regression

TASK = Classification(4)


def rows(seed: int = 0, n: int = 600, **sharpness: float) -> Rows:
    """Every modality's own logits tell the class as sharply as told: 0 is noise."""
    g = torch.Generator().manual_seed(1)
    target = torch.randint(4, (n,), generator=g)
    g.manual_seed(seed + 2)
    z = {m: s * torch.eye(4)[target] + torch.randn(n, 4, generator=g) for m, s in sharpness.items()}
    return Rows(
        sum(z.values()) / len(z),
        z,
        z,
        target,
        {m: torch.ones(n, dtype=torch.bool) for m in z},
        np.arange(n),
    )


def taught(**sharpness: float) -> dict[str, Rows]:
    found = {}
    for i, (m, s) in enumerate(sharpness.items()):
        one = rows(10 + i, **{m: s})
        found[m] = Rows(one.unimodal[m], one.unimodal, one.features, one.target, one.has, one.group)
    return found


def test_a_modality_left_below_its_teacher_is_named_with_its_interval() -> None:
    found = diagnose(rows(image=0.6, tone=2.5), TASK, teachers=taught(image=3.0, tone=2.5))
    assert found.suppressed == ["image"]
    assert "image is suppressed" in str(found)
    assert "tone dominates" in str(found)
    assert "warm_start" in str(found)
    gap = found.modalities["image"].gap
    assert gap is not None
    assert 0.05 < gap.low < gap.value < gap.high
    own, teacher = found.modalities["image"].own, found.modalities["image"].teacher
    assert teacher is not None
    assert gap.value == pytest.approx(teacher.value - own.value)


def test_a_balanced_model_has_nothing_wrong_with_it() -> None:
    found = diagnose(rows(image=2.9, tone=2.5), TASK, teachers=taught(image=3.0, tone=2.5))
    assert found.suppressed == []
    assert found.verdict == [
        "Nothing is wrong with every modality: inside this model it gives about what its teacher learnt alone."
    ]
    assert found.advice == []


def test_a_modality_that_is_not_needed_is_no_fault() -> None:
    found = diagnose(rows(image=0.6, tone=12.0), TASK, teachers=taught(image=3.0, tone=12.0))
    assert found.modalities["image"].state == "used little"
    assert found.behind is not None
    assert found.behind.low <= 0
    assert "Nothing is wrong" in str(found)
    assert found.suppressed == found.advice == []


def test_a_dead_modality_is_told_from_a_suppressed_one() -> None:
    found = diagnose(rows(image=2.9, tone=0.0), TASK, teachers=taught(image=3.0, tone=0.0))
    assert found.modalities["tone"].state == "without information"
    assert "tone holds no information that its teacher found" in str(found)
    assert "Nothing is wrong with image" in str(found)


def first(whole: Rows, n: int) -> Rows:
    tables = (
        {m: values[:n] for m, values in table.items()}
        for table in (whole.unimodal, whole.features, whole.has)
    )
    unimodal, features, has = tables
    return Rows(whole.logits[:n], unimodal, features, whole.target[:n], has, whole.group[:n])


def test_a_small_gap_on_few_rows_is_no_verdict() -> None:
    teachers = taught(image=3.0, tone=2.5)
    assert diagnose(rows(image=1.6, tone=2.5), TASK, teachers=teachers).suppressed == ["image"]
    assert (
        diagnose(
            first(rows(image=1.6, tone=2.5), 12),
            TASK,
            teachers={m: first(one, 12) for m, one in teachers.items()},
        ).suppressed
        == []
    )


def test_without_teachers_it_says_what_it_cannot_know() -> None:
    found = diagnose(rows(image=0.6, tone=2.5), TASK, probe={"image": 0.9, "tone": 0.75})
    assert "How much image, tone could give is not known" in str(found)
    assert (
        "The encoder of image knows more than its head uses: a linear probe reaches 90.0 %"
        in str(found)
    )


def test_a_regression_is_judged_by_its_explained_variance() -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.randn(500, 1, generator=g)
    task, there = Regression(1, output="identity", variance=1.0), torch.ones(500, dtype=torch.bool)

    def answer(noise: float) -> torch.Tensor:
        return y * (noise < 2) + noise * 0.3 * torch.randn(500, 1, generator=g)

    def made(**z: torch.Tensor) -> Rows:
        return Rows(sum(z.values()) / len(z), z, z, y, dict.fromkeys(z, there), np.arange(500))

    found = diagnose(
        made(photo=answer(3.0), table=answer(1.0)),
        task,
        teachers={"photo": made(photo=answer(1.0)), "table": made(table=answer(1.0))},
    )
    assert found.suppressed == ["photo"]
    assert found.modalities["table"].own.value == pytest.approx(1 - 0.09, abs=0.03)


def test_a_regression_is_judged_as_it_is_evaluated() -> None:
    task = Regression(1, output="identity", variance=1.0)
    y, z = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.5], [1.0], [3.0]])
    metrics = task.metrics()
    metrics.update(z, y)
    found = diagnose(
        Rows(
            z,
            {"photo": z},
            {"photo": z},
            y,
            {"photo": torch.ones(3, dtype=torch.bool)},
            np.arange(3),
        ),
        task,
    )
    assert found.fused.value == pytest.approx(float(metrics.compute()["r2"]))
