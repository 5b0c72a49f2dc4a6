"""Evaluation of a finished run: predictions, controls, cost, and the result that holds them."""

from __future__ import annotations

import copy
import platform
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch

import g2d
from g2d.data import Source, Split
from g2d.engine import checkpoint
from g2d.engine.calibration import calibrate
from g2d.engine.cost import step_cost
from g2d.engine.evaluate import Evaluation, evaluate
from g2d.engine.fit import Fit
from g2d.engine.linear import plain_controls
from g2d.engine.nonfinite import SKIPPED
from g2d.engine.processes import batchnorm_kind, process
from g2d.engine.stack import Stack
from g2d.experiment.guards import after_evaluation
from g2d.experiment.student import Student
from g2d.experiment.students import TrainedStudent, stack_facts
from g2d.experiment.teachers import TeacherSet
from g2d.files import replaced
from g2d.fusion import Late
from g2d.manifest import hashes
from g2d.method import Method, TrainState, processes
from g2d.methods import UME
from g2d.model import MultimodalModel, Teachers, teacher_encoder, teacher_head
from g2d.runs import CHECKPOINTS, PREDICTIONS, RECORDED, SCHEMA, STACK, Result
from g2d.task import Task


def evaluated(
    student: Student,
    fitted: Fit,
    sets: Sequence[TeacherSet],
    out: Path,
    notices: Sequence[str] = (),
    *,
    others: Mapping[str, TrainedStudent] | None = None,
    test: bool = True,
) -> Result:
    """Evaluate a trained student; the only place where its test split is read.

    The logits of the test rows are kept in ``predictions/test.npz``.

    Args:
        student: The trained student.
        fitted: How its training went.
        sets: Its teachers; all of them are members of a stack.
        out: The run folder.
        notices: Warnings from before the training.
        others: Further students by name, which are stacked with it.
        test: False leaves the test split closed.
    """
    recipe, source, model = student.recipe, student.source, student.model
    others = others or {}
    method, weights = student.method, dict[str, float]()
    if recipe.is_stack:
        method, weights = _stacked(student, sets, others, out)
    warned = [f"{name}: {text}" for name, one in others.items() for text in one.result.notices]
    size = recipe.train.eval_batch_size
    valid = evaluate(method, model, source, "valid", batch_size=size, keep_rows=test)
    opened = {}
    if test:
        opened = tested(method, model, source, size, sets, out, recipe.controls, valid)
    return Result.model_validate(
        {
            **identity(student, fitted),
            "test": {},
            **opened,
            "valid": {**valid.record(), **split_size(source, "valid")},
            "cost": _cost(student, fitted, sets, others),
            "notices": [*notices, *fitted.notices, *warned, *opened.get("notices", [])],
            "complete": True,
            "stack": stack_facts(recipe, out, weights).plain(),
            "files": hashes(out, [name for name in RECORDED if (out / name).is_file()]),
        }
    )


def tested(
    method: Method,
    model: MultimodalModel,
    source: Source,
    batch_size: int,
    sets: Sequence[TeacherSet],
    out: Path,
    controlled: bool,
    valid: Evaluation,
) -> dict[str, Any]:
    """Return what the test split gives: scores, teachers, controls, warnings; keep the logits.

    Args:
        method: Predicts.
        model: The trained model.
        source: The data.
        batch_size: Rows per evaluation step.
        sets: Sets of teachers; the first one is evaluated.
        out: The run folder, which gets the logits.
        controlled: Whether to evaluate the controls.
        valid: Evaluation on the validation split with its rows, to compare the scores.
    """
    test = evaluate(method, model, source, "test", batch_size=batch_size, keep_rows=True)
    if process() == 0:
        keep_predictions(out / PREDICTIONS, test, source)
    teachers = sets[0].results(test.unimodal_confidence) if sets else {}
    extra = {}
    if sets and controlled:
        extra = controls(sets[0].teachers, teachers, source, batch_size)
        if process() == 0:
            extra |= plain_controls(source)
    scores = {**test.record(), **split_size(source, "test")}
    notices = after_evaluation(valid, test, source)
    return {"test": scores, "teachers": teachers, "controls": extra, "notices": notices}


def identity(student: Student, fitted: Fit) -> dict[str, Any]:
    """Return the part of a result that says what was trained, on which data and how."""
    recipe, source = student.recipe, student.source
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "method": recipe.method.name,
        "fusion": recipe.fusion.name,
        "modalities": list(source.modalities),
        "encoders": student.encoders_taken(),
        "task": source.task.config(),
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
        "processes": processes(),
        "batchnorm": batchnorm_kind(student.model, student.method),
        "device": str(next(student.model.parameters()).device),
        "epochs": fitted.epochs_done,
        "selected_epoch": fitted.selected_epoch,
        "select_on": recipe.train.select_on,
        "selection_metric": source.task.headline,
        "calibrated": recipe.train.calibrate,
        "additive": student.method.head_scale(student.model) is not None,
    }


def _stacked(
    student: Student, sets: Sequence[TeacherSet], others: Mapping[str, TrainedStudent], out: Path
) -> tuple[Method, dict[str, float]]:
    """Stack all students and teachers in a checkpoint of their own; return it and its weights."""
    device = next(student.model.parameters()).device
    members = {name: (one.model, one.method) for name, one in others.items()}
    stacked = sets if student.recipe.stack else ()  # a method may have teachers outside the stack
    stack = Stack(student.method, [one.teachers for one in stacked], members).to(device)
    weights = stack.fit(student.model, student.source, student.recipe.train.eval_batch_size)
    if process() == 0:
        checkpoint.save(out / CHECKPOINTS / STACK, student.model, stack)
    return stack, dict(weights)


