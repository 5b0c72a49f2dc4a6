"""What the model sees of stored values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from g2d.data.views.plain import Canvas, LogMel, LogSpectrogram, OneHot, Scaled, View
from g2d.errors import DataError
from g2d.types import Sequence

ROWS = {"seed": 0, "epoch": 1, "train": True}


def seen(view: View, values: torch.Tensor, **changed: object) -> torch.Tensor:
    index = torch.arange(len(values))
    result = view(values, **({"index": index} | ROWS | changed))
    assert isinstance(result, torch.Tensor)
    return result


def test_a_scaled_grid_gets_a_channel_axis_and_a_table_does_not() -> None:
    pixels = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    assert seen(Scaled(0.0, 255.0, channel=True), pixels).tolist() == [
        [[[0.0, 1.0], [pytest.approx(0.2), pytest.approx(0.4)]]]
    ]
    assert seen(Scaled(1.0, 2.0), torch.tensor([[3.0, 5.0]])).tolist() == [[1.0, 2.0]]


def test_a_spectrogram_is_the_log_power_of_written_out_windows() -> None:
    signal = torch.randn(2, 100, dtype=torch.float64)
    got = LogSpectrogram(16, 8, low=2, high=6).log_power(signal.float())
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 16) for n in range(16)])
    padded = np.pad(signal.numpy(), ((0, 0), (8, 8)))
    expected = np.zeros((2, 5, 13))
    for row in range(2):
        for frame in range(13):
            piece = padded[row, 8 * frame : 8 * frame + 16] * window
            for k in range(2, 7):
                value = sum(piece[n] * np.exp(-2j * np.pi * k * n / 16) for n in range(16))
                expected[row, k - 2, frame] = math.log(abs(value) ** 2 + 1e-7)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "n_fft", "hop", "shape"),
    [
        (3 * 22050, 512, 353, (257, 188)),
        (20 * 22050, 512, 353, (257, 1250)),
        (5 * 16000, 256, 128, (129, 626)),
        (8000, 222, 72, (112, 112)),
    ],
)
def test_spectrograms_have_the_published_shapes_and_silence_is_the_floor(
    samples: int, n_fft: int, hop: int, shape: tuple[int, int]
) -> None:
    silence = LogSpectrogram(n_fft, hop).log_power(torch.zeros(1, samples))
    assert tuple(silence.shape[1:]) == shape
    torch.testing.assert_close(silence, torch.full_like(silence, -16.118095))


@pytest.mark.parametrize(
    ("rate", "seconds", "n_fft", "hop", "column", "peak", "maximum", "edge"),
    [(22050, 3, 512, 353, 94, 23, 4.1276, 3.4585), (16000, 5, 256, 128, 300, 16, 3.4657, 2.7728)],
)
def test_a_pure_tone_gives_the_golden_magnitudes(
    rate: int,
    seconds: int,
    n_fft: int,
    hop: int,
    column: int,
    peak: int,
    maximum: float,
    edge: float,
) -> None:
    wave = 0.5 * torch.sin(
        2 * math.pi * 1000 * torch.arange(seconds * rate, dtype=torch.float64) / rate
    )
    magnitude = LogSpectrogram(n_fft, hop).log_power(wave.float()[None])[0]
    assert magnitude[:, column].argmax() == peak
    # The golden values are logarithms of magnitudes; this view's are of powers.
    assert magnitude[:, column].max().item() / 2 == pytest.approx(maximum, abs=1e-4)
    assert magnitude[:, 0].max().item() / 2 == pytest.approx(edge, abs=1e-4)


def test_int16_samples_are_shares_of_the_full_range() -> None:
    samples = torch.randint(-32768, 32767, (3, 400)).to(torch.int16)
    view = LogSpectrogram(64, 32)
    torch.testing.assert_close(view.log_power(samples), view.log_power(samples.float() / 32768))


def test_a_view_is_standardised_by_what_it_was_given() -> None:
    samples = torch.randn(4, 400)
    plain, scaled = LogSpectrogram(64, 32), LogSpectrogram(64, 32, mean=2.0, std=3.0)
    torch.testing.assert_close(seen(scaled, samples), (plain.log_power(samples)[:, None] - 2) / 3)
    assert {"mean": 2.0, "std": 3.0}.items() <= scaled.config().items()


def test_mel_filters_are_triangles_with_peak_one_that_share_their_corners() -> None:
    view = LogMel(8000, 256, 128, bands=20)
    filters = view.filters()
    assert filters.shape == (20, 129)
    assert 0 <= filters.min() <= filters.max() <= 1
    fine = LogMel(8000, 2**16, 128, bands=20).filters()
    torch.testing.assert_close(fine.amax(1), torch.ones(20), atol=5e-3, rtol=0)
    inside = slice(int(fine[0].argmax()) + 1, int(fine[-1].argmax()))
    torch.testing.assert_close(
        fine.sum(0)[inside], torch.ones(inside.stop - inside.start), atol=1e-4, rtol=0
    )
    samples = torch.randn(2, 1000)
    power = LogSpectrogram(256, 128).log_power(samples).exp() - 1e-7
    torch.testing.assert_close(
        view.log_power(samples), (filters @ power + 1e-7).log(), rtol=1e-3, atol=1e-3
    )


def test_letters_are_one_hot_and_padding_is_zero_and_masked() -> None:
    view = OneHot(4)
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


BANK = torch.rand(30, 8, 8, generator=torch.Generator().manual_seed(3)) * 0.5 + 0.5


def test_a_canvas_holds_the_digit_the_clutter_and_noise() -> None:
    index = torch.arange(30)
    drawn = Canvas(BANK, noise=0.0).draw(BANK, seed=0, epoch=1, index=index)
    found = torch.zeros(30, 2, dtype=torch.int64)
    for row in range(30):
        places = [
            (y, x)
            for y in range(9)
            for x in range(9)
            if (drawn[row, y : y + 8, x : x + 8] >= BANK[row]).all()
        ]
        assert places, f"picture {row} is not on its canvas"
        found[row] = torch.tensor(places[0])
        rest = drawn[row].clone()
        y, x = places[0]
        rest[y : y + 8, x : x + 8] = 0
        assert (rest > 0).sum() <= 16  # what is left of one 4x4 patch
    assert len(set(map(tuple, found.tolist()))) > 15
    noise = Canvas(BANK).draw(BANK, seed=0, epoch=1, index=index) - drawn
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.2, abs=0.01)


def test_a_canvas_is_the_same_whatever_the_batch_and_another_in_every_epoch_and_seed() -> None:
    view, values = Canvas(BANK), torch.zeros(30, 16, 16, dtype=torch.float16)
    whole = seen(view, values)
    order = torch.randperm(30)
    again = torch.cat([seen(view, values[rows], index=rows) for rows in order.split(4)])
    assert torch.equal(whole[order], again)
    assert not torch.equal(whole, seen(view, values, epoch=2))
    assert not torch.equal(whole, seen(view, values, seed=1))


def test_a_row_that_is_not_trained_on_is_shown_as_it_is_stored() -> None:
    stored = torch.rand(5, 16, 16).half()
    for epoch in (0, 3):
        assert torch.equal(
            seen(Canvas(BANK), stored, epoch=epoch, train=False), stored.float()[:, None]
        )


def test_what_determines_a_view_is_in_its_config() -> None:
    views = [
        Scaled(),
        Scaled(1.0),
        LogSpectrogram(64, 32),
        LogSpectrogram(64, 16),
        LogMel(8000, 64, 32, 8),
        OneHot(4),
        Canvas(BANK),
        Canvas(BANK, noise=0.1),
    ]
    configs = [str(view.config()) for view in views]
    assert len(set(configs)) == len(views)
