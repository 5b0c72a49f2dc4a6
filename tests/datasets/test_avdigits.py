"""Handwriting and speech: pools that share nothing, pairs of one digit, noise at a given ratio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from g2d.datasets.av_mnist import parts as av_mnist_parts
from g2d.datasets.av_mnist import raw as av_mnist_raw
from g2d.datasets.av_mnist.parts import Parts, noise_pools, picture_pools, pools_by_take
from g2d.datasets.av_mnist.problem import AVDigitsOptions, make_avdigits, open_avdigits
from g2d.errors import DataError
from support import raw_av_mnist
from support.pack_avdigits import read_pack


@pytest.fixture(scope="module")
def parts() -> Parts:
    """55,300 pictures; 40 tones per digit (one speaker, takes 0 to 39); six clips of noise."""
    rng = np.random.default_rng(0)
    counts = (55_100, 200)
    digit = np.concatenate([np.arange(n) % 10 for n in counts]).astype(np.uint8)
    speech_digit, take = np.repeat(np.arange(10), 40), np.tile(np.arange(40), 10)
    clips = [(rng.standard_normal(9000) * 500 * (i + 1)).astype(np.int16) for i in range(6)]
    return Parts(
        picture=np.repeat(digit[:, None, None] * 20, 28, 1).repeat(28, 2),
        picture_digit=digit,
        picture_pool=picture_pools(*counts),
        speech=[
            (8000 * np.sin(np.arange(2000) * (1 + d) / 8)).astype(np.int16) for d in speech_digit
        ],
        speech_digit=speech_digit.astype(np.uint8),
        speaker=np.zeros(400, np.uint8),
        take=take,
        speaker_name=["ada"],
        speech_pool=pools_by_take(take),
        noise=noise_pools(clips),
        noise_name=list("abcdef"),
    )


SPLIT = np.repeat(np.arange(3, dtype=np.int8), (300, 100, 200))


def test_picture_and_recording_of_a_row_show_the_same_digit(parts: Parts) -> None:
    rows, digit = parts.pictures((300, 100, 200))
    recording = parts.pair(digit, SPLIT, seed=0)
    assert (parts.picture_digit[rows] == digit).all()
    assert (parts.speech_digit[recording] == digit).all()


def test_no_take_and_no_noise_clip_is_in_two_splits(parts: Parts) -> None:
    _, digit = parts.pictures((300, 100, 200))
    recording = parts.pair(digit, SPLIT, 0)
    takes = [set(parts.take[recording[pool == SPLIT]].tolist()) for pool in range(3)]
    assert takes[2] <= set(range(5))
    assert takes[1] <= set(range(5, 10))
    assert takes[0] <= set(range(10, 40))
    assert [len(parts.noise[pool]) for pool in range(3)] == [4, 1, 1]
    clips = [id(clip) for pool in range(3) for clip in parts.noise[pool]]
    assert len(set(clips)) == 6


def test_a_recording_is_used_again_only_after_all_others_of_its_digit(parts: Parts) -> None:
    digit = np.zeros(65, np.int64)
    used = parts.pair(digit, np.zeros(65, np.int8), seed=3)
    assert len(set(used[:30].tolist())) == len(set(used[30:60].tolist())) == 30
    assert not np.array_equal(used[:30], used[30:60])


@pytest.mark.parametrize("snr_db", [-8.0, 0.0, 12.0])
def test_noise_is_mixed_in_at_the_given_ratio(parts: Parts, snr_db: float) -> None:
    mixed = parts.mixed(0, 0, snr_db, np.random.default_rng(0)).astype(np.float64)
    # The recording fills the 2,000 samples in the middle.
    noise_power = np.square(np.concatenate([mixed[:3000], mixed[5000:]])).mean()
    clean = np.square(mixed[3000:5000]).mean() - noise_power
    assert 10 * np.log10(clean / noise_power) == pytest.approx(snr_db, abs=1.5)
    assert np.abs(mixed).max() <= 0.99 * 32767 + 1


def test_noise_has_the_power_that_the_formula_gives(parts: Parts) -> None:
    sign = np.where(np.arange(8000) % 2, 1, -1)
    spoken = (sign * np.sqrt(0.125) * 32768).astype(np.int16)
    noise = {0: [np.where(np.arange(8000) % 3, 1, -1).astype(np.int16) * 700]}
    changed = Parts(**{**vars(parts), "speech": [spoken], "noise": noise})
    mixed = changed.mixed(0, 0, -5.0, np.random.default_rng(0)) / 32767
    assert np.square(mixed - spoken / 32768).mean() == pytest.approx(0.39528, rel=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(parts: Parts) -> None:
    first, again, other = (
        make_avdigits(AVDigitsOptions(pairs=60, seed=seed), parts) for seed in (0, 0, 1)
    )
    assert first.content_hash == again.content_hash != other.content_hash
    assert [len(first.rows(split)) for split in ("train", "valid", "test")] == [60, 20, 40]


def test_one_modality_alone_has_the_same_bytes_as_in_a_pair(parts: Parts) -> None:
    both = make_avdigits(AVDigitsOptions(pairs=60), parts)
    alone = make_avdigits(AVDigitsOptions(pairs=60, modalities=("speech",)), parts)
    assert alone.modalities == ("speech",)
    np.testing.assert_array_equal(alone.arrays["speech"], both.arrays["speech"])


def test_lookalike_pictures_are_fixed_projections(parts: Parts) -> None:
    source = make_avdigits(AVDigitsOptions(setting="lookalike", pairs=60), parts)
    assert source.deterministic
    assert source.arrays["image"].dtype == np.uint8
    small = parts.picture[:60].reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(60, -1) / 255
    mean = small.mean(0)
    top = np.linalg.svd(small - mean)[2][:4]
    expected = np.rint((mean + (small - mean) @ top.T @ top).clip(0, 1) * 255)
    np.testing.assert_allclose(source.arrays["image"][:60].reshape(60, -1), expected, atol=1)


def test_missing_files_name_the_folder_and_the_setting(tmp_path: Path) -> None:
    message = r"there is no folder .*avdigits\. Set data.root or the environment's G2D_DATA"
    with pytest.raises(DataError, match=message):
        open_avdigits(AVDigitsOptions(root=str(tmp_path)))


def test_too_many_pairs_are_refused(parts: Parts) -> None:
    with pytest.raises(DataError, match=r"found 100 for 200 rows of the split valid"):
        make_avdigits(AVDigitsOptions(pairs=600), parts)


def test_the_problem_is_made_from_public_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx = {
        split: (images, labels, 2 * count)
        for split, (images, labels, count) in raw_av_mnist.IDX.items()
    }
    for module in (raw_av_mnist, av_mnist_raw):
        monkeypatch.setattr(module, "IDX", idx)
    monkeypatch.setattr(av_mnist_parts, "IMAGE_TRAIN", 80)
    raw_av_mnist.write_few_parts(tmp_path / "avdigits")
    source = open_avdigits(AVDigitsOptions(pairs=30, root=str(tmp_path)))
    assert source.describe()["rows"] == {"train": 30, "valid": 10, "test": 20}
    labels = tmp_path / "avdigits" / idx["test"][1]
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte must be 28 bytes"):
        open_avdigits(AVDigitsOptions(pairs=30, root=str(tmp_path)))


def test_the_real_parts_give_the_same_problem_as_in_the_first_version(
    pack: Callable[[str], Path],
) -> None:
    source = make_avdigits(AVDigitsOptions(), read_pack(pack("avdigits-raw")))
    assert source.describe()["rows"] == {"train": 1500, "valid": 500, "test": 1000}
    assert source.content_hash.startswith("73ea79ade605741e")
    assert source.protocol_hash.startswith("1e58ec49f186bf43")
    batch = source.view(source.gather(source.rows("train")[:4]), seed=0, epoch=1, train=True)
    assert {m: tuple(values.shape) for m, values in batch.inputs.items()} == {
        "image": (4, 1, 22, 22),
        "speech": (4, 1, 32, 16),
    }


def test_takes_are_divided_by_the_rule_of_the_spoken_digits() -> None:
    # 7_jackson_32, 3_theo_4, 0_lucas_9
    assert pools_by_take(np.array([32, 4, 9])).tolist() == [0, 2, 1]


def test_noise_clips_are_pooled_by_their_order() -> None:
    clips = [np.full(10, i, np.int16) for i in range(6)]
    assert {p: [int(c[0]) for c in pool] for p, pool in noise_pools(clips).items()} == {
        0: [0, 1, 2, 5],
        1: [3],
        2: [4],
    }
    few = noise_pools(clips[:2])
    assert [[len(c) for c in few[p]] for p in range(3)] == [[6, 6], [2, 2], [2, 2]]
