"""Development data in files of arrays ("packs"), opened as the readers of g2d would give them.

No reader knows the packs. ``ARRAYS`` opens a pack through ``g2d data prepare arrays``, under the
modalities, splits and targets that the reader of the data set gives; ``WRITERS`` writes a pack in
the public form of its data set. So one reader, one card and one recipe serve both.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data.splits import SPLITS, TEST, TRAIN, VALID, name_hash
from g2d.datasets.grid_av.reader import WORDS
from g2d.datasets.houses.reader import TABLE
from g2d.datasets.mmmo.reader import CLASSES as MMMO_CLASSES
from g2d.datasets.mmmo.reader import FILES, FILLER, OPTIONAL, POSITIVE
from g2d.datasets.mmmo.sample import write_array
from g2d.datasets.mosi.reader import CLASSES as MOSI_CLASSES
from g2d.datasets.mosi.sample import write_utterances
from g2d.prepare.media import read_image

PACKS = Path(os.environ.get("G2D_DATA") or Path(__file__).parents[3] / "shared" / "data")


def pack(name: str) -> Path:
    """Return the folder of a pack; skip the test, by name and reason, if it is absent."""
    folder = PACKS / name
    if not folder.is_dir():
        pytest.skip(f"the data pack {name!r} is not here; set G2D_DATA to the folder that holds it")
    return folder


def arrays(name: str, file: str) -> dict[str, Any]:
    """Return the arrays of a file of a pack."""
    with np.load(pack(name) / file, allow_pickle=False) as opened:
        return {key: opened[key] for key in opened.files}


def write_houses(folder: Path) -> None:
    """Write the authors' folder: photographs ``N_VIEW.jpg`` and one line per house."""
    packed = pack("houses-img-tab") / "houses.zip"  # skips before anything is written
    base = folder / "Houses Dataset"
    base.mkdir(parents=True)
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            if name.endswith("_frontal.jpg"):
                (base / Path(name).name).write_bytes(archive.read(name))
        rows = list(csv.DictReader(io.StringIO(archive.read("houses.csv").decode())))
    columns = ("bedrooms", "bathrooms", "area_sqft", "zipcode", "price_usd")
    lines = [" ".join(row[column] for column in columns) for row in rows]
    (base / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_mosi(folder: Path) -> None:
    """Write bc-LSTM's CSV files, with the transcripts in another order than the features."""
    table = arrays("mosi-utt", "mosi_utterances.npz")
    line = np.random.default_rng(0).permutation(len(table["sentiment"])) + 1
    write_utterances(folder, table, line)


def write_mmmo(folder: Path) -> None:
    """Write the HDF5 files of each split."""
    table = arrays("mfn-seq", "mmmo_sequences.npz")
    for place, split in enumerate(SPLITS):
        rows = table["split"] == place
        for m, file in FILES.items():
            has = table["has_text"] if m in OPTIONAL else np.ones(len(rows), bool)
            if (rows & has).any():
                values = table[m][rows[has]].astype(np.float32)
                write_array(folder / file.format(split), values)


WRITERS: dict[str, Callable[[Path], None]] = {
    "houses": write_houses,
    "mosi": write_mosi,
    "mmmo": write_mmmo,
}
"""How the pack of a data set is written in its public form."""


def arrays_of_grid_av() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of GRID, and the options of the preparation."""
    table = arrays("grid-av", "grid_s1_digit_windows.npz")
    names = table["name"]
    return {
        "audio": table["waveform"],
        "video": table["mouth"],
        "target": table["digit"].astype(np.int64),
        "split": table["split"],
        "group": names,
        "id": names,
    }, {"classes": WORDS, "rate": int(table["sample_rate"]), "kinds": {"video": "video"}}


def arrays_of_houses() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of Houses, with small photographs, and the options of the preparation."""
    with zipfile.ZipFile(pack("houses-img-tab") / "houses.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("houses.csv").decode())))
        photos = [
            read_image(
                io.BytesIO(archive.read(f"images/{int(row['house']):03d}_frontal.jpg")), (64, 64)
            )
            for row in rows
        ]
    number = np.array([int(row["house"]) for row in rows])
    columns = ("bedrooms", "bathrooms", "area_sqft")
    table = np.array([[float(row[column]) for column in columns] for row in rows], np.float32)
    table[:, 2] = np.log(table[:, 2])
    codes = np.array([row["zipcode"] for row in rows])
    zipped = (codes[:, None] == np.unique(codes)).astype(np.float32)
    return {
        "image": np.stack(photos),
        "table": np.concatenate([table, zipped], axis=1),
        "target": np.array([float(row["price_usd"]) for row in rows]),
        "split": np.select([number % 5 == 0, number % 5 == 1], [TEST, VALID], TRAIN),
        "id": np.array([f"{n:03d}" for n in number]),
    }, {}


def arrays_of_mosi() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of CMU-MOSI, and the options of the preparation."""
    table = arrays("mosi-utt", "mosi_utterances.npz")
    videos = table["video_id"].tolist()
    valid = [name_hash(video) % 10 == 0 for video in videos]
    ids = [f"{v}_{int(n):03d}" for v, n in zip(videos, table["utterance"], strict=True)]
    return {
        "audio": table["audio"],
        "video": table["video"],
        "text": table["transcript"],
        "target": table["sentiment"].astype(np.int64),
        "split": np.where((table["split"] == TRAIN) & valid, VALID, table["split"]),
        "group": np.array(videos),
        "id": np.array(ids),
    }, {"classes": MOSI_CLASSES}


def arrays_of_mmmo() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of ICT-MMMO, and the options of the preparation."""
    table = arrays("mfn-seq", "mmmo_sequences.npz")
    out: dict[str, Any] = {
        "target": (table["target"] > POSITIVE).astype(np.int64),
        "split": table["split"],
        "id": np.array([f"mmmo_{row:04d}" for row in range(len(table["split"]))]),
    }
    for m in ("audio", "video"):
        real = (table[m] != 0).any(-1) & (table[m] != FILLER).all(-1)
        out |= {m: np.where(real[..., None], table[m], 0), f"{m}.mask": real}
        out[f"{m}.present"] = real.any(1)
    neither = ~(out["audio.present"] | out["video.present"])
    for m in ("audio", "video"):
        out[f"{m}.present"] |= neither
    return out, {"classes": MMMO_CLASSES}


ARRAYS: dict[str, Callable[[], tuple[dict[str, Any], dict[str, Any]]]] = {
    "grid_av": arrays_of_grid_av,
    "houses": arrays_of_houses,
    "mosi": arrays_of_mosi,
    "mmmo": arrays_of_mmmo,
}
"""Arrays of the pack of a data set, and options of ``g2d data prepare arrays``."""
