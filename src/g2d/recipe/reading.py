"""From a recipe file and ``key=value`` settings to one plain mapping.

The layers, each above the one before it: the file, the settings of the chosen variant, the file's
own values for the chosen method (``methods:``), and what the user sets.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from g2d.errors import RecipeError
from g2d.plainyaml import parse, read_mapping
from g2d.recipe.packaged import ALIASES, is_path, packaged
from g2d.recipe.variants import VARIANTS

NAMED_SECTIONS = ("data", "fusion", "method", "modulation")
"""Sections that may be a bare name instead of a mapping with a name."""
METHODS_KEY = "methods"
"""The section of a file that holds values for single methods, by the method's name."""
DEFAULT = object()
"""The value of a setting that removes its key (``key=default``), so that the default applies."""


@dataclass(frozen=True)
class Given:
    """Input of a user: the content of a file and settings that change it.

    Args:
        content: The file as plain values.
        settings: Pairs of a dotted key and a value, in the order given.
        label: The beginning of the recipe's default name; None means the name of the data set.
    """

    content: Mapping[str, Any]
    settings: tuple[tuple[str, Any], ...] = ()
    label: str | None = None

    @classmethod
    def read(cls, source: str | Path) -> Self:
        """Read a recipe by name or by path.

        Raises:
            RecipeError: There is no such recipe, or it is not a mapping.
        """
        if isinstance(source, str) and not is_path(source):
            label = ALIASES.get(source, source).replace("/", "-")
            return cls(read_mapping(packaged(source)), label=label)
        path = Path(source)
        return cls(rooted(read_mapping(path), path.parent))

    def with_settings(self, settings: Iterable[tuple[str, Any]]) -> Self:
        """Return the same file with more settings after the present ones."""
        return replace(self, settings=(*self.settings, *settings))

    def composed(self, faults: list[str]) -> tuple[dict[str, Any], str | None]:
        """Return the recipe as one mapping, and the name of the chosen method or variant.

        A later choice of the method discards earlier settings of the method's options.

        Args:
            faults: A list that receives one sentence per setting that cannot be applied.
        """
        content = copy.deepcopy(dict(self.content))
        section, settings = self._choice()
        keys = [key for key, _ in settings]
        chosen = section.get("name") if isinstance(section, dict) else None
        if isinstance(chosen, str):
            variant, table = VARIANTS.get(chosen), content.get(METHODS_KEY)
            content["method"] = {"name": variant.method if variant else chosen}
            layers = _values(table, content["method"]["name"])
            if variant:
                layers += [*variant.settings.items(), *_values(table, chosen)]
            layers += [(f"method.{key}", value) for key, value in section.items() if key != "name"]
            settings = layers + [pair for pair in settings if pair[0] != "method.name"]
        elif section is not None:
            content["method"] = section
        for key, value in settings:
            set_value(content, key, value, faults)
        before = named(self.content.get("method"))
        is_other = chosen != (before.get("name") if isinstance(before, dict) else None)
        if is_other and isinstance(self.content.get("name"), str) and "name" not in keys:
            content["name"] = f"{self.content['name']}-{chosen}"  # so that names differ
        if "epochs" not in keys and any(_sets_whole_tau(*pair) for pair in self.settings):
            content.pop("epochs", None)  # their sum takes the place of the file's
        if any(key.partition(".")[0] == "data" for key in keys):
            _deselect(content, self.content)
        return content, chosen if isinstance(chosen, str) else None

    def _choice(self) -> tuple[Any, list[tuple[str, Any]]]:
        """Return the method section that is chosen last, and the settings that apply to it."""
        file = named(self.content.get("method"))
        section, settings = file, list[tuple[str, Any]]()
        for key, value in self.settings:
            if key == "method":
                section = file if value is DEFAULT else named(value)
                settings = [pair for pair in settings if not pair[0].startswith("method.")]
            else:
                settings.append((key, value))
            # A new name of the method keeps the options of the file and of earlier settings.
            if key == "method.name" and isinstance(section, dict | None):
                section = {**(section or {}), "name": value}
        return section, settings


def read_settings(assignments: Iterable[str], faults: list[str]) -> list[tuple[str, Any]]:
    """Read ``key=value`` texts whose values are YAML; ``default`` removes the key.

    Args:
        assignments: The texts.
        faults: A list that receives one sentence per text that cannot be read.

    Example:
        >>> read_settings(["method.unimodal=1", "train.threads=null"], [])
        [('method.unimodal', 1), ('train.threads', None)]
    """
    settings = []
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key.strip():
            faults.append(f"an override must be written key=value, found {assignment!r:.200}.")
            continue
        try:
            value = DEFAULT if text.strip() == "default" else parse(text, assignment)
        except RecipeError:
            faults.append(f"{key} must be a YAML value, found {text!r:.200}.")
            continue
        settings.append((key.strip(), value))
    return settings


