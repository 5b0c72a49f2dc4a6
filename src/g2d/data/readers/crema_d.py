"""CREMA-D: acted emotions, seen and heard (Cao et al., IEEE Transactions on Affective Computing 2014)."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.media import RESAMPLER, fit_length, is_silent, read_audio, read_frames, released_frames, spread
from g2d.data.readers.base import Reader, ReaderOptions
from g2d.data.steps.pictures import IMAGENET_MEAN, IMAGENET_STD
from g2d.data.store.plan import TEST, TRAIN, UNUSED, VALID, Decoded, Plan, Sample, Signal, Skip, UnreadableError, name_hash, places
from g2d.errors import DataError

EMOTIONS = {"NEU": 0, "HAP": 1, "SAD": 2, "FEA": 3, "DIS": 4, "ANG": 5}
CLASSES = ("neutral", "happy", "sad", "fear", "disgust", "anger")
CLIPS = 7442
RATE, SAMPLES, SIDE = 22_050, 66_150, 256
KNOWN_BAD = {
    "1076_MTI_NEU_XX": "the video is very short",
    "1076_MTI_SAD_XX": "sound and video are broken",
    "1064_TIE_SAD_XX": "the video has no duration",
    "1064_IEO_DIS_MD": "the video is a minute long and holds all emotions",
}
"""The maintainers' list."""


@dataclass(frozen=True)
class Grammar:
    """How file names speak: the project's own tests read other corpora in the same layout.

    Args:
        pattern: groups ``actor`` and ``label``. labels: class numbers by what the name says. classes: their names.
        clips: how many the whole corpus has; 0 if that is not known.
    """

    pattern: str = r"^(?P<actor>10\d\d)_[A-Z]{3}_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)_(?:LO|MD|HI|XX)$"
    labels: Mapping[str, int] | None = None
    classes: tuple[str, ...] = CLASSES
    clips: int = CLIPS

    def parse(self, name: str) -> tuple[str, int] | None:
        """Actor and class of a clip's name; None if it is no such name.

        Example:
            >>> Grammar().parse("1001_DFA_ANG_XX")
            ('1001', 5)
        """
        found = re.match(self.pattern, name)
        labels = EMOTIONS if self.labels is None else self.labels
        return (found["actor"], labels[found["label"]]) if found and found["label"] in labels else None


class CremaOptions(ReaderOptions):
    """What ``g2d data prepare crema_d`` can be told."""

    frames: Annotated[int, Field(ge=1)] | Literal["legacy"] = Field(
        3, description="stored per clip, evenly spread; legacy: the one that the paper's released code sees"
    )
    rate: int = Field(RATE, ge=4000, description="samples per second of sound")
    keep_known_bad: bool = Field(False, description="keep the four clips that the maintainers list as broken")


def plan_crema(source: Path, options: CremaOptions, grammar: Grammar | None = None) -> Plan:
    """``AudioWAV/NAME.wav`` (else ``AudioMP3``) and ``VideoFlash/NAME.flv``, paired by name."""
    grammar = grammar or Grammar()
    sound, pictures = _named(source / "AudioWAV", ".wav") or _named(source / "AudioMP3", ".mp3"), _named(source / "VideoFlash", ".flv")
    if not sound and not pictures:
        raise DataError(f"{source} must hold AudioWAV/*.wav and VideoFlash/*.flv, found neither. Clone CheyneyComputerScience/CREMA-D with Git LFS.")
    samples, skipped, strange = [], [], []
    for name in sorted(sound.keys() | pictures.keys(), key=str.encode):
        parsed = grammar.parse(name)
        if parsed is None:
            strange.append(name)
        elif name in KNOWN_BAD and not options.keep_known_bad:
            skipped.append(Skip(name, "known-bad", KNOWN_BAD[name]))
        elif name not in sound or name not in pictures:
            skipped.append(Skip(name, "missing-file", "no sound" if name in pictures else "no video"))
        else:
            samples.append(Sample(name, parsed[1], parsed[0], (sound[name], pictures[name])))
    protocols, warnings = _protocols(source, samples, grammar)
    if strange:
        warnings.append(f"{len(strange)} files whose names are not those of clips are left alone, such as {strange[0]}")
    missing = tuple(m for m, files in (("audio", sound), ("video", pictures)) if not files)
    frames = 1 if isinstance(options.frames, str) else options.frames
    return Plan(
        name="crema_d",
        task={"kind": "classification", "classes": list(grammar.classes)},
        signals=signals(options.rate, frames),
        samples=samples,
        decode=CremaDecode(options.rate, options.frames),
        protocols=protocols,
        skipped=skipped,
        parameters=options.model_dump() | {"resampler": RESAMPLER, "side": SIDE},
        report={"actors": dict(Counter(sample.group for sample in samples))},
        warnings=tuple(warnings),
        missing=missing,
        official=grammar.clips,
    )


