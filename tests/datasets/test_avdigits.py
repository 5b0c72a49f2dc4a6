"""Handwriting and speech: pools that never meet, pairs that mean the same digit, noise at the ratio asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from g2d.data.views.plain import Canvas, LogMel
from g2d.datasets.av_mnist.parts import pools_by_take, read_pack
from g2d.datasets.av_mnist.problem import AVDigitsOptions, open_avdigits
from g2d.errors import DataError


def made_parts(folder: Path) -> Path:
    """Parts in the layout of the real ones, small: 40 recordings per digit (one speaker, takes 0..39) that are tones, and constant noise clips."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, n in (("train", 55_100), ("test", 200)):
        digit = (np.arange(n) % 10).astype(np.uint8)
        np.savez(
            folder / f"mnist_{name}.npz",
            image=np.repeat(digit[:, None, None] * 20, 28, 1).repeat(28, 2),
            digit=digit,
        )
    digit, take = np.repeat(np.arange(10), 40), np.tile(np.arange(40), 10)
    recordings = [(8000 * np.sin(np.arange(2000) * (1 + d) / 8)).astype(np.int16) for d in digit]
    offset = np.concatenate([[0], np.cumsum([len(r) for r in recordings])])
    np.savez(
        folder / "spoken_digits_8khz.npz",
        waveform=np.concatenate(recordings),
        offset=offset,
        digit=digit.astype(np.uint8),
        speaker=np.zeros(400, np.uint8),
        take=take.astype(np.uint8),
        speaker_name=np.array(["ada"]),
    )
    clips = [(rng.standard_normal(9000) * 500 * (i + 1)).astype(np.int16) for i in range(6)]
    np.savez(
        folder / "noise_speech_commands_8khz.npz",
        waveform=np.concatenate(clips),
        offset=np.arange(7) * 9000,
    )
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    made_parts(folder / "avdigits-raw")
    return folder


def test_picture_and_recording_of_a_row_mean_its_digit(root: Path) -> None:
    parts = read_pack(root / "avdigits-raw")
    rows, digit = parts.pictures((60, 20, 40))
    split = np.repeat(np.arange(3, dtype=np.int8), (60, 20, 40))
    recording = parts.pair(digit, split, seed=0)
    assert (parts.picture_digit[rows] == digit).all()
    assert (parts.speech_digit[recording] == digit).all()


def test_no_take_and_no_noise_clip_stands_on_two_sides(root: Path) -> None:
    parts = read_pack(root / "avdigits-raw")
    _, digit = parts.pictures((300, 100, 200))
    split = np.repeat(np.arange(3, dtype=np.int8), (300, 100, 200))
    takes = [
        set(parts.take[parts.pair(digit, split, 0)[split == pool]].tolist()) for pool in range(3)
    ]
    assert takes[2] <= set(range(5))
    assert takes[1] <= set(range(5, 10))
    assert takes[0] <= set(range(10, 40))
    assert [len(parts.noise[pool]) for pool in range(3)] == [4, 1, 1]
    assert not any(
        a is b for p in range(3) for q in range(p) for a in parts.noise[p] for b in parts.noise[q]
    )


def test_a_recording_is_used_again_only_when_all_of_its_digit_were(root: Path) -> None:
    parts = read_pack(root / "avdigits-raw")
    digit = np.zeros(65, np.int64)
    used = parts.pair(digit, np.zeros(65, np.int8), seed=3)
    assert len(set(used[:30].tolist())) == len(set(used[30:60].tolist())) == 30
    assert not np.array_equal(used[:30], used[30:60])


@pytest.mark.parametrize("snr_db", [-8.0, 0.0, 12.0])
def test_noise_is_mixed_in_at_the_ratio_asked_for(root: Path, snr_db: float) -> None:
    parts = read_pack(root / "avdigits-raw")
    mixed = parts.mixed(0, 0, snr_db, np.random.default_rng(0)).astype(np.float64)
    around = np.concatenate(
        [mixed[:3000], mixed[5000:]]
    )  # the recording fills the 2,000 samples in the middle
    clean = np.square(mixed[3000:5000]).mean() - np.square(around).mean()
    assert 10 * np.log10(clean / np.square(around).mean()) == pytest.approx(snr_db, abs=1.5)
    assert np.abs(mixed).max() <= 0.99 * 32767 + 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(root: Path) -> None:
    first, again, other = (
        open_avdigits(AVDigitsOptions(pairs=60, root=str(root), seed=seed)) for seed in (0, 0, 1)
    )
    assert first.content_hash == again.content_hash != other.content_hash
    assert [len(first.rows(split)) for split in ("train", "valid", "test")] == [60, 20, 40]


