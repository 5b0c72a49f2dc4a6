"""Read the parts of AV-MNIST from their public files.

These are MNIST's idx files, the wav files of the Free Spoken Digit Dataset, and any folder of wav
files with noise.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2d.data.splits import SPLITS
from g2d.datasets.av_mnist.parts import (
    RATE,
    Parts,
    noise_pools,
    picture_pools,
    pools_by_speaker,
    pools_by_take,
)
from g2d.datasets.folders import find_file, find_files, printable
from g2d.errors import DataError, UnreadableError
from g2d.prepare.media import read_audio

Pool = Literal["take", "speaker"]
"""Facts that recordings of different splits do not share."""
RECORDING = r"([0-9])_([a-z]+)_([0-9]{1,9})"
"""Name of a recording: digit, speaker, take."""
SHORTEST = 8
"""Smallest number of samples of a sound: a millisecond, so that noise can be cut in three."""
IMAGES, LABELS = 2051, 2049
"""Magic numbers of idx files: unsigned bytes in three axes and in one."""
IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000),
}
"""Per split of MNIST the names of its files and the number of pictures."""


def read_parts(source: Path, pool: Pool) -> tuple[Parts, dict[str, Any], list[str]]:
    """Read the parts.

    Args:
        source: Folder with MNIST's files and the folders ``recordings`` and ``noise``.
        pool: What recordings of different splits do not share.

    Returns:
        The parts, counts for the report, and warnings for the user.

    Raises:
        DataError: A part is missing or is not what it should be.
    """
    warnings: list[str] = []
    parts = _read(source, pool, warnings)
    parts.check()
    report = {
        "recordings": {
            split: int((parts.speech_pool == p).sum()) for p, split in enumerate(SPLITS)
        },
        "noise": {split: len(parts.noise[p]) for p, split in enumerate(SPLITS)},
        "noise_files": list(parts.noise_name),
    }
    if len(parts.noise_name) < 5:
        warnings.insert(
            0, "fewer than five noise files: each is cut in time, 60 % train, 20 % valid, 20 % test"
        )
    return parts, report, warnings


def _read(source: Path, pool: Pool, warnings: list[str]) -> Parts:
    pictures, digits = [], []
    for images, labels, count in IDX.values():
        pictures.append(read_idx(_idx_file(source, images), IMAGES, (count, 28, 28)))
        digits.append(read_idx(_idx_file(source, labels), LABELS, (count,)))
    spoken = _recordings(source / "recordings", warnings)
    noise = _noise(source / "noise", warnings)
    keys = sorted(spoken, key=lambda key: (key[1], key[0], key[2]))
    names = sorted({name for _, name, _ in spoken})
    speaker = np.array([names.index(name) for _, name, _ in keys])
    take = np.array([take for _, _, take in keys])
    return Parts(
        picture=np.concatenate(pictures),
        picture_digit=np.concatenate(digits),
        picture_pool=picture_pools(*map(len, digits)),
        speech=[spoken[key] for key in keys],
        speech_digit=np.array([digit for digit, _, _ in keys], np.uint8),
        speaker=speaker,
        take=take,
        speaker_name=names,
        speech_pool=pools_by_take(take) if pool == "take" else pools_by_speaker(speaker, names),
        noise=noise_pools(list(noise.values())),
        noise_name=list(noise),
    )


def _idx_file(source: Path, name: str) -> Path:
    dotted = name.replace("-idx", ".idx")
    for candidate in (f"{name}.gz", name, dotted, f"{dotted}.gz"):
        path = find_file(source, candidate)
        if path is not None:
            return path
    raise DataError(
        f"{source} must hold MNIST's {name} (or {name}.gz), found neither; nor "
        "avmnist/train_labels.npy of the circulating copy."
    )


def read_idx(path: Path, magic: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, gzipped or plain.

    Args:
        path: The file.
        magic: Magic number that it must begin with.
        shape: Shape that its array must have.

    Raises:
        DataError: It is not what MNIST's is, to the byte.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a gzipped idx file, found damage: {error}. Download it again."
        ) from error
    header = 4 * (1 + len(shape))
    expected = header + int(np.prod(shape))
    numbers = np.frombuffer(raw[:header], ">u4").tolist() if len(raw) >= header else []
    if len(raw) != expected or numbers != [magic, *shape]:
        raise DataError(
            f"{path} must be {expected} bytes with the magic number {magic} and "
            f"{' x '.join(map(str, shape))}, found {len(raw)} bytes and {numbers}."
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _recordings(folder: Path, warnings: list[str]) -> dict[tuple[int, str, int], NDArray[np.int16]]:
    """Read recordings by digit, speaker and take.

    If leading zeros give two files the same take, the first one in bytewise order counts.
    """
    recordings: dict[tuple[int, str, int], NDArray[np.int16]] = {}
    ignored = []
    for path in find_files(folder, ".wav"):
        name = re.fullmatch(RECORDING, path.stem)
        if name is None:
            ignored.append(printable(path.name))
        elif (key := (int(name[1]), name[2], int(name[3]))) in recordings:
            warnings.append(
                f"{path.name} is skipped: another file is the same take, and the first in "
                "bytewise order counts"
            )
        elif (sound := _sound(path, warnings)) is not None:
            recordings[key] = sound
    if ignored:
        warnings.append(
            f"{len(ignored)} files such as {ignored[0]} are ignored: recordings are called "
            "DIGIT_SPEAKER_TAKE.wav"
        )
    if not recordings:
        raise DataError(
            f"{folder} must hold recordings DIGIT_SPEAKER_TAKE.wav of the Free Spoken Digit "
            "Dataset, found none."
        )
    return recordings


def _noise(folder: Path, warnings: list[str]) -> dict[str, NDArray[np.int16]]:
    """Read clips of noise by name, in order of names."""
    clips: dict[str, NDArray[np.int16]] = {}
    for path in find_files(folder, ".wav"):
        if (sound := _sound(path, warnings)) is not None:
            clips[printable(path.relative_to(folder).as_posix())] = sound
    if not clips:
        raise DataError(
            f"{folder} must hold wav files of noise, five or more, found none that can be heard."
        )
    return clips


def _sound(path: Path, warnings: list[str]) -> NDArray[np.int16] | None:
    """Return a file's sound, or None and a warning if it has none."""
    sentences: list[str] = []
    sound = None
    try:
        sound = read_audio(path, RATE, sentences)
        if len(sound) < SHORTEST or not sound.any():
            silent = len(sound) >= SHORTEST
            sentences.append(
                f"skipped: {'it is silent' if silent else 'it is shorter than a millisecond'}"
            )
            sound = None
    except UnreadableError as error:
        sentences.append(f"skipped: {error.reason} {error.detail}")
    warnings.extend(f"{printable(path.name)}: {sentence}" for sentence in sentences)
    return sound
