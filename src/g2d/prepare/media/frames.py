"""Read frames of videos: rules that choose them, and a reader that does not trust headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import NoStreamError, UnreadableError
from g2d.prepare.media.files import Reach, decoded, media_library, opened, warn_if_cut
from g2d.prepare.media.pictures import UPRIGHT, Box, check_size, resized

Pick = Callable[[int, float], Sequence[int]]
"""Rule that returns the numbers of the frames to keep, given the frame count and the frame rate."""
UPRIGHT_BY_AXES = {
    (-1, 0, 0, 1): UPRIGHT[2],
    (-1, 0, 0, -1): UPRIGHT[3],
    (1, 0, 0, -1): UPRIGHT[4],
    (0, 1, 1, 0): UPRIGHT[5],
    (0, 1, -1, 0): UPRIGHT[6],
    (0, -1, -1, 0): UPRIGHT[7],
    (0, -1, 1, 0): UPRIGHT[8],
}
"""Operation of Pillow by where a display matrix moves the axes to the right and down."""
Span = tuple[float, float]
"""Start and end in seconds."""
CACHED = 200 * 2**20
"""Bytes of decoded frames kept in memory while a video is read; longer videos are read twice."""


@dataclass(frozen=True)
class Spread:
    """Rule that picks ``count`` evenly spread frames.

    Of n frames it picks floor((i + 0.5) n / count); a short video repeats some. Where frames last
    unequally long (recordings of screens and phones), :meth:`by_time` picks those that are shown at
    the same shares of the time.

    Args:
        count: Number of frames to pick.

    Example:
        >>> Spread(3)(75, 25.0)
        [12, 37, 62]
    """

    count: int

    def __call__(self, frames: int, rate: float) -> list[int]:
        """Return the numbers of the frames, of a video whose frames last equally long."""
        return [int((2 * i + 1) * frames // (2 * self.count)) for i in range(self.count)]

    def by_time(self, starts: Sequence[float], end: float) -> list[int]:
        """Return the numbers of the frames that are shown at evenly spread times.

        Args:
            starts: When each frame appears, in seconds, in rising order.
            end: When the last frame ends.

        Example:
            >>> Spread(2).by_time([0.0, 9.0, 9.5], 10.0)
            [0, 0]
        """
        times = np.linspace(starts[0], end, 2 * self.count + 1)[1::2]
        return [int(i) for i in np.searchsorted(starts, times, side="right") - 1]


@dataclass(frozen=True)
class AtLeast:
    """Rule that refuses videos with fewer than ``least`` frames and else follows another rule.

    Args:
        least: Number of frames that a video must have.
        pick: Rule that chooses among them.
    """

    least: int
    pick: Pick

    def __call__(self, frames: int, rate: float) -> Sequence[int]:
        """Return the numbers of the frames."""
        if frames < self.least:
            raise UnreadableError("too-few-frames", f"{frames}")
        return self.pick(frames, rate)


def spread(count: int) -> Spread:
    """Return a rule that picks ``count`` evenly spread frames (:class:`Spread`)."""
    return Spread(count)


def at_least(least: int, pick: Pick) -> AtLeast:
    """Return a rule that refuses videos with fewer than ``least`` frames (:class:`AtLeast`)."""
    return AtLeast(least, pick)


def legacy_frames(per_second: int) -> Pick:
    """Return the rule of the paper's released code, which picks ``per_second`` frames per second.

    With F = int(rate), step = int(F / k) and r = index mod F, it keeps a frame if r < step k and
    r mod step = 0.

    Example:
        >>> list(legacy_frames(2)(75, 29.97))
        [0, 14, 29, 43, 58, 72]
    """

    def pick(frames: int, rate: float) -> list[int]:
        whole = int(rate)
        step = whole // per_second
        if not step > 0 or whole >= 1000:
            detail = f"its frame rate reads {rate:g}, which gives no number of frames per second"
            raise UnreadableError("undecodable", detail)
        return [c for c in range(frames) if c % whole < step * per_second and c % whole % step == 0]

    return pick


def released_frames(count: int, least: int = 1) -> Pick:
    """Return a rule that picks the frames which the paper's released code uses.

    One frame per second is kept (:func:`legacy_frames`), and ``count`` of those are drawn without
    replacement. The draw is seeded with 999 for every clip, so it depends only on how many were
    kept.

    Args:
        count: Number of frames to draw; they stay in the order of the draw.
        least: Number of kept frames that a clip must have.

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
    warnings: list[str] | None = None,
) -> NDArray[np.uint8]:
    """Read some frames of a video, upright, and resize them bilinearly with antialiasing.

    The file is first decoded to its end to count its frames, because the count in a header can be
    wrong. A mark that the picture is to be turned or mirrored (phones write one) is obeyed.

    Args:
        path: Video file of any kind that FFmpeg knows.
        pick: Rule that chooses the frames.
        size: Height and width of the result in pixels.
        gray: Whether to keep the luminance only.
        span: Start and end in seconds; only frames between them count.
        box: Part of the picture to keep: left, top, right, bottom in pixels.
        warnings: List that receives a sentence if the file ends before its header says.

    Returns:
        Array ``(T, H, W, 3)``, or ``(T, H, W)`` if ``gray``.

    Raises:
        UnreadableError: With the reason ``missing-file``, ``lfs-pointer``, ``zero-length``,
            ``undecodable`` or ``too-few-frames`` (no frame to pick).
        MissingDependencyError: PyAV or Pillow is not installed.
    """
    cached: list[Any] = []
    starts: list[float | None] = []
    room, end, reach = CACHED, 0.0, Reach()
    with opened(path) as container:
        rate = _rate(container)
        for frame in _within(container, path, span, reach):
            starts.append(frame.time)
            room -= 2 * frame.width * frame.height
            end = max(end, _end(frame, rate))
            if room > 0:
                cached.append(frame)
        if span is None:
            warn_if_cut(container, container.streams.video[0], path, end, reach, warnings)
    if not starts:
        raise UnreadableError("too-few-frames", "no frame could be decoded")
    chosen = _chosen(pick, starts, end, rate)
    if not chosen:
        raise UnreadableError("too-few-frames", f"{len(starts)} frames at {rate:g} per second")
    early = {number for number in chosen if number < len(cached)}
    pictures = {number: resized(_upright(cached[number]), size, gray, box) for number in early}
    if len(pictures) < len(set(chosen)):
        with opened(path) as container:
            for number, frame in enumerate(_within(container, path, span)):
                if number in chosen and number not in pictures:
                    pictures[number] = resized(_upright(frame), size, gray, box)
    return np.stack([pictures[number] for number in chosen])


