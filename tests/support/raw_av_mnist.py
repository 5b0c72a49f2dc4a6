"""Parts of AV-MNIST: idx files, recordings and noise, small or from development arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.media_files import tone, write_wav

IDX = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", 50),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 10),
}
"""MNIST with 60 pictures."""


def write_few_parts(
    folder: Path,
    speakers: tuple[str, ...] = ("ann", "bob", "cid"),
    takes: tuple[int, ...] = (0, 5, 10),
    noise: int = 6,
) -> Path:
    """Write pictures as :data:`IDX` lists them, short recordings, and clips of noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for images, labels, count in IDX.values():
        digit = (np.arange(count) % 10).astype(np.uint8)
        (folder / images).write_bytes(
            np.array([2051, count, 28, 28], ">u4").tobytes()
            + rng.integers(0, 256, count * 784).astype(np.uint8).tobytes()
        )
        (folder / labels).write_bytes(np.array([2049, count], ">u4").tobytes() + digit.tobytes())
    for speaker in speakers:
        for digit in range(10):
            for take in takes:
                write_wav(
                    folder / "recordings" / f"{digit}_{speaker}_{take}.wav",
                    tone(0.05, 8000, 200 + 40 * digit),
                    8000,
                )
    for i in range(noise):
        write_wav(
            folder / "noise" / f"clip{i}.wav",
            rng.integers(-3000, 3000, 4000).astype(np.int16),
            8000,
        )
    return folder


def write_raw_parts(pack: Path, folder: Path) -> None:
    """Write the public files behind development arrays: 4 idx files, 3,000 recordings, 6 clips."""
    import gzip

    folder.mkdir(parents=True, exist_ok=True)
    for split, images, labels in (
        ("train", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("test", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    ):
        with np.load(pack / f"mnist_{split}.npz", allow_pickle=False) as file:
            image, digit = file["image"], file["digit"]
        (folder / images).write_bytes(
            np.array([2051, *image.shape], ">u4").tobytes() + image.tobytes()
        )
        (folder / f"{labels}.gz").write_bytes(
            gzip.compress(
                np.array([2049, len(digit)], ">u4").tobytes() + digit.astype(np.uint8).tobytes()
            )
        )
    with np.load(pack / "spoken_digits_8khz.npz", allow_pickle=False) as file:
        spoken = {name: file[name] for name in file.files}
    for i, (digit, speaker, take) in enumerate(
        zip(spoken["digit"], spoken["speaker"], spoken["take"], strict=True)
    ):
        wave = spoken["waveform"][spoken["offset"][i] : spoken["offset"][i + 1]]
        write_wav(
            folder / "recordings" / f"{digit}_{spoken['speaker_name'][speaker]}_{take}.wav",
            wave,
            8000,
        )
    with np.load(pack / "noise_speech_commands_8khz.npz", allow_pickle=False) as file:
        for name, a, b in zip(file["name"], file["offset"][:-1], file["offset"][1:], strict=True):
            write_wav(folder / "noise" / f"{Path(str(name)).stem}.wav", file["waveform"][a:b], 8000)
    (folder / "recordings" / "7_jackson_99.wav").write_bytes(b"RIFF")
    write_wav(folder / "noise" / "zz_silent.wav", np.zeros(8000, np.int16), 8000)
