"""Information in the features of a frozen encoder, by a linear probe."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.analysis.rows import Rows
from g2d.task import Task


def linear_probe(train: Rows, test: Rows, task: Task) -> dict[str, float]:
    """Return the test accuracy of a logistic regression on each encoder's features.

    For several labels per row it is the subset accuracy of one such regression per label; for
    values, the R² of a ridge regression. Features are standardized by the training rows.
    Compared with the score of the modality's own head, it separates a weak encoder from a weak
    head.

    Args:
        train: Output of a model for the rows to fit; rows that lack the modality are left out.
        test: Output of the model for the rows to score.
        task: Kind of target.

    Returns:
        A score per modality.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = {}
    for m in train.modalities:
        (features, answers), (unseen, truth) = (
            (rows.features[m][rows.has[m]].numpy(), rows.target[rows.has[m]].numpy())
            for rows in (train, test)
        )
        if not task.discrete:
            ridge = make_pipeline(StandardScaler(), Ridge()).fit(features, answers)
            scores[m] = float(ridge.score(unseen, truth))
            continue
        right = np.ones(len(unseen), np.bool_)
        for known, true in zip(_columns(answers), _columns(truth), strict=True):
            guess = known[:1]
            if (known != guess).any():
                probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
                guess = probe.fit(features, known).predict(unseen)
            right &= guess == true
        scores[m] = float(right.mean())
    return scores


def _columns(answers: NDArray[Any]) -> NDArray[Any]:
    """Return one row per label, or a single one of class numbers."""
    return answers.reshape(len(answers), -1).T
