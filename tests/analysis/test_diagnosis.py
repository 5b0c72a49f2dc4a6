"""The verdict: which modality is suppressed, which has no information, when nothing is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g2d.analysis import Rows, diagnose
from g2d.task import Classification, Regression

TASK = Classification(4)


def rows(seed: int = 0, n: int = 600, **sharpness: float) -> Rows:
    """Return rows whose unimodal logits show the class with a given sharpness; 0 is noise."""
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


def teachers_of(**sharpness: float) -> dict[str, Rows]:
    """Return the output of one teacher per modality."""
    return {m: rows(10 + i, **{m: s}) for i, (m, s) in enumerate(sharpness.items())}


def test_a_modality_left_below_its_teacher_is_named_with_its_interval() -> None:
    diagnosis = diagnose(rows(image=0.6, tone=2.5), TASK, teachers=teachers_of(image=3.0, tone=2.5))
    assert diagnosis.suppressed == ["image"]
    assert "image is suppressed" in str(diagnosis)
    assert "tone dominates" in str(diagnosis)
    assert "warm_start" in str(diagnosis)
    gap = diagnosis.modalities["image"].gap
    assert gap is not None
    assert 0.05 < gap.low < gap.value < gap.high
    own, teacher = diagnosis.modalities["image"].own, diagnosis.modalities["image"].teacher
    assert teacher is not None
    assert gap.value == pytest.approx(teacher.value - own.value)


def test_nothing_is_wrong_with_a_balanced_model() -> None:
    diagnosis = diagnose(rows(image=2.9, tone=2.5), TASK, teachers=teachers_of(image=3.0, tone=2.5))
    assert diagnosis.suppressed == []
    assert diagnosis.verdict == [
        "No modality is suppressed: inside this model each gives about what its teacher "
        "learned alone."
    ]
    assert diagnosis.advice == []


def test_a_modality_that_is_not_needed_is_used_little() -> None:
    diagnosis = diagnose(
        rows(image=0.6, tone=12.0), TASK, teachers=teachers_of(image=3.0, tone=12.0)
    )
    assert diagnosis.modalities["image"].state == "used little"
    assert diagnosis.behind is not None
    assert diagnosis.behind.low <= 0
    assert "Nothing is wrong" in str(diagnosis)
    assert diagnosis.suppressed == diagnosis.advice == []


def test_a_modality_without_information_is_not_called_suppressed() -> None:
    diagnosis = diagnose(rows(image=2.9, tone=0.0), TASK, teachers=teachers_of(image=3.0, tone=0.0))
    assert diagnosis.modalities["tone"].state == "without information"
    assert "tone holds no information that its teacher could use" in str(diagnosis)
    assert "Nothing is wrong with image" in str(diagnosis)


def test_a_small_gap_on_few_rows_is_no_verdict() -> None:
    teachers = teachers_of(image=3.0, tone=2.5)
    assert diagnose(rows(image=1.6, tone=2.5), TASK, teachers=teachers).suppressed == ["image"]
    few = np.arange(12)
    diagnosis = diagnose(
        rows(image=1.6, tone=2.5).at(few),
        TASK,
        teachers={m: teacher.at(few) for m, teacher in teachers.items()},
    )
    assert diagnosis.suppressed == []


def test_without_teachers_the_states_are_unknown() -> None:
    diagnosis = diagnose(rows(image=0.6, tone=2.5), TASK, probe={"image": 0.9, "tone": 0.75})
    assert "How much image, tone could give is not known" in str(diagnosis)
    assert (
        "The encoder of image knows more than its head uses: a linear probe reaches 90.0 %"
        in str(diagnosis)
    )


def test_the_score_of_a_regression_is_its_explained_variance() -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.randn(500, 1, generator=g)
    task, has = Regression(1, output="identity", variance=1.0), torch.ones(500, dtype=torch.bool)

    def prediction(noise: float) -> torch.Tensor:
        return y * (noise < 2) + noise * 0.3 * torch.randn(500, 1, generator=g)

    def output(**z: torch.Tensor) -> Rows:
        return Rows(sum(z.values()) / len(z), z, z, y, dict.fromkeys(z, has), np.arange(500))

    diagnosis = diagnose(
        output(photo=prediction(3.0), table=prediction(1.0)),
        task,
        teachers={"photo": output(photo=prediction(1.0)), "table": output(table=prediction(1.0))},
    )
    assert diagnosis.suppressed == ["photo"]
    assert diagnosis.modalities["table"].own.value == pytest.approx(1 - 0.09, abs=0.03)


def test_the_score_of_a_regression_is_r2() -> None:
    task = Regression(1, output="identity", variance=1.0)
    y, z = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.5], [1.0], [3.0]])
    metrics = task.metrics()
    metrics.update(z, y)
    has = {"photo": torch.ones(3, dtype=torch.bool)}
    diagnosis = diagnose(Rows(z, {"photo": z}, {"photo": z}, y, has, np.arange(3)), task)
    assert diagnosis.fused.value == pytest.approx(metrics.compute()["r2"])
