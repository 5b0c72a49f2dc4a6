"""Diagnosis of any function from inputs to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from g2d.analysis.coalitions import feature_means
from g2d.analysis.measures import Measures, measure
from g2d.analysis.pool import Pool, feature_pool, padded
from g2d.analysis.rows import collect
from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.model import MultimodalModel, evaluating
from g2d.task import Classification, MultiLabel, Regression, Task
from g2d.types import Batch, Input, Inputs
from g2d.types import Sequence as Padded

DROPS = ("mean", "zero", "permutation")
"""Ways to drop a modality."""

Drop = Literal["mean", "zero", "permutation"]


def diagnose(
    model: Callable[[dict[str, Any]], Any],
    batches: Iterable[Batch | tuple[Inputs, Tensor]],
    modalities: Sequence[str] | None = None,
    *,
    drop: Drop = "mean",
    task: Task | None = None,
    seed: int = 0,
) -> Measures:
    """Diagnose which modalities a model uses, by forward passes only.

    Args:
        model: Any function that maps a dict of inputs per modality to logits ``(B, C)``, or a
            :class:`g2d.MultimodalModel`. A module is in eval mode during the call.
        batches: Held-out rows: a :class:`g2d.Batch`, or a tuple of inputs and targets. Targets
            are class numbers ``(B,)``, int64, values ``(B, C)``, float, or the states of several
            labels ``(B, C)``, bool.
        modalities: Names of all inputs, in the order of the report; by default those of the
            batches.
        drop: What replaces a modality that is dropped: the ``mean`` of the rows, ``zero``, or the
            modality of another row (``permutation``). It applies to the inputs; for a
            :class:`g2d.MultimodalModel` to the features, so that every encoder runs once. The
            padding of sequences stays.
        task: Kind of target; by default read from the targets. Values are predicted as they are,
            without a squashing function.
        seed: Seed of the permutation.

    Returns:
        The measures. ``print`` shows them in plain English.

    Raises:
        ArgumentError: There are no rows, inputs have other names, integers have no mean, or the
            output is not logits.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> target = torch.randint(2, (400,), generator=g)
        >>> image = torch.nn.functional.one_hot(target).float()
        >>> inputs = {"image": image, "tone": torch.randn(400, 2, generator=g)}
        >>> measures = diagnose(lambda x: x["image"] + 0 * x["tone"], [(inputs, target)])
        >>> measures
        Measures(accuracy 100.0 % on 400 rows; needs image 0.49, tone 0.00; interaction not tested)
        >>> measures.ignored
        ['tone']
    """
    one_of("drop", drop, DROPS)
    kept = [item if isinstance(item, Batch) else Batch(*item) for item in batches]
    if not kept:
        raise ArgumentError("batches must hold rows to analyze, found none.")
    names = tuple(kept[0].inputs) if modalities is None else tuple(modalities)
    if set(names) != set(kept[0].inputs):
        raise ArgumentError(
            f"modalities must name every input ({', '.join(kept[0].inputs)}), "
            f"found {', '.join(names)}."
        )
    if isinstance(model, MultimodalModel):
        return _of_model(model, kept, drop, task, seed)
    with evaluating(model) if isinstance(model, nn.Module) else nullcontext():
        pool = _input_pool(model, kept, names, drop, seed)
        return measure(pool, task or _task(pool))


def _of_model(
    model: MultimodalModel, batches: list[Batch], drop: Drop, task: Task | None, seed: int
) -> Measures:
    """Measure a model of this library, whose features can be kept."""
    means = feature_means(model, batches)
    if drop == "zero":
        means = {m: torch.zeros_like(mean) for m, mean in means.items()}
    pool = feature_pool(model, batches, means)
    if drop == "permutation":
        order = _order(len(pool), seed)
        pool = replace(pool, absent={m: rows[order] for m, rows in pool.inputs.items()})
    with evaluating(model):
        rows = collect(
            lambda batch: model(batch.inputs, present=batch.present, unimodal=True), batches
        )
    return measure(pool, task or _task(pool), rows)


def _input_pool(
    function: Callable[[dict[str, Any]], Any],
    batches: list[Batch],
    names: tuple[str, ...],
    drop: Drop,
    seed: int,
) -> Pool:
    """Return a pool that keeps all inputs, on the CPU."""
    device, target = batches[0].target.device, torch.cat([batch.target.cpu() for batch in batches])
    target = target[:, None] if target.is_floating_point() and target.ndim == 1 else target
    inputs = {m: _joined([batch.inputs[m] for batch in batches]) for m in names}
    has = {m: torch.cat([batch.has(m).cpu() for batch in batches]) for m in names}
    absent = {m: _dropped(m, values, has[m], drop, seed) for m, values in inputs.items()}

    def ask(batch: Batch) -> Tensor:
        return _logits(function(dict(batch.to(device).inputs)), batch.target)

    return Pool(ask, inputs, absent, has, target, np.arange(len(target)))


def _logits(output: Any, target: Tensor) -> Tensor:
    """Return the logits of a function's output, after a check of their shape."""
    logits = getattr(output, "logits", output)
    classes = target.ndim == 1
    if isinstance(logits, Tensor) and logits.ndim == 1 and not classes:
        logits = logits[:, None]
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
    rule = f"({len(target)}, classes)" if classes else str(tuple(target.shape))
    if (
        not isinstance(logits, Tensor)
        or logits.ndim != 2
        or (logits.shape[1] < 2 if classes else logits.shape != target.shape)
    ):
        raise ArgumentError(
            f"the model must return logits of shape {rule}, found {shape}. "
            "Wrap it in a function that does."
        )
    return logits if logits.is_floating_point() else logits.float()


