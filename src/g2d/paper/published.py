"""Values that the paper reports, by protocol.

They are shown only next to values that were measured on the same data set and protocol. The paper
does not describe its selection; its released code selects on the test split. Problems that the
paper does not have, like ``digits``, have no values here.
"""

from __future__ import annotations

from collections.abc import Sequence

NOTE = (
    "published: the value of the paper for the same data set and protocol; its released code "
    "selects the epoch on the test split."
)
"""Note of every table with published values."""

RESULTS: dict[str, dict[str, dict[str, float]]] = {
    "crema_d/legacy": {"g2d": {"accuracy": 85.89}},
    "av_mnist/legacy": {"g2d": {"accuracy": 73.03}},
    "vggsound/legacy": {"g2d": {"accuracy": 53.82}},
    "ur_funny/legacy-994": {"g2d": {"accuracy": 65.49}},
    "mis_me/legacy": {"g2d": {"mape": 7.01, "r2": 0.82}},
}
"""Tables 1-3: fused metrics by protocol and method, in the printed unit."""
PARTIAL: dict[str, float] = {
    "crema_d/legacy": 81.99,
    "av_mnist/legacy": 72.83,
    "vggsound/legacy": 51.16,
    "ur_funny/legacy-994": 63.68,
}
"""Table 6: fused accuracy under partial suppression."""
SCHEDULES: dict[str, dict[tuple[int, ...], float]] = {
    "crema_d/legacy": {(0, 150): 78.63, (50, 150): 82.80, (100, 150): 83.74, (150, 150): 85.89},
    "iemocap/legacy-random": {(0, 0, 150): 75.30, (50, 50, 150): 76.99, (75, 75, 150): 77.19},
}
"""Table 7: fused accuracy by tau."""


def published(protocol: str, method: str, metric: str) -> float | None:
    """Return a fused result of Tables 1-3, or None if the paper has none.

    Example:
        >>> published("crema_d/legacy", "g2d", "accuracy")
        85.89
        >>> published("digits/row-order-v1", "g2d", "accuracy") is None
        True
    """
    return RESULTS.get(protocol, {}).get(method, {}).get(metric)


def published_schedule(protocol: str, tau: Sequence[int]) -> float | None:
    """Return a fused accuracy of Table 7, or None if the paper has none."""
    return SCHEDULES.get(protocol, {}).get(tuple(tau))
