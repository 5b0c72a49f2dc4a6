"""What a model sees: against reference values, and the same for a sample whatever surrounds it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from g2d.data.steps import STEPS, Chain, Draw, read_chain
from g2d.data.steps.numbers import PCA, Standardize
from g2d.data.steps.pictures import Crop, resized
from g2d.data.steps.sound import mel_filters
from g2d.errors import ArgumentError, DataError
from g2d.types import Sequence


def see(values: Any, *steps: dict[str, Any], train: bool = False, epoch: int = 1, seed: int = 0, index: Tensor | None = None, modality: str = "m") -> Any:
    rows = torch.arange(len(values)) if index is None else index
    return read_chain(modality, steps)(values, seed=seed, epoch=epoch, index=rows, train=train)


def tone(seconds: float, rate: int) -> Tensor:
    return torch.tensor(0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * rate)) / rate), dtype=torch.float32)[None]


@pytest.mark.parametrize(
    ("samples", "n_fft", "hop", "shape"),
    [(66_150, 512, 353, (257, 188)), (441_000, 512, 353, (257, 1250)), (80_000, 256, 128, (129, 626)), (8_000, 222, 72, (112, 112))],
)
def test_spectrograms_have_librosas_shapes_and_silence_is_the_floor(samples: int, n_fft: int, hop: int, shape: tuple[int, int]) -> None:
    grid = see(torch.zeros(1, samples, dtype=torch.int16), {"name": "log_spectrogram", "n_fft": n_fft, "hop": hop})
    assert grid.shape == (1, 1, *shape)
    assert torch.allclose(grid, torch.tensor(-16.118095))


@pytest.mark.parametrize(("rate", "seconds", "n_fft", "hop", "column", "best", "peak", "edge"), [
    (22_050, 3, 512, 353, 94, 23, 4.1276, 3.4585),
    (16_000, 5, 256, 128, 300, 16, 3.4657, 2.7728),
])  # fmt: skip
def test_spectrograms_have_librosas_values(rate: int, seconds: int, n_fft: int, hop: int, column: int, best: int, peak: float, edge: float) -> None:
    grid = see(tone(seconds, rate), {"name": "log_spectrogram", "n_fft": n_fft, "hop": hop})[0, 0]
    assert int(grid[:, column].argmax()) == best
    assert float(grid[:, column].max()) == pytest.approx(peak, abs=1e-4)
    assert float(grid[:, 0].max()) == pytest.approx(edge, abs=1e-4)
    reflected = see(tone(seconds, rate), {"name": "log_spectrogram", "n_fft": n_fft, "hop": hop, "pad_mode": "reflect"})[0, 0]
    assert abs(float(reflected[:, 0].max()) - edge) > 0.01
    assert torch.equal(reflected[:, column], grid[:, column])


def test_an_impulse_fills_one_column_with_ones() -> None:
    signal = torch.zeros(1, 66_150)
    signal[0, 3530] = 1
    magnitude = see(signal, {"name": "log_spectrogram", "n_fft": 512, "hop": 353}).exp()[0, 0]
    assert torch.allclose(magnitude[:, 10], torch.tensor(1.0), atol=1e-5)
    assert float(magnitude[:, [9, 11]].max()) < 1e-6


def test_int16_is_divided_by_32768() -> None:
    whole = see(torch.full((1, 512), 16384, dtype=torch.int16), {"name": "log_spectrogram", "n_fft": 64, "hop": 32})
    assert torch.allclose(whole, see(torch.full((1, 512), 0.5), {"name": "log_spectrogram", "n_fft": 64, "hop": 32}))


def test_mel_triangles_touch() -> None:
    inner = mel_filters(16_000, 400, 80).sum(0)
    assert mel_filters(16_000, 400, 80).shape == (80, 201)
    assert float(inner.max()) <= 1.0001


PICTURES = torch.randint(0, 255, (6, 20, 24, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
VIDEO = torch.randint(0, 255, (6, 5, 20, 24, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
SOUND = torch.randint(-9000, 9000, (6, 900), generator=torch.Generator().manual_seed(0)).to(torch.int16)
RANDOM = {
    "window": (SOUND, ({"name": "window", "samples": 300},)),
    "noise": (SOUND, ({"name": "noise", "snr_db": 0.0},)),
    "crop and flip": (PICTURES, ({"name": "pixels"}, {"name": "crop", "size": 8}, {"name": "flip"})),
    "video": (VIDEO, ({"name": "pixels"}, {"name": "frames", "count": 2}, {"name": "crop", "size": 8}, {"name": "flip"})),
    "every frame": (VIDEO, ({"name": "pixels"}, {"name": "crop", "size": 8, "per_frame": True}, {"name": "flip", "per_frame": True})),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_sample_is_drawn_by_seed_epoch_and_its_number_alone(name: str) -> None:
    values, steps = RANDOM[name]
    whole = see(values, *steps, train=True)
    for rows in (torch.tensor([3]), torch.tensor([5, 0, 3])):
        assert torch.allclose(see(values[rows], *steps, train=True, index=rows), whole[rows], atol=1e-6)
    assert torch.equal(whole, see(values, *steps, train=True))
    assert not torch.equal(whole, see(values, *steps, train=True, epoch=2))
    assert not torch.equal(whole, see(values, *steps, train=True, seed=1))
    assert not torch.equal(whole, see(values, *steps, train=True, modality="other"))


@pytest.mark.parametrize("name", RANDOM)
def test_rows_that_are_not_trained_on_look_the_same_in_every_epoch(name: str) -> None:
    values, steps = RANDOM[name]
    assert torch.equal(see(values, *steps, epoch=1, seed=0), see(values, *steps, epoch=7, seed=3))


def test_a_window_lies_in_the_middle_unless_it_is_drawn() -> None:
    sound = torch.arange(160_000)[None].to(torch.float32)
    assert float(see(sound, {"name": "window", "samples": 80_000})[0, 0]) == 40_000
    starts = {int(see(sound, {"name": "window", "samples": 159_998}, train=True, epoch=e)[0, 0]) for e in range(60)}
    assert starts == {0, 1, 2}
    with pytest.raises(DataError, match="at most as long"):
        see(sound, {"name": "window", "samples": 160_001})


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_noise_has_the_power_asked_for(snr_db: float) -> None:
    signal = tone(1, 16_000)
    noise = see(signal, {"name": "noise", "snr_db": snr_db}, train=True) - signal
    assert float(noise.square().mean()) == pytest.approx(0.125 / 10 ** (snr_db / 10), rel=0.05)


def test_pixels_come_channels_first_and_normalised() -> None:
    view = see(PICTURES, {"name": "pixels", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]})
    assert view.shape == (6, 3, 20, 24)
    assert float(view[0, 1, 2, 3]) == pytest.approx((int(PICTURES[0, 2, 3, 1]) / 255 - 0.456) / 0.224, abs=1e-5)
    assert see(VIDEO, {"name": "pixels"}).shape == (6, 3, 5, 20, 24)
    assert see(PICTURES[..., 0], {"name": "pixels"}).shape == (6, 1, 20, 24)
    assert see(VIDEO[..., 0], {"name": "pixels", "frames": True}).shape == (6, 1, 5, 20, 24)


def test_a_crop_of_everything_is_a_resize() -> None:
    ramp = torch.linspace(0, 1, 24).expand(1, 3, 24, 24).contiguous()
    whole = Crop(size=24, scale=(1.0, 1.0), ratio=(1.0, 1.0))(ramp, Draw(0, 1, torch.arange(1), True))
    assert torch.allclose(whole, ramp, atol=1e-5)


@pytest.mark.parametrize("size", [8, 40])
def test_a_crop_is_what_cutting_and_resizing_with_antialias_gives(size: int) -> None:
    step, draw = Crop(size=size), Draw(0, 1, torch.arange(6), True)
    pictures = torch.rand(6, 3, 50, 37)
    for i, (top, left, height, width) in enumerate(zip(*(side[:, 0].int().tolist() for side in step.boxes(draw, (50, 37))), strict=True)):
        box = pictures[i : i + 1, :, top : top + height, left : left + width]
        torch.testing.assert_close(step(pictures, draw)[i : i + 1], resized(box, size), atol=1e-5, rtol=1e-5)
    each = Crop(size=size, per_frame=True)
    video, (tops, lefts, heights, widths) = torch.rand(6, 3, 4, 50, 37), (side.int().tolist() for side in each.boxes(draw, (50, 37), 4))
    seen = each(video, draw)
    for i in range(6):
        for t in range(4):
            box = video[i : i + 1, :, t, tops[i][t] : tops[i][t] + heights[i][t], lefts[i][t] : lefts[i][t] + widths[i][t]]
            torch.testing.assert_close(seen[i : i + 1, :, t], resized(box, size), atol=1e-5, rtol=1e-5)


def test_crops_have_the_areas_and_aspects_asked_for() -> None:
    top, left, height, width = Crop(size=8).boxes(Draw(0, 1, torch.arange(4000), True), (256, 256))
    area, ratio = height * width / 256**2, width / height
    assert 0.07 < float(area.min()) < 0.1
    assert 0.9 < float(area.max()) <= 1
    assert 0.46 < float(area.mean()) < 0.49  # large areas fit in fewer aspects: 0.478 by the integral
    assert float(ratio.min()) >= 0.73
    assert float(ratio.max()) <= 1.37
    assert bool(((top >= 0) & (left >= 0) & (top + height <= 256) & (left + width <= 256)).all())


def test_a_flip_turns_about_half_of_the_samples_and_each_as_a_whole() -> None:
    video = torch.arange(4.0).expand(2000, 1, 3, 2, 4).contiguous()
    turned = see(video, {"name": "flip"}, train=True)[:, 0, :, 0, 0] == 3
    assert 0.45 < float(turned[:, 0].float().mean()) < 0.55
    assert torch.equal(turned[:, 0], turned[:, 2])


def test_standardising_learns_from_known_numbers_alone() -> None:
    table = torch.tensor([[1.0, math.nan, 5.0], [3.0, 2.0, 5.0], [5.0, 4.0, 5.0]])
    fitted = Chain("m", (Standardize(),)).fitted(lambda: iter([table[:2], table[2:]]))
    assert fitted.steps[0].mean == pytest.approx((3.0, 3.0, 5.0))
    view = fitted(table, seed=0, epoch=0, index=torch.arange(3), train=False)
    assert isinstance(view, Tensor)
    assert float(view[0, 1]) == 0
    assert float(view[0, 2]) == 0
    assert float(view[:, 0].std(correction=0)) == pytest.approx(1)


def test_the_median_can_fill_and_the_moments_are_taken_with_it() -> None:
    values = torch.tensor([[0.0], [0.0], [9.0], [math.inf]])
    step = Standardize(fill="median").fit(iter([values]))
    assert step.center == (0.0,)
    assert step.mean == pytest.approx((2.25,))


def test_sequences_are_standardised_over_their_real_steps() -> None:
    sequence = Sequence(torch.tensor([[[2.0], [4.0], [0.0]]]), torch.tensor([[True, True, False]]))
    view = Chain("m", (Standardize(clip=0.5),)).fitted(lambda: iter([sequence]))(sequence, seed=0, epoch=0, index=torch.arange(1), train=False)
    assert isinstance(view, Sequence)
    assert view.values.flatten().tolist() == [-0.5, 0.5, 0.0]


def test_standardising_does_not_lose_digits_of_large_means() -> None:
    rows = torch.arange(1000, dtype=torch.float64)[:, None] % 2 + 1e8
    assert Standardize().fit(iter(rows.split(64))).std == pytest.approx((0.5,))


def test_principal_components_keep_what_scikit_learns_keep() -> None:
    from sklearn import decomposition

    rows = torch.tensor(np.random.default_rng(0).normal(size=(200, 4, 5)) @ np.random.default_rng(1).normal(size=(5, 5)), dtype=torch.float32)
    step = PCA(components=3).fit(iter(rows.split(50)))
    flat = rows.flatten(1).numpy()
    reference = decomposition.PCA(3).fit(flat)
    expected = reference.inverse_transform(reference.transform(flat))
    assert np.allclose(step(rows, Draw(0, 0, torch.arange(200), False)).flatten(1).numpy(), expected, atol=1e-3)
    share = PCA(energy=0.5).fit(iter([rows]))
    assert share.basis is not None
    kept = decomposition.PCA().fit(flat).explained_variance_ratio_.cumsum()
    assert kept[len(share.basis) - 2] < 0.5 <= kept[len(share.basis) - 1]


def test_what_is_learnt_reads_back() -> None:
    chain = Chain("m", (Standardize(), PCA(components=1))).fitted(lambda: iter([torch.randn(20, 3, generator=torch.Generator().manual_seed(0))]))
    assert read_chain("m", chain.config()["steps"]) == chain


@pytest.mark.parametrize(("step", "message"), [
    ({"name": "nonsense"}, "must have a name among"),
    ({"name": "window"}, "samples"),
    ({"name": "window", "samples": 5, "length": 3}, "length"),
    ({"name": "pca"}, "one of both"),
    ({}, "must have a name among"),
])  # fmt: skip
def test_a_step_that_does_not_exist_or_lacks_something_is_refused(step: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_chain("audio", [step])


def test_every_step_says_what_it_does() -> None:
    assert all(step.__doc__ and STEPS[name].model_fields["name"].default == name for name, step in STEPS.items())
