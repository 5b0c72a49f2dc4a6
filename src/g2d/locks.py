"""One owner per folder: a lock that lasts as long as its process, and a file that names the owner.

Who writes to a run, a teacher, a comparison, a search or a preparation owns its folder. Readers own
nothing: they see whole files, because every file is moved into place.

- On one computer the operating system decides: it releases the lock of a process that ends, however
  it ends.
- On several computers with one file system, such a lock may not reach from one to another.
  The owner therefore writes a heartbeat into ``.owner.json``. Another computer refuses the folder
  while the heartbeat is younger than :data:`~g2d.files.LONG_AGO`, then takes it over with a notice.
  An owner that was taken over, for example after its computer slept, stops before it writes the
  next checkpoint (:func:`require_owned`).

Processes that an owner starts own nothing. A comparison owns its folder; each of its runs, in this
process or in another one, owns its run folder, and a teacher's folder while it trains or waits for
that teacher. A forked process does not inherit a lock. One that outlives its parent keeps what
it owns itself until it ends, so whoever needs the same run or teacher waits for it.
Both files are deleted when the owner ends; a killed owner leaves them to the next one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from g2d.errors import RunError
from g2d.files import (
    LONG_AGO,
    is_alive,
    is_temporary,
    read_json,
    sweep,
    temporary_path,
    this_process,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK, OWNER = ".lock", ".owner.json"
"""Files of an owned folder: the lock of the operating system, and the :class:`Owner`."""
HEARTBEAT = 30.0
"""Seconds between two heartbeats."""
POLL = 0.5
"""Seconds between two attempts to own a folder."""
GRACE = 10.0
"""Seconds after which processes have ended that read data for an owner that was killed."""

T = TypeVar("T")


@dataclass(frozen=True)
class Owner:
    """The process that owns a folder.

    Args:
        host: Name of its computer.
        pid: Its number there.
        started: When it took the folder, in seconds since 1970.
        heartbeat: When it last wrote that it lives, in the same unit.
    """

    host: str
    pid: int
    started: float
    heartbeat: float

    def __str__(self) -> str:
        place = "this computer" if self.host == this_process()[0] else self.host
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid} on {place} since {start}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this computer."""
        return self.host == this_process()[0]

    @property
    def is_silent(self) -> bool:
        """Whether its last heartbeat was long ago."""
        return abs(time.time() - self.heartbeat) > LONG_AGO

    @property
    def is_dead(self) -> bool:
        """Whether it ran on this computer and has ended."""
        return self.is_here and not is_alive(self.pid)

    def is_same(self, other: Owner | None) -> bool:
        """Return whether another record is of the same process and the same start."""
        return other is not None and replace(other, heartbeat=self.heartbeat) == self


def owner_of(folder: Path) -> Owner | None:
    """Return the owner that a folder names, or None; it may have ended.

    Args:
        folder: The folder; it need not exist.
    """
    try:
        content = read_json(folder / OWNER, most=10_000)
        started, heartbeat = float(content["started"]), float(content["heartbeat"])
        return Owner(str(content["host"]), int(content["pid"]), started, heartbeat)
    except (OSError, ValueError, TypeError, LookupError):
        return None


def is_bookkeeping(path: Path) -> bool:
    """Return whether a file belongs to owning or writing a folder, and not to its content."""
    return path.name in (LOCK, OWNER) or is_temporary(path)


def system_lock(path: Path) -> BaseFileLock:
    """Return a lock of the operating system, which ends with its process; not yet acquired.

    Args:
        path: Its file; the folder must exist.
    """
    from filelock import FileLock

    return FileLock(path, thread_local=False)


