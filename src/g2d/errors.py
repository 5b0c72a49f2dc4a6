"""The few exceptions a user can meet.

Every message is one sentence of the form ``<thing> must <rule>, found <value>.`` followed, where there is one, by the way out.
The command line turns any :class:`G2DError` into exit code 2 without a traceback; anything else is our fault and exits 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args


class G2DError(Exception):
    """The user can mend it: a clear sentence, exit code 2."""


class ArgumentError(G2DError, ValueError):
    """An argument breaks a rule that its docstring states."""


class UnsupportedError(G2DError):
    """A combination that is not defined: a method on this task, number of modalities, fusion or optimizer."""


class DataError(G2DError):
    """A store, manifest or raw file cannot be used as it is."""


class RunError(G2DError):
    """A run folder or checkpoint cannot be read, resumed or overwritten."""


class MissingDependencyError(G2DError):
    """An optional library is needed; the message names the extra that installs it."""


class RecipeError(G2DError):
    """A recipe has faults; all of them are reported together, in the user's spelling.

    Args:
        faults: one sentence per fault.
        source: the recipe's file name, for the first line of the message.
    """

    def __init__(self, faults: Sequence[str], source: str = "recipe") -> None:
        self.faults = tuple(faults)
        plural = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(
            "\n".join(
                [
                    f"{source} has {len(self.faults)} {plural}:",
                    *(f"  - {fault}" for fault in self.faults),
                ]
            )
        )


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
]
REASONS: tuple[str, ...] = get_args(Reason)
"""Why a sample can be skipped. There are no others: silence is a defect."""


class UnreadableError(Exception):
    """A sample cannot be used; it is skipped and reported.

    Args:
        reason: one of :data:`REASONS`. detail: what was found, for the summary.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(
            reason, detail
        )  # both, so that it survives the way back from a worker process
        self.reason, self.detail = reason, detail