def override(
    content: Mapping[str, Any], assignments: Iterable[str], faults: list[str]
) -> dict[str, Any]:
    """Return a copy of a mapping with ``key=value`` texts applied; see :func:`read_settings`.

    Example:
        >>> override({"method": "joint"}, ["method.unimodal=1", "seed=2"], [])
        {'method': {'name': 'joint', 'unimodal': 1}, 'seed': 2}
    """
    changed = copy.deepcopy(dict(content))
    for key, value in read_settings(assignments, faults):
        set_value(changed, key, value, faults)
    return changed


def set_value(content: dict[str, Any], dotted: str, value: Any, faults: list[str]) -> None:
    """Set the value at a dotted key, or remove the key if the value is :data:`DEFAULT`.

    Args:
        content: The mapping to change.
        dotted: The key, such as ``method.alpha``. A bare name on the way becomes its long form.
        value: A plain value.
        faults: A list that receives a sentence if a value, not a section, is on the way.

    Example:
        >>> content = {"method": "joint"}
        >>> set_value(content, "method.unimodal", 1, [])
        >>> content
        {'method': {'name': 'joint', 'unimodal': 1}}
    """
    *parents, last = dotted.split(".")
    section = content
    for depth, key in enumerate(parents):
        inner = section.get(key)
        inner = named(inner) if _takes_name(parents, depth) else inner
        inner = {} if inner is None else inner
        if not isinstance(inner, dict):
            at = ".".join(parents[: depth + 1])
            faults.append(
                f"{dotted} must lie in a section, found the value {inner!r:.200} at {at}."
            )
            return
        section[key] = inner
        section = inner
    if value is DEFAULT:
        section.pop(last, None)
    else:
        section[last] = copy.deepcopy(value)


def named(value: Any) -> Any:
    """Return a section in its long form: a bare name becomes a mapping with only a name."""
    return {"name": value} if isinstance(value, str) else value


def rooted(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the content with a relative ``data.root`` made absolute, as seen from a folder."""
    data = content.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("root"), str):
        return dict(content)
    return {**content, "data": {**data, "root": os.path.realpath(folder / data["root"])}}


def _values(table: Any, name: str) -> list[tuple[str, Any]]:
    """Return a problem's values for a method; what is not a mapping is refused by validation."""
    values = _inside(table, name)
    return [(str(key), value) for key, value in values.items()] if isinstance(values, dict) else []


def _sets_whole_tau(key: str, value: Any) -> bool:
    """Return whether a setting gives prioritization epochs as whole numbers."""
    if isinstance(value, Mapping):
        return any(_sets_whole_tau(str(inner), held) for inner, held in value.items())
    whole = isinstance(value, list) and all(isinstance(length, int) for length in value)
    return whole and key.rpartition(".")[2] == "tau"


def _deselect(content: dict[str, Any], file: Mapping[str, Any]) -> None:
    """Remove the options of modalities that ``data.modalities`` leaves out.

    A modality counts as left out if the file has an encoder for it. With it go its encoder, its
    entries of options per modality, and as many exclusive stages of tau.
    """
    before, kept = file.get("encoders"), _inside(content, "data", "modalities")
    if not isinstance(kept, list) or not isinstance(before, dict):
        return
    dropped = [m for m in before if m not in kept]
    if not dropped or len(dropped) == len(before):
        return
    method = _inside(content, "method")
    changed = [_inside(content, "encoders"), method, _inside(method, "modulation")]
    changed += method.values() if isinstance(method, dict) else []
    changed += [_inside(content, *path, "group_lr") for path in (["train"], ["teachers", "train"])]
    for section in changed:
        if isinstance(section, dict):
            for m in dropped:
                section.pop(m, None)
            tau = section.get("tau")
            if isinstance(tau, list) and len(tau) == len(before):
                section["tau"] = _fewer_stages(tau, len(tau) - len(dropped))


def _inside(content: Any, *keys: str) -> Any:
    """Return the value at a path of keys, or None if there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _fewer_stages(tau: list[Any], count: int) -> list[Any]:
    """Return tau with its last exclusive stages removed; shares are scaled to their old sum."""
    shorter = [*tau[: count - 1], tau[-1]]
    if not any(isinstance(share, float) for share in tau):
        return shorter
    return [share * sum(tau) / sum(shorter) for share in shorter]


def _takes_name(parents: list[str], depth: int) -> bool:
    return parents[depth] in NAMED_SECTIONS or (depth == 1 and parents[0] == "encoders")
