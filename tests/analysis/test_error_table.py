"""Which heads are right, against whether the fused prediction is right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from g2d.analysis import Rows, error_table
from g2d.errors import UnsupportedError
from g2d.task import Classification, Regression

TASK = Classification(3)


def rows_of(has_tone: torch.Tensor | None = None) -> Rows:
    g = torch.Generator().manual_seed(0)
    z = {m: torch.randn(90, 3, generator=g) for m in ("image", "tone", "word")}
    has = {m: torch.ones(90, dtype=torch.bool) for m in z}
    if has_tone is not None:
        has["tone"] = has_tone
    fused = torch.randn(90, 3, generator=g)
    return Rows(fused, z, z, torch.arange(90) % 3, has, np.arange(90))


def test_every_pattern_is_counted_as_by_hand() -> None:
    rows = rows_of(torch.arange(90) > 10)
    table = error_table(rows, TASK)
    counts: Counter[tuple[str, ...]] = Counter()
    fused_right: Counter[tuple[str, ...]] = Counter()
    rescue = loss = oracle = 0
    for i, target in enumerate(rows.target):
        right = tuple(
            m for m, z in rows.unimodal.items() if rows.has[m][i] and z[i].argmax() == target
        )
        fused = bool(rows.logits[i].argmax() == target)
        counts[right] += 1
        fused_right[right] += fused
        rescue += fused and not right
        loss += bool(right) and not fused
        oracle += bool(right)
    assert len(table.patterns) == 8
    assert [len(pattern.right) for pattern in table.patterns][:: len(table.patterns) - 1] == [3, 0]
    for pattern in table.patterns:
        assert pattern.share == pytest.approx(counts[pattern.right] / 90)
        assert pattern.fused == pytest.approx(fused_right[pattern.right] / counts[pattern.right])
    values = (table.rescue.value, table.loss.value, table.oracle.value)
    assert values == pytest.approx((rescue / 90, loss / 90, oracle / 90))
    fused_accuracy = rows.hits(TASK).mean()
    assert fused_accuracy == pytest.approx(values[2] + values[0] - values[1])
    assert table.loss.low < table.loss.value < table.loss.high
    assert f"loses {100 * values[1]:.1f} %" in str(table)


def test_the_ensemble_is_the_mean_of_the_probabilities_of_the_heads_that_a_row_has() -> None:
    has = torch.arange(90) % 2 == 0
    rows = rows_of(has)
    right = 0
    for i, target in enumerate(rows.target):
        heads = [z[i].softmax(0) for m, z in rows.unimodal.items() if m != "tone" or has[i]]
        right += bool(torch.stack(heads).mean(0).argmax() == target)
    assert error_table(rows, TASK).ensemble.value == pytest.approx(right / 90)


def test_values_have_no_right_and_wrong() -> None:
    z = torch.zeros(4, 1)
    rows = Rows(z, {"a": z}, {"a": z}, z, {"a": z[:, 0] == 0}, np.arange(4))
    with pytest.raises(UnsupportedError, match="an error table must have classes, found values"):
        error_table(rows, Regression(1, output="identity"))
