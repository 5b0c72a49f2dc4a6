"""Group runs into problems that may be compared, and into recipes that differ only in the seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from g2d.runs.reading import RunRecord
from g2d.runs.result import DataFacts
from g2d.runs.resuming import essential

PER_SEED = ("name", "seed", "teachers.seed", "controls")
"""Keys of a recipe in which the seeds of one experiment may differ."""


@dataclass(frozen=True)
class Problem:
    """Runs on the same data, protocol, modalities and task.

    Args:
        runs: At least one run.
        recipes: The same runs by the name of their recipe; those of a name differ only in the seed.
    """

    runs: Sequence[RunRecord]
    recipes: Mapping[str, Sequence[RunRecord]]

    def __repr__(self) -> str:
        return f"Problem({self.data.protocol}, runs of {', '.join(self.recipes)})"

    @property
    def data(self) -> DataFacts:
        """Description of the data."""
        return self.runs[0].result.data

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return self.runs[0].modalities

    @property
    def metric(self) -> str:
        """Metric that selects the epoch."""
        return self.runs[0].headline

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs, in ascending order."""
        return sorted({run.seed for run in self.runs})


def grouped(runs: Iterable[RunRecord]) -> list[Problem]:
    """Group runs by data, protocol, modalities and task, and within these by recipe.

    Numbers measured on different data are never put next to each other. If different recipes have
    the same name, the keys in which they differ are added to the name. If the same seed was run
    twice, each of the runs gets its folder's name, because a repetition is not a further seed.
    Regressions with and without a sigmoid are one problem, as their metrics have the same unit.

    Args:
        runs: Finished runs.
    """
    problems: dict[str, list[RunRecord]] = {}
    for run in runs:
        data = run.result.data
        task = {key: value for key, value in run.result.task.items() if key != "output"}
        key = [data.name, data.content_hash, data.protocol_hash, run.modalities, task]
        problems.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return [Problem(same, _by_recipe(same)) for same in problems.values()]


def _by_recipe(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    names: dict[str, dict[str, list[RunRecord]]] = {}
    for run in runs:
        names.setdefault(run.name, {}).setdefault(_essence(run), []).append(run)
    by_recipe: dict[str, list[RunRecord]] = {}
    for name, recipes in names.items():
        for essence, same in recipes.items():
            label = name if len(recipes) == 1 else f"{name} ({_differing(essence, list(recipes))})"
            if len({run.seed for run in same}) == len(same):
                by_recipe[label] = same
            else:
                by_recipe |= {f"{label} ({run.folder})": [run] for run in same}
    return by_recipe


def _essence(run: RunRecord) -> str:
    """Return the part of a recipe that all seeds of an experiment share."""
    shared = {key: value for key, value in essential(run.recipe) if key not in PER_SEED}
    return json.dumps(shared, sort_keys=True)


def _differing(essence: str, all_of_them: Sequence[str]) -> str:
    """Return up to three keys, with values, in which a recipe differs from others of its name."""
    own = json.loads(essence)
    others = [json.loads(other) for other in all_of_them if other != essence]
    known = dict.fromkeys(key for recipe in [own, *others] for key in recipe)
    keys = [key for key in known if any(other.get(key) != own.get(key) for other in others)]
    return ", ".join(f"{key}={json.dumps(own.get(key))}" for key in keys[:3]) or "recipe"
