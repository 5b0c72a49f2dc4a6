"""Real handwriting and real speech: AV-MNIST rebuilt from MNIST, spoken digits and background noise, with no recording or noise clip on two sides of a split.

Pairs, noise and splits follow ``av_mnist/rebuilt-v1``; what is drawn once is deterministic from (seed, split, row).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.roots import find
from g2d.data.source import Source
from g2d.data.views.plain import Canvas, LogMel, Scaled, View
from g2d.datasets.av_mnist.parts import NEEDS, RATE, Parts
from g2d.datasets.av_mnist.raw import read_parts
from g2d.datasets.digits.problem import WORDS, reduce_energy
from g2d.task import Classification


class AVDigitsOptions(BaseModel):
    """What a recipe may say about ``avdigits``. A setting gives the defaults of the others.

    Args:
        setting: ``canvas``: a digit somewhere on a cluttered canvas, drawn anew in every epoch, and fixed speech in noise: one
            modality is learnt slowly, the other by heart. ``lookalike``: both fixed.
        modalities: image, speech or both.
        image: ``canvas`` or ``pca``.
        components: kept by ``pca``.
        snr_db: of the speech in background noise.
        pairs: training pairs; valid and test are a third and two thirds of it.
        seed: of pairs, noise and canvases.
        root: the folder that holds ``avdigits-raw``; by default the environment's ``G2D_DATA``, else ``data``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: Literal["canvas", "lookalike"] = "canvas"
    modalities: tuple[Literal["image", "speech"], ...] = ("image", "speech")
    image: Literal["canvas", "pca"] | None = None
    components: int | None = Field(default=None, ge=1, le=196)
    snr_db: float | None = None
    pairs: int | None = Field(default=None, ge=30, le=55_000)
    seed: int = Field(default=0, ge=0)
    root: str | None = None

    def filled(self) -> AVDigitsOptions:
        """The same with the setting's defaults filled in."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return AVDigitsOptions(**({"components": 4} | SETTINGS[self.setting] | given))


SETTINGS: dict[str, dict[str, Any]] = {
    "canvas": {"image": "canvas", "snr_db": -8.0, "pairs": 1500},
    "lookalike": {"image": "pca", "snr_db": -10.0, "pairs": 3000},
}


def open_avdigits(options: AVDigitsOptions) -> Source:
    """Pair, mix and lay out the problem; a few seconds.

    Raises:
        DataError: the parts are not found, or damaged.
    """
    options = options.filled()
    assert options.pairs is not None
    parts = read_parts(find("avdigits-raw", options.root, needs=NEEDS), "take")[0]
    counts = (options.pairs, options.pairs // 3, 2 * options.pairs // 3)
    split = np.repeat(np.arange(3, dtype=np.int8), counts)
    chosen, digit = parts.pictures(counts)
    recording = parts.pair(digit, split, options.seed)
    drawn = {
        "image": lambda: _images(options, parts, chosen, split),
        "speech": lambda: _speech(options, parts, recording, split),
    }
    made: dict[str, tuple[NDArray[Any], View]] = {m: drawn[m]() for m in options.modalities}
    return Source(
        name="avdigits",
        task=Classification(WORDS),
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
    options: AVDigitsOptions, parts: Parts, chosen: NDArray[np.int64], split: NDArray[np.int8]
) -> tuple[NDArray[Any], View]:
    small = parts.picture[chosen].reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255
    train = split == 0
    if options.image == "pca":
        reduced = reduce_energy(
            small.reshape(len(small), -1), np.flatnonzero(train), options.components or 4
        ).reshape(-1, 14, 14)
        return np.rint(reduced.clip(0, 1) * 255).astype(np.uint8), Scaled(0.0, 255.0, channel=True)
    bank = torch.from_numpy(small[train].astype(np.float32))
    view = Canvas(bank, size=22, patch=7, patches=2)
    stored = np.zeros((len(small), 22, 22), np.float16)
    stored[train, :14, :14] = small[train]
    fixed = np.flatnonzero(~train)
    ids = torch.from_numpy(fixed)
    stored[fixed] = view.draw(
        torch.from_numpy(small[fixed].astype(np.float32)), seed=options.seed, epoch=0, index=ids
    ).numpy()
    return stored, view


def _speech(
    options: AVDigitsOptions, parts: Parts, recording: NDArray[np.int64], split: NDArray[np.int8]
) -> tuple[NDArray[Any], View]:
    assert options.snr_db is not None
    rows = zip(recording, split, range(len(split)), strict=True)
    first = {pool: int(np.flatnonzero(split == pool)[0]) for pool in range(3)}
    stored = np.stack(
        [
            parts.mixed(
                int(r),
                int(p),
                options.snr_db,
                np.random.default_rng([options.seed, 10 + int(p), i - first[int(p)]]),
            )
            for r, p, i in rows
        ]
    )
    plain = LogMel(RATE, n_fft=1024, hop=512, bands=32)
    power = plain.log_power(torch.from_numpy(stored[split == 0]))
    return stored, LogMel(
        RATE,
        n_fft=1024,
        hop=512,
        bands=32,
        mean=round(float(power.mean()), 4),
        std=round(float(power.std()), 4),
    )
