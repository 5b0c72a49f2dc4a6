"""Controls that need no deep learning: a constant prediction, and a linear model.

They expose a problem, an encoder or a training that is broken: a trained model that is not clearly
above a linear model on pooled inputs has not shown anything about balancing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.data import Source
from g2d.engine.evaluate import scores
from g2d.engine.pooled import PooledRows, pooled_rows
from g2d.task import Classification, Regression, Task

MOST_ROWS = 5000
"""Number of training rows, and of validation rows, that are enough; of more, some are used."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the penalty; the best one on the validation rows is used."""
LEAST_LOGIT = -30.0
"""Logit of a class without training rows, and the least of the others."""
LEAST_SPREAD = 1e-6
"""Standard deviation below which a column is constant."""

PATIENCE = 2
"""Number of strengths in a row that are no better, after which weaker penalties are left out."""
ITERATIONS = 50
"""Largest number of iterations of a logistic regression, each begun at the one before."""
KEPT: dict[tuple[Any, ...], dict[str, Any]] = {}
"""Controls of the data sets of this process: every run of a comparison has the same."""

Matrix = NDArray[np.float32]
Predict = Callable[[Matrix], Tensor]
"""Function from vectors ``(N, d)`` to logits ``(N, C)``."""


@dataclass(frozen=True)
class Columns:
    """Scaling of the vectors of one modality, fitted on training rows.

    Vectors of numbers are standardized; a column of two values, such as a category, gets the range
    1 instead, because a rare category would become large. Counts of tokens are weighted by tf-idf,
    and rows have length one before they are scaled like the numbers.

    Args:
        mean: Mean of every column.
        scale: Factor of every column after the mean is subtracted.
        idf: Weight of every column of counts; None for numbers.
        flagged: Whether a column says which rows have the modality.
    """

    mean: Matrix
    scale: Matrix
    idf: Matrix | None
    flagged: bool

    @classmethod
    def fit(cls, rows: PooledRows, modality: str) -> Columns:
        """Fit the scaling on training rows.

        Args:
            rows: The training rows.
            modality: Name of the modality.
        """
        has = rows.has[modality]
        values = rows.values[modality][has]
        idf = None
        if modality in rows.counts:
            idf = np.log((1 + len(values)) / (1 + (values > 0).sum(0))) + 1
            values = _tf_idf(values, idf)
        mean, spread = values.mean(0), values.std(0)
        if idf is not None:
            mean, spread = np.zeros_like(mean), np.full_like(spread, np.sqrt(spread.var() + 1e-3))
        else:
            low, high = values.min(0), values.max(0)
            spread = np.where(((values == low) | (values == high)).all(0), high - low, spread)
        scale = np.where(spread > LEAST_SPREAD, 1 / np.maximum(spread, LEAST_SPREAD), 0.0)
        return cls(mean, scale, idf, flagged=not has.all())

    def __call__(self, rows: PooledRows, modality: str) -> Matrix:
        """Return the scaled vectors ``(N, d)``; zero in rows that lack the modality."""
        values, has = rows.values[modality], rows.has[modality]
        if self.idf is not None:
            values = _tf_idf(values, self.idf)
        scaled = (values - self.mean) * self.scale * has[:, None]
        return np.column_stack([scaled, has]) if self.flagged else scaled


def _tf_idf(counts: Matrix, idf: Matrix) -> Matrix:
    weighted: Matrix = np.log1p(counts) * idf
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    unit: Matrix = weighted / np.maximum(lengths, 1e-12)
    return unit


def plain_controls(source: Source) -> dict[str, Any]:
    """Fit the controls on the training rows and evaluate them on the test rows.

    The strength of the linear model's penalty is chosen on the validation rows.

    Args:
        source: The data.

    Returns:
        Their part of ``result.json``: ``constant``, and ``linear`` with the scores of every
        modality alone.
    """
    key = (source.content_hash, source.protocol_hash, source.modalities)
    if key not in KEPT:
        KEPT[key] = _measured(source)
    return deepcopy(KEPT[key])


def _measured(source: Source) -> dict[str, Any]:
    task = source.task
    train, valid, test = (
        pooled_rows(source, "train", MOST_ROWS),
        pooled_rows(source, "valid", MOST_ROWS),
        pooled_rows(source, "test", len(source.target)),
    )
    columns = {m: Columns.fit(train, m) for m in source.modalities}
    constant = _constant(task, train.target)
    alone = {
        m: _fitted(task, columns, [m], *(_having(rows, m) for rows in (train, valid, test)))
        for m in source.modalities
    }
    # Vectors of one modality can be better than all: the validation rows decide.
    sets = [[m] for m in source.modalities if all(r.has[m].all() for r in (train, valid, test))]
    sets += [list(source.modalities)] if len(source.modalities) > 1 or not sets else []
    models = [_fitted(task, columns, some, train, valid, test) for some in sets]
    best = max(models, key=lambda model: model.valid)
    return {
        "constant": {"test": scores(task, constant.expand(len(test.target), -1), test.target)},
        "linear": {
            "test": best.test,
            "unimodal": {m: model.test for m, model in alone.items()},
            "strengths": {m: model.strength for m, model in alone.items()}
            | {"all": models[-1].strength},
        },
    }


