"""Warnings about a run that its teachers give before training, and its scores after it.

They change nothing: no choice, no weight, no score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.analysis.bootstrap import bootstrap_ratio, percent
from g2d.analysis.significance import (
    LEVEL,
    Mean,
    Values,
    chance_of,
    clustered_mean,
    groups_needed,
    p_above,
)
from g2d.data import Loader, Source, Split
from g2d.engine.evaluate import Evaluation
from g2d.errors import G2DError
from g2d.experiment.student import Student
from g2d.experiment.teachers import TeacherSet
from g2d.functional.lags import CAUGHT_UP
from g2d.method import LAG, MEMORIZATION, Method
from g2d.model import Teachers
from g2d.modulations import SMP
from g2d.runs import ANALYSIS, read_analysis, read_result
from g2d.task import Task

FAR = 0.10
"""Difference of two confidences, or of two shares of right answers, that is far."""
CLEAR = 3.0
"""Number of standard errors that such a difference must exceed, too."""
SAMPLED = 2000
"""Number of training rows that are enough for the error of a mean."""
JOINT, FOUND = "joint", "found"


@dataclass(frozen=True)
class _Rows:
    """Answers of the teachers to the rows of a split.

    Args:
        confidence: Confidence in the true target ``(N,)`` per modality; NaN where it is absent.
        hits: What :meth:`g2d.task.Task.hits` returns, in the same form.
        target: Targets of all rows.
        group: Group of every row ``(N,)``.
    """

    confidence: dict[str, Values]
    hits: dict[str, Values]
    target: NDArray[Any]
    group: NDArray[np.int64]


def before_training(student: Student, sets: Sequence[TeacherSet], out: Path) -> list[str]:
    """Return warnings about the teachers of a run, and about an interaction that it would lose.

    Args:
        student: The student, not yet trained.
        sets: Its teachers; empty if it has none.
        out: The run folder; earlier runs next to it may know the share of the interaction.
    """
    if not sets or not student.recipe.needs_teachers or not student.method.trains:
        return []
    teachers, source = sets[0].teachers, student.source
    device = student.recipe.train.resolved_device()
    valid = _rows(teachers, source, "valid", device)
    notices = [
        *(
            f"The teacher of {m} is not above chance: {words}. It cannot guide the student."
            for m, words in at_chance(valid.hits, valid.target, valid.group, source.task).items()
        ),
        *_better_on_validation(sets[0], valid),
    ]
    by = _ranking(student.method)
    if by in (MEMORIZATION, "validation"):
        train = _rows(teachers, source, "train", device) if by == MEMORIZATION else None
        total = len(source.rows("train"))
        notices += _too_few_rows(valid, train, total)
    elif by == LAG:
        notices += _too_few_rows_for_lags(valid, source.task)
    return [*notices, *_interaction_is_lost(student, out)]


@torch.no_grad()
def _rows(teachers: Teachers, source: Source, split: Split, device: torch.device) -> _Rows:
    """Ask the teachers that rank about a split, or a random part of many training rows."""
    task, count = source.task, len(source.rows(split))
    fraction = min(1.0, SAMPLED / count) if split == "train" else 1.0
    loader = Loader(source, split, 512, shuffle=fraction < 1, device=device)
    kept: dict[str, dict[str, list[Values]]] = {m: {"c": [], "h": []} for m in teachers.modalities}
    target, index = [], []
    for batch in loader.sample(fraction, 1):
        for m, logits in teachers(batch).ranking_logits.items():
            absent = ~batch.has(m).bool().cpu().numpy()
            for key, measure in (("c", task.confidence), ("h", task.hits)):
                values = measure(logits, batch.target).double().cpu().numpy()
                kept[m][key].append(np.where(absent, np.nan, values))
        target.append(batch.target.cpu().numpy())
        assert batch.index is not None
        index.append(batch.index.cpu().numpy())
    joined = {m: {k: np.concatenate(v) for k, v in parts.items()} for m, parts in kept.items()}
    group = np.unique(source.group[np.concatenate(index)], return_inverse=True)[1]
    return _Rows(
        {m: parts["c"] for m, parts in joined.items()},
        {m: parts["h"] for m, parts in joined.items()},
        np.concatenate(target),
        group.astype(np.int64),
    )


def at_chance(
    hits: Mapping[str, Values], target: NDArray[Any], group: NDArray[np.int64], task: Task
) -> dict[str, str]:
    """Return the modalities whose teacher is not above chance, each with what was found.

    Nothing is known of a modality that no validation row has; it is not returned.

    Args:
        hits: What :meth:`g2d.task.Task.hits` returns for validation rows ``(N,)``, per modality;
            NaN where it is absent.
        target: Targets of these rows.
        group: Group of every row ``(N,)``.
        task: Kind of target.
    """
    described: dict[str, str] = {}
    for m, own in hits.items():
        known = ~np.isnan(own)
        if not known.any():
            continue
        if task.discrete:
            mean, chance = clustered_mean(own, group), chance_of(target[known])
            p = min(1.0, len(hits) * p_above(mean.value, mean.groups, chance))
            if p < LEVEL:
                continue
            described[m] = (
                f"{percent(mean.value)} of {mean.groups} independent validation rows are right, "
                f"chance is {percent(chance)} (p = {p:.2g}, corrected for {len(hits)} teachers)"
            )
        else:
            values = target[known].astype(np.float64)
            spread = np.square(values - values.mean(0)).mean(1)
            error = bootstrap_ratio(-own[known], spread, group[known])
            if error.high < 1:
                continue
            described[m] = (
                f"its R² on the validation rows is {1 - error.value:.2f} "
                f"[{1 - error.high:.2f}, {1 - error.low:.2f}]"
            )
    return described


def _better_on_validation(teachers: TeacherSet, valid: _Rows) -> Iterator[str]:
    """Yield a warning for every teacher that is far more confident on rows it has not seen."""
    for teacher in teachers.members:
        m, splits = teacher.modality, teacher.facts["splits"]
        train, on_valid = (splits[split]["confidence"] for split in ("train", "valid"))
        error = clustered_mean(valid.confidence[m], valid.group).error
        if on_valid - train > max(FAR, CLEAR * error):
            yield (
                f"The teacher of {m} is more confident in the true target on validation rows "
                f"({on_valid:.2f}) than on training rows ({train:.2f}). Training targets may be "
                "noisier than validation targets, or validation rows may be among those that the "
                "features were learned from."
            )


def _ranking(method: Method) -> str | None:
    """Return the ranking that decides which modality learns alone, None if none does."""
    modulation = getattr(method, "modulation", None)
    return modulation.by if isinstance(modulation, SMP) and modulation.exclusive else None


def _too_few_rows(valid: _Rows, train: _Rows | None, total: int) -> Iterator[str]:
    """Yield a warning if neighbors in the ranking are closer than two standard errors.

    Args:
        valid: Validation rows.
        train: Training rows, if their confidence is part of the score.
        total: Number of all training rows, of which ``train`` can be a part.
    """

    def score(m: str) -> float:
        on_valid = float(np.nanmean(valid.confidence[m]))
        return on_valid if train is None else float(np.nanmean(train.confidence[m])) - on_valid

    order = sorted(valid.confidence, key=score)
    for first, second in pairwise(order):
        margin = score(second) - score(first)
        of_valid = clustered_mean(valid.confidence[second] - valid.confidence[first], valid.group)
        fixed = 0.0
        if train is not None:
            both = train.confidence[second] - train.confidence[first]
            share = len(both) / total
            fixed = clustered_mean(both, train.group).error * math.sqrt(share)
        error = math.hypot(of_valid.error, fixed)
        if margin < 2 * error:
            yield _needed(first, second, margin, error, fixed, of_valid)


def _too_few_rows_for_lags(valid: _Rows, task: Task) -> Iterator[str]:
    """Yield a warning if the score of a teacher is less certain than the lag that ends a turn."""
    scores = valid.confidence
    if not task.discrete:
        spread = max(float(valid.target.astype(np.float64).var(0).mean()), 1e-12)
        scores = {m: hits / spread for m, hits in valid.hits.items()}
    errors = {m: clustered_mean(values, valid.group) for m, values in scores.items()}
    m = max(errors, key=lambda m: errors[m].error)
    error, groups = errors[m].error, errors[m].groups
    if error > CAUGHT_UP:
        needed = groups_needed(2 * CAUGHT_UP, error, 0.0, groups) if math.isfinite(error) else None
        yield (
            f"The lag of {m} is not certain: the score of its teacher has a standard error of "
            f"{error:.3f} with {groups:,} independent validation rows, and a lag of {CAUGHT_UP} "
            f"ends a turn. {_enough(needed)}."
        )


def _enough(needed: int | None) -> str:
    if needed is None:
        return "More independent validation rows are needed"
    return f"About {needed:,} independent validation rows would be enough"


def _needed(
    first: str, second: str, margin: float, error: float, fixed: float, of_valid: Mean
) -> str:
    groups = of_valid.groups
    needed = groups_needed(margin, error, fixed, groups) if math.isfinite(error) else None
    more = "No number of validation rows would be enough with these training rows"
    if needed is not None:
        more = _enough(needed)
    return (
        f"The ranking of {first} before {second} is not certain: they differ by {margin:.3f}, the "
        f"standard error is {error:.3f} with {groups:,} independent validation rows. {more}."
    )


def _interaction_is_lost(student: Student, out: Path) -> Iterator[str]:
    """Yield a warning if an earlier joint run found an interaction that teachers cannot show."""
    if student.model.fusion.additive:
        return
    near = (*out.parent.glob(f"*/{ANALYSIS}"), *out.parent.parent.glob(f"*/*/{ANALYSIS}"))
    for path in sorted(set(near)):
        if (text := _found_interaction(path.parent, student.source)) is not None:
            yield (
                f"Information is in the interaction of the modalities: {text} in the joint model "
                f"of {path.parent}. Teachers of single modalities do not know it, and distillation "
                "and exclusive stages lose it. Try method=joint."
            )
            return


def _found_interaction(folder: Path, source: Source) -> str | None:
    """Return the share of the interaction that a diagnosed joint run on the same data found."""
    try:
        result, analysis = read_result(folder), read_analysis(folder)
    except G2DError:
        return None
    if result is None or analysis is None or result.method != JOINT:
        return None
    data, share = result.data, analysis.interaction
    same = (data.content_hash, data.protocol_hash) == (source.content_hash, source.protocol_hash)
    if not same or share is None or share.state != FOUND:
        return None
    value, low, high = (percent(one) for one in share.share)
    return f"{value} [{low}, {high}] of the variance of the prediction"


def after_evaluation(valid: Evaluation, test: Evaluation, source: Source) -> list[str]:
    """Return a warning for every prediction that is far better on validation than on test rows.

    Args:
        valid: Evaluation of the validation split with its rows kept.
        test: The same of the test split.
        source: The data.
    """
    notices, task = [], source.task
    for m, on_valid in _scores(valid, source, "valid").items():
        on_test = _scores(test, source, "test")[m]
        gap = on_valid.value - on_test.value
        if gap > max(FAR, CLEAR * math.hypot(on_valid.error, on_test.error)):
            which = f"The model's own prediction from {m}" if m else "The model"
            unit = "right" if task.discrete else "of the variance explained"
            notices.append(
                f"{which} is far better on validation than on test rows: "
                f"{percent(on_valid.value)} against {percent(on_test.value)} {unit}. Its features "
                "may have been learned from rows that validate here; then the choice of the epoch "
                "means nothing."
            )
    return notices


def _scores(evaluation: Evaluation, source: Source, split: Split) -> Mapping[str, Mean]:
    """Return the share of right answers, or of explained variance, fused (``""``) and unimodal."""
    task, target = source.task, evaluation.target
    assert target is not None
    assert evaluation.logits is not None
    group = np.unique(source.groups(split), return_inverse=True)[1]
    scores = {}
    for m, logits in {"": evaluation.logits, **(evaluation.unimodal_logits or {})}.items():
        hits = task.hits(logits, target).double().numpy()
        if not task.discrete:
            spread = float((target.double() - target.double().mean(0)).square().mean())
            hits = 1 + hits / max(spread, 1e-12)
        if m in source.present:
            hits = np.where(source.present[m][source.rows(split)], hits, np.nan)
        scores[m] = clustered_mean(hits, group)
    return scores
