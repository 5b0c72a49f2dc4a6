"""Information in the features of a frozen encoder, by a linear probe."""

from __future__ import annotations

from g2d.analysis.rows import Rows


def linear_probe(train: Rows, test: Rows) -> dict[str, float]:
    """Return the test accuracy of a logistic regression on each encoder's features.

    For values it is the R² of a ridge regression. Features are standardized by the training rows.
    Compared with the score of the modality's own head, it separates a weak encoder from a weak
    head.

    Args:
        train: Output of a model for the rows to fit; rows that lack the modality are left out.
        test: Output of the model for the rows to score.

    Returns:
        A score per modality.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = {}
    for m in train.modalities:
        probe = make_pipeline(
            StandardScaler(),
            LogisticRegression(max_iter=2000) if train.target.ndim == 1 else Ridge(),
        )
        fit, score = (
            ((rows.features[m][rows.has[m]]).numpy(), rows.target[rows.has[m]].numpy())
            for rows in (train, test)
        )
        scores[m] = float(probe.fit(*fit).score(*score))
    return scores
