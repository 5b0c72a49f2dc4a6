"""Information in the interaction of modalities: what no sum of unimodal functions explains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from g2d.analysis.bootstrap import Interval, bootstrap_ratio
from g2d.analysis.pool import Pool

LARGE = 0.10
"""Share of the variance of the logits above which an interaction counts."""
CERTAIN = 2.0
"""Number of standard errors that the share must be above zero."""
PARTNERS = 60
"""Number of rows whose modalities replace those of every row."""
MOST_ROWS = 2000
"""Number of rows that are enough for the share; of more rows a random part is taken."""
ROUNDING = 1e-8
"""Share below which a prediction is a sum, up to rounding."""
Z_95 = 1.959964
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True)
class Interaction:
    """Share of the variance of a model's logits that no sum of unimodal functions explains.

    Args:
        share: The share with its interval; 0 for a sum, and it can exceed 1.
        rows: Number of rows that it was computed from.
    """

    share: Interval
    rows: int

    @property
    def additive(self) -> bool:
        """Whether the prediction is a sum of unimodal parts: it cannot show an interaction."""
        return self.share.value < ROUNDING

    @property
    def z(self) -> float:
        """The share in units of its standard error."""
        error = (self.share.high - self.share.low) / (2 * Z_95)
        return self.share.value / max(error, 1e-12)

    @property
    def alarm(self) -> bool:
        """Whether an interaction was found: share > 0.10 and z > 2."""
        return self.share.value > LARGE and self.z > CERTAIN

    @property
    def state(self) -> str:
        """``"found"``, ``"not found"``, or ``"not tested"`` for a sum."""
        if self.additive:
            return "not tested"
        return "found" if self.alarm else "not found"

    def __str__(self) -> str:
        if self.additive:
            return (
                "Interaction not tested: the prediction is a sum of one part per modality, which "
                "cannot represent an interaction."
            )
        share = self.share.in_percent
        if self.alarm:
            return (
                f"The modalities must be read together: {share} of the variance of the "
                "prediction comes from their interaction."
            )
        return (
            f"No interaction was found: {share} of the variance of the prediction comes from "
            "one. An interaction that training could not learn is not seen either."
        )


def interaction_share(pool: Pool, *, partners: int = PARTNERS, seed: int = 0) -> Interaction:
    """Return the part of a model's logits that no sum of unimodal functions explains.

    The best sum is the empirical additive projection of Hessel & Lee (EMNLP 2020),
    l_add(x) = sum_m E_x'[ l(x_m, x'_others) ], up to a constant. With c(l) the logits minus their
    mean over classes, and r = c(l) - c(l_add), the share is

        s = E ||r - E r||² / E ||c(l) - E c(l)||²

    over the rows. The partners x' are the same rows for every x, so that s is exactly 0 for a
    sum. The constant, which is a sum as well, is left out of r. For values, logits are not
    centered.

    An interaction that training could not learn has a small share: a silent alarm means "not
    found", not "absent". With a fusion that adds, the share is 0 whatever the data.

    Args:
        pool: Held-out rows, and the model.
        partners: Number of rows x'.
        seed: Seed of the choice of partners, and of rows if there are more than
            :data:`MOST_ROWS`.

    Example:
        >>> import numpy as np
        >>> inputs = {m: torch.randn(500, 1) for m in ("a", "b")}
        >>> has = dict.fromkeys(inputs, torch.ones(500, dtype=torch.bool))
        >>> def share(function):
        ...     ask = lambda batch: function(batch.inputs["a"], batch.inputs["b"])
        ...     pool = Pool(ask, inputs, inputs, has, torch.zeros(500, 1), np.arange(500))
        ...     return interaction_share(pool)
        >>> share(lambda a, b: a + b).state, share(lambda a, b: a * b).state
        ('not tested', 'found')
    """
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    rows, others = order[:MOST_ROWS].sort().values, order[:partners]

    def mixed(m: str) -> Tensor:
        """Return E_x'[ l(x_m, x'_others) ] of every row."""
        total = torch.zeros_like(full)
        for other in others:
            partner = other.expand(len(rows))
            total += pool.logits({j: rows if j == m else partner for j in pool.modalities})
        return total / len(others)

    full = pool.logits(dict.fromkeys(pool.modalities, rows)).double()
    rest = full - torch.stack([mixed(m) for m in pool.modalities]).sum(0)
    if pool.target.ndim == 1:
        full, rest = (values - values.mean(1, keepdim=True) for values in (full, rest))
    left, total = ((values - values.mean(0)).square().sum(1).numpy() for values in (rest, full))
    if total.sum() == 0:
        return Interaction(Interval(0.0, 0.0, 0.0), len(rows))
    return Interaction(bootstrap_ratio(left, total, pool.group[rows.numpy()]), len(rows))
