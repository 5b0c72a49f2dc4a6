"""The training loop: epochs, validation, the choice of the best epoch, and resuming."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from g2d.data import Loader, Source
from g2d.engine.calibration import calibrate
from g2d.engine.callbacks import Callback, Metrics, running
from g2d.engine.checkpoint import FolderKeeper, MemoryKeeper
from g2d.engine.evaluate import evaluate
from g2d.engine.nonfinite import SKIPPED, Steps, require_finite_weights
from g2d.engine.optimization import Schedule, set_rates
from g2d.engine.options import TrainOptions
from g2d.engine.processes import average_statistics, broadcast_weights, process, wait
from g2d.engine.setup import check, make_state
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.runs import METRICS


@dataclass(frozen=True)
class Fit:
    """Outcome of training. Model and method hold the weights of the selected epoch.

    Args:
        selected_epoch: The best epoch, counted from 1; 0 if nothing was trained.
        score: Its fused headline metric on the split that selects.
        epochs_done: Epochs over all sessions of the run.
        updates: Optimizer updates over all sessions of the run.
        skipped: Batches that were skipped because their update was not finite.
        seconds: Training time over all sessions of the run.
        history: One record per epoch of this session.
        notices: Warnings of the method, as sentences.
    """

    selected_epoch: int
    score: float
    epochs_done: int
    updates: int
    skipped: int
    seconds: float
    history: list[dict[str, Any]]
    notices: list[str]


@dataclass
class Progress:
    """Epochs finished so far and the best of them; saved with every checkpoint.

    Args:
        epoch: The last finished epoch; 0 before the first one.
        best: The highest score so far.
        selected: The epoch with that score.
        seconds: Training time so far.
        skipped: Batches skipped so far.

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

    def add(self, epoch: int, score: float, seconds: float) -> bool:
        """Record a finished epoch; return True if it is the best so far (a later one wins ties)."""
        self.epoch, self.seconds = epoch, self.seconds + seconds
        score = -math.inf if math.isnan(score) else score
        if score < self.best:
            return False
        self.best, self.selected = score, epoch
        return True

    def state(self) -> dict[str, Any]:
        """Return the values that a checkpoint keeps."""
        return dict(vars(self))

    def load(self, state: dict[str, Any]) -> None:
        """Restore the values of a checkpoint."""
        for name in vars(self):
            if name != "skipped" or name in state:  # earlier versions skipped nothing
                setattr(self, name, state[name])


def fit(
    method: Method,
    model: MultimodalModel,
    source: Source,
    options: TrainOptions,
    *,
    folder: Path | None = None,
    callbacks: Sequence[Callback] = (),
    loader: Loader | None = None,
) -> Fit:
    """Train a model by a method and return it at its best epoch.

    Args:
        method: Already built for the model.
        model: The untrained model.
        source: Training, validation and, if it selects, test rows.
        options: Epochs, optimizer, schedule and the like.
        folder: Gets ``metrics.jsonl`` and ``checkpoints/{last,best}``. An unfinished run in this
            folder continues after its last finished epoch, bit for bit. None keeps everything in
            memory.
        callbacks: Called after every epoch; they only watch.
        loader: Training rows as :func:`~g2d.engine.setup.check` returned them; None calls it.

    Raises:
        NonFiniteError: A loss, a gradient or a weight is no longer finite; the folder keeps the
            last epoch in which all were.
        RunError: The folder's checkpoint is damaged.
        ArgumentError, DataError, UnsupportedError: See :func:`~g2d.engine.setup.check`.
        KeyboardInterrupt: Passed on; the folder keeps the last finished epoch.
    """
    loader = loader or check(method, model, source, options)
    model.to(loader.device)
    method.to(loader.device)
    broadcast_weights(model, method)
    state = make_state(method, model, source, options, loader)
    schedule, progress = Schedule(options), Progress()
    keeper = FolderKeeper(folder) if folder else MemoryKeeper()
    if (notes := keeper.resume(model, method, state)) is not None:
        schedule.load(notes["schedule"])
        progress.load(notes)
    epochs = options.epochs if method.trains else 0
    steps = Steps(method, state, options.on_nonfinite, progress.skipped)
    watchers = [Metrics(folder / METRICS)] if folder and process() == 0 else []
    history: list[dict[str, Any]] = []
    with running([*watchers, *callbacks], epochs, progress.epoch) as watch:
        while progress.epoch < epochs and not state.stop:
            started = time.perf_counter()
            state.epoch = epoch = progress.epoch + 1
            rates = set_rates(state.optimizer, schedule.factor(epoch))
            model.train()
            method.train()
            method.epoch_start(state)
            known, before = set(method.notices), steps.skipped
            train = _mean_records(steps.records(loader.epoch(epoch)))
            if options.on_nonfinite == "skip":
                train[SKIPPED] = steps.skipped - before
            average_statistics(model)
            require_finite_weights(model, method, epoch)
            size = options.eval_batch_size
            valid = evaluate(method, model, source, "valid", batch_size=size)
            selecting = valid
            if options.select_on == "test":
                selecting = evaluate(method, model, source, "test", batch_size=size)
            train |= method.epoch_end(state, valid.to_validation())
            schedule.observe(valid.score)
            seconds = time.perf_counter() - started
            record = {"epoch": epoch, "seconds": seconds, "lr": rates, "train": train}
            history.append(record | {"valid": valid.record()})
            progress.skipped = steps.skipped
            if progress.add(epoch, selecting.score, seconds):
                keeper.save_best(model, method)
            # Metrics first: resuming cuts off a line too many, but cannot add a missing one.
            stop = watch.epoch(history[-1])
            facts = {"schedule": schedule.state(), **progress.state()}
            keeper.save_last(model, method, state, facts)
            watch.notices(text for kind, text in method.notices.items() if kind not in known)
            state.stop = state.stop or stop
    if epochs == 0:
        keeper.save_best(model, method)
    keeper.restore_best(model, method)
    if options.calibrate:
        calibrate(method, model, source, options.eval_batch_size)
        keeper.save_best(model, method)
    wait()
    notices, seconds = list(method.notices.values()), progress.seconds
    return Fit(
        progress.selected,
        progress.best,
        progress.epoch,
        state.step,
        progress.skipped,
        seconds,
        history,
        notices,
    )


def _mean_records(records: Iterator[dict[str, Tensor | float]]) -> dict[str, float]:
    """Return the mean of every name over an epoch's updates (an update may omit a name)."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for record in records:
        for name, value in record.items():
            sums[name][0] += float(value)
            sums[name][1] += 1
    return {name: total / count for name, (total, count) in sums.items()}
