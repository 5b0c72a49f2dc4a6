"""Damage to any file is noticed, recovered from, or without effect on every later output."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from support.bits import KINDS, World

BITS, CUTS = 7, 2
"""Flipped bits and truncated files per kind of file."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_and_truncated_files_never_change_an_output_in_silence(
    world: World, kind: str
) -> None:
    rng = random.Random(f"0 {kind}")
    outcomes = [world.trial(kind, cut, rng) for cut in [False] * BITS + [True] * CUTS]
    assert [outcome for outcome in outcomes if ":" in outcome] == []
    expected = {"store": "noticed", "comparison": "no effect", "teachers": "recovered"}
    assert expected.get(kind, "noticed") in Counter(outcomes)
