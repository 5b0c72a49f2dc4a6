"""The training loop: epochs, validation, the choice of the best epoch, and resuming."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.data import Loader, Source
from g2d.engine.calibration import calibrate
from g2d.engine.callbacks import Callback, Metrics, running
from g2d.engine.checkpoint import FolderKeeper, MemoryKeeper
from g2d.engine.evaluate import evaluate
from g2d.engine.nonfinite import SKIPPED, Steps, require_finite_weights
from g2d.engine.optimization import Schedule, set_rates
from g2d.engine.options import TrainOptions
from g2d.engine.processes import average_statistics, broadcast_weights, process, wait
from g2d.engine.progress import EpochPart, Progress
from g2d.engine.replicas import notices_of_processes
from g2d.engine.setup import check, make_state
from g2d.engine.stopping import Moments, Stopping
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel
from g2d.runs import METRICS

INSIDE = "inside"
"""Entry of a checkpoint's notes with the part of an unfinished epoch; None after an epoch."""


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
            folder continues at its last checkpoint, bit for bit, also inside an epoch. None keeps
            everything in memory.
        callbacks: Called after every epoch; they only watch.
        loader: Training rows as :func:`~g2d.engine.setup.check` returned them; None calls it.

    Raises:
        NonFiniteError: A loss, a gradient or a weight is no longer finite; the folder keeps the
            last checkpoint, in which all were.
        RunError: The folder's checkpoint is damaged.
        ArgumentError, DataError, UnsupportedError: See :func:`~g2d.engine.setup.check`.
        KeyboardInterrupt: Ctrl-C; with a folder, after the update and a checkpoint.
        Terminated: SIGTERM or SIGHUP, in the same way.
    """
    loader = loader or check(method, model, source, options)
    model.to(loader.device)
    method.to(loader.device)
    broadcast_weights(model, method)
    state = make_state(method, model, source, options, loader)
    schedule, progress = Schedule(options), Progress()
    keeper = FolderKeeper(folder, options.keep_checkpoints) if folder else MemoryKeeper()
    notes = keeper.resume(model, method, state)
    part = _resumed(notes, method, state, schedule, progress)
    method.notices |= notices_of_processes(model, method)
    epochs = options.epochs if method.trains else 0
    steps = Steps(method, state, options.on_nonfinite)
    saved = None if notes is None else notes.get("metrics")
    metrics = Metrics(folder / METRICS, saved) if folder and process() == 0 else None
    history: list[dict[str, Any]] = []
    stopping = Stopping()
    moments = Moments(options, stopping)

    def save_last(part: EpochPart | None = None) -> None:
        inside = None if part is None else {**vars(part), "method": method.epoch_state()}
        facts = {"schedule": schedule.state(), **progress.state(), INSIDE: inside}
        facts["metrics"] = None if metrics is None else metrics.state()
        keeper.save_last(model, method, state, facts)
        moments.saved()

    watchers = [] if metrics is None else [metrics]
    with (
        stopping if folder else nullcontext(),
        running([*watchers, *callbacks], epochs, progress.epoch) as watch,
    ):
        watch.notices(keeper.passed_over)
        while part.batches or (progress.epoch < epochs and not state.stop):
            started = time.perf_counter() - part.seconds
            state.epoch = epoch = progress.epoch + 1
            rates = set_rates(state.optimizer, schedule.factor(epoch))
            model.train()
            method.train()
            if part.batches == 0:
                method.epoch_start(state)
            with closing(loader.epoch(epoch, start=part.batches)) as batches:
                for batch in batches:
                    part.add(steps.take(batch))
                    if moments.due():
                        require_finite_weights(model, method, epoch, inside=True)
                        part.seconds = time.perf_counter() - started
                        save_last(part)
                        stopping.obey()
            part.require_updates(epoch)
            train = part.means()
            if options.on_nonfinite == "skip":
                train[SKIPPED] = part.skipped
            average_statistics(model, method)
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
            if progress.add(epoch, selecting.score, seconds, part.skipped):
                keeper.save_best(model, method)
            # Metrics first: resuming cuts off a line too many, but cannot add a missing one.
            stop = watch.epoch(history[-1])
            save_last()
            watch.notices(text for kind, text in method.notices.items() if kind not in part.notices)
            state.stop, part = state.stop or stop, EpochPart(notices=list(method.notices))
            moments.stop()
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


def _resumed(
    notes: dict[str, Any] | None,
    method: Method,
    state: TrainState,
    schedule: Schedule,
    progress: Progress,
) -> EpochPart:
    """Restore what the notes of a checkpoint hold; return the part of an epoch that is trained."""
    if notes is None:
        return EpochPart(notices=list(method.notices))
    schedule.load(notes["schedule"])
    progress.load(notes)
    if not (inside := notes.get(INSIDE)):
        return EpochPart(notices=list(method.notices))
    progress.epoch = state.epoch - 1
    method.load_epoch_state(inside.pop("method"))
    state.continue_epoch()
    return EpochPart(**inside)
