"""Files with two streams: a column of videos gives picture and sound as two modalities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from g2d.datasets.table.columns import FILES, NEARLY
from g2d.datasets.table.kinds import BOTH, Decision, override
from g2d.datasets.table.probing import Probe
from g2d.errors import DataError

AUDIO, VIDEO = "audio", "video"
SOUND = "_sound"
"""Suffix of the modality that holds the sound of a column of videos."""


@dataclass(frozen=True)
class Part:
    """A stream of the files of a column, which becomes a modality.

    Args:
        column: Name of the column.
        kind: Kind of the modality.
        name: Name to give the modality, as far as it is valid and free.
    """

    column: str
    kind: str
    name: str


def parts_of(
    decisions: Mapping[str, Decision], probe: Probe, notes: dict[str, str]
) -> Iterator[Part]:
    """Yield the streams of every column of files.

    Args:
        decisions: Kinds of the columns of files.
        probe: Cells and files of a sample of the rows.
        notes: Receives a sentence per column whose files hold sound besides video.
    """
    for name, decision in decisions.items():
        kinds = [decision.kind]
        if decision.kind == BOTH:
            kinds = [VIDEO, AUDIO]
        elif decision.kind == VIDEO and not decision.given:
            taken = [
                other
                for other, of_other in decisions.items()
                if of_other.kind == AUDIO and probe.same_files(name, other)
            ]
            kinds, note = _streams_used(name, probe, taken)
            if note:
                notes[name] = note
        for kind in kinds:
            second = kind == AUDIO and len(kinds) > 1
            yield Part(name, kind, name + SOUND if second else name)


def _streams_used(name: str, probe: Probe, taken: list[str]) -> tuple[list[str], str]:
    """Return the kinds of streams of a column of videos that are used, and a sentence about it."""
    files = probe.streams(name)
    sound = sum(file.sound is not None for file in files)
    video = sum(file.video is not None for file in files)
    if not sound or taken:
        return [VIDEO], ""
    if video <= (1 - NEARLY) * len(files):
        change = override(name, VIDEO)
        return [AUDIO], f"its files hold sound without pictures; to change: {change}"
    if sound > NEARLY * len(files):
        change = override(name, VIDEO, AUDIO)
        return (
            [VIDEO, AUDIO],
            f"its files hold pictures and sound, which are two modalities; to have one: {change}",
        )
    return [VIDEO], (
        f"{sound} of {len(files)} files hold sound, which is left out; "
        f"to have it: {override(name, BOTH, AUDIO)}"
    )


def check_different(parts: list[Part], probe: Probe) -> None:
    """Refuse two columns that name the same files and would be the same modality twice.

    Args:
        parts: Streams of all columns of files.
        probe: Cells and files of a sample of the rows.

    Raises:
        DataError: There are two such columns.
    """
    files = [part for part in parts if part.kind in FILES]
    for one, other in combinations(files, 2):
        if one.kind != other.kind or not probe.same_files(one.column, other.column):
            continue
        advice = f"Leave one out: ignore=[{other.column}]"
        if one.kind == VIDEO:
            advice += f", or take the sound of it: {override(other.column, AUDIO)}"
        raise DataError(
            f"columns of the same kind must name different files, found {one.column!r} and "
            f"{other.column!r}, whose {one.kind} files are the same. {advice}."
        )
