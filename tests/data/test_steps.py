"""What a model sees: against reference values, and the same for a sample whatever surrounds it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from g2d.data.views import STEPS, Chain, Draw, read_chain
from g2d.data.views.numbers import PCA, Clip, Standardize
from g2d.data.views.pictures import Crop, resized
from g2d.errors import ArgumentError, DataError
from g2d.functional.spectrogram import mel_filters
from g2d.types import Input, Sequence


def see(
    values: Any,
    *steps: dict[str, Any],
    train: bool = False,
    epoch: int = 1,
    seed: int = 0,
    index: Tensor | None = None,
    modality: str = "m",
) -> Any:
    rows = torch.arange(len(values)) if index is None else index
    return read_chain(modality, steps)(values, seed=seed, epoch=epoch, index=rows, train=train)


def tone(seconds: float, rate: int) -> Tensor:
    return torch.tensor(
        0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * rate)) / rate),
        dtype=torch.float32,
    )[None]


@pytest.mark.parametrize(
    ("samples", "n_fft", "hop", "shape"),
    [
        (66_150, 512, 353, (257, 188)),
        (441_000, 512, 353, (257, 1250)),
        (80_000, 256, 128, (129, 626)),
        (8_000, 222, 72, (112, 112)),
    ],
)
def test_spectrograms_have_librosas_shapes_and_silence_is_the_floor(
    samples: int, n_fft: int, hop: int, shape: tuple[int, int]
) -> None:
    grid = see(
        torch.zeros(1, samples, dtype=torch.int16),
        {"name": "log_spectrogram", "n_fft": n_fft, "hop": hop},
    )
    assert grid.shape == (1, 1, *shape)
    assert torch.allclose(grid, torch.tensor(-16.118095))


@pytest.mark.parametrize(
    ("rate", "seconds", "n_fft", "hop", "column", "best", "peak", "edge"),
    [
        (22_050, 3, 512, 353, 94, 23, 4.1276, 3.4585),
        (16_000, 5, 256, 128, 300, 16, 3.4657, 2.7728),
    ],
)
def test_spectrograms_have_librosas_values(
    rate: int, seconds: int, n_fft: int, hop: int, column: int, best: int, peak: float, edge: float
) -> None:
    grid = see(tone(seconds, rate), {"name": "log_spectrogram", "n_fft": n_fft, "hop": hop})[0, 0]
    assert int(grid[:, column].argmax()) == best
    assert float(grid[:, column].max()) == pytest.approx(peak, abs=1e-4)
    assert float(grid[:, 0].max()) == pytest.approx(edge, abs=1e-4)
    reflected = see(
        tone(seconds, rate),
        {"name": "log_spectrogram", "n_fft": n_fft, "hop": hop, "pad_mode": "reflect"},
    )[0, 0]
    assert abs(float(reflected[:, 0].max()) - edge) > 0.01
    assert torch.equal(reflected[:, column], grid[:, column])


def test_an_impulse_fills_one_column_with_ones() -> None:
    signal = torch.zeros(1, 66_150)
    signal[0, 3530] = 1
    magnitude = see(signal, {"name": "log_spectrogram", "n_fft": 512, "hop": 353}).exp()[0, 0]
    assert torch.allclose(magnitude[:, 10], torch.tensor(1.0), atol=1e-5)
    assert float(magnitude[:, [9, 11]].max()) < 1e-6


def test_int16_is_divided_by_32768() -> None:
    whole = see(
        torch.full((1, 512), 16384, dtype=torch.int16),
        {"name": "log_spectrogram", "n_fft": 64, "hop": 32},
    )
    assert torch.allclose(
        whole, see(torch.full((1, 512), 0.5), {"name": "log_spectrogram", "n_fft": 64, "hop": 32})
    )


def test_mel_triangles_touch() -> None:
    inner = mel_filters(16_000, 400, 80).sum(0)
    assert mel_filters(16_000, 400, 80).shape == (80, 201)
    assert float(inner.max()) <= 1.0001


PICTURES = torch.randint(0, 255, (6, 20, 24, 3), generator=torch.Generator().manual_seed(0)).to(
    torch.uint8
)
VIDEO = torch.randint(0, 255, (6, 5, 20, 24, 3), generator=torch.Generator().manual_seed(0)).to(
    torch.uint8
)
SOUND = torch.randint(-9000, 9000, (6, 900), generator=torch.Generator().manual_seed(0)).to(
    torch.int16
)
RANDOM = {
    "window": (SOUND, ({"name": "window", "samples": 300},)),
    "noise": (SOUND, ({"name": "noise", "snr_db": 0.0},)),
    "crop and flip": (
        PICTURES,
        ({"name": "pixels"}, {"name": "crop", "size": 8}, {"name": "flip"}),
    ),
    "video": (
        VIDEO,
        (
            {"name": "pixels"},
            {"name": "frames", "count": 2},
            {"name": "crop", "size": 8},
            {"name": "flip"},
        ),
    ),
    "frames and flip": (
        VIDEO,
        ({"name": "pixels"}, {"name": "frames", "count": 2}, {"name": "flip", "per_frame": True}),
    ),
    "every frame": (
        VIDEO,
        (
            {"name": "pixels"},
            {"name": "crop", "size": 8, "per_frame": True},
            {"name": "flip", "per_frame": True},
        ),
    ),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_sample_is_drawn_by_seed_epoch_and_its_number_alone(name: str) -> None:
    values, steps = RANDOM[name]
    whole = see(values, *steps, train=True)
    # Drawn numbers are the same bit for bit; sums can be rounded differently in other batches.
    tolerance = 0.0 if name in ("window", "frames and flip") else 1e-6
    for rows in (torch.tensor([3]), torch.tensor([5, 0, 3])):
        assert torch.allclose(
            see(values[rows], *steps, train=True, index=rows), whole[rows], atol=tolerance, rtol=0
        )
    assert torch.equal(whole, see(values, *steps, train=True))
    assert not torch.equal(whole, see(values, *steps, train=True, epoch=2))
    assert not torch.equal(whole, see(values, *steps, train=True, seed=1))
    assert not torch.equal(whole, see(values, *steps, train=True, modality="other"))


@pytest.mark.parametrize("name", RANDOM)
def test_rows_that_are_not_trained_on_look_the_same_in_every_epoch(name: str) -> None:
    values, steps = RANDOM[name]
    assert torch.equal(see(values, *steps, epoch=1, seed=0), see(values, *steps, epoch=7, seed=3))


def test_a_window_is_in_the_middle_unless_it_is_drawn() -> None:
    sound = torch.arange(160_000)[None].to(torch.float32)
    assert float(see(sound, {"name": "window", "samples": 80_000})[0, 0]) == 40_000
    starts = {
        int(see(sound, {"name": "window", "samples": 159_998}, train=True, epoch=e)[0, 0])
        for e in range(60)
    }
    assert starts == {0, 1, 2}
    with pytest.raises(
        ArgumentError, match=r"at least 160001 samples, found \(1, 160000\) float32"
    ):
        see(sound, {"name": "window", "samples": 160_001})


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_noise_has_the_power_asked_for(snr_db: float) -> None:
    signal = tone(1, 16_000)
    noise = see(signal, {"name": "noise", "snr_db": snr_db}, train=True) - signal
    assert float(noise.square().mean()) == pytest.approx(0.125 / 10 ** (snr_db / 10), rel=0.05)


def test_pixels_come_channels_first_and_normalised() -> None:
    view = see(
        PICTURES, {"name": "pixels", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    )
    assert view.shape == (6, 3, 20, 24)
    assert float(view[0, 1, 2, 3]) == pytest.approx(
        (int(PICTURES[0, 2, 3, 1]) / 255 - 0.456) / 0.224, abs=1e-5
    )
    assert see(VIDEO, {"name": "pixels"}).shape == (6, 3, 5, 20, 24)
    assert see(PICTURES[..., 0], {"name": "pixels"}).shape == (6, 1, 20, 24)
    assert see(VIDEO[..., 0], {"name": "pixels", "frames": True}).shape == (6, 1, 5, 20, 24)


def test_a_crop_of_everything_is_a_resize() -> None:
    ramp = torch.linspace(0, 1, 24).expand(1, 3, 24, 24).contiguous()
    whole = Crop(size=24, scale=(1.0, 1.0), ratio=(1.0, 1.0))(
        ramp, Draw(0, 1, torch.arange(1), True)
    )
    assert torch.allclose(whole, ramp, atol=1e-5)


@pytest.mark.parametrize("size", [8, 40])
def test_a_crop_is_what_cutting_and_resizing_with_antialias_gives(size: int) -> None:
    step, draw = Crop(size=size), Draw(0, 1, torch.arange(6), True)
    pictures = torch.rand(6, 3, 50, 37)
    for i, (top, left, height, width) in enumerate(
        zip(*(side[:, 0].int().tolist() for side in step.boxes(draw, (50, 37))), strict=True)
    ):
        box = pictures[i : i + 1, :, top : top + height, left : left + width]
        torch.testing.assert_close(
            step(pictures, draw)[i : i + 1], resized(box, size), atol=1e-5, rtol=1e-5
        )
    each = Crop(size=size, per_frame=True)
    video, (tops, lefts, heights, widths) = (
        torch.rand(6, 3, 4, 50, 37),
        (side.int().tolist() for side in each.boxes(draw, (50, 37), 4)),
    )
    seen = each(video, draw)
    for i in range(6):
        for t in range(4):
            box = video[
                i : i + 1,
                :,
                t,
                tops[i][t] : tops[i][t] + heights[i][t],
                lefts[i][t] : lefts[i][t] + widths[i][t],
            ]
            torch.testing.assert_close(
                seen[i : i + 1, :, t], resized(box, size), atol=1e-5, rtol=1e-5
            )


def test_crops_have_the_areas_and_aspects_asked_for() -> None:
    top, left, height, width = Crop(size=8).boxes(Draw(0, 1, torch.arange(4000), True), (256, 256))
    area, ratio = height * width / 256**2, width / height
    assert 0.07 < float(area.min()) < 0.1
    assert 0.9 < float(area.max()) <= 1
    assert (
        0.46 < float(area.mean()) < 0.49
    )  # large areas fit in fewer aspects: 0.478 by the integral
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


def test_a_median_of_more_rows_than_memory_has_room_for_is_one_of_many_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor(
        [0.0, 5.0]
    )
    rows[::7, 1] = math.nan
    exact = Standardize(fill="median").fit(iter(rows.split(64)))
    assert exact.center == pytest.approx(
        rows.nanmedian(0).values.tolist(), abs=2e-3
    )  # torch takes the lower of two middle ones
    monkeypatch.setattr("g2d.data.views.numbers.MEDIAN_ROWS", 1000)
    some = Standardize(fill="median").fit(iter(rows.split(64)))
    assert some.center == Standardize(fill="median").fit(iter([rows])).center
    assert some.center != exact.center
    assert some.center == pytest.approx(exact.center, abs=0.15)


def test_the_moments_of_filled_rows_are_those_of_the_rows_written_out() -> None:
    rows = torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4
    rows[::3, 1], rows[::5, 2] = math.nan, -math.inf
    step = Standardize(fill="median").fit(iter(rows.float().split(64)))
    filled = rows.float().double()
    filled = torch.where(filled.isfinite(), filled, torch.tensor(step.center, dtype=torch.float64))
    assert step.mean == pytest.approx(filled.mean(0).tolist(), rel=1e-12)
    assert step.std == pytest.approx(filled.std(0, correction=0).tolist(), rel=1e-12)


def test_sequences_are_standardised_over_their_real_steps() -> None:
    sequence = Sequence(torch.tensor([[[2.0], [4.0], [0.0]]]), torch.tensor([[True, True, False]]))
    view = Chain("m", (Standardize(clip=0.5),)).fitted(lambda: iter([sequence]))(
        sequence, seed=0, epoch=0, index=torch.arange(1), train=False
    )
    assert isinstance(view, Sequence)
    assert view.values.flatten().tolist() == [-0.5, 0.5, 0.0]


def test_standardising_does_not_lose_digits_of_large_means() -> None:
    rows = torch.arange(1000, dtype=torch.float64)[:, None] % 2 + 1e8
    assert Standardize().fit(iter(rows.split(64))).std == pytest.approx((0.5,))


def test_principal_components_keep_what_scikit_learns_keep() -> None:
    from sklearn import decomposition

    rows = torch.tensor(
        np.random.default_rng(0).normal(size=(200, 4, 5))
        @ np.random.default_rng(1).normal(size=(5, 5)),
        dtype=torch.float32,
    )
    step = PCA(components=3).fit(iter(rows.split(50)))
    flat = rows.flatten(1).numpy()
    reference = decomposition.PCA(3).fit(flat)
    expected = reference.inverse_transform(reference.transform(flat))
    assert np.allclose(
        step(rows, Draw(0, 0, torch.arange(200), False)).flatten(1).numpy(), expected, atol=1e-3
    )
    share = PCA(energy=0.5).fit(iter([rows]))
    assert share.basis is not None
    kept = decomposition.PCA().fit(flat).explained_variance_ratio_.cumsum()
    assert kept[len(share.basis) - 2] < 0.5 <= kept[len(share.basis) - 1]


def test_fitted_values_read_back() -> None:
    chain = Chain("m", (Standardize(), PCA(components=1))).fitted(
        lambda: iter([torch.randn(20, 3, generator=torch.Generator().manual_seed(0))])
    )
    assert read_chain("m", chain.config()["steps"]) == chain


SPEC = {"name": "log_spectrogram", "n_fft": 64, "hop": 32}
TABLE = torch.randn(2, 4)
WORDS = torch.full((2, 9), ord("a"), dtype=torch.uint8)
STEPWISE = Sequence(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))


@pytest.mark.parametrize(
    ("values", "steps", "sentence"),
    [
        (
            SOUND[:2],
            [SPEC, SPEC],
            r"the step 'log_spectrogram' of the view of 'it' must be given sound "
            r"\(rows, samples\), found \(2, 1, 33, 29\) float32\.",
        ),
        (
            SOUND[:2],
            [{**SPEC, "n_fft": 2000, "pad_mode": "reflect"}],
            r"must be given more than 1000 samples .* found \(2, 900\) int16",
        ),
        (SOUND[:2], [{"name": "pixels"}], "'pixels' .* must be given pixels as bytes"),
        (
            SOUND[:2],
            [{"name": "crop", "size": 8}],
            "'crop' .* must be given pictures with channels first",
        ),
        (
            SOUND[:2],
            [{"name": "frames", "count": 2}],
            "'frames' .* must be given video with channels first",
        ),
        (SOUND[:2], [{"name": "tokens"}], "'tokens' .* must be given text as bytes"),
        (
            PICTURES[:2],
            [{"name": "window", "samples": 5}],
            r"'window' .* must be given sound .* found \(2, 20, 24, 3\) uint8",
        ),
        (
            PICTURES[:2],
            [{"name": "log_mel", "rate": 8000, "n_fft": 64, "hop": 32, "bands": 8}],
            "'log_mel' .* must be given sound",
        ),
        (
            PICTURES[:2],
            [{"name": "resize", "size": 8}],
            "'resize' .* must be given pictures with channels first",
        ),
        (PICTURES[:2], [{"name": "flip"}], "'flip' .* must be given pictures with channels first"),
        (
            PICTURES[:2],
            [{"name": "pixels", "mean": [0.1, 0.2]}],
            r"as many channels as mean and std have numbers \(2\)",
        ),
        (
            PICTURES[:2],
            [{"name": "pixels", "frames": True}, {"name": "pixels"}],
            r"must be given pixels as bytes .* found \(2, 1, 20, 24, 3\) float32",
        ),
        (VIDEO[:2], [{"name": "pixels", "frames": True}], "gray video"),
        (
            PICTURES[:2],
            [{"name": "pixels"}, {"name": "frames", "count": 2}],
            r"'frames' .* found \(2, 3, 20, 24\) float32",
        ),
        (
            VIDEO[:2],
            [{"name": "pixels"}, {"name": "frames", "count": 6}],
            r"at least 6 frames, found \(2, 3, 5, 20, 24\)",
        ),
        (
            TABLE,
            [{"name": "standardize", "mean": [0, 0, 0], "std": [1, 1, 1]}],
            r"as many features as mean and std have numbers \(3\), found \(2, 4\) float32",
        ),
        (
            TABLE,
            [{"name": "pca", "components": 5}],
            r"at least as many features as components \(5\)",
        ),
        (
            TABLE,
            [{"name": "pca", "components": 1, "mean": [0, 0], "basis": [[1, 0]]}],
            "rows of 2 features, as it was fitted on",
        ),
        (
            TABLE,
            [{"name": "scale", "channel": True}, {"name": "window", "samples": 2}],
            "'window' .* must be given sound",
        ),
        (
            STEPWISE,
            [{"name": "scale", "channel": True}],
            r"not a padded sequence, as channel is true, found a padded sequence \(2, 5, 3\)",
        ),
        (
            STEPWISE,
            [{"name": "noise", "snr_db": 0}],
            "'noise' .* must be given one grid or table per row",
        ),
        (
            WORDS,
            [{"name": "window", "samples": 2}],
            r"'window' .* must be given sound .* found \(2, 9\) uint8",
        ),
        (
            WORDS,
            [{"name": "tokens"}, {"name": "pca", "components": 1}],
            r"'pca' .* found token ids \(2, 64\)",
        ),
        (
            WORDS,
            [{"name": "tokens"}, {"name": "standardize"}],
            "'standardize' .* must be given numbers, not text or token ids",
        ),
        (
            WORDS,
            [{"name": "tokens"}, {"name": "tokens"}],
            "'tokens' .* must be given text as bytes",
        ),
    ],
)
def test_steps_that_do_not_fit_what_they_are_given_are_refused(
    values: Any, steps: list[dict[str, Any]], sentence: str
) -> None:
    chain = read_chain("it", steps)
    for refused in (
        lambda: chain.check(values),
        lambda: chain.fitted(lambda: [values])(
            values, seed=0, epoch=1, index=torch.arange(2), train=True
        ),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            refused()


def test_a_chain_that_fits_passes_and_learns_nothing_for_good() -> None:
    chain = read_chain(
        "it",
        [{"name": "pixels"}, {"name": "crop", "size": 8}, {"name": "standardize", "axes": "all"}],
    )
    chain.check(PICTURES[:2])
    assert not all(step.fitted for step in chain.steps)


def test_whatever_else_fails_on_an_example_names_the_modality_and_the_shape() -> None:
    class Odd(Clip):
        def __call__(self, values: Input, draw: Draw) -> Input:
            raise IndexError("beyond the end")

    with pytest.raises(
        ArgumentError,
        match=r"the view of 'it' must fit the stored values, found \(2, 4\) float32, "
        r"for which it fails: beyond the end",
    ):
        Chain("it", (Odd(low=0),)).check(TABLE)


def test_principal_components_of_what_is_missing_are_refused_with_the_way_out() -> None:
    table = torch.tensor([[1.0, math.nan], [2.0, 3.0]])
    with pytest.raises(DataError, match=r"Put \{name: standardize\} before it"):
        read_chain("it", [{"name": "pca", "components": 1}]).check(table)
    read_chain("it", [{"name": "standardize"}, {"name": "pca", "components": 1}]).check(table)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": ["window"]}, r"must have a name among .*, found \['window'\]"),
        (
            {**SPEC, "low": 20, "high": 10},
            "low and high must be bins in order, from 0 to 32 for n_fft 64, found 20 and 10",
        ),
        ({**SPEC, "low": 33}, "low and high must be bins"),
        ({**SPEC, "high": 33}, "low and high must be bins"),
        (
            {"name": "crop", "size": 8, "scale": [1.0, 0.08]},
            "scale must be the smallest and the greatest share",
        ),
        ({"name": "crop", "size": 8, "scale": [-1, 0.5]}, "scale must be"),
        ({"name": "crop", "size": 8, "scale": [4, 9]}, "scale must be"),
        ({"name": "crop", "size": 8, "ratio": [-1, 2]}, "ratio must be"),
        ({"name": "clip"}, "clip must be given low, high or both"),
        ({"name": "clip", "low": 1, "high": 0}, "low must be below high, found 1.0 and 0.0"),
        ({"name": "pixels", "std": [0.0]}, r"std\.0: .* greater than 0"),
        ({"name": "scale", "std": math.inf}, "std: .* finite number"),
        ({"name": "standardize", "mean": [0], "std": [0]}, r"std\.0: .* greater than 0"),
        (
            {"name": "standardize", "mean": [0.1]},
            "mean and std must be given together, found only mean",
        ),
        ({"name": "standardize", "mean": [0, 1], "std": [1]}, "equally many numbers"),
        (
            {"name": "standardize", "axes": "all", "mean": [0, 1], "std": [1, 1]},
            "one number each for axes all",
        ),
        ({"name": "pca", "components": 1, "mean": [0], "basis": [[1, 0]]}, "equally many numbers"),
        (
            {"name": "tokens", "vocabulary": ["a", "b"]},
            r"vocabulary must begin with \[PAD\] and \[UNK\]",
        ),
        ({"name": "nonsense"}, "must have a name among"),
        ({"name": "window"}, "samples"),
        ({"name": "window", "samples": 5, "length": 3}, "length"),
        ({"name": "pca"}, "either components or energy"),
        ({}, "must have a name among"),
    ],
)
def test_a_step_that_does_not_exist_or_lacks_something_is_refused(
    step: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_chain("audio", [step])


def test_every_step_says_what_it_does() -> None:
    assert all(
        step.__doc__ and STEPS[name].model_fields["name"].default == name
        for name, step in STEPS.items()
    )
