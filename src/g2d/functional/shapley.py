"""Shapley shares of a fused prediction, and the coefficients that AGM derives from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

Coalition = frozenset[str]


def coalitions(modalities: Sequence[str]) -> Iterator[Coalition]:
    """Yield every non-empty subset of the modalities, small ones first.

    Example:
        >>> [sorted(s) for s in coalitions(("a", "b"))]
        [['a'], ['b'], ['a', 'b']]
    """
    for size in range(1, len(modalities) + 1):
        yield from map(frozenset, combinations(modalities, size))


def shares(values: Mapping[Coalition, Tensor], modalities: Sequence[str]) -> dict[str, Tensor]:
    """Split f(M) among its modalities by Shapley's formula.

    u^m = sum_{S ⊆ M∖{m}} |S|! (k-|S|-1)! / k! * ( f(S ∪ {m}) - f(S) ),  with f(∅) := 0,
    so that sum_m u^m = f(M).

    Args:
        values: f(S) ``(B, C)`` of every coalition; gradients pass. A missing empty coalition
            counts as 0, as in AGM; with its value the shares are true Shapley values, which add
            up to f(M) - f(∅).
        modalities: All modalities M.

    Returns:
        The share u^m ``(B, C)`` per modality.

    Example:
        >>> value = {"a": torch.tensor(1.0), "b": torch.tensor(2.0), "ab": torch.tensor(5.0)}
        >>> shares({frozenset(s): f for s, f in value.items()}, ("a", "b"))
        {'a': tensor(2.), 'b': tensor(3.)}
    """
    k = len(modalities)
    zero = torch.zeros_like(values[frozenset(modalities)])
    share = {}
    for m in modalities:
        others = [j for j in modalities if j != m]
        total = zero
        for size in range(k):
            weight = math.factorial(size) * math.factorial(k - size - 1) / math.factorial(k)
            for chosen in combinations(others, size):
                total = total + weight * (
                    values[frozenset((*chosen, m))] - values.get(frozenset(chosen), zero)
                )
        share[m] = total
    return share


def random_orders(
    modalities: Sequence[str], count: int, generator: torch.Generator
) -> list[tuple[str, ...]]:
    """Return orders of the modalities, each drawn with the same probability.

    Args:
        modalities: All modalities.
        count: Number of orders.
        generator: Source of the random numbers, on the CPU.

    Example:
        >>> sorted(random_orders(("a", "b", "c"), 1, torch.Generator())[0])
        ['a', 'b', 'c']
    """
    draws = [torch.randperm(len(modalities), generator=generator) for _ in range(count)]
    return [tuple(modalities[i] for i in draw.tolist()) for draw in draws]


def first_members(orders: Iterable[Sequence[str]]) -> Iterator[Coalition]:
    """Yield every coalition of the first members of an order once.

    Example:
        >>> [sorted(some) for some in first_members([("a", "b"), ("b", "a")])]
        [['a'], ['a', 'b'], ['b']]
    """
    members = (frozenset(order[: i + 1]) for order in orders for i in range(len(order)))
    yield from dict.fromkeys(members)


def sampled_shares(
    values: Mapping[Coalition, Tensor], orders: Sequence[Sequence[str]]
) -> dict[str, Tensor]:
    """Split f(M) among its modalities by the gains in some orders of the modalities.

    u^m is the mean over the orders of f(members up to m) - f(members before m), with f(∅) := 0.
    The sum of all u^m is f(M) for any orders. Over all k! orders, u^m is Shapley's share; over
    random ones, its expectation is (permutation sampling: J. Castro, D. Gómez, J. Tejada,
    "Polynomial calculation of the Shapley value based on sampling", Computers & Operations
    Research 36, 2009).

    Args:
        values: f(S) ``(B, C)`` of every coalition of :func:`first_members`; gradients pass.
        orders: Orders of all modalities.

    Returns:
        The share u^m ``(B, C)`` per modality.

    Example:
        >>> value = {"a": torch.tensor(1.0), "b": torch.tensor(2.0), "ab": torch.tensor(5.0)}
        >>> sampled_shares({frozenset(s): f for s, f in value.items()}, [("b", "a")])
        {'b': tensor(2.), 'a': tensor(3.)}
    """
    zero = torch.zeros_like(next(iter(values.values())))
    share = dict.fromkeys(orders[0], zero)
    for order in orders:
        before = zero
        for i, m in enumerate(order):
            after = values[frozenset(order[: i + 1])]
            share[m] = share[m] + (after - before) / len(orders)
            before = after
    return share


def modulation_coefficients(
    current: Mapping[str, float],
    running: Mapping[str, float],
    *,
    alpha: float,
    cap: float | None = None,
) -> dict[str, float]:
    """Return AGM's coefficients c^m = exp( alpha * min(R^m - r^m, cap) ).

    r^m = exp( k/(k-1) * (mean_j q^j - q^m) ), and R^m is the same of the running means Q^m.

    r^m is large for the modality that fits best now. Where it is larger than over the run so far,
    the modality is suppressed (c < 1). Arguments of both exponentials are kept below 30.

    Args:
        current: Cross-entropy q^m of every share in this update.
        running: Mean Q^m of q^m over the updates before.
        alpha: Strength; 0 gives 1 for all modalities.
        cap: Upper limit of R^m - r^m; None for no limit.

    Returns:
        c^m per modality.

    Example:
        >>> now, before = {"audio": 0.5, "video": 1.5}, {"audio": 0.0, "video": 0.0}
        >>> c = modulation_coefficients(now, before, alpha=1.0)
        >>> {m: round(value, 6) for m, value in c.items()}
        {'audio': 0.179374, 'video': 1.881596}
    """
    now, before = relative_strength(current), relative_strength(running)
    limit = math.inf if cap is None else cap
    return {m: math.exp(min(alpha * min(before[m] - now[m], limit), 30.0)) for m in now}


def relative_strength(q: Mapping[str, float]) -> dict[str, float]:
    """Return r^m = exp( k/(k-1) * (mean_j q^j - q^m) ) per modality.

    It is above 1 for a modality that fits better than the average, and 1 for a single modality.

    Args:
        q: Cross-entropy per modality.

    Example:
        >>> r = relative_strength({"a": 1.0, "b": 2.0, "c": 3.0})
        >>> [round(math.log(value), 6) for value in r.values()]
        [1.5, 0.0, -1.5]
    """
    k = len(q)
    if k < 2:
        return dict.fromkeys(q, 1.0)
    mean = sum(q.values()) / k
    return {m: math.exp(min(k / (k - 1) * (mean - value), 30.0)) for m, value in q.items()}
