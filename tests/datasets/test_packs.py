"""Real data: the packs in their public form give rows, splits and values that are known."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data import Source
from g2d.datasets import DATASETS
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.datasets.base import read_options
from g2d.datasets.grid_av.reader import GridOptions, plan_grid, stratified
from g2d.datasets.grid_av.sample import alignment
from g2d.prepare import Sample, prepare
from g2d.recipe import Recipe
from g2d.types import Sequence
from support.packs import ARRAYS, WRITERS, arrays, pack


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that writes the public form of a pack, once."""
    folder = tmp_path_factory.mktemp("packs")

    def written(name: str) -> Path:
        if not (folder / name).is_dir():
            WRITERS[name](folder / name)
        return folder / name

    return written


def opened(name: str, raw: Path, store: Path, **options: Any) -> Source:
    """Prepare the raw files of a data set and open its store."""
    reader = DATASETS[name].reader
    assert reader is not None
    prepare(reader.plan(raw, read_options(reader, options)), raw, store)
    given = {"store": str(store), "prepare": options}
    return DATASETS[name].open(DATASETS[name].options.model_validate(given))


@pytest.mark.parametrize(
    ("name", "options", "splits", "modalities"),
    [
        ("mosi", {}, (1247, 200, 752), ("audio", "video", "text")),
        ("mosi", {"text": "vectors"}, (1247, 200, 752), ("audio", "video", "text")),
        ("mmmo", {}, (220, 40, 80), ("audio", "video")),
        ("mmmo", {"text": True}, (220, 40, 80), ("audio", "video", "text")),
        ("houses", {}, (321, 107, 107), ("image", "table")),
    ],
)
def test_rows_splits_and_views(
    name: str,
    options: dict[str, Any],
    splits: tuple[int, ...],
    modalities: tuple[str, ...],
    raw: Any,
    tmp_path: Path,
) -> None:
    source = opened(name, raw(name), tmp_path / "store", **options)
    assert tuple(len(source.rows(split)) for split in ("train", "valid", "test")) == splits
    assert source.modalities == modalities
    batch = source.view(source.gather(source.rows("train")[:4]), seed=0, epoch=1, train=True)
    for values in batch.inputs.values():
        dense = values.values if isinstance(values, Sequence) else values
        assert len(dense) == 4
        assert bool(dense.isfinite().all())
    groups = [set(source.groups(split).tolist()) for split in ("train", "valid", "test")]
    if name != "mmmo":
        assert not groups[0] & (groups[1] | groups[2])
        assert not groups[1] & groups[2]


def test_the_validation_videos_of_mosi_are_seven(raw: Any, tmp_path: Path) -> None:
    source = opened("mosi", raw("mosi"), tmp_path / "store")
    assert len(set(source.groups("valid").tolist())) == 7
    assert len(set(source.groups("test").tolist())) == 31


def test_the_filler_of_mmmo_is_padding_and_text_is_missing_in_training(
    raw: Any, tmp_path: Path
) -> None:
    source = opened("mmmo", raw("mmmo"), tmp_path / "store", text=True)
    audio = source.stored("audio", np.arange(source.size))
    assert isinstance(audio, Sequence)
    assert not bool((audio.values == -255).any())
    published = arrays("mfn-seq", "mmmo_sequences.npz")["audio"]
    filler, padding = (published == -255).any(2), (published == 0).all(2)
    assert (filler.sum(), filler.any(1).sum()) == (16, 11)
    assert np.array_equal(audio.mask.numpy(), ~padding & ~filler)
    assert not audio.values[~audio.mask].any()
    present = source.present["text"]
    assert present[source.rows("train")].sum() == 0
    assert present.sum() == 120


def test_prices_of_houses_are_scaled_by_the_training_rows(raw: Any, tmp_path: Path) -> None:
    source = opened("houses", raw("houses"), tmp_path / "store")
    train = source.target[source.rows("train")]
    assert (float(train.min()), float(train.max())) == pytest.approx((0.01, 0.99))
    assert source.task.config()["log"] is True


def test_the_split_of_grid_is_that_of_the_pack() -> None:
    table = arrays("grid-av", "grid_s1_digit_windows.npz")
    names = table["name"].tolist()
    samples = [Sample(name, 0, name) for name in names]
    assert np.array_equal(stratified(samples, names), table["split"])


def test_a_clip_of_grid_gives_the_values_of_the_pack_bit_for_bit(tmp_path: Path) -> None:
    with tarfile.open(pack("rawmedia-mini") / "rawmedia_mini.tar") as archive:
        archive.extract("original/bbaf2n.mpg", tmp_path, filter="data")
    table = arrays("grid-av", "grid_s1_digit_windows.npz")
    row = table["name"].tolist().index("bbaf2n")
    digit = (table["digit_start_s"][row], table["digit_end_s"][row])
    (tmp_path / "bbaf2n.align").write_text(alignment(" ".join(table["words"][row]), digit))
    plan = plan_grid(tmp_path, GridOptions())
    assert plan.samples[0].facts["first_frame"] == table["first_frame"][row]
    decoded = plan.decode(tmp_path, plan.samples[0])
    for m, name in (("video", "mouth"), ("audio", "waveform")):
        assert np.array_equal(np.asarray(decoded.values[m]), table[name][row])
    assert decoded.warnings == ()


@pytest.mark.parametrize("name", ARRAYS)
def test_one_recipe_opens_the_pack_as_arrays_and_the_public_form(
    name: str, raw: Any, tmp_path: Path
) -> None:
    table, options = ARRAYS[name]()
    np.savez(tmp_path / "pack.npz", **table)
    plan = plan_arrays(tmp_path / "pack.npz", ArraysOptions.model_validate(options))
    prepare(plan, tmp_path, tmp_path / "arrays")
    overrides = ["method=joint", f"data.root={tmp_path}", "data.store=arrays"]
    recipe = Recipe.load(f"{name}/small", overrides)
    source = recipe.build_source()
    batch = source.view(source.gather(source.rows("train")[:4]), seed=0, epoch=1, train=True)
    logits = recipe.build_model(source)(batch.inputs, present=batch.present).logits
    assert len(logits) == 4
    assert bool(logits.isfinite().all())
    if name in WRITERS:
        published = opened(name, raw(name), tmp_path / "public")
        left_out = {"mosi": {"video"}}.get(name, set())  # its features know the training labels
        assert set(published.modalities) - set(source.modalities) == left_out
        assert np.array_equal(source.split, published.split)
        stored = [np.load(tmp_path / store / "target.npy") for store in ("arrays", "public")]
        assert np.array_equal(*stored)
