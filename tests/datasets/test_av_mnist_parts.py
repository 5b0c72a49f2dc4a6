"""AV-MNIST from the public files of its parts is the one from the pack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2d.datasets.av_mnist.parts import noise_pools, pools_by_take
from g2d.datasets.av_mnist.problem import AVDigitsOptions, open_avdigits
from g2d.datasets.av_mnist.raw import read_idx
from g2d.datasets.av_mnist.reader import AVMNISTOptions, plan_av_mnist
from g2d.errors import DataError
from g2d.prepare import prepare
from support.packs import PACKS, pack
from support.raw_av_mnist import write_raw_parts


@pytest.mark.slow
def test_av_mnist_from_idx_and_wav_files_is_the_one_from_the_pack(tmp_path: Path) -> None:
    folder = pack("avdigits-raw")
    write_raw_parts(folder, tmp_path / "raw")
    options = AVMNISTOptions(limit=3)
    plan, direct = plan_av_mnist(tmp_path / "raw", options), plan_av_mnist(folder, options)
    assert any("7_jackson_99" in text for text in plan.warnings)
    assert any("zz_silent" in text for text in plan.warnings)
    rebuilt, given = (
        prepare(plan, tmp_path / "raw", tmp_path / "a"),
        prepare(direct, folder, tmp_path / "b"),
    )
    for name in ("audio.npy", "image.npy", "target.npy", "group.npy"):
        assert np.array_equal(np.load(tmp_path / "a" / name), np.load(tmp_path / "b" / name))
    assert rebuilt.facts["content_hash"] == given.facts["content_hash"]
    (tmp_path / "avdigits-raw").symlink_to(tmp_path / "raw")
    settings = {"pairs": 60}
    opened_raw, opened_pack = (
        open_avdigits(AVDigitsOptions.model_validate({**settings, "root": str(root)}))
        for root in (tmp_path, PACKS)
    )
    assert opened_raw.content_hash == opened_pack.content_hash
    assert tuple(next(iter(rebuilt.facts["protocols"].values()))["rows"].values()) == (30, 30, 30)
    assert rebuilt.facts["report"]["energy_kept"] == pytest.approx(0.28359, abs=1e-5)
    fewer = plan_av_mnist(folder, AVMNISTOptions(limit=1, energy="at-most"))
    assert (fewer.parameters["components"], fewer.report["energy_kept"]) == (
        3,
        pytest.approx(0.22970, abs=1e-5),
    )
    assert rebuilt.facts["report"]["recordings"] == {"train": 2400, "valid": 300, "test": 300}
    assert rebuilt.facts["report"]["noise"] == {"train": 4, "valid": 1, "test": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(100), "47040016"),
        (np.array([2050, 60_000, 28, 28], ">u4").tobytes() + bytes(47_040_000), "2051"),
    ],
)
def test_an_idx_file_of_another_size_or_kind_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_idx(tmp_path / "train-images-idx3-ubyte", 2051, (60_000, 28, 28))


def test_takes_and_noise_are_pooled_by_rule() -> None:
    assert pools_by_take(np.array([32, 4, 9])).tolist() == [0, 2, 1]
    clips = [np.full(10, i, np.int16) for i in range(6)]
    assert {p: [int(c[0]) for c in pool] for p, pool in noise_pools(clips).items()} == {
        0: [0, 1, 2, 5],
        1: [3],
        2: [4],
    }
    few = noise_pools(clips[:2])
    assert [[len(c) for c in few[p]] for p in range(3)] == [[6, 6], [2, 2], [2, 2]]