def decode_span(path: Path, span: Span) -> Iterator[NDArray[np.uint8]]:
    """Yield the gray frames ``(H, W)`` between two times in seconds, upright."""
    with opened(path) as container:
        for frame in _within(container, path, span):
            if _operation(frame):
                yield np.asarray(_upright(frame).convert("L"))
            else:
                yield frame.to_ndarray(format="gray")


def count_frames(path: Path, span: Span | None = None) -> tuple[int, float]:
    """Return how many frames can be decoded, and the frame rate that the container states."""
    with opened(path) as container:
        return sum(1 for _ in _within(container, path, span)), _rate(container)


def _chosen(pick: Pick, starts: list[float | None], end: float, rate: float) -> list[int]:
    """Return the frames that a rule picks, by time where frames last unequally long.

    Times that differ from equally long frames by less than one frame are rounding of the container.
    """
    rule = pick.pick if isinstance(pick, AtLeast) else pick
    picked = list(pick(len(starts), rate))
    if not isinstance(rule, Spread) or None in starts:
        return picked
    times = np.asarray(starts, float)
    lasts = (end - times[0]) / len(times)
    uneven = np.abs(times - times[0] - lasts * np.arange(len(times))).max() >= lasts
    rising = bool((np.diff(times) >= 0).all()) and end > times[-1]
    return rule.by_time(times.tolist(), end) if uneven and rising else picked


def _operation(frame: Any) -> str | None:
    """Return the operation of Pillow that turns a frame upright; None if it is upright."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5]
    return UPRIGHT_BY_AXES.get((np.sign(a), np.sign(b), np.sign(c), np.sign(d)))


def _upright(frame: Any) -> Any:
    """Return a frame as a Pillow image, turned and mirrored as its display matrix says."""
    check_size(frame.width, frame.height)
    picture, operation = frame.to_image(), _operation(frame)
    transposes = media_library("PIL.Image").Transpose
    return picture.transpose(transposes[operation]) if operation else picture


def _end(frame: Any, rate: float) -> float:
    """Return when a frame ends, in seconds; by the frame rate if its own duration is unknown."""
    lasts = float(frame.duration * frame.time_base) if frame.duration else 1 / rate if rate else 0.0
    return (frame.time or 0.0) + lasts


def _rate(container: Any) -> float:
    """Return the frame rate of the video stream; refuse a file without one or too large."""
    if not container.streams.video:
        raise NoStreamError("too-few-frames", "it has no video stream")
    stream = container.streams.video[0]
    check_size(stream.width or 0, stream.height or 0)
    return float(stream.average_rate or stream.base_rate or Fraction(0))


def _within(video: Any, path: Path, span: Span | None, reach: Reach | None = None) -> Iterator[Any]:
    """Yield the frames of the video stream between two times, or all of them."""
    _rate(video)
    stream = video.streams.video[0]
    if span is None:
        yield from decoded(video, stream, reach or Reach())
        return
    # The clocks of some containers (MPEG) do not begin at zero.
    start = float((stream.start_time or 0) * stream.time_base)
    begin, end = start + span[0], start + span[1]
    if begin <= start:
        yield from _between(video.decode(stream), begin, end)
        return
    video.seek(int(begin * 1_000_000), backward=True)
    frames = video.decode(stream)
    first = next(frames, None)
    if first is not None and first.time is not None and first.time <= begin:
        yield from _between(chain([first], frames), begin, end)
        return
    # In a container without an index (MPEG), seeking ends too late: decode from the start instead.
    with opened(path) as reopened:
        yield from _between(reopened.decode(reopened.streams.video[0]), begin, end)


def _between(frames: Iterable[Any], begin: float, end: float) -> Iterator[Any]:
    """Yield the frames that begin at or after one time and before another."""
    for frame in frames:
        if frame.time is not None and frame.time >= end:
            return
        if frame.time is not None and frame.time >= begin:
            yield frame
