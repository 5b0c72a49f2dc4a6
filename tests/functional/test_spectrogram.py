from __future__ import annotations

import math

import pytest
import torch

from g2d.functional import spectrogram


def tone(hertz: float, rate: int, samples: int) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(samples) / rate)[None]


def test_integers_become_numbers_between_minus_one_and_one() -> None:
    samples = torch.tensor([-32768, 0, 32767], dtype=torch.int16)
    assert spectrogram.as_float(samples).tolist() == [-1.0, 0.0, 32767 / 32768]
    assert spectrogram.as_float(torch.tensor([3.5])).tolist() == [3.5]


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_magnitudes_are_a_written_out_fourier_transform(pad_mode: str) -> None:
    n_fft, hop = 8, 3
    signal = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(signal[None], (4, 4), mode=pad_mode)[0, 0].double()
    grid = spectrogram.magnitudes(signal, n_fft, hop, pad_mode=pad_mode)
    assert grid.shape == (1, 5, 1 + 20 // hop)
    for t in range(grid.shape[2]):
        for k in range(grid.shape[1]):
            total = sum(
                complex(padded[hop * t + n])
                * (0.5 - 0.5 * math.cos(2 * math.pi * n / n_fft))
                * complex(
                    math.cos(2 * math.pi * k * n / n_fft), -math.sin(2 * math.pi * k * n / n_fft)
                )
                for n in range(n_fft)
            )
            assert grid[0, k, t].item() == pytest.approx(abs(total), abs=1e-5)


def test_a_log_spectrogram_is_the_logarithm_of_power_in_the_chosen_bins() -> None:
    signal = tone(1000, 8000, 4000)
    grid = spectrogram.magnitudes(signal, 128, 64)
    for power in (1, 2):
        logs = spectrogram.log_spectrogram(signal, 128, 64, power=power, floor=1e-3, low=3, high=20)
        torch.testing.assert_close(logs, (grid[:, 3:21] ** power + 1e-3).log())
    assert (logs.argmax(1) + 3 == 16).all()  # 1000 Hz of 8000 Hz is bin 128 / 8
    silence = spectrogram.log_spectrogram(torch.zeros(1, 256), 128, 64, floor=1e-3)
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(1e-3)))


def test_mel_filters_are_triangles_with_equal_distance_in_mel() -> None:
    filters = spectrogram.mel_filters(16000, 4096, 10)
    assert filters.shape == (10, 2049)
    peaks = filters.argmax(1) * 16000 / 4096
    mel = 2595 * torch.log10(1 + peaks / 700)
    torch.testing.assert_close(mel.diff(), mel.diff().mean().expand(9), rtol=0.02, atol=0)
    torch.testing.assert_close(filters.amax(1), torch.ones(10), rtol=0.02, atol=0)
    between = slice(int(filters[0].argmax()) + 1, int(filters[-1].argmax()))
    torch.testing.assert_close(filters.sum(0)[between], torch.ones(2049)[between])


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    filters = spectrogram.mel_filters(8000, 512, 12)
    bands = spectrogram.log_mel(tone(1500, 8000, 8000), 8000, 512, 256, 12)
    assert bands.shape == (1, 12, 32)
    power = spectrogram.magnitudes(tone(1500, 8000, 8000), 512, 256) ** 2
    floored = spectrogram.log_mel(tone(1500, 8000, 8000), 8000, 512, 256, 12, floor=0.5)
    torch.testing.assert_close(floored, (filters @ power + 0.5).log())
    assert (bands[0, :, 1:-1].argmax(0) == filters[:, 1500 * 512 // 8000].argmax()).all()
