"""What every test shares: one thread per process, and the way to the real data packs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

PACKS = Path(os.environ.get("G2D_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def pack(request: pytest.FixtureRequest) -> Path:
    """The folder of a real data pack, named by ``@pytest.mark.parametrize("pack", ["mosi-utt"], indirect=True)``."""
    folder = PACKS / request.param
    if not folder.is_dir():
        pytest.skip(f"the data pack {request.param!r} is not here; point G2D_DATA at the folder that holds it")
    return folder
