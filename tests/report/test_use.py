"""Measures of use: from a model to ``analysis.json``, and from there to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import g2d
from g2d.experiment.plain_measures import plain_measures
from g2d.report import groups_of
from g2d.report.page import chapters_of, render_page
from g2d.report.use import CLASSES_ONLY, use_parts
from g2d.runs import Analysis, read_analysis, read_run

BITS = torch.arange(400) % 2
MISLED = torch.where((torch.arange(400) % 8 == 3) | (torch.arange(400) % 8 == 4), 1 - BITS, BITS)


def shown(bits: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(bits, 2).float()


def written(folder: Path, measures: g2d.analysis.Measures) -> Analysis:
    """Write measures to ``analysis.json`` and read them again."""
    Analysis.model_validate(plain_measures(measures)).write(folder)
    analysis = read_analysis(folder)
    assert analysis is not None
    return analysis


def test_every_measure_of_a_model_is_on_the_page_of_its_run(make_run: Any) -> None:
    folder = make_run("joint", 0, 0.5)
    # The image misleads in one row of four, and the model follows it.
    inputs = {"image": shown(MISLED), "tone": shown(BITS)}
    measures = g2d.diagnose(lambda x: 2 * x["image"] + x["tone"], [(inputs, BITS)])
    analysis = written(folder, measures)
    assert analysis.imbalance == measures.imbalance
    assert analysis.errors is not None
    assert analysis.errors.loss[0] == 0.25
    titles = [part.title for part in use_parts(analysis)]
    assert titles == [
        "Use of every modality",
        "Interaction of modalities",
        "Which modalities alone are right",
        "Co-information of predictions",
    ]
    groups = groups_of([read_run(folder)])
    page = render_page(groups, chapters_of(groups))
    for text in (
        *titles,
        "Contribution to rows",
        "perceptual score (%)",
        "25.0 [",  # rows that the image harms
        "not tested",
        "image and tone",
        "co-information (bits)",
    ):
        assert text in page
    assert CLASSES_ONLY not in page


def test_a_page_says_which_measures_values_do_not_have(tmp_path: Path) -> None:
    inputs = {"image": shown(BITS), "tone": shown(MISLED)}
    target = (BITS + MISLED).float()
    measures = g2d.diagnose(lambda x: x["image"][:, 1] + x["tone"][:, 1], [(inputs, target)])
    parts = {part.title: part for part in use_parts(written(tmp_path, measures))}
    assert list(parts) == ["Use of every modality", "Interaction of modalities"]
    assert CLASSES_ONLY in parts["Use of every modality"].words


def test_a_diagnosis_of_an_earlier_version_has_no_such_parts() -> None:
    earlier = {"verdict": ["image is suppressed"], "score_of_every_subset": {"none": 0.1}}
    assert list(use_parts(Analysis.model_validate(earlier))) == []
