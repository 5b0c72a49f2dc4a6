"""Real handwriting and real speech: harder problems from the parts of AV-MNIST.

Pairs, noise and splits follow ``av_mnist/rebuilt-v1``: no recording or noise clip is in two splits.
Everything that is drawn once is a function of (seed, split, row).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.pca import project
from g2d.data.roots import find
from g2d.data.source import Source
from g2d.data.splits import TRAIN
from g2d.data.views import Canvas, Draw, LogMel, View
from g2d.data.views.builtin import canvas_view, standardized_spectrogram, unit_pixels
from g2d.datasets.av_mnist.parts import RATE, Parts
from g2d.datasets.av_mnist.raw import read_parts
from g2d.task import Classification

FOLDER = "avdigits"
"""Name of the folder under the data root that holds the public files."""
NEEDS = (
    "docs/data/avdigits lists the files of MNIST, the Free Spoken Digit Dataset and Speech "
    "Commands that belong there."
)
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class AVDigitsOptions(BaseModel):
    """Options of ``avdigits`` in a recipe. The setting defines the defaults of the others.

    Args:
        setting: ``canvas``, a digit somewhere on a cluttered canvas, drawn again in every epoch,
            and fixed speech in noise: one modality is learned slowly, the other is memorized.
            ``lookalike``: both are fixed.
        modalities: Image, speech or both.
        image: ``canvas`` or ``pca``.
        components: Number of principal components that ``pca`` keeps.
        snr_db: Signal-to-noise ratio of the speech in decibels.
        pairs: Number of training pairs; there are a third as many for validation and two thirds
            as many for testing.
        seed: Seed of pairs, noise and canvases.
        root: Folder that contains ``avdigits``; by default the environment's ``G2D_DATA``, else
            ``data``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: Literal["canvas", "lookalike"] = "canvas"
    modalities: tuple[Literal["image", "speech"], ...] = ("image", "speech")
    image: Literal["canvas", "pca"] | None = None
    components: int | None = Field(default=None, ge=1, le=196)
    snr_db: float | None = Field(default=None, ge=-200, le=200)
    pairs: int | None = Field(default=None, ge=30, le=55_000)
    seed: int = Field(default=0, ge=0)
    root: str | None = None

    def filled(self) -> AVDigitsOptions:
        """Return the options with the defaults of the setting filled in."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return AVDigitsOptions(**({"components": 4} | SETTINGS[self.setting] | given))


SETTINGS: dict[str, dict[str, Any]] = {
    "canvas": {"image": "canvas", "snr_db": -8.0, "pairs": 1500},
    "lookalike": {"image": "pca", "snr_db": -10.0, "pairs": 3000},
}


def open_avdigits(options: AVDigitsOptions) -> Source:
    """Read the public files and make the problem from them; takes a few seconds.

    Args:
        options: Options of the problem.

    Raises:
        DataError: The files are missing or damaged.
    """
    return make_avdigits(options, read_parts(find(FOLDER, options.root, needs=NEEDS), "take")[0])


def make_avdigits(options: AVDigitsOptions, parts: Parts) -> Source:
    """Make the problem from its parts: pair, mix and draw.

    Args:
        options: Options of the problem.
        parts: Pictures, recordings and noise.

    Raises:
        DataError: There are fewer pictures than pairs.
    """
    options = options.filled()
    assert options.pairs is not None
    counts = (options.pairs, options.pairs // 3, 2 * options.pairs // 3)
    split = np.repeat(np.arange(3, dtype=np.int8), counts)
    chosen, digit = parts.pictures(counts)
    recording = parts.pair(digit, split, options.seed)
    make = {
        "image": lambda: _images(options, parts.picture[chosen], split),
        "speech": lambda: _speech(options, parts, recording, split),
    }
    made: dict[str, tuple[NDArray[Any], View]] = {m: make[m]() for m in options.modalities}
    return Source(
        name="avdigits",
        task=Classification(CLASSES),
        arrays={m: values for m, (values, _) in made.items()},
        target=digit.astype(np.int64),
        group=parts.speaker_take(recording),
        split=split,
        protocol="av_mnist/rebuilt-v1",
        views={m: view for m, (_, view) in made.items()},
        facts={
            "setting": options.setting,
            "options": options.model_dump(mode="json", exclude={"setting", "root", "modalities"}),
        },
    )


def _images(
    options: AVDigitsOptions, pictures: NDArray[np.uint8], split: NDArray[np.int8]
) -> tuple[NDArray[Any], View]:
    """Return stored images and their view."""
    small = pictures.reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255
    train = split == TRAIN
    if options.image == "pca":
        flat = small.reshape(len(small), -1)
        reduced = project(flat, flat[train], options.components or 4).reshape(-1, 14, 14)
        return np.rint(reduced.clip(0, 1) * 255).astype(np.uint8), unit_pixels("image")
    bank = torch.from_numpy(small[train].astype(np.float32))
    canvas = Canvas(bank=bank, size=22, patch=7, patches=2)
    stored = np.zeros((len(small), 22, 22), np.float16)
    stored[train, :14, :14] = small[train]
    fixed = np.flatnonzero(~train)
    draw = Draw(options.seed, 0, torch.from_numpy(fixed), train=False)
    stored[fixed] = canvas.compose(torch.from_numpy(small[fixed].astype(np.float32)), draw).numpy()
    return stored, canvas_view("image", canvas)


def _speech(
    options: AVDigitsOptions, parts: Parts, recording: NDArray[np.int64], split: NDArray[np.int8]
) -> tuple[NDArray[Any], View]:
    """Return stored speech and its view."""
    assert options.snr_db is not None
    sounds = []
    for pool in range(3):
        for i, spoken in enumerate(recording[split == pool].tolist()):
            rng = np.random.default_rng([options.seed, 10 + pool, i])
            sounds.append(parts.mixed(spoken, pool, options.snr_db, rng))
    stored = np.stack(sounds)
    step = LogMel(rate=RATE, n_fft=1024, hop=512, bands=32)
    return stored, standardized_spectrogram("speech", step, torch.from_numpy(stored[split == 0]))
