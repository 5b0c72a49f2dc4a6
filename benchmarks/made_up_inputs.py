"""Write made-up inputs of `g2d data prepare`: valid, odd and damaged, each from a number."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import string
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from g2d.datasets.sample_media import moving, tone, write_video, write_wav

WORDS = [
    "fine",
    "red",
    "really",
    "not",
    "a",
    "the",
    "ill",
    "ok",
    "wave",
    "storm",
    "über",
    "naïve",
    "雨",
    "🌧",
    "left",
    "eye",
    "broken",
]
NOTHING = ("", "", " ", "NA", "nan", "null", "?", "-", "None", "N/A")
ODD_NUMBERS = ("inf", "-inf", "1e999", "1_000", "0x10", "1,5", "9" * 400, "١٢", "+3", "1e-320")
ODD_TEXTS = ('a "quoted" word', "two\nlines", "semi;colon, comma\ttab", "\u200b", "=1+1", "a\\b")
NAMES = (
    "x",
    "y z",
    "Größe",
    "class",
    "id",
    "group",
    "split",
    "train",
    "a.b",
    "1st",
    "mask",
    "none",
)
PICTURES = (".png", ".jpg", ".bmp", ".gif", ".webp", ".tif")
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16")
TYPES = ("f4", "f8", "f2", "i8", "u1", "b1", "c8", "U5", "O", "S3", ">f4", "M8[s]")


@dataclass
class Made:
    """An input of a preparation.

    Args:
        reader: Name of the data set, ``table`` or ``arrays``.
        source: The file or folder.
        options: Options of the reader.
        rows: Number of rows that were written; None if damage can change it.
        good: Whether every row must be kept.
    """

    reader: str
    source: Path
    options: dict[str, Any] = field(default_factory=dict)
    rows: int | None = None
    good: bool = False


def made(number: int, folder: Path) -> Made:
    """Write an input into an empty folder.

    Args:
        number: Number of the input; the same number writes the same input.
        folder: Folder to write into.
    """
    rng = random.Random(number)
    kind = list(MAKERS)[number % len(MAKERS)]
    return MAKERS[kind](rng, folder)


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """Return bytes with one kind of damage."""
    if not data:
        return data
    way = rng.randrange(6)
    if way == 0:
        return data[: rng.randrange(len(data))]
    if way == 1:
        return b""
    if way == 2:
        return rng.randbytes(rng.randrange(1, 400))
    if way == 3:  # a hole of zeros
        start = rng.randrange(len(data))
        stop = min(len(data), start + rng.randrange(1, 2000))
        return data[:start] + bytes(stop - start) + data[stop:]
    changed = bytearray(data)
    # The first bytes hold sizes and counts, whose faults are the worst.
    for _ in range(rng.choice((1, 3, 30))):
        changed[rng.randrange(min(len(data), rng.choice((64, len(data)))))] = rng.randrange(256)
    return bytes(changed) + (rng.randbytes(50) if way == 5 else b"")


# ---------------------------------------------------------------- tables


def _cells(rng: random.Random, rows: int, comma: bool) -> list[Any]:
    """Return a column of cells of one kind, some of them odd.

    Args:
        rng: Source of random numbers.
        rows: Number of cells.
        comma: Whether the decimal sign of the table is a comma.
    """
    kind = rng.choice((*range(11), *range(8), 12)) if rng.random() < 0.95 else 11
    letters = string.printable[:95] if rng.random() < 0.95 else string.printable
    digits = rng.choice((0, 2, 6))
    far = rng.choice((0, 0, 1e6, 1.7e9, 1e300))
    few = [rng.choice(WORDS) for _ in range(rng.randrange(1, 6))]
    cells: list[Any] = [
        [
            str(round(rng.gauss(far, 3), digits)).replace(".", "," if comma else "."),
            str(rng.randrange(5)),
            rng.choice(few),
            " ".join(rng.choices(WORDS, k=rng.randrange(1, 30))),
            f"2024-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}",
            rng.choice(("TRUE", "FALSE", "yes", "no")),
            str(row),
            "constant",
            "",
            f"{rng.uniform(0, 9000):,.2f}".translate({44: 46, 46: 44} if comma else {}),
            f"{rng.uniform(0, 90):.2f}".replace(".", "," if comma else "."),
            f"file{row}.{rng.choice(('xyz', 'pt', 'h5', 'png', 'wav'))}",
            "".join(rng.choices(letters, k=rng.randrange(0, 40))),
        ][kind]
        for row in range(rows)
    ]
    share = rng.choice((0, 0, 0.05, 0.5))
    odd = rng.choice(
        (NOTHING, NOTHING, NOTHING, NOTHING, ODD_NUMBERS, ODD_TEXTS, ("x" * 5000,), ("\0",))
    )
    return [rng.choice(odd) if rng.random() < share else cell for cell in cells]


def _targets(rng: random.Random, rows: int, comma: bool = False) -> list[Any]:
    way = rng.choice((0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 6, 7))
    classes = rng.choice((2, 3, 4))
    return [
        [
            f"class {row % classes}",
            row % classes,
            str(round(rng.gauss(0, 2), 3)).replace(".", "," if comma else "."),
            "a" if row else "b",
            rng.choice(("yes", "no", "", "NA")),
            "same",
            f"name {row}",
            rng.choice((0.0, 1.0, "nan", "inf")),
        ][way]
        for row in range(rows)
    ]


def _table(rng: random.Random, folder: Path) -> Made:
    rows = rng.choice((0, 1, 5, 12, 30, 30, 60, 60, 120, 120))
    columns, comma = {}, rng.random() < 0.2
    for i in range(rng.randrange(1, 9)):
        name = rng.choice(NAMES) if rng.random() < 0.3 else f"c{i}"
        columns[name] = _cells(rng, rows, comma)
    columns[rng.choice(("target", "label", "Label", "y", "class"))] = _targets(rng, rows, comma)
    if rng.random() < 0.3:
        words = rng.choice((["train", "valid", "test"], ["train"], ["Train", "VAL", "dev", ""]))
        columns["split"] = [rng.choice(words) for _ in range(rows)]
    if rng.random() < 0.3:
        columns["group"] = [f"g{rng.randrange(max(1, rows // 4))}" for _ in range(rows)]
    if rng.random() < 0.4:
        columns["id"] = [f"r{row if rng.random() < 0.95 else 0}" for row in range(rows)]
    if rng.random() < 0.1:
        columns[""] = [str(row) for row in range(rows)]
    path, data = _written(rng, folder, columns, rows)
    damage = rng.random() < 0.15
    path.write_bytes(_damaged(rng, data) if damage else data)
    return Made("table", path, _options(rng, list(columns)), None if damage else rows)


def _written(
    rng: random.Random, folder: Path, columns: dict[str, list[Any]], rows: int
) -> tuple[Path, bytes]:
    """Return the path and the bytes of a table."""
    if rng.random() < 0.25:
        lines = []
        for row in range(rows):
            cells: dict[str, Any] = {name: cells[row] for name, cells in columns.items()}
            for name in list(cells):
                if rng.random() < 0.05:
                    cells[name] = rng.choice((None, True, [], [1, 2], {"a": 1}, 3.5, 10**400, "x"))
                elif rng.random() < 0.05 and len(cells) > 1:
                    del cells[name]
            lines.append(json.dumps(cells, ensure_ascii=rng.random() < 0.5))
        if rng.random() < 0.3:
            return folder / "t.json", f"[{','.join(lines)}]".encode()
        return folder / "t.jsonl", "\n".join(lines).encode()
    text = io.StringIO(newline="")
    delimiter = rng.choice(",,,;;\t")
    if rng.random() < 0.1:
        text.write(f"sep={delimiter}\r\n")
    writer = csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=rng.choice(("\n",) * 4 + ("\r\n",) * 4 + ("\n\n", "\r")),
    )
    writer.writerow(columns)
    for row in range(rows):
        cells = [values[row] for values in columns.values()]
        if rng.random() < 0.0002:
            cells.append("one too many")
        writer.writerow(cells)
    encoding = rng.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "latin-1", "cp1252"))
    suffix = ".tsv" if delimiter == "\t" and rng.random() < 0.5 else ".csv"
    return folder / f"t{suffix}", text.getvalue().encode(encoding, errors="replace")


def _options(rng: random.Random, columns: list[str]) -> dict[str, Any]:
    """Return options of the reader, mostly none."""
    options: dict[str, Any] = {}
    if rng.random() < 0.1:
        options["task"] = rng.choice(("classification", "regression"))
    if rng.random() < 0.05:
        kinds = ("text", "number", "image", "category", "audio")
        options["kinds"] = {rng.choice(columns): rng.choice(kinds)}
    if rng.random() < 0.05:
        options["ignore"] = [rng.choice(columns)]
    if rng.random() < 0.05:
        options["group"] = rng.choice(columns)
    if rng.random() < 0.05:
        options["target"] = rng.choice(columns)
    return options


# ---------------------------------------------------------------- files in a table


def _with_files(
    rng: random.Random, folder: Path, name: str, write: Callable[[random.Random, Path, int], Path]
) -> Made:
    """Write a table with a column of files, none of them or some damaged."""
    rows = rng.choice((3, 6, 12))
    share = rng.choice((0.0, 0.1, 0.3, 1.0))
    column, good = [], True
    for row in range(rows):
        path = write(rng, folder / f"f{row}", row)
        if rng.random() < share:
            good = False
            _spoil(rng, path)
        column.append(path.name)
    lines = [["id", name, "x", "label"]]
    lines += [
        [f"r{row}", column[row], f"{rng.gauss(0, 1):.3f}", f"class {row % 2}"]
        for row in range(rows)
    ]
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    options: dict[str, Any] = {"size": 16} | ({"frames": 2} if rng.random() < 0.5 else {})
    return Made("table", folder / "t.csv", options, rows, good)


def _spoil(rng: random.Random, path: Path) -> None:
    """Damage a file, or put something else into its place."""
    way = rng.randrange(10)
    data = path.read_bytes()
    if way < 7:
        path.write_bytes(_damaged(rng, data))
        return
    path.unlink()
    if way == 7:
        path.mkdir()
    elif way == 8:
        path.write_text("#EXTM3U\nf1.wav\n" if rng.random() < 0.5 else "ffconcat version 1.0\n")
    elif hasattr(os, "mkfifo"):
        os.mkfifo(path)


def _picture(rng: random.Random, path: Path, row: int) -> Path:
    from PIL import Image

    size = (rng.choice((1, 2, 17, 40)), rng.choice((1, 3, 16, 60)))
    mode = rng.choice(MODES)
    noise = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
    image = noise.convert("I").convert(mode) if mode == "I;16" else noise.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = rng.choice((1, 3, 6, 8, 9))
    for suffix in (rng.choice(PICTURES), ".png", ".tif"):
        target = path.with_suffix(suffix)
        try:
            image.save(target, exif=exif)
        except (OSError, KeyError, ValueError):  # a mode that the format does not have
            target.unlink(missing_ok=True)
            continue
        return target
    raise AssertionError(mode)


def _sound(rng: random.Random, path: Path, row: int) -> Path:
    rate = rng.choice((8_000, 16_000, 22_050, 44_100, 96_000, 11_127))
    wave = tone(rng.choice((0.02, 0.3, 1.0, 2.0)), rate, rng.uniform(100, 900))
    channels = rng.choice((1, 1, 2, 6))
    if channels > 1:
        wave = np.stack([wave if c % 2 == 0 else -wave for c in range(channels)], 1)
    path = path.with_suffix(".wav")
    write_wav(path, wave, rate)
    if rng.random() < 0.4:
        return _encoded(rng, path, wave if wave.ndim == 1 else wave[:, 0], rate)
    return path


def _encoded(rng: random.Random, path: Path, wave: Any, rate: int) -> Path:
    """Write sound in a compressed format in place of a wav file."""
    import av

    suffix, codec = rng.choice(((".flac", "flac"), (".mp3", "libmp3lame"), (".ogg", "libvorbis")))
    target = path.with_suffix(suffix)
    rate = rate if rate in (8_000, 16_000, 22_050, 44_100) else 16_000
    try:
        with av.open(str(target), "w") as container:
            stream: Any = container.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate = rate
            resampler = av.AudioResampler(
                format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1152
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode())
    except (av.error.FFmpegError, ValueError):  # an encoder that this build of FFmpeg lacks
        target.unlink(missing_ok=True)
        return path
    path.unlink()
    return target


@lru_cache(maxsize=64)
def _video_bytes(suffix: str, number: int) -> bytes:
    import tempfile

    rng = random.Random(number)
    size = rng.choice(((32, 32), (48, 64), (64, 34)))
    rate = rng.choice((Fraction(25), Fraction(30_000, 1_001), Fraction(24)))
    sound = tone(0.5, 22_050) if number % 2 else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"v{suffix}"
        write_video(path, moving(rng.choice((1, 2, 9, 25)), size, number), rate, sound)
        return path.read_bytes()


def _video(rng: random.Random, path: Path, row: int) -> Path:
    path = path.with_suffix(rng.choice((".mp4", ".avi", ".flv", ".mpg")))
    path.write_bytes(_video_bytes(path.suffix, rng.randrange(6)))
    return path


def _array(rng: random.Random, path: Path, row: int) -> Path:
    # A file of numbers in one of a few shapes; most files of a table share it.
    width = 4 if rng.random() < 0.95 else rng.choice((0, 1, 5))
    shape = (rng.randrange(1, 200), width) if path.parent.name[-1] in "02468" else (width,)
    values = np.random.default_rng(rng.randrange(2**32)).normal(size=shape)
    dtype = "f4" if rng.random() < 0.9 else rng.choice(("f8", "i8", "f2", "b1", ">f4"))
    path = path.with_suffix(".npy")
    np.save(path, np.asfortranarray(values.astype(dtype)))
    return path


def _array_cells(rng: random.Random, folder: Path) -> Made:
    table = _with_files(rng, folder, "feature", _array)
    return Made(table.reader, table.source, {}, table.rows, good=False)


# ---------------------------------------------------------------- arrays


def _values(rng: random.Random, rows: int) -> np.ndarray[Any, Any]:
    """Return an array with a row per sample, of any type and number of axes."""
    draw = np.random.default_rng(rng.randrange(2**32))
    shape = rng.choice(
        ((rows,), (rows, 3), (rows, 7, 3), (rows, 8, 8, 3), (rows, 2, 8, 8, 3), (rows, 4000))
    )
    shape = shape if rng.random() < 0.95 else rng.choice(((), (rows + 1, 3), (rows, 0)))
    dtype = rng.choice(TYPES) if rng.random() < 0.2 else rng.choice(("f4", "u1", "i2"))
    values = draw.normal(size=shape) * rng.choice((1, 100, 1e30))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.array(values).astype(dtype)
    if values.dtype.kind == "f" and values.size and rng.random() < 0.3:
        flat = values.reshape(-1)
        flat[rng.randrange(values.size)] = rng.choice((np.nan, np.inf))
    return values


def _arrays(rng: random.Random, folder: Path) -> Made:
    rows = rng.choice((0, 1, 10, 10, 40, 40, 100))
    arrays = {f"m{i}": _values(rng, rows) for i in range(rng.randrange(1, 4))}
    if rng.random() < 0.97:
        odd = rng.random() < 0.3
        arrays["target"] = np.array(_targets(rng, rows) if odd else [i % 3 for i in range(rows)])
    if rng.random() < 0.2:
        arrays["group"] = np.array([rng.randrange(max(1, rows // 3)) for _ in range(rows)])
    if rng.random() < 0.2:
        arrays["split"] = np.array([rng.choice(("train", "valid", "test")) for _ in range(rows)])
    if rng.random() < 0.2:
        arrays["id"] = np.array([f"r{row}" for row in range(rows)])
    if arrays["m0"].ndim == 3 and rng.random() < 0.4:
        arrays["m0.mask"] = np.random.default_rng(0).random((rows, 7)) < 0.7
    if rng.random() < 0.2:
        arrays["m0.present"] = np.random.default_rng(1).random(rows) < 0.7
    damage = rng.random() < 0.15
    if rng.random() < 0.3:
        source = folder / "arrays"
        source.mkdir()
        for name, values in arrays.items():
            np.save(source / f"{name}.npy", values, allow_pickle=True)
        files = sorted(source.iterdir())
    elif rng.random() < 0.3:
        from safetensors.numpy import save_file

        source = folder / "a.safetensors"
        plain = {m: np.ascontiguousarray(v) for m, v in arrays.items() if v.dtype.kind in "fiub"}
        save_file({m: v.astype(v.dtype.newbyteorder("=")) for m, v in plain.items()}, str(source))
        files = [source]
    else:
        source = folder / "a.npz"
        np.savez(source, **arrays)
        files = [source]
    if damage:
        path = rng.choice(files)
        path.write_bytes(_damaged(rng, path.read_bytes()))
    return Made("arrays", source, {}, None if damage else rows)


MAKERS: dict[str, Callable[[random.Random, Path], Made]] = {
    "table": _table,
    "pictures": lambda rng, folder: _with_files(rng, folder, "photo", _picture),
    "sounds": lambda rng, folder: _with_files(rng, folder, "voice", _sound),
    "videos": lambda rng, folder: _with_files(rng, folder, "clip", _video),
    "array cells": _array_cells,
    "arrays": _arrays,
}
"""Functions that write an input, by kind; the number of the input chooses one."""
