"""Checks before training, and the training state that a method sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch

from g2d.data import Loader, Source, Split
from g2d.engine.calibration import head_scale
from g2d.engine.optimization import make_optimizer
from g2d.engine.options import PRECISIONS, TrainOptions
from g2d.engine.processes import batchnorm_kind, process
from g2d.errors import ArgumentError, DataError
from g2d.method import Method, TrainState, processes
from g2d.model import MultimodalModel
from g2d.task import Classification, Task
from g2d.types import Batch


def check(method: Method, model: MultimodalModel, source: Source, options: TrainOptions) -> Loader:
    """Refuse what cannot be trained, before anything is trained.

    Args:
        method: Already built for the model.
        model: The untrained model.
        source: The data.
        options: How to train.

    Returns:
        The loader of the training rows.

    Raises:
        ArgumentError: The device or a parameter group does not exist, or a batch is too small for
            BatchNorm.
        DataError: A split has too few rows.
        UnsupportedError: Calibration of a prediction that is not a sum of heads.
    """
    make_optimizer(method.parameter_groups(model), options)
    if options.calibrate:
        head_scale(method, model)
    loader = Loader(
        source,
        "train",
        options.batch_size,
        seed=options.seed,
        shuffle=True,
        device=options.resolved_device(),
        workers=options.workers,
        process=process(),
        processes=processes(),
    )
    _check_rows(source, options)
    smallest = min(cut.stop - cut.start for cut in loader.cuts(len(loader.ids))) // processes()
    if method.trains and smallest < 2 and batchnorm_kind(model) != "none":
        raise ArgumentError(
            "batch_size must leave every process two rows or more where the model has BatchNorm, "
            f"found {options.batch_size}."
        )
    return loader


def _check_rows(source: Source, options: TrainOptions) -> None:
    least: dict[Split, int] = {"train": processes(), "valid": source.task.least_rows}
    if options.select_on == "test":
        least["test"] = source.task.least_rows
    for split, count in least.items():
        if (rows := len(source.rows(split))) < count:
            raise DataError(
                f"the {split} split of {source.name} must have at least {count} rows, found {rows}."
            )


def training_task(source: Source, options: TrainOptions) -> Task:
    """Return the task of the data, with the class weights of the options.

    Methods are built for it. Evaluation uses the task of the data, which has no weights.

    Args:
        source: The data.
        options: How to train.

    Raises:
        ArgumentError: The data are no classification, or the weights are not one positive number
            per class.
    """
    task, weights = source.task, options.class_weights
    if weights is None:
        return task
    if not isinstance(task, Classification):
        raise ArgumentError(
            f"class_weights must be left out where targets are no classes, found {task.kind}."
        )
    if weights == "balanced":
        target = torch.from_numpy(source.target[source.rows("train")])
        counts = torch.bincount(target, minlength=task.outputs).clamp(min=1).double()
        weights = (len(target) / (task.outputs * counts)).tolist()
    return Classification(task.classes, weights=[float(weight) for weight in weights])


def make_state(
    method: Method, model: MultimodalModel, source: Source, options: TrainOptions, loader: Loader
) -> TrainState:
    """Return the training state that a method sees, and compile the model if asked to.

    Args:
        method: Already built for the model.
        model: On the loader's device.
        source: The data, for methods that pass over whole splits.
        options: How to train.
        loader: The training rows.
    """

    def rows(split: str, fraction: float, epoch: int) -> Iterable[Batch]:
        return Loader(
            source,
            cast("Split", split),
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
        training_task(source, options),
        epochs=options.epochs,
        batches_per_epoch=len(loader),
        accumulate=options.accumulate,
        max_norm=options.clip,
        precision=PRECISIONS[options.precision],
        scaler=torch.amp.GradScaler(loader.device.type) if options.precision == "float16" else None,
        generator=torch.Generator().manual_seed(options.seed),
        rows=rows,
    )
