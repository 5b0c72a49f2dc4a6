"""What a frozen encoder knows: a linear probe of its features."""

from __future__ import annotations

from g2d.analysis.rows import Rows


def linear_probe(train: Rows, test: Rows) -> dict[str, float]:
    """Per modality, the test accuracy of a logistic regression on the encoder's features (of values: R² of a ridge regression).

    Features are standardised by the training rows. Against the modality's own head it tells a weak encoder from a weak head.

    Args:
        train: rows to fit; those that lack the modality are left out.
        test: rows to score.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = {}
    for m in train.modalities:
        probe = make_pipeline(
            StandardScaler(),
            LogisticRegression(max_iter=2000) if train.target.ndim == 1 else Ridge(),
        )
        fit, score = (
            ((rows.features[m][rows.has[m]]).numpy(), rows.target[rows.has[m]].numpy())
            for rows in (train, test)
        )
        found[m] = float(probe.fit(*fit).score(*score))
    return found
