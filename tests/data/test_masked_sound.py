"""Sound of different lengths: its padding is known, and no step of a view takes it for sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from g2d.data import Source
from g2d.data.store.arrays import CountedMask
from g2d.data.store.facts import Signal
from g2d.data.store.opening import StoreOptions, open_store
from g2d.data.views import read_chain
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays
from g2d.errors import DataError
from g2d.prepare import prepare
from g2d.prepare.checking import check_store
from g2d.types import Sequence

RATE, STEPS = 8_000, 800
LENGTHS = np.array([800, 500, 300, 0] * 10)
LABELS = np.arange(40) % 2
MASK = np.arange(STEPS) < LENGTHS[:, None]


def sound() -> NDArray[np.int16]:
    noise = np.random.default_rng(0).normal(0, 3000, (40, STEPS))
    return (noise * MASK).astype(np.int16)


def seen(steps: list[dict[str, Any]], rows: int = 8, *, train: bool = False) -> Any:
    """Return sound after the steps of a view that is fitted on it, padded sound and plain sound."""
    values, mask = torch.from_numpy(sound()[:rows]), torch.from_numpy(MASK[:rows])
    given = Sequence(values, mask)
    chain = read_chain("voice", steps).fitted(lambda: [given])
    chain.check(given)
    return chain(given, seed=0, epoch=1, index=torch.arange(rows), train=train)


def test_models_on_raw_sound_get_the_mask_and_values_normalized_over_real_samples() -> None:
    raw = seen([])
    assert isinstance(raw, Sequence)
    assert torch.equal(raw.mask, torch.from_numpy(MASK[:8]))
    for axes in ("all", "feature"):
        scaled = seen([{"name": "standardize", "axes": axes}])
        real = scaled.values[scaled.mask]
        assert real.mean().abs() < 1e-5
        assert abs(float(real.std(correction=0)) - 1) < 1e-5
        assert not scaled.values[~scaled.mask].any()


def test_a_window_holds_padding_only_if_the_sound_is_shorter() -> None:
    for train in (False, True):
        window = seen([{"name": "window", "samples": 300}], train=train)
        assert window.values.shape == (8, 300)
        assert window.mask.sum(1).tolist() == [300, 300, 300, 0] * 2
    whole = seen([{"name": "window", "samples": 400, "share": 1.0}])
    assert torch.equal(whole.values[1], torch.from_numpy(sound()[1, 100:500]))
    assert whole.mask.sum(1).tolist() == [400, 400, 300, 0] * 2


def test_noise_is_added_to_real_samples_at_their_power() -> None:
    noisy = seen([{"name": "noise", "snr_db": 0.0}])
    clean = torch.from_numpy(sound()[:8]).float() / 32768
    added = noisy.values - clean
    assert not added[~noisy.mask].any()
    for row in (0, 1, 2):
        real = noisy.mask[row]
        ratio = added[row, real].square().mean() / clean[row, real].square().mean()
        assert 0.7 < float(ratio) < 1.4


@pytest.mark.parametrize(
    "first",
    [
        {"name": "log_mel", "rate": RATE, "n_fft": 128, "hop": 64, "bands": 8},
        {"name": "log_spectrogram", "n_fft": 128, "hop": 64},
    ],
)
def test_spectrograms_are_those_of_the_sound_alone_and_neutral_in_padding(
    first: dict[str, Any],
) -> None:
    plain = seen([first])
    assert isinstance(plain, torch.Tensor)
    chain = read_chain("voice", [first])
    for row, length in enumerate(LENGTHS[:3].tolist()):
        alone = torch.from_numpy(sound()[row : row + 1, :length])
        frames = 1 + length // 64
        index = torch.arange(1)
        expected = chain(alone, seed=0, epoch=1, index=index, train=False)
        assert isinstance(expected, torch.Tensor)
        assert expected.shape[-1] == frames
        # The last frames of the longer array also see nothing but zeros after the sound.
        assert torch.allclose(plain[row, ..., :frames], expected[0], atol=1e-4)
    scaled = seen([first, {"name": "standardize", "axes": "all"}])
    real = torch.cat([scaled[row, ..., : 1 + n // 64].flatten() for row, n in [(0, 800), (1, 500)]])
    assert not scaled[1, ..., 1 + 500 // 64 :].any()
    assert not scaled[3].any()
    assert 0.5 < float(real.std()) < 2
    noisy = seen([first, {"name": "noise", "snr_db": 10}, {"name": "clip", "low": -1}])
    assert noisy.shape == plain.shape


def test_arrays_of_sound_may_have_a_mask_in_memory_and_in_a_store(tmp_path: Path) -> None:
    arrays = {"voice": sound(), "voice.mask": MASK}
    memory = Source.from_arrays(arrays, LABELS, rate=RATE)
    np.savez(tmp_path / "a.npz", target=LABELS, **arrays)
    prepare(plan_arrays(tmp_path / "a.npz", ArraysOptions(rate=RATE)), tmp_path, tmp_path / "s")
    assert not check_store(tmp_path / "s").errors
    stored = open_store(StoreOptions(store="s", root=str(tmp_path)))
    assert isinstance(stored.masks["voice"], CountedMask)
    assert sorted(stored.masks["voice"][:].sum(1).tolist()) == sorted(LENGTHS.tolist())
    for source in (memory, stored):
        source.write_rows(tmp_path / "rows.npz", np.arange(6))
        _, new = source.read_rows(tmp_path / "rows.npz")
        old = source.view(source.gather(np.arange(6)), seed=0, epoch=0, train=False)
        assert torch.equal(new.inputs["voice"], old.inputs["voice"])  # type: ignore[arg-type]
    unmasked = Source.from_arrays({"voice": sound()}, LABELS, rate=RATE)
    assert not unmasked.masks
    with pytest.raises(DataError, match="must mask the end of sound, found other samples"):
        Source.from_arrays({"voice": sound(), "voice.mask": MASK[:, ::-1]}, LABELS)


def test_texts_of_arrays_are_kept_and_one_that_is_very_long_is_named(tmp_path: Path) -> None:
    notes = np.array(["two words"] * 39 + ["word " * 600])
    np.savez(tmp_path / "a.npz", note=notes, target=LABELS)
    inferred = plan_arrays(tmp_path / "a.npz", ArraysOptions()).inferred
    cure = "data.views.note=[{name: tokens, length: 600}] in training keeps all"
    line = f"note: longest 600 tokens, 512 tokens kept, 1 of 40 rows cut; {cure}"
    assert line in inferred


def test_sound_of_a_data_set_keeps_its_lengths() -> None:
    rows = [
        {
            "voice": {"array": np.full(300 + 100 * (i % 2), 0.5), "sampling_rate": RATE},
            "note": "one two three" if i else "a much longer note of seven words",
            "y": i % 2,
        }
        for i in range(40)
    ]
    made = Source.from_dataset(rows, ["voice", "note"], "y")
    assert made.masks["voice"][:].sum(1).tolist() == [300, 400] * 20
    note = made.views["note"].config()["steps"][0]
    assert note["length"] == 7


def test_stores_without_a_mask_of_sound_open_as_before() -> None:
    assert Signal("audio", "int16", (STEPS,)).marks("voice") is None
    marks = Signal("sequence", "float32", (9, 2), masked=True).marks("pose")
    assert marks is not None
    assert (marks.name, marks.dtype, marks.shape) == ("pose.mask", "bool", (9,))
