"""The built-in problem: real handwritten digits, a keypad tone in noise, and the written word.

scikit-learn includes the 1,797 digits. The other modalities are drawn, so that the imbalance is a
choice and the truth about it is known. Every value is a function of (data seed, row, channel,
draw): changing one setting never changes the draws of another channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.pca import project
from g2d.data.source import Source
from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.views import Canvas, Chain, LogSpectrogram, OneHot, View
from g2d.data.views.builtin import canvas_view, standardized_spectrogram, unit_pixels
from g2d.datasets.digits.tones import FreshTone, ToneDraws, tones
from g2d.errors import ArgumentError
from g2d.task import Classification, Regression, Task

Modality = Literal["image", "tone", "word"]

TRAIN_ROWS, VALID_ROWS = 1078, 359
"""Numbers of digits in the first two splits; the remaining 360 are for testing."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TONE, WORD, CANVAS = 1, 2, 3
"""Channels of the random source."""
NOTE = "built-in problem; settings are chosen to show a phenomenon"


class DigitsOptions(BaseModel):
    """Options of ``digits`` in a recipe. The setting defines the defaults of the others.

    Args:
        setting: ``memorizer``, ``mild``, ``trio``, ``lookalike``, ``balanced`` or ``dead``.
        modalities: Which of image, tone and word; by default those of the setting.
        target: The digit as one of ten classes, or its value divided by 9 as a regression.
        output: Output of the regression: ``sigmoid`` (Eq. 1) or ``identity``.
        image: ``canvas`` (drawn again in every epoch) or ``pca`` (fixed).
        components: Number of principal components that ``pca`` keeps.
        tone_db: Signal-to-noise ratio of the tone; None is noise only.
        fresh_tone: Whether the tones of training rows are drawn again in every epoch.
        word_p: Probability that a letter of the word is wrong.
        protocol: ``row-order-v1`` (scikit-learn's order, close to writer-disjoint) or
            ``random-v1`` (a random split that depends on the data seed).
        data_seed: Seed of everything that is drawn once.
        eval_draws: Number of fixed draws per validation and test row; they form one group.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: Literal["memorizer", "mild", "trio", "lookalike", "balanced", "dead"] = "memorizer"
    modalities: tuple[Modality, ...] | None = None
    target: Literal["digit", "value"] = "digit"
    output: Literal["sigmoid", "identity"] = "sigmoid"
    image: Literal["canvas", "pca"] | None = None
    components: int | None = Field(default=None, ge=1, le=64)
    tone_db: float | None = Field(default=None, ge=-200, le=200)
    fresh_tone: bool | None = None
    word_p: float | None = Field(default=None, ge=0, le=1)
    protocol: Literal["row-order-v1", "random-v1"] = "row-order-v1"
    data_seed: int = Field(default=0, ge=0)
    eval_draws: int = Field(default=4, ge=1, le=1000)

    def filled(self) -> DigitsOptions:
        """Return the options with the defaults of the setting filled in."""
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
"""Settings, in order: joint training memorizes the tone and never learns the image; the same, with
a ranking that depends on the teachers' checkpoints; three modalities; no method should gain much;
nothing is wrong; a modality without information."""


@dataclass(frozen=True)
class _Rows:
    """Rows to draw, by sample id.

    Args:
        options: Options of the problem, filled.
        pictures: All digits, shape ``(1797, 8, 8)``, in 0..16.
        row: Number of the digit of every sample.
        draw: Number of the draw of every sample.
        split: Number of the split of every sample.
        digit: Value 0..9 of every sample.
    """

    options: DigitsOptions
    pictures: NDArray[np.float64]
    row: NDArray[np.int64]
    draw: NDArray[np.int64]
    split: NDArray[np.int8]
    digit: NDArray[np.int64]

    def generator(self, sample: int, channel: int) -> np.random.Generator:
        """Return the generator of a sample and channel."""
        return np.random.default_rng(
            [self.options.data_seed, self.row[sample], channel, self.draw[sample]]
        )

    @property
    def train(self) -> NDArray[np.bool_]:
        """Which samples are used for training."""
        return np.equal(self.split, TRAIN)


def open_digits(options: DigitsOptions) -> Source:
    """Draw the problem.

    Args:
        options: Options of the problem.

    Raises:
        ArgumentError: A modality is named twice, or none is.
    """
    options = options.filled()
    modalities = options.modalities or ()
    if not modalities or len(set(modalities)) != len(modalities):
        raise ArgumentError(
            "modalities of digits must be one or more of image, tone, word, each once, "
            f"found {list(modalities)}."
        )
    rows = _rows(options)
    drawn = {m: _DRAWN[m](rows) for m in modalities}
    target, task = _target(rows)
    return Source(
        name="digits",
        task=task,
        arrays={m: values for m, (values, _) in drawn.items()},
        target=target,
        group=rows.row,
        split=rows.split,
        protocol=_protocol(options),
        views={m: view for m, (_, view) in drawn.items()},
        facts={
            "setting": options.setting,
            "options": options.model_dump(mode="json", exclude={"setting", "output"}),
            "note": NOTE,
        },
    )


def _rows(options: DigitsOptions) -> _Rows:
    """Order the samples: training rows, then all draws of validation rows, then of test rows."""
    from sklearn.datasets import load_digits

    data = load_digits()
    digit = data.target.astype(np.int64)
    order = np.arange(len(digit))
    if options.protocol == "random-v1":
        order = np.random.default_rng(options.data_seed).permutation(len(digit))
    place = np.full(len(order), TEST, np.int8)
    place[: TRAIN_ROWS + VALID_ROWS] = VALID
    place[:TRAIN_ROWS] = TRAIN
    repeats = np.where(place == TRAIN, 1, options.eval_draws)
    row = np.repeat(order, repeats)
    draw = np.concatenate([np.arange(n) for n in repeats])
    pictures = data.images.astype(np.float64)
    return _Rows(options, pictures, row, draw, np.repeat(place, repeats), digit[row])


def _protocol(options: DigitsOptions) -> str:
    """Return the name of the protocol with the options that change it."""
    seed = f"&data_seed={options.data_seed}" if options.protocol == "random-v1" else ""
    return f"digits/{options.protocol}?setting={options.setting}{seed}"


def _target(rows: _Rows) -> tuple[NDArray[Any], Task]:
    if rows.options.target == "digit":
        return rows.digit, Classification(WORDS)
    scaled = (rows.digit[:, None] / 9).astype(np.float32)
    variance = float(scaled[rows.train].var())
    return scaled, Regression(1, output=rows.options.output, low=0.0, high=9.0, variance=variance)


Drawn = tuple[NDArray[Any], View]
"""Stored values and the view of a modality."""


def _images(rows: _Rows) -> Drawn:
    options, pictures = rows.options, rows.pictures
    train = rows.row[rows.train]
    if options.image == "pca":
        flat = pictures.reshape(len(pictures), -1)
        reduced = project(flat, flat[train], options.components or 3)
        stored = np.rint(reduced.clip(0, 16) * 255 / 16).astype(np.uint8)
        return stored.reshape(-1, 8, 8)[rows.row], unit_pixels("image")
    bank = (pictures[train] / 16).astype(np.float32)
    stored = np.zeros((len(rows.row), 16, 16), np.float16)
    stored[rows.train, :8, :8] = bank
    for i in np.flatnonzero(~rows.train).tolist():
        stored[i] = _canvas(pictures[rows.row[i]] / 16, bank, rows.generator(i, CANVAS))
    return stored, canvas_view("image", Canvas(bank=torch.from_numpy(bank)))


def _canvas(
    picture: NDArray[np.float64], bank: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a finished canvas as :class:`~g2d.data.views.Canvas` draws those of training rows."""
    canvas = np.zeros((16, 16))
    top, left = rng.integers(0, 9, 2)
    other = bank[rng.integers(len(bank))]
    a, b = rng.integers(0, 5, 2)
    y, x = rng.integers(0, 13, 2)
    canvas[y : y + 4, x : x + 4] = other[a : a + 4, b : b + 4]
    square = canvas[top : top + 8, left : left + 8]
    np.maximum(square, picture, out=square)
    return canvas + 0.2 * rng.standard_normal((16, 16))


