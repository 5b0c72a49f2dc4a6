"""Which actor sits on which side of IEMOCAP's videos.

The videos show both actors next to each other, and the release does not document who sits where.
The actor who moves while a turn is spoken is taken to be its speaker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2d.datasets.folders import read_csv
from g2d.errors import DataError, UnreadableError
from g2d.prepare.media import decode_span

LEAST = 0.6
"""Share of turns that must agree."""
TURNS, FRAMES = 20, 15
"""Turns of each speaker that are examined, and frames of each."""
BLACK = 16.0
"""Rows whose mean never reaches this value belong to the black border."""
FEMALE, MALE = "F", "M"


@dataclass(frozen=True)
class Side:
    """Seats of the actors in a dialogue's video.

    Args:
        left: Letter of the actor on the left, F or M.
        margin: Share of turns that agree; 1 if the user names the actor.
        rows: First and last row (exclusive) of the picture within its border.
        width: Width of the whole picture, in pixels.
    """

    left: str
    margin: float
    rows: tuple[int, int]
    width: int

    def box(self, speaker: str) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the speaker's half."""
        half = self.width // 2
        begin, end = (0, half) if speaker == self.left else (half, self.width)
        return begin, self.rows[0], end, self.rows[1]


def find_sides(
    videos: Mapping[str, Path],
    turns: Mapping[str, Sequence[tuple[str, float, float]]],
    known: Mapping[str, str],
) -> dict[str, Side]:
    """Find the seats in every dialogue whose video can be read.

    Args:
        videos: Video of each dialogue.
        turns: Speaker, start and end of the turns of each dialogue.
        known: Letter of the left actor in the dialogues of the user's map.

    Raises:
        DataError: Fewer than 60 % of a dialogue's turns agree.
    """
    with ThreadPoolExecutor() as threads:  # decoding releases Python's lock
        results = threads.map(
            lambda dialogue: _find(videos[dialogue], turns[dialogue], known.get(dialogue)), videos
        )
        sides = {d: side for d, side in zip(videos, results, strict=True) if side is not None}
    if unsure := {d: side.margin for d, side in sides.items() if side.margin < LEAST}:
        named = ", ".join(f"{d} ({margin:.0%})" for d, margin in sorted(unsure.items())[:10])
        raise DataError(
            f"who sits on the left must be clear in {LEAST:.0%} of a dialogue's turns, "
            f"found less in {len(unsure)}: {named}. "
            "Watch them, and name them in a CSV file (dialog,left with F or M): side_map=FILE"
        )
    return sides


def contradictions(sides: Mapping[str, Side]) -> list[str]:
    """Return warnings about sessions whose actors change seats between dialogues.

    Within a session, dialogues are compared by the letter of the actor who wears the markers.
    """
    seats: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for dialogue, side in sides.items():
        seats[dialogue[:5]][dialogue[5]].add(side.left)
    warnings = []
    for session, by_marker in sorted(seats.items()):
        left_actors = set().union(*by_marker.values())
        if len(by_marker) > 1 and len(left_actors) > 1:
            pairs = ((m, " and ".join(sorted(left))) for m, left in sorted(by_marker.items()))
            listed = ", ".join(f"markers {m}: left {left}" for m, left in pairs)
            warnings.append(f"{session}: actors change sides between dialogues ({listed})")
    return warnings


def read_side_map(path: Path, dialogues: Collection[str]) -> dict[str, str]:
    """Read a user's map: ``dialog,left`` per line, with or without this header.

    Args:
        path: CSV file.
        dialogues: Dialogues that have turns.

    Returns:
        Letter of the left actor by dialogue.

    Raises:
        DataError: The file cannot be read, has other cells, names an unknown dialogue, or gives
            one dialogue two left actors.
    """
    rows = [cells for _, cells in read_csv(path)]
    if rows and [cell.lower() for cell in rows[0]] == ["dialog", "left"]:
        rows = rows[1:]
    left: dict[str, str] = {}
    for row in rows:
        if len(row) != 2 or row[1] not in (FEMALE, MALE):
            raise DataError(f"{path} must hold dialog,left with F or M, found {','.join(row)!r}.")
        dialogue, actor = row
        if dialogue not in dialogues:
            raise DataError(f"{path} must name dialogues with turns, found {dialogue!r}.")
        if left.setdefault(dialogue, actor) != actor:
            raise DataError(f"{path} must name one left actor, found F and M for {dialogue!r}.")
    return left


def _find(path: Path, turns: Sequence[tuple[str, float, float]], known: str | None) -> Side | None:
    """Find the seats in a video; return None if it cannot be read or shows nothing.

    Args:
        path: Video of the dialogue.
        turns: Speaker, start and end of its turns.
        known: Letter of the left actor if the user's map has it.
    """
    votes: list[bool] = []
    brightness: NDArray[np.float64] | None = None
    width = 0
    try:
        for speaker in (FEMALE, MALE):
            for _, start, end in _some([turn for turn in turns if turn[0] == speaker]):
                span = islice(decode_span(path, (start, end)), FRAMES)
                frames = [frame.astype(np.int16) for frame in span]
                if len(frames) < 2:
                    continue
                width = frames[0].shape[1]
                left, right = _motion(frames)
                if left != right:
                    votes.append((left > right) == (speaker == FEMALE))
                bright = np.max([frame.mean(1) for frame in frames], axis=0)
                brightness = bright if brightness is None else np.maximum(brightness, bright)
    except UnreadableError:
        return None  # its turns are reported one by one later
    if brightness is None:
        return None
    lit = np.flatnonzero(brightness >= BLACK)
    rows = (int(lit[0]), int(lit[-1]) + 1) if len(lit) else (0, len(brightness))
    share = float(np.mean(votes)) if votes else 0.5
    left_actor = known or (FEMALE if share >= 0.5 else MALE)
    return Side(left_actor, 1.0 if known else max(share, 1 - share), rows, width)


def _some(turns: Sequence[tuple[str, float, float]]) -> Sequence[tuple[str, float, float]]:
    """Return up to :data:`TURNS` of the turns, evenly spaced."""
    steps = np.linspace(0, max(0, len(turns) - 1), min(TURNS, len(turns)))
    return [turns[i] for i in steps.round().astype(int)]


def _motion(frames: Sequence[NDArray[np.int16]]) -> tuple[float, float]:
    """Return the mean change between successive frames in the left and in the right half."""
    motion = np.mean([np.abs(b - a).mean(0) for a, b in pairwise(frames)], axis=0)
    half = len(motion) // 2
    return float(motion[:half].mean()), float(motion[half:].mean())
