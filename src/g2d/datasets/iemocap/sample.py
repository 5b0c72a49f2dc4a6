"""A made-up sample of IEMOCAP in its raw layout: letterboxed videos with both actors.

One dialogue per session (two in the first), with broken files among them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2d.datasets.sample_media import tone, write_video, write_wav

CODES = ("neu", "ang", "sad", "hap", "exc", "neu", "ang", "sad", "xxx", "fru")
"""Emotions of a dialogue's turns."""
SIZE = (96, 144)
"""Height and width of the videos, in pixels."""
SECONDS = 1.0
"""Duration of a turn."""
FRAME_RATE = 15
DIALOGUES = (
    "Ses01F_impro01",
    "Ses01M_script01_1b",
    "Ses02F_impro02",
    "Ses03M_impro05a",
    "Ses04F_script02_2",
    "Ses05M_impro03",
)
PLANTED = {
    "Ses01F_impro01_F000": "undecodable",
    "Ses01F_impro01_M001": "missing-file",
    "Ses02F_impro02_F000": "no-audio",
    "Ses03M_impro05a_F000": "zero-length",
    "Ses05M_impro03_F008": "no-agreed-label",
}
"""Broken turns, and the reason for which each must be skipped."""


def write_sample(folder: Path) -> dict[str, str]:
    """Write evaluations, transcriptions, sound and video of every dialogue.

    The woman sits on the right, and the half of the actor who speaks moves.

    Returns:
        The broken turns, and the reason for which each must be skipped.
    """
    speakers = ["F" if i % 2 == 0 else "M" for i in range(len(CODES))]
    for number, dialogue in enumerate(DIALOGUES):
        base = folder / f"Session{dialogue[4]}"
        turns = [f"{dialogue}_{speaker}{i:03d}" for i, speaker in enumerate(speakers)]
        for i, turn in enumerate(turns):
            _write_turn(base / "sentences" / "wav" / dialogue / f"{turn}.wav", turn, i)
        _write_texts(base / "dialog", dialogue, turns)
        video = base / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"
        write_video(video, both_actors(speakers, number), FRAME_RATE)
    return PLANTED


def _write_turn(path: Path, turn: str, i: int) -> None:
    """Write the sound of turn number ``i``, or what is broken about it."""
    fault = PLANTED.get(turn)
    if fault == "no-audio":
        write_wav(path, np.zeros(8000, np.int16), 16_000)
    elif fault != "missing-file":
        write_wav(path, tone(0.8, 16_000, 150 + 60 * (i % 4)), 16_000)
    if fault == "undecodable":
        path.write_bytes(b"RIFF and no more")


def _write_texts(base: Path, dialogue: str, turns: list[str]) -> None:
    """Write the evaluations and transcriptions of a dialogue."""
    lines, words = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
    for i, (turn, code) in enumerate(zip(turns, CODES, strict=True)):
        start = i * SECONDS
        end = start if PLANTED.get(turn) == "zero-length" else start + SECONDS
        lines += [
            f"[{start:.4f} - {end:.4f}]\t{turn}\t{code}\t[2.5000, 3.0000, 3.5000]",
            "C-E1:\tAnger;\t()",
            "A-E1:\tval 3; act 3;\t()",
            "",
        ]
        if i != 3:
            text = f"Well: I saw number {i}, [LAUGHTER] didn't I?"
            words.append(f"{turn} [{start:.4f}-{end:.4f}]: {text}")
    evaluation = base / "EmoEvaluation"
    _write(evaluation / f"{dialogue}.txt", lines)
    _write(evaluation / f"._{dialogue}.txt", lines)
    _write(evaluation / "Categorical" / f"{dialogue}_e1_cat.txt", lines)
    others = [f"{dialogue}_MXX0 [0.0-1.0]: not a turn", "F: nor this"]
    _write(base / "transcriptions" / f"{dialogue}.txt", [*words, *others, *words[:1]])


def both_actors(speakers: list[str], seed: int) -> NDArray[np.uint8]:
    """Return fifteen frames per turn: black borders and two halves, one of which flickers.

    Args:
        speakers: F or M for each turn; the half of this actor flickers.
        seed: Seed of the brightness.
    """
    rng = np.random.default_rng(seed)
    height, width = SIZE
    frames = np.zeros((FRAME_RATE * len(speakers), height, width, 3), np.uint8)
    frames[:, 16 : height - 16] = 90
    for i, speaker in enumerate(speakers):
        half = slice(0, width // 2) if speaker == "M" else slice(width // 2, width)
        for t in range(FRAME_RATE * i, FRAME_RATE * (i + 1)):
            frames[t, 16 : height - 16, half] = rng.integers(60, 200)
    return frames


def _write(path: Path, lines: list[str]) -> None:
    """Write the lines of a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="latin1")
