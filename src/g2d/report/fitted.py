"""The part of a page that shows a fit: every member, and every model that could be chosen."""

from __future__ import annotations

from g2d.report.formatting import number, scale_of
from g2d.report.tables import Cell, Column, Row, Table
from g2d.runs import FitFacts, FitOption

LOWER = ("mae", "mape")
"""Metrics of which a lower value is better; a score is minus their value."""
MILLION = 1e6


def fit_tables(facts: FitFacts) -> list[Table]:
    """Return a table of the members and one of the options.

    Args:
        facts: The members and the choice.
    """
    return [_members(facts), _options(facts)]


def option_words(facts: FitFacts, option: FitOption, *, upper: bool = False) -> str:
    """Return an option in words: its only member, or the stack of its members.

    Args:
        facts: The members and the choice.
        option: One of the options.
        upper: Whether to begin with a capital letter.
    """
    members = [facts.member(name).about for name in option.members]
    text = f"the stack of {enumerated(members)}"
    if len(facts.modalities) == 1:
        text = f"the stack of {len(members)} models that differ in the seed"
    if len(members) == 1:
        several = facts.member(option.members[0]).teachers and len(facts.modalities) > 1
        text = f"the weighted sum of {members[0]}" if several else members[0]
    return text[:1].upper() + text[1:] if upper else text


def enumerated(parts: list[str]) -> str:
    """Return parts of a sentence with commas and an "and".

    Example:
        >>> enumerated(["a", "b", "c"]), enumerated(["a"])
        ('a, b and c', 'a')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def value_of(score: float | None, metric: str) -> float | None:
    """Return the value of a metric whose score, of which higher is better, is given."""
    return None if score is None else -score if metric in LOWER else score


def score_of(value: float, metric: str) -> float:
    """Return a value of a metric as a score of which higher is better."""
    return -value if metric in LOWER else value


def _members(facts: FitFacts) -> Table:
    metric = facts.metric
    scale = scale_of(metric)
    name = metric.replace("_", " ")
    columns = (
        Column(f"validation {name}", scale.unit, scale.digits),
        *(Column(m, scale.unit, scale.digits) for m in facts.modalities),
        Column("parameters", "million", 2),
        Column("training", "s"),
    )
    rows = tuple(
        Row(
            member.name,
            (
                Cell(scale.of(value_of(member.scores.get("fused"), metric))),
                *(
                    Cell(scale.of(value_of(member.unimodal.get(m), metric)))
                    for m in facts.modalities
                ),
                Cell(member.parameters / MILLION),
                Cell(float(member.seconds)),
            ),
        )
        for member in facts.members
    )
    notes = [f"{member.name}: {member.about}." for member in facts.members]
    notes += [f"{name} was not trained: {reason}." for name, reason in facts.left_out.items()]
    return Table("Members", columns, rows, tuple(notes), "member")


def _options(facts: FitFacts) -> Table:
    metric = facts.metric
    scale = scale_of(metric)
    name = metric.replace("_", " ")
    columns = (
        Column(f"validation {name}", scale.unit, scale.digits),
        Column("loss", digits=3),
        Column("behind the reference"),
        Column("passes per prediction", digits=0),
        Column("parameters", "million", 2),
        Column(f"test {name}", scale.unit, scale.digits),
    )
    rows = tuple(
        Row(
            option.name,
            (
                Cell(scale.of(value_of(option.score, metric))),
                Cell(option.loss),
                Cell(_behind(option, scale.factor, scale.digits)),
                Cell(float(option.passes)),
                Cell(option.parameters / MILLION),
                Cell(scale.of(option.test.get(metric))),
            ),
            kind="teacher" if i == facts.chosen else "run",
        )
        for i, option in enumerate(facts.options)
    )
    chosen, reference = facts.options[facts.chosen], facts.options[facts.reference]
    notes = (
        f"Chosen: {chosen.name}. Reference: {reference.name}. On {facts.rows} validation rows, "
        "with weights of the heads that were fitted on other rows of them.",
        "The test rows were read once, for the chosen model and the controls.",
    )
    return Table("Models to choose from", columns, rows, notes, "members")


def _behind(option: FitOption, factor: float, digits: int) -> str:
    """Return the difference to the reference with its standard error."""
    gap, error = (number(factor * value, digits) for value in (option.behind, option.error))
    return f"{gap} ± {error}"
