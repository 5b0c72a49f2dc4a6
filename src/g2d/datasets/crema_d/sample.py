"""A made-up sample of CREMA-D in its raw layout: a few actors, and every kind of broken file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from g2d.datasets.sample_media import moving, tone, write_video, write_wav

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
"""Broken clips, and the reason for which each must be skipped."""


def write_sample(folder: Path) -> dict[str, str]:
    """Write 36 clips of 6 actors, a known bad one, and the lists of the literature's split.

    Returns:
        The broken clips, and the reason for which each must be skipped.
    """
    names = [f"{actor}_IEO_{emotion}_XX" for actor in ACTORS for emotion in EMOTIONS]
    sound, video = folder / "AudioWAV", folder / "VideoFlash"
    for i, name in enumerate([*names, "1076_MTI_SAD_XX"]):
        samples = tone(1.5 + 0.05 * (i % 3), 16_000, 200 + 40 * (i % 6))
        write_wav(sound / f"{name}.wav", samples, 16_000)
        write_video(video / f"{name}.flv", moving(32, (48, 64), i), Fraction(30_000, 1001))
    undecodable = b"FLV\x01\x05 and then nothing that decodes" * 3
    (video / "1001_IEO_ANG_XX.flv").write_bytes(undecodable)
    (video / "1001_IEO_DIS_XX.flv").write_bytes(b"")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (sound / "1001_IEO_FEA_XX.wav").write_text(pointer)
    write_wav(sound / "1002_IEO_ANG_XX.wav", tone(1.5, 16_000) // 10_000, 16_000)
    (video / "1002_IEO_DIS_XX.flv").unlink()
    cut = sound / "1005_IEO_ANG_XX.wav"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (sound / "notes.wav").write_bytes(b"not a clip")
    train = [name for name in names if not name.startswith(("1001", "1010"))]
    test = [name for name in names if name.startswith("1001")]
    for split, start, listed in (("train", "\ufeff", train), ("test", "", test)):
        lines = "".join(f"{name},{name[9:12]}\n" for name in listed)
        (folder / f"{split}.csv").write_text(start + lines, encoding="utf-8")
    return PLANTED
