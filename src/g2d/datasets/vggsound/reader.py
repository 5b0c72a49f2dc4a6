"""VGGSound: kinds of sound, heard and seen in clips from YouTube.

Chen, Xie, Vedaldi & Zisserman, VGGSound: a large-scale audio-visual dataset, ICASSP 2020.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import SPLITS, TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.data.views.pictures import IMAGENET_MEAN, IMAGENET_STD
from g2d.datasets.base import ReaderOptions
from g2d.datasets.decoding import read_audible
from g2d.datasets.folders import by_stem, counted, find_file, find_files, read_csv
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, Skip, name_hash, places
from g2d.prepare.media import RESAMPLER, at_least, fit_length, read_frames, released_frames, spread

RATE, SAMPLES = 16_000, 160_000
"""Samples per second of the stored sound, and samples of ten seconds."""
WINDOW = 80_000
"""Samples of the five seconds that a model sees."""
SIDE = 256
"""Height and width of the stored frames, in pixels."""
CLIP = re.compile(r".{11}_\d{6}")
"""Name of a clip: the id of its video, and the second where it begins."""
LISTED = {"train": TRAIN, "test": TEST}
"""Splits of the table."""


@dataclass(frozen=True)
class Row:
    """Line of the table.

    Args:
        clip: Name of the clip.
        video: Id of the video on YouTube.
        label: Kind of sound.
        split: Number of the split.
    """

    clip: str
    video: str
    label: str
    split: int


class VGGSoundOptions(ReaderOptions):
    """Options of ``g2d data prepare vggsound``."""

    frames: Annotated[int, Field(ge=1)] | Literal["legacy"] = Field(
        3,
        description="evenly spaced frames stored per clip; legacy: the three that the paper's "
        "released code uses, of more than three at one per second",
    )
    classes: int | None = Field(
        None, ge=2, description="keep only so many classes, the first by name"
    )
    limit: int | None = Field(
        None, ge=1, description="keep only so many clips per class and split, by name"
    )
    least_frames: int = Field(4, ge=1, description="skip clips with fewer decoded frames")


def plan_vggsound(source: Path, options: VGGSoundOptions) -> Plan:
    """Plan a store from the table ``vggsound.csv`` and mp4 files in any folders.

    Raises:
        DataError: The table is missing or damaged, or there are no clips.
    """
    rows, warnings = read_rows(source)
    listed, counts = {row.clip for row in rows}, read_counts(source)
    if counts is not None and sum(counts.values()) not in (0, len(listed)):
        warnings.append(
            f"vggsound.csv lists {len(listed)} clips, stat.csv counts {sum(counts.values())}"
        )
    test_videos = {row.video for row in rows if row.split == TEST}
    numbers = {name: i for i, name in enumerate(class_names(rows, counts)[: options.classes])}
    rows = _limited([row for row in rows if row.label in numbers], options.limit)
    files, repeated = by_stem(source, find_files(source, ".mp4"))
    if not files:
        raise DataError(f"{source} must hold clips ID_SSSSSS.mp4, in any folders, found none.")
    unlisted = [f"{name}.mp4" for name in sorted(files.keys() - listed)]
    warnings += counted(unlisted, "mp4 files are not listed in vggsound.csv and are ignored")
    samples = [
        Sample(r.clip, numbers[r.label], r.video, (files[r.clip],), notes={"listed": r.split})
        for r in rows
        if r.clip in files
    ]
    missing = [row for row in rows if row.clip not in files]
    by_class = Counter((row.label, row.split) for row in missing)
    return Plan(
        name="vggsound",
        task={"kind": "classification", "classes": list(numbers)},
        signals=signals(3 if isinstance(options.frames, str) else options.frames),
        samples=samples,
        decode=VGGSoundDecode(options.frames, options.least_frames),
        protocols={
            "vggsound/video-disjoint-v1": disjoint(samples, test_videos),
            "vggsound/legacy": places(samples, lambda s: int(s.notes["listed"])),
        },
        skipped=[Skip(row.clip, "missing-file", row.label) for row in missing],
        parameters=options.model_dump() | {"resampler": RESAMPLER, "side": SIDE},
        report={
            "missing_by_class_and_split": {
                f"{label} / {SPLITS[split]}": n for (label, split), n in sorted(by_class.items())
            },
            "listed": len(listed),
        },
        warnings=(
            *warnings,
            *repeated,
            *_missing(rows, by_class),
            "vggsound/legacy has no validation rows: choose checkpoints on another protocol",
        ),
    )


def signals(frames: int) -> dict[str, Signal]:
    """Return the stored signals: sound seen as a log spectrogram, and frames.

    Five seconds of sound give 129 x 626 values: random seconds in training, otherwise the middle.

    Args:
        frames: Frames per clip.
    """
    sound = (
        {"name": "window", "samples": WINDOW},
        {"name": "log_spectrogram", "n_fft": 256, "hop": 128},
    )
    picture = (
        {"name": "pixels", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        {"name": "crop", "size": 224},
        {"name": "flip"},
    )
    return {
        "audio": Signal("audio", "int16", (SAMPLES,), sound, {"rate": RATE}),
        "video": Signal("video", "uint8", (frames, SIDE, SIDE, 3), picture),
    }


@dataclass(frozen=True)
class VGGSoundDecode:
    """Decoder of a clip's sound, repeated to ten seconds, and frames.

    Args:
        frames: Number of frames, or ``"legacy"``.
        least: Decoded frames that a clip must have.
    """

    frames: int | str
    least: int

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the sound ``(160000,)`` and the frames ``(T, 256, 256, 3)`` of a clip."""
        path = source / sample.files[0]
        warnings: list[str] = []
        samples = read_audible(path, RATE, warnings)
        pick = released_frames(3, least=4) if isinstance(self.frames, str) else spread(self.frames)
        picked = at_least(self.least, pick)
        pictures = read_frames(path, picked, (SIDE, SIDE), warnings=warnings)
        if len(pictures) > 1 and bool((pictures == pictures[:1]).all()):
            warnings.append("its frames are all equal")
        return Decoded(
            {"audio": fit_length(samples, SAMPLES, repeat=True), "video": pictures},
            warnings=tuple(warnings),
        )


