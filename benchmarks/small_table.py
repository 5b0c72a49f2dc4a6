"""Measure ``g2d fit`` on a small made-up table: a picture, a sound, a text and two numbers per row.

Every column tells a part of the label. The command runs in a process of its own, as a user would
start it.

    python benchmarks/small_table.py [--rows 300] [--budget normal] [--out DIR]
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from g2d.datasets.sample_media import tone, write_image, write_wav

LABELS = ("cat", "dog", "bird")
WORDS = (("soft", "purrs", "sleeps"), ("loud", "runs", "fetches"), ("small", "sings", "flies"))
PLAIN = ("the", "a", "it", "today", "again", "very", "and", "near", "house", "garden")
RATE = 16_000


def write(folder: Path, rows: int, seed: int = 0) -> Path:
    """Write the table and its files.

    Args:
        folder: Gets ``my.csv``, ``pictures`` and ``sounds``.
        rows: Number of rows.
        seed: Seed of everything.

    Returns:
        The table.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "my.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["photo", "sound", "description", "weight", "age", "label"])
        for row in range(rows):
            label = int(rng.integers(len(LABELS)))
            photo, sound = f"pictures/{row:04d}.png", f"sounds/{row:04d}.wav"
            write_image(folder / photo, _picture(label, rng))
            noise = rng.normal(0, 20000, 2 * RATE)
            wave = tone(2.0, RATE, 300.0 + 80 * label).astype(float) / 4 + noise
            write_wav(folder / sound, wave.clip(-32768, 32767).astype(np.int16), RATE)
            words = [*rng.choice(PLAIN, 9), *rng.choice(WORDS[label], 1)]
            other = WORDS[int(rng.integers(len(LABELS)))]
            words += [*rng.choice(other, 1)]
            numbers = (round(float(rng.normal(label, 2)), 2), round(float(rng.normal(5, 2)), 2))
            text = " ".join(str(word) for word in rng.permutation(words))
            out.writerow([photo, sound, text, *numbers, LABELS[label]])
    return folder / "my.csv"


def _picture(label: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise with a brighter square whose size depends on the label."""
    pixels = rng.normal(110, 45, (160, 200, 3))
    side = 24 + 14 * label
    top, left = rng.integers(0, 160 - side), rng.integers(0, 200 - side)
    pixels[top : top + side, left : left + side] += 60
    return pixels.clip(0, 255).astype(np.uint8)


def main() -> None:
    """Write the table, fit it, and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--budget", default="normal")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        table = write(folder, given.rows)
        command = ["fit", str(table), "--target", "label", "--budget", given.budget]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "g2d", *command, "--out", str(folder / "fit")], check=True
        )
        print(f"{given.rows} rows: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
