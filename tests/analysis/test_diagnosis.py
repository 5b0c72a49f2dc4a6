"""The verdict: which modality is suppressed, which has no information, when nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import g2d
from g2d import analysis
from g2d.analysis import Interaction, Interval, Rows, diagnose
from g2d.fusion import FiLM
from g2d.task import Classification, Regression
from g2d.types import Batch

TASK = Classification(4)
EPOCHS = 15


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
        "Nothing is wrong: inside this model each modality gives about what its teacher learned "
        "alone, and all together reach 98.5 %; no control is certainly better."
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


NOT_FOUND = Interaction(Interval(0.03, 0.02, 0.04), 600)
FOUND = Interaction(Interval(0.4, 0.35, 0.45), 600)
SUM = Interaction(Interval(0.0, 0.0, 0.0), 600)


@pytest.mark.parametrize(
    ("interaction", "lost", "state", "words"),
    [
        (NOT_FOUND, 0.0, "without information", "tone holds no information"),
        (NOT_FOUND, -0.3, "without information", "without it all together reach 30"),
        (NOT_FOUND, 0.3, "of use only together", "tone is of use only together with others"),
        (FOUND, 0.3, "of use only together", str(FOUND)),
        (FOUND, 0.0, "cannot tell", "although the model reads modalities together"),
        (SUM, 0.0, "cannot tell", "a sum of one part per modality"),
        (None, 0.0, "cannot tell", "was not measured"),
        (NOT_FOUND, None, "cannot tell", "was not measured"),
    ],
)
def test_a_modality_near_chance_is_judged_by_what_is_lost_without_it_and_by_the_interaction(
    interaction: Interaction | None, lost: float | None, state: str, words: str
) -> None:
    output = rows(image=2.9, tone=0.0)
    # A constant added to the fused logits of a class hides that they are a sum of heads.
    if interaction is not SUM:
        output = replace(output, logits=output.logits + torch.tensor([0.0, 0.0, 0.0, 0.3]))
    complete = np.where(np.arange(600) % 10 < 6, 1.0, 0.0)
    without = np.where(np.arange(600) % 10 < 6 - 10 * (lost or 0.0), 1.0, 0.0)
    diagnosis = diagnose(
        output,
        TASK,
        teachers=teachers_of(image=3.0, tone=0.0),
        complete=complete,
        without=None if lost is None else {"image": complete, "tone": without},
        interaction=interaction,
    )
    assert diagnosis.modalities["tone"].state == state
    assert words in str(diagnosis)
    assert ("eave it out" in str(diagnosis)) == (state == "without information")
    assert ("method: joint, and a diagnosis" in str(diagnosis)) == (interaction is SUM)
    assert ("methods that rely on unimodal teachers" in str(diagnosis)) == (
        state == "of use only together" or interaction is FOUND
    )
    assert "image gives about what its teacher learned alone" in str(diagnosis)
    assert "Nothing is wrong" not in str(diagnosis)


def test_a_fusion_that_loses_what_a_head_has_is_named_and_so_is_the_head_that_drowns_it() -> None:
    """Head a is always right and unsure, head b is right in 80 % of the rows and very sure."""
    g = torch.Generator().manual_seed(0)
    target = torch.randint(2, (600,), generator=g)
    wrong = torch.rand(600, generator=g) < 0.2
    z = {"a": torch.eye(2)[target], "b": 6 * torch.eye(2)[torch.where(wrong, 1 - target, target)]}
    has = dict.fromkeys(z, torch.ones(600, dtype=torch.bool))

    def output(logits: torch.Tensor, *names: str) -> Rows:
        own = {m: z[m] for m in names}
        return Rows(logits, own, own, target, {m: has[m] for m in names}, np.arange(600))

    both = output((z["a"] + z["b"]) / 2, "a", "b")
    alone = {m: output(z[m], m) for m in z}
    diagnosis = diagnose(both, Classification(2), teachers=alone)
    assert diagnosis.faults == [
        "the fusion loses what an encoder has",
        "one head drowns the others",
    ]
    assert "from a alone this model reaches 100.0 %" in str(diagnosis)
    assert "from all modalities together 78.7 %, 21.3 points less" in str(diagnosis)
    assert "The head of b drowns the others: it gives 77" in str(diagnosis)
    assert "lifts the model from 78.7 % to 100.0 %" in str(diagnosis)
    assert "Nothing is wrong" not in str(diagnosis)
    assert [advice.split(",")[0] for advice in diagnosis.advice] == [
        "one weight per head",
        "the teachers' calibrated ensemble (method: ume",
        "a alone",
    ]
    unfused = diagnose(replace(both, logits=z["a"]), Classification(2), teachers=alone)
    assert unfused.faults == []
    assert "Nothing is wrong" in str(unfused)


def test_a_teacher_that_is_better_than_all_together_is_named() -> None:
    """Both heads are as their teachers, and the fused prediction is worse than the best one."""
    output = rows(image=3.0, tone=0.9)
    diagnosis = diagnose(
        replace(output, logits=output.unimodal["tone"]),
        TASK,
        teachers=teachers_of(image=3.0, tone=0.9),
    )
    assert diagnosis.faults == ["the fusion loses what an encoder has"]
    assert "fusion: late" in str(diagnosis)
    weak = rows(image=1.0, tone=0.9)
    diagnosis = diagnose(weak, TASK, teachers=teachers_of(image=3.0, tone=0.9))
    assert diagnosis.faults == ["the fusion is worse than a teacher"]
    assert "worse than one encoder alone: the teacher of image reaches" in str(diagnosis)


def test_a_teacher_below_the_model_is_too_weak_to_judge_by() -> None:
    diagnosis = diagnose(rows(image=3.0, tone=2.5), TASK, teachers=teachers_of(image=1.0, tone=2.5))
    assert diagnosis.modalities["image"].state == "teacher too weak"
    assert "The teacher of image is too weak to judge by: alone it reaches" in str(diagnosis)
    assert "teachers.epochs" in str(diagnosis)
    assert "Nothing is wrong" not in str(diagnosis)
    assert "tone gives about what its teacher learned alone" in str(diagnosis)


def test_nothing_is_called_right_while_a_control_is_better() -> None:
    output, teachers = rows(image=1.2, tone=1.2), teachers_of(image=1.2, tone=1.2)
    right = output.hits(TASK)
    worse = np.where(np.arange(600) % 50, right, 0.0)
    for control, better in ((right, False), (np.where(np.arange(600) % 30, right, 1.0), True)):
        diagnosis = diagnose(output, TASK, teachers=teachers, controls={"a control": control})
        assert ("Nothing is wrong" in str(diagnosis)) != better
        assert ("reaches more: a control, " in str(diagnosis)) == better
        assert any("method: ume" in advice for advice in diagnosis.advice) == better
    assert diagnose(output, TASK, teachers=teachers, controls={"worse": worse}).advice == []


def test_halves_of_a_parity_are_of_use_only_together() -> None:
    """Two handwritten digits, the class is the parity of their sum, fused by FiLM."""
    digits = load_digits()
    pictures = torch.tensor(digits.images / 16, dtype=torch.float32).flatten(1)
    g = torch.Generator().manual_seed(0)

    def batch(first: int, last: int, rows: int) -> Batch:
        pairs = {m: torch.randint(first, last, (rows,), generator=g) for m in ("left", "right")}
        values = {m: torch.tensor(digits.target)[pair] for m, pair in pairs.items()}
        parity = (values["left"] + values["right"]) % 2
        return Batch({m: pictures[pair] for m, pair in pairs.items()}, parity)

    def fitted(train: Batch, *modalities: str) -> g2d.MultimodalModel:
        torch.manual_seed(0)
        widths = dict.fromkeys(modalities, 32)
        model = g2d.MultimodalModel(
            {m: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32)) for m in widths},
            FiLM(widths, 2) if len(widths) > 1 else g2d.Late(widths, 2),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for rows in torch.randint(len(train), (EPOCHS * len(train) // 64, 64), generator=g):
            inputs = {m: train.inputs[m][rows] for m in modalities}
            loss = nn.functional.cross_entropy(model(inputs).logits, train.target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.eval()

    train, test = batch(0, 1200, 3000), batch(1200, 1797, 600)
    model = fitted(train, "left", "right")
    teachers = {m: fitted(train, m) for m in model.modalities}
    pool = analysis.feature_pool(model, [test], analysis.feature_means(model, [train]))
    complete, *without = (
        g2d.Classification(2)
        .hits(pool.logits(pool.own, without=some), test.target)
        .double()
        .numpy()
        for some in ((), ("left",), ("right",))
    )
    diagnosis = diagnose(
        analysis.collect(lambda rows: model(rows.inputs, unimodal=True), [test]),
        g2d.Classification(2),
        teachers={
            m: analysis.collect(lambda rows, m=m: teachers[m]({m: rows.inputs[m]}), [test])
            for m in teachers
        },
        complete=complete,
        without=dict(zip(model.modalities, without, strict=True)),
        interaction=analysis.interaction_share(pool),
    )
    assert {f.state for f in diagnosis.modalities.values()} == {"of use only together"}
    assert "left is of use only together with others" in str(diagnosis)
    assert "right is of use only together with others" in str(diagnosis)
    assert "eave it out" not in str(diagnosis)
    assert "use film" in str(diagnosis) or "fusion: film" in str(diagnosis)


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
    assert "Not certain on these rows, but possible: image gives" in str(diagnosis)
    assert "Nothing is wrong" not in str(diagnosis)


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
