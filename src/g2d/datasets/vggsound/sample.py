"""A made-up sample of VGGSound in its raw layout: a table without header, clips in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g2d.datasets.sample_media import moving, tone, write_video
from g2d.prepare import name_hash

LABELS = ("bird chirping, tweeting", "playing hammond organ", "waterfall burbling")
FAULTS = {2: "undecodable", 3: "missing-file", 4: "no-audio", 6: "too-few-frames"}
"""Faults of the clips with these numbers."""


def write_sample(folder: Path) -> dict[str, str]:
    """Write the tables and 32 clips of 30 videos, in folders by class.

    Returns:
        The broken clips, and the reason for which each must be skipped.
    """
    rows = [
        (video, 10 * (i % 4), LABELS[i % 3], "test" if i % 5 == 0 else "train")
        for i, video in enumerate(video_ids(30))
    ]
    rows += [(rows[i][0], 90, rows[i][2], "train") for i in (0, 1)]
    planted = {}
    for i, (video, start, label, _) in enumerate(rows):
        path = folder / "video" / label.replace(",", "") / f"{video}_{start:06d}.mp4"
        _write_clip(path, i)
        if i in FAULTS:
            planted[path.stem] = FAULTS[i]
    quoted = [
        f'{video},{start},"{label}",{split}' if "," in label else f"{video},{start},{label},{split}"
        for video, start, label, split in rows
    ]
    (folder / "vggsound.csv").write_text("\n".join(quoted) + "\n", encoding="utf-8")
    counts = "".join(f'"{label}",10,nature\n' for label in reversed(LABELS))
    (folder / "stat.csv").write_text(counts, encoding="utf-8")
    return planted


def _write_clip(path: Path, i: int) -> None:
    """Write clip number ``i``, or what is broken about it."""
    fault = FAULTS.get(i)
    frames = moving(3 if fault == "too-few-frames" else 20, (48, 64), i)
    seconds = 0.5 if fault == "too-few-frames" else 1.2
    sound = None if fault == "no-audio" else tone(seconds, 16_000, 300 + 100 * (i % 3))
    if fault == "missing-file":
        return
    write_video(path, frames, 10, sound, 16_000)
    if fault == "undecodable":
        path.write_bytes(path.read_bytes()[:300])


def video_ids(count: int) -> list[str]:
    """Return ids that contain minus signs and underscores, as YouTube's do.

    The hash of every fifth one puts its video into the validation split.
    """
    rng = np.random.default_rng(0)
    letters = np.array(list("abcXYZ019_-"))
    ids: list[str] = ["--0PQM4-hqg"]
    while len(ids) < count:
        name = "".join(rng.choice(letters, 11))
        if (name_hash(name) % 20 == 0) == (len(ids) % 5 == 1):
            ids.append(name)
    return ids
