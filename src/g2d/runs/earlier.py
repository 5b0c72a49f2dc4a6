"""Defaults of earlier versions, so that the runs that began with them can be opened and resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from g2d.encoders import HUGGING_FACE

CHANGED: Mapping[str, Mapping[str, Any]] = {
    "ogm_ge": {"window": [1, 51]},
    "agm": {"window": [1, 21]},
    "pmr": {"window": [1, 101], "entropy_epochs": 10},
    "g2d": {"ranking": "memorization"},
    "smp": {"ranking": "memorization"},
}
"""Earlier defaults of options of methods."""
ADDED: Mapping[str, Mapping[str, Any]] = {
    "reconboost": {"members": "all"},
    "g2d": {"ranking": "batch"},
    "smp": {"ranking": "batch"},
    HUGGING_FACE: {"pool": "earlier", "freeze": "none", "lora": 0},
}
"""Options that earlier versions did not have, with the value that they behaved like."""
OptionsOf = Callable[[str, str], Set[str]]
RESOLVED = frozenset({"name", "seed", "warm_start", "train", "teachers", "controls", "stack"})
"""Keys that only the recipe in a run folder has all of."""


def completed(content: Mapping[str, Any], options_of: OptionsOf) -> dict[str, Any]:
    """Return the recipe of a run folder with the options that an earlier version lacked.

    Only a section that gives every other option is completed: that is how a run folder holds it.
    Other sections get today's defaults.

    Args:
        content: A recipe. One that a user wrote, with some keys left out, is not changed.
        options_of: Returns the names of the options of a ``"method"``, ``"modulation"`` or
            ``"encoder"`` of a name.

    Example:
        >>> run = dict.fromkeys(RESOLVED) | {"encoders": {"a": {"name": "hf:b", "frozen": True}}}
        >>> completed(run, lambda kind, name: {"frozen", "pool"})["encoders"]["a"]["pool"]
        'earlier'
        >>> completed({"method": {"name": "reconboost"}}, lambda kind, name: {"members"})
        {'method': {'name': 'reconboost'}}
    """
    encoders = content.get("encoders")
    if not content.keys() >= RESOLVED or not isinstance(encoders, Mapping):
        return dict(content)
    encoders = {m: _completed(section, "encoder", options_of) for m, section in encoders.items()}
    method = content.get("method")
    if isinstance(method, Mapping) and "modulation" in method:
        modulation = _completed(method["modulation"], "modulation", options_of)
        method = {**method, "modulation": modulation}
    method = _completed(method, "method", options_of)
    return {**content, "method": method, "encoders": encoders}


def _completed(section: Any, kind: str, options_of: OptionsOf) -> Any:
    name = section.get("name") if isinstance(section, Mapping) else None
    added = ADDED.get(_key(name))
    if added is None:
        return section
    lacking = options_of(kind, str(name)) - section.keys()
    return {**added, **section} if lacking <= added.keys() else section


def _key(name: Any) -> str:
    return HUGGING_FACE if str(name).startswith(HUGGING_FACE) else str(name)


def continued(begun: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with which an earlier version began a run and that are left out now.

    Args:
        begun: The run folder's recipe, upgraded to this version.
        given: The recipe that a user gives now, without defaults.

    Returns:
        Values by dotted key, which continue the run as it began.

    Example:
        >>> begun = {"method": {"name": "agm", "window": [1, 21]}, "encoders": {}}
        >>> continued(begun, {"method": "agm", "encoders": {}})
        {'method.window': [1, 21]}
        >>> continued(begun, {"method": {"name": "agm", "window": [1, 9]}, "encoders": {}})
        {}
    """
    method = given["method"] if isinstance(given["method"], Mapping) else {}
    sections = {"method": (begun["method"], given["method"])} | {
        f"encoders.{m}": (section, given["encoders"].get(m))
        for m, section in begun["encoders"].items()
    }
    if before := begun["method"].get("modulation"):
        sections["method.modulation"] = (before, method.get("modulation"))
    kept = {}
    for path, (before, now) in sections.items():
        section = now if isinstance(now, Mapping) else {"name": now}
        key = _key(before["name"])
        if section.get("name") == before["name"]:
            for defaults in (CHANGED.get(key, {}), ADDED.get(key, {})):
                for option, value in defaults.items():
                    if option not in section and before[option] == value:
                        kept[f"{path}.{option}"] = value
    return kept
