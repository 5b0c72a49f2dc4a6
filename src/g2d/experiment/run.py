"""One run: teachers -> student -> evaluation -> a folder that says everything."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import g2d
from g2d.data import Source
from g2d.engine import checkpoint
from g2d.engine.callbacks import Callback, MLflow, ProgressLine, TensorBoard, WeightsAndBiases
from g2d.engine.cost import step_cost
from g2d.engine.evaluate import Evaluation, evaluate
from g2d.engine.fit import Fit, fit
from g2d.engine.processes import process, start, wait
from g2d.engine.setup import check
from g2d.engine.stack import Stack
from g2d.errors import DataError
from g2d.experiment.controls import controls
from g2d.experiment.taught import Taught, obtain
from g2d.files import write_json, write_text
from g2d.method import Method, TrainState, processes
from g2d.model import MultimodalModel, warm_start
from g2d.recipe import Recipe
from g2d.runs import (
    CHECKPOINTS,
    DATA,
    PREDICTIONS,
    RECIPE,
    SCHEMA,
    STACK,
    Result,
    claim,
    hashes_of,
    same_data,
)

Say = Callable[[str], object]


WATCHERS: dict[str, Callable[[str, Path], Callback]] = {
    "tensorboard": lambda name, folder: TensorBoard(folder / "tensorboard"),
    "wandb": lambda name, folder: WeightsAndBiases(name),
    "mlflow": lambda name, folder: MLflow(name),
}
"""Where else the numbers of every epoch can go, beside ``metrics.jsonl``."""


def run(
    recipe: Recipe,
    out: str | Path,
    *,
    progress: bool = True,
    watch: Sequence[str] = (),
    say: Say = print,
) -> Result:
    """Train what a recipe says, in a folder.

    An existing folder of the same recipe is resumed; a finished one is said to be finished, and its result returned.

    Args:
        out: the run folder.
        progress: show a progress display.
        watch: names of :data:`WATCHERS`.
        say: takes sentences for the user.

    Returns:
        the content of ``result.json``.

    Raises:
        MissingDependencyError: a watcher's library is not installed.
        RunError: the folder belongs to another recipe, or to other data.
        UnsupportedError: the method is not defined for this task, number of modalities or fusion. Nothing has been created.
    """
    start()
    out, main = Path(out), process() == 0
    say = say if main else _silent
    done = claim(out, recipe.resolved())
    if done is not None:
        same_data(out, recipe.store_hash())
        say(f"{out} is finished: its recipe is the same, so there is nothing left to do.")
        return done
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    source = recipe.build_source()
    same_data(out, hashes_of(source))
    model, method = recipe.build_untrained(source)
    if len(source.rows("test")) < (least := source.task.least_rows):
        raise DataError(
            f"{source.protocol} of {source.name} must have at least {least} test rows, found {len(source.rows('test'))}. Choose another data.protocol."
        )
    check(
        method, model, source, recipe.train
    )  # whatever can be refused is refused before anything is created or trained
    watchers = [WATCHERS[name](recipe.name, out) for name in watch] if main else []
    if main and not (out / RECIPE).is_file():
        write_text(out / RECIPE, recipe.to_yaml())
    if main and not (out / DATA).is_file():
        write_json(
            out / DATA, {"name": source.name, "protocol": source.protocol} | hashes_of(source)
        )
    wait()
    taught = (
        obtain(recipe, source, out, progress=progress and main, say=say)
        if recipe.needs_teachers or recipe.controls
        else None
    )
    model = recipe.build_model(source)
    if taught is not None and recipe.warm_start:
        warm_start(model, taught.teachers.models)
    method = recipe.build_method(None if taught is None else taught.teachers).build(
        model, source.task
    )
    if progress and main:
        watchers.append(ProgressLine(recipe.name, source.task.headline))
    fitted = fit(method, model, source, recipe.train, folder=out, callbacks=watchers)
    asked, stacked = method, dict[str, float]()
    sets = [] if taught is None else [taught]
    if recipe.stack:
        sets = more_teachers(
            recipe,
            sets,
            lambda other: obtain(other, source, out, progress=progress and main, say=say),
        )
        asked, stacked = stack(method, model, source, sets, recipe.train.eval_batch_size, out)
    content = summarize(recipe, source, model, asked, fitted, taught, out)
    content["cost"] |= counted_step(recipe, model, method, source) if processes() == 1 else {}
    content["cost"]["teacher_seconds"] = sum(other.seconds for other in sets)
    content["stack"] = {"teacher_sets": recipe.stack, "head_weights": stacked}
    result = Result.model_validate(content)
    if main:
        result.write(out)
        write_report(out)
    wait()
    return result


def more_teachers(
    recipe: Recipe, sets: Sequence[Taught], obtain: Callable[[Recipe], Taught]
) -> list[Taught]:
    """As many sets of teachers as a stack asks for, from consecutive seeds; the first is the run's own."""
    seeds = range(recipe.teachers.train.seed + len(sets), recipe.teachers.train.seed + recipe.stack)
    return [*sets, *(obtain(recipe.changed({"teachers.seed": seed})) for seed in seeds)]


