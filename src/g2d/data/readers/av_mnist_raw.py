"""The parts of AV-MNIST from their public files: MNIST's idx files, the Free Spoken Digit Dataset's and any folder of noise's wav files."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.media import read_audio
from g2d.data.parts import RATE, Parts, noise_pools, picture_pools, pools_by_speaker, pools_by_take, read_pack
from g2d.data.readers.base import find_file
from g2d.data.store.plan import UnreadableError
from g2d.errors import DataError

RECORDING = r"^(\d)_([a-z]+)_(\d+)$"
IMAGES, LABELS = 2051, 2049
"""Magic numbers of idx files: unsigned bytes in three axes, in one."""
IDX = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 60_000), "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10_000)}


def read_parts(source: Path, pool: str) -> tuple[Parts, dict[str, Any], list[str]]:
    """The parts, what was counted, and what a user should know.

    Args:
        pool: ``"take"`` or ``"speaker"``, what recordings of two splits do not share.

    Raises:
        DataError: a part is not there or is not what it should be.
    """
    if (source / "mnist_train.npz").is_file():
        parts = read_pack(source)
        skipped: list[str] = []
        names = [f"{i}" for i in range(sum(map(len, parts.noise.values())))]
    else:
        parts, names, skipped = _raw(source)
    if pool in BY:
        parts.speech_pool = BY[pool](parts)
    report = {
        "recordings": {split: int((parts.speech_pool == p).sum()) for p, split in enumerate(("train", "valid", "test"))},
        "noise": {split: len(parts.noise[p]) for p, split in enumerate(("train", "valid", "test"))},
        "noise_files": names,
    }
    few = ["fewer than five noise files: each is cut in time, 60 % train, 20 % valid, 20 % test"] if len(names) < 5 else []
    return parts, report, [*few, *skipped]


def _by_speaker(parts: Parts) -> NDArray[np.int64]:
    return pools_by_speaker(parts.speaker, parts.speaker_name)


BY = {"speaker": _by_speaker}
"""How recordings are divided where it is not by takes."""


def _raw(source: Path) -> tuple[Parts, list[str], list[str]]:
    pictures = {split: read_idx(_idx_file(source, images), IMAGES, (count, 28, 28)) for split, (images, _, count) in IDX.items()}
    digits = {split: read_idx(_idx_file(source, labels), LABELS, (count,)) for split, (_, labels, count) in IDX.items()}
    spoken, broken = _recordings(source / "recordings")
    clips, names, silent = _noise(source / "noise")
    speakers = sorted({speaker for _, speaker, _ in spoken})
    waves = [wave for _, wave in sorted(spoken.items(), key=lambda item: (item[0][1], item[0][0], item[0][2]))]
    keys = sorted(spoken, key=lambda key: (key[1], key[0], key[2]))
    take = np.array([key[2] for key in keys], np.uint8)
    parts = Parts(
        picture=np.concatenate([pictures["train"], pictures["test"]]),
        picture_digit=np.concatenate([digits["train"], digits["test"]]),
        picture_pool=picture_pools(len(digits["train"]), len(digits["test"])),
        speech=np.concatenate(waves),
        offset=np.cumsum([0, *map(len, waves)]),
        speech_digit=np.array([key[0] for key in keys], np.uint8),
        speaker=np.array([speakers.index(key[1]) for key in keys], np.uint8),
        take=take,
        speaker_name=speakers,
        speech_pool=pools_by_take(take),
        noise=noise_pools(clips),
    )
    for digit in range(10):
        there = {int(pool) for pool in parts.speech_pool[parts.speech_digit == digit]}
        if there != {0, 1, 2}:
            raise DataError(f"recordings must hold takes of every digit for train (10-49), valid (5-9) and test (0-4), found some missing for {digit}.")
    return parts, names, [*broken, *silent]


def _idx_file(source: Path, name: str) -> Path:
    for candidate in (f"{name}.gz", name, name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"):
        path = find_file(source, candidate)
        if path is not None:
            return path
    raise DataError(f"{source} must hold MNIST's {name} (or {name}.gz), found none; nor avmnist/train_labels.npy of the circulating copy.")


def read_idx(path: Path, magic: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes, gzipped or plain.

    Raises:
        DataError: it is not what MNIST's is, to the byte.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} must be a gzipped idx file, found damage: {error}. Fetch it again.") from error
    header = 4 * (1 + len(shape))
    expected = header + int(np.prod(shape))
    numbers = np.frombuffer(raw[:header], ">u4").tolist() if len(raw) >= header else []
    if len(raw) != expected or numbers != [magic, *shape]:
        raise DataError(
            f"{path} must be {expected} bytes with the magic number {magic} and {' x '.join(map(str, shape))}, found {len(raw)} bytes and {numbers}."
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _recordings(folder: Path) -> tuple[dict[tuple[int, str, int], NDArray[np.int16]], list[str]]:
    found, broken = {}, []
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name.encode()):
        name = re.match(RECORDING, path.stem)
        if name is None:
            broken.append(f"{path.name} is left alone: recordings are called DIGIT_SPEAKER_TAKE.wav")
            continue
        try:
            told: list[str] = []
            found[int(name[1]), name[2], int(name[3])] = read_audio(path, RATE, told)
            broken += [f"{path.name}: {sentence}" for sentence in told]
        except UnreadableError as error:
            broken.append(f"{path.name} is left out: {error.reason} {error.detail}")
    if not found:
        raise DataError(f"{folder} must hold recordings DIGIT_SPEAKER_TAKE.wav of the Free Spoken Digit Dataset, found none.")
    return found, broken


def _noise(folder: Path) -> tuple[list[NDArray[np.int16]], list[str], list[str]]:
    clips, names, silent = [], [], []
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name.encode()):
        try:
            clip = read_audio(path, RATE)
        except UnreadableError as error:
            silent.append(f"{path.name} is left out: {error.reason} {error.detail}")
            continue
        if not clip.any():
            silent.append(f"{path.name} is left out: it is silent")
            continue
        clips.append(clip)
        names.append(path.name)
    if not clips:
        raise DataError(f"{folder} must hold wav files of noise, five or more, found none that sounds.")
    return clips, names, silent
