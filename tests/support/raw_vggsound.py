"""VGGSound in its raw layout: the table without a header, clips in folders by class, broken ones among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.media_files import moving, tone, write_video

LABELS = ("bird chirping, tweeting", "playing hammond organ", "waterfall burbling")


def write_vggsound(folder: Path) -> dict[str, str]:
    """36 clips of 30 videos; what is planted, by clip."""
    rows, planted = [], {}
    for i, video in enumerate(video_ids(30)):
        label = LABELS[i % 3]
        split = "test" if i % 5 == 0 else "train"
        rows.append((video, 10 * (i % 4), label, split))
    rows += [(rows[0][0], 90, rows[0][2], "train"), (rows[1][0], 90, rows[1][2], "train")]
    for i, (video, start, label, _) in enumerate(rows):
        path = folder / "video" / label.replace(",", "") / f"{video}_{start:06d}.mp4"
        write_video(
            path, moving(20, (48, 64), i), 10, tone(1.2, 16_000, 300 + 100 * (i % 3)), 16_000
        )
        if i in (2, 3, 4, 6):
            name = path.stem
            if i == 2:
                path.write_bytes(path.read_bytes()[:300])
                planted[name] = "undecodable"
            elif i == 3:
                path.unlink()
                planted[name] = "missing-file"
            elif i == 4:
                write_video(path, moving(20, (48, 64), i), 10)
                planted[name] = "no-audio"
            else:
                write_video(path, moving(3, (48, 64), i), 10, tone(0.5, 16_000), 16_000)
                planted[name] = "too-few-frames"
    quoted = [
        f'{video},{start},"{label}",{split}' if "," in label else f"{video},{start},{label},{split}"
        for video, start, label, split in rows
    ]
    (folder / "vggsound.csv").write_text("\n".join(quoted) + "\n", encoding="utf-8")
    (folder / "stat.csv").write_text(
        "".join(f'"{label}",10,nature\n' for label in reversed(LABELS)), encoding="utf-8"
    )
    return planted


def video_ids(count: int) -> list[str]:
    """Names that begin with a minus and hold underscores, as YouTube's do; a few of them validate by their hash."""
    from g2d.prepare import name_hash

    rng = np.random.default_rng(0)
    letters = np.array(list("abcXYZ019_-"))
    ids: list[str] = ["--0PQM4-hqg"]
    while len(ids) < count:
        made = "".join(rng.choice(letters, 11))
        if (name_hash(made) % 20 == 0) == (len(ids) % 5 == 1):
            ids.append(made)
    return ids