def stack(
    method: Method,
    model: MultimodalModel,
    source: Source,
    sets: Sequence[Taught],
    batch_size: int,
    out: Path,
) -> tuple[Stack, dict[str, float]]:
    """The student and its teachers' sets stacked, kept as a checkpoint of their own."""
    stacked = Stack(method, [other.teachers for other in sets]).to(next(model.parameters()).device)
    weights = dict(stacked.fit(model, source, batch_size))
    if process() == 0:
        checkpoint.save(out / CHECKPOINTS / STACK, model, stacked)
    return stacked, weights


def summarize(
    recipe: Recipe,
    source: Source,
    model: MultimodalModel,
    method: Method,
    fitted: Fit,
    taught: Taught | None,
    out: Path,
) -> dict[str, Any]:
    """The content of ``result.json``; the test split is opened here, once. Its rows are kept in ``predictions/test.npz``."""
    task, batch_size = source.task, recipe.train.eval_batch_size
    test = evaluate(method, model, source, "test", batch_size=batch_size, keep_rows=True)
    valid = evaluate(method, model, source, "valid", batch_size=batch_size)
    if process() == 0:
        keep_predictions(out / PREDICTIONS, test, source)
    teachers = {} if taught is None else taught.described(test.unimodal_confidence)
    free = (
        controls(taught.teachers, teachers, source, recipe.train)
        if taught is not None and recipe.controls
        else {}
    )
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "method": recipe.method.name,
        "fusion": recipe.fusion.name,
        "modalities": list(source.modalities),
        "task": task.config(),
        "data": source.describe(),
        "seed": recipe.train.seed,
        "teacher_seed": recipe.teachers.train.seed,
        "versions": {
            "g2d": g2d.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
        "device": str(next(model.parameters()).device),
        "epochs": fitted.epochs_done,
        "selected_epoch": fitted.selected_epoch,
        "select_on": recipe.train.select_on,
        "selection_metric": task.headline,
        "calibrated": recipe.train.calibrate,
        "test": {**test.record(), **size(source, "test")},
        "valid": {**valid.record(), **size(source, "valid")},
        "teachers": teachers,
        "controls": free,
        "cost": {
            "seconds": fitted.seconds,
            "epochs": fitted.epochs_done,
            "updates": fitted.updates,
        },
        "notices": fitted.notices,
        "complete": True,
    }


def size(source: Source, split: str) -> dict[str, int]:
    """Rows and independent groups of rows of a split."""
    return {"rows": len(source.rows(split)), "groups": len(np.unique(source.groups(split)))}


def keep_predictions(path: Path, evaluation: Evaluation, source: Source) -> None:
    """Every test row's logits, so that intervals over groups need no model."""
    assert evaluation.index is not None
    assert evaluation.target is not None
    assert evaluation.logits is not None
    tensors = {"index": evaluation.index, "target": evaluation.target, "logits": evaluation.logits}
    tensors |= {f"unimodal/{m}": z for m, z in (evaluation.unimodal_logits or {}).items()}
    arrays: dict[str, Any] = {name: values.numpy() for name, values in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    group = source.groups("test")  # in the order of the rows, as an evaluation goes through them
    np.savez_compressed(path, group=group, **arrays)


def counted_step(
    recipe: Recipe, model: MultimodalModel, method: Method, source: Source
) -> dict[str, Any]:
    """Floating-point operations and passes of the last epoch's training step, counted on a copy; empty where nothing is trained.

    In an earlier stage a suppressed encoder has no backward pass and costs less.
    """
    if not method.trains:
        return {}
    teachers = getattr(
        method, "teachers", None
    )  # they do not move, and may hold an answer for every row
    model, method = copy.deepcopy((model, method), {id(teachers): teachers})
    model.train()
    method.train()
    batch = source.view(
        source.gather(source.rows("train")[: recipe.train.batch_size]), seed=0, epoch=1, train=False
    )
    optimizer = torch.optim.SGD(method.parameter_groups(model), lr=0.0)
    state = TrainState(model, optimizer, source.task, epochs=recipe.train.epochs)
    state.epoch = recipe.train.epochs
    found = step_cost(method, state, batch.to(next(model.parameters()).device))
    passes = {
        "encoder_forward": dict(found.passes.forward),
        "encoder_backward": dict(found.passes.backward),
    }
    return {"flops_per_step": found.flops, "updates_per_step": found.updates, "passes": passes}


def write_report(out: Path) -> None:
    """The HTML page and the figures, where this installation can write them."""
    spec = find_spec("g2d.report")
    if spec is not None and spec.origin is not None:
        import_module("g2d.report").write_report(out)


def _silent(sentence: str) -> None:
    """What processes other than the first say."""
