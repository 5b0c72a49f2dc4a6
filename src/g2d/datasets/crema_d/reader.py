"""CREMA-D: acted emotions in sound and video.

Cao et al., CREMA-D: crowd-sourced emotional multimodal actors dataset, IEEE Transactions on
Affective Computing 2014.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.data.views.pictures import IMAGENET_MEAN, IMAGENET_STD
from g2d.datasets.base import ReaderOptions
from g2d.datasets.decoding import read_audible
from g2d.datasets.folders import by_stem, counted, find_files, read_csv
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan, Sample, Skip, five_folds, name_hash, places
from g2d.prepare.media import CALLED, RESAMPLER, fit_length, read_frames, released_frames, spread

EMOTIONS = {"NEU": 0, "HAP": 1, "SAD": 2, "FEA": 3, "DIS": 4, "ANG": 5}
CLASSES = ("neutral", "happy", "sad", "fear", "disgust", "anger")
NAME = re.compile(
    r"(?P<actor>10\d\d)_(?P<sentence>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)"
    r"_(?P<level>LO|MD|HI|XX)"
)
"""Name of a clip: actor, sentence, emotion and its intensity."""
CLIPS = 7442
RATE = 22_050
"""Default samples per second of the stored sound."""
SECONDS = 3
"""Seconds of sound that are stored."""
SIDE = 256
"""Height and width of the stored frames, in pixels."""
LEGACY = "crema_d/legacy"
KNOWN_BAD = {
    "1076_MTI_NEU_XX": "the video is very short",
    "1076_MTI_SAD_XX": "sound and video are broken",
    "1064_TIE_SAD_XX": "the video has no duration",
    "1064_IEO_DIS_MD": "the video is a minute long and holds all emotions",
}
"""Clips that the maintainers list as broken, and why."""


class CremaOptions(ReaderOptions):
    """Options of ``g2d data prepare crema_d``."""

    frames: Annotated[int, Field(ge=1)] | Literal["legacy"] = Field(
        3, description="evenly spaced frames per clip; legacy: the one of the paper's released code"
    )
    rate: int = Field(RATE, ge=4000, description="samples per second of the stored sound")
    keep_known_bad: bool = Field(False, description="keep four clips that are listed as broken")


def plan_crema(source: Path, options: CremaOptions) -> Plan:
    """Plan a store from ``AudioWAV/NAME.wav`` (or ``AudioMP3``) and ``VideoFlash/NAME.flv``.

    Raises:
        DataError: There is neither sound nor video, or a list of the legacy split is damaged.
    """
    files, warnings = _files(source)
    samples, skipped, unknown = [], [], []
    for name in sorted(set[str]().union(*files.values()), key=os.fsencode):
        parts = NAME.fullmatch(name)
        missing = [m for m, paths in files.items() if name not in paths]
        if parts is None:
            unknown.append(name)
        elif name in KNOWN_BAD and not options.keep_known_bad:
            skipped.append(Skip(name, "known-bad", KNOWN_BAD[name]))
        elif missing:
            skipped.append(Skip(name, "missing-file", f"no {CALLED[missing[0]]}"))
        else:
            paths = tuple(paths[name] for paths in files.values())
            notes = {key: parts[key] for key in ("sentence", "level")}
            label = EMOTIONS[parts["emotion"]]
            samples.append(Sample(name, label, parts["actor"], paths, notes=notes))
    warnings += counted(unknown, "files without the name of a clip are ignored")
    protocols, list_warnings = _protocols(source, samples, {skip.id for skip in skipped})
    frames = 1 if isinstance(options.frames, str) else options.frames
    known = signals(options.rate, frames)
    return Plan(
        name="crema_d",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals={m: signal for m, signal in known.items() if m in files},
        samples=samples,
        decode=CremaDecode(options.rate, options.frames, tuple(files)),
        protocols=protocols,
        skipped=skipped,
        parameters=options.model_dump() | {"resampler": RESAMPLER, "side": SIDE},
        report={"actors": dict(Counter(sample.group for sample in samples))},
        warnings=(*warnings, *list_warnings),
        missing=tuple(m for m in known if m not in files),
        official=CLIPS,
    )


def _files(source: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Find the files of each modality by name; MP3 files only count if there are no WAV files.

    Returns:
        The files of the modalities that have any, and warnings.
    """
    wav, mp3 = (find_files(source / f"Audio{kind.upper()}", f".{kind}") for kind in ("wav", "mp3"))
    sound, sound_warnings = by_stem(source, wav or mp3)
    pictures, picture_warnings = by_stem(source, find_files(source / "VideoFlash", ".flv"))
    if not sound and not pictures:
        raise DataError(
            f"{source} must hold AudioWAV/*.wav and VideoFlash/*.flv, found neither. "
            "Clone CheyneyComputerScience/CREMA-D with Git LFS."
        )
    warnings = ["there is no AudioWAV/*.wav: sound comes from AudioMP3"] if mp3 and not wav else []
    files = {m: paths for m, paths in (("audio", sound), ("video", pictures)) if paths}
    return files, [*warnings, *sound_warnings, *picture_warnings]


