"""What every test shares: one thread per process, a seed, and the way to the real data packs."""

from __future__ import annotations

import os

# Before torch is imported, and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# A deadline would measure the machine, not the code.
settings.register_profile("g2d", deadline=None)
settings.load_profile("g2d")

PACKS = Path(os.environ.get("G2D_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def pack() -> Callable[[str], Path]:
    """``pack("mosi-utt")`` is the folder of a real data pack; the test is skipped, by name and reason, where it is absent."""

    def folder_of(name: str) -> Path:
        folder = PACKS / name
        if not folder.is_dir():
            pytest.skip(
                f"the data pack {name!r} is not here; point G2D_DATA at the folder that holds it"
            )
        return folder

    return folder_of
