"""IEMOCAP in its raw layout: one dialogue per session (two in the first), letterboxed video with both actors, broken files among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.media_files import tone, write_video, write_wav

CODES = ("neu", "ang", "sad", "hap", "exc", "neu", "ang", "sad", "xxx", "fru")
SIZE = (96, 144)
SECONDS = 1.0
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


def write_iemocap(folder: Path) -> None:
    """EmoEvaluation, transcriptions, wav and avi. The woman sits on the right, and who speaks moves."""
    for number, dialogue in enumerate(DIALOGUES):
        base = folder / f"Session{dialogue[4]}"
        lines, said = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        speakers = ["F" if i % 2 == 0 else "M" for i in range(len(CODES))]
        for i, (speaker, code) in enumerate(zip(speakers, CODES, strict=True)):
            turn = f"{dialogue}_{speaker}{i:03d}"
            start, end = i * SECONDS, (i + 1) * SECONDS
            if PLANTED.get(turn) == "zero-length":
                end = start
            lines += [
                f"[{start:.4f} - {end:.4f}]\t{turn}\t{code}\t[2.5000, 3.0000, 3.5000]",
                "C-E1:\tAnger;\t()",
                "A-E1:\tval 3; act 3;\t()",
                "",
            ]
            if i != 3:
                said.append(
                    f"{turn} [{start:.4f}-{end:.4f}]: Well: I said number {i}, [LAUGHTER] didn't I?"
                )
            wav = base / "sentences" / "wav" / dialogue / f"{turn}.wav"
            if turn == "Ses02F_impro02_F000":
                write_wav(wav, np.zeros(8000, np.int16), 16_000)
            elif turn != "Ses01F_impro01_M001":
                write_wav(wav, tone(0.8, 16_000, 150 + 60 * (i % 4)), 16_000)
            if turn == "Ses01F_impro01_F000":
                wav.write_bytes(b"RIFF and no more")
        _write(base / "dialog" / "EmoEvaluation" / f"{dialogue}.txt", lines)
        _write(base / "dialog" / "EmoEvaluation" / f"._{dialogue}.txt", lines)
        _write(base / "dialog" / "EmoEvaluation" / "Categorical" / f"{dialogue}_e1_cat.txt", lines)
        _write(
            base / "dialog" / "transcriptions" / f"{dialogue}.txt",
            [*said, f"{dialogue}_MXX0 [0.0-1.0]: not a turn", "F: nor this", *said[:1]],
        )
        write_video(
            base / "dialog" / "avi" / "DivX" / f"{dialogue}.avi", both_actors(speakers, number), 15
        )


def both_actors(speakers: list[str], seed: int) -> np.ndarray:
    """Fifteen frames per turn: black above and below, two halves, of which the speaker's flickers."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    frames = np.zeros((15 * len(speakers), height, width, 3), np.uint8)
    frames[:, 16 : height - 16] = 90
    for i, speaker in enumerate(speakers):
        half = slice(0, width // 2) if speaker == "M" else slice(width // 2, width)
        for t in range(15 * i, 15 * (i + 1)):
            frames[t, 16 : height - 16, half] = rng.integers(60, 200)
    return frames


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="latin1")
