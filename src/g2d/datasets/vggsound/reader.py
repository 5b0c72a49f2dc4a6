"""VGGSound: what sounds, seen and heard, from YouTube (Chen, Xie, Vedaldi & Zisserman, ICASSP 2020)."""

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

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.data.views.pictures import IMAGENET_MEAN, IMAGENET_STD
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import by_stem, find_file, find_files, printable, read_csv
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, Skip, name_hash, places
from g2d.prepare.media import (
    RESAMPLER,
    at_least,
    fit_length,
    is_silent,
    read_audio,
    read_frames,
    released_frames,
    spread,
)

RATE, SAMPLES, WINDOW, SIDE = 16_000, 160_000, 80_000, 256
CLIP = r"^(?P<id>.{11})_(?P<start>\d{6})$"
SPLITS = {"train": TRAIN, "test": TEST}
_NAMES = {place: name for name, place in SPLITS.items()}


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    clip: str
    video: str
    label: str
    split: int


class VGGSoundOptions(ReaderOptions):
    """What ``g2d data prepare vggsound`` can be told."""

    frames: Annotated[int, Field(ge=1)] | Literal["legacy"] = Field(
        3,
        description="stored per clip, evenly spread; legacy: the three that the paper's released code sees, of more than three at one per second",
    )
    classes: int | None = Field(
        None, ge=2, description="only the first so many classes in order of their names"
    )
    limit: int | None = Field(
        None, ge=1, description="only the first so many clips of every class and split, by name"
    )
    least_frames: int = Field(4, ge=1, description="clips with fewer decoded frames are left out")


def plan_vggsound(source: Path, options: VGGSoundOptions, clip: str = CLIP) -> Plan:
    """The table ``vggsound.csv`` and mp4 files in any folders, found by the clip's name."""
    rows, warnings = read_rows(source, clip)
    listed, counts = {row.clip for row in rows}, read_counts(source)
    if counts is not None and sum(counts.values()) not in (0, len(listed)):
        warnings.append(
            f"vggsound.csv lists {len(listed)} clips, stat.csv counts {sum(counts.values())}"
        )
    tested = {row.video for row in rows if row.split == TEST}
    known = {name: i for i, name in enumerate(class_names(rows, counts)[: options.classes])}
    rows = _limited([row for row in rows if row.label in known], options.limit)
    files, twice = by_stem(source, find_files(source, ".mp4"))
    if not files:
        raise DataError(f"{source} must hold clips ID_SSSSSS.mp4, in any folders, found none.")
    if unlisted := sorted(files.keys() - listed):
        warnings.append(
            f"{len(unlisted)} mp4 files stand in no line of vggsound.csv and are left alone, such as {printable(unlisted[0])}.mp4"
        )
    samples = [
        Sample(r.clip, known[r.label], r.video, (files[r.clip],), notes={"listed": r.split})
        for r in rows
        if r.clip in files
    ]
    skipped = [Skip(r.clip, "missing-file", r.label) for r in rows if r.clip not in files]
    lost = Counter((r.label, r.split) for r in rows if r.clip not in files)
    warnings.extend([*twice, *_lost(rows, lost)])
    return Plan(
        name="vggsound",
        task={"kind": "classification", "classes": list(known)},
        signals=signals(3 if isinstance(options.frames, str) else options.frames),
        samples=samples,
        decode=VGGSoundDecode(options.frames, options.least_frames),
        protocols={
            "vggsound/video-disjoint-v1": disjoint(samples, tested),
            "vggsound/legacy": places(samples, lambda s: int(s.notes["listed"])),
        },
        skipped=skipped,
        parameters=options.model_dump() | {"resampler": RESAMPLER, "side": SIDE},
        report={
            "missing_by_class_and_split": {
                f"{label} / {_NAMES[split]}": n for (label, split), n in sorted(lost.items())
            },
            "listed": len(listed),
        },
        warnings=(
            *warnings,
            "vggsound/legacy has no validation: choose checkpoints on another protocol",
        ),
    )


def signals(frames: int) -> dict[str, Signal]:
    """129 x 626 log spectrograms of five seconds; random ones in training, the middle ones else."""
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
    """Ten seconds of sound, repeated where there are fewer, and the frames."""

    frames: int | str
    least: int

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        path = source / sample.files[0]
        told: list[str] = []
        samples = read_audio(path, RATE, told)
        if is_silent(samples):
            raise UnreadableError("no-audio", "its peak is under a thousandth of full scale")
        pick = released_frames(3, least=4) if isinstance(self.frames, str) else spread(self.frames)
        pictures = read_frames(path, at_least(self.least, pick), (SIDE, SIDE), warnings=told)
        if len(pictures) > 1 and bool((pictures == pictures[:1]).all()):
            told.append("a still picture")
        return Decoded(
            {"audio": fit_length(samples, SAMPLES, repeat=True), "video": pictures},
            warnings=tuple(told),
        )


