"""MIS-ME's release as far as it is known: xlsx tables and photographs, of three stations over some weeks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from openpyxl import Workbook
from PIL import Image

COLUMNS = (
    "image", "vwc", "air_temperature", "relative_humidity", "precipitation", "solar_flux_density",
    "wind_speed", "barometric_pressure", "tilt_north_south", "tilt_west_east",
)  # fmt: skip
PER_STATION = 20
PLANTED = ("missing-file", "undecodable", "no-agreed-label", "duplicate")


def write_mis_me(folder: Path) -> dict[str, str]:
    """60 rows in three tables, the test rows of one station again in its own; what is planted, by photograph."""
    rng = np.random.default_rng(0)
    images = folder / "Dataset_Conf_0.5" / "all_three_stations" / "images"
    images.mkdir(parents=True)
    rows: list[list[object]] = []
    for station in ("OK001", "OK002", "OK003"):
        for i in range(PER_STATION):
            name = f"{station}_2021{4 + i // 10:02d}{1 + i % 10:02d}_1200_{i}.jpg"
            wet = float(rng.uniform(5, 45))
            picture = np.full((40, 50, 3), 200 - 3 * wet) + rng.normal(0, 12, (40, 50, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(images / name)
            rows.append([name, round(wet, 2), *np.round(rng.normal(10, 3, 8), 2).tolist()])
    order = rng.permutation(len(rows))
    parts = {
        "train": [rows[i] for i in order[:36]],
        "val": [rows[i] for i in order[36:48]],
        "test": [rows[i] for i in order[48:]],
    }
    planted = dict(zip((str(parts["train"][i][0]) for i in range(4)), PLANTED, strict=True))
    (images / str(parts["train"][0][0])).unlink()
    broken = images / str(parts["train"][1][0])
    broken.write_bytes(broken.read_bytes()[:200])
    parts["train"][2][1] = "wet"
    parts["val"].append(list(parts["train"][3]))
    parts["train"][5][4] = None
    parts["train"][6][5] = "n/a"
    Image.new("RGB", (40, 50)).save(images / "OK001_20210901_1200_99.jpg")
    for name, part in parts.items():
        _write(folder / f"combined_only_{name}_set.xlsx", part)
    _write(
        folder / "OK003_only_test_set.xlsx",
        [row for row in parts["test"] if str(row[0]).startswith("OK003")],
    )
    return planted


def _write(path: Path, rows: list[list[object]]) -> None:
    book = Workbook()
    assert book.active is not None
    book.active.append([*COLUMNS, "camera"])
    for row in rows:
        book.active.append([*row, "left"])
    book.save(path)
