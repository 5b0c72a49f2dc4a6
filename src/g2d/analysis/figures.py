"""Figures that a diagnosis is made from: of every modality, and of the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from g2d.analysis.bootstrap import Interval
from g2d.analysis.interaction import Interaction

CLEARLY = 0.05
"""A gap counts if its whole interval is above this share of the score.

It is five points of accuracy, or of the explained variance.
"""


@dataclass(frozen=True)
class Finding:
    """Figures and state of one modality.

    A score is the share of right rows (with several labels per row, all of them right), or the
    explained share of the variance.

    Args:
        own: Score of its own prediction inside the model.
        teacher: Score of its teacher alone; None without one.
        gap: Teacher minus own, on the same rows.
        ratio: Mean confidence in the truth, own divided by the teacher's.
        drop: Loss of the fused score if the modality's features are replaced by their training
            mean.
        shapley: Its share of the mean value of the true class, against all modalities absent.
        probe: Score of a linear probe of its encoder.
        own_lead: Own minus fused, on the same rows.
        teacher_lead: Teacher minus fused, on the same rows.
        share: Its part of the sum of all modalities' Shapley values.
        weight: Its weight if the heads are calibrated, see :func:`~g2d.analysis.reweighed`.
        state: Name of the first of :data:`~g2d.analysis.states.STATES` whose condition is true.
    """

    own: Interval
    teacher: Interval | None = None
    gap: Interval | None = None
    ratio: Interval | None = None
    drop: Interval | None = None
    shapley: float | None = None
    probe: float | None = None
    own_lead: Interval | None = None
    teacher_lead: Interval | None = None
    share: float | None = None
    weight: float | None = None
    state: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures of a model.

    Args:
        fused: Score of all modalities together.
        chance: Score of the best constant prediction.
        modalities: Figures per modality.
        controls: Score of each control minus ``fused``, on the same rows, by its name.
        heads: Gain of ``fused`` if the heads are weighted; None where they do not add up to the
            prediction.
        interaction: The part of the logits that no sum of unimodal functions explains.
        additive: Whether the prediction is a sum of unimodal logits.
    """

    fused: Interval
    chance: float
    modalities: Mapping[str, Finding]
    controls: Mapping[str, Interval] = field(default_factory=dict)
    heads: Interval | None = None
    interaction: Interaction | None = None
    additive: bool = False

    @property
    def above(self) -> dict[str, Interval]:
        """Leads of the controls and teachers that are certainly better than the model."""
        alone = {f"the teacher of {m}": one.teacher_lead for m, one in self.modalities.items()}
        leads = {**self.controls, **alone}
        return {name: lead for name, lead in leads.items() if lead is not None and lead.low > 0}

    def ahead(self, lead: str) -> str | None:
        """Return the modality that alone is clearly better than all together.

        Args:
            lead: ``"own_lead"`` or ``"teacher_lead"``.

        Returns:
            The one with the largest lead; None if no lead counts.
        """
        leads: dict[str, Interval | None] = {
            m: getattr(finding, lead) for m, finding in self.modalities.items()
        }
        clear = {m: one.value for m, one in leads.items() if one is not None and one.low > CLEARLY}
        return max(clear, key=clear.__getitem__, default=None)

    @property
    def loudest(self) -> str | None:
        """The modality with the largest share of the value; None if the shares are unknown."""
        shares = {m: one.share for m, one in self.modalities.items() if one.share is not None}
        return max(shares, key=shares.__getitem__, default=None)
