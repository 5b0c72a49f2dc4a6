"""CREMA-D in its raw layout: a few actors, all broken files that occur."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from support.media_files import moving, tone, write_video, write_wav

EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
ACTORS = (1001, 1002, 1005, 1015, 1010, 1020)
PLANTED = {
    "1001_IEO_ANG_XX": "undecodable",
    "1001_IEO_DIS_XX": "zero-length",
    "1001_IEO_FEA_XX": "lfs-pointer",
    "1002_IEO_ANG_XX": "no-audio",
    "1002_IEO_DIS_XX": "missing-file",
    "1076_MTI_SAD_XX": "known-bad",
}


def write_crema_d(folder: Path) -> None:
    """``AudioWAV`` and ``VideoFlash`` with 36 clips of 6 actors, a known bad one, and the field's two lists."""
    names = [f"{actor}_IEO_{emotion}_XX" for actor in ACTORS for emotion in EMOTIONS]
    for i, name in enumerate([*names, "1076_MTI_SAD_XX"]):
        write_wav(
            folder / "AudioWAV" / f"{name}.wav",
            tone(1.5 + 0.05 * (i % 3), 16_000, 200 + 40 * (i % 6)),
            16_000,
        )
        write_video(
            folder / "VideoFlash" / f"{name}.flv", moving(32, (48, 64), i), Fraction(30_000, 1001)
        )
    (folder / "VideoFlash" / "1001_IEO_ANG_XX.flv").write_bytes(
        b"FLV\x01\x05 and then nothing that decodes" * 3
    )
    (folder / "VideoFlash" / "1001_IEO_DIS_XX.flv").write_bytes(b"")
    (folder / "AudioWAV" / "1001_IEO_FEA_XX.wav").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    write_wav(folder / "AudioWAV" / "1002_IEO_ANG_XX.wav", tone(1.5, 16_000) // 10_000, 16_000)
    (folder / "VideoFlash" / "1002_IEO_DIS_XX.flv").unlink()
    cut = folder / "AudioWAV" / "1005_IEO_ANG_XX.wav"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "AudioWAV" / "notes.wav").write_bytes(b"not a clip")
    (folder / "train.csv").write_text(
        "\ufeff"
        + "".join(
            f"{name},{name[9:12]}\n" for name in names if not name.startswith(("1001", "1010"))
        ),
        encoding="utf-8",
    )
    (folder / "test.csv").write_text(
        "".join(f"{name},{name[9:12]}\n" for name in names if name.startswith("1001")),
        encoding="utf-8",
    )
