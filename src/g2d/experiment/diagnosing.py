"""A finished run, diagnosed: its rows, its teachers, and ``analysis.json``, which its page shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g2d import analysis
from g2d.data import Loader
from g2d.experiment.loading import Run, load
from g2d.experiment.taught import teacher_cache
from g2d.model import MultimodalModel
from g2d.report.formatting import aligned, number
from g2d.report.layouts import cautions
from g2d.runs import RESULT, Analysis, DataFacts
from g2d.types import Batch, Output


def diagnose_run(
    folder: str | Path, *, split: str = "test", teachers: str | Path | None = None
) -> tuple[Run, analysis.Diagnosis]:
    """Diagnose a run against the teachers of its own recipe, or of another run's.

    Teachers are looked for where the run, its comparison or ``teachers`` keeps them; none is trained. What was found is kept as
    ``analysis.json`` in the run folder, and its page is drawn anew.

    Args:
        split: which rows.
        teachers: a run of the same data and encoders whose teachers to compare with.

    Raises:
        RunError: it is not a run folder.
    """
    run = load(folder)
    model = run.model
    rows = _collected(run, split)
    taught = find_teachers(run if teachers is None else load(teachers))
    other = {
        m: analysis.collect(
            partial(_ask, teacher, m), _batches(run, split), run.source.groups(split)
        )
        for m, teacher in taught.items()
    }
    # Teachers in a stack see the inputs too: without a modality for all of them, it is not absent.
    values = {} if run.recipe.stack else _coalitions(run, split)
    everyone = frozenset(model.modalities)
    right = {some: found[1].double().numpy() for some, found in values.items()}
    shapley = (
        analysis.shapley_values(
            {some: found[0] for some, found in values.items()}, model.modalities
        )
        if values
        else {}
    )
    train = _collected(run, "train")
    found = analysis.diagnose(
        rows,
        run.task,
        teachers=other or None,
        probe=analysis.linear_probe(train, rows),
        without={m: right[everyone - {m}] for m in model.modalities} if right else None,
        complete=right.get(everyone),
        shapley={m: float(value.mean()) for m, value in shapley.items()} or None,
    )
    content = {**_kept(found), **_more(run, rows, other, right)}
    Analysis.model_validate(content).write(run.folder)
    if (run.folder / RESULT).is_file():
        from g2d.report import write_report

        write_report(run.folder)
    return run, found


def find_teachers(run: Run) -> dict[str, MultimodalModel]:
    """The teachers of a run's recipe, where they are kept; those that are not there are left out."""
    places = [
        run.recipe.teachers.folder,
        run.folder.parent / "teachers",
        run.folder.parent.parent / "teachers",
    ]
    for place in places:
        if place is None or not place.is_dir():
            continue
        cache = teacher_cache(run.recipe, run.source, place)
        found = {m: teacher for m in run.modalities if (teacher := cache.find(m)) is not None}
        if found:
            return {m: cache.open(teacher, "best").eval() for m, teacher in found.items()}
    return {}


def described(diagnosis: analysis.Diagnosis, data: DataFacts) -> str:
    """The figures behind a verdict, as a table, and what must stand beside it.

    Args:
        data: facts of the data, as every result holds them.
    """
    header = [
        "in %",
        "inside the model",
        "teacher alone",
        "gap [95 %]",
        "confidence ratio [95 %]",
        "loss without it",
        "share of the value",
        "linear probe",
    ]
    lines = []
    for m, f in diagnosis.modalities.items():
        lines.append(
            [
                m,
                _percent(f.own),
                _percent(f.teacher),
                _percent(f.gap, True),
                "-"
                if f.ratio is None
                else f"{f.ratio.value:.2f} [{f.ratio.low:.2f}, {f.ratio.high:.2f}]",
                _percent(f.drop, True),
                number(f.shapley, 2),
                number(None if f.probe is None else 100 * f.probe, 1),
            ]
        )
    whole = f"All modalities together: {_percent(diagnosis.fused, True)} %; chance: {100 * diagnosis.chance:.1f} %."
    return "\n".join([aligned(header, lines), whole, *cautions(data)])


def _percent(found: analysis.Interval | None, interval: bool = False) -> str:
    if found is None:
        return "-"
    return f"{100 * found.value:.1f}" + (
        f" [{100 * found.low:.1f}, {100 * found.high:.1f}]" if interval else ""
    )


def _batches(run: Run, split: str) -> Iterator[Batch]:
    return iter(
        Loader(
            run.source,
            split,
            run.recipe.train.eval_batch_size,
            device=next(run.model.parameters()).device,
        ).epoch(0)
    )


def _collected(run: Run, split: str) -> analysis.Rows:
    return analysis.collect(
        partial(_predicted, run), _batches(run, split), run.source.groups(split)
    )


def _coalitions(run: Run, split: str) -> dict[frozenset[str], tuple[torch.Tensor, torch.Tensor]]:
    means = analysis.feature_means(run.model, _batches(run, "train"))
    return analysis.coalition_values(
        run.model, _batches(run, split), means, run.task, partial(_predicted, run)
    )


