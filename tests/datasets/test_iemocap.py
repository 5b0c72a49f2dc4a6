"""IEMOCAP: the rules of its texts, who sits where, and that every skip is reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.datasets.iemocap.reader import CODES as EMOTION_CODES
from g2d.datasets.iemocap.reader import SIZES, IemocapOptions, plan_iemocap, shared_words
from g2d.datasets.iemocap.sample import CODES, DIALOGUES, SIZE, both_actors, write_sample
from g2d.datasets.iemocap.sides import Side, contradictions, find_sides
from g2d.datasets.iemocap.turns import parse_turn, parse_words
from g2d.errors import DataError
from g2d.prepare import Plan, prepare
from support.media_files import write_video

FIRST = DIALOGUES[0]
SPEAKERS = ["F" if i % 2 == 0 else "M" for i in range(len(CODES))]
TURNS = [(speaker, float(i), i + 1.0) for i, speaker in enumerate(SPEAKERS)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iemocap")
    write_sample(folder)
    return folder


@pytest.fixture
def unseen(whole: Path, tmp_path: Path) -> Path:
    """Return a copy without videos, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "raw", ignore=shutil.ignore_patterns("*.avi")))


def planned(source: Path, **options: Any) -> Plan:
    return plan_iemocap(source, IemocapOptions.model_validate({"frames": 1, "side": 16, **options}))


def edit(source: Path, change: Callable[[str], str], dialogue: str = FIRST) -> None:
    path = source / f"Session{dialogue[4]}" / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
    path.write_text(change(path.read_text(encoding="latin1")), encoding="latin1")


def last_session(plan: Plan) -> list[int | float | tuple[float, ...]]:
    """Return the targets in the order in which the turns were spoken."""
    return [
        sample.target
        for sample in sorted(plan.samples, key=lambda sample: sample.id[-3:])
        if sample.id.startswith("Ses05")
    ]


def skips(plan: Plan, reason: str) -> dict[str, str]:
    return {skip.id: skip.detail for skip in plan.skipped if skip.reason == reason}


def test_the_letter_after_the_session_wears_the_markers_and_the_last_one_speaks() -> None:
    turn = parse_turn("[6.7700 - 8.4600]\tSes01M_impro01_F000\tang\t[1.5000, 3.5000, 4.5000]")
    assert turn is not None
    assert (turn.session, turn.markers, turn.speaker, turn.dialogue, turn.code) == (
        1,
        "M",
        "F",
        "Ses01M_impro01",
        "ang",
    )


def test_a_transcription_holds_its_turn_and_the_text_after_the_first_colon() -> None:
    assert parse_words("Ses05F_script02_2_M041 [436.5441-438.3820]: Or not.") == (
        "Ses05F_script02_2_M041",
        "Or not.",
    )
    turn = parse_turn("[436.5441 - 438.3820]\tSes05F_script02_2_M041\tneu\t[2.5, 2.5, 2.5]")
    assert turn is not None
    assert (turn.session, turn.speaker, turn.improvised) == (5, "M", False)


@pytest.mark.parametrize(
    "line",
    [
        "C-E1:\tAnger;\t()",
        "A-E1:\tval 3; act 3;\t()",
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
        "",
    ],
)
def test_comments_and_lines_of_raters_are_ignored(line: str, unseen: Path) -> None:
    assert parse_turn(line) is None
    before = planned(unseen)
    edit(unseen, lambda text: f"{text}\n{line}\n")
    after = planned(unseen)
    assert (after.samples, after.warnings) == (before.samples, before.warnings)


def test_sessions_are_split_and_every_session_tests_once(unseen: Path) -> None:
    plan = planned(unseen)
    assert next(iter(plan.protocols)) == "iemocap/session-disjoint-v1"
    sessions = np.array([sample.notes["session"] for sample in plan.samples])
    for name, tested, validated in [
        ("session-disjoint-v1", 5, 4),
        *((f"leave-session-v1?fold={k}", k, k % 5 + 1) for k in range(1, 6)),
    ]:
        place = plan.protocols[f"iemocap/{name}"]
        assert set(sessions[place == TEST]) == {tested}
        assert set(sessions[place == VALID]) == {validated}
        assert set(sessions[place == TRAIN]) == set(range(1, 6)) - {tested, validated}
    assert {sample.group for sample in plan.samples if sample.notes["session"] == 3} == {"3F", "3M"}


