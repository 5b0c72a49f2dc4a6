"""The built-in problem: its settings, protocols, numbers of rows, and what is drawn."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from g2d.data import Source
from g2d.data.pca import project
from g2d.data.views import Draw
from g2d.datasets import DATASETS
from g2d.datasets.digits import problem
from g2d.datasets.digits.options import PAIRS, SETTINGS, DigitsOptions
from g2d.datasets.digits.pairs import TRAIN_PAIRS, WORDS, Pairs
from g2d.datasets.digits.problem import open_digits, word
from g2d.datasets.digits.rows import rows_of
from g2d.datasets.digits.tones import KEYPAD, LENGTH, RATE, ToneDraws, tones
from g2d.errors import ArgumentError
from g2d.task import Classification, Regression
from g2d.types import Sequence

ALL = ("image", "tone", "word")


@lru_cache
def digits(**options: Any) -> Source:
    return open_digits(DigitsOptions(**options))


def digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def test_the_settings_are_those_of_the_specification() -> None:
    single = SETTINGS.keys() - set(PAIRS)
    filled = {name: DigitsOptions(setting=name).filled() for name in single}
    assert {name: (o.image, o.tone_db, o.word_p, o.modalities) for name, o in filled.items()} == {
        "memorizer": ("canvas", -17, 0.75, ("image", "tone")),
        "mild": ("canvas", -15, 0.75, ("image", "tone")),
        "trio": ("canvas", -16, 0.75, ("image", "tone", "word")),
        "lookalike": ("pca", -15, 0.8, ("image", "tone")),
        "balanced": ("canvas", -5, 0.3, ("image", "tone")),
        "dead": ("canvas", None, 1.0, ("image", "tone")),
    }
    assert filled["lookalike"].components == 3
    assert [name for name, o in filled.items() if o.fresh_tone] == ["balanced"]
    assert DigitsOptions().setting == "memorizer"
    assert DigitsOptions(setting="mild", tone_db=-3.0).filled().tone_db == -3.0


def test_only_a_row_that_is_the_same_in_every_epoch_is_called_deterministic() -> None:
    assert digits(setting="lookalike").deterministic
    assert not digits(setting="memorizer").deterministic
    assert digits(setting="memorizer", modalities=("tone",)).deterministic
    assert not digits(setting="balanced", modalities=("tone",)).deterministic


def test_rows_keep_the_order_of_the_library_and_have_four_draws_outside_training() -> None:
    source = digits()
    raw = load_digits()
    assert raw.target[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert [len(source.rows(split)) for split in ("train", "valid", "test")] == [
        1078,
        4 * 359,
        4 * 360,
    ]
    assert [len(np.unique(source.groups(split))) for split in ("train", "valid", "test")] == [
        1078,
        359,
        360,
    ]
    for split, first in (("train", 0), ("valid", 1078), ("test", 1437)):
        groups = source.groups(split)
        np.testing.assert_array_equal(
            np.unique(groups), np.arange(first, first + len(np.unique(groups)))
        )
        np.testing.assert_array_equal(source.target[source.rows(split)], raw.target[groups])
    assert np.unique(source.groups("test"), return_counts=True)[1].tolist() == [4] * 360
    assert (np.bincount(source.target[source.rows("test")]) / 4).tolist() == [
        35,
        36,
        35,
        37,
        37,
        37,
        37,
        36,
        33,
        37,
    ]


@pytest.mark.parametrize("options", [{}, {"protocol": "random-v1", "data_seed": 5}])
def test_no_picture_is_in_two_splits(options: dict[str, Any]) -> None:
    source = digits(**options)
    groups = [set(source.groups(split).tolist()) for split in ("train", "valid", "test")]
    assert [len(group) for group in groups] == [1078, 359, 360]
    assert len(set.union(*groups)) == 1797


def test_another_data_seed_changes_the_split_under_random_v1_only() -> None:
    ordered, other = digits(), digits(data_seed=1)
    np.testing.assert_array_equal(ordered.group, other.group)
    assert not np.array_equal(ordered.arrays["tone"], other.arrays["tone"])
    first, second = (
        digits(protocol="random-v1", data_seed=1),
        digits(protocol="random-v1", data_seed=2),
    )
    assert set(first.groups("test")) != set(second.groups("test"))
    assert len({source.protocol_hash for source in (ordered, first, second)}) == 3


def test_the_setting_is_in_the_protocols_name_and_in_the_hash() -> None:
    mild, same = digits(setting="mild"), digits(setting="memorizer", tone_db=-15.0)
    assert mild.protocol == "digits/row-order-v1?setting=mild"
    assert (
        digits(protocol="random-v1", data_seed=1).protocol
        == "digits/random-v1?setting=memorizer&data_seed=1"
    )
    np.testing.assert_array_equal(mild.arrays["tone"], same.arrays["tone"])
    assert mild.content_hash != same.content_hash
    assert digits().describe()["setting"] == "memorizer"


def test_what_is_drawn_is_the_same_on_every_day() -> None:
    arrays = digits(modalities=ALL).arrays
    assert {m: digest(values) for m, values in arrays.items()} == {
        "image": "98513d1b60da5dba",
        "tone": "5d83d180e6a00ffb",
        "word": "36d316409d8aaaf0",
    }
    problem._problem.cache_clear()
    again = open_digits(DigitsOptions(modalities=ALL))
    assert again.content_hash == digits(modalities=ALL).content_hash
    assert again.protocol_hash == digits(modalities=ALL).protocol_hash


def test_changes_to_an_opened_problem_are_not_seen_by_the_next_one() -> None:
    first = open_digits(DigitsOptions(eval_draws=1))
    arrays = [*first.arrays.values(), first.target, first.group, first.split]
    kept = [values.copy() for values in arrays]
    for values in arrays:
        values[:] = 1
    second = open_digits(DigitsOptions(eval_draws=1))
    again = [*second.arrays.values(), second.target, second.group, second.split]
    for before, after in zip(kept, again, strict=True):
        np.testing.assert_array_equal(before, after)


def test_changing_one_setting_changes_no_other_draw() -> None:
    base = digits(modalities=ALL)
    louder, wordier, fewer = (
        digits(modalities=ALL, tone_db=0.0),
        digits(modalities=ALL, word_p=0.1),
        digits(modalities=ALL, eval_draws=1),
    )
    assert [m for m in ALL if not np.array_equal(base.arrays[m], louder.arrays[m])] == ["tone"]
    assert [m for m in ALL if not np.array_equal(base.arrays[m], wordier.arrays[m])] == ["word"]
    first_draw = np.unique(base.group, return_index=True)[1]
    for m in ALL:
        np.testing.assert_array_equal(base.arrays[m][first_draw], fewer.arrays[m])


def test_the_draws_of_one_picture_differ() -> None:
    source = digits(modalities=ALL)
    rows = source.rows("test")[:4]
    assert len(set(source.group[rows])) == 1
    assert all(len({source.arrays[m][row].tobytes() for row in rows}) > 1 for m in ALL)


def test_values_are_stored_compactly_in_the_specified_form() -> None:
    source = digits(modalities=ALL)
    assert {m: (values.dtype.name, values.shape[1:]) for m, values in source.arrays.items()} == {
        "image": ("float16", (16, 16)),
        "tone": ("int16", (1024,)),
        "word": ("uint8", (8,)),
    }
    pca = digits(setting="lookalike").arrays["image"]
    assert (pca.dtype.name, pca.shape[1:]) == ("uint8", (8, 8))
    assert (np.abs(source.arrays["tone"].astype(int)).max(1) == round(0.99 * 32767)).all()


def test_principal_components_keep_the_published_energy() -> None:
    x = load_digits().data
    train = np.arange(1078)
    centered = x[train] - x[train].mean(0)
    kept = [
        100
        * np.square(project(x, x[train], k)[train] - x[train].mean(0)).sum()
        / np.square(centered).sum()
        for k in range(1, 7)
    ]
    np.testing.assert_allclose(kept, [14.37, 27.56, 39.76, 48.94, 55.15, 60.00], atol=0.006)


def test_a_pca_picture_is_the_clipped_and_rounded_projection() -> None:
    x = load_digits().data
    mean = x[:1078].mean(0)
    vectors = np.linalg.svd(x[:1078] - mean)[2][:3]
    row = 1500
    projected = mean + (x[row] - mean) @ vectors.T @ vectors
    expected = np.rint(np.clip(projected, 0, 16) * 255 / 16).reshape(8, 8)
    source = digits(setting="lookalike")
    np.testing.assert_array_equal(
        source.arrays["image"][np.flatnonzero(source.group == row)[0]], expected
    )


def measured_ratio(source: Source) -> float:
    """Return the signal-to-noise ratio in dB.

    The power of the tones is fitted by least squares at the frequencies of every row, and the power
    that noise alone has there is subtracted.
    """
    t, rows, dead = np.arange(LENGTH) / RATE, source.rows("train")[:300], digits(setting="dead")
    signal, noise, floor = 0.0, 0.0, 0.0
    for row in rows:
        detune = np.random.default_rng([0, row, 1, 0]).uniform(-0.015, 0.015, 2)
        angles = 2 * np.pi * np.array(KEYPAD[source.target[row]]) * (1 + detune) * t[:, None]
        waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        wave, silent = (
            source.arrays["tone"][row].astype(float),
            dead.arrays["tone"][row].astype(float),
        )
        fitted = waves @ np.linalg.lstsq(waves, wave, rcond=None)[0]
        power = np.square(wave - fitted).mean()
        signal, noise = signal + np.square(fitted).mean() / power, noise + 1
        floor += (
            np.square(waves @ np.linalg.lstsq(waves, silent, rcond=None)[0]).mean()
            / np.square(silent).mean()
        )
    return float(10 * np.log10((signal - floor) / noise))


@pytest.mark.parametrize(("setting", "decibel"), [("memorizer", -17.0), ("balanced", -5.0)])
def test_the_tones_are_as_far_below_the_noise_as_the_setting_says(
    setting: str, decibel: float
) -> None:
    # The level varies by up to 3 dB each way, which is 0.5 dB in the mean of a power.
    assert measured_ratio(digits(setting=setting)) == pytest.approx(decibel + 0.5, abs=0.5)


def test_a_tone_has_the_frequencies_of_its_key() -> None:
    row = ToneDraws.fixed(np.random.default_rng([0, key]) for key in range(10))
    spectrum = torch.fft.rfft(
        tones(torch.arange(10), 40.0, row).double() * torch.hann_window(LENGTH)
    ).abs()
    for key, pair in enumerate(KEYPAD):
        peaks = spectrum[key].clone()
        for frequency in pair:
            bins = range(
                int(frequency * 0.98 * LENGTH / RATE), int(frequency * 1.02 * LENGTH / RATE) + 2
            )
            assert peaks[bins].max() > 0.2 * peaks.max()
            peaks[bins] = 0
        assert peaks.max() < 0.5 * spectrum[key].max()


def test_the_noise_is_white_band_limited_and_hum_in_their_shares() -> None:
    row = ToneDraws.fixed(np.random.default_rng(key) for key in range(200))
    power = (
        torch.fft.rfft(tones(torch.zeros(200, dtype=torch.int64), None, row).double())
        .abs()
        .square()
    )
    power = (power / power.sum(1, keepdim=True)).mean(0)
    frequency = torch.fft.rfftfreq(LENGTH, 1 / RATE)
    inside = (frequency >= 300) & (frequency <= 3400)
    assert power[inside].sum().item() == pytest.approx(0.45 + 0.5 * 3100 / 4000, abs=0.01)
    assert power[(frequency > 20) & (frequency < 80)].sum().item() == pytest.approx(0.05, abs=0.015)


def test_a_word_is_misspelt_as_often_and_in_the_ways_specified() -> None:
    text = [word(3, 0.0, np.random.default_rng(0)), word(3, 1.0, np.random.default_rng(0))]
    assert text[0].tolist() == [ord(letter) - 96 for letter in "three"] + [0, 0, 0]
    lengths = np.array(
        [(word(3, 1.0, np.random.default_rng([7, i])) > 0).sum() for i in range(3000)]
    )
    assert lengths.mean() == pytest.approx(5, abs=0.08)  # as many letters are left out as put in
    assert lengths.var() == pytest.approx(5 * 0.3, abs=0.15)
    kept = [(word(9, 0.3, np.random.default_rng([8, i]))[0] == ord("n") - 96) for i in range(3000)]
    assert np.mean(kept) == pytest.approx(0.7 + 0.3 * (0.7 / 26 + 0.15 / 26), abs=0.03)


def test_a_word_is_never_empty_and_never_longer_than_eight() -> None:
    drawn = np.stack(
        [
            word(digit, 1.0, np.random.default_rng([digit, i]))
            for digit in range(10)
            for i in range(500)
        ]
    )
    assert (drawn[:, 0] > 0).all()
    assert drawn.shape[1] == 8
    assert drawn.max() <= 26
    assert (np.diff((drawn > 0).astype(int), axis=1) <= 0).all()  # padding is at the end


def test_a_noise_only_tone_and_a_wholly_misspelt_word_say_next_to_nothing() -> None:
    source = digits(setting="dead", modalities=ALL)
    spectrum = source.views["tone"](
        torch.from_numpy(source.arrays["tone"]),
        seed=0,
        epoch=0,
        index=torch.arange(source.size),
        train=False,
    ).flatten(1)
    train, test = source.rows("train"), source.rows("test")
    centers = torch.stack(
        [spectrum[train][source.target[train] == digit].mean(0) for digit in range(10)]
    )
    right = torch.cdist(spectrum[test], centers).argmin(1).numpy() == source.target[test]
    assert right.mean() < 0.15


def test_the_digit_is_one_of_ten_classes_or_a_value() -> None:
    assert isinstance(digits().task, Classification)
    assert digits().task.classes == WORDS
    source = digits(target="value")
    assert isinstance(source.task, Regression)
    raw = load_digits().target
    np.testing.assert_allclose(source.target[:, 0], raw[source.group] / 9, rtol=1e-6)
    assert source.target.shape == (source.size, 1)
    assert source.task.variance == pytest.approx((raw[:1078] / 9).var(), rel=1e-6)
    exact = torch.logit(torch.tensor([[3 / 9], [6 / 9]]))
    torch.testing.assert_close(source.task.predict(exact), torch.tensor([[3.0], [6.0]]))


def test_a_model_sees_a_canvas_a_spectrogram_and_letters() -> None:
    source = digits(modalities=ALL)
    batch = source.view(source.gather(source.rows("train")[:3]), seed=0, epoch=1, train=True)
    image, tone, letters = (batch.inputs[m] for m in ALL)
    assert isinstance(letters, Sequence)
    assert (tuple(image.shape), tuple(tone.shape), tuple(letters.values.shape)) == (
        (3, 1, 16, 16),
        (3, 1, 32, 9),
        (3, 8, 27),
    )
    np.testing.assert_array_equal(letters.values.argmax(-1).numpy(), source.arrays["word"][:3])
    np.testing.assert_array_equal(letters.mask.numpy(), source.arrays["word"][:3] > 0)
    spectra = source.view(source.gather(source.rows("train")), seed=0, epoch=1, train=True).inputs[
        "tone"
    ]
    assert spectra.mean().item() == pytest.approx(0, abs=1e-3)
    assert spectra.std().item() == pytest.approx(1, abs=1e-3)


def test_a_balanced_tone_changes_in_every_epoch_for_training_rows_only() -> None:
    source = digits(setting="balanced", modalities=("tone",))
    train, test = (source.gather(source.rows(split)[:6]) for split in ("train", "test"))

    def seen(batch: Any, **changed: int) -> torch.Tensor:
        view = source.view(batch, **({"seed": 0, "epoch": 1} | changed), train=batch is train)
        tone = view.inputs["tone"]
        assert isinstance(tone, torch.Tensor)
        return tone

    assert torch.equal(seen(train), seen(train))
    for changed in ({"epoch": 2}, {"seed": 1}):
        assert not torch.isclose(seen(train), seen(train, **changed)).all(dim=(1, 2, 3)).any()
        assert torch.equal(seen(test), seen(test, **changed))
    alone = torch.cat(
        [
            seen_alone.inputs["tone"]
            for i in range(6)
            for seen_alone in [
                source.view(train.rows(slice(i, i + 1)), seed=0, epoch=1, train=True)
            ]
        ]
    )
    torch.testing.assert_close(alone, seen(train))


def test_fresh_tones_follow_the_same_law_as_fixed_ones() -> None:
    index = torch.arange(600)
    keys = index % 10
    fixed = tones(
        keys, -5.0, ToneDraws.fixed(np.random.default_rng([9, int(i)]) for i in index)
    ).float()
    fresh = tones(keys, -5.0, ToneDraws.fresh(Draw(4, 2, index, train=True))).float()
    for statistic in (
        lambda x: torch.fft.rfft(x).abs().square().mean(0).unfold(0, 32, 32).mean(1).log(),
        lambda x: x.square().mean().log(),
    ):
        torch.testing.assert_close(statistic(fresh), statistic(fixed), atol=0.1, rtol=0.02)


def test_a_fresh_tone_shares_no_draw_with_the_picture() -> None:
    source = digits(setting="balanced")
    changed = source.view(source.gather(source.rows("train")), seed=0, epoch=3, train=True)
    alone = digits(setting="balanced", modalities=("image",))
    assert torch.equal(
        changed.inputs["image"],
        alone.view(alone.gather(alone.rows("train")), seed=0, epoch=3, train=True).inputs["image"],
    )
    detune = ToneDraws.fresh(Draw(0, 3, torch.arange(1078), train=True)).detune[:, 0]
    brightest_line = changed.inputs["image"][:, 0].square().sum(2).argmax(1).double()
    assert abs(torch.corrcoef(torch.stack([detune, brightest_line]))[0, 1].item()) < 0.12


@pytest.mark.parametrize("modalities", [(), ("image", "image")])
def test_modalities_are_one_or_more_each_once(modalities: tuple[str, ...]) -> None:
    with pytest.raises(ArgumentError, match="must be one or more of image, tone, word, each once"):
        open_digits(
            DigitsOptions.model_construct(
                **(DigitsOptions().model_dump() | {"modalities": modalities})
            )
        )


def test_the_list_of_data_sets_opens_it() -> None:
    entry = DATASETS["digits"]
    assert entry.open(entry.options(eval_draws=1)).size == 1797


@pytest.mark.parametrize(
    ("options", "content", "protocol"),
    [
        ({}, "784597654e2d2336", "fe0e9b2e45c4ad5c"),
        ({"setting": "lookalike", "modalities": ALL, "eval_draws": 2}, "", "0aa1923370982914"),
        ({"setting": "balanced", "modalities": ALL, "eval_draws": 2}, "", "4382caae008c14b1"),
    ],
)
def test_hashes_are_those_of_the_first_version_so_that_its_runs_still_open(
    options: dict[str, Any], content: str, protocol: str
) -> None:
    source = digits(**options)
    assert source.content_hash.startswith(content)
    assert source.protocol_hash.startswith(protocol)


PAIRED = [
    ("sum", None, 10, [0.1] * 10),
    ("match", None, 2, [0.5] * 2),
    ("mix", 0.0, 5, [0.2] * 5),
    ("mix", 50.0, 5, [0.2] * 5),
    ("mix", 100.0, 5, [0.2] * 5),
]


@pytest.mark.parametrize(("setting", "redundant", "classes", "shares"), PAIRED)
def test_the_class_of_a_pair_is_its_definition_and_is_hidden_from_one_picture(
    setting: Any, redundant: float | None, classes: int, shares: list[float]
) -> None:
    options = DigitsOptions(setting=setting, redundant=redundant).filled()
    rows = rows_of(options, TRAIN_PAIRS)
    pairs, digit = Pairs.draw(rows), load_digits().target
    a, b = digit[rows.row], digit[pairs.other]
    same = a == b
    expected = {"sum": (a + b) % 10, "match": same, "mix": np.where(same, a, a + b) % 5}
    np.testing.assert_array_equal(pairs.label, expected[setting])
    assert isinstance(pairs.target()[1], Classification)
    assert pairs.target()[1].outputs == classes
    assert (rows.row != pairs.other).all()
    for split in range(3):
        place = rows.split == split
        assert set(pairs.other[place]) <= set(rows.row[place])
        np.testing.assert_allclose(np.bincount(pairs.label[place]) / place.sum(), shares, atol=0.04)
    if setting == "mix":
        assert redundant is not None
        assert same.mean() == pytest.approx(redundant / 100, abs=0.02)
    if redundant in (None, 0.0):
        # Whatever the digit on one side is, every class is about as frequent as over all rows.
        for one in (a, b):
            table = np.stack(
                [np.bincount(pairs.label[one == d], minlength=classes) for d in range(10)]
            )
            np.testing.assert_allclose(
                table / table.sum(1, keepdims=True), np.tile(shares, (10, 1)), atol=0.06
            )


def test_the_left_picture_of_a_pair_is_drawn_again_and_the_right_one_is_fixed() -> None:
    source = digits(setting="mix")
    batch = source.gather(source.rows("train")[:50])
    views = [source.view(batch, seed=0, epoch=epoch, train=True).inputs for epoch in (1, 2)]
    assert not torch.equal(views[0]["left"], views[1]["left"])
    assert torch.equal(views[0]["right"], views[1]["right"])
    assert views[0]["left"].shape == (50, 1, 10, 10)
    held = source.view(source.gather(source.rows("test")), seed=0, epoch=1, train=False).inputs
    fresh = source.view(source.gather(source.rows("train")), seed=0, epoch=1, train=True).inputs
    for m in ("left", "right"):
        assert fresh[m].mean().item() == pytest.approx(held[m].mean().item(), abs=0.01)
        assert fresh[m].std().item() == pytest.approx(held[m].std().item(), abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"setting": "sum", "tone_db": -3.0}, "tone_db must be left out in the setting sum"),
        ({"setting": "sum", "redundant": 5.0}, "redundant must be left out in the setting sum"),
        ({"redundant": 5.0}, "redundant must be left out in the setting memorizer"),
        ({"setting": "mix", "target": "value"}, "target must be digit in the setting mix"),
        ({"setting": "mix", "modalities": ["tone"]}, r"one or more of left, right, each once"),
        ({"modalities": ["left"]}, r"one or more of image, tone, word, each once"),
    ],
)
def test_options_of_another_setting_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        open_digits(DigitsOptions(**options))