@dataclass(frozen=True)
class Fitted:
    """A linear model at its best strength.

    Args:
        valid: Headline metric on the validation rows.
        test: Test scores.
        strength: Inverse strength of its penalty.
    """

    valid: float
    test: dict[str, float]
    strength: float


def _having(rows: PooledRows, modality: str) -> PooledRows:
    """Return the rows that have a modality."""
    has = rows.has[modality]
    return PooledRows(
        {modality: rows.values[modality][has]},
        {modality: has[has]},
        rows.counts,
        rows.target[torch.from_numpy(has)],
    )


def _fitted(
    task: Task,
    columns: Mapping[str, Columns],
    modalities: Sequence[str],
    train: PooledRows,
    valid: PooledRows,
    test: PooledRows,
) -> Fitted:
    """Return a linear model on some modalities."""

    def matrix(rows: PooledRows) -> Matrix:
        return np.concatenate([columns[m](rows, m) for m in modalities], axis=1)

    if not (len(train.target) and len(valid.target) and len(test.target)):
        return Fitted(-np.inf, {}, STRENGTHS[0])
    x, held = matrix(train), matrix(valid)
    best, chosen, strength, worse = -np.inf, _constant_model(task, train.target), STRENGTHS[0], 0
    for inverse, predict in zip(STRENGTHS, _path(task, x, train.target), strict=False):
        score = scores(task, predict(held), valid.target)[task.headline]
        worse += 1
        if score > best:
            best, chosen, strength, worse = score, predict, inverse, 0
        if worse == PATIENCE:
            break
    return Fitted(best, scores(task, chosen(matrix(test)), test.target), strength)


def _constant(task: Task, target: Tensor) -> Tensor:
    """Return the logits ``(1, C)`` of the best constant prediction."""
    if isinstance(task, Regression):
        return task.unsquash(target.float().mean(0, keepdim=True))
    if isinstance(task, Classification):
        frequency = torch.bincount(target, minlength=task.outputs).float() / len(target)
        return task.logits_of(frequency[None])
    return task.logits_of(target.float().mean(0, keepdim=True))


def _constant_model(task: Task, target: Tensor) -> Predict:
    logits = _constant(task, target)
    return lambda x: logits.expand(len(x), -1)


def _path(task: Task, x: Matrix, target: Tensor) -> Iterator[Predict]:
    """Yield a model per strength, strongest penalty first; none if there is nothing to fit."""
    y = target.numpy()
    if isinstance(task, Regression):
        return (_ridge(task, x, y, inverse) for inverse in STRENGTHS)
    if isinstance(task, Classification):
        return (_classes(task, model) for model in _logistic(x, y))
    return _labels(task, x, y)


def _ridge(task: Regression, x: Matrix, y: Matrix, inverse: float) -> Predict:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / inverse).fit(x, y)

    def predict(rows: Matrix) -> Tensor:
        values = torch.from_numpy(np.asarray(model.predict(rows)).reshape(len(rows), -1))
        return task.unsquash(values.float())

    return predict


def _classes(task: Classification, model: Any) -> Predict:
    def predict(rows: Matrix) -> Tensor:
        # A class without training rows gets less than any other.
        logits = torch.full((len(rows), task.outputs), LEAST_LOGIT)
        known = torch.from_numpy(model.predict_log_proba(rows)).float()
        logits[:, torch.from_numpy(model.classes_)] = known.clamp(min=LEAST_LOGIT)
        return logits

    return predict


def _labels(task: Task, x: Matrix, y: NDArray[Any]) -> Iterator[Predict]:
    """Yield one logistic regression per label; a label that never changes gets its frequency."""
    base = _constant(task, torch.from_numpy(y))
    changing = [j for j in range(y.shape[1]) if 0 < y[:, j].mean() < 1]
    for models in zip(*(_logistic(x, y[:, j].astype(np.int64)) for j in changing), strict=True):

        def predict(rows: Matrix, models: tuple[Any, ...] = models) -> Tensor:
            logits = base.expand(len(rows), -1).clone()
            for j, model in zip(changing, models, strict=True):
                logits[:, j] = torch.from_numpy(model.decision_function(rows)).float()
            return logits

        yield predict


def _logistic(x: Matrix, y: NDArray[np.int64]) -> Iterator[Any]:
    """Yield a logistic regression per strength, each begun at the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2:
        return
    model = LogisticRegression(max_iter=ITERATIONS, tol=1e-2, warm_start=True)
    for inverse in STRENGTHS:
        model.set_params(C=inverse)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        yield deepcopy(model)