def test_turns_without_agreement_are_skipped_and_other_emotions_are_left_out(
    unseen: Path,
) -> None:
    plan = planned(unseen)
    assert skips(plan, "no-agreed-label") == {
        f"{dialogue}_F008": "no majority of raters" for dialogue in DIALOGUES
    }
    assert not [sample.id for sample in plan.samples if sample.id.endswith("M009")]  # frustrated
    assert last_session(plan) == [0, 1, 2, 3, 3, 0, 1, 2]  # neu ang sad hap exc neu ang sad


@pytest.mark.parametrize(
    ("classes", "names", "targets"),
    [
        (5, ["angry", "excited", "frustrated", "neutral", "sad"], [3, 0, 4, 1, 3, 0, 4, 2]),
        (
            6,
            ["angry", "excited", "frustrated", "neutral", "sad", "happy"],
            [3, 0, 4, 5, 1, 3, 0, 4, 2],
        ),
    ],
)
def test_with_more_classes_excited_and_frustrated_are_classes(
    classes: int, names: list[str], targets: list[int], unseen: Path
) -> None:
    plan = planned(unseen, classes=classes)
    assert plan.task["classes"] == names
    assert last_session(plan) == targets
    assert plan.official == {5: 6785, 6: 7380}[classes]


def test_seven_classes_are_refused() -> None:
    with pytest.raises(ValidationError, match="4, 5 or 6"):
        IemocapOptions.model_validate({"classes": 7})


def test_improvised_dialogues_have_their_own_size(unseen: Path) -> None:
    plan = planned(unseen, improvised_only=True)
    assert {sample.id.split("_")[1][:5] for sample in plan.samples} == {"impro"}
    assert not [skip.id for skip in plan.skipped if "script" in skip.id]
    assert plan.official == 2943
    assert planned(unseen, improvised_only=True, classes=5).official == 0  # never published
    assert "improvised_only" in planned(unseen).warnings[0]
    assert "improvised_only" not in plan.warnings[0]


def test_a_session_without_turns_is_named_as_missing(unseen: Path, tmp_path: Path) -> None:
    shutil.rmtree(unseen / "Session4" / "dialog" / "EmoEvaluation")
    shutil.rmtree(unseen / "Session2")
    plan = planned(unseen, classes=5, improvised_only=True)
    assert plan.missing == ("video", "session 2", "session 4")
    with pytest.raises(DataError, match=r"found no file of .*session 2 and session 4"):
        prepare(plan, unseen, tmp_path / "store")


def test_a_session_with_only_scripts_is_missing_among_improvised_ones(unseen: Path) -> None:
    assert "session 4" in planned(unseen, improvised_only=True).missing
    assert "session 4" not in planned(unseen).missing


def test_a_turn_that_is_evaluated_twice_counts_once(unseen: Path) -> None:
    before = planned(unseen)
    edit(
        unseen,
        lambda text: (
            text + "[4.0000 - 4.5000]\tSes01F_impro01_F004\tsad\t[2.5000, 3.0000, 3.5000]\n"
        ),
    )
    plan = planned(unseen)
    assert plan.samples == before.samples
    assert skips(plan, "duplicate") == {
        "Ses01F_impro01_F004": "again in Ses01F_impro01.txt, as sad"
    }


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("[4.0000 - 5.0000]\t", "[4.0000 - 5.0000] "),
        ("[4.0000 - 5.0000]", "[4.0000-5.0000]"),
        ("[4.0000 - 5.0000]", "[-4.0000 - 5.0000]"),
        ("Ses01F_impro01_F004", "Ses01F_impro01_X004"),
        ("\texc\t", "\tEXC\t"),
        ("\texc\t[2.5000", "\texc\t[2.5.00"),
    ],
)
def test_a_malformed_turn_is_reported(good: str, bad: str, unseen: Path) -> None:
    before = planned(unseen)
    edit(unseen, lambda text: text.replace(good, bad))
    plan = planned(unseen)
    assert len(plan.samples) == len(before.samples) - 1
    reported = next(
        warning
        for warning in plan.warnings
        if warning not in before.warnings and "begin with '['" in warning
    )
    assert reported.startswith("1 lines of EmoEvaluation")
    assert "Ses01F_impro01.txt: [" in reported
    assert bad.strip() in reported.replace("\\t", "\t")


def test_turns_that_end_before_they_begin_are_skipped_and_counted(unseen: Path) -> None:
    edit(unseen, lambda text: text.replace("[4.0000 - 5.0000]", "[4.0000 - 3.0000]"))
    plan = planned(unseen)
    assert (
        skips(plan, "zero-length")["Ses01F_impro01_F004"] == "it ends at 3.0 s and begins at 4.0 s"
    )
    assert (plan.report["zero_length"], plan.report["end_before_start"]) == (1, 1)


