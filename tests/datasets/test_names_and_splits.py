"""The golden rules of file names, labels and splits that need no data."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.datasets import DATASETS
from g2d.datasets.av_mnist.parts import noise_pools, pools_by_take
from g2d.datasets.crema_d.reader import EMOTIONS, KNOWN_BAD, CremaOptions, Grammar, plan_crema
from g2d.datasets.folders import by_stem, find_file, find_files, read_csv
from g2d.datasets.iemocap import reader as iemocap
from g2d.datasets.iemocap.sides import Side, contradictions
from g2d.datasets.iemocap.turns import parse_turn, parse_words
from g2d.datasets.mis_me import reader as mis_me
from g2d.datasets.ur_funny.reader import URFunnyOptions, plan_ur_funny
from g2d.datasets.ur_funny.sample import ur_funny_content
from g2d.datasets.ur_funny.sample import write_sample as write_ur_funny
from g2d.datasets.vggsound.reader import VGGSoundOptions, disjoint, plan_vggsound, read_rows
from g2d.errors import DataError
from g2d.prepare import Sample, name_hash, prepare
from support.media_files import tone, write_wav

SENTENCES = ["IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI"]


def crema_names() -> list[str]:
    """The corpus's 7,442 names up to the level: 82 clips per actor, of one sentence three levels of five emotions, fewer for five actors."""
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


def test_name_hashes_are_those_of_every_machine() -> None:
    assert name_hash("1001_DFA_ANG_XX") == 2222258598
    assert name_hash("--0PQM4-hqg") == 715599501


def test_crema_d_splits_by_actor(corpus: Path) -> None:
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


def test_crema_d_leaves_out_what_its_maintainers_call_broken(corpus: Path) -> None:
    plan = plan_crema(corpus, CremaOptions())
    names = set(crema_names())
    assert {skip.id for skip in plan.skipped} == KNOWN_BAD.keys() & names
    assert {skip.reason for skip in plan.skipped} == {"known-bad"}
    assert int((plan.protocols["crema_d/actor-disjoint-v1"] == TRAIN).sum()) == 5966 - len(
        plan.skipped
    )


