"""The loop."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from g2d.data import Loader, Source
from g2d.engine import checkpoint
from g2d.engine.callbacks import Callback, Metrics
from g2d.engine.evaluate import Evaluation, evaluate
from g2d.engine.optimization import Schedule, make_optimizer, set_rates
from g2d.engine.options import PRECISIONS, TrainOptions
from g2d.engine.processes import average_statistics, broadcast_weights, process, wait
from g2d.errors import ArgumentError, DataError, RunError, UnsupportedError
from g2d.functional.calibration import fit_head_weights
from g2d.method import Method, TrainState, processes
from g2d.model import MultimodalModel
from g2d.types import Batch

SPLIT_OF = {"validation": "valid", "test": "test"}


@dataclass
class Fit:
    """How training went. Model and method hold the selected epoch's weights.

    Args:
        selected_epoch, score: the best epoch and its fused headline metric on the split that selects.
        epochs_done, updates: over all sessions of the run.
        seconds: over all sessions of the run.
        history: one record per epoch of this session.
        notices: sentences about what is in doubt.
    """

    selected_epoch: int
    score: float
    epochs_done: int
    updates: int
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
) -> Fit:
    """Train a model by a method, and leave it at its best epoch.

    Args:
        method: already built for the model.
        folder: for ``metrics.jsonl`` and ``checkpoints/{last,best}``; a run that stands there is resumed after its last finished
            epoch, exactly. None keeps everything in memory.
        callbacks: watchers.

    Raises:
        RunError: the loss is no longer finite, or the folder's checkpoint is damaged.
        ArgumentError, DataError, UnsupportedError: see :func:`check`.
        KeyboardInterrupt: passed on; the last finished epoch stands in the folder.
    """
    loader = check(method, model, source, options)
    model.to(loader.device), method.to(loader.device)
    broadcast_weights(model, method)
    state = make_state(method, model, source, options, loader)
    schedule, epochs = Schedule(options), options.epochs if method.trains else 0
    watchers = [
        *([Metrics(folder / "metrics.jsonl")] if folder and process() == 0 else []),
        *callbacks,
    ]
    keep = _Folder(folder) if folder else _Memory()
    best, seconds, done = -math.inf, 0.0, 0
    selected = 0
    if (notes := keep.resume(model, method, state)) is not None:
        schedule.load(notes["schedule"])
        best, selected, seconds, done = (
            notes["best"],
            notes["selected"],
            notes["seconds"],
            notes["epoch"],
        )
    history: list[dict[str, Any]] = []
    for watcher in watchers:
        watcher.on_start(epochs, done)
    try:
        for epoch in range(done + 1, epochs + 1):
            if state.stop:
                break
            started = time.perf_counter()
            state.epoch = epoch
            rates = set_rates(state.optimizer, schedule.factor(epoch))
            model.train(), method.train()
            method.epoch_start(state)
            train = _mean_records(
                _checked(method.training_step(state, batch), epoch) for batch in loader.epoch(epoch)
            )
            average_statistics(model)
            valid = evaluate(method, model, source, "valid", batch_size=options.eval_batch_size)
            chosen = (
                valid
                if options.select_on == "validation"
                else evaluate(method, model, source, "test", batch_size=options.eval_batch_size)
            )
            told = dict(method.notices)
            train |= method.epoch_end(state, valid.to_validation())
            schedule.observe(valid.score)
            seconds += time.perf_counter() - started
            history.append(
                {
                    "epoch": epoch,
                    "seconds": time.perf_counter() - started,
                    "lr": rates,
                    "train": train,
                    "valid": as_record(valid),
                }
            )
            score = -math.inf if math.isnan(chosen.score) else chosen.score
            if score >= best:  # a later epoch wins ties
                best, selected = score, epoch
                keep.best(model, method)
            facts = {
                "schedule": schedule.state(),
                "best": best,
                "selected": selected,
                "seconds": seconds,
                "stop": state.stop,
            }
            # Watchers write before the checkpoint is in place: a line too many is cut off on resuming, a line too few could not be mended.
            stops = [watcher.on_epoch(history[-1]) for watcher in watchers]
            keep.last(model, method, state, facts)
            for kind, sentence in method.notices.items():
                if kind not in told:
                    for watcher in watchers:
                        watcher.on_notice(sentence)
            state.stop = state.stop or any(stops)
    finally:
        for watcher in watchers:
            watcher.on_end()
    if epochs == 0:
        keep.best(model, method)
    keep.restore_best(model, method)
    if options.calibrate:
        calibrate(method, model, source, options)
        keep.best(model, method)
    wait()
    return Fit(
        selected,
        best,
        max(done, state.epoch if epochs else 0),
        state.step,
        seconds,
        history,
        list(method.notices.values()),
    )


def check(method: Method, model: MultimodalModel, source: Source, options: TrainOptions) -> Loader:
    """Refuse what can be refused before anything is trained. Returns the loader of the training rows.

    Raises:
        ArgumentError: the device is not there, a group of parameters does not exist, or a batch is too small for BatchNorm.
        DataError: there are no rows to train or validate on.
        UnsupportedError: calibration of a prediction that is not a sum of heads.
    """
    make_optimizer(method.parameter_groups(model), options)
    if options.calibrate:
        _head_scale(method, model)
    device, number, count = options.resolved_device(), process(), processes()
    loader = Loader(
        source,
        "train",
        options.batch_size,
        seed=options.seed,
        shuffle=True,
        device=device,
        workers=options.workers,
        process=number,
        processes=count,
    )
    for split, least in (
        ("train", count),
        ("valid", source.task.least_rows),
        ("test", source.task.least_rows * (options.select_on == "test")),
    ):
        if len(source.rows(split)) < least:
            raise DataError(
                f"the {split} split of {source.name} must have at least {least} rows, found {len(source.rows(split))}."
            )
    smallest = min(cut.stop - cut.start for cut in loader.cuts(len(loader.ids))) // count
    if (
        method.trains
        and smallest < 2
        and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    ):
        raise ArgumentError(
            f"batch_size must leave every process two rows or more where the model has BatchNorm, found {options.batch_size}."
        )
    return loader


def make_state(
    method: Method, model: MultimodalModel, source: Source, options: TrainOptions, loader: Loader
) -> TrainState:
    """The training state that a method sees."""

    def rows(split: str, fraction: float, epoch: int) -> Iterable[Batch]:
        return Loader(
            source,
            split,
            options.eval_batch_size,
            seed=options.seed,
            shuffle=fraction < 1,
            device=loader.device,
        ).sample(fraction, epoch)

    if options.compile:
        for encoder in model.encoders.values():
            encoder.compile()
        model.fusion.compile()
    return TrainState(
        model,
        make_optimizer(method.parameter_groups(model), options),
        source.task,
        epochs=options.epochs,
        batches_per_epoch=len(loader),
        accumulate=options.accumulate,
        max_norm=options.clip,
        precision=PRECISIONS[options.precision],
        scaler=torch.amp.GradScaler(loader.device.type) if options.precision == "float16" else None,
        generator=torch.Generator().manual_seed(options.seed),
        rows=rows,
    )


@torch.no_grad()
def calibrate(
    method: Method, model: MultimodalModel, source: Source, options: TrainOptions
) -> None:
    """Weigh the heads of an additive fusion by what the validation rows say.

    Raises:
        UnsupportedError: the method's prediction is not a sum of its heads.
    """
    scale = _head_scale(method, model) * len(method.modalities)
    method.head_weights.fill_(1)
    valid = evaluate(
        method, model, source, "valid", batch_size=options.eval_batch_size, keep_rows=True
    )
    assert valid.unimodal_logits is not None
    assert valid.target is not None
    with torch.enable_grad():
        a = fit_head_weights(
            [scale * valid.unimodal_logits[m] for m in method.modalities],
            valid.target,
            source.task.negative_log_likelihood,
        )
    method.head_weights.copy_(len(method.modalities) * a)


def _head_scale(method: Method, model: MultimodalModel) -> float:
    scale = method.head_scale(model)
    if scale is None:
        found = f"{type(method).__name__} with {type(model.fusion).__name__}"
        raise UnsupportedError(
            f"calibrate must have an additive fusion (late, sum or concat) and a method that predicts by its heads' sum, found {found}."
        )
    return scale


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as plain values: what metrics.jsonl and result.json hold."""
    return {
        "fused": {"loss": evaluation.loss, **evaluation.fused, "confidence": evaluation.confidence},
        "unimodal": {
            m: {
                "loss": evaluation.unimodal_loss[m],
                **metrics,
                "confidence": evaluation.unimodal_confidence[m],
            }
            for m, metrics in evaluation.unimodal.items()
        },
    }


