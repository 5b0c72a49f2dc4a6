"""Typed content of ``analysis.json``, the file of a diagnosis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from g2d.errors import RunError
from g2d.manifest import unsigned, write_signed
from g2d.runs.names import ANALYSIS
from g2d.runs.result import Content, Metrics, damage, read_content

REBUILD = "Run g2d diagnose again to rebuild it."
Estimate = tuple[float, float, float]
"""A value, and the ends of its 95 % interval."""
Scored = dict[str, float | None]
"""Values by name."""


class Plot(Content):
    """Points that are drawn in a plane.

    Args:
        points: Coordinates ``(x, y)`` by name of a line or cloud.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        caption: How to read the plot.
        joined: Whether the points of a name are joined to a line.
        diagonal: Whether y = x is drawn too.
    """

    points: dict[str, list[tuple[float, float]]]
    x: str = ""
    y: str = ""
    caption: str = ""
    joined: bool = False
    diagonal: bool = False


class ModalityDiagnosis(Content):
    """Diagnosis of one modality. Scores are shares: 1 is perfect.

    Args:
        own: Score of the model's own logits of the modality, ``inside the model`` in the file.
        teacher: Score of its teacher, ``teacher alone``.
        gap: Teacher minus own, with its interval.
        ratio: Mean confidence in the true class, own over teacher's, ``confidence ratio``.
        drop: Loss of the fused score without the modality, ``loss without it``.
        shapley: Its mean Shapley value, ``Shapley value``.
        probe: Score of a linear probe of its encoder, ``linear probe``.
        own_lead: Own minus fused score, with its interval.
        teacher_lead: Teacher minus fused score, with its interval.
        share: Its part of the sum of all Shapley values, ``share of the value``.
        weight: Weight of its head if the heads are calibrated, ``weight of its head``.
        state: The judgment in a few words.
    """

    own: float | None = Field(None, alias="inside the model")
    teacher: float | None = Field(None, alias="teacher alone")
    gap: Estimate | None = None
    ratio: Estimate | None = Field(None, alias="confidence ratio")
    drop: float | Estimate | None = Field(None, alias="loss without it")
    shapley: float | None = Field(None, alias="Shapley value")
    probe: float | None = Field(None, alias="linear probe")
    own_lead: Estimate | None = Field(None, alias="inside minus fused")
    teacher_lead: Estimate | None = Field(None, alias="teacher minus fused")
    share: float | None = Field(None, alias="share of the value")
    weight: float | None = Field(None, alias="weight of its head")
    state: str = ""


class ModalityUse(Content):
    """Measures of how a model uses one modality; one that is not defined is None.

    Args:
        alone: Score with all other modalities absent.
        utilization: Share of the score that is lost without the modality.
        perceptual: Share of the score that is lost if the modality comes from another row,
            ``perceptual score``.
        follow: Share of predictions that follow the modality where it contradicts the others.
        rest: Share of predictions that follow the others there, ``follow the others``.
        contribution: Mean contribution to a row, ``contribution to a row``.
        harmed: Share of rows to which the contribution is below -0.1, ``harmed rows``.
    """

    alone: Estimate | None = None
    utilization: Estimate | None = None
    perceptual: Estimate | None = Field(None, alias="perceptual score")
    follow: Estimate | None = None
    rest: Estimate | None = Field(None, alias="follow the others")
    contribution: Estimate | None = Field(None, alias="contribution to a row")
    harmed: Estimate | None = Field(None, alias="harmed rows")


class InteractionShare(Content):
    """Share of a prediction that comes from the interaction of modalities.

    Args:
        share: The share with its interval.
        state: ``"found"``, ``"not found"`` or ``"not tested"``.
        text: What it means.
    """

    share: Estimate
    state: str
    text: str = ""


class Pattern(Content):
    """Rows for which the same heads are right.

    Args:
        right: Modalities whose own prediction is right.
        share: Share of all rows.
        fused: Share of these rows for which the fused prediction is right; None without rows.
    """

    right: list[str]
    share: float
    fused: float | None = None


class Errors(Content):
    """Table of which heads are right, against the fused prediction.

    Args:
        patterns: Every pattern of right heads.
        oracle: Share of rows for which some head is right.
        loss: Share of rows for which some head is right and the fused prediction is wrong.
        rescue: Share of rows for which no head is right and the fused prediction is.
        ensemble: Accuracy of the mean of the heads' probabilities.
    """

    patterns: list[Pattern] = Field(default_factory=list)
    oracle: Estimate
    loss: Estimate
    rescue: Estimate
    ensemble: Estimate


class Analysis(Content):
    """Content of ``analysis.json``. Scores are shares: 1 is perfect.

    Args:
        verdict: The diagnosis in sentences.
        split: Split that was diagnosed; empty in files of earlier versions.
        faults: Faults of the fusion, in a few words each.
        controls: Score of each control minus the fused score, with its interval.
        modalities: Diagnosis by modality.
        shapley_shares: Share of every modality in the score.
        subset_scores: Score of every subset of modalities.
        class_recalls: Recall by class, and within it by modality.
        calibration_errors: Expected calibration error of every head.
        reliability: Accuracy against confidence of every head.
        noise: Validation score while the input of one modality is disturbed.
        alignment: Mean cosine of each modality's features with its teacher's.
        modality_gaps: Distance between the mean features of two modalities.
        plane: Features of every modality, projected to a plane.
        gradients: Gradient of each encoder: its norm, and its cosine with that of its own loss.
        calibrated_heads: Weights of calibrated heads, and the fused score before and after.
        uses: Measures of how the model uses every modality.
        imbalance: Largest minus smallest utilization.
        interaction: Share of the prediction that comes from the interaction of modalities.
        errors: Which heads are right, against the fused prediction.
        co_information: Co-information of the predictions of two modalities, in bits.
        contributions: Share of the rows by contribution of every modality.
    """

    verdict: list[str] = Field(default_factory=list)
    split: str = ""
    faults: list[str] = Field(default_factory=list)
    controls: dict[str, Estimate] = Field(default_factory=dict, alias="controls_minus_fused")
    modalities: dict[str, ModalityDiagnosis] = Field(default_factory=dict)
    shapley_shares: Scored = Field(default_factory=dict, alias="Shapley_share_of_the_score")
    subset_scores: Scored = Field(default_factory=dict, alias="score_of_every_subset")
    class_recalls: dict[str, Scored] = Field(default_factory=dict, alias="recall_by_class")
    calibration_errors: Scored = Field(default_factory=dict, alias="calibration_error")
    reliability: Plot | None = None
    noise: Plot | None = Field(None, alias="score_under_noise")
    alignment: Scored = Field(default_factory=dict, alias="alignment_with_teacher")
    modality_gaps: Metrics = Field(default_factory=dict, alias="modality_gap")
    plane: Plot | None = Field(None, alias="modalities_in_a_plane")
    gradients: dict[str, Scored] = Field(default_factory=dict, alias="gradient_of_every_encoder")
    calibrated_heads: Scored = Field(default_factory=dict)
    uses: dict[str, ModalityUse] = Field(default_factory=dict, alias="use_of_every_modality")
    imbalance: float | None = Field(None, alias="imbalance_of_utilization")
    interaction: InteractionShare | None = None
    errors: Errors | None = Field(None, alias="error_table")
    co_information: Scored = Field(default_factory=dict, alias="co_information_in_bits")
    contributions: Plot | None = Field(None, alias="contributions_to_rows")

    def __repr__(self) -> str:
        states = [f"{m}: {diagnosis.state}" for m, diagnosis in self.modalities.items()]
        return f"Analysis({', '.join(states)})"

    __str__ = __repr__

    def write(self, folder: Path) -> None:
        """Write ``analysis.json`` in a run folder atomically; empty sections are left out."""
        empty: tuple[Any, ...] = (None, "", [], {})
        parts = {name: part for name, part in self.plain().items() if part not in empty}
        write_signed(folder / ANALYSIS, parts)


def read_analysis(folder: Path) -> Analysis | None:
    """Return the diagnosis of a run, or None if it has none.

    Args:
        folder: The run folder.

    Raises:
        RunError: ``analysis.json`` is damaged.
    """
    path = folder / ANALYSIS
    if not path.is_file():
        return None
    try:
        content = unsigned(read_content(path, REBUILD))
        parts = {part.alias or name for name, part in Analysis.model_fields.items()}
        if not content.keys() & parts:
            raise ValueError("it holds no part of a diagnosis")
        return Analysis.model_validate(content)
    except ValidationError as error:
        raise RunError(
            f"{path} must hold a diagnosis, found damage: {damage(error)}. {REBUILD}"
        ) from None
    except ValueError as error:
        raise RunError(f"{path} must hold a diagnosis, found damage: {error}. {REBUILD}") from None
