"""The card of an exported model: what it is, what it was trained on, how good it is, its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

import g2d
from g2d.engine.stack import Stack
from g2d.experiment.tables import metrics_table
from g2d.report.comparison import cautions
from g2d.runs import Result

if TYPE_CHECKING:
    from g2d.experiment.loading import Run

LIMITS = (
    "The scores hold for rows like those of the test split: drawn in the same way, from the same "
    "places and years. For others, measure them: `g2d evaluate . --source rows.csv`.",
    "Probabilities are those of the model; they are calibrated only where the list above says so.",
    "The model knows the classes, categories and scales of its training rows, and no others.",
)
"""Sentences that hold for every model."""


def card(run: Run, recipe: Mapping[str, Any]) -> str:
    """Return the card of a model as Markdown.

    Args:
        run: The finished run.
        recipe: Its resolved recipe without paths of this machine.
    """
    result = run.result
    assert result is not None
    text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=160)
    parts = [
        f"# {run.name}",
        f"Predicts {_target(run)} from {_listed(run.modalities)}. Made by g2d {g2d.__version__}.",
        "## Use",
        "```sh\npip install g2d\ng2d predict . --source rows.csv --out predictions.csv\n"
        "g2d evaluate . --source labeled.csv\n```",
        "```python\nimport g2d\n\ng2d.load('.').predict('rows.csv').values\n```",
        *_inputs(run),
        "## Training",
        _bullets(_training(run, result)),
        "## Scores",
        f"On {result.test.rows or 'the'} test rows"
        + (", on which the epoch was selected too:" if result.selected_on_test else ":"),
        f"```text\n{metrics_table(result.test.fused, result.test.unimodal, run.task)}\n```",
        "## Limits",
        _bullets([*cautions(result.data), *result.notices, *LIMITS]),
        "## Recipe",
        f"```yaml\n{text.strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _target(run: Run) -> str:
    if run.task.kind == "classification":
        return f"one of {run.task.outputs} classes ({_listed(run.task.names[:20])})"
    if run.task.names:
        return f"any of {run.task.outputs} labels ({_listed(run.task.names[:20])})"
    return "a value" if run.task.outputs == 1 else f"{run.task.outputs} values"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _inputs(run: Run) -> Iterator[str]:
    """Yield the section about what a row of a table must have."""
    yield "## Rows"
    columns = run.source.facts.get("parameters", {}).get("columns", {})
    lines = []
    for m in run.modalities:
        flags = run.source.present.get(m)
        lacks = flags is not None and not flags[run.source.rows("train")].all()
        shape = "x".join(map(str, run.source.arrays[m].shape[1:])) or "one number"
        given = f"columns {', '.join(columns[m])}" if m in columns else f"an array, {shape} per row"
        lines.append(f"{m}: {given}{'; may be absent' if lacks else ''}")
    yield _bullets(lines)


def _training(run: Run, result: Result) -> Iterator[str]:
    """Yield facts about the training."""
    data, rows = result.data, result.data.rows
    counts = ", ".join(f"{count} {split}" for split, count in rows.items()) if rows else ""
    yield f"data: {data.name}, {counts} rows, content hash {data.content_hash[:12]}"
    yield f"protocol: {data.protocol}"
    yield f"method: {result.method}; fusion: {result.fusion}"
    yield f"seed {result.seed}; {result.epoch_in_words}"
    if isinstance(run.method, Stack):
        heads = [f"{name} {w:.3f}" for name, w in result.stack.head_weights.items()]
        yield f"a stack with weights of heads fitted on the validation rows: {', '.join(heads)}"
    elif result.calibrated:
        yield "calibrated on the validation rows"
    versions = [f"{name} {version}" for name, version in result.versions.items()]
    yield f"made with {', '.join(versions)}"


def _bullets(lines: Iterator[str] | list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