def signals(rate: int, frames: int) -> dict[str, Signal]:
    """Return the stored signals: sound seen as a log spectrogram, and frames.

    At 22,050 Hz the spectrogram has 257 x 188 values. One of the stored frames is seen; it is
    cropped and flipped at random in training.

    Args:
        rate: Samples of sound per second.
        frames: Frames per clip.
    """
    spectrogram = {"name": "log_spectrogram", "n_fft": 512, "hop": 353}
    picture = (
        {"name": "pixels", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        {"name": "frames", "count": 1},
        {"name": "crop", "size": 224},
        {"name": "flip"},
    )
    return {
        "audio": Signal("audio", "int16", (SECONDS * rate,), (spectrogram,), {"rate": rate}),
        "video": Signal("video", "uint8", (frames, SIDE, SIDE, 3), picture),
    }


@dataclass(frozen=True)
class CremaDecode:
    """Decoder of a clip's sound, repeated to three seconds, and frames.

    Args:
        rate: Samples of sound per second.
        frames: Number of frames, or ``"legacy"``.
        modalities: Modalities in the order of a sample's files.
    """

    rate: int
    frames: int | str
    modalities: tuple[str, ...] = ("audio", "video")

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the sound ``(3 * rate,)`` and the frames ``(T, 256, 256, 3)`` of a clip."""
        warnings: list[str] = []
        read = {"audio": self._sound, "video": self._frames}
        values = {
            m: read[m](source / file, warnings)
            for m, file in zip(self.modalities, sample.files, strict=True)
        }
        return Decoded(values, warnings=tuple(warnings))

    def _sound(self, path: Path, warnings: list[str]) -> NDArray[Any]:
        """Read the sound, and warn if it is much longer than what is stored."""
        samples = read_audible(path, self.rate, warnings)
        if len(samples) > SECONDS * self.rate * 1.5:
            seconds = len(samples) / self.rate
            warnings.append(f"{seconds:.2f} s of sound, of which the first {SECONDS} are stored")
        return fit_length(samples, SECONDS * self.rate, repeat=True)

    def _frames(self, path: Path, warnings: list[str]) -> NDArray[Any]:
        """Read the frames that the options select."""
        pick = released_frames(1) if isinstance(self.frames, str) else spread(self.frames)
        return read_frames(path, pick, (SIDE, SIDE), warnings=warnings)


def _protocols(
    source: Path, samples: list[Sample], skipped: Collection[str]
) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """Split by the last digit of the actors' numbers, and by the literature's lists if present.

    Returns:
        The protocols, and warnings.
    """
    protocols = {
        "crema_d/actor-disjoint-v1": places(
            samples, lambda s: {0: TEST, 5: VALID}.get(int(s.group) % 10, TRAIN)
        )
    }
    protocols |= five_folds("crema_d/actor-5fold-v1", samples, lambda s: int(s.group))
    lists = [source / f"{split}.csv" for split in ("train", "test")]
    if absent := [path.name for path in lists if not path.exists()]:
        return protocols, [f"{LEGACY} is left out: there is no list {' and no '.join(absent)}"]
    (train, train_warnings), (test, test_warnings) = map(_read_list, lists)
    if both := train & test:
        raise DataError(
            f"train.csv and test.csv must not share names, found {len(both)}, such as {min(both)}."
        )
    protocols[LEGACY] = places(samples, lambda s: _listed(s, train, test))
    listed, names = train | test, {sample.id for sample in samples}
    return protocols, [
        *counted(sorted(listed - names - {*skipped}), f"clips listed for {LEGACY} are missing"),
        *counted(sorted(names - listed), f"clips are in no list of {LEGACY} and unused there"),
        *train_warnings,
        *test_warnings,
    ]


def _listed(sample: Sample, train: Collection[str], test: Collection[str]) -> int:
    """Return the split of a sample in the lists; a tenth of the training clips validates."""
    if sample.id in test:
        return TEST
    if sample.id not in train:
        return UNUSED
    return VALID if name_hash(sample.id) % 10 == 0 else TRAIN


def _read_list(path: Path) -> tuple[set[str], list[str]]:
    """Read a list ``NAME,EMOTION`` without a header, whose emotions must be those of the names.

    Returns:
        The names, and a warning if some are repeated.
    """
    names: list[str] = []
    for number, cells in read_csv(path):
        parts = NAME.fullmatch(cells[0])
        if len(cells) != 2 or parts is None or parts["emotion"] != cells[1]:
            raise DataError(
                f"line {number} of {path} must be a clip's name and its own emotion, "
                f"found {','.join(cells)[:100]!r}."
            )
        names.append(cells[0])
    if not names:
        raise DataError(
            f"{path} must list clips as NAME,EMOTION, found none. Download it, or move it away."
        )
    repeated = len(names) - len(set(names))
    return set(names), [f"{repeated} lines of {path.name} repeat a name"] if repeated else []