class Lock:
    """The ownership of a folder by this process.

    Args:
        folder: The folder; it is created when the ownership is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own: Owner | None = None
        """This process, while it owns the folder."""
        self.before: Owner | None = None
        """The silent owner on another computer from which the folder was taken over."""
        self.thread = threading.get_ident()
        """The thread that owns it."""
        self._lock: BaseFileLock | None = None
        self._created = False
        self._released = threading.Event()

    def acquire(self) -> bool:
        """Try once to own the folder, and return whether this process owns it now."""
        self._created |= not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        named = owner_of(self.folder)
        if not self._locked():
            if named is None or named.is_here or not named.is_silent:
                return False
            # A file server still keeps the lock of a computer that has gone.
            (self.folder / LOCK).unlink(missing_ok=True)
            if not self._locked():
                return False
        named = owner_of(self.folder)
        elsewhere = named is not None and not named.is_here
        if named is not None and elsewhere and not named.is_silent:
            self._unlock()
            return False
        self.own = Owner(*this_process(), time.time(), time.time())
        self._write()
        if elsewhere:
            time.sleep(2 * POLL)  # of two computers that take it over, the later one has it
            if not self.own.is_same(owner_of(self.folder)):
                self._unlock()
                return False
            self.before = named
        _OWNED[self.folder.resolve()] = self
        self._released.clear()
        threading.Thread(target=self._beat, name=f"owner of {self.folder}", daemon=True).start()
        return True

    def release(self) -> None:
        """Give the folder back, and delete the files of the ownership.

        A folder that was created for it and is still empty, as after a refusal, is deleted.
        """
        self._released.set()
        if self.own is None or self.own.pid != this_process()[1]:
            return  # a forked process, whose parent is the owner
        _OWNED.pop(self.folder.resolve(), None)
        self._unlock()
        if self._created:
            with suppress(OSError):  # it holds what the owner wrote
                self.folder.rmdir()

    def is_lost(self) -> bool:
        """Return whether another process has taken the folder over."""
        named = owner_of(self.folder)
        return self.own is not None and named is not None and not self.own.is_same(named)

    def _locked(self) -> bool:
        from filelock import Timeout

        self._lock = system_lock(self.folder / LOCK)
        try:
            self._lock.acquire(blocking=False)
        except (Timeout, FileNotFoundError):  # the second one: its owner just deleted it, empty
            self._lock = None
        return self._lock is not None

    def _unlock(self) -> None:
        if self.own is None or not self.is_lost():
            with suppress(OSError):
                if self.own is not None:
                    (self.folder / OWNER).unlink(missing_ok=True)
                # Deleted while it is locked: whoever waits for it notices, and makes another one.
                (self.folder / LOCK).unlink()
        if self._lock is not None:
            self._lock.release()
        self._lock = self.own = None

    def _write(self) -> None:
        # Not by g2d.files.replaced, which would create the folder if it was deleted.
        temporary = temporary_path(self.folder / OWNER)
        temporary.write_text(json.dumps(asdict(self.own) if self.own else {}), encoding="utf-8")
        temporary.replace(self.folder / OWNER)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT):
            own = self.own
            with suppress(OSError):
                if own is None or self.is_lost():
                    return
                self.own = replace(own, heartbeat=time.time())
                self._write()


_OWNED: dict[Path, Lock] = {}
"""Folders that this process owns."""


def require_owned(folder: Path) -> None:
    """Refuse to go on if another process took over a folder that this process owned.

    Args:
        folder: A folder; one that this process never owned passes.

    Raises:
        RunError: Another process owns it.
    """
    lock = _OWNED.get(folder.resolve()) if _OWNED else None
    if lock is not None and lock.is_lost():
        raise RunError(
            f"{folder} must have one owner at a time, found that {owner_of(folder)} took it over "
            "while this process was silent. Nothing more is written."
        )


class Once(Protocol):
    """A function that runs another one on one of several processes, and shares what it returns."""

    def __call__(self, act: Callable[[], T], /) -> T:
        """Run the function, and return its value on all processes."""
        ...


def _alone(act: Callable[[], T]) -> T:
    return act()


@contextmanager
def owned(
    folder: Path,
    *,
    wait: bool = False,
    say: Callable[[str], object] = lambda sentence: None,
    once: Once = _alone,
) -> Iterator[None]:
    """Own a folder for the time of a block.

    A block inside another one of the same thread and folder adds nothing.

    Args:
        folder: The folder; it is created.
        wait: Wait for another owner to end, and say so, instead of refusing the folder.
        say: Receives messages for the user.
        once: Runs a function on one of several processes of a training and returns its value on all
            of them, as :func:`g2d.engine.processes.once` does.

    Raises:
        RunError: Another process owns the folder; the message names it and its start.
    """
    outer = _OWNED.get(folder.resolve())
    if once(lambda: outer is not None and outer.thread == threading.get_ident()):
        yield
        return
    lock, since, waiting = Lock(folder), time.monotonic(), False
    while not once(lock.acquire):
        named, patience = once(lambda: _named(folder))
        if not wait and time.monotonic() - since >= patience:
            raise RunError(
                f"{folder} must have one owner at a time, found {named}. "
                "Wait for it to end, or choose another folder."
            )
        if wait and not waiting:
            waiting = True
            say(f"{folder} belongs to {named}: waiting for it.")
        time.sleep(POLL)
    try:
        if lock.before is not None:
            minutes = (time.time() - lock.before.heartbeat) / 60
            say(f"{folder} is taken over from {lock.before}, silent for {minutes:.0f} minutes.")
        yield
    finally:
        lock.release()


def tidy(folder: Path) -> None:
    """Delete what an owner left that was killed after its last write to a finished folder.

    Args:
        folder: The folder. One that a living process owns, or that is read-only, stays as it is.
    """
    if not any((folder / name).exists() for name in (LOCK, OWNER)):
        return
    named = owner_of(folder)
    if named is None or named.is_dead:
        with suppress(OSError, RunError), owned(folder):
            sweep(folder)


def _named(folder: Path) -> tuple[str, float]:
    """Return the owner of a folder in words, and for how many seconds trying again makes sense."""
    named = owner_of(folder)
    if named is None:  # it begins or ends at this moment
        return "another process", 2 * POLL
    return str(named), GRACE if named.is_dead else 0.0