def read_rows(source: Path) -> tuple[list[Row], list[str]]:
    """Read the table, with or without its header.

    Returns:
        The rows in bytewise order of clips, and a warning if clips are listed twice; the first
        line of each counts.
    """
    path = find_file(source, "vggsound.csv")
    if path is None:
        raise DataError(
            f"{source} must hold the table vggsound.csv of github.com/hche11/VGGSound, found none."
        )
    rows, repeated = dict[str, Row](), 0
    for number, cells in read_csv(path):
        if not rows and cells[:2] == ["youtube_id", "time"]:
            continue
        row = _row(cells, f"line {number} of {path}")
        repeated += row.clip in rows
        rows.setdefault(row.clip, row)
    warning = f"{repeated} clips are listed twice in {path.name}: the first line counts"
    ordered = [rows[name] for name in sorted(rows, key=str.encode)]
    return ordered, [warning] if repeated else []


def _row(cells: list[str], where: str) -> Row:
    """Parse the cells of a line of the table."""
    if len(cells) != 4 or not cells[1].isdecimal() or cells[3] not in LISTED:
        raise DataError(
            f"{where} must be YouTube id, start second, label, train or test, "
            f"found {','.join(cells)[:100]!r}."
        )
    video, start, label, split = cells
    name = clip_name(video, int(start))
    if not CLIP.fullmatch(name):
        raise DataError(
            f"{where} must begin with 11 letters and at most six digits, found {video!r}, {start}."
        )
    return Row(name, video, label, LISTED[split])


def clip_name(video: str, start: int) -> str:
    """Return ``{id}_{start:06d}``.

    Example:
        >>> clip_name("--0PQM4-hqg", 30)
        '--0PQM4-hqg_000030'
    """
    return f"{video}_{start:06d}"


def class_names(rows: list[Row], counts: Mapping[str, int] | None) -> list[str]:
    """Return the names of the classes, sorted: those of ``stat.csv``, or of the whole table.

    They never depend on which clips exist.

    Args:
        rows: Rows of the table.
        counts: Classes of ``stat.csv``; None without that file.

    Raises:
        DataError: The table has a class that ``stat.csv`` does not list.
    """
    labels = {row.label for row in rows}
    if counts is None:
        return sorted(labels)
    if unknown := sorted(labels - counts.keys()):
        raise DataError(
            f"labels must be among the {len(counts)} of stat.csv, found {unknown[0]!r}."
        )
    return sorted(counts)


def read_counts(source: Path) -> dict[str, int] | None:
    """Read the classes of ``stat.csv`` and the number of clips that it counts of each.

    Returns:
        The counts, 0 where the file has no second column; None without that file.
    """
    path = find_file(source, "stat.csv")
    if path is None:
        return None
    lines = [(cells[0], cells[1] if len(cells) > 1 else "") for _, cells in read_csv(path)]
    if lines and lines[0][1] and not lines[0][1].isdecimal():
        del lines[0]  # a header
    return {name: int(count) if count.isdecimal() else 0 for name, count in lines}


def _missing(rows: list[Row], missing: Counter[tuple[str, int]]) -> Iterator[str]:
    """Yield a warning about missing clips: how many per split, and how evenly over classes.

    Args:
        rows: Rows of the table.
        missing: Number of missing clips by label and split.
    """
    if not missing:
        return
    listed, by_label, by_split = Counter(row.label for row in rows), Counter[str](), Counter[int]()
    for (label, split), count in missing.items():
        by_label[label] += count
        by_split[split] += count
    tenths = Counter(min(10 * by_label[label] // listed[label], 9) for label in listed)
    parts = ", ".join(f"{by_split[number]} of {name}" for name, number in LISTED.items())
    by_share = ", ".join(f"{10 * t}-{10 * t + 10} %: {tenths[t]}" for t in sorted(tenths))
    yield (
        f"{missing.total()} of {len(rows)} clips are missing ({parts}); "
        f"number of classes by their missing share: {by_share}"
    )


def disjoint(samples: list[Sample], test_videos: Collection[str]) -> NDArray[np.int8]:
    """Split by video: test rows as listed, a twentieth of the other videos, by hash, validates.

    A training clip of a video that also has test clips is unused.

    Args:
        samples: Samples to split.
        test_videos: Videos with test clips in the whole table, whether the clips exist or not:
            a split must not depend on which files are present.
    """

    def place(sample: Sample) -> int:
        if sample.notes["listed"] == TEST:
            return TEST
        if sample.group in test_videos:
            return UNUSED
        return VALID if name_hash(sample.group) % 20 == 0 else TRAIN

    return places(samples, place)


def _limited(rows: list[Row], limit: int | None) -> list[Row]:
    """Keep the first ``limit`` rows of every class and split."""
    seen, kept = Counter[tuple[str, int]](), []
    for row in rows:
        seen[row.label, row.split] += 1
        if limit is None or seen[row.label, row.split] <= limit:
            kept.append(row)
    return kept
