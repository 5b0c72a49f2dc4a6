"""GRID, speaker 1: a spoken digit and the mouth that says it (Cooke, Barker, Cunningham & Shao, JASA 2006)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import check_arrays, find_files, open_pack, shown
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import fit_length, is_silent, opened

SENTENCES = 1000
"""Of a speaker, who says every color, letter and digit together once."""
NAME = re.compile(r"[blps][bgrw][abiw][a-vx-z][1-9z][anps]")
"""A file's name is its sentence: the first letters of the words, the digit as a figure, z for zero."""
RATE, FRAME_RATE, FRAMES, SAMPLES = 8000, 25, 16, 5120
WHOLE = 75
"""Frames of a clip."""
ALIGNMENT_RATE = 25_000
"""Units of a second in the corpus's alignments."""
WIDTH, HEIGHT = 360, 288
ROWS, COLUMNS = slice(172, 252), slice(100, 228)
"""The mouth in the picture."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = tuple("abcdefghijklmnopqrstuvxyz")
"""All but w."""
COLORS = ("blue", "green", "red", "white")
TARGETS: dict[str, tuple[int, tuple[str, ...]]] = {
    "digit": (4, WORDS),
    "letter": (3, LETTERS),
    "color": (1, COLORS),
}
"""Place in the sentence (command, color, preposition, letter, digit, adverb), and the classes."""
PACK = "grid_s1_digit_windows.npz"
ARRAYS = {
    "name": (),
    "words": (6,),
    "first_frame": (),
    "mouth": (FRAMES, 40, 64),
    "waveform": (SAMPLES,),
}
MEL = {"name": "log_mel", "rate": RATE, "n_fft": 512, "hop": 160, "bands": 32}
OVERALL = {"name": "standardize", "axes": "all"}
SIGNALS = {
    "audio": Signal("audio", "int16", (SAMPLES,), (MEL, OVERALL), {"rate": RATE}),
    "video": Signal(
        "video",
        "uint8",
        (FRAMES, 40, 64),
        ({"name": "pixels", "frames": True}, OVERALL),
        {"rate": FRAME_RATE},
    ),
}


class GridOptions(ReaderOptions):
    """What ``g2d data prepare grid_av`` can be told."""

    target: Literal["digit", "letter", "color"] = Field(
        "digit", description="which word is the target"
    )


@dataclass(frozen=True)
class Sentence:
    """Where a sentence's window lies."""

    name: str
    words: tuple[str, ...]
    first_frame: int


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Args:
        sentences: that can be used, by name. skipped: the others. videos: a path per name; none where all is in the pack.
        strays: files that are called like no sentence.
    """

    sentences: list[Sentence]
    skipped: list[Skip]
    videos: dict[str, str]
    strays: list[str]


def plan_grid(source: Path, options: GridOptions) -> Plan:
    """From the pack of arrays, or from the corpus: ``*.mpg`` and ``*.align`` in any folders, paired by name."""
    packed = (source / PACK).is_file()
    found = _packed(source) if packed else _raw(source)
    place, classes = TARGETS[options.target]
    samples = [
        Sample(
            s.name,
            classes.index(s.words[place]),
            s.name,
            () if packed else (found.videos[s.name],),
            {"row": row} if packed else {"first_frame": s.first_frame},
            {"words": list(s.words)},
        )
        for row, s in sorted(enumerate(found.sentences), key=lambda item: item[1].name.encode())
    ]
    warnings = []
    if found.strays:
        warnings.append(
            f"{len(found.strays)} files that are called like no sentence of GRID are left alone, such as {found.strays[0]}"
        )
    return Plan(
        name="grid_av",
        task={"kind": "classification", "classes": list(classes)},
        signals=SIGNALS,
        samples=samples,
        decode=Packed() if packed else decode,
        protocols={
            "grid_av/stratified-v1": stratified(
                samples, [*(s.name for s in found.sentences), *(skip.id for skip in found.skipped)]
            )
        },
        skipped=found.skipped,
        parameters={
            "target": options.target,
            "windows": "16 frames around the digit",
            "resampler": "libswresample",
        },
        warnings=tuple(warnings),
        cautions=("all clips are of one speaker: figures do not speak of new faces or voices",),
        official=SENTENCES,
    )


def stratified(samples: list[Sample], names: Collection[str]) -> NDArray[np.int8]:
    """Inside each digit, by name: places 2, 7, 12, ... are test, 4, 14, 24, ... valid, the others train.

    Skipped names count too, so that a damaged file moves no other one to another side.

    Example:
        >>> stratified([Sample("bbad2n", 2, "")], ["bbaa2n", "bbab2n", "bbac3n", "bbad2n"]).tolist()
        [2]
    """
    split = {}
    for digit in {name[4] for name in names}:
        for number, name in enumerate(sorted(name for name in names if name[4] == digit)):
            split[name] = TEST if number % 5 == 2 else VALID if number % 10 == 4 else TRAIN
    return places(samples, lambda sample: split[sample.id])


def decode(source: Path, sample: Sample) -> Decoded:
    """Gray mouth pictures, averaged 2 x 2, and the sound of the same time."""
    first, told = sample.facts["first_frame"], []
    pictures, sound = _decoded(source / sample.files[0])
    if len(pictures) < first + FRAMES:
        raise UnreadableError(
            "too-few-frames", f"{len(pictures)}, and its digit needs {first + FRAMES}"
        )
    if len(pictures) < WHOLE:
        told.append(f"its video is cut off: {len(pictures)} of {WHOLE} frames")
    mouth = (
        np.stack(pictures[first : first + FRAMES])[:, ROWS, COLUMNS]
        .astype(np.float64)
        .reshape(FRAMES, 40, 2, 64, 2)
        .mean((2, 4))
    )
    start = round(first / FRAME_RATE * RATE)
    heard = sound[start : start + SAMPLES]
    if is_silent(heard):
        raise UnreadableError("no-audio", "there is no sound around its digit")
    if (
        SAMPLES - len(heard) > RATE // FRAME_RATE
    ):  # the sound of a whole clip is a little shorter than its pictures
        told.append(
            f"its sound ends {(SAMPLES - len(heard)) / RATE:.2f} s too early, and silence stands there"
        )
    return Decoded(
        {"audio": fit_length(heard, SAMPLES), "video": np.rint(mouth).astype(np.uint8)},
        warnings=tuple(told),
    )


def _decoded(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int16]]:
    """All frames ``(H, W)``, gray as the decoder gives it, and the sound, mixed and resampled by FFmpeg.

    So the pack was made; any other way (over colors, by another filter) moves most values by a few steps.
    """
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pictures: list[NDArray[np.uint8]] = []
    parts: list[av.AudioFrame] = []
    with opened(path) as container:
        if not container.streams.video:
            raise UnreadableError("too-few-frames", "there is no stream of pictures")
        if not container.streams.audio:
            raise UnreadableError("no-audio", "there is no stream of sound")
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                pictures.append(
                    frame.to_ndarray(format="gray", width=WIDTH, height=HEIGHT).astype(
                        np.uint8, copy=False
                    )
                )
            elif isinstance(frame, av.AudioFrame):
                parts += resampler.resample(frame)
        parts += resampler.resample(None)
    return pictures, np.concatenate(
        [np.zeros(0, np.int16), *(part.to_ndarray()[0] for part in parts)]
    )


@dataclass(frozen=True)
class Packed:
    """Rows of the pack."""

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        pack = open_pack(source / PACK)
        row = sample.facts["row"]
        return Decoded({"audio": pack["waveform"][row], "video": pack["mouth"][row]})


def _packed(source: Path) -> Found:
    pack = open_pack(source / PACK)
    check_arrays(pack, ARRAYS, source / PACK)
    rows = zip(pack["name"], pack["words"], pack["first_frame"], strict=True)
    return Found([Sentence(str(n), tuple(map(str, w)), int(f)) for n, w, f in rows], [], {}, [])


def _raw(source: Path) -> Found:
    strays: list[str] = []
    videos, alignments = _files(source, ".mpg", strays), _files(source, ".align", strays)
    if not videos or not alignments:
        raise DataError(
            f"{source} must hold GRID's *.mpg and *.align files of one speaker, in any folders, called like bbaf2n, found {len(videos)} and {len(alignments)}."
        )
    sentences, skipped = [], []
    for name in sorted(videos.keys() | alignments.keys()):
        if name not in videos or name not in alignments:
            skipped.append(
                Skip(name, "missing-file", "no video" if name in alignments else "no alignment")
            )
            continue
        try:
            parsed = parse_alignment(
                (source / alignments[name]).read_text(encoding="ascii", errors="replace")
            )
        except OSError as error:  # a link to nowhere
            skipped.append(Skip(name, "missing-file", f"its alignment: {error.strerror}"))
            continue
        if parsed is None:
            skipped.append(Skip(name, "undecodable", "its alignment does not hold six known words"))
        elif called(parsed[0]) != name:
            skipped.append(
                Skip(name, "no-agreed-label", f"its alignment says {' '.join(parsed[0])}")
            )
        else:
            sentences.append(Sentence(name, *parsed))
    return Found(sentences, skipped, videos, strays)


def _files(source: Path, suffix: str, strays: list[str]) -> dict[str, str]:
    """A path per name. The same color, letter and digit twice are a second copy or a second speaker."""
    found: dict[str, str] = {}
    for path in find_files(source, suffix):
        name, place = path.stem, path.relative_to(source).as_posix()
        if NAME.fullmatch(name) is None:
            strays.append(shown(place))
            continue
        other = found.setdefault(name[1] + name[3:5], place)
        if other != place:
            raise DataError(
                f"{source} must hold one speaker, who says a color, a letter and a digit together once, found {other} and {place}. "
                "Give the folder of one speaker, without copies."
            )
    return {Path(place).stem: place for place in found.values()}


def called(words: tuple[str, ...]) -> str:
    """The name of a sentence's files.

    Example:
        >>> called(("bin", "blue", "at", "f", "two", "now"))
        'bbaf2n'
    """
    figure = "z" if words[4] == "zero" else str(WORDS.index(words[4]))
    return "".join(word[0] for word in words[:4]) + figure + words[5][0]


def parse_alignment(text: str) -> tuple[tuple[str, ...], int] | None:
    """The six words, and the first of the 16 frames around the digit; None if that is not what the text holds.

    Example:
        >>> parse_alignment("\\n".join("0 50 bin|90 120 blue|120 140 at|140 170 f|17000 23000 two|23000 300000 now".split("|")))
        (('bin', 'blue', 'at', 'f', 'two', 'now'), 12)
    """
    spoken = [
        (int(a), int(b), word)
        for a, b, word in re.findall(r"^\s*(\d+)\s+(\d+)\s+(\w+)\s*$", text, re.MULTILINE)
        if word not in ("sil", "sp")
    ]
    words = tuple(word for _, _, word in spoken)
    if len(words) != 6 or any(words[place] not in classes for place, classes in TARGETS.values()):
        return None
    begin, end, _ = spoken[4]
    middle = (begin + end) / 2 / ALIGNMENT_RATE
    return words, min(max(round(FRAME_RATE * middle - FRAMES / 2), 0), WHOLE - FRAMES)
