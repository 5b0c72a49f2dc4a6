"""Development data in files of arrays ("packs"), opened as the readers of g2d would give them.

No reader knows the packs. Each function writes a pack in the public form of its data set, so that
one reader, one card and one recipe serve both.
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

from g2d.data.splits import SPLITS
from g2d.datasets.houses.reader import TABLE
from g2d.datasets.mmmo.reader import FILES, OPTIONAL
from g2d.datasets.mmmo.sample import write_array
from g2d.datasets.mosi.sample import write_utterances

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
    base = folder / "Houses Dataset"
    base.mkdir(parents=True)
    with zipfile.ZipFile(pack("houses-img-tab") / "houses.zip") as archive:
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
