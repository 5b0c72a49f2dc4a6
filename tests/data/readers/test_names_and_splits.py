"""The golden rules of file names, labels and splits that need no data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from raw_ur_funny import ur_funny_content, write_ur_funny

from g2d.data.parts import noise_pools, pools_by_take
from g2d.data.readers import READERS, find_reader, iemocap, mis_me
from g2d.data.readers.crema_d import EMOTIONS, KNOWN_BAD, CremaOptions, Grammar, plan_crema
from g2d.data.readers.iemocap_sides import Side, contradictions
from g2d.data.readers.iemocap_turns import parse_turn, parse_words
from g2d.data.readers.ur_funny import URFunnyOptions, plan_ur_funny
from g2d.data.readers.vggsound import VGGSoundOptions, disjoint, plan_vggsound, read_rows
from g2d.data.store import Sample, name_hash
from g2d.data.store.plan import TEST, TRAIN, UNUSED, VALID
from g2d.errors import DataError

SENTENCES = ["IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI"]


def crema_names() -> list[str]:
    """The corpus's 7,442 names up to the level: 82 clips per actor, of one sentence three levels of five emotions, fewer for five actors."""
    short = {1002: 81, 1076: 81, 1008: 76, 1009: 76, 1019: 76}
    names = []
    for actor in range(1001, 1092):
        own = [f"{actor}_{s}_{e}_XX" for s in SENTENCES[1:] for e in EMOTIONS]
        own += [f"{actor}_IEO_{e}_{level}" for e in EMOTIONS if e != "NEU" for level in ("LO", "MD", "HI")] + [f"{actor}_IEO_NEU_XX"]
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
        counts = Counter(s.target for s, q in zip(plan.samples, place.tolist(), strict=True) if q == p)
        assert counts == {0: 108, 1: 126, 2: 126, 3: 126, 4: 126, 5: 126}
    folds = [int((plan.protocols[f"crema_d/actor-5fold-v1?fold={k}"] == TEST).sum()) for k in range(5)]
    assert folds == [1476, 1557, 1475, 1470, 1464]
    by_name = {s.id: (s.target, int(p)) for s, p in zip(plan.samples, place.tolist(), strict=True)}
    assert by_name["1001_DFA_ANG_XX"] == (5, TRAIN)
    assert by_name["1020_IEO_SAD_HI"] == (2, TEST)
    assert by_name["1035_TIE_NEU_XX"] == (0, VALID)


def test_crema_d_leaves_out_what_its_maintainers_call_broken(corpus: Path) -> None:
    plan = plan_crema(corpus, CremaOptions())
    names = set(crema_names())
    assert {skip.id for skip in plan.skipped} == KNOWN_BAD.keys() & names
    assert {skip.reason for skip in plan.skipped} == {"known-bad"}
    assert int((plan.protocols["crema_d/actor-disjoint-v1"] == TRAIN).sum()) == 5966 - len(plan.skipped)


def test_the_legacy_split_needs_the_lists_of_the_field(corpus: Path, tmp_path: Path) -> None:
    assert "crema_d/legacy" not in plan_crema(corpus, CremaOptions()).protocols
    for kind in ("AudioWAV", "VideoFlash"):
        (tmp_path / kind).symlink_to(corpus / kind)
    names = crema_names()
    (tmp_path / "test.csv").write_text("\n".join(f"{name},{name[9:12]}" for name in names[::10]))
    train = [name for i, name in enumerate(names) if i % 10]
    (tmp_path / "train.csv").write_text("\ufeff" + "\n".join(f"{name},{name[9:12]}" for name in train), encoding="utf-8")
    plan = plan_crema(tmp_path, CremaOptions(keep_known_bad=True))
    place = plan.protocols["crema_d/legacy"]
    assert int((place == TEST).sum()) == len(names[::10])
    assert int((place == VALID).sum()) == sum(name_hash(name) % 10 == 0 for name in train)
    (tmp_path / "train.csv").write_text("1001_IEO_SAD_LO,HAP\n")
    with pytest.raises(DataError, match="own emotion"):
        plan_crema(tmp_path, CremaOptions())


def test_names_of_other_corpora_can_be_read_in_the_same_layout() -> None:
    grammar = Grammar(r"^(?P<actor>[a-z])(?P<label>[a-z])[a-z]{2}\d[a-z]$", {"b": 0, "l": 1, "s": 2}, ("bin", "lay", "set"), 0)
    assert grammar.parse("sbia1a") == ("s", 0)
    assert grammar.parse("1001_DFA_ANG_XX") is None


def table(folder: Path, text: str) -> Path:
    (folder / "vggsound.csv").write_text(text, encoding="utf-8")
    return folder


def test_vggsound_reads_both_tables_and_keeps_the_commas_of_labels(tmp_path: Path) -> None:
    body = '--0PQM4-hqg,30,waterfall burbling,train\nglLQrEijrKg,300,"bird chirping, tweeting",test\n'
    for head in ("", "youtube_id,time,label,split\n"):
        rows, _ = read_rows(table(tmp_path, head + body))
        assert [(r.clip, r.label) for r in rows] == [("--0PQM4-hqg_000030", "waterfall burbling"), ("glLQrEijrKg_000300", "bird chirping, tweeting")]


@pytest.mark.parametrize("line", ["short,30,x,train", "--0PQM4-hqg,x,y,train", "--0PQM4-hqg,1,y,valid", "--0PQM4-hqg,1,y"])
def test_a_line_that_is_none_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match="line 1"):
        read_rows(table(tmp_path, line + "\n"))


