"""CREMA-D: acted emotions, seen and heard (Cao et al., IEEE Transactions on Affective Computing 2014)."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.data.views.pictures import IMAGENET_MEAN, IMAGENET_STD
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import by_stem, find_files, printable, read_csv
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, Skip, name_hash, places
from g2d.prepare.media import (
    CALLED,
    RESAMPLER,
    fit_length,
    is_silent,
    read_audio,
    read_frames,
    released_frames,
    spread,
)

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
        pattern: groups ``actor`` and ``label``; others are kept as notes. labels: class numbers by what the name says. classes: their names.
        clips: how many the whole corpus has; 0 if that is not known.
    """

    pattern: str = r"^(?P<actor>10\d\d)_(?P<sentence>[A-Z]{3})_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX)$"
    labels: Mapping[str, int] | None = None
    classes: tuple[str, ...] = CLASSES
    clips: int = CLIPS

    def parse(self, name: str) -> tuple[str, int, dict[str, str]] | None:
        """Actor, class and what else a clip's name says; None if it is no such name.

        Example:
            >>> Grammar().parse("1001_DFA_ANG_XX")
            ('1001', 5, {'sentence': 'DFA', 'level': 'XX'})
        """
        found = re.fullmatch(self.pattern, name)
        if found is None or found["label"] not in self.numbers:
            return None
        said = found.groupdict()
        return said.pop("actor"), self.numbers[said.pop("label")], said

    @property
    def numbers(self) -> Mapping[str, int]:
        """Of the classes, by what names call them."""
        return EMOTIONS if self.labels is None else self.labels


class CremaOptions(ReaderOptions):
    """What ``g2d data prepare crema_d`` can be told."""

    frames: Annotated[int, Field(ge=1)] | Literal["legacy"] = Field(
        3,
        description="stored per clip, evenly spread; legacy: the one that the paper's released code sees",
    )
    rate: int = Field(RATE, ge=4000, description="samples per second of sound")
    keep_known_bad: bool = Field(
        False, description="keep the four clips that the maintainers list as broken"
    )


def plan_crema(source: Path, options: CremaOptions, grammar: Grammar | None = None) -> Plan:
    """``AudioWAV/NAME.wav`` (else ``AudioMP3``) and ``VideoFlash/NAME.flv``, paired by name."""
    grammar = grammar or Grammar()
    found, warnings = _files(source)
    samples, skipped, strange = [], [], []
    for name in sorted(set[str]().union(*found.values()), key=os.fsencode):
        parsed = grammar.parse(name)
        lacking = [m for m, files in found.items() if name not in files]
        if parsed is None:
            strange.append(name)
        elif name in KNOWN_BAD and not options.keep_known_bad:
            skipped.append(Skip(name, "known-bad", KNOWN_BAD[name]))
        elif lacking:
            skipped.append(Skip(name, "missing-file", f"no {CALLED[lacking[0]]}"))
        else:
            actor, label, notes = parsed
            samples.append(
                Sample(
                    name, label, actor, tuple(files[name] for files in found.values()), notes=notes
                )
            )
    if strange:
        warnings.append(
            f"{len(strange)} files whose names are not those of clips are left alone, such as {printable(strange[0])}"
        )
    protocols, told = _protocols(source, samples, {skip.id for skip in skipped}, grammar)
    frames = 1 if isinstance(options.frames, str) else options.frames
    return Plan(
        name="crema_d",
        task={"kind": "classification", "classes": list(grammar.classes)},
        signals={m: signal for m, signal in signals(options.rate, frames).items() if m in found},
        samples=samples,
        decode=CremaDecode(options.rate, options.frames, tuple(found)),
        protocols=protocols,
        skipped=skipped,
        parameters=options.model_dump() | {"resampler": RESAMPLER, "side": SIDE},
        report={"actors": dict(Counter(sample.group for sample in samples))},
        warnings=(*warnings, *told),
        missing=tuple(m for m in ("audio", "video") if m not in found),
        official=grammar.clips,
    )


