"""MIS-ME: tables of any name, photographs in any folder, and splits that do not leak."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from openpyxl import Workbook
from PIL import Image

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.mis_me.reader import (
    MisMeOptions,
    day_blocks,
    plan_mis_me,
    similar_across,
    station_disjoint,
    water_unit,
)
from g2d.datasets.mis_me.sample import write_sample
from g2d.datasets.mis_me.tables import NEEDED as COLUMNS
from g2d.errors import DataError
from g2d.prepare import Plan, Sample, prepare

Cells = list[Any]
NAMES = [
    f"{station}_202104{day:02d}_1200.jpg"
    for station in ("OK001", "OK002", "OK003")
    for day in range(1, 11)
]
PARTS = {"a_train_set": NAMES[::2], "a_val_set": NAMES[1::4], "a_test_set": NAMES[3::4]}


def row(name: str, water: Any = 20.0, weather: Sequence[Any] = range(8)) -> Cells:
    return [name, water, *weather]


def write_table(path: Path, rows: Sequence[Cells], header: Sequence[str] = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def photograph(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(
        np.random.default_rng(seed).integers(0, 255, (12, 12, 3)).astype(np.uint8)
    ).save(path)


def write(
    folder: Path,
    change: Callable[[Cells], Cells] = lambda cells: cells,
    names: dict[str, str] | None = None,
) -> Path:
    """Write thirty rows of ten days at three stations in three tables, and their photographs.

    Args:
        folder: Folder to write to.
        change: Change of every row.
        names: Other names of tables.
    """
    for number, name in enumerate(NAMES):
        photograph(folder / "images" / name, number)
    for table, listed in PARTS.items():
        write_table(
            folder / f"{(names or {}).get(table, table)}.csv",
            [change(row(name)) for name in listed],
        )
    return folder


def planned(source: Path) -> Plan:
    return plan_mis_me(source, MisMeOptions(side=32))


def skips(plan: Plan) -> dict[str, tuple[str, str]]:
    return {skip.id: (skip.reason, skip.detail) for skip in plan.skipped}


def warning_with(plan: Plan, part: str) -> str:
    """Return the only warning that contains a text."""
    warnings = [warning for warning in plan.warnings if part in warning]
    assert len(warnings) == 1, plan.warnings
    return warnings[0]


def sample(name: str, station: str = "OK001", day: str = "2021-04-01") -> Sample:
    return Sample(name, 20.0, station, notes={"station": station, "day": day})


def test_a_clean_folder_has_no_warnings_and_all_protocols(tmp_path: Path) -> None:
    plan = planned(write(tmp_path))
    assert (len(plan.samples), plan.skipped, plan.warnings) == (30, [], ())
    assert list(plan.protocols) == [
        "mis_me/station-disjoint-v1",
        "mis_me/day-blocks-v1",
        "mis_me/legacy",
    ]
    assert plan.report["stations"] == {"OK001": 10, "OK002": 10, "OK003": 10}


def test_the_last_station_tests_and_the_last_fifth_of_the_others_days_validates() -> None:
    days = [f"2021-04-{day:02d}" for day in range(1, 21)]
    samples = [
        sample(f"{station}{day}", station, day)
        for station in ("OK001", "OK002", "OK003")
        for day in days
    ]
    assert station_disjoint(samples).tolist() == ([TRAIN] * 16 + [VALID] * 4) * 2 + [TEST] * 20


def test_the_last_of_five_blocks_of_five_days_tests_and_the_one_before_validates() -> None:
    pairs = [(f"OK00{1 + i // 13}", f"2021-04-{1 + i % 13:02d}") for i in range(26)]
    expected = [TRAIN] * 15 + [VALID] * 5 + [TEST] * 5 + [TRAIN]
    assert day_blocks([sample(f"{i}", *pair) for i, pair in enumerate(pairs)]).tolist() == expected
    twice = [
        sample(f"{i}", *pair) for i, pair in enumerate([*pairs, *pairs])
    ]  # two photographs of a day stay together
    assert day_blocks(twice).tolist() == [*expected, *expected]


def test_the_authors_tables_are_their_split(tmp_path: Path) -> None:
    plan = planned(write(tmp_path))
    place = dict(
        zip(
            [sample.id for sample in plan.samples],
            plan.protocols["mis_me/legacy"].tolist(),
            strict=True,
        )
    )
    assert [{place[name] for name in listed} for listed in PARTS.values()] == [
        {TRAIN},
        {VALID},
        {TEST},
    ]


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ("values_test_set", TEST),
        ("train_evaluation", TRAIN),
        ("Validation-2", VALID),
        ("the val", VALID),
    ],
)
def test_whole_words_in_the_name_of_a_table_are_its_split(
    named: str, place: int, tmp_path: Path
) -> None:
    write_table(tmp_path / f"{named}.csv", [row(name) for name in NAMES])
    photograph(tmp_path / NAMES[0], 0)
    for name in NAMES[1:]:
        photograph(tmp_path / name, 1)
    assert {sample.notes["official"] for sample in planned(tmp_path).samples} == {place}


@pytest.mark.parametrize("named", ["evaluation", "train_and_test", "latest"])
def test_a_table_without_a_split_in_its_name_is_reported_with_the_lost_protocol(
    named: str, tmp_path: Path
) -> None:
    plan = planned(write(tmp_path, names={"a_val_set": named}))
    assert warning_with(plan, f"{named}.csv has none of train, val and test in its name").endswith(
        "its 8 rows belong to no split of the authors'"
    )
    reason = (
        f"no row would be in valid, and that of {PARTS['a_val_set'][0]} in {named}.csv is in none"
    )
    assert warning_with(plan, "mis_me/legacy") == f"mis_me/legacy is left out: {reason}"
    assert "mis_me/legacy" not in plan.protocols


def test_tables_without_a_split_come_after_those_with_one(tmp_path: Path) -> None:
    write(tmp_path)
    write_table(tmp_path / "a_more.csv", [row(NAMES[0]), row("OK001_20210420_1200.jpg")])
    photograph(tmp_path / "OK001_20210420_1200.jpg", 99)
    plan = planned(tmp_path)
    assert skips(plan) == {NAMES[0]: ("duplicate", "again in a_more.csv")}
    assert plan.protocols["mis_me/legacy"].tolist().count(UNUSED) == 1


def test_tables_that_repeat_others_are_ignored_but_their_stations_are_used(tmp_path: Path) -> None:
    def anonymous(cells: Cells) -> Cells:
        return [cells[0].replace("OK", "at"), *cells[1:]]

    write(tmp_path, anonymous)
    for path in (tmp_path / "images").iterdir():
        path.rename(path.with_name(path.name.replace("OK", "at")))
    for station in ("OK001", "OK002", "OK003"):
        write_table(
            tmp_path / f"{station}_only_test_set.csv",
            [anonymous(row(name)) for name in NAMES if name.startswith(station)],
        )
    plan = planned(tmp_path)
    assert (len(plan.samples), plan.skipped) == (30, [])
    assert plan.report["stations"] == {"OK001": 10, "OK002": 10, "OK003": 10}
    repeating = "OK001_only_test_set.csv, OK002_only_test_set.csv, OK003_only_test_set.csv"
    assert (
        warning_with(plan, "are ignored")
        == f"tables that only repeat photographs of others are ignored: {repeating}"
    )


def test_short_rows_have_missing_cells(tmp_path: Path) -> None:
    long, short = NAMES[0], NAMES[2]
    plan = planned(
        write(
            tmp_path,
            lambda cells: (
                cells[:7] if cells[0] == long else cells[:1] if cells[0] == short else cells
            ),
        )
    )
    assert skips(plan) == {short: ("no-agreed-label", "its water content reads None")}
    table = next(sample.facts["table"] for sample in plan.samples if sample.id == long)
    assert np.array_equal(table, [0, 1, 2, 3, 4, np.nan, np.nan, np.nan], equal_nan=True)
    assert plan.report["missing_values"]["tilt_west_east"] == 1


def test_rows_with_too_many_cells_are_refused_by_their_number(tmp_path: Path) -> None:
    write(tmp_path, lambda cells: [*cells, ""])  # an empty last cell does no harm
    assert len(planned(tmp_path).samples) == 30
    write_table(
        tmp_path / "a_test_set.csv",
        [row(name) for name in PARTS["a_test_set"]] + [[*row("x.jpg"), 7]],
    )
    with pytest.raises(
        DataError,
        match=r"a_test_set\.csv must have at most 10 cells like the header, found 11 in row 9",
    ):
        planned(tmp_path)


def test_a_row_without_a_photograph_is_reported(tmp_path: Path) -> None:
    plan = planned(
        write(tmp_path, lambda cells: ["", *cells[1:]] if cells[0] == NAMES[2] else cells)
    )
    assert skips(plan) == {"a_train_set.csv, row 3": ("missing-file", "it names no photograph")}
    assert (plan.report["rows_without_image"], plan.report["images_without_row"]) == (1, 1)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", [[*row(NAMES[0]), 30.0]], [*COLUMNS, "vwc"])
    with pytest.raises(
        DataError, match=r"columns of train\.csv must have different names, found 'vwc' twice"
    ):
        planned(tmp_path)


def test_unused_columns_are_listed(tmp_path: Path) -> None:
    write(tmp_path)
    write_table(
        tmp_path / "a_test_set.csv",
        [["0", *row(name), "left"] for name in PARTS["a_test_set"]],
        ["", *COLUMNS, "camera"],
    )
    plan = planned(tmp_path)
    assert len(plan.samples) == 30
    assert plan.report["extra_columns"] == ["camera"]


def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(",".join(COLUMNS).encode() + b"\n\xe9")
    with pytest.raises(DataError, match=r"train\.csv must be a CSV file in UTF-8"):
        planned(tmp_path)


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "a_test_set.csv"
    path.write_text(path.read_text().replace(PARTS["a_test_set"][3], f'"{PARTS["a_test_set"][3]}'))
    with pytest.raises(
        DataError,
        match=r"a_test_set\.csv must be a CSV file in UTF-8, found: unexpected end of data",
    ):
        planned(tmp_path)


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "disk")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "linked").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert len(planned(tmp_path / "raw").samples) == 30


def test_a_workbook_whose_sheet_is_cut_off_is_refused(tmp_path: Path) -> None:
    book = Workbook()
    assert book.active is not None
    book.active.append([*COLUMNS])
    book.save(tmp_path / "whole.xlsx")
    with (
        zipfile.ZipFile(tmp_path / "whole.xlsx") as whole,
        zipfile.ZipFile(tmp_path / "train.xlsx", "w") as cut,
    ):
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[: 300 if "sheet1" in name else None])
    (tmp_path / "whole.xlsx").unlink()
    with pytest.raises(DataError, match=r"train\.xlsx must be an xlsx file, found damage"):
        planned(tmp_path)


def test_every_sheet_of_a_workbook_counts(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        photograph(tmp_path / name, number)
    book = Workbook()
    assert book.active is not None
    book.active.append(["how these were made"])
    for title, listed in zip(("train", "val", "test"), PARTS.values(), strict=True):
        sheet = book.create_sheet(title)
        for cells in [[*COLUMNS], *map(row, listed)]:
            sheet.append(cells)
    book.save(tmp_path / "soil.xlsx")
    plan = planned(tmp_path)
    assert (len(plan.samples), plan.skipped, plan.warnings) == (30, [], ())
    assert {sample.notes["table"]: sample.notes["official"] for sample in plan.samples} == {
        "soil.xlsx (train)": TRAIN,
        "soil.xlsx (val)": VALID,
        "soil.xlsx (test)": TEST,
    }


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("OK001_20210705_1200_16", "2021-07-05"),
        ("OK001_2021-07-05T12", "2021-07-05"),
        ("OK001_20210705120016", "2021-07-05"),
        ("OK001_05072021_1200_16", None),
        ("OK001_SN20559999", None),
        ("OK001_20210230", None),
        ("OK001_120210705", None),
    ],
)
def test_days_are_dates_of_the_calendar_or_none(
    written: str, day: str | None, tmp_path: Path
) -> None:
    renamed = f"{written}.jpg"
    plan = planned(write_renamed(tmp_path, renamed))
    assert next(sample.notes["day"] for sample in plan.samples if sample.id == renamed) == day
    if day is None:
        reason = (
            f"1 rows name no day (written year, month, day), such as that of {renamed} "
            "in a_train_set.csv"
        )
        assert (
            warning_with(plan, "station-disjoint")
            == f"mis_me/station-disjoint-v1 is left out: {reason}"
        )
        assert warning_with(plan, "day-blocks") == f"mis_me/day-blocks-v1 is left out: {reason}"
        assert list(plan.protocols) == ["mis_me/legacy"]


def write_renamed(folder: Path, renamed: str) -> Path:
    write(folder, lambda cells: [renamed, *cells[1:]] if cells[0] == NAMES[0] else cells)
    (folder / "images" / NAMES[0]).rename(folder / "images" / renamed)
    return folder


def test_station_and_day_may_be_in_columns_but_names_come_first(tmp_path: Path) -> None:
    header = [*COLUMNS, "time", "site"]
    write_table(
        tmp_path / "train.csv",
        [[*row(name), "2021-07-05 12:00:00", "OK002"] for name in ("a.jpg", "OK001_20210401.jpg")],
        header,
    )
    for name in ("a.jpg", "OK001_20210401.jpg"):
        photograph(tmp_path / name, 0)
    write_table(tmp_path / "val.csv", [[*row(name), "", ""] for name in PARTS["a_val_set"]], header)
    write_table(
        tmp_path / "test.csv", [[*row(name), "", ""] for name in PARTS["a_test_set"]], header
    )
    for name in NAMES:
        photograph(tmp_path / name, 0)
    notes = {
        sample.id: (sample.notes["station"], sample.notes["day"], sample.group)
        for sample in planned(tmp_path).samples
    }
    assert notes["a.jpg"] == ("OK002", "2021-07-05", "OK002-2021-07-05")
    assert notes["OK001_20210401.jpg"] == ("OK001", "2021-04-01", "OK001-2021-04-01")


def test_a_row_without_a_station_leaves_one_protocol_out(tmp_path: Path) -> None:
    plan = planned(write_renamed(tmp_path, "somewhere_20210401.jpg"))
    assert warning_with(plan, "station-disjoint").endswith(
        "1 rows name no station (such as OK001), such as that of somewhere_20210401.jpg "
        "in a_train_set.csv"
    )
    assert list(plan.protocols) == ["mis_me/day-blocks-v1", "mis_me/legacy"]


def test_without_days_stations_and_roles_nothing_can_be_split(tmp_path: Path) -> None:
    write_table(tmp_path / "all.csv", [row("a.jpg")])
    photograph(tmp_path / "a.jpg", 0)
    with pytest.raises(
        DataError,
        match=r"(?s)must be called train, val and test, or .* station and day, found neither.*"
        r"legacy is left out: no row would be in",
    ):
        planned(tmp_path)


def test_one_name_in_two_folders_is_ambiguous_unless_the_pictures_are_the_same(
    tmp_path: Path,
) -> None:
    write(tmp_path)
    photograph(tmp_path / "other" / NAMES[0], 99)
    photograph(tmp_path / "other" / NAMES[1], 1)  # as in the first folder
    plan = planned(tmp_path)
    assert skips(plan) == {
        NAMES[0]: ("duplicate", f"images/{NAMES[0]} and other/{NAMES[0]} are different photographs")
    }
    assert next(sample.files for sample in plan.samples if sample.id == NAMES[1]) == (
        f"images/{NAMES[1]}",
    )


@pytest.mark.parametrize("before", ["images\\", "C:\\soil\\images\\", "images/", "./"])
def test_a_path_before_a_photographs_name_may_be_written_either_way(
    before: str, tmp_path: Path
) -> None:
    plan = planned(write(tmp_path, lambda cells: [before + cells[0], *cells[1:]]))
    assert [sample.id for sample in plan.samples] == NAMES


def test_missing_photographs_and_photographs_without_row_are_counted(
    tmp_path: Path,
) -> None:
    write(tmp_path)
    (tmp_path / "images" / NAMES[0]).rename(tmp_path / "images" / "nobody.jpg")
    plan = planned(tmp_path)
    assert skips(plan) == {NAMES[0]: ("missing-file", "no such photograph")}
    assert (plan.report["rows_without_image"], plan.report["images_without_row"]) == (1, 1)


def test_cells_that_are_not_numbers_are_missing_and_reported_by_column(tmp_path: Path) -> None:
    odd = NAMES[:4:2]
    plan = planned(
        write(tmp_path, lambda cells: [*cells[:4], "n/a", *cells[5:]] if cells[0] in odd else cells)
    )
    assert (
        warning_with(plan, "not numbers")
        == "2 cells of precipitation are not numbers and are taken as missing, "
        f"such as in the row of {NAMES[0]}"
    )
    assert (
        plan.report["non_numeric_cells"]["precipitation"]
        == plan.report["missing_values"]["precipitation"]
        == 2
    )
    assert plan.report["non_numeric_cells"]["wind_speed"] == 0


def test_a_row_without_a_finite_water_content_is_skipped(tmp_path: Path) -> None:
    texts = {NAMES[0]: "wet", NAMES[2]: "", NAMES[4]: "inf"}
    plan = planned(write(tmp_path, lambda cells: [cells[0], texts.get(cells[0], 20.0), *cells[2:]]))
    assert skips(plan) == {
        name: ("no-agreed-label", f"its water content reads {text!r}")
        for name, text in texts.items()
    }
    assert plan.report["rows_without_target"] == 3


def test_a_folder_without_usable_rows_is_refused_with_a_reason(tmp_path: Path) -> None:
    write(tmp_path, lambda cells: [cells[0], "wet", *cells[2:]])
    with pytest.raises(
        DataError,
        match=r"found no such row among 30, such as OK.*"
        r"no-agreed-label \(its water content reads 'wet'\)",
    ):
        planned(tmp_path)


@pytest.mark.parametrize(
    ("greatest", "unit", "scale"), [(42.0, "percent", [0.0, 100.0]), (0.42, "fraction", [0.0, 1.0])]
)
def test_the_unit_of_water_follows_from_its_greatest_value_and_is_recorded(
    greatest: float, unit: str, scale: list[float], tmp_path: Path
) -> None:
    source = write(
        tmp_path / "raw",
        lambda cells: [cells[0], greatest if cells[0] == NAMES[0] else 0.25, *cells[2:]],
    )
    plan = planned(source)
    assert (plan.report["unit"], plan.parameters["unit"], plan.task["scale"]) == (unit, unit, scale)
    assert plan.report["target"] == [0.25, greatest]
    facts = prepare(plan, source, tmp_path / "store", allow_partial=True).facts
    assert facts["parameters"]["unit"] == unit
    opened = open_store(StoreOptions(store="store", root=str(tmp_path)))
    assert float(opened.target.max()) == pytest.approx(0.42)
    assert np.load(tmp_path / "store" / "target.npy").max() == greatest


@pytest.mark.parametrize("water", [300, -1])
def test_a_water_content_that_is_neither_fraction_nor_percentage_is_refused(
    water: float, tmp_path: Path
) -> None:
    write(tmp_path, lambda cells: [cells[0], water if cells[0] == NAMES[0] else 20, *cells[2:]])
    with pytest.raises(
        DataError, match=rf"must be a fraction up to 1 or a percentage up to 100, found .*{water}"
    ):
        planned(tmp_path)


def test_metrics_are_in_the_original_unit_and_leave_zeros_out(tmp_path: Path) -> None:
    source = write(
        tmp_path / "raw",
        lambda cells: [cells[0], 0.0 if cells[0] == NAMES[0] else 20.0, *cells[2:]],
    )
    prepare(planned(source), source, tmp_path / "store", allow_partial=True)
    opened = open_store(StoreOptions(store="store", root=str(tmp_path)))
    metrics = opened.task.metrics()
    metrics.update(torch.logit(torch.full((30, 1), 0.25)), torch.from_numpy(opened.target))
    scores = {name: float(value) for name, value in metrics.compute().items()}
    assert scores["mape"] == pytest.approx(25.0)
    assert scores["mae"] == pytest.approx((29 * 5 + 25) / 30, rel=1e-5)


def test_equal_hashes_count_if_they_are_in_two_splits() -> None:
    def count(*place: int) -> int:
        return similar_across([b"a", b"a", b"b", b"b", None, None], np.array(place, np.int8))

    assert count(TRAIN, TRAIN, TEST, TEST, TRAIN, TEST) == 0
    assert count(TRAIN, TEST, TEST, TEST, TRAIN, TEST) == 2
    assert count(TRAIN, VALID, TEST, TRAIN, TRAIN, TEST) == 4
    assert count(TRAIN, UNUSED, UNUSED, TEST, TRAIN, TEST) == 0  # unused rows leak nothing


def test_similar_photographs_are_reported_for_each_protocol_where_they_leak(
    tmp_path: Path,
) -> None:
    write(tmp_path)
    first, late = (
        NAMES[0],
        NAMES[8],
    )  # both in the authors' training table; the second one of the last days of its station
    photograph(tmp_path / "images" / late, 0)
    plan = planned(tmp_path)
    assert plan.report["similar_photographs_across_splits"] == {
        "mis_me/station-disjoint-v1": 2,
        "mis_me/day-blocks-v1": 0,
        "mis_me/legacy": 0,
    }
    assert (
        warning_with(plan, "look like")
        == "2 photographs look like one of another split of mis_me/station-disjoint-v1 "
        "(equal 64-bit hash)"
    )
    assert {first, late} <= set(PARTS["a_train_set"])


def test_a_changed_weather_value_changes_the_content(tmp_path: Path) -> None:
    hashes = []
    for wind in (4.0, 5.0):
        source = write(
            tmp_path / "raw",
            lambda cells, wind=wind: (
                [*cells[:6], wind, *cells[7:]] if cells[0] == NAMES[0] else cells
            ),
        )
        hashes.append(
            prepare(planned(source), source, tmp_path / f"{wind}", allow_partial=True).facts[
                "content_hash"
            ]
        )
    assert hashes[0] != hashes[1]


def test_weather_is_standardized_by_the_training_rows_and_what_lacks_is_their_mean(
    tmp_path: Path,
) -> None:
    write_sample(tmp_path / "raw")
    prepare(planned(tmp_path / "raw"), tmp_path / "raw", tmp_path / "store", allow_partial=True)
    source = open_store(StoreOptions(store="store", root=str(tmp_path), modalities=("table",)))
    stored = source.arrays["table"][:].astype(np.float64)
    missing = np.isnan(stored)
    assert missing.any(0)[[2, 3]].tolist() == [True, True]
    train = stored[source.rows("train")]
    expected = (stored - np.nanmean(train, 0)) / np.nanstd(train, 0)
    seen = source.view(source.gather(np.arange(source.size)), seed=0, epoch=0, train=False).inputs[
        "table"
    ]
    assert isinstance(seen, torch.Tensor)
    assert seen.numpy() == pytest.approx(np.where(missing, 0, expected), abs=1e-5)


def test_water_content_is_a_fraction_or_a_percentage_or_refused() -> None:
    assert water_unit([0.1, 0.42]) == ("fraction", [0.0, 1.0])
    assert water_unit([5.0, 42.0]) == ("percent", [0.0, 100.0])
    with pytest.raises(DataError, match="300"):
        water_unit([5.0, 300.0])
