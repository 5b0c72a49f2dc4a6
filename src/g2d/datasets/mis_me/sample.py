"""A made-up sample of MIS-ME: xlsx tables and photographs of three stations over some weeks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from g2d.datasets.mis_me.tables import NEEDED
from g2d.datasets.sample_media import write_image

PER_STATION = 20
FAULTS = ("missing-file", "undecodable", "no-agreed-label", "duplicate")
"""Faults of the first training rows."""


def write_sample(folder: Path) -> dict[str, str]:
    """Write 60 rows in three tables, and the test rows of one station again in their own table.

    Returns:
        The broken photographs, and the reason for which each must be skipped.
    """
    rng = np.random.default_rng(0)
    images = folder / "Dataset_Conf_0.5" / "all_three_stations" / "images"
    rows: list[list[Any]] = []
    for station in ("OK001", "OK002", "OK003"):
        for i in range(PER_STATION):
            name = f"{station}_2021{4 + i // 10:02d}{1 + i % 10:02d}_1200_{i}.jpg"
            water = float(rng.uniform(5, 45))
            picture = np.full((40, 50, 3), 200 - 3 * water) + rng.normal(0, 12, (40, 50, 3))
            write_image(images / name, picture.clip(0, 255).astype(np.uint8))
            rows.append([name, round(water, 2), *np.round(rng.normal(10, 3, 8), 2).tolist()])
    order = rng.permutation(len(rows))
    train, val, test = ([rows[i] for i in part] for part in np.split(order, (36, 48)))
    planted = {str(row[0]): fault for row, fault in zip(train, FAULTS, strict=False)}
    (images / train[0][0]).unlink()
    broken = images / train[1][0]
    broken.write_bytes(broken.read_bytes()[:200])
    train[2][1] = "wet"
    val.append(list(train[3]))
    train[5][4] = None
    train[6][5] = "n/a"
    write_image(images / "OK001_20210901_1200_99.jpg", np.zeros((50, 40, 3), np.uint8))
    for name, part in (("train", train), ("val", val), ("test", test)):
        _write(folder / f"combined_only_{name}_set.xlsx", part)
    one_station = [row for row in test if row[0].startswith("OK003")]
    _write(folder / "OK003_only_test_set.xlsx", one_station)
    return planted


def _write(path: Path, rows: list[list[Any]]) -> None:
    """Write a table as an Excel file."""
    from openpyxl import Workbook

    book = Workbook()
    book.active.append([*NEEDED, "camera"])
    for row in rows:
        book.active.append([*row, "left"])
    book.save(path)