def _files(source: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Per modality of which there is anything at all its files by name; MP3 only where there is no WAV."""
    wav, mp3 = (find_files(source / f"Audio{kind.upper()}", f".{kind}") for kind in ("wav", "mp3"))
    sound, twice = by_stem(source, wav or mp3)
    pictures, also = by_stem(source, find_files(source / "VideoFlash", ".flv"))
    if not sound and not pictures:
        raise DataError(
            f"{source} must hold AudioWAV/*.wav and VideoFlash/*.flv, found neither. Clone CheyneyComputerScience/CREMA-D with Git LFS."
        )
    told = [] if wav or not mp3 else ["there is no AudioWAV/*.wav: sound comes from AudioMP3"]
    return {m: files for m, files in (("audio", sound), ("video", pictures)) if files}, [
        *told,
        *twice,
        *also,
    ]


def signals(rate: int, frames: int) -> dict[str, Signal]:
    """257 x 188 log spectrograms at 22,050 Hz; one frame of those stored, cropped and flipped in training."""
    picture = (
        {"name": "pixels", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        {"name": "frames", "count": 1},
        {"name": "crop", "size": 224},
        {"name": "flip"},
    )
    return {
        "audio": Signal(
            "audio",
            "int16",
            (3 * rate,),
            ({"name": "log_spectrogram", "n_fft": 512, "hop": 353},),
            {"rate": rate},
        ),
        "video": Signal("video", "uint8", (frames, SIDE, SIDE, 3), picture),
    }


@dataclass(frozen=True)
class CremaDecode:
    """Sound repeated to three seconds, and the frames: of the modalities that there are, in the order of a sample's files."""

    rate: int
    frames: int | str
    modalities: tuple[str, ...] = ("audio", "video")

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        told: list[str] = []
        read = {"audio": self._sound, "video": self._pictures}
        values = {
            m: read[m](source / file, told)
            for m, file in zip(self.modalities, sample.files, strict=True)
        }
        return Decoded(values, warnings=tuple(told))

    def _sound(self, path: Path, told: list[str]) -> NDArray[Any]:
        samples = read_audio(path, self.rate, told)
        if is_silent(samples):
            raise UnreadableError("no-audio", "its peak is under a thousandth of full scale")
        if len(samples) > 3 * self.rate * 1.5:
            told.append(
                f"{len(samples) / self.rate:.2f} s of sound, all after the third is left out"
            )
        return fit_length(samples, 3 * self.rate, repeat=True)

    def _pictures(self, path: Path, told: list[str]) -> NDArray[Any]:
        pick = released_frames(1) if isinstance(self.frames, str) else spread(self.frames)
        return read_frames(path, pick, (SIDE, SIDE), warnings=told)


def _protocols(
    source: Path, samples: list[Sample], skipped: Collection[str], grammar: Grammar
) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """Actors by the last digits of their numbers; the field's split where a user holds its lists."""
    protocols = {
        "crema_d/actor-disjoint-v1": places(
            samples, lambda s: {0: TEST, 5: VALID}.get(_number(s.group) % 10, TRAIN)
        )
    }
    for fold in range(5):
        protocols[f"crema_d/actor-5fold-v1?fold={fold}"] = places(samples, partial(_in_fold, fold))
    lists = [source / f"{split}.csv" for split in ("train", "test")]
    if absent := [path.name for path in lists if not path.exists()]:
        lacks = "found none" if len(absent) == 2 else f"{absent[0]} is missing"
        return protocols, [
            f"crema_d/legacy needs the field's lists train.csv and test.csv in the source folder, {lacks}: that protocol is left out"
        ]
    (train, told), (test, also) = (_list(path, grammar) for path in lists)
    if both := train & test:
        raise DataError(
            f"train.csv and test.csv must not share names, found {len(both)}, such as {min(both)}."
        )
    protocols["crema_d/legacy"] = places(
        samples,
        lambda s: (
            TEST
            if s.id in test
            else (VALID if name_hash(s.id) % 10 == 0 else TRAIN)
            if s.id in train
            else UNUSED
        ),
    )
    here, listed = {sample.id for sample in samples}, train | test
    if absent := sorted(listed - here - set(skipped)):
        told.append(
            f"{len(absent)} clips of crema_d/legacy's lists are not there, such as {absent[0]}"
        )
    if beside := sorted(here - listed):
        told.append(
            f"{len(beside)} clips stand in neither list of crema_d/legacy, which leaves them unused, such as {beside[0]}"
        )
    return protocols, [*told, *also]


def _number(actor: str) -> int:
    """An actor's number; of other corpora's speakers, who have none, the hash of the name."""
    return int(actor) if actor.isdecimal() else name_hash(actor)


def _in_fold(fold: int, sample: Sample) -> int:
    """The fold tests, the next one validates."""
    return {fold: TEST, (fold + 1) % 5: VALID}.get(_number(sample.group) % 5, TRAIN)


def _list(path: Path, grammar: Grammar) -> tuple[set[str], list[str]]:
    """The names of a list ``NAME,EMOTION`` without a header, whose emotions must be those of the names; and what is odd about it."""
    names: list[str] = []
    for number, cells in read_csv(path):
        parsed = grammar.parse(cells[0])
        if len(cells) != 2 or parsed is None or grammar.numbers.get(cells[1]) != parsed[1]:
            raise DataError(
                f"line {number} of {path} must be a clip's name and its own emotion, found {','.join(cells)[:100]!r}."
            )
        names.append(cells[0])
    if not names:
        raise DataError(
            f"{path} must list clips as NAME,EMOTION, found none. Fetch it again, or move it away to do without crema_d/legacy."
        )
    twice = len(names) - len(set(names))
    return set(names), [f"{twice} lines of {path.name} repeat a name"] if twice else []
