"""A process that is stopped or gone is noticed; one that is busy or has left is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import torch.distributed as dist

from g2d.engine.alive import SignsOfLife
from g2d.engine.joining import agreed_prefix
from g2d.errors import RunError

SECONDS, SILENCE = 0.05, 1.0


@pytest.fixture
def store() -> dist.TCPStore:
    made = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    made.set_timeout(timedelta(seconds=SILENCE))
    return made


def forked(port: int, act: Callable[[SignsOfLife], object]) -> int:
    """Start process 1 of two; return its id."""
    if (child := os.fork()) == 0:
        try:
            store = dist.TCPStore("127.0.0.1", port, is_master=False, wait_for_workers=False)
            signs = SignsOfLife(
                store, 1, 2, lambda sentence: None, seconds=SECONDS, silence=SILENCE
            )
            signs.start()
            act(signs)
        finally:
            os._exit(0)
    return child


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def busy(signs: SignsOfLife) -> None:
    """Compute for some time, twice as long as a process may be silent, then leave."""
    end = time.monotonic() + 2 * SILENCE
    while time.monotonic() < end:
        sum(range(1000))
    signs.leave()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_that_was_stopped_or_killed_is_reported(
    store: dist.TCPStore, number: signal.Signals
) -> None:
    child, sentences = forked(store.port, lambda signs: time.sleep(60)), list[str]()
    try:
        signs = SignsOfLife(store, 0, 2, sentences.append, seconds=SECONDS, silence=SILENCE)
        signs.start()
        wait_for(lambda: store.add("1", 0) > 2)
        assert not sentences
        os.kill(child, number)
        wait_for(lambda: sentences)
        signs.leave()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert sentences == [
        "process 1 of 2 has not answered for 1 s: it was stopped, or its computer is gone. "
        "The training ends. Run the same command again to continue."
    ]


def test_a_busy_process_and_one_that_has_left_are_not_reported(store: dist.TCPStore) -> None:
    child, sentences = forked(store.port, busy), list[str]()
    signs = SignsOfLife(store, 0, 2, sentences.append, seconds=SECONDS, silence=SILENCE)
    signs.start()
    os.waitpid(child, 0)
    time.sleep(1.5 * SILENCE)
    signs.leave()
    assert sentences == []


def test_a_store_that_is_gone_is_reported(store: dist.TCPStore) -> None:
    class Gone:
        def add(self, key: str, value: int) -> int:
            raise RuntimeError("Connection reset by peer\nand a stack")

    sentences: list[str] = []
    gone: Any = Gone()
    signs = SignsOfLife(gone, 0, 2, sentences.append, seconds=0.01, silence=0.1)
    signs.start()
    wait_for(lambda: sentences)
    signs.leave()
    assert sentences[0].startswith(
        "torchrun, which joins the processes (Connection reset by peer), has not answered"
    )


def test_processes_of_a_new_start_do_not_take_what_an_earlier_one_left(
    store: dist.TCPStore,
) -> None:
    prefixes = [_joined(store) for _ in range(3)]
    assert [len(set(of_start)) for of_start in prefixes] == [1, 1, 1]
    assert len({of_start[0] for of_start in prefixes}) == 3
    with pytest.raises(RunError, match="all 2 processes of torchrun must join"):
        agreed_prefix(store, 0, 2, patience=0.2)


def _joined(store: dist.TCPStore) -> list[str]:
    """Let three threads join as processes; return the prefix that each of them takes."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda rank: agreed_prefix(store, rank, 3), range(3)))