def _checked(record: dict[str, Tensor | float], epoch: int) -> dict[str, Tensor | float]:
    for name, value in record.items():
        if name.startswith("loss/") and not math.isfinite(float(value)):
            raise RunError(
                f"{name} must stay finite, found {float(value)} in epoch {epoch}. A smaller lr or train.clip may help."
            )
    return record


def _mean_records(records: Iterator[dict[str, Tensor | float]]) -> dict[str, float]:
    """Mean over an epoch's updates, of every name on its own (not every update records every name)."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for record in records:
        for name, value in record.items():
            sums[name][0] += float(value)
            sums[name][1] += 1
    return {name: total / count for name, (total, count) in sums.items()}


class _Folder:
    """Checkpoints in a run folder; process 0 writes, all read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def resume(
        self, model: MultimodalModel, method: Method, state: TrainState
    ) -> dict[str, Any] | None:
        if not checkpoint.recover(self.folder / "last"):
            return None
        notes = checkpoint.load(self.folder / "last", model, method, state)
        state.stop = notes["stop"]
        return notes

    def best(self, model: MultimodalModel, method: Method) -> None:
        if process() == 0:
            checkpoint.save(self.folder / "best", model, method)

    def last(
        self, model: MultimodalModel, method: Method, state: TrainState, facts: dict[str, Any]
    ) -> None:
        if process() == 0:
            checkpoint.save(self.folder / "last", model, method, state, facts)

    def restore_best(self, model: MultimodalModel, method: Method) -> None:
        wait()
        checkpoint.load(self.folder / "best", model, method)
        wait()  # calibration writes there


class _Memory:
    """The best weights of a run without a folder."""

    def __init__(self) -> None:
        self.kept: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None

    def resume(
        self, model: MultimodalModel, method: Method, state: TrainState
    ) -> dict[str, Any] | None:
        return None

    def best(self, model: MultimodalModel, method: Method) -> None:
        self.kept = _copied(model.state_dict()), _copied(method.state_dict())

    def last(
        self, model: MultimodalModel, method: Method, state: TrainState, facts: dict[str, Any]
    ) -> None:
        """Nothing outlives the call."""

    def restore_best(self, model: MultimodalModel, method: Method) -> None:
        if self.kept is not None:
            model.load_state_dict(self.kept[0])
            method.load_state_dict(self.kept[1])


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
