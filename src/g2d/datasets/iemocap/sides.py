"""IEMOCAP's videos show both actors side by side, and nobody wrote down who sits where: who moves while a turn is spoken tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2d.datasets.folders import read_csv
from g2d.errors import DataError, UnreadableError
from g2d.prepare.media import decode_span

LEAST = 0.6
"""Share of turns that must agree."""
TURNS, FRAMES = 20, 15
"""Turns of each speaker that are looked at, and frames of each."""
BLACK = 16.0
"""Rows whose mean never reaches this are a black border."""
FEMALE, MALE = "F", "M"


@dataclass(frozen=True)
class Side:
    """What a dialogue's video shows.

    Args:
        left: the letter of the actor on the left, F or M. margin: share of turns that say so; 1 where a user says so.
        rows: first and last row (exclusive) of the picture within its border. width: of the whole picture.
    """

    left: str
    margin: float
    rows: tuple[int, int]
    width: int

    def box(self, speaker: str) -> tuple[int, int, int, int]:
        """The speaker's half: left, top, right, bottom."""
        half = self.width // 2
        return (
            (0, self.rows[0], half, self.rows[1])
            if speaker == self.left
            else (half, self.rows[0], self.width, self.rows[1])
        )


def find_sides(
    videos: Mapping[str, Path],
    turns: Mapping[str, Sequence[tuple[str, float, float]]],
    said: Mapping[str, str],
) -> dict[str, Side]:
    """The sides of every dialogue whose video can be read.

    Args:
        videos: per dialogue. turns: per dialogue (speaker, start, end). said: what a user's map says of left actors.

    Raises:
        DataError: fewer than 60 % of a dialogue's turns agree.
    """
    with ThreadPoolExecutor() as threads:  # decoding leaves Python's lock
        found = threads.map(
            lambda dialogue: _look(videos[dialogue], turns[dialogue], said.get(dialogue)), videos
        )
        sides = {
            dialogue: side for dialogue, side in zip(videos, found, strict=True) if side is not None
        }
    if unsure := {d: side.margin for d, side in sides.items() if side.margin < LEAST}:
        named = ", ".join(f"{d} ({margin:.0%})" for d, margin in sorted(unsure.items())[:10])
        raise DataError(
            f"who sits on the left must be clear in {LEAST:.0%} of a dialogue's turns, found less in {len(unsure)}: {named}. "
            "Look at them, and name them in a CSV file (dialog,left with F or M): side_map=FILE"
        )
    return sides


def contradictions(sides: Mapping[str, Side]) -> list[str]:
    """Sessions whose dialogues with one marker letter seat the actors otherwise than those with the other."""
    seats: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for dialogue, side in sides.items():
        seats[dialogue[:5]][dialogue[5]].add(side.left)
    said = []
    for session, by_marker in sorted(seats.items()):
        places = set().union(*by_marker.values())
        if len(by_marker) > 1 and len(places) > 1:
            seen = ", ".join(
                f"markers {m}: left {' and '.join(sorted(left))}"
                for m, left in sorted(by_marker.items())
            )
            said.append(f"{session}: actors change sides between dialogues ({seen})")
    return said


def read_side_map(path: Path, dialogues: Collection[str]) -> dict[str, str]:
    """``dialog,left`` per line, under a header of these words or none.

    Args:
        dialogues: those that there are.

    Raises:
        DataError: it cannot be read, says something else, names a dialogue that is none, or seats one two ways.
    """
    rows = [cells for _, cells in read_csv(path)]
    if rows and [cell.lower() for cell in rows[0]] == ["dialog", "left"]:
        rows = rows[1:]
    left: dict[str, str] = {}
    for row in rows:
        if len(row) != 2 or row[1] not in (FEMALE, MALE):
            raise DataError(f"{path} must say dialog,left with F or M, found {','.join(row)!r}.")
        dialogue, actor = row
        if dialogue not in dialogues:
            raise DataError(
                f"{path} must name dialogues that have turns, found {dialogue!r}, which has none."
            )
        if left.setdefault(dialogue, actor) != actor:
            raise DataError(
                f"{path} must seat the actors of a dialogue one way, found {dialogue!r} with F and with M."
            )
    return left


def _look(path: Path, turns: Sequence[tuple[str, float, float]], said: str | None) -> Side | None:
    votes: list[bool] = []
    brightness: NDArray[np.float64] | None = None
    width = 0
    try:
        for speaker in (FEMALE, MALE):
            own = [turn for turn in turns if turn[0] == speaker]
            chosen = (
                [own[i] for i in np.unique(np.linspace(0, len(own) - 1, TURNS).round().astype(int))]
                if own
                else []
            )
            for _, start, end in chosen:
                frames = [
                    frame.astype(np.int16)
                    for frame in _first(decode_span(path, (start, end)), FRAMES)
                ]
                if len(frames) < 2:
                    continue
                width = frames[0].shape[1]
                motion = np.mean([np.abs(b - a).mean(0) for a, b in pairwise(frames)], axis=0)
                left, right = motion[: width // 2].mean(), motion[width // 2 :].mean()
                if left != right:
                    votes.append(bool((left > right) == (speaker == FEMALE)))
                rows = np.max([frame.mean(1) for frame in frames], axis=0)
                brightness = rows if brightness is None else np.maximum(brightness, rows)
    except UnreadableError:
        return None  # its turns will be reported one by one
    if brightness is None:
        return None
    lit = np.flatnonzero(brightness >= BLACK)
    rows = (int(lit[0]), int(lit[-1]) + 1) if len(lit) else (0, len(brightness))
    share = float(np.mean(votes)) if votes else 0.5
    left_actor = said or (FEMALE if share >= 0.5 else MALE)
    return Side(left_actor, 1.0 if said else max(share, 1 - share), rows, width)


def _first(frames: Iterable[NDArray[np.uint8]], count: int) -> list[NDArray[np.uint8]]:
    taken = []
    for frame in frames:
        taken.append(frame)
        if len(taken) == count:
            break
    return taken
