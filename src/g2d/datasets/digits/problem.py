"""The built-in problem: real handwritten digits, a keypad tone in noise, and the written word.

scikit-learn includes the 1,797 digits. The other modalities are drawn, so that the imbalance is a
choice and the truth about it is known. Every value is a function of (data seed, row, channel,
draw): changing one setting never changes the draws of another channel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.pca import project
from g2d.data.source import Source
from g2d.data.views import Canvas, Chain, LogSpectrogram, OneHot
from g2d.data.views.builtin import canvas_view, standardized_spectrogram, unit_pixels
from g2d.datasets.digits.options import PAIRS, DigitsOptions
from g2d.datasets.digits.pairs import TRAIN_PAIRS, WORDS, Drawn, Pairs
from g2d.datasets.digits.rows import DigitRows, protocol_of, rows_of
from g2d.datasets.digits.tones import FreshTone, ToneDraws, tones
from g2d.task import Classification, Regression, Task

TONE, WORD, CANVAS = 1, 2, 3
"""Channels of the random source."""
NOTE = "built-in problem; settings are chosen to show a phenomenon"


def open_digits(options: DigitsOptions) -> Source:
    """Draw the problem.

    Args:
        options: Options of the problem.

    Raises:
        ArgumentError: An option is not one of the setting.
    """
    options = options.filled()
    problem = _problem(options)
    return Source(
        name="digits",
        task=problem.task,
        arrays={m: values.copy() for m, (values, _) in problem.drawn.items()},
        target=problem.target.copy(),
        group=problem.rows.row.copy(),
        split=problem.rows.split.copy(),
        protocol=protocol_of(options),
        views={m: view for m, (_, view) in problem.drawn.items()},
        facts={
            "setting": options.setting,
            "options": options.plain(),
            "note": NOTE,
        },
    )


class _Problem(NamedTuple):
    rows: DigitRows
    drawn: dict[str, Drawn]
    target: NDArray[Any]
    task: Task


@lru_cache(maxsize=2)
def _problem(options: DigitsOptions) -> _Problem:
    """Draw a problem, or return it as drawn before: runs of a comparison share their problem.

    Args:
        options: Options of the problem, filled.
    """
    modalities = options.modalities or ()
    if options.setting in PAIRS:
        rows = rows_of(options, TRAIN_PAIRS)
        pairs = Pairs.draw(rows)
        return _Problem(rows, {m: pairs.drawn(m) for m in modalities}, *pairs.target())
    rows = rows_of(options)
    return _Problem(rows, {m: _DRAWN[m](rows) for m in modalities}, *_target(rows))


def _target(rows: DigitRows) -> tuple[NDArray[Any], Task]:
    if rows.options.target == "digit":
        return rows.digit, Classification(WORDS)
    scaled = (rows.digit[:, None] / 9).astype(np.float32)
    variance = float(scaled[rows.train].var())
    return scaled, Regression(1, output=rows.options.output, low=0.0, high=9.0, variance=variance)


def _images(rows: DigitRows) -> Drawn:
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


def _tones(rows: DigitRows) -> Drawn:
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


def _words(rows: DigitRows) -> Drawn:
    p = rows.options.word_p or 0.0
    stored = [word(digit, p, rows.generator(i, WORD)) for i, digit in enumerate(rows.digit)]
    identity = {"view": "one_hot", "symbols": 27}
    return np.stack(stored), Chain("word", (OneHot(symbols=27),), identity)


_DRAWN: dict[str, Callable[[DigitRows], Drawn]] = {"image": _images, "tone": _tones, "word": _words}


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
