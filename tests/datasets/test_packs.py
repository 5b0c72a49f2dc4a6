"""The real packs: opened as they are, prepared as a stranger would, the same either way."""

from __future__ import annotations

import csv
import os
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from g2d.data import Source
from g2d.datasets import DATASETS, READERS
from g2d.datasets.av_mnist.problem import AVDigitsOptions, open_avdigits
from g2d.datasets.av_mnist.raw import read_idx
from g2d.datasets.av_mnist.reader import AVMNISTOptions, plan_av_mnist
from g2d.datasets.grid_av.reader import PACK, GridOptions, called, plan_grid
from g2d.datasets.mmmo.reader import MMMO, MMMOOptions, plan_reviews
from g2d.datasets.mosi.reader import MosiOptions, plan_mosi
from g2d.errors import DataError
from g2d.prepare import prepare
from g2d.types import Sequence
from support.media_files import tone, write_video
from support.raw_av_mnist import write_raw_parts

SHARED = Path(os.environ.get("G2D_DATA") or Path(__file__).parents[3] / "shared" / "data")


def pack(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the pack {name} is not there (G2D_DATA)")
    return SHARED / name


def opened(name: str, **options: object) -> Source:
    folder = READERS[name].pack
    assert folder is not None
    pack(folder)
    dataset = DATASETS[name]
    return dataset.open(dataset.options.model_validate({"root": str(SHARED), **options}))


@pytest.mark.parametrize(
    ("name", "options", "splits", "modalities"),
    [
        ("grid_av", {}, (700, 100, 200), ("audio", "video")),
        ("grid_av", {"prepare": {"target": "letter"}}, (700, 100, 200), ("audio", "video")),
        ("mosi", {}, (1247, 200, 752), ("audio", "video", "text")),
        ("mosi", {"prepare": {"text": "vectors"}}, (1247, 200, 752), ("audio", "video", "text")),
        ("mmmo", {}, (220, 40, 80), ("audio", "video")),
        ("mmmo", {"prepare": {"text": True}}, (220, 40, 80), ("audio", "video", "text")),
        ("youtube", {}, (173, 36, 60), ("audio", "video")),
        ("pom", {}, (600, 100, 203), ("audio", "video")),
        ("houses", {}, (321, 107, 107), ("image", "table")),
    ],
)
def test_packs_open_as_they_are(
    name: str, options: dict[str, object], splits: tuple[int, ...], modalities: tuple[str, ...]
) -> None:
    source = opened(name, **options)
    assert tuple(len(source.rows(split)) for split in ("train", "valid", "test")) == splits
    assert source.modalities == modalities
    batch = source.view(source.gather(source.rows("train")[:4]), seed=0, epoch=1, train=True)
    for values in batch.inputs.values():
        dense = values.values if isinstance(values, Sequence) else values
        assert len(dense) == 4
        assert bool(dense.isfinite().all())


def test_groups_of_the_packs_stay_on_one_side() -> None:
    for name in ("grid_av", "mosi", "houses"):
        source = opened(name)
        sides = [set(source.groups(split).tolist()) for split in ("train", "valid", "test")]
        assert not sides[0] & (sides[1] | sides[2])
        assert not sides[1] & sides[2]


def test_the_split_of_grid_is_the_given_one() -> None:
    source = opened("grid_av")
    with np.load(pack("grid-av") / "grid_s1_digit_windows.npz") as file:
        order = np.argsort(file["name"])
        assert np.array_equal(source.split, file["split"][order])
        assert np.array_equal(source.target, file["digit"][order])


def test_the_seven_validation_videos_of_mosi() -> None:
    source = opened("mosi")
    assert len(set(source.groups("valid").tolist())) == 7
    assert len(set(source.groups("test").tolist())) == 31


def test_the_filler_of_mmmo_is_padding_and_text_is_missing_in_training() -> None:
    source = opened("mmmo", prepare={"text": True})
    audio = source.stored("audio", np.arange(source.size))
    assert isinstance(audio, Sequence)
    assert not bool((audio.values == -255).any())
    with np.load(pack("mfn-seq") / "mmmo_sequences.npz") as file:
        filler, padding = (file["audio"] == -255).any(2), (file["audio"] == 0).all(2)
    assert (filler.sum(), filler.any(1).sum()) == (16, 11)
    assert np.array_equal(audio.mask.numpy(), ~padding & ~filler)
    assert not audio.values[~audio.mask].any()
    present = source.present["text"]
    assert present[source.rows("train")].sum() == 0
    assert present.sum() == 120


def test_prices_of_houses_are_scaled_by_the_training_rows() -> None:
    source = opened("houses")
    train = source.target[source.rows("train")]
    assert (float(train.min()), float(train.max())) == pytest.approx((0.01, 0.99))
    assert source.task.config()["log"] is True


def alignment(words: str, digit: tuple[float, float]) -> str:
    """The lines of an ``.align`` file; the other words stand before and after the digit."""
    begin, end = (round(second * 25_000) for second in digit)
    edges = [*np.linspace(5000, begin, 5).round().astype(int).tolist(), end, 74_000]
    spoken = [
        f"{a} {b} {word}" for a, b, word in zip(edges[:-1], edges[1:], words.split(), strict=True)
    ]
    return "\n".join(["0 5000 sil", *spoken, "74000 74500 sil"])


def write_alignments(folder: Path, sentences: list[str]) -> None:
    """``.align`` files and videos without content."""
    for words in sentences:
        name = called(tuple(words.split()))
        (folder / f"{name}.align").write_text(alignment(words, (1.2, 1.6)))
        (folder / f"{name}.mpg").write_bytes(b"")


def test_grid_is_rebuilt_from_its_raw_files(tmp_path: Path) -> None:
    """A stranger's way: mpg and align files, here as many as show the rules."""
    rng = np.random.default_rng(0)
    (tmp_path / "align").mkdir()
    for name, words in (("bbaf1n", "bin blue at f one now"), ("bbaf2n", "bin blue at f two now")):
        picture = rng.integers(40, 200, (288, 360, 1)).astype(np.uint8).repeat(3, 2)
        write_video(
            tmp_path / "s1" / f"{name}.mpg",
            np.broadcast_to(picture, (75, 288, 360, 3)).copy(),
            25,
            tone(3.0, 44_100, 300),
            44_100,
        )
        (tmp_path / "align" / f"{name}.align").write_text(alignment(words, (1.2, 1.6)))
    (tmp_path / "align" / "bbag3n.align").write_text("0 5 sil")
    plan = plan_grid(tmp_path, GridOptions())
    assert [(s.id, s.target, s.facts["first_frame"]) for s in plan.samples] == [
        ("bbaf1n", 1, 27),
        ("bbaf2n", 2, 27),
    ]
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("bbag3n", "missing-file")]
    decoded = plan.decode(tmp_path, plan.samples[0])
    video, audio = decoded.values["video"], decoded.values["audio"]
    assert video is not None
    assert audio is not None
    assert (video.shape, video.dtype, audio.shape, audio.dtype) == (
        (16, 40, 64),
        np.uint8,
        (5120,),
        np.int16,
    )
    assert np.abs(audio).max() > 10_000
    with pytest.raises(DataError, match="2 of 1000 samples can be used"):
        prepare(plan, tmp_path, tmp_path / "store")


