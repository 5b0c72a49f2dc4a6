"""GRID, speaker 1: a spoken digit and the mouth that says it (Cooke, Barker, Cunningham & Shao, JASA 2006)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.media import at_least, fit_length, read_audio, read_frames
from g2d.data.readers.base import Reader, ReaderOptions, open_pack
from g2d.data.store.plan import TEST, TRAIN, VALID, Decoded, Plan, Sample, Signal, Skip
from g2d.errors import DataError

RATE, FRAME_RATE, FRAMES, SAMPLES = 8000, 25, 16, 5120
ALIGNMENT_RATE = 25_000
"""Units of a second in the corpus's alignments."""
ROWS, COLUMNS = slice(172, 252), slice(100, 228)
"""The mouth in the 360 x 288 picture."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = tuple("abcdefghijklmnopqrstuvxyz")
"""All but w."""
COLORS = ("blue", "green", "red", "white")
TARGETS: dict[str, tuple[int, tuple[str, ...]]] = {"digit": (4, WORDS), "letter": (3, LETTERS), "color": (1, COLORS)}
"""Place in the sentence (command, color, preposition, letter, digit, adverb), and the classes."""
PACK = "grid_s1_digit_windows.npz"
MEL = {"name": "log_mel", "rate": RATE, "n_fft": 512, "hop": 160, "bands": 32}
OVERALL = {"name": "standardize", "axes": "all"}
SIGNALS = {
    "audio": Signal("audio", "int16", (SAMPLES,), (MEL, OVERALL), {"rate": RATE}),
    "video": Signal("video", "uint8", (FRAMES, 40, 64), ({"name": "pixels", "frames": True}, OVERALL), {"rate": FRAME_RATE}),
}


class GridOptions(ReaderOptions):
    """What ``g2d data prepare grid_av`` can be told."""

    target: Literal["digit", "letter", "color"] = Field("digit", description="which word is the target")


@dataclass(frozen=True)
class Sentence:
    """Where a sentence's window lies."""

    name: str
    words: tuple[str, ...]
    first_frame: int


def plan_grid(source: Path, options: GridOptions) -> Plan:
    """From the pack of arrays, or from the corpus: ``*.mpg`` and ``*.align`` in any folders, paired by name."""
    packed = (source / PACK).is_file()
    sentences, skipped = (_packed(source), []) if packed else _raw(source)
    place, classes = TARGETS[options.target]
    files = _files(source) if not packed else {}
    samples = [
        Sample(
            s.name,
            classes.index(s.words[place]),
            s.name,
            () if packed else (files[s.name],),
            {"row": row} if packed else {"first_frame": s.first_frame},
            {"words": list(s.words)},
        )
        for row, s in sorted(enumerate(sentences), key=lambda item: item[1].name.encode())
    ]
    return Plan(
        name="grid_av",
        task={"kind": "classification", "classes": list(classes)},
        signals=SIGNALS,
        samples=samples,
        decode=Packed() if packed else decode,
        protocols={"grid_av/stratified-v1": stratified(samples)},
        skipped=skipped,
        parameters={"target": options.target, "windows": "16 frames around the digit"},
        warnings=("one speaker: figures do not speak of new faces or voices",),
    )


def stratified(samples: list[Sample]) -> NDArray[np.int8]:
    """Inside each digit, by name: places 2, 7, 12, ... are test, 4, 14, 24, ... valid, the others train."""
    split = np.full(len(samples), TRAIN, np.int8)
    for digit in WORDS:
        rows = [i for i, sample in enumerate(samples) if sample.notes["words"][4] == digit]
        for number, row in enumerate(rows):
            split[row] = TEST if number % 5 == 2 else VALID if number % 10 == 4 else TRAIN
    return split


def decode(source: Path, sample: Sample) -> Decoded:
    """Gray mouth pictures, averaged 2 x 2, and the sound of the same time."""
    path, first = source / sample.files[0], sample.facts["first_frame"]
    pictures = read_frames(path, at_least(first + FRAMES, lambda n, rate: range(first, first + FRAMES)), (288, 360), gray=True)
    mouth = pictures[:, ROWS, COLUMNS].astype(np.float64).reshape(FRAMES, 40, 2, 64, 2).mean((2, 4))
    start = round(first / FRAME_RATE * RATE)
    sound = fit_length(read_audio(path, RATE)[start : start + SAMPLES], SAMPLES)
    return Decoded({"audio": sound, "video": np.rint(mouth).astype(np.uint8)})


@dataclass(frozen=True)
class Packed:
    """Rows of the pack."""

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        pack = open_pack(source / PACK)
        row = sample.facts["row"]
        return Decoded({"audio": pack["waveform"][row], "video": pack["mouth"][row]})


def _packed(source: Path) -> list[Sentence]:
    pack = open_pack(source / PACK)
    return [Sentence(str(n), tuple(map(str, w)), int(f)) for n, w, f in zip(pack["name"], pack["words"], pack["first_frame"], strict=True)]


def _files(source: Path, suffix: str = ".mpg") -> dict[str, str]:
    return {path.stem: path.relative_to(source).as_posix() for path in sorted(source.rglob(f"*{suffix}"))}


def _raw(source: Path) -> tuple[list[Sentence], list[Skip]]:
    videos, alignments = _files(source), _files(source, ".align")
    if not videos or not alignments:
        raise DataError(f"{source} must hold GRID's *.mpg and *.align files of one speaker, in any folders, found {len(videos)} and {len(alignments)}.")
    sentences, skipped = [], []
    for name in sorted(videos.keys() | alignments.keys(), key=str.encode):
        if name not in videos or name not in alignments:
            skipped.append(Skip(name, "missing-file", "no video" if name in alignments else "no alignment"))
            continue
        parsed = parse_alignment((source / alignments[name]).read_text(encoding="ascii", errors="replace"))
        if parsed is None:
            skipped.append(Skip(name, "undecodable", "its alignment does not hold six known words"))
        else:
            sentences.append(Sentence(name, *parsed))
    return sentences, skipped


def parse_alignment(text: str) -> tuple[tuple[str, ...], int] | None:
    """The six words, and the first of the 16 frames around the digit; None if that is not what the text holds.

    Example:
        >>> parse_alignment("\\n".join("0 50 bin|90 120 blue|120 140 at|140 170 f|17000 23000 two|23000 300000 now".split("|")))
        (('bin', 'blue', 'at', 'f', 'two', 'now'), 12)
    """
    spoken = [(int(a), int(b), word) for a, b, word in re.findall(r"^\s*(\d+)\s+(\d+)\s+(\w+)\s*$", text, re.MULTILINE) if word not in ("sil", "sp")]
    words = tuple(word for _, _, word in spoken)
    if len(words) != 6 or any(words[place] not in classes for place, classes in TARGETS.values()):
        return None
    begin, end, _ = spoken[4]
    middle = (begin + end) / 2 / ALIGNMENT_RATE
    return words, min(max(round(FRAME_RATE * middle - FRAMES / 2), 0), 75 - FRAMES)


READER = Reader(
    plan=plan_grid,
    options=GridOptions,
    about="GRID, one speaker: a spoken digit and the mouth that says it; 10 digits, 25 letters or 4 colors",
    layout="the .mpg files of speaker s1 and their .align files, in any folders; or the pack grid_s1_digit_windows.npz",
    needs="GRID's s1 (video and alignments), from its Zenodo record 3625687 or the page of the corpus",
    licence="CC BY 4.0 to our knowledge; cite Cooke et al., JASA 120(5), 2006",
    pack="grid-av",
)
