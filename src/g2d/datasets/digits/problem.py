"""The built-in problem: real handwritten digits, a keypad tone in noise, and the written word; no download.

1,797 digits come with scikit-learn; the other modalities are drawn, so that imbalance is a choice and its truth is known. All is
deterministic from (data seed, row, channel, draw): changing one setting never changes another row's draw.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.source import Source
from g2d.data.views.plain import Canvas, LogSpectrogram, OneHot, Scaled, View
from g2d.datasets.digits.tones import FreshTone, ToneDraws, tones
from g2d.errors import ArgumentError
from g2d.task import Classification, Regression, Task

Modality = Literal["image", "tone", "word"]

TRAIN, VALID = 1078, 359
"""Rows of the first two splits; the remaining 360 are the test rows."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TONE, WORD, CANVAS = 1, 2, 3
"""Channels of the random source."""


class DigitsOptions(BaseModel):
    """What a recipe may say about ``digits``. A setting gives the defaults of the others.

    Args:
        setting: ``memorizer``, ``mild``, ``trio``, ``lookalike``, ``balanced`` or ``dead``.
        modalities: which of image, tone and word; the setting's own if left out.
        target: the digit as one of ten classes, or its value divided by 9 as a regression.
        image: ``canvas`` (drawn anew in every epoch) or ``pca`` (fixed).
        components: kept by ``pca``.
        tone_db: signal-to-noise ratio of the tone; None is noise only.
        fresh_tone: draw the tones of training rows anew in every epoch.
        word_p: probability that a letter of the word is wrong.
        protocol: ``row-order-v1`` (scikit-learn's order, close to writer-disjoint) or ``random-v1`` (a fresh split by data seed).
        data_seed: of everything that is drawn once.
        eval_draws: fixed draws per validation and test row; they form one group.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: Literal["memorizer", "mild", "trio", "lookalike", "balanced", "dead"] = "memorizer"
    modalities: tuple[Modality, ...] | None = None
    target: Literal["digit", "value"] = "digit"
    image: Literal["canvas", "pca"] | None = None
    components: int | None = Field(default=None, ge=1, le=64)
    tone_db: float | None = None
    fresh_tone: bool | None = None
    word_p: float | None = Field(default=None, ge=0, le=1)
    protocol: Literal["row-order-v1", "random-v1"] = "row-order-v1"
    data_seed: int = Field(default=0, ge=0)
    eval_draws: int = Field(default=4, ge=1)

    def filled(self) -> DigitsOptions:
        """The same with the setting's defaults filled in."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return DigitsOptions(**(_COMMON | SETTINGS[self.setting] | given))


