"""Views of the built-in problems: canvases, one-hot symbols, standardized spectrograms."""

from __future__ import annotations

import pytest
import torch

from g2d.data.views import Canvas, Chain, Draw, LogMel, LogSpectrogram, OneHot, Scale, shift_windows
from g2d.data.views.builtin import canvas_view, standardized_spectrogram, unit_pixels
from g2d.errors import ArgumentError, DataError
from g2d.types import Sequence

ROWS = {"seed": 0, "epoch": 1, "train": True}


def seen(view: Chain, values: torch.Tensor, **changed: object) -> torch.Tensor:
    index = torch.arange(len(values))
    result = view(values, **({"index": index} | ROWS | changed))
    assert isinstance(result, torch.Tensor)
    return result


def test_a_scaled_grid_gets_a_channel_axis_and_a_table_does_not() -> None:
    pixels = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    expected = torch.tensor([[[[0.0, 1.0], [0.2, 0.4]]]])
    torch.testing.assert_close(seen(unit_pixels("m"), pixels), expected)
    scaled = Chain("m", (Scale(mean=1.0, std=2.0),))
    assert seen(scaled, torch.tensor([[3.0, 5.0]])).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "step",
    [
        LogSpectrogram(n_fft=64, hop=32, power=2, low=3, high=20),
        LogMel(rate=8000, n_fft=256, hop=128, bands=20),
    ],
)
def test_a_spectrogram_is_standardized_by_rounded_moments_of_the_training_rows(
    step: LogSpectrogram | LogMel,
) -> None:
    samples = torch.randint(-9000, 9000, (40, 900)).to(torch.int16)
    view = standardized_spectrogram("m", step, samples[:30])
    plain = step(samples, Draw(0, 0, torch.arange(40), train=False))
    mean, std = view.config()["mean"], view.config()["std"]
    assert mean == round(float(plain[:30].mean()), 4)
    assert std == round(float(plain[:30].std()), 4)
    assert torch.equal(seen(view, samples), (plain - mean) / std)


def test_symbols_are_one_hot_and_padding_is_zero_and_masked() -> None:
    view = Chain("m", (OneHot(symbols=4),))
    letters = view(
        torch.tensor([[2, 3, 0], [1, 0, 0]], dtype=torch.uint8), index=torch.arange(2), **ROWS
    )
    assert isinstance(letters, Sequence)
    assert letters.mask.tolist() == [[True, True, False], [True, False, False]]
    assert letters.values.tolist() == [
        [[0, 0, 1, 0], [0, 0, 0, 1], [0] * 4],
        [[0, 1, 0, 0], [0] * 4, [0] * 4],
    ]
    with pytest.raises(
        DataError, match=r"symbols must be numbers from 0 \(padding\) to 3, found 4"
    ):
        view(torch.tensor([[4]]), index=torch.arange(1), **ROWS)
    with pytest.raises(
        ArgumentError, match=r"must be given symbol numbers \(rows, length\), found"
    ):
        view(torch.zeros(2, 3), index=torch.arange(2), **ROWS)


BANK = torch.rand(30, 8, 8, generator=torch.Generator().manual_seed(3)) * 0.5 + 0.5
FIRST = Draw(0, 1, torch.arange(30), train=True)


def test_a_canvas_holds_the_digit_the_clutter_and_noise() -> None:
    drawn = Canvas(bank=BANK, noise=0.0).compose(BANK, FIRST)
    corners = []
    for row in range(30):
        places = [
            (y, x)
            for y in range(9)
            for x in range(9)
            if (drawn[row, y : y + 8, x : x + 8] >= BANK[row]).all()
        ]
        assert places, f"picture {row} is not on its canvas"
        corners.append(places[0])
        rest = drawn[row].clone()
        y, x = places[0]
        rest[y : y + 8, x : x + 8] = 0
        assert (rest > 0).sum() <= 16  # what is left of one 4x4 patch
    assert len(set(corners)) > 15
    noise = Canvas(bank=BANK).compose(BANK, FIRST) - drawn
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.2, abs=0.01)


def test_a_canvas_holds_the_whole_picture_and_the_given_number_of_patches() -> None:
    bank, draw = torch.full((1, 14, 14), 0.25), Draw(0, 1, torch.arange(50), train=True)
    empty, cluttered = (
        Canvas(bank=bank, size=22, patch=7, patches=n, noise=0.0).compose(
            torch.ones(50, 14, 14), draw
        )
        for n in (0, 2)
    )
    assert empty.unique().tolist() == [0.0, 1.0]
    for canvas in (empty, cluttered):
        assert ((canvas == 1).sum((1, 2)) == 14 * 14).all()
    # Clutter can be hidden behind the picture.
    assert (cluttered == 0.25).any((1, 2)).float().mean() > 0.75


def test_a_canvas_is_the_same_in_every_batch_and_another_in_every_epoch_and_seed() -> None:
    view, values = canvas_view("m", Canvas(bank=BANK)), torch.zeros(30, 16, 16).half()
    whole = seen(view, values)
    order = torch.randperm(30)
    again = torch.cat([seen(view, values[rows], index=rows) for rows in order.split(4)])
    assert torch.equal(whole[order], again)
    assert not torch.equal(whole, seen(view, values, epoch=2))
    assert not torch.equal(whole, seen(view, values, seed=1))
    assert torch.equal(whole, seen(canvas_view("other", Canvas(bank=BANK)), values))


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_row_that_is_not_used_for_training_is_shown_as_it_is_stored(epoch: int) -> None:
    stored, view = torch.rand(5, 16, 16).half(), canvas_view("m", Canvas(bank=BANK))
    assert torch.equal(seen(view, stored, epoch=epoch, train=False), stored.float()[:, None])


def test_every_option_of_a_view_is_in_its_config() -> None:
    samples = torch.randn(4, 300)
    views = [
        unit_pixels("m"),
        Chain("m", ()),
        Chain("m", (Scale(mean=1.0),)),
        standardized_spectrogram("m", LogSpectrogram(n_fft=64, hop=32, power=2), samples),
        standardized_spectrogram("m", LogSpectrogram(n_fft=64, hop=16, power=2), samples),
        standardized_spectrogram("m", LogMel(rate=8000, n_fft=64, hop=32, bands=8), samples),
        Chain("m", (OneHot(symbols=4),)),
        canvas_view("m", Canvas(bank=BANK)),
        canvas_view("m", Canvas(bank=BANK, noise=0.1)),
    ]
    assert len({str(view.config()) for view in views}) == len(views)


def test_an_identity_replaces_the_steps_in_hashes_and_survives_fitting_and_windows() -> None:
    view = Chain("m", (Scale(mean=1.0),), {"view": "old"})
    assert view.config() == {"view": "old"}
    assert view.fitted(list).config() == {"view": "old"}
    assert shift_windows(view, 0.1).config() == {"view": "old"}
