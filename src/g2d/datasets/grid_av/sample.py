"""A made-up sample of GRID in its raw layout: sentences of one speaker, as video and alignment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from g2d.datasets.grid_av.reader import ALIGNMENT_RATE, FRAME_RATE, HEIGHT, WIDTH, file_name
from g2d.datasets.sample_media import tone, write_video

SENTENCES = ("bin blue at f one now", *(f"bin blue at {x} two now" for x in "abcdef"))
FRAMES = 45
"""Frames of the videos, which are shorter than complete clips."""
DIGIT = (1.2, 1.6)
"""Seconds between which the digit of every sentence is spoken."""


def write_sample(folder: Path, sentences: Sequence[str] = SENTENCES) -> dict[str, str]:
    """Write the video and the alignment of each sentence, and an alignment without a video.

    Args:
        folder: Folder to write to; videos are in ``s1``, alignments in ``align``.
        sentences: Six words each.

    Returns:
        The broken sentences, and the reason for which each must be skipped.
    """
    rng = np.random.default_rng(0)
    write_alignments(folder / "align", sentences)
    (folder / "align" / "bbag3n.align").write_text("0 5 sil")
    for words in sentences:
        picture = rng.integers(40, 200, (HEIGHT, WIDTH, 1)).astype(np.uint8).repeat(3, 2)
        write_video(
            folder / "s1" / f"{file_name(tuple(words.split()))}.mpg",
            np.broadcast_to(picture, (FRAMES, HEIGHT, WIDTH, 3)).copy(),
            FRAME_RATE,
            tone(FRAMES / FRAME_RATE, 44_100, 300),
            44_100,
        )
    return {"bbag3n": "missing-file"}


def write_alignments(folder: Path, sentences: Sequence[str]) -> None:
    """Write the alignments of sentences of six words each."""
    folder.mkdir(parents=True, exist_ok=True)
    for words in sentences:
        path = folder / f"{file_name(tuple(words.split()))}.align"
        path.write_text(alignment(words, DIGIT))


def alignment(words: str, digit: tuple[float, float]) -> str:
    """Return the lines of an alignment.

    Args:
        words: Six words.
        digit: Seconds between which the fifth word, the digit, is spoken.
    """
    begin, end = (round(second * ALIGNMENT_RATE) for second in digit)
    times = [*np.linspace(5000, begin, 5).round().astype(int).tolist(), end, 74_000]
    spoken = zip(times[:-1], times[1:], words.split(), strict=True)
    return "\n".join(
        ["0 5000 sil", *(f"{a} {b} {word}" for a, b, word in spoken), "74000 74500 sil"]
    )