def test_class_numbers_do_not_depend_on_which_clips_exist(tmp_path: Path) -> None:
    table(tmp_path, "aaaaaaaaaaa,1,zebra braying,train\nbbbbbbbbbbb,1,air horn,test\n")
    (tmp_path / "aaaaaaaaaaa_000001.mp4").touch()
    plan = plan_vggsound(tmp_path, VGGSoundOptions())
    assert plan.task["classes"] == ["air horn", "zebra braying"]
    assert [(s.id, s.target) for s in plan.samples] == [("aaaaaaaaaaa_000001", 1)]
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("bbbbbbbbbbb_000001", "missing-file")]
    assert plan.report["missing_by_class_and_split"] == {"air horn / test": 1}
    assert "1 of 2 clips are gone (0 of train, 1 of test); classes by the share they lost: 0-10 %: 1, 90-100 %: 1" in plan.warnings


def test_a_table_that_lists_other_clips_than_are_counted_is_told(tmp_path: Path) -> None:
    table(tmp_path, "aaaaaaaaaaa,1,zebra braying,train\nbbbbbbbbbbb,1,air horn,test\n")
    (tmp_path / "aaaaaaaaaaa_000001.mp4").touch()
    for count, told in ((1, False), (5, True)):
        (tmp_path / "stat.csv").write_text(f"air horn,1,sounds\nzebra braying,{count},animals\n")
        assert ("vggsound.csv lists 2 clips, stat.csv counts 6" in plan_vggsound(tmp_path, VGGSoundOptions()).warnings) is told


def test_what_is_strange_in_ur_funny_is_counted_by_fold(tmp_path: Path) -> None:
    content = ur_funny_content()
    content["data_folds.pkl"]["test"].append(1)
    content["openface_features_sdk.pkl"][25]["punchline_features"][0] = [0.0] * 371
    write_ur_funny(tmp_path, content=content)
    plan = plan_ur_funny(tmp_path, URFunnyOptions())
    assert ("00001", "duplicate") in [(skip.id, skip.reason) for skip in plan.skipped]
    assert len({sample.id for sample in plan.samples}) == len(plan.samples)
    strange = plan.report["strange_numbers"]
    assert strange["audio"]["train"] == {"nan": 0, "+inf": 0, "-inf": 1, "zero_words": 0, "columns": [2]}
    assert strange["visual"]["dev"] == {"nan": 0, "+inf": 0, "-inf": 0, "zero_words": 1, "columns": []}
    assert plan.report["cut_to_shortest"] == 1


def test_no_video_of_vggsound_stands_on_two_sides() -> None:
    def clip(name: str, video: str, listed: int) -> Sample:
        return Sample(name, 0, video, (), notes={"listed": listed})

    valid = next(v for v in (f"video{i:06d}" for i in range(999)) if name_hash(v) % 20 == 0)
    train = next(v for v in (f"video{i:06d}" for i in range(999)) if name_hash(v) % 20)
    clips = [clip("a", "both", TRAIN), clip("b", "both", TEST), clip("c", valid, TRAIN), clip("d", train, TRAIN)]
    assert disjoint(clips).tolist() == [UNUSED, TEST, VALID, TRAIN]


def test_turns_of_iemocap() -> None:
    turn = parse_turn("[140.2250 - 145.6000]\tSes01F_impro05_F019\tang\t[1.5000, 4.0000, 4.5000]")
    assert turn is not None
    assert (turn.session, turn.markers, turn.speaker, turn.code, turn.improvised) == (1, "F", "F", "ang", True)
    assert (turn.seconds, turn.valence, turn.activation, turn.dominance) == (pytest.approx(5.375), 1.5, 4.0, 4.5)
    assert parse_turn("C-E1:\tAnger;\t()") is None
    assert parse_turn("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]") is None
    assert parse_words("Ses01F_impro01_F000 [0.0-1.0]: it is: so") == ("Ses01F_impro01_F000", "it is: so")
    assert parse_words("Ses01F_impro01_MXX0 [0.0-1.0]: no") is None
    assert parse_words("F: no") is None
    scripted = parse_turn("[1.0 - 2.0]\tSes05M_script01_1b_F003\tneu\t[2.5, 2.5, 2.5]")
    assert scripted is not None
    assert scripted.dialogue == "Ses05M_script01_1b"


def test_classes_of_iemocap_merge_excited_into_happy_only_where_there_are_four() -> None:
    codes = {"hap": 595, "exc": 1041, "ang": 1103, "sad": 1084, "neu": 1708, "fru": 1849}
    sizes = {n: sum(count for code, count in codes.items() if code in table) for n, table in iemocap.CODES.items()}
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
    assert {p: [int(c[0]) for c in pool] for p, pool in noise_pools(clips).items()} == {0: [0, 1, 2, 5], 1: [3], 2: [4]}
    few = noise_pools(clips[:2])
    assert [[len(c) for c in few[p]] for p in range(3)] == [[6, 6], [2, 2], [2, 2]]


@pytest.mark.parametrize("name", [name for name in READERS if name != "manifest"])
def test_a_folder_without_the_files_is_refused_with_what_they_are(name: str, tmp_path: Path) -> None:
    reader = find_reader(name)
    with pytest.raises(DataError, match="must"):
        reader.plan(tmp_path, reader.options())
