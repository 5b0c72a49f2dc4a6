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