def read_rows(source: Path, clip: str = CLIP) -> tuple[list[Row], list[str]]:
    """The table, with or without its header, sorted by clip; where a clip stands twice the first line counts."""
    path = find_file(source, "vggsound.csv")
    if path is None:
        raise DataError(
            f"{source} must hold the table vggsound.csv (YouTube id, start second, label, split), found none. It lies at github.com/hche11/VGGSound."
        )
    rows: dict[str, Row] = {}
    twice = 0
    for number, cells in read_csv(path):
        if not rows and cells[:2] == ["youtube_id", "time"]:
            continue
        if len(cells) != 4 or not cells[1].isdecimal() or cells[3] not in SPLITS:
            raise DataError(
                f"line {number} of {path} must be YouTube id, start second, label, train or test, found {','.join(cells)[:100]!r}."
            )
        video, start, label, split = cells
        name = clip_name(video, int(start))
        if not re.fullmatch(clip, name):
            raise DataError(
                f"line {number} of {path} must begin with an 11-letter YouTube id and a start of at most six digits, found {video!r}, {start}."
            )
        twice += name in rows
        rows.setdefault(name, Row(name, video, label, SPLITS[split]))
    warnings = [f"{twice} clips stand twice in {path.name}: the first line counts"] if twice else []
    return [rows[name] for name in sorted(rows, key=str.encode)], warnings


def clip_name(video: str, start: int) -> str:
    """``{id}_{start:06d}``.

    Example:
        >>> clip_name("--0PQM4-hqg", 30)
        '--0PQM4-hqg_000030'
    """
    return f"{video}_{start:06d}"


def class_names(rows: list[Row], counts: Mapping[str, int] | None) -> list[str]:
    """The names of ``stat.csv`` in Python's order; without that file those of the whole table. Never those of the clips that happen to exist."""
    labels = {row.label for row in rows}
    if counts is None:
        return sorted(labels)
    if unknown := sorted(labels - counts.keys()):
        raise DataError(
            f"labels of vggsound.csv must be among the {len(counts)} of stat.csv, found {unknown[0]!r}."
        )
    return sorted(counts)


def read_counts(source: Path) -> dict[str, int] | None:
    """The classes of ``stat.csv`` and how many clips it counts of each, 0 where it has no second column; None without that file."""
    path = find_file(source, "stat.csv")
    if path is None:
        return None
    lines = [(cells[0], cells[1] if len(cells) > 1 else "") for _, cells in read_csv(path)]
    if lines and lines[0][1] and not lines[0][1].isdecimal():
        del lines[0]  # a header
    return {name: int(count) if count.isdecimal() else 0 for name, count in lines}


def _lost(rows: list[Row], lost: Counter[tuple[str, int]]) -> Iterator[str]:
    """How many clips are gone, and how evenly: the number of classes by the share that they have lost."""
    if not lost:
        return
    listed, gone = Counter(row.label for row in rows), Counter[str]()
    for (label, _), count in lost.items():
        gone[label] += count
    tenth = Counter(min(10 * gone[label] // listed[label], 9) for label in listed)
    by_split = ", ".join(
        f"{sum(n for (_, split), n in lost.items() if split == place)} of {name}"
        for name, place in SPLITS.items()
    )
    by_share = ", ".join(f"{10 * t}-{10 * t + 10} %: {tenth[t]}" for t in sorted(tenth))
    yield f"{lost.total()} of {len(rows)} clips are gone ({by_split}); classes by the share they lost: {by_share}"


def disjoint(samples: list[Sample], tested: Collection[str]) -> NDArray[np.int8]:
    """Test as listed; a training clip of a video that is in test is left out; a twentieth of the others' videos, by hash, validates.

    Args:
        tested: videos of which the whole table lists a clip for test, be it here or not: a split must not depend on what is there.
    """

    def place(sample: Sample) -> int:
        if sample.notes["listed"] == TEST:
            return TEST
        return (
            UNUSED
            if sample.group in tested
            else VALID
            if name_hash(sample.group) % 20 == 0
            else TRAIN
        )

    return places(samples, place)


def _limited(rows: list[Row], limit: int | None) -> list[Row]:
    if limit is None:
        return rows
    seen: Counter[tuple[str, int]] = Counter()
    kept = []
    for row in rows:
        seen[row.label, row.split] += 1
        if seen[row.label, row.split] <= limit:
            kept.append(row)
    return kept
