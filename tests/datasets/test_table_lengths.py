"""How much of sound, sequences and texts of a table is kept, and the lines about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g2d.data.lengths import MEASURED, described, length_to_keep, measured_rows
from g2d.data.store.facts import Signal
from g2d.data.store.fitting import complete_steps
from g2d.data.store.opening import StoreOptions, open_store
from g2d.data.views import Chain
from g2d.data.views.sound import LogMel
from g2d.data.views.step import Draw
from g2d.datasets.table.opening import open_any
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.errors import UnreadableError
from g2d.prepare import prepare
from g2d.prepare.checking import check_store
from g2d.prepare.media import stream_lengths
from g2d.types import Sequence as Padded
from support.command_line import write_csv
from support.media_files import moving, tone, write_video, write_wav

RATE = 8_000
ROWS = 60


def table(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    return write_csv(folder / "mine.csv", rows)


def mixed(folder: Path, rows: int = ROWS) -> Path:
    """Write a table whose last three rows are longer than the others in every modality."""
    made = []
    for i in range(rows):
        long = i >= rows - 3
        seconds = 0.6 if long else 0.2 if i == 0 else 0.4
        write_wav(folder / f"{i}.wav", tone(seconds, RATE, 300 + 300 * (i % 2)), RATE)
        np.save(folder / f"{i}.npy", np.full((30 if long else 10, 2), i % 2, np.float32))
        note = " ".join(["a", "bé", "it's"] * (10 if long else 2) + [["no", "yes"][i % 2]])
        made.append({"voice": f"{i}.wav", "pose": f"{i}.npy", "note": note, "label": "ab"[i % 2]})
    return table(folder, made)


def lines(source: Path, **options: Any) -> list[str]:
    return list(plan_table(source, TableOptions(rate=RATE, **options)).inferred)


def test_what_most_rows_have_is_kept_and_every_length_has_a_line(tmp_path: Path) -> None:
    source = mixed(tmp_path)
    inferred = lines(source)
    assert "voice: longest 0.6 s, 0.4 s kept, 3 of 60 rows cut; seconds=0.6 keeps all" in inferred
    assert "pose: longest 30 steps, 10 steps kept, 3 of 60 rows cut; steps=30 keeps all" in inferred
    longest = len(" ".join(["a", "bé", "it's"] * 10 + ["yes"]).encode())
    cut = f"3 of 60 rows cut; characters={longest} keeps all"
    assert f"note: longest 31 tokens, 7 tokens kept, {cut}" in inferred
    whole = lines(source, seconds=0.6, steps=30, characters=longest)
    assert "voice: longest 0.6 s, 0.6 s kept" in whole
    assert "pose: longest 30 steps, 30 steps kept" in whole
    assert "note: longest 31 tokens, 31 tokens kept" in whole
    bounded = "\n".join(lines(source, max_seconds=0.1, max_steps=4, max_tokens=2))
    for part in ("0.1 s kept, 60 of 60", "4 steps kept, 60 of 60", "2 tokens kept, 60 of 60"):
        assert part in bounded


def test_kept_rows_have_their_real_lengths_and_read_the_same_from_another_table(
    tmp_path: Path,
) -> None:
    source = mixed(tmp_path)
    prepare(plan_table(source, TableOptions(rate=RATE)), tmp_path, tmp_path / "store")
    assert not check_store(tmp_path / "store").errors
    assert (tmp_path / "store" / "voice.length.npy").stat().st_size < 500
    made = open_any(StoreOptions(store="store", root=str(tmp_path)))
    real = {m: made.masks[m][:].sum(1) for m in ("voice", "pose")}
    assert sorted(set(real["voice"].tolist())) == [int(0.2 * RATE), int(0.4 * RATE)]
    assert real["voice"][0] == int(0.2 * RATE)
    assert set(real["pose"].tolist()) == {10}
    note = made.views["note"].config()["steps"][0]
    assert note["length"] == 7
    assert made.arrays["note"].shape[1] == len("a bé it's a bé it's yes".encode())
    ids, new = made.read_rows(source)
    cut = "3 of 60 rows cut to the length in training"
    for line in (
        f"voice: longest 0.6 s, 0.4 s kept, {cut}",
        f"pose: longest 30 steps, 10 steps kept, {cut}",
        f"note: longest 31 tokens, 7 tokens kept, {cut}",
    ):
        assert line in made.remarks
    seen = made.view(made.gather(np.arange(ROWS)), seed=0, epoch=0, train=False)
    for m in ("voice", "pose", "note"):
        one, other = seen.inputs[m], new.inputs[m]
        for part in ("values", "mask") if isinstance(one, Padded) else ():
            assert torch.equal(getattr(one, part), getattr(other, part))
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)
    assert len(ids) == ROWS


def test_padded_frames_of_sound_are_neutral_and_do_not_enter_the_moments(tmp_path: Path) -> None:
    prepare(plan_table(mixed(tmp_path), TableOptions(rate=RATE)), tmp_path, tmp_path / "store")
    made = open_store(StoreOptions(store="store", root=str(tmp_path)))
    chain = made.views["voice"]
    assert isinstance(chain, Chain)
    mel, moments = chain.steps
    assert isinstance(mel, LogMel)
    index = np.arange(ROWS)
    stored = made.stored("voice", index)
    assert isinstance(stored, Padded)
    draw = Draw(0, 0, torch.arange(ROWS), train=False)
    plain = mel(stored.values, draw)
    assert isinstance(plain, torch.Tensor)
    seen = chain(stored, seed=0, epoch=0, index=torch.arange(ROWS), train=False)
    assert isinstance(seen, torch.Tensor)
    frames = 1 + stored.mask.sum(1) // mel.hop
    options = moments.model_dump()
    for row in (0, 1, ROWS - 1):
        real = int(frames[row])
        expected = (plain[row, :, :, :real] - options["mean"][0]) / options["std"][0]
        assert torch.allclose(seen[row, :, :, :real], expected, atol=1e-5)
        assert not seen[row, :, :, real:].any()
    train = made.rows("train")
    known = torch.cat([plain[i, :, :, : frames[i]].flatten() for i in train.tolist()]).double()
    assert options["mean"][0] == pytest.approx(float(known.mean()), rel=1e-5)
    assert options["std"][0] == pytest.approx(float(known.std(correction=0)), rel=1e-5)


def test_a_large_table_is_measured_on_rows_from_all_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = measured_rows(80_000)
    assert len(rows) == MEASURED
    assert (np.histogram(rows, 10, (0, 80_000))[0] == MEASURED // 10).all()
    made = []
    for i in range(200):
        np.save(tmp_path / f"{i}.npy", np.zeros((4 if i < 150 else 9, 1), np.float32))
        made.append({"pose": f"{i}.npy", "note": "a " * (3 if i < 150 else 8), "label": i % 2})
    source = table(tmp_path, made)
    monkeypatch.setattr("g2d.data.lengths.MEASURED", 40)
    inferred = lines(source, kinds={"note": "text"})
    assert "pose: longest 9 steps, 9 steps kept (measured on 40 of 200 rows)" in inferred
    assert "note: longest 8 tokens, 8 tokens kept (measured on 40 of 200 rows)" in inferred


def test_the_rule_keeps_a_high_quantile_within_a_bound() -> None:
    lengths = [1.0] * 95 + [5.0] * 5
    assert length_to_keep(lengths, 60) == 1
    assert length_to_keep([1.0] * 94 + [5.0] * 6, 60) == 5
    assert length_to_keep([100.0], 60) == 60
    assert str(described([100.0, 4000.0], 60, "s", rows=2, option="seconds")) == (
        "longest 4000.0 s, 60.0 s kept, 2 of 2 rows cut; seconds=4000 keeps all"
    )
    assert str(described([5], 5, "steps", rows=9000, option="steps")) == (
        "longest 5 steps, 5 steps kept (measured on 1 of 9000 rows)"
    )


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aac", ".mp3", ".webm"])
def test_lengths_of_sound_come_from_the_header_or_else_from_the_packets(
    tmp_path: Path, suffix: str
) -> None:
    import av

    path, options = tmp_path / f"a{suffix}", {"live": "1"} if suffix == ".webm" else {}
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".aac": "aac", ".mp3": "mp3"}
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec.get(suffix, "libopus"), rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(3.0, 16_000)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        out.mux([*stream.encode(frame), *stream.encode(None)])
    assert stream_lengths(path).sound == pytest.approx(3.0, abs=0.15)
    assert stream_lengths(path).video is None
    if suffix == ".wav":
        path.write_bytes(path.read_bytes()[: 16_000 * 2])  # the header claims more than there is
        assert stream_lengths(path).sound == pytest.approx(1.0, abs=0.01)
    path.unlink()
    with pytest.raises(UnreadableError):
        stream_lengths(path)


def test_only_headers_of_arrays_are_read_and_videos_have_a_line_too(tmp_path: Path) -> None:
    made = []
    for i in range(30):
        np.save(tmp_path / f"{i}.npy", np.zeros((50, 2), np.float32))
        whole = (tmp_path / f"{i}.npy").read_bytes()
        (tmp_path / f"{i}.npy").write_bytes(whole[:200])
        made.append({"pose": f"{i}.npy", "label": i % 2, "film": f"{i % 2}.mp4"})
    for i in range(2):
        write_video(tmp_path / f"{i}.mp4", moving(12, (32, 48), i), 6)
    inferred = lines(table(tmp_path, made), frames=4)
    assert "pose: longest 50 steps, 50 steps kept" in inferred
    assert (
        "film: longest 2.0 s, 4 frames spread over all of it kept; frames=8 keeps more" in inferred
    )


def test_a_view_of_tokens_without_a_length_reads_as_much_as_its_tokenizer_needs(
    tmp_path: Path,
) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    signs = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1}, unk_token="<unk>"))
    signs.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=signs, unk_token="<unk>", pad_token="<pad>"
    ).save_pretrained(tmp_path / "signs")
    made = [
        {"note": "ten words " * 50 if i % 2 else "two words", "label": i % 2} for i in range(40)
    ]
    options = TableOptions(kinds={"note": "text"})
    prepare(plan_table(table(tmp_path, made), options), tmp_path, tmp_path / "store")
    for own, length in (({}, 100), ({"tokenizer": str(tmp_path / "signs")}, 500)):
        views: Any = {"note": ({"name": "tokens", **own},)}
        opened = open_store(StoreOptions(store="store", root=str(tmp_path), views=views))
        assert opened.views["note"].config()["steps"][0]["length"] == length
    earlier = Signal("text", "uint8", (500,), ({"name": "tokens"},))
    steps = complete_steps([{"name": "tokens"}], earlier, np.arange(3), lambda _: torch.zeros(0))
    assert steps == [{"name": "tokens"}]
