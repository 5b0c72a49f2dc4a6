"""The 122 runs of Tables 1-7, each as an override of a problem file.

A cell names what a run of the paper is: table, data set, modalities, method, and what the table
varies besides. The encoders, the training and every method's own values are those of the problem
file ``datasets/NAME/recipe.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, count, product
from typing import Any

from g2d.errors import ArgumentError
from g2d.functional.schedule import stage_epochs
from g2d.plainyaml import read_mapping
from g2d.recipe import Recipe
from g2d.recipe.packaged import packaged
from g2d.recipe.variants import VARIANTS

MAIN = "g2d"
"""The paper's own method, of which Tables 5-7 vary one part."""
METHODS: dict[str, tuple[str, ...]] = {
    "1": (
        *("joint", "mses", "mslr", "agm", "pmr", "ogm_ge", "mla", "mmpareto", "reconboost"),
        *("dlmg", "umt", MAIN),
    ),
    "2": ("joint", "ogm_ge", "mmpareto", "reconboost", "umt", MAIN),
    "3": ("joint", "mis_me", MAIN),
    "4": ("joint", "joint+smp", "umt", "umt+smp", "g2d-loss", MAIN),
    **dict.fromkeys("567", (MAIN,)),
}
"""Methods and variants of every table, in the order of the paper."""
DATASETS: dict[str, tuple[str, ...]] = {
    "1": ("crema_d", "av_mnist", "vggsound"),
    "2": ("ur_funny",),
    "3": ("mis_me",),
    "4": ("crema_d", "av_mnist", "ur_funny"),
    **dict.fromkeys("56", ("crema_d", "av_mnist", "vggsound", "ur_funny")),
    "7": ("crema_d", "iemocap"),
}
"""Data sets of every table."""
FUSED = ("late", "sum", "concat", "film", "bigated", "cross_attention")
"""Fusions of Table 5."""
TABLES = tuple(METHODS)
"""Numbers of the tables."""
PARTIAL, COMPLETE = "partial", "complete"
"""Kinds of suppression of Table 6."""
PARTIALLY = {"name": "partial_suppression", "epochs": 0.5}
"""Partial suppression in the half of the run in which the other runs have exclusive stages."""
SCHEDULES: dict[str, tuple[tuple[int, ...], ...]] = {
    "crema_d": ((0, 150), (50, 150), (100, 150), (150, 150)),
    "iemocap": ((0, 0, 150), (50, 50, 150), (75, 75, 150)),
}
"""Prioritization epochs of Table 7, by data set."""
EPOCHS = 300
"""Epochs of the runs that the schedules of Table 7 belong to."""
PROTOCOLS: dict[str, dict[str, Any]] = {
    "crema_d": {
        "data.protocol": "crema_d/legacy",
        "data.store": "crema_d_paper",
        "data.prepare": {"frames": "legacy", "keep_known_bad": True},
        "data.validation": "test",
    },
    "av_mnist": {"data.protocol": "av_mnist/legacy", "data.validation": "test"},
    "vggsound": {
        "data.protocol": "vggsound/legacy",
        "data.store": "vggsound_paper",
        "data.prepare": {"frames": "legacy"},
        "data.validation": "test",
    },
    "ur_funny": {"data.protocol": "ur_funny/legacy-994"},
    "iemocap": {"data.protocol": "iemocap/legacy-random"},
    "mis_me": {"data.protocol": "mis_me/legacy"},
}
"""The paper's protocol by data set: split, stored frames, and where the released code has no
validation rows, the test rows in their place. The epoch is selected on the test split, as in the
released code."""
ON_TEST = {"train.select_on": "test"}