def signals(rate: int, frames: int) -> dict[str, Signal]:
    """257 x 188 log spectrograms at 22,050 Hz; one frame of those stored, cropped and flipped in training."""
    picture = ({"name": "pixels", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}, {"name": "frames", "count": 1}, {"name": "crop", "size": 224}, {"name": "flip"})
    return {
        "audio": Signal("audio", "int16", (3 * rate,), ({"name": "log_spectrogram", "n_fft": 512, "hop": 353},), {"rate": rate}),
        "video": Signal("video", "uint8", (frames, SIDE, SIDE, 3), picture),
    }


@dataclass(frozen=True)
class CremaDecode:
    """Sound repeated to three seconds, and the frames."""

    rate: int
    frames: int | str

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        sound, pictures = (source / name for name in sample.files)
        told: list[str] = []
        samples = read_audio(sound, self.rate, told)
        if is_silent(samples):
            raise UnreadableError("no-audio", "its peak is under a thousandth of full scale")
        if len(samples) > 3 * self.rate * 1.5:
            told.append(f"{len(samples) / self.rate:.2f} s of sound, all after the third is left out")
        pick = released_frames(1) if isinstance(self.frames, str) else spread(self.frames)
        values: dict[str, NDArray[Any]] = {
            "audio": fit_length(samples, 3 * self.rate, repeat=True),
            "video": read_frames(pictures, pick, (SIDE, SIDE), told=told),
        }
        return Decoded(values, warnings=tuple(told))


def _named(folder: Path, suffix: str) -> dict[str, str]:
    return {path.stem: f"{folder.name}/{path.name}" for path in folder.glob(f"*{suffix}")}


def _protocols(source: Path, samples: list[Sample], grammar: Grammar) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """Actors by the last digits of their numbers; the field's split where a user holds its lists."""
    protocols = {"crema_d/actor-disjoint-v1": places(samples, lambda s: {0: TEST, 5: VALID}.get(_number(s.group) % 10, TRAIN))}
    for fold in range(5):
        protocols[f"crema_d/actor-5fold-v1?fold={fold}"] = places(samples, partial(_in_fold, fold))
    lists = {split: source / f"{split}.csv" for split in ("train", "test")}
    if not all(path.is_file() for path in lists.values()):
        return protocols, ["crema_d/legacy needs the field's lists train.csv and test.csv in the source folder, found none: that protocol is left out"]
    train, test = (_list(path, grammar) for path in lists.values())
    if both := train.keys() & test.keys():
        raise DataError(f"train.csv and test.csv must not share names, found {len(both)}, such as {min(both)}.")
    protocols["crema_d/legacy"] = places(
        samples, lambda s: TEST if s.id in test else (VALID if name_hash(s.id) % 10 == 0 else TRAIN) if s.id in train else UNUSED
    )
    return protocols, []


def _number(actor: str) -> int:
    """An actor's number; of other corpora's speakers, who have none, the hash of the name."""
    return int(actor) if actor.isdigit() else name_hash(actor)


def _in_fold(fold: int, sample: Sample) -> int:
    """The fold tests, the next one validates."""
    return {fold: TEST, (fold + 1) % 5: VALID}.get(_number(sample.group) % 5, TRAIN)


def _list(path: Path, grammar: Grammar) -> dict[str, str]:
    """``NAME,EMOTION`` without a header; labels must be those of the names."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = {row[0]: row[1] for row in csv.reader(file) if row}
    labels: Mapping[str, Any] = EMOTIONS if grammar.labels is None else grammar.labels
    for name, label in rows.items():
        parsed = grammar.parse(name)
        if parsed is None or (label in labels and labels[label] != parsed[1]):
            raise DataError(f"{path} must give every name its own emotion, found {name!r} with {label!r}.")
    return rows


READER = Reader(
    plan=plan_crema,
    options=CremaOptions,
    about="CREMA-D: 91 actors, 12 sentences, 6 acted emotions; sound and video",
    layout="AudioWAV/NAME.wav, VideoFlash/NAME.flv; for crema_d/legacy also train.csv and test.csv (NAME,EMOTION) as OGM-GE and G2D publish them",
    needs="git lfs clone of github.com/CheyneyComputerScience/CREMA-D (7.6 GB); its authors ask users to fill in a form",
    licence="Open Database License 1.0, contents Database Contents License 1.0",
)
