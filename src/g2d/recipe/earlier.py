"""Defaults of earlier versions, so that the runs that began with them can be opened and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHANGED: Mapping[str, Mapping[str, Any]] = {
    "ogm_ge": {"window": [1, 51]},
    "agm": {"window": [1, 21]},
    "pmr": {"window": [1, 101], "entropy_epochs": 10},
}
"""Earlier defaults of options of methods."""
ADDED: Mapping[str, Mapping[str, Any]] = {"reconboost": {"members": "all"}}
"""Options that earlier versions did not have, with the value that they behaved like."""

POOLED_EARLIER = "earlier"
"""The option ``pool`` of a Hugging Face model in runs of versions that did not have it."""
RESOLVED = frozenset({"name", "seed", "warm_start", "train", "teachers", "controls", "stack"})
"""Keys that only the recipe in a run folder has all of."""


def pooled_as_then(content: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the recipe of a run folder with the pooling of an earlier version, if it is of one.

    Args:
        content: A recipe. One that a user wrote, with some keys left out, is not changed.
        prefix: Beginning of the names of Hugging Face models.

    Example:
        >>> run = dict.fromkeys(RESOLVED) | {"encoders": {"a": {"name": "hf:b", "frozen": True}}}
        >>> pooled_as_then(run, "hf:")["encoders"]
        {'a': {'name': 'hf:b', 'frozen': True, 'pool': 'earlier'}}
    """
    encoders = content.get("encoders")
    if not content.keys() >= RESOLVED or not isinstance(encoders, Mapping):
        return dict(content)
    then = {
        m: {**section, "pool": POOLED_EARLIER} if _is_earlier(section, prefix) else section
        for m, section in encoders.items()
    }
    return {**content, "encoders": then}


def _is_earlier(section: Any, prefix: str) -> bool:
    if not isinstance(section, Mapping) or not str(section.get("name")).startswith(prefix):
        return False
    return "frozen" in section and "pool" not in section


def continued_encoders(begun: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """Return the pooling with which an earlier version began a run and that is left out now.

    Args:
        begun: The encoders of the run folder's recipe, upgraded to this version.
        given: The encoders that a user gives now, without defaults.

    Returns:
        Values by dotted key, which continue the run as it began.
    """
    now = given if isinstance(given, Mapping) else {}
    kept = {}
    for m, section in begun.items():
        own = now.get(m)
        given_now = isinstance(own, Mapping) and "pool" in own
        name = own.get("name") if isinstance(own, Mapping) else own
        earlier = section.get("pool") == POOLED_EARLIER and section["name"] == name
        if earlier and not given_now:
            kept[f"encoders.{m}.pool"] = POOLED_EARLIER
    return kept


def completed(section: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the method section of a recipe with the options that an earlier version lacked.

    Only a section that gives every other option is completed: that is how a run folder holds it.
    Other sections get today's defaults.

    Args:
        section: The section, with the name of the method.
        options: Options of the method in this version, by name.

    Example:
        >>> completed({"name": "reconboost", "alpha": 1.0}, {"alpha": 0.5, "members": "growing"})
        {'name': 'reconboost', 'alpha': 1.0, 'members': 'all'}
        >>> completed({"name": "reconboost"}, {"alpha": 0.5, "members": "growing"})
        {'name': 'reconboost'}
    """
    added = ADDED.get(str(section.get("name")), {})
    is_complete = set(options) - set(added) <= set(section)
    return {**section, **{k: v for k, v in added.items() if is_complete and k not in section}}


def continued(begun: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with which an earlier version began a run and that are left out now.

    Args:
        begun: The method section of the run folder's recipe, upgraded to this version.
        given: The method section that a user gives now, without defaults.

    Returns:
        Values by dotted key, which continue the run as it began.

    Example:
        >>> continued({"name": "agm", "window": [1, 21]}, {"name": "agm"})
        {'method.window': [1, 21]}
        >>> continued({"name": "agm", "window": [1, 21]}, {"name": "agm", "window": [1, 9]})
        {}
    """
    name = str(begun.get("name"))
    if given.get("name") != name:
        return {}
    before = {**CHANGED.get(name, {}), **ADDED.get(name, {})}
    return {
        f"method.{option}": value
        for option, value in before.items()
        if option not in given and begun.get(option) == value
    }
