"""Exceptions that a user can meet.

A message about a rule has the form ``<thing> must <rule>, found <value>.``, followed by the way
out where there is one; a message about a missing file says so in plain words. The command line
turns every :class:`G2DError` into exit code 2 without a traceback; any other exception is a fault
of g2d and exits with 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args


class G2DError(Exception):
    """Base of all errors that the user can repair: a clear message, exit code 2."""


class ArgumentError(G2DError, ValueError):
    """An argument breaks a rule that its docstring states."""


class UnsupportedError(G2DError):
    """A method is not defined for this task, number of modalities, fusion or optimizer."""


class DataError(G2DError):
    """A store, a table or a raw file cannot be used as it is."""


class RunError(G2DError):
    """A run folder or checkpoint cannot be read, resumed or overwritten."""


class NonFiniteError(RunError):
    """A loss or a gradient is not finite; the update was not made."""


class Terminated(SystemExit):
    """SIGTERM or SIGHUP ended a command; like Ctrl-C, it is no error.

    Attributes:
        code: Exit code of the process, 143.
    """

    def __init__(self) -> None:
        super().__init__(143)


class MissingDependencyError(G2DError):
    """An optional library is not installed; the message names the extra that installs it."""


INTERRUPTED = "Interrupted. Run the same command again to continue."
"""Message of a command that Ctrl-C ends with exit code 130."""
SHOWN_FAULTS = 50
"""Faults of a recipe that its message lists."""


class RecipeError(G2DError):
    """A recipe has faults; all of them are reported together, in the user's spelling.

    Args:
        faults: One sentence per fault.
        source: Name of the recipe's file, for the first line of the message.

    Example:
        >>> print(RecipeError(["epochs must be 1 or more, found 0."], "my.yaml"))
        my.yaml has 1 fault:
          - epochs must be 1 or more, found 0.
    """

    def __init__(self, faults: Sequence[str], source: str = "recipe") -> None:
        self.faults = tuple(faults)
        plural = "fault" if len(self.faults) == 1 else "faults"
        lines = [f"{source} has {len(self.faults)} {plural}:"]
        lines += [f"  - {fault}" for fault in self.faults[:SHOWN_FAULTS]]
        if len(self.faults) > SHOWN_FAULTS:
            lines.append(f"  - and {len(self.faults) - SHOWN_FAULTS} more")
        super().__init__("\n".join(lines))


Reason = Literal[
    "missing-file",
    "lfs-pointer",
    "undecodable",
    "no-audio",
    "zero-length",
    "too-few-frames",
    "non-finite",
    "duplicate",
    "no-agreed-label",
    "known-bad",
    "absent",
]
REASONS: tuple[str, ...] = get_args(Reason)
"""All reasons to skip a sample. Every skipped sample is reported with one of them."""


class UnreadableError(Exception):
    """A sample cannot be used; it is skipped and reported.

    Args:
        reason: Reason, one of :data:`REASONS`.
        detail: Description of what is wrong, for the summary.
        modality: Modality whose cell cannot be used; empty if the fault concerns the whole sample.
    """

    def __init__(self, reason: Reason, detail: str = "", modality: str = "") -> None:
        # All arguments, so that the error can be pickled on its way from a worker process.
        super().__init__(reason, detail, modality)
        self.reason, self.detail, self.modality = reason, detail, modality


class NoStreamError(UnreadableError):
    """A file is whole but has no stream of the wanted kind, such as a video without sound."""
