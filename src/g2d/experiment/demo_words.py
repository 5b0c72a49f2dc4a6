"""The paragraph of the demonstration: a function of its results alone, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from g2d.report.lines import CONTROLS
from g2d.runs import FitFacts

SUPPRESSED = 5
"""Points that a modality must lose inside a model to count as suppressed, and that a method must
gain over joint training to count as help."""
FREE = ("constant", "linear", "best_teacher", "ensemble_calibrated")
"""Controls that the paragraph names, by their key in a result."""
ENSEMBLE = "ensemble_calibrated"
"""Key of the control that is most often the best."""
CONTROL = "calibrated ensemble of the teachers, which needs no further training,"
"""The same control in words."""


@dataclass(frozen=True)
class Ranked:
    """Runs of G²D under one ranking; accuracies in percent.

    Args:
        ranking: Name of the ranking.
        fused: Accuracy of all modalities together.
        unimodal: Accuracy of its own prediction from every modality.
        first: The modality that learned alone first; None if none learned alone.
    """

    ranking: str
    fused: float
    unimodal: Mapping[str, float]
    first: str | None


@dataclass(frozen=True)
class DemoFacts:
    """Results of the demonstration; mean test accuracies in percent.

    Args:
        joint: Accuracy of joint training.
        inside: Accuracy of the joint model's own prediction from every modality.
        teachers: Accuracy of the teacher of every modality.
        controls: Accuracy of the controls :data:`FREE`.
        students: Runs of G²D, those by the default ranking first.
        fit: The choice of ``g2d fit``; None if it was not run.
        fit_seed: Its seed.
    """

    joint: float
    inside: Mapping[str, float]
    teachers: Mapping[str, float]
    controls: Mapping[str, float]
    students: tuple[Ranked, ...]
    fit: FitFacts | None = None
    fit_seed: int = 0

    @property
    def loser(self) -> str:
        """The modality that loses most inside the joint model."""
        return max(self.teachers, key=lambda m: self.teachers[m] - self.inside[m])

    @property
    def suppressed(self) -> bool:
        """Whether a modality loses so much inside the joint model that it counts."""
        return self.teachers[self.loser] - self.inside[self.loser] >= SUPPRESSED

    @property
    def interaction(self) -> bool:
        """Whether the fit found that the answer is in the interaction of modalities."""
        interaction = None if self.fit is None else self.fit.interaction
        return interaction is not None and interaction.state == "found"


def in_words(facts: DemoFacts) -> str:
    """Return the results of the demonstration in sentences; nothing else enters them.

    Args:
        facts: The results.
    """
    controls = ", ".join(f"{CONTROLS[key]} {facts.controls[key]:.1f} %" for key in FREE)
    sentences = [
        _finding(facts),
        *(_ranked(one, facts) for one in facts.students),
        verdict(facts),
        f"Controls without further training: {controls}.",
    ]
    return "\n\n".join([" ".join(sentences), *_fitted(facts)])


def _finding(facts: DemoFacts) -> str:
    loser = facts.loser
    if not facts.suppressed:
        return (
            "No modality was suppressed: inside the joint model, each one stays within "
            f"{SUPPRESSED} points of its teacher."
        )
    return (
        f"Joint training suppressed {loser}: a teacher trained on it alone reaches "
        f"{facts.teachers[loser]:.1f} %, the joint model's own prediction from it "
        f"{facts.inside[loser]:.1f} %."
    )


def _ranked(one: Ranked, facts: DemoFacts) -> str:
    which = "the suppressed one, " if one.first == facts.loser else "not the suppressed one, "
    learner = "no modality learn alone"
    if one.first is not None:
        learner = f"{one.first}, {which if facts.suppressed else ''}learn alone first"
    return (
        f"G²D, ranked by {one.ranking}, let {learner}: {facts.loser} reached "
        f"{one.unimodal[facts.loser]:.1f} %, and all modalities together {one.fused:.1f} %, "
        f"against {facts.joint:.1f} % of joint training ({one.fused - facts.joint:+.1f} points)."
    )


def verdict(facts: DemoFacts) -> str:
    """Return whether G²D by its default ranking helps, and why not if it does not.

    Args:
        facts: The results.
    """
    own, loser = facts.students[0], facts.loser
    gain, better = own.fused - facts.joint, facts.controls[ENSEMBLE] - own.fused
    if not facts.suppressed or gain < SUPPRESSED or facts.interaction:
        reasons = ", and ".join(_reasons(facts))
        return f"G²D does not help here ({gain:+.1f} points against joint training): {reasons}."
    state = "less" if facts.teachers[loser] - own.unimodal[loser] >= SUPPRESSED else "no longer"
    but = f" But the {CONTROL} is {better:.1f} points better." if better > 0 else ""
    helps = f"G²D helps against joint training ({gain:+.1f} points)"
    return f"{helps}: {loser} is {state} suppressed.{but}"


def _reasons(facts: DemoFacts) -> Iterator[str]:
    """Yield why G²D does not help, most general first."""
    own, best = facts.students[0], max(facts.teachers.values())
    if facts.interaction and facts.fit is not None:
        option = facts.fit.options[facts.fit.chosen]
        together = option.test.get(facts.fit.metric)
        reached = "" if together is None else f", while together they reach {100 * together:.1f} %"
        yield (
            "the answer is in the interaction of the modalities, which teachers of one modality "
            f"cannot know (the best one reaches {best:.1f} %{reached})"
        )
    elif not facts.suppressed:
        yield "no modality is suppressed, so that there is nothing to repair"
    elif own.fused - facts.joint < SUPPRESSED:
        if own.first == facts.loser:
            yield f"{facts.loser} did not gain enough from learning alone first"
        else:
            alone = own.first or "no modality"
            yield f"it let {alone} learn alone first, although {facts.loser} is the suppressed one"
    ensemble = facts.controls[ENSEMBLE]
    if ensemble > own.fused and not facts.interaction:
        yield f"the {CONTROL} is {ensemble - own.fused:.1f} points better"


def _fitted(facts: DemoFacts) -> Iterator[str]:
    """Yield the paragraph of ``g2d fit``."""
    if facts.fit is not None:
        yield f"g2d fit, seed {facts.fit_seed}: {facts.fit.paragraph}"
