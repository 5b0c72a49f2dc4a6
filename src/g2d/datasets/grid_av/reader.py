"""GRID, speaker 1: a spoken digit and the mouth that says it.

Cooke, Barker, Cunningham & Shao, An audio-visual corpus for speech perception and automatic speech
recognition, JASA 120(5), 2006.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import counted, find_files
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import fit_length, is_silent, opened

SENTENCES = 1000
"""Sentences of a speaker, who says each color, letter and digit together once."""
NAME = re.compile(r"[blps][bgrw][abiw][a-vx-z][1-9z][anps]")
"""Name of a file: the first letters of the words, with the digit as a figure (z for zero)."""
RATE, FRAME_RATE = 8000, 25
"""Stored samples per second, and frames per second of the videos."""
FRAMES, SAMPLES = 16, 5120
"""Length of the window around the digit, in frames and in samples (0.64 s)."""
CLIP_FRAMES = 75
"""Frames of a complete clip."""
ALIGNMENT_RATE = 25_000
"""Units per second in the corpus's alignments."""
WIDTH, HEIGHT = 360, 288
ROWS, COLUMNS = slice(172, 252), slice(100, 228)
"""Region of the mouth in the picture."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = tuple("abcdefghijklmnopqrstuvxyz")
"""All letters except w."""
COLORS = ("blue", "green", "red", "white")
TARGETS: dict[str, tuple[int, tuple[str, ...]]] = {
    "digit": (4, WORDS),
    "letter": (3, LETTERS),
    "color": (1, COLORS),
}
"""Place in the sentence (command, color, preposition, letter, digit, adverb), and the classes."""
MEL = {"name": "log_mel", "rate": RATE, "n_fft": 512, "hop": 160, "bands": 32}
GRAY = {"name": "pixels", "frames": True}
OVERALL = {"name": "standardize", "axes": "all"}
SIGNALS = {
    "audio": Signal("audio", "int16", (SAMPLES,), (MEL, OVERALL), {"rate": RATE}),
    "video": Signal("video", "uint8", (FRAMES, 40, 64), (GRAY, OVERALL), {"rate": FRAME_RATE}),
}


class GridOptions(ReaderOptions):
    """Options of ``g2d data prepare grid_av``."""

    target: Literal["digit", "letter", "color"] = Field("digit", description="word to predict")


def plan_grid(source: Path, options: GridOptions) -> Plan:
    """Plan a store from one speaker's ``*.mpg`` and ``*.align`` files, paired by name.

    The files may be in any folders.

    Raises:
        DataError: There are no such files, or those of two speakers.
    """
    videos, other_videos = _files(source, ".mpg")
    alignments, other_alignments = _files(source, ".align")
    if not videos or not alignments:
        raise DataError(
            f"{source} must hold GRID's *.mpg and *.align files of one speaker, in any folders, "
            f"with names such as bbaf2n, found {len(videos)} and {len(alignments)}."
        )
    names = sorted(videos.keys() | alignments.keys(), key=str.encode)
    parsed = [_sample(source, name, videos, alignments, options.target) for name in names]
    samples = [sample for sample in parsed if isinstance(sample, Sample)]
    unknown = [*other_videos, *other_alignments]
    return Plan(
        name="grid_av",
        task={"kind": "classification", "classes": list(TARGETS[options.target][1])},
        signals=SIGNALS,
        samples=samples,
        decode=decode,
        protocols={"grid_av/stratified-v1": stratified(samples, names)},
        skipped=[s for s in parsed if isinstance(s, Skip)],
        parameters={
            "target": options.target,
            "windows": "16 frames around the digit",
            "resampler": "libswresample",
        },
        warnings=tuple(counted(unknown, "files without the name of a GRID sentence are ignored")),
        cautions=("all clips are of one speaker: results do not hold for new faces or voices",),
        official=SENTENCES,
    )


def _files(source: Path, suffix: str) -> tuple[dict[str, str], list[str]]:
    """Return the path of every sentence's file by name, and the files with other names.

    Raises:
        DataError: A color, letter and digit occur together twice: a copy, or a second speaker.
    """
    paths: dict[str, str] = {}
    unknown = []
    for path in find_files(source, suffix):
        name, place = path.stem, path.relative_to(source).as_posix()
        if NAME.fullmatch(name) is None:
            unknown.append(place)
            continue
        first = paths.setdefault(name[1] + name[3:5], place)
        if first != place:
            raise DataError(
                f"{source} must hold one speaker, who says a color, a letter and a digit together "
                f"once, found {first} and {place}. Give the folder of one speaker, without copies."
            )
    return {Path(place).stem: place for place in paths.values()}, unknown


def _sample(
    source: Path, name: str, videos: dict[str, str], alignments: dict[str, str], target: str
) -> Sample | Skip:
    """Return the sample of the sentence with a name, or why it is skipped."""
    if name not in videos or name not in alignments:
        return Skip(name, "missing-file", f"no {'video' if name in alignments else 'alignment'}")
    path = source / alignments[name]
    try:
        parsed = parse_alignment(path.read_text(encoding="ascii", errors="replace"))
    except OSError as error:  # a broken link
        return Skip(name, "missing-file", f"its alignment: {error.strerror}")
    if parsed is None:
        return Skip(name, "undecodable", "its alignment does not hold six known words")
    words, first_frame = parsed
    if file_name(words) != name:
        return Skip(name, "no-agreed-label", f"its alignment says {' '.join(words)}")
    place, classes = TARGETS[target]
    facts, notes = {"first_frame": first_frame}, {"words": list(words)}
    return Sample(name, classes.index(words[place]), name, (videos[name],), facts, notes)


def file_name(words: tuple[str, ...]) -> str:
    """Return the name of a sentence's files.

    Example:
        >>> file_name(("bin", "blue", "at", "f", "two", "now"))
        'bbaf2n'
    """
    figure = "z" if words[4] == "zero" else str(WORDS.index(words[4]))
    return "".join(word[0] for word in words[:4]) + figure + words[5][0]


def parse_alignment(text: str) -> tuple[tuple[str, ...], int] | None:
    """Parse the lines ``begin end word`` of an alignment.

    Returns:
        The six words, and the first of the 16 frames around the digit: round(25 m - 8) for a digit
        whose middle is m seconds into the clip. None if the text holds no such sentence.

    Example:
        >>> lines = ["0 50 bin", "90 120 blue", "120 140 at", "140 170 f", "17000 23000 two"]
        >>> parse_alignment("\\n".join([*lines, "23000 300000 now"]))
        (('bin', 'blue', 'at', 'f', 'two', 'now'), 12)
    """
    spoken = [
        (int(begin), int(end), word)
        for begin, end, word in re.findall(r"^\s*(\d+)\s+(\d+)\s+(\w+)\s*$", text, re.MULTILINE)
        if word not in ("sil", "sp")
    ]
    words = tuple(word for _, _, word in spoken)
    if len(words) != 6 or any(words[place] not in classes for place, classes in TARGETS.values()):
        return None
    begin, end, _ = spoken[4]
    middle = (begin + end) / 2 / ALIGNMENT_RATE
    first_frame = round(FRAME_RATE * middle - FRAMES / 2)
    return words, min(max(first_frame, 0), CLIP_FRAMES - FRAMES)


def stratified(samples: list[Sample], names: Collection[str]) -> NDArray[np.int8]:
    """Split each digit by name: places 2, 7, 12, ... test, 4, 14, 24, ... validate, others train.

    Args:
        samples: Samples to split.
        names: Names of all files, skipped ones included, so that a damaged file does not move
            another one to a different split.

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
    """Decode the gray pictures of the mouth, averaged 2 x 2, and the sound of the same time."""
    first = sample.facts["first_frame"]
    pictures, sound = _decode_clip(source / sample.files[0])
    if len(pictures) < first + FRAMES:
        raise UnreadableError("too-few-frames", f"{len(pictures)} of {first + FRAMES} needed")
    warnings = []
    if len(pictures) < CLIP_FRAMES:
        warnings.append(f"its video is cut off: {len(pictures)} of {CLIP_FRAMES} frames")
    region = np.stack(pictures[first : first + FRAMES])[:, ROWS, COLUMNS].astype(np.float64)
    mouth = region.reshape(FRAMES, 40, 2, 64, 2).mean((2, 4))
    start = round(first / FRAME_RATE * RATE)
    heard = sound[start : start + SAMPLES]
    if is_silent(heard):
        raise UnreadableError("no-audio", "there is no sound around its digit")
    missing = SAMPLES - len(heard)
    if missing > RATE // FRAME_RATE:  # the sound of a complete clip is a little short, too
        warnings.append(f"its sound ends {missing / RATE:.2f} s too early and is padded")
    return Decoded(
        {"audio": fit_length(heard, SAMPLES), "video": np.rint(mouth).astype(np.uint8)},
        warnings=tuple(warnings),
    )


def _decode_clip(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int16]]:
    """Decode all frames ``(H, W)``, gray as the decoder yields them, and the resampled sound.

    FFmpeg mixes and resamples the sound. Any other way (through colors, with another filter)
    changes most values by a few steps.
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
                gray = frame.to_ndarray(format="gray", width=WIDTH, height=HEIGHT)
                pictures.append(gray.astype(np.uint8, copy=False))
            elif isinstance(frame, av.AudioFrame):
                parts += resampler.resample(frame)
        parts += resampler.resample(None)
    sounds = [np.zeros(0, np.int16), *(part.to_ndarray()[0] for part in parts)]
    return pictures, np.concatenate(sounds)