def _task(pool: Pool) -> Task:
    """Return the kind of target that targets and logits show."""
    if pool.target.ndim == 1:
        logits = pool.logits({m: rows[:1] for m, rows in pool.own.items()})
        return Classification(logits.shape[1])
    if pool.target.dtype == torch.bool:
        return MultiLabel(pool.target.shape[1])
    return Regression(pool.target.shape[1], output="identity")


def _joined(parts: Sequence[Input]) -> Input:
    """Return the inputs of all batches on the CPU; sequences are padded to the longest."""
    if not isinstance(parts[0], Padded):
        return torch.cat([part.cpu() for part in parts if isinstance(part, Tensor)])
    sequences = [part.to("cpu") for part in parts if isinstance(part, Padded)]
    longest = max(part.mask.shape[1] for part in sequences)
    values, mask = (
        torch.cat([padded(part, longest) for part in some])
        for some in zip(*((part.values, part.mask) for part in sequences), strict=True)
    )
    return replace(sequences[0], values=values, mask=mask)


def _dropped(m: str, values: Input, has: Tensor, drop: Drop, seed: int) -> Input:
    """Return the inputs of all rows that replace those of a dropped modality."""
    if drop == "permutation":
        return values[_order(len(values), seed)]
    plain = values.values if isinstance(values, Padded) else values
    if drop == "zero":
        blank = torch.zeros_like(plain)
    elif not plain.is_floating_point():
        raise ArgumentError(
            f"inputs of {m!r} must be real numbers to have a mean, found integers. "
            'Use drop="zero" or drop="permutation".'
        )
    else:
        blank = _mean(values, has).expand_as(plain)
    if not isinstance(values, Padded):
        return blank
    mask = values.mask.reshape(*values.mask.shape, *[1] * (plain.ndim - 2))
    return replace(values, values=torch.where(mask, blank, 0))


def _mean(values: Input, has: Tensor) -> Tensor:
    """Return the mean over the rows that have the modality, of sequences over all real steps."""
    rows = values[has]
    return rows.values[rows.mask].mean(0) if isinstance(rows, Padded) else rows.mean(0)


def _order(rows: int, seed: int) -> Tensor:
    """Return a permutation of the rows."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
