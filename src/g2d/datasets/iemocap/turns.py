"""The texts of IEMOCAP: turns with their emotions, and the words spoken in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TURN = re.compile(r"Ses(0[1-5])([FM])_(impro|script)(\d\d)(?:_(\d))?([ab]?)_([FM])(\d{3})$")
"""Name of a turn: session, actor with markers, kind and number of the dialogue, speaker, number."""
NUMBER = r"(\d+(?:\.\d+)?)"
CODE = "ang|hap|exc|sad|neu|fru|sur|fea|dis|oth|xxx"
LINE = re.compile(
    rf"\[{NUMBER} - {NUMBER}\]\t(\S+)\t({CODE})\t\[{NUMBER}, {NUMBER}, {NUMBER}\]\s*$"
)
"""Line of a turn in EmoEvaluation: start, end, name, emotion, and three ratings."""


@dataclass(frozen=True)
class Turn:
    """Turn of a dialogue.

    Args:
        id: Name of the turn.
        session: Session, from 1 to 5.
        markers: Letter of the actor who wears markers, F or M.
        speaker: Letter of the actor who speaks, F or M.
        improvised: Whether the dialogue is improvised instead of scripted.
        start: Second of the dialogue at which the turn begins.
        end: Second of the dialogue at which the turn ends.
        code: Emotion, in three letters.
        ratings: Mean ratings of valence, activation and dominance.
    """

    id: str
    session: int
    markers: str
    speaker: str
    improvised: bool
    start: float
    end: float
    code: str
    ratings: tuple[float, ...]

    @property
    def dialogue(self) -> str:
        """Name of the dialogue: the turn's without its last part."""
        return self.id.rpartition("_")[0]


def parse_turn(line: str) -> Turn | None:
    """Parse a line of EmoEvaluation; return None if it is not the line of a turn.

    Example:
        >>> line = "[6.7700 - 8.4600]\\tSes01M_impro01_F000\\tang\\t[1.5000, 3.5000, 4.5000]"
        >>> turn = parse_turn(line)
        >>> turn.markers, turn.speaker, turn.dialogue
        ('M', 'F', 'Ses01M_impro01')
    """
    parts = LINE.match(line)
    name = TURN.match(parts[3]) if parts else None
    if parts is None or name is None:
        return None
    session, markers, kind, speaker = name.group(1, 2, 3, 7)
    start, end, *ratings = map(float, parts.group(1, 2, 5, 6, 7))
    who = (int(session), markers, speaker, kind == "impro")
    return Turn(parts[3], *who, start, end, parts[4], tuple(ratings))


@dataclass(frozen=True)
class Evaluations:
    """Content of EmoEvaluation.

    Args:
        turns: The first line of each turn.
        repeated: Further lines of the same turns.
        malformed: Lines that begin like those of turns but are written differently, each after
            the name of its file.
    """

    turns: list[Turn] = field(default_factory=list)
    repeated: list[Turn] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)


def read_turns(source: Path) -> Evaluations:
    """Read the turns of all sessions; files of single raters, in sub-folders, are ignored."""
    evaluations, known = Evaluations(), set[str]()
    for name, line in _lines(source, "EmoEvaluation"):
        turn = parse_turn(line)
        if turn is not None:
            (evaluations.repeated if turn.id in known else evaluations.turns).append(turn)
            known.add(turn.id)
        elif line.lstrip().startswith("["):
            evaluations.malformed.append(f"{name}: {line.strip()}")
    return evaluations


def parse_words(line: str) -> tuple[str, str] | None:
    """Parse a line of a transcription into turn and text; return None for other lines.

    Example:
        >>> parse_words("Ses05F_script02_2_M041 [436.5441-438.3820]: Or not.")
        ('Ses05F_script02_2_M041', 'Or not.')
    """
    head, sign, text = line.partition("]:")
    name = head.partition(" [")[0].strip()
    return (name, text.strip()) if sign and TURN.match(name) else None


def read_words(source: Path) -> dict[str, str]:
    """Read the words of every turn; the first of several transcriptions counts."""
    words: dict[str, str] = {}
    for _, line in _lines(source, "transcriptions"):
        parsed = parse_words(line)
        if parsed is not None:
            words.setdefault(*parsed)
    return words


def _lines(source: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the file name and the text of every line of the dialogues' text files.

    Hidden copies that macOS writes (``._*``) are ignored.
    """
    files = source.glob(f"Session[1-5]/dialog/{folder}/*.txt")
    for path in sorted(files, key=lambda path: path.name.encode()):
        if path.name.startswith("._"):
            continue
        # splitlines() would also break lines at byte 0x85 of Latin-1.
        for line in path.read_text(encoding="latin1").split("\n"):
            yield path.name, line
