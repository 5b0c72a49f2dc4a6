"""VGGSound: the table, the clips in any folders, and splits by video."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.datasets.vggsound.reader import VGGSoundOptions, disjoint, plan_vggsound, read_rows
from g2d.errors import DataError
from g2d.prepare import Sample, name_hash


def table(folder: Path, text: str) -> Path:
    (folder / "vggsound.csv").write_text(text, encoding="utf-8")
    return folder


def test_the_table_is_read_with_or_without_header_and_with_commas_in_labels(tmp_path: Path) -> None:
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
def test_a_malformed_line_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
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
def test_a_table_that_is_not_a_utf8_csv_file_is_refused(tmp_path: Path, content: bytes) -> None:
    for name, line in (("vggsound.csv", b"bbbbbbbbbbb,1,x,test"), ("stat.csv", b"x,1")):
        (tmp_path / name).write_bytes(line)
    (tmp_path / "bbbbbbbbbbb_000001.mp4").touch()
    assert len(plan_vggsound(tmp_path, VGGSoundOptions()).samples) == 1
    for name in ("stat.csv", "vggsound.csv"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} must be a CSV file in UTF-8"):
            plan_vggsound(tmp_path, VGGSoundOptions())


def test_the_split_by_video_does_not_depend_on_which_clips_exist_or_are_selected(
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


def test_repeated_and_unlisted_clips_are_reported(tmp_path: Path) -> None:
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
    warnings = "; ".join(plan.warnings)
    assert (
        "1 files have the name of an earlier one and are ignored, such as "
        "y/aaaaaaaaaaa_000001.mp4 after x/aaaaaaaaaaa_000001.MP4 (in bytewise order)" in warnings
    )
    assert (
        "1 mp4 files are not listed in vggsound.csv and are ignored, "
        "such as ccccccccccc_000001.mp4" in warnings
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
        "1 of 2 clips are missing (0 of train, 1 of test); "
        "number of classes by their missing share: 0-10 %: 1, 90-100 %: 1" in plan.warnings
    )


def test_a_number_of_listed_clips_that_differs_from_the_count_is_reported(tmp_path: Path) -> None:
    table(tmp_path, "aaaaaaaaaaa,1,zebra braying,train\nbbbbbbbbbbb,1,air horn,test\n")
    (tmp_path / "aaaaaaaaaaa_000001.mp4").touch()
    for count, reported in ((1, False), (5, True)):
        (tmp_path / "stat.csv").write_text(f"air horn,1,sounds\nzebra braying,{count},animals\n")
        assert (
            "vggsound.csv lists 2 clips, stat.csv counts 6"
            in plan_vggsound(tmp_path, VGGSoundOptions()).warnings
        ) is reported


def test_no_video_is_in_two_splits() -> None:
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
