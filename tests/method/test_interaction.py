"""The notice that guidance by unimodal teachers can destroy an interaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from g2d.fusion import FUSIONS, build_fusion
from g2d.method.interaction import LOST, PAGE, TOPIC
from g2d.methods import G2D, UMT, Joint
from g2d.model import MultimodalModel
from g2d.modulations import SMP, PartialSuppression
from g2d.task import Classification
from g2d.types import Encoded
from support.tiny import CLASSES, WIDTHS, teachers_of

ALONE = "stages in which one modality learns alone"
FEATURES, LOGITS = "distillation of unimodal features", "distillation of unimodal logits"
BOTH = "distillation of unimodal features and logits"
CASES: list[tuple[type, dict[str, Any], list[str]]] = [
    (G2D, {}, [ALONE, BOTH]),
    (G2D, {"tau": "none", "alpha": 0.0}, [LOGITS]),
    (G2D, {"beta": 0.0}, [ALONE, FEATURES]),
    (G2D, {"alpha": 0.0, "beta": {"sight": 0.0, "sound": 0.5}}, [ALONE, LOGITS]),
    (G2D, {"tau": "none", "alpha": 0.0, "beta": {"sight": 0.0, "sound": 0.0}}, []),
    (Joint, {"modulation": SMP()}, [ALONE]),
    (Joint, {"modulation": PartialSuppression()}, []),
    (UMT, {}, [FEATURES]),
    (UMT, {"weight": 0.0, "modulation": SMP()}, [ALONE]),
]


def notice(method: type, options: dict[str, Any], fusion: str, modalities: list[str]) -> str | None:
    """Return the notice of a method that was built for a fusion."""
    dims = {m: WIDTHS[m] for m in modalities}
    example = {m: Encoded(torch.zeros(2, width)) for m, width in dims.items()}
    model = MultimodalModel(
        {m: nn.Linear(3, width) for m, width in dims.items()},
        build_fusion(fusion, example, CLASSES),
    )
    options = {"teachers": teachers_of(modalities, CLASSES), **options}
    built = method(**options).build(model, Classification(CLASSES))
    text: str | None = built.notices.get(TOPIC)
    return text


@pytest.mark.parametrize(("method", "options", "causes"), CASES)
def test_a_method_that_can_destroy_an_interaction_says_by_what_and_how_much(
    method: type, options: dict[str, Any], causes: list[str]
) -> None:
    text = notice(method, options, "film", ["sight", "sound"])
    assert (text is not None) == bool(causes)
    if text is not None:
        assert f"together, and {' and '.join(causes)} can destroy" in text
        assert all(f"{name} lost up to {points} points" in text for name, points in LOST.items())
        assert PAGE in text


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_fusions_that_can_represent_an_interaction_have_one_to_lose(fusion: str) -> None:
    additive = FUSIONS[fusion].additive
    assert (notice(G2D, {}, fusion, ["sight", "sound", "word"]) is None) == additive
    assert notice(G2D, {}, fusion, ["sight"]) is None


def test_the_page_of_the_notice_has_the_number() -> None:
    page = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    assert all(f"{name} lost up to {points} points" in page for name, points in LOST.items())
