"""Videos with sound in a table: two modalities, and columns that name the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from g2d.data.store.opening import StoreOptions
from g2d.datasets.table.opening import open_any
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.errors import DataError
from g2d.prepare import Plan, prepare
from g2d.types import Sequence
from support.media_files import moving, tone, write_video, write_wav

ROWS = 30


def clips(folder: Path, silent: Callable[[int], bool], *columns: str) -> Path:
    """Write clips, and a table whose columns all name them."""
    for i in range(ROWS):
        sound = None if silent(i) else tone(0.3, 16_000, 300 + 300 * (i % 2))
        write_video(folder / f"{i}.avi", moving(3, (32, 48), i), 10, sound, 16_000)
    lines = [",".join([*columns, "label"])]
    lines += [",".join([*(f"{i}.avi" for _ in columns), "ab"[i % 2]]) for i in range(ROWS)]
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return folder / "m.csv"


def planned(source: Path, **kinds: str) -> Plan:
    return plan_table(source, TableOptions(size=16, frames=2, rate=8_000, kinds=kinds))


def test_videos_with_sound_are_two_modalities_and_the_way_to_one_is_printed(tmp_path: Path) -> None:
    source = clips(tmp_path, lambda i: i == 3, "clip")
    plan = planned(source)
    assert {m: signal.kind for m, signal in plan.signals.items()} == {
        "clip": "video",
        "clip_sound": "audio",
    }
    lines = "\n".join(plan.inferred)
    assert "to have one: kinds.clip=video|audio" in lines
    assert "rows)" not in "".join(line for line in plan.inferred if "clip_sound: longest" in line)
    assert "clip_sound: longest 0.3" in lines
    for kind, modalities in (("video", ["clip"]), ("audio", ["clip"])):
        only = planned(source, clip=kind)
        assert list(only.signals) == modalities
        assert only.signals["clip"].kind == kind
    prepare(plan, tmp_path, tmp_path / "store")
    made = open_any(StoreOptions(store="store", root=str(tmp_path)))
    assert made.size == ROWS
    assert made.present["clip_sound"].sum() == ROWS - 1
    assert "clip" not in made.present
    _, batch = made.read_rows(source)
    assert batch.present is not None
    assert batch.present["clip_sound"].sum() == ROWS - 1
    assert isinstance(made.stored("clip_sound", np.arange(2)), Sequence)


def test_sound_of_some_videos_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    source = clips(tmp_path, lambda i: i % 3 == 0, "clip")
    plan = planned(source)
    assert list(plan.signals) == ["clip"]
    assert (
        "clip: 20 of 30 files hold sound, which is left out; to have it: "
        "kinds.clip=video+audio|audio"
    ) in plan.inferred
    both = planned(source, clip="video+audio")
    prepare(both, tmp_path, tmp_path / "store")
    made = open_any(StoreOptions(store="store", root=str(tmp_path)))
    assert made.size == ROWS
    assert made.present["clip_sound"].sum() == 20


def test_columns_of_the_same_files_are_refused_unless_they_are_different_streams(
    tmp_path: Path,
) -> None:
    source = clips(tmp_path, lambda i: False, "clip", "voice")
    with pytest.raises(DataError) as caught:
        planned(source)
    assert "found 'clip' and 'voice', whose video files are the same" in str(caught.value)
    assert "ignore=[voice], or take the sound of it: kinds.voice=audio" in str(caught.value)
    plan = planned(source, voice="audio")
    assert {m: signal.kind for m, signal in plan.signals.items()} == {
        "clip": "video",
        "voice": "audio",
    }
    with pytest.raises(DataError, match="whose audio files are the same"):
        planned(source, voice="audio", clip="video+audio")
    for i in range(ROWS):
        np.save(tmp_path / f"{i}.npy", np.full(3, i, np.float32))
    rows = [f"{i}.npy,./{i}.npy,{i % 2}" for i in range(ROWS)]
    (tmp_path / "a.csv").write_text("\n".join(["one,two,label", *rows]) + "\n")
    with pytest.raises(DataError, match=r"whose array files are the same.* ignore=\[two\]"):
        planned(tmp_path / "a.csv")


def test_containers_of_videos_that_hold_sound_alone_are_sound(tmp_path: Path) -> None:
    import av

    for i in range(ROWS):
        with av.open(str(tmp_path / f"{i}.mkv"), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=8_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(0.2, 8_000)[None], format="s16", layout="mono")
            frame.sample_rate = 8_000
            out.mux([*stream.encode(frame), *stream.encode(None)])
    rows = [f"{i}.mkv,{i % 2}" for i in range(ROWS)]
    (tmp_path / "m.csv").write_text("\n".join(["take,label", *rows]) + "\n")
    plan = planned(tmp_path / "m.csv")
    assert plan.signals["take"].kind == "audio"
    assert "take: its files hold sound without pictures; to change: kinds.take=video" in (
        plan.inferred
    )


def test_a_column_that_has_the_name_of_the_sound_keeps_it(tmp_path: Path) -> None:
    source = clips(tmp_path, lambda i: False, "clip")
    for i in range(ROWS):
        write_wav(tmp_path / f"{i}.wav", tone(0.2, 8_000, 300 + 10 * i), 8_000)
    lines = [line.split(",") for line in source.read_text().splitlines()]
    lines = [[lines[0][0], "clip_sound", lines[0][1]]] + [
        [clip, f"{i}.wav", label] for i, (clip, label) in enumerate(lines[1:])
    ]
    source.write_text("\n".join(map(",".join, lines)) + "\n")
    plan = planned(source)
    columns = plan.parameters["columns"]
    assert columns["clip_sound"] == ["clip_sound"]
    assert sorted(map(tuple, columns.values())) == [("clip",), ("clip",), ("clip_sound",)]
