"""The parts of AV-MNIST from their public files: MNIST's idx files, the Free Spoken Digit Dataset's and any folder of noise's wav files."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.datasets.av_mnist.parts import (
    RATE,
    Parts,
    noise_pools,
    picture_pools,
    pools_by_speaker,
    pools_by_take,
    read_pack,
)
from g2d.datasets.folders import find_file, find_files, printable
from g2d.errors import DataError, UnreadableError
from g2d.prepare.media import read_audio

RECORDING = r"([0-9])_([a-z]+)_([0-9]{1,9})"
SHORTEST = 8
"""Samples that sound must have; a millisecond, so that noise can be cut in three."""
SPLITS = ("train", "valid", "test")
IMAGES, LABELS = 2051, 2049
"""Magic numbers of idx files: unsigned bytes in three axes, in one."""
IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),
}


def read_parts(source: Path, pool: str) -> tuple[Parts, dict[str, Any], list[str]]:
    """The parts, what was counted, and what a user should know.

    Args:
        pool: ``"take"`` or ``"speaker"``, what recordings of two splits do not share.

    Raises:
        DataError: a part is not there or is not what it should be.
    """
    told: list[str] = []
    parts = read_pack(source) if (source / "mnist_train.npz").is_file() else _raw(source, told)
    if pool in BY:
        parts.speech_pool = BY[pool](parts)
    _whole(parts)
    report = {
        "recordings": {
            split: int((parts.speech_pool == p).sum()) for p, split in enumerate(SPLITS)
        },
        "noise": {split: len(parts.noise[p]) for p, split in enumerate(SPLITS)},
        "noise_files": list(parts.noise_name),
    }
    if len(parts.noise_name) < 5:
        told.insert(
            0, "fewer than five noise files: each is cut in time, 60 % train, 20 % valid, 20 % test"
        )
    return parts, report, told


def _by_speaker(parts: Parts) -> NDArray[np.int64]:
    return pools_by_speaker(parts.speaker, parts.speaker_name)


BY = {"speaker": _by_speaker}
"""How recordings are divided where it is not by takes."""


def _whole(parts: Parts) -> None:
    """Every picture must find a recording of its digit."""
    for what, digits in (
        ("MNIST's labels", parts.picture_digit),
        ("recordings", parts.speech_digit),
    ):
        if digits.max(initial=0) > 9:
            raise DataError(f"{what} must be digits from 0 to 9, found {digits.max()}.")
    for pool, split in enumerate(SPLITS):
        if absent := set(range(10)) - set(parts.speech_digit[parts.speech_pool == pool].tolist()):
            raise DataError(
                f"recordings must hold every digit for train, valid and test, found none of {min(absent)} for {split}. "
                "Takes 0-4 are test, 5-9 valid, those from 10 on train; by pool=speaker the last speaker is test, the one before valid, the others train."
            )


def _raw(source: Path, told: list[str]) -> Parts:
    pictures = {
        split: read_idx(_idx_file(source, images), IMAGES, (count, 28, 28))
        for split, (images, _, count) in IDX.items()
    }
    digits = {
        split: read_idx(_idx_file(source, labels), LABELS, (count,))
        for split, (_, labels, count) in IDX.items()
    }
    spoken, noise = _recordings(source / "recordings", told), _noise(source / "noise", told)
    keys = sorted(spoken, key=lambda key: (key[1], key[0], key[2]))
    speakers = sorted({speaker for _, speaker, _ in spoken})
    take = np.array([key[2] for key in keys])
    return Parts(
        picture=np.concatenate([pictures["train"], pictures["test"]]),
        picture_digit=np.concatenate([digits["train"], digits["test"]]),
        picture_pool=picture_pools(len(digits["train"]), len(digits["test"])),
        speech=np.concatenate([spoken[key] for key in keys]),
        offset=np.cumsum([0, *(len(spoken[key]) for key in keys)]),
        speech_digit=np.array([key[0] for key in keys], np.uint8),
        speaker=np.array([speakers.index(key[1]) for key in keys]),
        take=take,
        speaker_name=speakers,
        speech_pool=pools_by_take(take),
        noise=noise_pools(list(noise.values())),
        noise_name=list(noise),
    )


def _idx_file(source: Path, name: str) -> Path:
    for candidate in (
        f"{name}.gz",
        name,
        name.replace("-idx", ".idx"),
        f"{name.replace('-idx', '.idx')}.gz",
    ):
        path = find_file(source, candidate)
        if path is not None:
            return path
    raise DataError(
        f"{source} must hold MNIST's {name} (or {name}.gz), found none; nor avmnist/train_labels.npy of the circulating copy."
    )


def read_idx(path: Path, magic: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes, gzipped or plain.

    Raises:
        DataError: it is not what MNIST's is, to the byte.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a gzipped idx file, found damage: {error}. Fetch it again."
        ) from error
    header = 4 * (1 + len(shape))
    expected = header + int(np.prod(shape))
    numbers = np.frombuffer(raw[:header], ">u4").tolist() if len(raw) >= header else []
    if len(raw) != expected or numbers != [magic, *shape]:
        raise DataError(
            f"{path} must be {expected} bytes with the magic number {magic} and {' x '.join(map(str, shape))}, found {len(raw)} bytes and {numbers}."
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _recordings(folder: Path, told: list[str]) -> dict[tuple[int, str, int], NDArray[np.int16]]:
    """By digit, speaker and take; where leading zeros make two files of one take the first counts, bytewise."""
    found: dict[tuple[int, str, int], NDArray[np.int16]] = {}
    strange = []
    for path in find_files(folder, ".wav"):
        name = re.fullmatch(RECORDING, path.stem)
        if name is None:
            strange.append(printable(path.name))
        elif (key := (int(name[1]), name[2], int(name[3]))) in found:
            told.append(
                f"{path.name} is left out: another file is the same take, and the first in bytewise order counts"
            )
        elif (sound := _heard(path, told)) is not None:
            found[key] = sound
    if strange:
        told.append(
            f"{len(strange)} files such as {strange[0]} are left alone: recordings are called DIGIT_SPEAKER_TAKE.wav"
        )
    if not found:
        raise DataError(
            f"{folder} must hold recordings DIGIT_SPEAKER_TAKE.wav of the Free Spoken Digit Dataset, found none."
        )
    return found


def _noise(folder: Path, told: list[str]) -> dict[str, NDArray[np.int16]]:
    """By name, in order of names."""
    found = {
        printable(path.relative_to(folder).as_posix()): _heard(path, told)
        for path in find_files(folder, ".wav")
    }
    sounding = {name: sound for name, sound in found.items() if sound is not None}
    if not sounding:
        raise DataError(
            f"{folder} must hold wav files of noise, five or more, found none that sounds."
        )
    return sounding


def _heard(path: Path, told: list[str]) -> NDArray[np.int16] | None:
    """A file's sound, and what is odd about it; None where there is none."""
    said: list[str] = []
    sound = None
    try:
        sound = read_audio(path, RATE, said)
        if len(sound) < SHORTEST or not sound.any():
            said.append(
                f"left out: {'it is silent' if len(sound) >= SHORTEST else 'it is shorter than a millisecond'}"
            )
            sound = None
    except UnreadableError as error:
        said.append(f"left out: {error.reason} {error.detail}")
    told.extend(f"{printable(path.name)}: {sentence}" for sentence in said)
    return sound
