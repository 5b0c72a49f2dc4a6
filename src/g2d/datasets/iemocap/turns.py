"""IEMOCAP's texts: turns with their codes, and what was said in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TURN = r"^Ses(0[1-5])([FM])_(impro|script)(\d\d)(?:_(\d))?([ab]?)_([FM])(\d{3})$"
NUMBER = r"(\d+(?:\.\d+)?)"
LINE = rf"^\[{NUMBER} - {NUMBER}\]\t(\S+)\t(ang|hap|exc|sad|neu|fru|sur|fea|dis|oth|xxx)\t\[{NUMBER}, {NUMBER}, {NUMBER}\]\s*$"


@dataclass(frozen=True)
class Turn:
    """A turn of a dialogue.

    Args:
        id: its name. session: 1 to 5. markers: letter of who wears them. speaker: letter of who speaks. improvised: not from a script.
        start, end: seconds in the dialogue. code: three letters. valence, activation, dominance: means of the raters.
    """

    id: str
    session: int
    markers: str
    speaker: str
    improvised: bool
    start: float
    end: float
    code: str
    valence: float
    activation: float
    dominance: float

    @property
    def dialogue(self) -> str:
        """The turn's name without its last part."""
        return self.id.rpartition("_")[0]

    @property
    def seconds(self) -> float:
        return self.end - self.start


def parse_turn(line: str, pattern: str = TURN) -> Turn | None:
    """A line of EmoEvaluation; None if it is no turn.

    Example:
        >>> turn = parse_turn("[6.7700 - 8.4600]\\tSes01M_impro01_F000\\tang\\t[1.5000, 3.5000, 4.5000]")
        >>> turn.markers, turn.speaker, turn.dialogue
        ('M', 'F', 'Ses01M_impro01')
    """
    found = re.match(LINE, line)
    name = re.match(pattern, found[3]) if found else None
    if found is None or name is None:
        return None
    valence, activation, dominance = (float(found[i]) for i in (5, 6, 7))
    return Turn(
        found[3],
        int(name[1]),
        name[2],
        name[7],
        name[3] == "impro",
        float(found[1]),
        float(found[2]),
        found[4],
        valence,
        activation,
        dominance,
    )


@dataclass(frozen=True)
class Evaluations:
    """What EmoEvaluation holds.

    Args:
        turns: the first line of each. repeated: further lines of the same turns.
        strange: lines that begin as those of turns do and are not written like them, after the name of their file.
    """

    turns: list[Turn] = field(default_factory=list)
    repeated: list[Turn] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


def read_turns(source: Path, pattern: str = TURN) -> Evaluations:
    """All lines of all sessions; per-rater files in sub-folders are not looked at."""
    found, known = Evaluations(), set[str]()
    for name, line in _lines(source, "EmoEvaluation"):
        turn = parse_turn(line, pattern)
        if turn is not None:
            (found.repeated if turn.id in known else found.turns).append(turn)
            known.add(turn.id)
        elif line.lstrip().startswith("["):
            found.strange.append(f"{name}: {line.strip()}")
    return found


def parse_words(line: str, pattern: str = TURN) -> tuple[str, str] | None:
    """Turn and text of a line of a transcription; None for lines of others.

    Example:
        >>> parse_words("Ses05F_script02_2_M041 [436.5441-438.3820]: Or not.")
        ('Ses05F_script02_2_M041', 'Or not.')
    """
    head, sign, text = line.partition("]:")
    name = head.partition(" [")[0].strip()
    return (name, text.strip()) if sign and re.match(pattern, name) else None


def read_words(source: Path, pattern: str = TURN) -> dict[str, str]:
    """What was said, by turn; the first of duplicates counts."""
    words: dict[str, str] = {}
    for _, line in _lines(source, "transcriptions"):
        parsed = parse_words(line, pattern)
        if parsed is not None:
            words.setdefault(*parsed)
    return words


def _lines(source: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Every line of a dialogue's text files with the name of its file; copies of other systems (._*) are not looked at."""
    for path in sorted(
        source.glob(f"Session[1-5]/dialog/{folder}/*.txt"), key=lambda path: path.name.encode()
    ):
        if not path.name.startswith("._"):
            for line in path.read_text(encoding="latin1").split(
                "\n"
            ):  # splitlines() would also break at Latin-1's byte 0x85
                yield path.name, line