def test_the_corpus_of_grid_gives_the_pack_bit_for_bit(tmp_path: Path) -> None:
    with tarfile.open(pack("rawmedia-mini") / "rawmedia_mini.tar") as archive:
        archive.extract("original/bbaf2n.mpg", tmp_path, filter="data")
    with np.load(pack("grid-av") / PACK) as file:
        row = file["name"].tolist().index("bbaf2n")
        known = {
            name: file[name][row]
            for name in (
                "mouth",
                "waveform",
                "first_frame",
                "words",
                "digit_start_s",
                "digit_end_s",
            )
        }
    (tmp_path / "bbaf2n.align").write_text(
        alignment(" ".join(known["words"]), (known["digit_start_s"], known["digit_end_s"]))
    )
    plan = plan_grid(tmp_path, GridOptions())
    assert plan.samples[0].facts["first_frame"] == known["first_frame"]
    decoded = plan.decode(tmp_path, plan.samples[0])
    for m, name in (("video", "mouth"), ("audio", "waveform")):
        assert np.array_equal(np.asarray(decoded.values[m]), known[name])
    assert decoded.warnings == ()


def test_a_damaged_file_of_grid_moves_no_other_one_to_another_side(tmp_path: Path) -> None:
    write_alignments(
        tmp_path,
        [f"bin {color} at {letter} two now" for color in ("blue", "green") for letter in "abcdef"],
    )

    def sides() -> dict[str, int]:
        plan = plan_grid(tmp_path, GridOptions())
        return dict(
            zip(
                [s.id for s in plan.samples],
                plan.protocols["grid_av/stratified-v1"].tolist(),
                strict=True,
            )
        )

    whole = sides()
    assert list(whole.values()) == [0, 0, 2, 0, 1, 0, 0, 2, 0, 0, 0, 0]
    (tmp_path / "bbaa2n.align").unlink()
    (tmp_path / "bbab2n.align").write_text("nothing")
    assert sides() == {
        name: side for name, side in whole.items() if name not in ("bbaa2n", "bbab2n")
    }