@dataclass(frozen=True)
class Cell:
    """A run of the paper.

    Args:
        table: Number of the table.
        dataset: Name of the data set and of its problem file.
        method: Method or variant.
        parts: Positions of the run's modalities among those of the problem; empty for all.
        variant: What Tables 5-7 vary: the fusion, the kind of suppression, or the schedule.
        tau: Prioritization epochs of Table 7.
    """

    table: str
    dataset: str
    method: str
    parts: tuple[int, ...] = ()
    variant: str = ""
    tau: tuple[int, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the run's modalities on the data set of the paper."""
        return chosen(modalities_of(self.dataset), self.parts)

    def fits(self, modalities: int) -> bool:
        """Return whether a problem with some number of modalities has such a run."""
        enough = max(self.parts, default=0) < modalities
        return enough and (not self.tau or len(self.tau) == modalities)

    def settings(self, problem: Recipe) -> dict[str, Any]:
        """Return the overrides that turn a problem file into this run, its name included.

        Args:
            problem: The problem; its epochs scale the schedules.

        Raises:
            ArgumentError: The problem has too few epochs for a schedule.
        """
        settings: dict[str, Any] = {"method": self.method}
        names = [self.method]
        if self.parts and len(self.parts) < len(problem.modalities):
            kept = chosen(problem.modalities, self.parts)
            settings["data.modalities"] = list(kept)
            names = [*kept, *names]
        if self.variant in FUSED:
            settings["fusion"] = self.variant
            names += [] if self.variant == problem.fusion.name else [self.variant]
        if self.variant == PARTIAL:
            settings["method"] = {"name": self.method, "modulation": PARTIALLY}
            names.append(PARTIAL)
        elif prioritizes := _prioritizes(self.method):
            settings[f"{prioritizes}.ranking"] = "batch"
        if self.tau:
            tau = self._scaled(problem)
            settings |= _schedule(tau, problem)
            usual = stage_epochs(None, problem.train.epochs, problem.modalities)
            names += [] if tau == usual else ["tau", *map(str, tau)]
        return {**settings, "name": "-".join(names)}

    def _scaled(self, problem: Recipe) -> tuple[int, ...]:
        """Return the schedule for the number of epochs of a problem.

        Raises:
            ArgumentError: The epochs are too few for one per stage.
        """
        given = problem.train.epochs
        if (tau := self._at(given, problem)) is None:
            enough = next(e for e in count(given + 1) if self._at(e, problem))
            raise ArgumentError(
                f"epochs must be {enough} or more for the schedule {self.variant} of Table "
                f"{self.table}, found {given}."
            )
        return tau

    def _at(self, epochs: int, problem: Recipe) -> tuple[int, ...] | None:
        """Return the schedule for a number of epochs; None if a stage would have no epoch."""
        whole = sum(self.tau)
        shares = [length / whole for length in self.tau]
        try:
            return stage_epochs(shares, round(whole * epochs / EPOCHS), problem.modalities)
        except ArgumentError:
            return None


def _prioritizes(method: str) -> str:
    """Return the section of a recipe that holds the options of SMP; empty without SMP."""
    variant = VARIANTS.get(method)
    if MAIN in (method, variant and variant.method):
        return "method"
    modulation = "method.modulation"
    return modulation if variant is not None and modulation in variant.settings else ""


def _schedule(tau: tuple[int, ...], problem: Recipe) -> dict[str, Any]:
    """Return the overrides of a schedule: the learning rate decays after the usual epochs.

    The teachers are those of the other runs.
    """
    epochs, train, teachers = problem.train.epochs, problem.train, problem.teachers.train
    settings: dict[str, Any] = {"method.tau": list(tau), "teachers.epochs": teachers.epochs}
    if sum(tau) != epochs:
        decays = (share * epochs / sum(tau) for share in train.decay_at)
        settings["train.decay_at"] = [share for share in decays if share < 1]
        settings["teachers.train.decay_at"] = list(teachers.decay_at)
    return settings


def chosen(modalities: tuple[str, ...], parts: tuple[int, ...]) -> tuple[str, ...]:
    """Return the modalities at some positions, or all if there are no positions.

    Example:
        >>> chosen(("audio", "visual", "text"), (0, 2)), chosen(("audio", "video"), ())
        (('audio', 'text'), ('audio', 'video'))
    """
    return tuple(modalities[i] for i in parts) if parts else modalities


@cache
def modalities_of(dataset: str) -> tuple[str, ...]:
    """Return the modalities of a problem file, in order."""
    return tuple(read_mapping(packaged(dataset))["encoders"])


@cache
def cells(table: str) -> tuple[Cell, ...]:
    """Return the runs of a table, in the order of the paper.

    Args:
        table: One of :data:`TABLES`.

    Example:
        >>> [len(cells(table)) for table in TABLES], sum(len(cells(table)) for table in TABLES)
        ([36, 24, 5, 18, 24, 8, 7], 122)
    """
    return tuple(cell for dataset in DATASETS[table] for cell in _cells(table, dataset))


def _cells(table: str, dataset: str) -> Iterator[Cell]:
    """Yield the runs of a table on a data set."""
    everything = tuple(range(len(modalities_of(dataset))))
    parts: Mapping[str, tuple[tuple[int, ...], ...]] = {
        "2": (*combinations(everything, 2), everything),
        "3": (*((part,) for part in everything), everything),
    }
    methods = METHODS[table]
    variants = {"5": FUSED, "6": (PARTIAL, COMPLETE)}.get(table, ("",))
    for part, method, variant in product(parts.get(table, ((),)), methods, variants):
        alone = len(part) == 1
        if table == "7":
            for tau in SCHEDULES[dataset]:
                yield Cell(table, dataset, method, variant=str(tau), tau=tau)
        elif not alone or method == methods[0]:
            yield Cell(table, dataset, method, part, variant)