def split_size(source: Source, split: Split) -> dict[str, int]:
    """Return the number of rows of a split, and of independent groups of rows."""
    return {"rows": len(source.rows(split)), "groups": len(np.unique(source.groups(split)))}


def keep_predictions(path: Path, evaluation: Evaluation, source: Source) -> None:
    """Save the logits of every test row, so that intervals over groups need no model.

    Args:
        path: An ``.npz`` file with ``index``, ``target``, ``logits``, ``group`` and
            ``unimodal/M`` for every modality M.
        evaluation: Of the test split, with its rows kept.
        source: The data.
    """
    tensors = {name: getattr(evaluation, name) for name in ("index", "target", "logits")}
    tensors |= {f"unimodal/{m}": z for m, z in (evaluation.unimodal_logits or {}).items()}
    arrays = {name: values.numpy() for name, values in tensors.items()}
    # Groups are in the order of the rows, as an evaluation reads them.
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, group=source.groups("test"), **arrays)


def _cost(
    student: Student,
    fitted: Fit,
    sets: Sequence[TeacherSet],
    others: Mapping[str, TrainedStudent],
) -> dict[str, Any]:
    own = {
        "seconds": fitted.seconds,
        "epochs": fitted.epochs_done,
        "updates": fitted.updates,
        **({SKIPPED: fitted.skipped} if fitted.skipped else {}),
        **(_step_cost(student) if student.method.trains and processes() == 1 else {}),
    }
    total = reduce(_added, (_trained_cost(one.result) for one in others.values()), own)
    return {**total, "teacher_seconds": sum(one.seconds for one in sets)}


def _trained_cost(result: Result) -> dict[str, Any]:
    """Return the cost of a student without that of its teachers, which all students share."""
    return result.cost.model_dump(exclude={"teacher_seconds"}, exclude_defaults=True)


def _added(one: Any, two: Any) -> Any:
    """Return the sum of two costs: numbers, or mappings of them."""
    if not isinstance(one, Mapping):
        return one + two
    both = {key: _added(one[key], two[key]) for key in one.keys() & two.keys()}
    return {**two, **one, **both}


def _step_cost(student: Student) -> dict[str, Any]:
    """Count operations and passes of a training step of the last epoch, on a copy of the model.

    In an earlier stage a suppressed encoder has no backward pass and costs less.
    """
    source, options = student.source, student.recipe.train
    # Teachers do not change and may keep an output for every row: they are not copied.
    teachers = getattr(student.method, "teachers", None)
    model, method = copy.deepcopy((student.model, student.method), {id(teachers): teachers})
    model.train()
    method.train()
    rows = source.gather(source.rows("train")[: options.batch_size])
    batch = source.view(rows, seed=0, epoch=1, train=False)
    optimizer = torch.optim.SGD(method.parameter_groups(model), lr=0.0)
    state = TrainState(model, optimizer, source.task, epochs=options.epochs)
    state.epoch = options.epochs
    counts = step_cost(method, state, batch.to(next(model.parameters()).device))
    passes = {
        "encoder_forward": dict(counts.passes.forward),
        "encoder_backward": dict(counts.passes.backward),
    }
    return {"flops_per_step": counts.flops, "updates_per_step": counts.updates, "passes": passes}


def teacher_ensemble(teachers: Teachers, task: Task) -> tuple[MultimodalModel, Method]:
    """Return the mean of the teachers' logits as a model, and the method that predicts with it.

    Args:
        teachers: Not changed; the model has copies of their encoders.
        task: The kind of target.
    """
    models = teachers.models
    encoders = {m: copy.deepcopy(teacher_encoder(teacher)) for m, teacher in models.items()}
    dims = {m: teacher_head(teacher).in_features for m, teacher in models.items()}
    model = MultimodalModel(encoders, Late(dims, task.outputs))
    device = next(next(iter(models.values())).parameters()).device
    method: Method = UME(teachers=teachers).build(model.to(device), task)
    return model.eval(), method.to(device)


def controls(
    teachers: Teachers, scores: Mapping[str, Mapping[str, Any]], source: Source, batch_size: int
) -> dict[str, Any]:
    """Evaluate the controls; return their part of ``result.json``.

    Args:
        teachers: The trained teachers.
        scores: The teachers' part of the result; ``valid`` chooses the best one.
        source: The data.
        batch_size: Rows per evaluation step.
    """
    best = max(scores, key=lambda m: scores[m]["valid"][source.task.headline])
    model, method = teacher_ensemble(teachers, source.task)
    raw = evaluate(method, model, source, "test", batch_size=batch_size)
    calibrate(method, model, source, batch_size)
    calibrated = evaluate(method, model, source, "test", batch_size=batch_size)
    weights = dict(zip(method.modalities, method.head_weights.tolist(), strict=True))
    return {
        "best_teacher": {"modality": best, "test": scores[best]["test"]},
        "ensemble": {"test": raw.record()["fused"]},
        "ensemble_calibrated": {"test": calibrated.record()["fused"], "head_weights": weights},
    }
