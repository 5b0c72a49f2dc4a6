"""Sections of a page that show how a model uses its modalities, with how to read each number."""

from __future__ import annotations

from collections.abc import Iterator

from g2d.report.parts import PLAIN, SHARE, Part, estimated
from g2d.report.tables import Cell, Column, Row, Table
from g2d.runs import Analysis, Errors

UTILIZATION = (
    "Utilization is the share of the score that is lost without the modality, the perceptual "
    "score the share that is lost if it comes from another row: near 0 the prediction does not "
    "need it."
)
FOLLOW = (
    "Follows: share of predictions that are the class of the modality where the others come from "
    "a row of another class. Contribution: mean Shapley value of a row, 1 if every modality is "
    "used equally and all rows are right. Harmed: share of rows that the modality makes wrong."
)
CLASSES_ONLY = (
    "For values there are no follow rates, contributions, error table and co-information: they "
    "need classes."
)
INTERACTION = (
    "Share of the variance of the prediction that no sum of one part per modality explains. Above "
    "10 %, and two standard errors above zero, modalities must be read together."
)
ERRORS = (
    "Loss: rows that some modality alone gets right and the model wrong; what a better fusion "
    "could gain. Rescue: rows that only the combination gets right. Oracle: some modality alone "
    "is right. The accuracy is oracle + rescue - loss."
)
CO_INFORMATION = (
    "Above 0 the predictions of two modalities tell the same about the class, below 0 they tell "
    "more together than apart. Corrected for few rows; a dash means too few."
)


def use_parts(analysis: Analysis, seed: str = "") -> Iterator[Part]:
    """Yield the parts of a diagnosis that show how a model uses its modalities.

    Args:
        analysis: A diagnosis; one of an earlier version has no such parts.
        seed: End of the titles.
    """
    if analysis.uses:
        classes = any(use.follow or use.contribution for use in analysis.uses.values())
        words = [UTILIZATION, FOLLOW if classes else CLASSES_ONLY]
        if analysis.imbalance is not None:
            words.append(
                f"Imbalance, the largest minus the smallest utilization: "
                f"{100 * analysis.imbalance:.1f} points."
            )
        yield Part(f"Use of every modality{seed}", words, [use_table(analysis)])
    if analysis.interaction is not None:
        column, share = Column("share", "%"), estimated(analysis.interaction.share, SHARE)
        table = Table(
            "",
            (column, Column("interaction")),
            (Row("model", (share, Cell(analysis.interaction.state))),),
        )
        yield Part(
            f"Interaction of modalities{seed}", [analysis.interaction.text, INTERACTION], [table]
        )
    if analysis.errors is not None:
        tables = [_rates(analysis.errors), _patterns(analysis.errors)]
        yield Part(f"Which modalities alone are right{seed}", [ERRORS], tables)
    if analysis.co_information:
        rows = tuple(Row(pair, (Cell(bits),)) for pair, bits in analysis.co_information.items())
        table = Table("", (Column("co-information", "bits", digits=2),), rows)
        yield Part(f"Co-information of predictions{seed}", [CO_INFORMATION], [table])


def use_table(analysis: Analysis) -> Table:
    """Return a table of the measures of use with a row per modality.

    Args:
        analysis: A diagnosis.
    """
    columns = (
        Column("alone", "%", group="score"),
        Column("utilization", "%", group="lost"),
        Column("perceptual score", "%", group="lost"),
        Column("follows", "%", group="follow"),
        Column("follows the others", "%", group="follow"),
        Column("contribution", digits=2, group="row"),
        Column("harmed", "%", group="row"),
    )
    rows = tuple(
        Row(
            m,
            (
                estimated(use.alone, SHARE),
                estimated(use.utilization, SHARE),
                estimated(use.perceptual, SHARE),
                estimated(use.follow, SHARE),
                estimated(use.rest, SHARE),
                estimated(use.contribution, PLAIN),
                estimated(use.harmed, SHARE),
            ),
        )
        for m, use in analysis.uses.items()
    )
    return Table("", columns, rows, corner="modality")


def _rates(errors: Errors) -> Table:
    """Return the rates of an error table."""
    rates = {
        "loss": errors.loss,
        "rescue": errors.rescue,
        "oracle": errors.oracle,
        "mean of the heads": errors.ensemble,
    }
    rows = tuple(Row(name, (estimated(rate, SHARE),)) for name, rate in rates.items())
    return Table("", (Column("rows", "%"),), rows, corner="rate")


def _patterns(errors: Errors) -> Table:
    """Return the patterns of right heads that occur, the most frequent first."""
    patterns = sorted((p for p in errors.patterns if p.share > 0), key=lambda p: -p.share)
    rows = tuple(
        Row(
            " and ".join(pattern.right) or "none",
            (Cell(SHARE.of(pattern.share)), Cell(SHARE.of(pattern.fused))),
        )
        for pattern in patterns
    )
    return Table("", (Column("rows", "%"), Column("model right", "%")), rows, corner="alone right")
