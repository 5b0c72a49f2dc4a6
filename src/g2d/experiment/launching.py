"""How many runs are carried out: jobs on this machine, a share of an array, or a Ray cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from g2d.errors import ArgumentError
from g2d.recipe import Recipe

THREADS = 1
"""Threads of a cell whose recipe leaves ``train.threads`` open."""
AUTO = "auto"
"""Address of the Ray cluster that this machine belongs to."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Launch:
    """A way to carry out the cells of a comparison, a search or a table.

    Args:
        jobs: Cells at the same time, each in a process of its own; 1 runs them in this process.
        shard: ``"i/n"``: carry out the i-th of n shares of the cells, counted from 1. None is all.
        ray: Address of a Ray cluster that carries the cells out; ``"auto"`` is the cluster of this
            machine, ``"local"`` starts one here. None uses no Ray.
        oversubscribe: Allow more threads than the machine has cores.

    Raises:
        ArgumentError: A value is out of range, or two of them exclude each other.

    Example:
        >>> Launch(shard="2/3").share("abcdefg")
        ['b', 'e']
        >>> Launch(shard="4/3")
        Traceback (most recent call last):
            ...
        g2d.errors.ArgumentError: shard must be i/n with i from 1 to n, found '4/3'.
    """

    jobs: int = 1
    shard: str | None = None
    ray: str | None = None
    oversubscribe: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ArgumentError(f"jobs must be 1 or more, found {self.jobs}.")
        if self.jobs > 1 and self.ray is not None:
            raise ArgumentError(
                f"jobs must be left out with ray, found {self.jobs}: Ray decides how many cells "
                "run at the same time."
            )
        if self.shard is not None:
            part, parts = self._numbers()
            if not 1 <= part <= parts:
                raise ArgumentError(
                    f"shard must be i/n with i from 1 to n, found {self.shard!r:.40}."
                )

    @property
    def parallel(self) -> bool:
        """Whether cells are carried out in other processes."""
        return self.jobs > 1 or self.ray is not None

    @property
    def shares(self) -> int | None:
        """The number of shares, if the cells are divided."""
        return None if self.shard is None else self._numbers()[1]

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of this share: every n-th, beginning with the i-th."""
        part, parts = (1, 1) if self.shard is None else self._numbers()
        return list(items[part - 1 :: parts])

    def check_cores(self, recipes: Iterable[Recipe]) -> None:
        """Refuse more threads than this machine has cores.

        A single job is never refused.

        Raises:
            ArgumentError: The jobs need more cores, and ``oversubscribe`` is False.
        """
        threads = max((threads_of(recipe) for recipe in recipes), default=THREADS)
        most = max(1, cores() // threads)
        if self.jobs > most and not self.oversubscribe:
            each = f"{threads} thread{'' if threads == 1 else 's'}"
            raise ArgumentError(
                f"jobs must be at most {most} on this machine ({cores()} cores, {each} per run), "
                f"found {self.jobs}. More are slower; --oversubscribe allows them."
            )

    def _numbers(self) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", self.shard or "")
        return (int(match[1]), int(match[2])) if match else (0, 0)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(recipe: Recipe) -> int:
    """Return the threads of a recipe's runs."""
    return recipe.train.threads or THREADS


def with_threads(recipe: Recipe) -> Recipe:
    """Return the recipe with a number of threads, so that its result does not depend on the jobs.

    Args:
        recipe: If it leaves ``train.threads`` open, its runs get :data:`THREADS`.
    """
    if recipe.train.threads is not None:
        return recipe
    return recipe.changed({"train.threads": THREADS})


def devices(recipes: Iterable[Recipe]) -> list[str]:
    """Return the CUDA devices to be shared out, as ``CUDA_VISIBLE_DEVICES`` names them.

    The list is empty without a CUDA device, and if a recipe chooses its device by number or trains
    on the CPU.

    Args:
        recipes: The recipes of all cells.
    """
    import torch

    if {recipe.train.device for recipe in recipes} - {AUTO, "cuda"}:
        return []
    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else map(str, range(torch.cuda.device_count()))
    return [name.strip() for name in names]
