"""Verdict on a model: its findings in sentences, and what to try."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from g2d.analysis.bootstrap import percent
from g2d.analysis.figures import CLEARLY, Figures
from g2d.analysis.states import (
    FAULTS,
    SPARE,
    STATES,
    SUPPRESSED,
    TOGETHER,
    UME,
    UNKNOWN,
    WELL,
    points,
    surety,
)


def sentences_of(figures: Figures) -> list[str]:
    """Return the findings as sentences; relief is given only if nothing speaks against it.

    Args:
        figures: Figures whose modalities have states.
    """
    ordered = sorted(STATES, key=lambda state: state.name != SUPPRESSED)
    named = [
        (state.name, state.sentence(figures, m))
        for state in ordered
        if state.sentence is not None
        for m in _in_state(figures, state.name)
    ]
    faults = [
        fault.sentence(figures, m)
        for fault in FAULTS
        if fault.sentence is not None
        for m in figures.modalities
        if fault.holds(figures, m)
    ]
    return [
        *(sentence for name, sentence in named if name == SUPPRESSED),
        *_dominant(figures),
        *faults,
        *_controls_above(figures),
        *_interaction(figures),
        *(sentence for name, sentence in named if name != SUPPRESSED),
        *_rest(figures, wrong=bool(faults)),
        *_unknown(figures),
    ]


def advice_of(figures: Figures) -> list[str]:
    """Return what to try, each sentence once.

    Args:
        figures: Figures whose modalities have states.
    """
    advice = [
        sentence
        for fault in FAULTS
        for m in figures.modalities
        if fault.holds(figures, m)
        for sentence in fault.advice(figures, m)
    ]
    for state in reversed(STATES):
        for m in _in_state(figures, state.name):
            advice += state.advice(figures, m)
    if figures.above:
        advice.append(UME)
    if figures.interaction is not None and figures.interaction.alarm:
        advice.append(TOGETHER)
    return list(dict.fromkeys(advice))


def _in_state(figures: Figures, name: str) -> list[str]:
    return [m for m, finding in figures.modalities.items() if finding.state == name]


def _dominant(figures: Figures) -> Iterator[str]:
    """Name the modality that kept most of its confidence, if another is suppressed."""
    findings = figures.modalities
    kept = {m: ratio.value for m in _in_state(figures, WELL) if (ratio := findings[m].ratio)}
    if _in_state(figures, SUPPRESSED) and kept:
        leader = max(kept, key=lambda m: kept[m])
        yield (
            f"{leader} dominates: the model uses about all that its teacher learned from it"
            f"{surety(findings[leader])}."
        )


def _controls_above(figures: Figures) -> Iterator[str]:
    """Name the controls that are certainly better than the model."""
    better = {name: lead for name, lead in figures.above.items() if name in figures.controls}
    if better:
        name = max(better, key=lambda control: better[control].value)
        lead = better[name]
        yield (
            f"A control without multimodal training reaches more: {name}, "
            f"{percent(figures.fused.value + lead.value)}, {points(lead, 'more')}."
        )


def _interaction(figures: Figures) -> Iterator[str]:
    """Report an interaction that was found."""
    if figures.interaction is not None and figures.interaction.alarm:
        yield str(figures.interaction)


def _rest(figures: Figures, *, wrong: bool) -> Iterator[str]:
    """Report the modalities that are well or used little."""
    spare, doubts = _in_state(figures, SPARE), _doubts(figures)
    well = [m for m in _in_state(figures, WELL) if m not in doubts]
    wrong = wrong or bool(figures.above or _in_state(figures, SUPPRESSED) or doubts)
    if doubts:
        yield f"Not certain on these rows, but possible: {_listed([*doubts.values()])}."
    if spare:
        little = _listed(
            [
                f"{m} ({percent(figures.modalities[m].own.value)}, alone {percent(alone.value)})"
                for m in spare
                if (alone := figures.modalities[m].teacher) is not None
            ]
        )
        together = (
            f"all modalities together reach {percent(figures.fused.value)}, and no control is "
            f"certainly better, although {little} {'is' if len(spare) == 1 else 'are'} used little."
        )
        yield together[0].upper() + together[1:] if wrong else f"Nothing is wrong: {together}"
    elif not well:
        return
    elif len(well) == len(figures.modalities) and not wrong:
        yield (
            "Nothing is wrong: inside this model each modality gives about what its teacher "
            f"learned alone, and all together reach {percent(figures.fused.value)}; no control is "
            "certainly better."
        )
    elif not _in_state(figures, SUPPRESSED):
        give = (
            "gives about what its teacher" if len(well) == 1 else "each give about what a teacher"
        )
        yield f"Inside this model {_listed(well)} {give} learned alone."


def _doubts(figures: Figures) -> dict[str, str]:
    """Return the losses that are large but not certain, by modality."""
    doubts = {}
    for m in _in_state(figures, WELL):
        gap, lead = figures.modalities[m].gap, figures.modalities[m].own_lead
        if gap is not None and gap.value > CLEARLY:
            doubts[m] = f"{m} gives {points(gap, 'less')} than its teacher"
        elif lead is not None and lead.value > CLEARLY >= lead.low:
            doubts[m] = f"all modalities together reach {points(lead, 'less')} than {m} alone"
    return doubts


def _unknown(figures: Figures) -> Iterator[str]:
    """Report what can be concluded about modalities without a teacher."""
    unknown = _in_state(figures, UNKNOWN)
    if unknown:
        yield (
            f"How much {', '.join(unknown)} could give is not known: "
            "there are no teachers to compare with."
        )
    for m in unknown:
        finding = figures.modalities[m]
        if finding.probe is not None and finding.probe > max(finding.own.value + CLEARLY, 0):
            yield (
                f"The encoder of {m} knows more than its head uses: "
                f"a linear probe reaches {percent(finding.probe)}."
            )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
