"""What every test shares: one thread per process, a seed, and the way to the real data packs."""

from __future__ import annotations

import os

# Before torch is imported, and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the modules that hold slow tests, so that no process ends alone with them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def pack() -> Callable[[str], Path]:
    """Return a function that finds the folder of a pack of real data; see ``support.packs``."""
    from support.packs import pack as folder_of

    return folder_of
