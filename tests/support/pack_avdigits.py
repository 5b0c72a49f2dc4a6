"""The parts of AV-MNIST from the arrays of the pack ``avdigits-raw``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g2d.data.store.arrays import read_npz
from g2d.datasets.av_mnist.parts import Parts, noise_pools, picture_pools, pools_by_take


def read_pack(folder: Path) -> Parts:
    """Return the parts, divided by takes as the public files are."""
    train, test = (read_npz(folder / f"mnist_{name}.npz") for name in ("train", "test"))
    spoken = read_npz(folder / "spoken_digits_8khz.npz")
    noise = read_npz(folder / "noise_speech_commands_8khz.npz")
    return Parts(
        picture=np.concatenate([train["image"], test["image"]]),
        picture_digit=np.concatenate([train["digit"], test["digit"]]),
        picture_pool=picture_pools(len(train["digit"]), len(test["digit"])),
        speech=np.split(spoken["waveform"], spoken["offset"][1:-1]),
        speech_digit=spoken["digit"],
        speaker=spoken["speaker"],
        take=spoken["take"],
        speaker_name=[str(name) for name in spoken["speaker_name"]],
        speech_pool=pools_by_take(spoken["take"]),
        noise=noise_pools(np.split(noise["waveform"], noise["offset"][1:-1])),
        noise_name=[str(name) for name in noise["name"]],
    )