def _tones(rows: _Rows) -> Drawn:
    options, digit = rows.options, torch.from_numpy(rows.digit)
    draws = ToneDraws.fixed(rows.generator(i, TONE) for i in range(len(rows.row)))
    stored = tones(digit, options.tone_db, draws)
    train = torch.from_numpy(rows.train)
    step = LogSpectrogram(n_fft=256, hop=128, power=2, low=19, high=50)
    view = standardized_spectrogram("tone", step, stored[train])
    if options.fresh_tone:
        fresh = FreshTone(digits=digit[train], decibel=options.tone_db)
        identity = {**view.config(), "view": "fresh_tone", "decibel": options.tone_db}
        view = Chain("tone", (fresh, *view.steps), identity)
    return stored.numpy(), view


def _words(rows: _Rows) -> Drawn:
    p = rows.options.word_p or 0.0
    stored = [word(digit, p, rows.generator(i, WORD)) for i, digit in enumerate(rows.digit)]
    identity = {"view": "one_hot", "symbols": 27}
    return np.stack(stored), Chain("word", (OneHot(symbols=27),), identity)


_DRAWN: dict[str, Callable[[_Rows], Drawn]] = {"image": _images, "tone": _tones, "word": _words}


def word(digit: int, p: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the digit's name with typing errors, ``(8,)`` uint8, never empty.

    0 is padding and a = 1 .. z = 26. Every letter, with probability p, is replaced (70 %), omitted
    (15 %) or preceded by another one (15 %).

    Args:
        digit: The digit.
        p: Probability of an error.
        rng: Generator of the errors.
    """
    letters: list[int] = []
    for letter in WORDS[digit]:
        code, wrong, kind = ord(letter) - 96, rng.random() < p, rng.random()
        other = int(rng.integers(1, 27))
        if not wrong:
            letters.append(code)
        elif kind < 0.70:
            letters.append(other)
        elif kind >= 0.85:
            letters += [other, code]
    letters = letters[:8] or [int(rng.integers(1, 27))]
    return np.array(letters + [0] * (8 - len(letters)), np.uint8)
