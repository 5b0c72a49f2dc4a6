"""The paragraph of a fit: a function of its result alone, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from g2d.experiment.fitting.progress import in_time
from g2d.report.fitted import enumerated, option_words, value_of
from g2d.report.formatting import number, scale_of
from g2d.report.words import SUPPRESSED
from g2d.runs import FitFacts, FitMember, FitOption

ALMOST_NONE = 0.02
"""A head that has less than this share of all weights, or of the score, adds nothing."""


def paragraph(facts: FitFacts) -> str:
    """Return what was chosen and why, what it relies on, and what it cost.

    Args:
        facts: The members and the choice. Nothing else enters the words.
    """
    sentences = [
        _chosen(facts),
        *_undecided(facts),
        *_alternatives(facts),
        *_heads(facts),
        *_at_chance(facts),
        *_suppressed(facts),
        *_interaction(facts),
        *_unstable(facts),
        _cost(facts),
        *_test(facts),
    ]
    return " ".join(sentences)


def _chosen(facts: FitFacts) -> str:
    option, reference = facts.options[facts.chosen], facts.options[facts.reference]
    score = f"validation {_metric(facts)} {_score(option.score, facts)}"
    what = f"{option_words(facts, option, upper=True)} was chosen ({score})"
    if option is not reference:
        less = ""
        if option.passes < reference.passes:
            less = f"it needs {_passes(option)} instead of {reference.passes}, and "
        other = option_words(facts, reference)
        if option.behind <= 0:
            return f"{what}: {less}its score is not below that of {other}."
        return (
            f"{what}: {less}its score is within one standard error of that of {other} (a "
            f"difference of {_gap(option.behind, facts)} ± {_gap(option.error, facts)})."
        )
    cheaper = [one for one in facts.options if one.passes < option.passes]
    if len(facts.options) == 1:
        return f"{what}: no other model was trained."
    if not cheaper:
        return f"{what}: no stack of more members is better by its score and its loss."
    return f"{what}: no cheaper model has a score within one standard error and no higher loss."


def _undecided(facts: FitFacts) -> Iterator[str]:
    if facts.undecided:
        yield (
            f"The validation rows ({facts.rows}) are too few to tell the models apart: no score "
            "differs from that of the chosen model by more than two standard errors."
        )


def _alternatives(facts: FitFacts) -> Iterator[str]:
    """Yield the best model of one student, and the controls."""
    chosen = facts.options[facts.chosen]
    if facts.single is not None and facts.single != facts.chosen:
        single = facts.options[facts.single]
        gap = chosen.score - single.score
        difference = (
            f"{_gap(abs(gap), facts)} {'worse' if gap > 0 else 'better'}" if gap else "as good"
        )
        model, score = option_words(facts, single), _score(single.score, facts)
        loss = f"a loss of {single.loss:.3g} instead of {chosen.loss:.3g}"
        cost = "the same cost per prediction"
        if single.passes != chosen.passes:
            cost = f"{_passes(single)} per prediction instead of {chosen.passes}"
        yield (
            f"The best single model is {model}, with {score} ({difference}) and {loss}, for {cost}."
        )
    teachers = "the calibrated teachers have" if len(facts.modalities) > 1 else "one model has"
    controls = {teachers: facts.ensemble, "joint training has": facts.joint}
    texts = [
        f"{words} {_score(facts.options[place].score, facts)}"
        for words, place in controls.items()
        if place not in (None, facts.chosen, facts.single)
    ]
    if texts:
        yield f"In comparison, {' and '.join(texts)}."


def _heads(facts: FitFacts) -> Iterator[str]:
    """Yield what each head of the chosen model contributes, and the modality that it relies on."""
    if len(facts.modalities) < 2:
        return
    own: dict[str, float] = dict.fromkeys(facts.modalities, 0.0)
    fused: dict[str, float] = {}
    for name, share in facts.shares.items():
        member, _, modality = name.rpartition(": ")
        if modality in own:
            own[modality] += share
        else:
            fused[member] = share
    if any(own.values()):
        parts = [f"{_share(share)} ({m})" for m, share in own.items()]
        yield f"The heads that read one modality contribute {enumerated(parts)} of its prediction."
    for member, share in fused.items():
        one = facts.member(member)
        yield f"The head of {one.about} contributes {_share(share)}; {_relies(one)}."


def _relies(member: FitMember) -> str:
    """Return what a fused head relies on, by what the exchange of a modality costs it."""
    known = {m: share for m, share in member.relies.items() if share is not None}
    if not known:
        return "what it relies on could not be measured"
    order = sorted(known, key=lambda m: -known[m])
    if known[order[0]] < ALMOST_NONE:
        return "it relies on no modality"
    first = f"it relies most on {order[0]}, without which it loses {_share(known[order[0]])}"
    others = [
        f"on {m} ({_share(known[m])})" if known[m] >= ALMOST_NONE else f"hardly on {m}"
        for m in order[1:]
    ]
    return f"{first} of its score, then {enumerated(others)}"


def _at_chance(facts: FitFacts) -> Iterator[str]:
    """Yield the teachers that learned nothing."""
    if not (names := facts.at_chance):
        return
    subject = f"teachers of {enumerated(names)} are" if names[1:] else f"teacher of {names[0]} is"
    if len(facts.modalities) == 1:
        subject = "model is"
    yield f"The {subject} not above chance."


def _suppressed(facts: FitFacts) -> Iterator[str]:
    """Yield whether joint training suppressed a modality, and whether the chosen model does."""
    if facts.joint is None:
        return
    joint, ensemble = facts.options[facts.joint], facts.options[facts.ensemble]
    inside = facts.member(joint.members[0]).unimodal
    low = [
        m
        for m in facts.modalities
        if m in facts.teachers
        and m not in facts.at_chance
        and _below(inside.get(m), facts.teachers[m])
    ]
    if not low or joint.score >= ensemble.score:
        yield "Joint training suppressed no modality at the cost of its score."
    else:
        for m in low:
            after = facts.own.get(m)
            end = (
                f"the chosen model has it at {_score(after or 0.0, facts)}"
                if after is not None
                else "the chosen model has no prediction from it alone"
            )
            verdict = (
                "; it still is suppressed"
                if _below(after, facts.teachers[m])
                else "; it is no longer suppressed"
            )
            yield (
                f"Joint training suppressed {m}: {_score(facts.teachers[m], facts)} alone, "
                f"{_score(inside[m], facts)} inside the joint model; {end}{verdict}."
            )


def _below(own: float | None, alone: float) -> bool:
    """Return whether a modality reaches clearly less than its teacher."""
    return own is not None and own < alone - (1 - SUPPRESSED) * abs(alone)


def _interaction(facts: FitFacts) -> Iterator[str]:
    interaction = facts.interaction
    if interaction is None or len(facts.modalities) < 2:
        return
    if interaction.share is None or interaction.state == "not tested":
        yield "Whether the answer is in the interaction of the modalities was not tested."
        return
    share = f"its share of the variance of the joint prediction is {interaction.share[0]:.2f}"
    if interaction.state == "found":
        yield f"The answer is in the interaction of the modalities: {share}."
    else:
        yield f"No interaction of the modalities was found: {share}."


def _unstable(facts: FitFacts) -> Iterator[str]:
    if facts.unstable is not None:
        gap, error = facts.unstable
        yield (
            f"Training is unstable: two joint models that differ only in the seed are "
            f"{_gap(gap, facts)} apart, with a standard error of {_gap(error, facts)}."
        )


def _cost(facts: FitFacts) -> str:
    text = (
        f"It took {_counted_passes(facts.passes)} of the training rows per epoch and "
        f"{in_time(float(facts.seconds))} of training"
    )
    if not facts.left_out:
        return f"{text}."
    return f"{text}; not trained: {enumerated(list(facts.left_out))}."


def _test(facts: FitFacts) -> Iterator[str]:
    """Yield the scores on the test rows, of the chosen model and the controls."""
    ensemble = "the calibrated teachers" if len(facts.modalities) > 1 else "one model alone"
    values = {
        "the chosen model reaches": facts.options[facts.chosen],
        ensemble: facts.options[facts.ensemble],
    } | ({} if facts.joint is None else {"joint training": facts.options[facts.joint]})
    known = {
        words: option.test[facts.metric]
        for words, option in values.items()
        if facts.metric in option.test
    }
    first = next(iter(values.values()))
    texts = [
        f"{words} {_number(value, facts)}"
        for words, value in known.items()
        if words.startswith("the chosen") or values[words] is not first
    ]
    if texts:
        yield f"On the test rows, {enumerated(texts)}."


def _counted_passes(count: int) -> str:
    return "1 pass" if count == 1 else f"{count} passes"


def _passes(option: FitOption) -> str:
    return "one forward pass" if option.passes == 1 else f"{option.passes} forward passes"


def _metric(facts: FitFacts) -> str:
    return facts.metric.replace("_", " ")


def _score(value: float, facts: FitFacts) -> str:
    """Return a score, of which higher is better, as the value of its metric."""
    return _number(value_of(value, facts.metric), facts)


def _number(value: float | None, facts: FitFacts) -> str:
    scale = scale_of(facts.metric)
    text = number(scale.of(value), scale.digits)
    return f"{text} {scale.unit}" if scale.unit else text


def _gap(value: float, facts: FitFacts) -> str:
    """Return the size of a difference of scores."""
    scale = scale_of(facts.metric)
    text = number(scale.factor * value, scale.digits)
    return f"{text} points" if scale.unit == "%" and scale.factor == 100 else text


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
