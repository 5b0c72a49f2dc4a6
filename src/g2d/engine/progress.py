"""How far a run has come: finished epochs, and the part of an epoch that has been trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from g2d.errors import RunError
from g2d.method import Record


@dataclass
class Progress:
    """Epochs finished so far and the best of them; saved with every checkpoint.

    Args:
        epoch: The last finished epoch; 0 before the first one.
        best: The highest score so far.
        selected: The epoch with that score.
        seconds: Training time so far.
        skipped: Batches skipped in these epochs.

    Example:
        >>> progress = Progress()
        >>> [progress.add(epoch, score, 1.0) for epoch, score in ((1, 0.5), (2, 0.4), (3, 0.5))]
        [True, False, True]
        >>> progress.selected
        3
    """

    epoch: int = 0
    best: float = -math.inf
    selected: int = 0
    seconds: float = 0.0
    skipped: int = 0

    def add(self, epoch: int, score: float, seconds: float, skipped: int = 0) -> bool:
        """Record a finished epoch; return True if it is the best so far (a later one wins ties)."""
        self.epoch, self.seconds = epoch, self.seconds + seconds
        self.skipped += skipped
        score = -math.inf if math.isnan(score) else score
        if score < self.best:
            return False
        self.best, self.selected = score, epoch
        return True

    def state(self) -> dict[str, Any]:
        """Return the values that a checkpoint keeps."""
        return dict(vars(self))

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the values of a checkpoint."""
        for name in vars(self):
            if name != "skipped" or name in state:  # earlier versions skipped nothing
                setattr(self, name, state[name])


@dataclass
class EpochPart:
    """Part of an epoch that has been trained; saved with a checkpoint inside an epoch.

    Args:
        batches: Batches so far, from the beginning of the epoch: where the loader goes on.
        skipped: Those of them that were skipped.
        seconds: Training time of the epoch in earlier sessions.
        sums: Sum and number of every recorded value.
        notices: Topics of the method's warnings that callbacks have received.

    Example:
        >>> part = EpochPart()
        >>> for record in ({"loss": 1.0}, {"loss": 3.0, "kappa": 1.0}, None):
        ...     part.add(record)
        >>> part.means(), part.batches, part.skipped
        ({'loss': 2.0, 'kappa': 1.0}, 3, 1)
    """

    batches: int = 0
    skipped: int = 0
    seconds: float = 0.0
    sums: dict[str, list[float]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def add(self, record: Record | None) -> None:
        """Add the record of a batch, None if it was skipped; a record may omit a name."""
        self.batches += 1
        if record is None:
            self.skipped += 1
            return
        for name, value in record.items():
            total = self.sums.setdefault(name, [0.0, 0.0])
            total[0] += float(value)
            total[1] += 1

    def means(self) -> dict[str, float]:
        """Return the mean of every recorded value over the updates."""
        return {name: total / count for name, (total, count) in self.sums.items()}

    def require_updates(self, epoch: int) -> None:
        """Check that not all batches were skipped.

        Args:
            epoch: Number of the epoch, for the message.

        Raises:
            RunError: All were.
        """
        if self.skipped and self.skipped == self.batches:
            raise RunError(
                f"a batch of epoch {epoch} must have a finite loss and gradient, found "
                f"none among {self.skipped}. Check the data, or choose a smaller lr."
            )
