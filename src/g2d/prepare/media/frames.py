"""Frames of videos: which of them, and how they are read from a file whose header may lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import UnreadableError
from g2d.prepare.media.files import Reach, decoded, opened, tell_cut
from g2d.prepare.media.pictures import Box, resized

Pick = Callable[[int, float], Sequence[int]]
"""From the number of decoded frames and the container's rate to the frames that are kept."""
Span = tuple[float, float]
"""From one time to another, in seconds."""
HELD = 200 * 2**20
"""Bytes of decoded frames that are held while a video is read to its end; longer ones are read twice."""


def spread(count: int) -> Pick:
    """``count`` frames at floor((i + 0.5) n / count) of n; a short video repeats some.

    Example:
        >>> list(spread(3)(75, 25.0))
        [12, 37, 62]
    """
    return lambda frames, rate: [int((2 * i + 1) * frames // (2 * count)) for i in range(count)]


def at_least(least: int, pick: Pick) -> Pick:
    """The same choice, for videos that have so many frames."""

    def checked(frames: int, rate: float) -> Sequence[int]:
        if frames < least:
            raise UnreadableError("too-few-frames", f"{frames}")
        return pick(frames, rate)

    return checked


def legacy_frames(per_second: int) -> Pick:
    """The rule of the paper's released code: with F = int(rate), step = int(F / k) and r = index mod F, keep r < step k with r mod step = 0.

    Example:
        >>> list(legacy_frames(2)(75, 29.97))
        [0, 14, 29, 43, 58, 72]
    """

    def pick(frames: int, rate: float) -> list[int]:
        whole = int(rate)
        step = whole // per_second
        if not step > 0 or whole >= 1000:
            raise UnreadableError(
                "undecodable",
                f"its frame rate reads {rate:g}, so that frames per second have no meaning",
            )
        return [c for c in range(frames) if c % whole < step * per_second and c % whole % step == 0]

    return pick


def released_frames(count: int, least: int = 1) -> Pick:
    """The frames that the paper's released code sees: one per second is kept, and ``count`` of those are drawn.

    It seeds the draw with 999 anew for every clip, so that the choice depends on nothing but how many were kept.

    Args:
        count: drawn without replacement, in the order of the draw. least: kept ones that a clip must have.

    Example:
        >>> [int(i / 25) for i in released_frames(3)(250, 25.0)]
        [6, 2, 8]
    """

    def pick(frames: int, rate: float) -> list[int]:
        kept = legacy_frames(1)(frames, rate)
        if len(kept) < max(count, least):
            raise UnreadableError("too-few-frames", f"{len(kept)} at one per second")
        return [kept[i] for i in np.random.RandomState(999).choice(len(kept), count, replace=False)]

    return pick


def read_frames(
    path: Path,
    pick: Pick,
    size: tuple[int, int],
    *,
    gray: bool = False,
    span: Span | None = None,
    box: Box | None = None,
    told: list[str] | None = None,
) -> NDArray[np.uint8]:
    """Some frames of a video, ``(T, H, W, 3)`` or gray ``(T, H, W)``, resized bilinearly with antialias.

    The file is decoded to its end first, to know how many frames there really are: containers lie.

    Args:
        pick: which frames. size: (H, W). gray: luminance only. span: only frames between two times in seconds count.
        box: (left, top, right, bottom) in pixels, the part of the picture that is kept.
        told: a sentence is added if the file ends before its header says.

    Raises:
        UnreadableError: ``missing-file``, ``lfs-pointer``, ``zero-length``, ``undecodable``, ``too-few-frames`` (nothing to pick).
    """
    held: list[Any] = []
    frames, room, end, reach = 0, HELD, 0.0, Reach()
    with opened(path) as container:
        rate = _rate(container)
        for frame in _within(container, path, span, reach):
            frames, room, end = (
                frames + 1,
                room - 2 * frame.width * frame.height,
                max(end, _end(frame, rate)),
            )
            if room > 0:
                held.append(frame)
        if span is None:
            tell_cut(container, container.streams.video[0], path, end, reach, told)
    if not frames:
        raise UnreadableError("too-few-frames", "no frame could be decoded")
    wanted = list(pick(frames, rate))
    if not wanted:
        raise UnreadableError("too-few-frames", f"{frames} frames at {rate:g} per second")
    pictures = {
        number: resized(held[number].to_image(), size, gray, box)
        for number in set(wanted)
        if number < len(held)
    }
    if len(pictures) < len(set(wanted)):
        with opened(path) as container:
            for number, frame in enumerate(_within(container, path, span)):
                if number in wanted and number not in pictures:
                    pictures[number] = resized(frame.to_image(), size, gray, box)
    return np.stack([pictures[number] for number in wanted])


def decode_span(path: Path, span: Span) -> Iterator[NDArray[np.uint8]]:
    """Gray frames ``(H, W)`` between two times in seconds, one after the other."""
    with opened(path) as container:
        for frame in _within(container, path, span):
            yield frame.to_ndarray(format="gray")


def count_frames(path: Path, span: Span | None = None) -> tuple[int, float]:
    """How many frames decode, and the rate that the container states."""
    with opened(path) as container:
        return sum(1 for _ in _within(container, path, span)), _rate(container)


def _end(frame: Any, rate: float) -> float:
    """When a frame ends, in seconds; by the rate where the container does not say how long it stands."""
    lasts = float(frame.duration * frame.time_base) if frame.duration else 1 / rate if rate else 0.0
    return (frame.time or 0.0) + lasts


def _rate(container: Any) -> float:
    if not container.streams.video:
        raise UnreadableError("too-few-frames", "there is no stream of pictures")
    stream = container.streams.video[0]
    return float(stream.average_rate or stream.base_rate or Fraction(0))


def _within(
    container: Any, path: Path, span: Span | None, reach: Reach | None = None
) -> Iterator[Any]:
    _rate(container)  # says so where there are no pictures
    stream = container.streams.video[0]
    if span is None:
        yield from decoded(container, stream, reach or Reach())
        return
    start = float(
        (stream.start_time or 0) * stream.time_base
    )  # clocks of some containers (MPEG) do not begin at zero
    begin, end = start + span[0], start + span[1]
    if begin <= start:
        yield from _between(container.decode(stream), begin, end)
        return
    container.seek(int(begin * 1_000_000), backward=True)
    frames = container.decode(stream)
    first = next(frames, None)
    if first is not None and first.time is not None and first.time <= begin:
        yield from _between(chain([first], frames), begin, end)
        return
    with opened(
        path
    ) as anew:  # a container without an index (MPEG) lands too late: then all of it, from its start
        yield from _between(anew.decode(anew.streams.video[0]), begin, end)


def _between(frames: Iterable[Any], begin: float, end: float) -> Iterator[Any]:
    """Frames that begin at a time or later, and before another."""
    for frame in frames:
        if frame.time is not None and frame.time >= end:
            return
        if frame.time is not None and frame.time >= begin:
            yield frame
