"""CREMA-D: names, pairs of files, and the lists of the literature's split."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.datasets.crema_d.reader import EMOTIONS, KNOWN_BAD, CremaOptions, plan_crema
from g2d.errors import DataError
from g2d.prepare import name_hash, prepare
from support.media_files import tone, write_wav

SENTENCES = ["IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI"]


def crema_names() -> list[str]:
    """Return 7,442 names like those of the corpus.

    Each actor has 82 clips, one sentence of them in three levels of five emotions; five actors have
    fewer.
    """
    short = {1002: 81, 1076: 81, 1008: 76, 1009: 76, 1019: 76}
    names = []
    for actor in range(1001, 1092):
        own = [f"{actor}_{s}_{e}_XX" for s in SENTENCES[1:] for e in EMOTIONS]
        own += [
            f"{actor}_IEO_{e}_{level}"
            for e in EMOTIONS
            if e != "NEU"
            for level in ("LO", "MD", "HI")
        ] + [f"{actor}_IEO_NEU_XX"]
        names += own[: short.get(actor, 82)]
    return names


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crema")
    for kind, suffix in (("AudioWAV", "wav"), ("VideoFlash", "flv")):
        (folder / kind).mkdir()
        for name in crema_names():
            (folder / kind / f"{name}.{suffix}").touch()
    return folder


def test_actors_are_split_by_the_last_digit_of_their_numbers(corpus: Path) -> None:
    plan = plan_crema(corpus, CremaOptions(keep_known_bad=True))
    place = plan.protocols["crema_d/actor-disjoint-v1"]
    assert len(plan.samples) == 7442
    assert [int((place == p).sum()) for p in (TRAIN, VALID, TEST)] == [5966, 738, 738]
    for p in (VALID, TEST):
        counts = Counter(
            s.target for s, q in zip(plan.samples, place.tolist(), strict=True) if q == p
        )
        assert counts == {0: 108, 1: 126, 2: 126, 3: 126, 4: 126, 5: 126}
    folds = [
        int((plan.protocols[f"crema_d/actor-5fold-v1?fold={k}"] == TEST).sum()) for k in range(5)
    ]
    assert folds == [1476, 1557, 1475, 1470, 1464]
    by_name = {s.id: (s.target, int(p)) for s, p in zip(plan.samples, place.tolist(), strict=True)}
    assert by_name["1001_DFA_ANG_XX"] == (5, TRAIN)
    assert next(s.notes for s in plan.samples if s.id == "1001_DFA_ANG_XX") == {
        "sentence": "DFA",
        "level": "XX",
    }
    assert by_name["1020_IEO_SAD_HI"] == (2, TEST)
    assert by_name["1035_TIE_NEU_XX"] == (0, VALID)


def test_clips_that_the_maintainers_list_as_broken_are_skipped(corpus: Path) -> None:
    plan = plan_crema(corpus, CremaOptions())
    names = set(crema_names())
    assert {skip.id for skip in plan.skipped} == KNOWN_BAD.keys() & names
    assert {skip.reason for skip in plan.skipped} == {"known-bad"}
    assert int((plan.protocols["crema_d/actor-disjoint-v1"] == TRAIN).sum()) == 5966 - len(
        plan.skipped
    )


def test_the_legacy_split_needs_the_lists_of_the_literature(corpus: Path, tmp_path: Path) -> None:
    assert "crema_d/legacy" not in plan_crema(corpus, CremaOptions()).protocols
    for kind in ("AudioWAV", "VideoFlash"):
        (tmp_path / kind).symlink_to(corpus / kind)
    names = crema_names()
    (tmp_path / "test.csv").write_text("\n".join(f"{name},{name[9:12]}" for name in names[::10]))
    train = [name for i, name in enumerate(names) if i % 10]
    (tmp_path / "train.csv").write_text(
        "\ufeff" + "\n".join(f"{name},{name[9:12]}" for name in train), encoding="utf-8"
    )
    plan = plan_crema(tmp_path, CremaOptions(keep_known_bad=True))
    place = plan.protocols["crema_d/legacy"]
    assert int((place == TEST).sum()) == len(names[::10])
    assert int((place == VALID).sum()) == sum(name_hash(name) % 10 == 0 for name in train)


def few_clips(folder: Path, *names: str) -> Path:
    for kind, suffix in (("AudioWAV", "wav"), ("VideoFlash", "flv")):
        (folder / kind).mkdir(parents=True)
        for name in names:
            (folder / kind / f"{name}.{suffix}").touch()
    return folder


CLIPS = ("1001_IEO_ANG_LO", "1005_IEO_SAD_HI", "1010_IEO_NEU_XX")
LISTS = "1001_IEO_ANG_LO,ANG\n", "1010_IEO_NEU_XX,NEU\n"


def legacy(
    folder: Path, train: str | bytes | None, test: str | bytes | None
) -> tuple[list[int] | None, str]:
    """Return the splits of three clips by the lists, and the warnings."""
    source = few_clips(folder, *CLIPS)
    for name, text in (("train.csv", train), ("test.csv", test)):
        if text is not None:
            (source / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    plan = plan_crema(source, CremaOptions())
    place = plan.protocols.get("crema_d/legacy")
    return None if place is None else place.tolist(), "; ".join(plan.warnings)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("1001_IEO_ANG_LO,HAP\n", "line 1 of .*own emotion"),
        ("\n  \n1001_IEO_ANG_LO,banana\n", "line 3 of .*own emotion"),
        ("1001_IEO_ANG_LO,ang\n", "own emotion"),
        ("1001_IEO_ANG_LO\n", "own emotion"),
        ("name,emotion\n" + LISTS[0], "own emotion"),
        ("\n", "found none"),
        (b"1001_IEO_ANG_LO,\xe9\n", "UTF-8"),
        (LISTS[1], "must not share names"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, train: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        legacy(tmp_path, train, LISTS[1])


def test_the_lists_are_compared_with_the_clips(tmp_path: Path) -> None:
    assert legacy(
        tmp_path / "plain", " 1001_IEO_ANG_LO , ANG\n1005_IEO_SAD_HI,SAD\n  \n", LISTS[1]
    ) == ([TRAIN, TRAIN, TEST], "")
    place, warnings = legacy(
        tmp_path / "odd", LISTS[0] * 2 + "1002_IEO_FEA_LO,FEA\n1076_MTI_SAD_XX,SAD\n", LISTS[1]
    )
    assert place == [TRAIN, UNUSED, TEST]
    assert "1 lines of train.csv repeat a name" in warnings
    assert "2 clips listed for crema_d/legacy are missing, such as 1002_IEO_FEA_LO" in warnings
    assert (
        "1 clips are in no list of crema_d/legacy and unused there, such as 1005_IEO_SAD_HI"
        in warnings
    )


def test_a_single_list_is_reported(tmp_path: Path) -> None:
    place, warnings = legacy(tmp_path, LISTS[0], None)
    assert place is None
    assert "there is no list test.csv" in warnings


def test_sound_without_any_video_is_prepared_if_partial_data_are_allowed(tmp_path: Path) -> None:
    for name in CLIPS:
        write_wav(tmp_path / "AudioWAV" / f"{name}.wav", tone(0.5, 8_000), 8_000)
    plan = plan_crema(tmp_path, CremaOptions(rate=8000))
    assert (tuple(plan.signals), plan.missing, [s.files for s in plan.samples]) == (
        ("audio",),
        ("video",),
        [(f"AudioWAV/{name}.wav",) for name in CLIPS],
    )
    with pytest.raises(DataError, match=r"found no file of video[^$]*--allow-partial"):
        prepare(plan, tmp_path, tmp_path / "store")
    prepare(plan, tmp_path, tmp_path / "store", allow_partial=True)
    assert np.load(tmp_path / "store" / "audio.npy").shape == (3, 24_000)


def test_a_clip_without_sound_or_video_is_skipped(tmp_path: Path) -> None:
    source = few_clips(tmp_path, *CLIPS)
    (source / "VideoFlash" / f"{CLIPS[0]}.flv").unlink()
    (source / "AudioWAV" / f"{CLIPS[1]}.wav").unlink()
    plan = plan_crema(source, CremaOptions())
    assert [(skip.id, skip.reason, skip.detail) for skip in plan.skipped] == [
        (CLIPS[0], "missing-file", "no video"),
        (CLIPS[1], "missing-file", "no sound"),
    ]
    assert plan.missing == ()


def test_mp3_files_count_only_if_there_are_no_wav_files(tmp_path: Path) -> None:
    source = few_clips(tmp_path, *CLIPS)
    (source / "AudioMP3").mkdir()
    for name in CLIPS:
        (source / "AudioMP3" / f"{name}.mp3").touch()
    for name, folder in zip(CLIPS, ("WAV", "WAV", "MP3"), strict=True):
        plan = plan_crema(source, CremaOptions())
        assert {sample.files[0].split("/")[0] for sample in plan.samples} == {f"Audio{folder}"}
        (source / "AudioWAV" / f"{name}.wav").unlink(missing_ok=True)
        (source / "AudioWAV" / f"{CLIPS[2]}.wav").unlink(missing_ok=True)


def test_suffixes_in_capitals_are_found_and_names_that_are_not_utf8_are_reported(
    tmp_path: Path,
) -> None:
    source = few_clips(tmp_path, *CLIPS)
    (source / "AudioWAV" / f"{CLIPS[0]}.wav").rename(source / "AudioWAV" / f"{CLIPS[0]}.WAV")
    (source / "VideoFlash" / f"{CLIPS[1]}.FLV").touch()
    try:
        (source / "AudioWAV" / os.fsdecode(b"bad\xff.wav")).touch()
    except OSError:
        pytest.skip("this file system only allows names that are text")
    plan = plan_crema(source, CremaOptions())
    assert [sample.files[0] for sample in plan.samples] == [
        "AudioWAV/1001_IEO_ANG_LO.WAV",
        *(f"AudioWAV/{name}.wav" for name in CLIPS[1:]),
    ]
    assert plan.samples[1].files[1] == "VideoFlash/1005_IEO_SAD_HI.FLV"
    assert any(
        "VideoFlash/1005_IEO_SAD_HI.flv after VideoFlash/1005_IEO_SAD_HI.FLV" in text
        for text in plan.warnings
    )
    assert any(
        "1 files without the name of a clip" in text and "bad\ufffd" in text
        for text in plan.warnings
    )