def test_the_report_counts_turns_codes_and_missing_files(unseen: Path) -> None:
    report = planned(unseen).report
    assert report["turns_by_session"] == {1: 20, 2: 10, 3: 10, 4: 10, 5: 10}
    assert report["codes"] == {
        "neu": 12,
        "ang": 12,
        "sad": 12,
        "hap": 6,
        "exc": 6,
        "xxx": 6,
        "fru": 6,
    }
    assert report["lacking"] == {"wav": 1, "avi": 48, "text": 6}


def test_a_text_keeps_bytes_that_look_like_line_breaks(unseen: Path) -> None:
    path = unseen / "Session5" / "dialog" / "transcriptions" / "Ses05M_impro03.txt"
    path.write_bytes(path.read_bytes().replace(b"number 0,", b"number\x85 0,"))
    words = next(
        sample.facts["words"]
        for sample in planned(unseen).samples
        if sample.id == "Ses05M_impro03_F000"
    )
    assert words == "Well: I saw number\x85 0, [LAUGHTER] didn't I?"


def test_the_share_of_test_texts_that_occur_in_training(unseen: Path) -> None:
    samples = planned(unseen).samples
    words = ["a", "b", "a", "c", None]
    changed = [
        replace(sample, facts={"words": text}) for sample, text in zip(samples, words, strict=False)
    ]
    assert shared_words(changed, np.array([TRAIN, VALID, TEST, TEST, TEST], np.int8)) == 0.5


def test_lists_of_the_user_are_a_protocol(unseen: Path) -> None:
    samples = planned(unseen).samples
    ids = [sample.id for sample in samples]
    absent = next(warning for warning in planned(unseen).warnings if "legacy-random" in warning)
    assert "there is no list train.csv and no valid.csv and no test.csv" in absent
    silent = "Ses01F_impro01_F008"  # a turn without agreement is known
    for name, listed in {
        "train": [*ids[:30], silent],
        "valid": ids[30:35],
        "test": [*ids[35:-1], "nonsense"],
    }.items():
        (unseen / f"{name}.csv").write_text("".join(f"{turn},ang\n" for turn in listed))
    plan = planned(unseen)
    assert plan.protocols["iemocap/legacy-random"].tolist() == [TRAIN] * 30 + [VALID] * 5 + [
        TEST
    ] * (len(ids) - 36) + [UNUSED]
    assert (
        "1 names in train.csv, valid.csv, test.csv are no turns with these classes, "
        "such as nonsense" in plan.warnings
    )


def test_a_turn_in_two_lists_is_refused(unseen: Path) -> None:
    for name in ("train", "valid", "test"):
        (unseen / f"{name}.csv").write_text("Ses02F_impro02_M001\n" if name != "valid" else "")
    with pytest.raises(
        DataError,
        match=r"must not share turns, found Ses02F_impro02_M001 in train\.csv and test\.csv",
    ):
        planned(unseen)


def test_a_list_that_is_not_utf8_is_refused(unseen: Path) -> None:
    for name in ("train", "valid", "test"):
        (unseen / f"{name}.csv").write_bytes(b"S\xe9s\n")
    with pytest.raises(DataError, match=r"train\.csv must be a CSV file in UTF-8"):
        planned(unseen)


def film(path: Path, speakers: list[str]) -> dict[str, Path]:
    """Write a dialogue whose man sits on the left, if the speakers are those of the turns."""
    write_video(path, both_actors(speakers, 0), 15)
    return {"d": path}


def other(speaker: str) -> str:
    return "M" if speaker == "F" else "F"


def test_the_half_that_moves_during_a_turn_is_the_speakers(tmp_path: Path) -> None:
    left_is_man = find_sides(film(tmp_path / "a.avi", SPEAKERS), {"d": TURNS}, {})["d"]
    assert (left_is_man.left, left_is_man.margin) == ("M", 1.0)
    left_is_woman = find_sides(
        film(tmp_path / "b.avi", [other(s) for s in SPEAKERS]), {"d": TURNS}, {}
    )["d"]
    assert (left_is_woman.left, left_is_woman.margin) == ("F", 1.0)


def test_the_margin_is_the_share_of_turns_that_agree(tmp_path: Path) -> None:
    seven_of_ten = [other(s) if i < 3 else s for i, s in enumerate(SPEAKERS)]
    side = find_sides(film(tmp_path / "a.avi", seven_of_ten), {"d": TURNS}, {})["d"]
    assert (side.left, side.margin) == ("M", pytest.approx(0.7))