def test_a_second_speaker_or_copy_of_grid_is_refused_and_what_is_no_sentence_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "s2").mkdir()
    write_alignments(tmp_path, ["bin blue at f two now", "bin red by f two now"])
    (tmp_path / "notes.mpg").write_bytes(b"")
    (tmp_path / "brbf2n.align").write_text(alignment("set red by f two now", (1.2, 1.6)))
    plan = plan_grid(tmp_path, GridOptions())
    assert any(
        "1 files that are called like no sentence" in sentence and "notes.mpg" in sentence
        for sentence in plan.warnings
    )
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("brbf2n", "no-agreed-label")]
    for name in (
        "bbaf2n",
        "sbwf2a",
    ):  # the same name, and another sentence with the same color, letter and digit
        (tmp_path / "s2" / f"{name}.mpg").write_bytes(b"")
        with pytest.raises(DataError, match=f"one speaker.*bbaf2n.mpg and s2/{name}.mpg"):
            plan_grid(tmp_path, GridOptions())
        (tmp_path / "s2" / f"{name}.mpg").unlink()


def test_mosi_is_rebuilt_from_its_csv_files(tmp_path: Path) -> None:
    with np.load(pack("mosi-utt") / "mosi_utterances.npz") as file:
        table = {name: file[name] for name in file.files}
    order = np.random.default_rng(0).permutation(len(table["sentiment"]))

    def write(path: Path, rows: list[list[object]]) -> None:
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as out:
            csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)

    line = np.empty(len(order), np.int64)
    line[order] = np.arange(len(order))
    write(
        tmp_path / "transcripts.csv",
        [
            [
                f"{table['video_id'][i]}_{table['utterance'][i]}",
                table["transcript"][i],
                "93",
                table["sentiment"][i],
            ]
            for i in order
        ],
    )
    for place, part in ((0, "train"), (2, "test")):
        rows = np.flatnonzero(table["split"] == place)
        for m in ("audio", "video", "text"):
            write(
                tmp_path / m / f"{m}_{part}0.csv",
                [[*table[m][i].tolist(), table["sentiment"][i]] for i in rows],
            )
        write(
            tmp_path / f"text_{part}.csv", [[line[i] + 1, *table["text"][i].tolist()] for i in rows]
        )
    rebuilt = prepare(plan_mosi(tmp_path, MosiOptions()), tmp_path, tmp_path / "store")
    assert rebuilt.facts["content_hash"] == opened("mosi").content_hash


def test_reviews_are_rebuilt_from_their_hdf5_files(tmp_path: Path) -> None:
    with np.load(pack("mfn-seq") / "mmmo_sequences.npz") as file:
        table = {name: file[name] for name in file.files}
    (tmp_path / "mmmo").mkdir()
    for place, split in enumerate(("train", "valid", "test")):
        rows = table["split"] == place
        for m, name in (
            ("audio", f"audio_{split}.h5"),
            ("video", f"video_{split}.h5"),
            ("target", f"y_{split}.h5"),
        ):
            with h5py.File(tmp_path / "mmmo" / name, "w") as out:
                out["d1"] = table[m][rows].astype(np.float32)
    rebuilt = prepare(plan_reviews(MMMO, tmp_path, MMMOOptions()), tmp_path, tmp_path / "store")
    assert rebuilt.facts["content_hash"] == opened("mmmo").content_hash


def test_houses_are_rebuilt_from_the_folder_of_their_authors(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(pack("houses-img-tab") / "houses.zip") as archive:
        lines = archive.read("houses.csv").decode().splitlines()[1:13]
        (tmp_path / "Houses Dataset").mkdir()
        for number in range(1, 12):  # the last one has no photograph
            (tmp_path / "Houses Dataset" / f"{number}_frontal.jpg").write_bytes(
                archive.read(f"images/{number:03d}_frontal.jpg")
            )
    info = [line.split(",") for line in lines]
    (tmp_path / "Houses Dataset" / "HousesInfo.txt").write_text(
        "\n".join(" ".join(cells[1:]) for cells in info) + "\n"
    )
    plan = READERS["houses"].plan(tmp_path, READERS["houses"].options())
    assert (len(plan.samples), [skip.id for skip in plan.skipped]) == (11, ["012"])
    source, packed = plan.decode(tmp_path, plan.samples[4]), opened("houses")
    assert source.values["image"] is not None
    assert np.array_equal(source.values["image"], packed.arrays["image"][4])
    assert np.array_equal(source.values["table"], packed.arrays["table"][4])


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
        for root in (tmp_path, SHARED)
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
