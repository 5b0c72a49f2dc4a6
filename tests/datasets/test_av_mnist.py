"""AV-MNIST from the circulating arrays and from public files: damaged, repeated, or too few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.datasets.av_mnist import raw as av_mnist_raw
from g2d.datasets.av_mnist import reader as av_mnist
from g2d.datasets.av_mnist.problem import AVDigitsOptions, make_avdigits, open_avdigits
from g2d.datasets.av_mnist.raw import read_idx, read_parts
from g2d.datasets.av_mnist.reader import AVMNISTOptions, plan_av_mnist, plan_circulating
from g2d.datasets.av_mnist.sample import write_sample
from g2d.errors import DataError
from g2d.prepare import prepare
from support.media_files import tone, write_wav
from support.pack_avdigits import read_pack
from support.raw_av_mnist import IDX, write_few_parts, write_raw_parts

FULL_IDX = av_mnist_raw.IDX


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av_mnist_raw, "IDX", IDX)
    av_mnist._mapped.cache_clear()


def test_every_digit_is_spoken_in_every_split(tmp_path: Path) -> None:
    source = write_few_parts(tmp_path / "parts")
    for pool in ("take", "speaker"):
        parts, report, warnings = read_parts(source, pool)
        assert report["recordings"] == {"train": 30, "valid": 30, "test": 30}
        assert report["noise_files"] == [f"clip{i}.wav" for i in range(6)]
        assert warnings == []
        assert len(parts.picture) == 60


def test_speakers_are_divided_whatever_the_numbers_of_their_takes(tmp_path: Path) -> None:
    source = write_few_parts(tmp_path / "parts", takes=(10, 11))
    assert read_parts(source, "speaker")[1]["recordings"] == {"train": 20, "valid": 20, "test": 20}
    with pytest.raises(DataError, match="found none of 0 for valid"):
        read_parts(source, "take")


def test_speakers_who_cannot_be_divided_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="three speakers or more, found 2: ann, bob"):
        read_parts(write_few_parts(tmp_path / "two", ("ann", "bob")), "speaker")
    with pytest.raises(DataError, match="three speakers or more, found 1: ann"):
        read_parts(write_few_parts(tmp_path / "one", ("ann",)), "speaker")
    source = write_few_parts(tmp_path / "three")
    for path in (source / "recordings").glob("3_cid_*"):
        path.unlink()
    read_parts(source, "take")
    with pytest.raises(DataError, match="found none of 3 for test"):
        read_parts(source, "speaker")


def test_takes_may_have_any_number_and_a_second_spelling_of_one_is_a_warning(
    tmp_path: Path,
) -> None:
    source = write_few_parts(tmp_path / "parts", ("ann", "bob"))
    for name in ("3_ann_300.wav", "3_bob_05.wav", "3_ann_123456789012345678901.wav"):
        write_wav(source / "recordings" / name, tone(0.1, 8000), 8000)
    parts, _, warnings = read_parts(source, "take")
    assert (
        len(np.unique(parts.speaker_take(np.arange(len(parts.take)))))
        == len({(int(s), int(t)) for s, t in zip(parts.speaker, parts.take, strict=True)})
        == 7
    )
    (chosen,) = np.flatnonzero((parts.speech_digit == 3) & (parts.speaker == 1) & (parts.take == 5))
    assert len(parts.speech[chosen]) == 800
    assert warnings == [
        "3_bob_5.wav is skipped: another file is the same take, "
        "and the first in bytewise order counts",
        "1 files such as 3_ann_123456789012345678901.wav are ignored: "
        "recordings are called DIGIT_SPEAKER_TAKE.wav",
    ]


def test_silent_or_cut_off_sound_is_a_warning_and_capitals_are_read(tmp_path: Path) -> None:
    source = write_few_parts(tmp_path / "parts")
    recordings, noise = source / "recordings", source / "noise"
    (recordings / "0_ann_0.wav").rename(recordings / "0_ann_0.WAV")
    (noise / "clip0.wav").rename(noise / "clip0.WAV")
    write_wav(recordings / "1_ann_0.wav", np.zeros(400, np.int16), 8000)
    write_wav(noise / "clip1.wav", np.ones(3, np.int16), 8000)
    (noise / "clip2.wav").write_bytes((noise / "clip2.wav").read_bytes()[:3000])
    (noise / "clip3.wav").write_bytes(b"RIFF")
    _, report, warnings = read_parts(source, "take")
    assert report["recordings"] == {"train": 30, "valid": 30, "test": 29}
    assert report["noise_files"] == ["clip0.WAV", "clip2.wav", "clip4.wav", "clip5.wav"]
    assert warnings[0].startswith("fewer than five noise files")
    assert warnings[1:3] == [
        "1_ann_0.wav: skipped: it is silent",
        "clip1.wav: skipped: it is shorter than a millisecond",
    ]
    assert warnings[3].startswith("clip2.wav: its sound is cut off: 0.18 of")
    assert warnings[4].startswith("clip3.wav: skipped: undecodable")


def test_mnist_as_archives_unpack_it_is_found_and_a_label_that_is_no_digit_refused(
    tmp_path: Path,
) -> None:
    source = write_few_parts(tmp_path / "parts")
    for images, labels, _ in IDX.values():
        for name in (images, labels):
            content = (source / name).read_bytes()
            (source / name).unlink()
            (source / name).mkdir()
            (source / name / name).write_bytes(content)
    assert len(read_parts(source, "take")[0].picture) == 60
    labels = source / IDX["test"][1] / IDX["test"][1]
    labels.write_bytes(labels.read_bytes()[:-1] + bytes([17]))
    with pytest.raises(DataError, match="MNIST's labels must be digits from 0 to 9, found 17"):
        read_parts(source, "take")


def several(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("image/train_data.npy", b"", "plain array, found damage"),
        ("image/train_data.npy", several, "found several in one file"),
        ("train_labels.npy", np.full(60, np.nan), "digits 0 to 9, found nan"),
        ("train_labels.npy", np.full(60, 1.5), "digits 0 to 9, found 1.5"),
        ("train_labels.npy", np.full(60, 10), "digits 0 to 9, found 10"),
        ("train_labels.npy", np.full(60, -1), "digits 0 to 9, found -1"),
        ("train_labels.npy", np.zeros(0, np.uint8), "train arrays must be 0 x 784"),
    ],
)
def test_circulating_arrays_that_are_none_are_refused(
    tmp_path: Path, file: str, content: Any, message: str
) -> None:
    write_sample(tmp_path)
    path = tmp_path / "avmnist" / file
    if isinstance(content, np.ndarray):
        np.save(path, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    with pytest.raises(DataError, match=message):
        plan_circulating(tmp_path, AVMNISTOptions())


def test_circulating_arrays_without_rows_or_without_numbers_do_not_end_in_a_traceback(
    tmp_path: Path,
) -> None:
    write_sample(tmp_path)
    base = tmp_path / "avmnist"
    np.save(base / "image" / "test_data.npy", np.full((20, 784), np.nan))
    assert plan_circulating(tmp_path, AVMNISTOptions()).report["test"] == {}
    av_mnist._mapped.cache_clear()
    for file, shape in (
        ("test_labels", ()),
        ("image/test_data", (784,)),
        ("audio/test_data", (112, 112)),
    ):
        np.save(base / f"{file}.npy", np.zeros((0, *shape), np.uint8))
    with pytest.raises(DataError, match="found no rows"):
        plan_circulating(tmp_path, AVMNISTOptions())


def test_the_circulating_copy_can_be_limited_but_not_made_otherwise(tmp_path: Path) -> None:
    write_sample(tmp_path)
    plan = plan_circulating(tmp_path, AVMNISTOptions(limit=1))
    place = plan.protocols["av_mnist/legacy"]
    assert [int((place == side).sum()) for side in range(3)] == [10, 5, 10]
    assert plan.parameters["limit"] == 1
    assert plan.expected == 25
    with pytest.raises(DataError, match="must be used unchanged, found components, seed"):
        plan_circulating(tmp_path, AVMNISTOptions(seed=0, components=3))


@pytest.mark.slow
def test_idx_and_wav_files_give_the_values_of_the_development_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[str], Path]
) -> None:
    monkeypatch.setattr(av_mnist_raw, "IDX", FULL_IDX)
    folder, raw = pack("avdigits-raw"), tmp_path / "avdigits"
    write_raw_parts(folder, raw)
    plan = plan_av_mnist(raw, AVMNISTOptions(limit=3))
    assert any("7_jackson_99" in text for text in plan.warnings)
    assert any("zz_silent" in text for text in plan.warnings)
    facts = prepare(plan, raw, tmp_path / "store").facts
    opened = open_avdigits(AVDigitsOptions(pairs=60, root=str(tmp_path)))
    made = make_avdigits(AVDigitsOptions(pairs=60), read_pack(folder))
    assert opened.content_hash == made.content_hash
    assert list(next(iter(facts["protocols"].values()))["rows"].values()) == [30, 30, 30]
    assert facts["report"]["energy_kept"] == pytest.approx(0.28359, abs=1e-5)
    assert facts["report"]["recordings"] == {"train": 2400, "valid": 300, "test": 300}
    assert facts["report"]["noise"] == {"train": 4, "valid": 1, "test": 1}
    fewer = plan_av_mnist(raw, AVMNISTOptions(limit=1, energy="at-most"))
    assert fewer.parameters["components"] == 3
    assert fewer.report["energy_kept"] == pytest.approx(0.22970, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(100), "47040016"),
        (np.array([2050, 60_000, 28, 28], ">u4").tobytes() + bytes(47_040_000), "2051"),
    ],
)
def test_an_idx_file_of_another_size_or_kind_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(path, 2051, (60_000, 28, 28))