def _predicted(run: Run, batch: Batch) -> Output:
    return run.method.predict(run.model, batch.inputs, batch.present)


def _ask(teacher: MultimodalModel, m: str, batch: Batch) -> Output:
    output: Output = teacher({m: batch.inputs[m]}, present=batch.present, unimodal=True)
    return output


def _kept(found: analysis.Diagnosis) -> dict[str, Any]:
    """The verdict as a page shows it: sentences, and a table of plain numbers."""
    table = {
        m: {
            "inside the model": f.own.value,
            "teacher alone": None if f.teacher is None else f.teacher.value,
            "gap": None if f.gap is None else [f.gap.value, f.gap.low, f.gap.high],
            "confidence ratio": None
            if f.ratio is None
            else [f.ratio.value, f.ratio.low, f.ratio.high],
            "loss without it": None if f.drop is None else f.drop.value,
            "Shapley value": f.shapley,
            "linear probe": f.probe,
            "state": f.state,
        }
        for m, f in found.modalities.items()
    }
    return {
        "verdict": [*found.verdict, *(f"Try: {sentence}" for sentence in found.advice)],
        "modalities": table,
    }


POINTS = 200
"""Rows whose features are drawn in a plane."""


def _axes(x: str, y: str, caption: str) -> dict[str, str]:
    return {"x": x, "y": y, "caption": caption}


def _more(
    run: Run,
    rows: analysis.Rows,
    taught: dict[str, analysis.Rows],
    right: dict[frozenset[str], Any],
) -> dict[str, Any]:
    """Further figures: subsets, corruption, alignment, gap, gradients, classes, calibration."""
    exact = (
        analysis.shapley_values(
            {some: torch.from_numpy(value) for some, value in right.items()}, run.modalities
        )
        if right
        else {}
    )
    found: dict[str, Any] = {
        "Shapley_share_of_the_score": {m: float(value.mean()) for m, value in exact.items()}
    }
    found |= {
        "score_of_every_subset": {
            " + ".join(sorted(some)) or "none": float(np.mean(value))
            for some, value in right.items()
        }
    }
    if run.task.kind in ("classification",):
        recalls = analysis.per_class(rows)
        found["recall_by_class"] = {
            name: {m: recalls[m][c] for m in recalls}
            for c, name in enumerate(run.task.config()["classes"])
        }
        heads = {
            name: analysis.reliability(z, rows.target)
            for name, z in {**rows.unimodal, "fused": rows.logits}.items()
        }
        found["calibration_error"] = {name: head.error for name, head in heads.items()}
        found["reliability"] = {
            "points": {
                name: list(zip(head.confidence, head.accuracy, strict=True))
                for name, head in heads.items()
            },
            **_axes(
                "predicted confidence",
                "share of right predictions",
                "Each head's predictions in ten bins of confidence; dotted: what is honest.",
            ),
            "joined": True,
            "diagonal": True,
        }
    predict = partial(_predicted, run)
    noisy = {
        m: analysis.under_corruption(predict, _batches(run, "valid"), run.task, m)
        for m in run.modalities
    }
    found["score_under_noise"] = {
        "points": {f"noise on {m}": list(scores.items()) for m, scores in noisy.items()},
        **_axes(
            "noise, in standard deviations of the input",
            f"validation {run.task.headline}",
            "All modalities together, while one is corrupted.",
        ),
        "joined": True,
    }
    same = {
        m: rows_.features[m]
        for m, rows_ in taught.items()
        if rows_.features[m].shape == rows.features[m].shape
    }
    found["alignment_with_teacher"] = {
        m: analysis.feature_alignment(rows.features[m], f) for m, f in same.items()
    }
    found["modality_gap"] = {
        " to ".join(pair): distance for pair, distance in analysis.modality_gap(rows).items()
    }
    some = np.random.default_rng(0).permutation(len(rows))[:POINTS]
    flat = analysis.projected(rows.at(some), "pca")
    found["modalities_in_a_plane"] = {
        "points": {m: cloud.round(4).tolist() for m, cloud in flat.items()},
        **_axes(
            "first component",
            "second component",
            f"L2-normalised features of {len(some)} rows, projected by PCA.",
        ),
    }
    if not run.method.own_heads:
        pulls = analysis.gradient_pull(run.model, _batches(run, "valid"), run.task)
        found["gradient_of_every_encoder"] = {
            m: {"norm": pull.norm, "cosine with its own loss": pull.agreement}
            for m, pull in pulls.items()
        }
    if run.method.head_scale(run.model) is not None:
        weighed = analysis.reweighed(_collected(run, "valid"), rows, run.task)
        found["calibrated_heads"] = {
            **{f"weight of {m}": w for m, w in weighed.weights.items()},
            "fused before": weighed.before,
            "fused after": weighed.after,
        }
    return {name: value for name, value in found.items() if value}