def test_a_margin_under_sixty_percent_is_refused_unless_the_user_names_the_side(
    tmp_path: Path,
) -> None:
    half = [other(s) if i < 5 else s for i, s in enumerate(SPEAKERS)]
    videos = film(tmp_path / "a.avi", half)
    with pytest.raises(
        DataError,
        match=r"must be clear in 60% of a dialogue's turns, "
        r"found less in 1: d \(50%\).*side_map=FILE",
    ):
        find_sides(videos, {"d": TURNS}, {})
    side = find_sides(videos, {"d": TURNS}, {"d": "F"})["d"]
    assert (side.left, side.margin) == ("F", 1.0)


def test_the_half_of_a_speaker_leaves_out_the_black_border(tmp_path: Path) -> None:
    side = find_sides(film(tmp_path / "a.avi", SPEAKERS), {"d": TURNS}, {})["d"]
    height, width = SIZE
    assert side.rows == (16, height - 16)
    assert side.box("M") == (0, 16, width // 2, height - 16)
    assert side.box("F") == (width // 2, 16, width, height - 16)


def test_another_side_map_gives_other_frames_and_another_content_hash(
    whole: Path, unseen: Path, tmp_path: Path
) -> None:
    video = "Session5/dialog/avi/DivX/Ses05M_impro03.avi"
    (unseen / video).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(whole / video, unseen / video)
    hashes, pictures, sounds = set(), [], []
    for left in ("M", "F"):
        seats = tmp_path / "sides.csv"
        seats.write_text(f"Dialog, left\nSes05M_impro03, {left}\n")
        plan = planned(unseen, side_map=str(seats))
        assert plan.report["sides"] == {"Ses05M_impro03": {"left": left, "margin": 1.0}}
        hashes.add(prepare(plan, unseen, tmp_path / left, allow_partial=True).facts["content_hash"])
        pictures.append(np.load(tmp_path / left / "video.npy"))
        sounds.append(np.load(tmp_path / left / "audio.npy"))
    assert len(hashes) == 2
    assert not np.array_equal(*pictures)
    assert np.array_equal(*sounds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dialog,left\nSes01F_imprO01,F\n",
            "must name dialogues with turns, found 'Ses01F_imprO01'",
        ),
        ("Ses01F_impro01,left\n", "must hold dialog,left with F or M, found 'Ses01F_impro01,left'"),
        ("name;side\n", "must hold dialog,left with F or M, found 'name;side'"),
        (
            "Ses01F_impro01,F\nSes01F_impro01,M\n",
            "must name one left actor, found F and M for 'Ses01F_impro01'",
        ),
        ("Ses01F_impro01,\udce9", "must be a CSV file in UTF-8"),
    ],
)
def test_a_side_map_with_a_mistake_is_refused(
    text: str, message: str, unseen: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sides.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=message):
        planned(unseen, side_map=str(path))


def test_a_missing_side_map_is_refused(unseen: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        planned(unseen, side_map=str(tmp_path / "none.csv"))


def test_lines_of_turns_and_transcriptions_are_parsed() -> None:
    turn = parse_turn("[140.2250 - 145.6000]\tSes01F_impro05_F019\tang\t[1.5000, 4.0000, 4.5000]")
    assert turn is not None
    assert (turn.session, turn.markers, turn.speaker, turn.code, turn.improvised) == (
        1,
        "F",
        "F",
        "ang",
        True,
    )
    assert turn.end - turn.start == pytest.approx(5.375)
    assert turn.ratings == (1.5, 4.0, 4.5)
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


def test_the_classes_merge_excited_into_happy_only_if_there_are_four() -> None:
    codes = {"hap": 595, "exc": 1041, "ang": 1103, "sad": 1084, "neu": 1708, "fru": 1849}
    sizes = {
        n: sum(count for code, count in codes.items() if code in table)
        for n, table in EMOTION_CODES.items()
    }
    assert sizes == SIZES
    assert sum(count for code, count in codes.items() if EMOTION_CODES[4].get(code) == 3) == 1636


def test_sides_that_change_within_a_session_are_reported() -> None:
    def side(left: str) -> Side:
        return Side(left, 0.9, (0, 10), 20)

    assert contradictions({"Ses01F_a": side("F"), "Ses01M_a": side("F")}) == []
    assert "Ses01" in contradictions({"Ses01F_a": side("F"), "Ses01M_a": side("M")})[0]
    assert side("F").box("F") == (0, 0, 10, 10)
    assert side("F").box("M") == (10, 0, 20, 10)