def test_one_modality_alone_holds_the_bytes_it_has_among_both(root: Path) -> None:
    both, alone = (
        open_avdigits(AVDigitsOptions(pairs=60, root=str(root))),
        open_avdigits(AVDigitsOptions(pairs=60, root=str(root), modalities=("speech",))),
    )
    assert alone.modalities == ("speech",)
    np.testing.assert_array_equal(alone.arrays["speech"], both.arrays["speech"])


def test_missing_parts_say_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Set data.root or the environment's G2D_DATA"):
        open_avdigits(AVDigitsOptions(root=str(tmp_path)))


def test_too_many_pairs_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"found 100 for 200 rows"):
        open_avdigits(AVDigitsOptions(pairs=600, root=str(root)))


def test_damaged_parts_are_named(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "avdigits-raw"
    folder.mkdir()
    for file in (root / "avdigits-raw").iterdir():
        (folder / file.name).write_bytes(
            file.read_bytes() if file.name != "mnist_test.npz" else b"half a file"
        )
    with pytest.raises(DataError, match=r"mnist_test.npz must hold the arrays image, digit"):
        open_avdigits(AVDigitsOptions(root=str(tmp_path)))


def test_a_canvas_holds_the_picture_whole_and_as_many_patches_as_asked_for() -> None:
    bank = torch.full((1, 14, 14), 0.25)
    drawn = [
        Canvas(bank, size=22, patch=7, patches=n, noise=0.0).draw(
            torch.ones(50, 14, 14), seed=0, epoch=1, index=torch.arange(50)
        )
        for n in (0, 2)
    ]
    assert ((drawn[0] == 1).sum((1, 2)) == 14 * 14).all()
    assert (drawn[0].unique() == torch.tensor([0.0, 1.0])).all()
    assert ((drawn[1] == 1).sum((1, 2)) == 14 * 14).all()
    assert (drawn[1] == 0.25).any(
        (1, 2)
    ).float().mean() > 0.75  # clutter may lie behind the picture


def test_mel_bands_are_triangles_that_sum_to_one_between_the_first_and_the_last_peak() -> None:
    filters = LogMel(8000, n_fft=1024, hop=512, bands=32).filters()
    total, peaks = filters.sum(0), filters.argmax(1)
    assert filters.shape == (32, 513)
    torch.testing.assert_close(
        total[peaks[0] + 1 : peaks[-1]],
        torch.ones(int(peaks[-1] - peaks[0]) - 1),
        atol=1e-6,
        rtol=0,
    )
    assert (peaks.diff() >= 0).all()


def test_a_pure_tone_fills_the_band_of_its_frequency() -> None:
    view = LogMel(8000, n_fft=1024, hop=512, bands=32)
    samples = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)[None]
    power = view.log_power(samples)
    assert power.shape == (1, 32, 16)
    frequency_bin = round(1000 / (8000 / 1024))
    assert int(power[0, :, 8].argmax()) == int(view.filters()[:, frequency_bin].argmax())


def test_the_real_parts_are_read(pack: Callable[[str], Path]) -> None:
    source = open_avdigits(AVDigitsOptions(root=str(pack("avdigits-raw").parent)))
    assert source.describe()["rows"] == {"train": 1500, "valid": 500, "test": 1000}
    batch = source.view(source.gather(source.rows("train")[:4]), seed=0, epoch=1, train=True)
    assert {m: tuple(values.shape) for m, values in batch.inputs.items()} == {
        "image": (4, 1, 22, 22),
        "speech": (4, 1, 32, 16),
    }


def test_noise_has_the_power_that_the_ratio_asks_for(root: Path) -> None:
    parts = read_pack(root / "avdigits-raw")
    parts.speech, parts.offset = (
        (np.where(np.arange(8000) % 2, 1, -1) * np.sqrt(0.125) * 32768).astype(np.int16),
        np.array([0, 8000]),
    )
    parts.noise = {0: [np.where(np.arange(8000) % 3, 1, -1).astype(np.int16) * 700]}
    mixed = parts.mixed(0, 0, -5.0, np.random.default_rng(0)) / 32767
    assert np.square(mixed - parts.speech / 32768).mean() == pytest.approx(0.39528, rel=1e-3)


def test_takes_are_divided_as_the_spoken_digits_own_rule_says() -> None:
    # 7_jackson_32, 3_theo_4, 0_lucas_9
    assert pools_by_take(np.array([32, 4, 9])).tolist() == [0, 2, 1]