_COMMON: dict[str, Any] = {
    "image": "canvas",
    "components": 3,
    "fresh_tone": False,
    "word_p": 0.75,
    "modalities": ("image", "tone"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "memorizer": {"tone_db": -17.0},
    "mild": {"tone_db": -15.0},
    "trio": {"tone_db": -16.0, "modalities": ("image", "tone", "word")},
    "lookalike": {"tone_db": -15.0, "image": "pca", "word_p": 0.8},
    "balanced": {"tone_db": -5.0, "fresh_tone": True, "word_p": 0.3},
    "dead": {"word_p": 1.0},
}
"""What each setting shows: joint training memorises the tone and never learns the image; the same, with a ranking that depends on
the teachers' checkpoints; three modalities; nobody should gain much; nothing is wrong; a modality without information."""


def open_digits(options: DigitsOptions) -> Source:
    """Draw the problem.

    Raises:
        ArgumentError: a modality is named twice, or none is.
    """
    options = options.filled()
    modalities = options.modalities or ()
    if not modalities or len(set(modalities)) != len(modalities):
        raise ArgumentError(
            f"modalities of digits must be one or more of image, tone, word, each once, found {list(modalities)}."
        )
    pictures, digits = _load()
    order = (
        np.arange(len(digits))
        if options.protocol == "row-order-v1"
        else np.random.default_rng(options.data_seed).permutation(len(digits))
    )
    # Sample ids: training rows first, then every draw of the validation rows, then of the test rows.
    repeats = np.where(np.arange(len(order)) < TRAIN, 1, options.eval_draws)
    row = np.repeat(order, repeats)
    draw = np.concatenate([np.arange(n) for n in repeats])
    split = np.repeat(
        np.where(
            np.arange(len(order)) < TRAIN, 0, np.where(np.arange(len(order)) < TRAIN + VALID, 1, 2)
        ),
        repeats,
    ).astype(np.int8)
    drawn = {"image": _images, "tone": _tones, "word": _words}
    arrays: dict[str, NDArray[Any]] = {}
    views: dict[str, View] = {}
    for m in modalities:
        arrays[m], views[m] = drawn[m](options, pictures, digits, row, draw, split)
    value = digits[row]
    target, task = _target(options, value, split)
    return Source(
        name="digits",
        task=task,
        arrays=arrays,
        target=target,
        group=row,
        split=split,
        protocol=_protocol(options),
        views=views,
        facts={
            "setting": options.setting,
            "options": options.model_dump(mode="json", exclude={"setting"}),
            "note": NOTE,
        },
    )


NOTE = "built-in problem; settings are chosen to show a phenomenon"


def _protocol(options: DigitsOptions) -> str:
    """A named protocol, and what it was asked with."""
    seed = f"&data_seed={options.data_seed}" if options.protocol == "random-v1" else ""
    return f"digits/{options.protocol}?setting={options.setting}{seed}"


Drawn = tuple[NDArray[Any], View]


def _load() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Pictures ``(1797, 8, 8)`` in 0..16 and their digits, in the library's order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.float64), data.target.astype(np.int64)


def _target(
    options: DigitsOptions, value: NDArray[np.int64], split: NDArray[np.int8]
) -> tuple[NDArray[Any], Task]:
    if options.target == "digit":
        return value, Classification(WORDS)
    scaled = (value[:, None] / 9).astype(np.float32)
    return scaled, Regression(1, low=0.0, high=9.0, variance=float(scaled[split == 0].var()))


def _images(
    options: DigitsOptions,
    pictures: NDArray[np.float64],
    digits: NDArray[np.int64],
    row: NDArray[np.int64],
    draw: NDArray[np.int64],
    split: NDArray[np.int8],
) -> Drawn:
    train = row[split == 0]
    if options.image == "pca":
        reduced = reduce_energy(pictures.reshape(len(pictures), -1), train, options.components or 3)
        stored = np.rint(reduced.clip(0, 16) * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)[row]
        return stored, Scaled(0.0, 255.0, channel=True)
    bank = (pictures[train] / 16).astype(np.float32)
    stored = np.zeros((len(row), 16, 16), np.float16)
    stored[split == 0, :8, :8] = bank
    for i in np.flatnonzero(split != 0):
        stored[i] = _canvas(
            pictures[row[i]] / 16,
            bank,
            np.random.default_rng([options.data_seed, row[i], CANVAS, draw[i]]),
        )
    return stored, Canvas(torch.from_numpy(bank))


def reduce_energy(
    x: NDArray[np.float64], train: NDArray[np.int64], components: int
) -> NDArray[np.float64]:
    """x' = mu + (x - mu) V V^T with the top principal components of the training rows alone."""
    mean = x[train].mean(0)
    _, vectors = np.linalg.eigh(np.cov(x[train], rowvar=False))
    top = vectors[:, ::-1][:, :components]
    reduced: NDArray[np.float64] = mean + (x - mean) @ top @ top.T
    return reduced


def _canvas(
    picture: NDArray[np.float64], bank: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float64]:
    """One finished canvas, drawn like the view :class:`~g2d.data.views.Canvas` draws those of training rows."""
    canvas = np.zeros((16, 16))
    top, left = rng.integers(0, 9, 2)
    other = bank[rng.integers(len(bank))]
    a, b = rng.integers(0, 5, 2)
    y, x = rng.integers(0, 13, 2)
    canvas[y : y + 4, x : x + 4] = other[a : a + 4, b : b + 4]
    canvas[top : top + 8, left : left + 8] = np.maximum(
        canvas[top : top + 8, left : left + 8], picture
    )
    return canvas + 0.2 * rng.standard_normal((16, 16))


def _tones(
    options: DigitsOptions,
    pictures: NDArray[np.float64],
    digits: NDArray[np.int64],
    row: NDArray[np.int64],
    draw: NDArray[np.int64],
    split: NDArray[np.int8],
) -> Drawn:
    value = torch.from_numpy(digits[row])
    draws = ToneDraws.fixed(
        np.random.default_rng([options.data_seed, r, TONE, d])
        for r, d in zip(row, draw, strict=True)
    )
    stored = tones(value, options.tone_db, draws)
    train = torch.from_numpy(split == 0)
    power = LogSpectrogram(256, 128, low=19, high=50).log_power(stored[train])
    view = LogSpectrogram(
        256,
        128,
        low=19,
        high=50,
        mean=round(float(power.mean()), 4),
        std=round(float(power.std()), 4),
    )
    return stored.numpy(), FreshTone(
        view, value[train], options.tone_db
    ) if options.fresh_tone else view


def _words(
    options: DigitsOptions,
    pictures: NDArray[np.float64],
    digits: NDArray[np.int64],
    row: NDArray[np.int64],
    draw: NDArray[np.int64],
    split: NDArray[np.int8],
) -> Drawn:
    p = options.word_p or 0.0
    stored = np.stack(
        [
            word(digits[r], p, np.random.default_rng([options.data_seed, r, WORD, d]))
            for r, d in zip(row, draw, strict=True)
        ]
    )
    return stored, OneHot(27)


def word(digit: int, p: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The digit's name with typing errors, ``(8,)`` uint8: 0 padding, a = 1 .. z = 26; never empty.

    Every letter, with probability p, is replaced (70 %), left out (15 %) or preceded by another one (15 %).
    """
    letters: list[int] = []
    for letter in WORDS[digit]:
        code, wrong, kind, other = (
            ord(letter) - 96,
            rng.random() < p,
            rng.random(),
            int(rng.integers(1, 27)),
        )
        if not wrong:
            letters.append(code)
        elif kind < 0.70:
            letters.append(other)
        elif kind >= 0.85:
            letters += [other, code]
    letters = letters[:8] or [int(rng.integers(1, 27))]
    return np.array(letters + [0] * (8 - len(letters)), np.uint8)
