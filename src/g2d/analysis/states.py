"""States of a modality and faults of a fusion: condition, sentence and advice of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from g2d.analysis.bootstrap import Interval, percent
from g2d.analysis.figures import CLEARLY, Figures, Finding

Condition = Callable[[Figures, str], bool]
"""Function of the figures and a modality."""
Sentence = Callable[[Figures, str], str]
Advice = Callable[[Figures, str], Sequence[str]]

CALIBRATE = (
    "one weight per head, fitted on validation rows (train.calibrate: true); "
    "it needs no other training."
)
UME = (
    "the teachers' calibrated ensemble (method: ume, train.calibrate: true), "
    "the control that any gain must beat."
)
WARM_START = (
    "joint training that starts from the teachers (warm_start: true); "
    "it costs nothing more and is often enough."
)
G2D = "g2d; look at its notices, and at other rankings (method.ranking)."
LATE = "a fusion with one head per modality, whose heads can be weighted (fusion: late)."
LONGER = "teachers that are trained longer (teachers.epochs), and then this diagnosis again."
NOT_ADDITIVE = (
    "one run with a fusion that is no sum (fusion: film or cross_attention) and method: joint, "
    "and a diagnosis of that run."
)
TOGETHER = (
    "joint training with a fusion that is no sum (fusion: film or cross_attention); "
    "methods that rely on unimodal teachers (g2d, umt, ume) and late fusion lose what modalities "
    "show only together."
)


@dataclass(frozen=True)
class State:
    """State of a modality, or a fault of the fusion that a modality shows.

    Args:
        name: Name in tables and files.
        holds: Whether the figures show the state.
        sentence: Sentence of the verdict; None if the state is not named there by itself.
        advice: What to try, the cheapest first.
    """

    name: str
    holds: Condition
    sentence: Sentence | None = None
    advice: Advice = lambda figures, m: ()


def points(difference: Interval, word: str) -> str:
    """Return a positive difference of scores in points, with its interval.

    Args:
        difference: The difference.
        word: ``"more"`` or ``"less"``.

    Example:
        >>> points(Interval(0.1, 0.05, 0.15), "less")
        '10.0 points less (95 % interval 5.0 to 15.0)'
    """
    value, low, high = (100 * end for end in (difference.value, difference.low, difference.high))
    return f"{value:.1f} points {word} (95 % interval {low:.1f} to {high:.1f})"


def surety(finding: Finding) -> str:
    """Return the confidence ratio as a clause; empty without one."""
    ratio = finding.ratio
    if ratio is None:
        return ""
    return (
        f"; its confidence in the truth is {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] "
        "times that of its teacher"
    )


def _value(interval: Interval | None) -> Interval:
    """Return an interval that the condition of a state guarantees."""
    assert interval is not None
    return interval


def _negative(interval: Interval) -> Interval:
    return Interval(-interval.value, -interval.high, -interval.low)


def _has_no_teacher(figures: Figures, m: str) -> bool:
    return figures.modalities[m].gap is None


def _teacher_is_weak(figures: Figures, m: str) -> bool:
    return _value(figures.modalities[m].gap).high < -CLEARLY


def _is_near_chance(figures: Figures, m: str) -> bool:
    teacher, chance = _value(figures.modalities[m].teacher), figures.chance
    return teacher.low <= chance + CLEARLY / 2 and teacher.value <= chance + CLEARLY


def _is_used(figures: Figures, m: str) -> bool:
    """Return whether the fused score certainly loses something without a modality."""
    drop = figures.modalities[m].drop
    return drop is not None and drop.low > 0


def _rings(figures: Figures) -> bool:
    """Return whether an interaction was found."""
    return figures.interaction is not None and figures.interaction.alarm


def _is_only_used_with_others(figures: Figures, m: str) -> bool:
    return _is_near_chance(figures, m) and not figures.additive and _is_used(figures, m)


def _is_without_information(figures: Figures, m: str) -> bool:
    if not _is_near_chance(figures, m) or _is_used(figures, m):
        return False
    if len(figures.modalities) == 1:
        return True
    tested = figures.interaction is not None and not figures.additive
    return tested and not _rings(figures) and figures.modalities[m].drop is not None


def _is_well(figures: Figures, m: str) -> bool:
    return _value(figures.modalities[m].gap).low <= CLEARLY


def _is_not_needed(figures: Figures, m: str) -> bool:
    """Return whether a modality is below its teacher, and no control is better than the model.

    Without a control, a teacher's lead included, a loss cannot be excluded.
    """
    return bool(figures.controls) and not figures.above


def _suppressed(figures: Figures, m: str) -> str:
    finding = figures.modalities[m]
    teacher = _value(finding.teacher)
    return (
        f"{m} is suppressed: alone it could reach {percent(teacher.value)}, inside this model it "
        f"reaches {percent(finding.own.value)}, {points(_value(finding.gap), 'less')}"
        f"{surety(finding)}."
    )


def _weak(figures: Figures, m: str) -> str:
    finding = figures.modalities[m]
    return (
        f"The teacher of {m} is too weak to judge by: alone it reaches "
        f"{percent(_value(finding.teacher).value)}, the model's own prediction from {m} "
        f"{percent(finding.own.value)}, {points(_negative(_value(finding.gap)), 'more')}. "
        f"How much {m} could give is not known."
    )


def _together(figures: Figures, m: str) -> str:
    finding = figures.modalities[m]
    return (
        f"{m} is of use only together with others: its teacher alone stays near chance "
        f"({percent(_value(finding.teacher).value)}), but without {m} all together reach "
        f"{points(_value(finding.drop), 'less')}."
    )


def _without(figures: Figures, m: str) -> str:
    """Return what the model loses without a modality that it does not certainly need."""
    drop = figures.modalities[m].drop
    if drop is not None and drop.high < 0:
        return f"without it all together reach {points(_negative(drop), 'more')}"
    return "nothing certain is lost without it"


def _undecided(figures: Figures, m: str) -> str:
    alone = f"This model cannot tell whether {m} is of use: alone it stays near chance, and "
    if figures.additive:
        return (
            f"{alone}its prediction is a sum of one part per modality, which cannot show what "
            f"{m} says only together with others."
        )
    if figures.interaction is None or figures.modalities[m].drop is None:
        return f"{alone}what {m} says only together with others was not measured."
    return f"{alone}{_without(figures, m)}, although the model reads modalities together."


def _dead(figures: Figures, m: str) -> str:
    return (
        f"{m} holds no information that its teacher or this model could use: alone it stays near "
        f"chance, and {_without(figures, m)}. Leave it out, or get better data."
    )


def _repairs(figures: Figures, m: str) -> Sequence[str]:
    """Return advice for a suppressed modality; G²D loses what modalities show only together."""
    return (WARM_START, UME) if _rings(figures) else (WARM_START, UME, G2D)


STATES = (
    State("unknown", _has_no_teacher),
    State("teacher too weak", _teacher_is_weak, _weak, lambda figures, m: (LONGER,)),
    State(
        "of use only together",
        _is_only_used_with_others,
        _together,
        lambda figures, m: (TOGETHER,),
    ),
    State("without information", _is_without_information, _dead),
    State(
        "cannot tell",
        _is_near_chance,
        _undecided,
        lambda figures, m: (NOT_ADDITIVE,) if figures.additive else (),
    ),
    State("well", _is_well),
    State("used little", _is_not_needed),
    State("suppressed", lambda figures, m: True, _suppressed, _repairs),
)
"""States of a modality; the first whose condition is true is its state."""
UNKNOWN, WEAK, ONLY_TOGETHER, DEAD, CANNOT_TELL, WELL, SPARE, SUPPRESSED = (
    state.name for state in STATES
)


def _own_head_leads(figures: Figures, m: str) -> bool:
    return figures.ahead("own_lead") == m


def _teacher_leads(figures: Figures, m: str) -> bool:
    return figures.ahead("own_lead") is None and figures.ahead("teacher_lead") == m


def _drowns(figures: Figures, m: str) -> bool:
    """Return whether the loudest head should count less than another one, clearly."""
    if figures.heads is None or figures.heads.low <= CLEARLY or figures.loudest != m:
        return False
    weights = {name: one.weight for name, one in figures.modalities.items() if one.weight}
    return m in weights and weights[m] < max(weights.values())


def _loses_own(figures: Figures, m: str) -> str:
    finding = figures.modalities[m]
    return (
        f"The fusion loses what an encoder has: from {m} alone this model reaches "
        f"{percent(finding.own.value)}, from all modalities together "
        f"{percent(figures.fused.value)}, {points(_value(finding.own_lead), 'less')}."
    )


def _loses_teacher(figures: Figures, m: str) -> str:
    finding = figures.modalities[m]
    return (
        f"The fused model is worse than one encoder alone: the teacher of {m} reaches "
        f"{percent(_value(finding.teacher).value)}, all modalities together "
        f"{percent(figures.fused.value)}, {points(_value(finding.teacher_lead), 'less')}."
    )


def _drowned(figures: Figures, m: str) -> str:
    finding, gain = figures.modalities[m], _value(figures.heads)
    assert finding.share is not None
    return (
        f"The head of {m} drowns the others: it gives {percent(finding.share)} of the value of "
        f"the truth, and one weight per head, fitted on other rows, lifts the model from "
        f"{percent(figures.fused.value)} to {percent(figures.fused.value + gain.value)}, "
        f"{points(gain, 'more')}."
    )


def _single(figures: Figures, m: str) -> Sequence[str]:
    """Return advice for a model that is worse than one of its encoders."""
    alone = f"{m} alone, a model with a single encoder; a fusion must beat it."
    if figures.additive:
        return (CALIBRATE, UME, alone)
    return (UME, alone) if _rings(figures) else (LATE, UME, alone)


FAULTS = (
    State("the fusion loses what an encoder has", _own_head_leads, _loses_own, _single),
    State("the fusion is worse than a teacher", _teacher_leads, _loses_teacher, _single),
    State("one head drowns the others", _drowns, _drowned, lambda figures, m: (CALIBRATE, UME)),
)
"""Faults of the fusion; every one whose condition is true is named."""