def test_the_legacy_split_needs_the_lists_of_the_field(corpus: Path, tmp_path: Path) -> None:
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
    """The places of three clips in the field's split, and what is told."""
    source = few_clips(folder, *CLIPS)
    for name, text in (("train.csv", train), ("test.csv", test)):
        if text is not None:
            (source / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    plan = plan_crema(source, CremaOptions())
    place = plan.protocols.get("crema_d/legacy")
    return None if place is None else place.tolist(), "; ".join(plan.warnings)


@pytest.mark.parametrize(
    ("train", "said"),
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
def test_a_list_of_the_field_that_is_none_is_refused(
    tmp_path: Path, train: str | bytes, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        legacy(tmp_path, train, LISTS[1])


def test_the_lists_of_the_field_are_held_against_the_clips_that_are_there(tmp_path: Path) -> None:
    assert legacy(
        tmp_path / "plain", " 1001_IEO_ANG_LO , ANG\n1005_IEO_SAD_HI,SAD\n  \n", LISTS[1]
    ) == ([TRAIN, TRAIN, TEST], "")
    place, told = legacy(
        tmp_path / "odd", LISTS[0] * 2 + "1002_IEO_FEA_LO,FEA\n1076_MTI_SAD_XX,SAD\n", LISTS[1]
    )
    assert place == [TRAIN, UNUSED, TEST]
    assert "1 lines of train.csv repeat a name" in told
    assert "2 clips of crema_d/legacy's lists are not there, such as 1002_IEO_FEA_LO" in told
    assert (
        "1 clips stand in neither list of crema_d/legacy, which leaves them unused, such as 1005_IEO_SAD_HI"
        in told
    )


def test_a_list_of_the_field_that_stands_alone_is_told(tmp_path: Path) -> None:
    place, told = legacy(tmp_path, LISTS[0], None)
    assert place is None
    assert "test.csv is missing" in told


def test_crema_d_without_any_video_is_a_set_of_sound_if_that_is_allowed(tmp_path: Path) -> None:
    for name in CLIPS:
        write_wav(tmp_path / "AudioWAV" / f"{name}.wav", tone(0.5, 8_000), 8_000)
    plan = plan_crema(tmp_path, CremaOptions(rate=8000))
    assert (tuple(plan.signals), plan.missing, [s.files for s in plan.samples]) == (
        ("audio",),
        ("video",),
        [(f"AudioWAV/{name}.wav",) for name in CLIPS],
    )
    with pytest.raises(DataError, match=r"no file of video was found[^$]*--allow-partial"):
        prepare(plan, tmp_path, tmp_path / "store")
    prepare(plan, tmp_path, tmp_path / "store", allow_partial=True)
    assert np.load(tmp_path / "store" / "audio.npy").shape == (3, 24_000)


def test_a_clip_of_crema_d_without_its_partner_is_a_missing_file(tmp_path: Path) -> None:
    source = few_clips(tmp_path, *CLIPS)
    (source / "VideoFlash" / f"{CLIPS[0]}.flv").unlink()
    (source / "AudioWAV" / f"{CLIPS[1]}.wav").unlink()
    plan = plan_crema(source, CremaOptions())
    assert [(skip.id, skip.reason, skip.detail) for skip in plan.skipped] == [
        (CLIPS[0], "missing-file", "no video"),
        (CLIPS[1], "missing-file", "no sound"),
    ]
    assert plan.missing == ()


def test_crema_d_takes_mp3_only_where_there_is_no_wav_at_all(tmp_path: Path) -> None:
    source = few_clips(tmp_path, *CLIPS)
    (source / "AudioMP3").mkdir()
    for name in CLIPS:
        (source / "AudioMP3" / f"{name}.mp3").touch()
    for name, folder in zip(CLIPS, ("WAV", "WAV", "MP3"), strict=True):
        plan = plan_crema(source, CremaOptions())
        assert {sample.files[0].split("/")[0] for sample in plan.samples} == {f"Audio{folder}"}
        (source / "AudioWAV" / f"{name}.wav").unlink(missing_ok=True)
        (source / "AudioWAV" / f"{CLIPS[2]}.wav").unlink(missing_ok=True)


def test_names_in_capitals_are_found_and_names_that_are_no_text_are_told(tmp_path: Path) -> None:
    source = few_clips(tmp_path, *CLIPS)
    (source / "AudioWAV" / f"{CLIPS[0]}.wav").rename(source / "AudioWAV" / f"{CLIPS[0]}.WAV")
    (source / "VideoFlash" / f"{CLIPS[1]}.FLV").touch()
    try:
        (source / "AudioWAV" / os.fsdecode(b"bad\xff.wav")).touch()
    except OSError:
        pytest.skip("this file system holds only names that are text")
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
        "1 files whose names are not those of clips" in text and "bad\ufffd" in text
        for text in plan.warnings
    )


def test_names_of_other_corpora_can_be_read_in_the_same_layout() -> None:
    grammar = Grammar(
        r"^(?P<actor>[a-z])(?P<label>[a-z])[a-z]{2}\d[a-z]$",
        {"b": 0, "l": 1, "s": 2},
        ("bin", "lay", "set"),
        0,
    )
    assert grammar.parse("sbia1a") == ("s", 0, {})
    assert grammar.parse("sbia1a\n") is None
    assert grammar.parse("1001_DFA_ANG_XX") is None


def table(folder: Path, text: str) -> Path:
    (folder / "vggsound.csv").write_text(text, encoding="utf-8")
    return folder


def test_vggsound_reads_both_tables_and_keeps_the_commas_of_labels(tmp_path: Path) -> None:
    body = (
        '--0PQM4-hqg,30,waterfall burbling,train\nglLQrEijrKg,300,"bird chirping, tweeting",test\n'
    )
    for head in (
        "",
        "youtube_id,time,label,split\n",
        "\ufeff\n  \nyoutube_id, time, label, split\n",
    ):
        rows, _ = read_rows(table(tmp_path, head + body))
        assert [(r.clip, r.label) for r in rows] == [
            ("--0PQM4-hqg_000030", "waterfall burbling"),
            ("glLQrEijrKg_000300", "bird chirping, tweeting"),
        ]


@pytest.mark.parametrize(
    "line",
    [
        "short,30,x,train",
        "--0PQM4-hqg,x,y,train",
        "--0PQM4-hqg,²,y,train",
        "--0PQM4-hqg,1000000,y,train",
        "--0PQM4-hqg,1,y,valid",
        "--0PQM4-hqg,1,y",
        '--0PQM4-hqg,1,"y,train\nbbbbbbbbbbb,1,x,test',
    ],
)
def test_a_line_that_is_none_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match="line 1"):
        read_rows(table(tmp_path, line + "\n"))


@pytest.mark.parametrize(
    "content",
    [
        "--0PQM4-hqg,1,café,train".encode("latin1"),
        "--0PQM4-hqg,1,y,train".encode("utf-16"),
        b'--0PQM4-hqg,1,"' + b"bbbbbbbbbbb,1,x,test\n" * 9000,
    ],
)
def test_a_table_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    for name, line in (("vggsound.csv", b"bbbbbbbbbbb,1,x,test"), ("stat.csv", b"x,1")):
        (tmp_path / name).write_bytes(line)
    (tmp_path / "bbbbbbbbbbb_000001.mp4").touch()
    assert len(plan_vggsound(tmp_path, VGGSoundOptions()).samples) == 1
    for name in ("stat.csv", "vggsound.csv"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} must be a CSV file in UTF-8"):
            plan_vggsound(tmp_path, VGGSoundOptions())


def test_rows_of_a_csv_file_are_numbered_by_the_lines_where_they_begin(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        '\ufeffa , "b, c"\n\n , \n"two\nlines",x\nlast\n', encoding="utf-8"
    )
    assert list(read_csv(tmp_path / "a.csv")) == [
        (1, ["a", "b, c"]),
        (4, ["two\nlines", "x"]),
        (6, ["last"]),
    ]
    with pytest.raises(DataError, match="must be a CSV file"):
        list(read_csv(tmp_path))


def test_files_are_found_behind_links_and_every_folder_is_entered_once(tmp_path: Path) -> None:
    source, disk = tmp_path / "source", tmp_path / "disk"
    for path in (source / "b.mp4" / "b.MP4", disk / "a.mp4", disk / "more" / "c.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (source / "shard").symlink_to(disk)
    (disk / "loop").symlink_to(source)
    found = find_files(source, ".mp4")
    assert [path.relative_to(source).as_posix() for path in found] == [
        "b.mp4/b.MP4",
        "shard/a.mp4",
        "shard/more/c.mp4",
    ]
    assert find_file(source, "c.mp4") == source / "shard" / "more" / "c.mp4"
    assert find_file(source, "b.mp4") is None
    assert by_stem(source, found)[1] == []


def test_the_split_by_video_does_not_depend_on_which_clips_are_there_or_asked_for(
    tmp_path: Path,
) -> None:
    lines = [
        "aaaaaaaaaaa,1,horn,train",
        "aaaaaaaaaaa,90,zebra,test",
        "bbbbbbbbbbb,1,horn,train",
        "ccccccccccc,1,horn,test",
        "aaaaaaaaaab,1,zebra,test",
        "ddddddddddd,1,air,test",
    ]
    table(tmp_path, "\n".join(lines))
    for clip in (
        "aaaaaaaaaaa_000001",
        "aaaaaaaaaaa_000090",
        "bbbbbbbbbbb_000001",
        "ccccccccccc_000001",
        "aaaaaaaaaab_000001",
    ):
        (tmp_path / f"{clip}.mp4").touch()

    def place(**options: int) -> int:
        plan = plan_vggsound(tmp_path, VGGSoundOptions(**options))
        return dict(
            zip(
                (s.id for s in plan.samples),
                plan.protocols["vggsound/video-disjoint-v1"].tolist(),
                strict=True,
            )
        )["aaaaaaaaaaa_000001"]

    assert place() == UNUSED
    assert place(limit=1) == UNUSED
    assert place(classes=2) == UNUSED  # air and horn, without zebra
    (tmp_path / "aaaaaaaaaaa_000090.mp4").unlink()
    assert place() == UNUSED


def test_clips_that_lie_twice_or_stand_in_no_table_are_told(tmp_path: Path) -> None:
    table(tmp_path, "aaaaaaaaaaa,1,zebra,train\nbbbbbbbbbbb,1,horn,test\n")
    (tmp_path / "stat.csv").write_text("label,count,category\nzebra,1,animals\nhorn,1,sounds\n")
    for name in (
        "y/aaaaaaaaaaa_000001.mp4",
        "x/aaaaaaaaaaa_000001.MP4",
        "x/bbbbbbbbbbb_000001.mp4",
        "x/ccccccccccc_000001.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    plan = plan_vggsound(tmp_path, VGGSoundOptions(limit=1))
    assert plan.task["classes"] == ["horn", "zebra"]
    assert [sample.files for sample in plan.samples] == [
        ("x/aaaaaaaaaaa_000001.MP4",),
        ("x/bbbbbbbbbbb_000001.mp4",),
    ]
    told = "; ".join(plan.warnings)
    assert (
        "1 files have the name of an earlier one and are ignored, such as "
        "y/aaaaaaaaaaa_000001.mp4 after x/aaaaaaaaaaa_000001.MP4 (in bytewise order)" in told
    )
    assert (
        "1 mp4 files stand in no line of vggsound.csv and are left alone, such as ccccccccccc_000001.mp4"
        in told
    )


def test_class_numbers_do_not_depend_on_which_clips_exist(tmp_path: Path) -> None:
    table(tmp_path, "aaaaaaaaaaa,1,zebra braying,train\nbbbbbbbbbbb,1,air horn,test\n")
    (tmp_path / "aaaaaaaaaaa_000001.mp4").touch()
    plan = plan_vggsound(tmp_path, VGGSoundOptions())
    assert plan.task["classes"] == ["air horn", "zebra braying"]
    assert [(s.id, s.target) for s in plan.samples] == [("aaaaaaaaaaa_000001", 1)]
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [
        ("bbbbbbbbbbb_000001", "missing-file")
    ]
    assert plan.report["missing_by_class_and_split"] == {"air horn / test": 1}
    assert (
        "1 of 2 clips are gone (0 of train, 1 of test); classes by the share they lost: 0-10 %: 1, 90-100 %: 1"
        in plan.warnings
    )


def test_a_table_that_lists_other_clips_than_are_counted_is_told(tmp_path: Path) -> None:
    table(tmp_path, "aaaaaaaaaaa,1,zebra braying,train\nbbbbbbbbbbb,1,air horn,test\n")
    (tmp_path / "aaaaaaaaaaa_000001.mp4").touch()
    for count, told in ((1, False), (5, True)):
        (tmp_path / "stat.csv").write_text(f"air horn,1,sounds\nzebra braying,{count},animals\n")
        assert (
            "vggsound.csv lists 2 clips, stat.csv counts 6"
            in plan_vggsound(tmp_path, VGGSoundOptions()).warnings
        ) is told


def test_what_is_strange_in_ur_funny_is_counted_by_fold(tmp_path: Path) -> None:
    content = ur_funny_content()
    content["data_folds.pkl"]["test"].append(1)
    content["openface_features_sdk.pkl"][25]["punchline_features"][0] = [0.0] * 371
    write_ur_funny(tmp_path, content=content)
    plan = plan_ur_funny(tmp_path, URFunnyOptions())
    assert ("00001", "duplicate") in [(skip.id, skip.reason) for skip in plan.skipped]
    assert len({sample.id for sample in plan.samples}) == len(plan.samples)
    strange = plan.report["strange_numbers"]
    assert strange["audio"]["train"] == {
        "nan": 0,
        "+inf": 0,
        "-inf": 1,
        "zero_words": 0,
        "columns": [2],
    }
    assert strange["visual"]["dev"] == {
        "nan": 0,
        "+inf": 0,
        "-inf": 0,
        "zero_words": 1,
        "columns": [],
    }
    assert plan.report["cut_to_shortest"] == 1


def test_no_video_of_vggsound_stands_on_two_sides() -> None:
    def clip(name: str, video: str, listed: int) -> Sample:
        return Sample(name, 0, video, (), notes={"listed": listed})

    valid = next(v for v in (f"video{i:06d}" for i in range(999)) if name_hash(v) % 20 == 0)
    train = next(v for v in (f"video{i:06d}" for i in range(999)) if name_hash(v) % 20)
    clips = [
        clip("a", "both", TRAIN),
        clip("b", "both", TEST),
        clip("c", valid, TRAIN),
        clip("d", train, TRAIN),
    ]
    assert disjoint(clips, {"both"}).tolist() == [UNUSED, TEST, VALID, TRAIN]


def test_turns_of_iemocap() -> None:
    turn = parse_turn("[140.2250 - 145.6000]\tSes01F_impro05_F019\tang\t[1.5000, 4.0000, 4.5000]")
    assert turn is not None
    assert (turn.session, turn.markers, turn.speaker, turn.code, turn.improvised) == (
        1,
        "F",
        "F",
        "ang",
        True,
    )
    assert (turn.seconds, turn.valence, turn.activation, turn.dominance) == (
        pytest.approx(5.375),
        1.5,
        4.0,
        4.5,
    )
    assert parse_turn("C-E1:\tAnger;\t()") is None
    assert parse_turn("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]") is None
    assert parse_words("Ses01F_impro01_F000 [0.0-1.0]: it is: so") == (
        "Ses01F_impro01_F000",
        "it is: so",
    )
    assert parse_words("Ses01F_impro01_MXX0 [0.0-1.0]: no") is None
    assert parse_words("F: no") is None
    scripted = parse_turn("[1.0 - 2.0]\tSes05M_script01_1b_F003\tneu\t[2.5, 2.5, 2.5]")
    assert scripted is not None
    assert scripted.dialogue == "Ses05M_script01_1b"


def test_classes_of_iemocap_merge_excited_into_happy_only_where_there_are_four() -> None:
    codes = {"hap": 595, "exc": 1041, "ang": 1103, "sad": 1084, "neu": 1708, "fru": 1849}
    sizes = {
        n: sum(count for code, count in codes.items() if code in table)
        for n, table in iemocap.CODES.items()
    }
    assert sizes == iemocap.SIZES
    assert sum(count for code, count in codes.items() if iemocap.CODES[4].get(code) == 3) == 1636


def test_sides_that_change_within_a_session_are_told() -> None:
    def side(left: str) -> Side:
        return Side(left, 0.9, (0, 10), 20)

    assert contradictions({"Ses01F_a": side("F"), "Ses01M_a": side("F")}) == []
    assert "Ses01" in contradictions({"Ses01F_a": side("F"), "Ses01M_a": side("M")})[0]
    assert side("F").box("F") == (0, 0, 10, 10)
    assert side("F").box("M") == (10, 0, 20, 10)


def test_water_content_is_a_fraction_or_a_percentage_or_refused() -> None:
    assert mis_me.water_unit([0.1, 0.42]) == ("fraction", [0.0, 1.0])
    assert mis_me.water_unit([5.0, 42.0]) == ("percent", [0.0, 100.0])
    with pytest.raises(DataError, match="300"):
        mis_me.water_unit([5.0, 300.0])


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


@pytest.mark.parametrize(
    "name", [name for name, dataset in DATASETS.items() if dataset.reader and name != "table"]
)
def test_a_folder_without_the_files_is_refused_with_what_they_are(
    name: str, tmp_path: Path
) -> None:
    reader = DATASETS[name].reader
    assert reader is not None
    with pytest.raises(DataError, match="must"):
        reader.plan(tmp_path, reader.options())
