"""Sound and pictures from files, through FFmpeg (PyAV) and Pillow: decoded to the end, or refused with a reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import gcd
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.plan import UnreadableError

Pick = Callable[[int, float], Sequence[int]]
"""From the number of decoded frames and the container's rate to the frames that are kept."""
Span = tuple[float, float]
Box = tuple[int, int, int, int]
SILENCE = 1e-3
"""Sound whose peak stays under this share of full scale is none."""
HELD = 200 * 2**20
"""Bytes of decoded frames that are held while a video is read to its end; longer ones are read twice."""
WHOLE = 0.9
"""Share of what a header promises that must be there, or a user is told."""
CALLED = {"audio": "sound", "video": "video"}
"""What sentences call streams."""
UNKNOWN_SIZE = 2**32 - 2**16
"""What programs that write to a pipe claim as the size of a RIFF file."""
RATES = (1_000, 768_000)
"""Samples per second between which sound is believed; a header that says anything else is damaged, and resampling by it would not end."""
LOUDEST = 1e9
"""Floating point sound beyond that many times full scale is damage, as NaN and infinity are."""
SIXTEEN_BITS = frozenset({"PNG", "PPM"})
"""Kinds of pictures whose integers have at most 16 bits, though Pillow hands them over as 32."""
ORIENTATION = 274
TURNED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
"""What EXIF calls the way a camera was held, and what makes its picture upright."""
RESAMPLER = "scipy.signal.resample_poly"


def read_audio(path: Path, rate: int, told: list[str] | None = None) -> NDArray[np.int16]:
    """Mono sound ``(L,)`` at ``rate`` samples per second: the mean of the channels, resampled by a polyphase filter.

    The length is ceil(n * rate / native).

    Args:
        path: a file of any kind that FFmpeg knows. rate: of the result. told: a sentence is added if the file ends before its header says.

    Raises:
        UnreadableError: ``missing-file``, ``lfs-pointer``, ``zero-length``, ``no-audio`` (no stream of sound), ``undecodable``, ``non-finite``.
    """
    samples, native = decode_audio(path, told)
    return to_int16(resample(samples, native, rate))


def decode_audio(path: Path, told: list[str] | None = None) -> tuple[NDArray[np.float32], int]:
    """Mono sound in [-1, 1] as the file holds it, and its rate."""
    parts: list[NDArray[np.float32]] = []
    rate, reach = 0, Reach()
    with opened(path) as container:
        if not container.streams.audio:
            raise UnreadableError("no-audio", "there is no stream of sound")
        stream = container.streams.audio[0]
        for frame in _decoded(container, stream, reach):
            rate = rate or int(frame.sample_rate)
            parts.append(_mono(frame))
        if not parts:
            raise UnreadableError("zero-length", "it holds no sound")
        if not RATES[0] <= rate <= RATES[1]:
            raise UnreadableError("undecodable", f"its header says {rate} samples per second")
        samples = np.concatenate(parts)
        _tell_cut(container, stream, path, len(samples) / rate, reach, told)
    if not np.abs(samples).max(initial=0) <= LOUDEST:
        raise UnreadableError("non-finite", "its sound holds NaN, infinity or absurd values")
    return samples, rate


def resample(samples: NDArray[np.float32], native: int, rate: int) -> NDArray[np.float32]:
    """``ceil(n * rate / native)`` samples.

    Example:
        >>> resample(np.zeros(36_409, np.float32), 16_000, 22_050).shape
        (50177,)
    """
    if native == rate:
        return samples
    from scipy.signal import resample_poly

    common = gcd(native, rate)
    changed: NDArray[np.float32] = resample_poly(samples, rate // common, native // common).astype(np.float32)
    return changed


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """From [-1, 1]: times 32768, rounded, cut at the ends."""
    return np.rint(samples.astype(np.float64) * 32768).clip(-32768, 32767).astype(np.int16)


def is_silent(samples: NDArray[np.int16]) -> bool:
    """The peak stays under a thousandth of full scale."""
    return not samples.size or int(np.abs(samples.astype(np.int32)).max()) < SILENCE * 32768


def fit_length(samples: NDArray[np.int16], length: int, *, repeat: bool = False) -> NDArray[np.int16]:
    """Exactly ``length`` samples: the end is cut off; what is short is repeated, or followed by silence.

    Example:
        >>> fit_length(np.array([1, 2, 3], np.int16), 7, repeat=True).tolist()
        [1, 2, 3, 1, 2, 3, 1]
    """
    if repeat and len(samples):
        return np.resize(samples, length)
    fitted = np.zeros(length, np.int16)
    fitted[: min(length, len(samples))] = samples[:length]
    return fitted


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
            raise UnreadableError("undecodable", f"its frame rate reads {rate:g}, so that frames per second have no meaning")
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
            frames, room, end = frames + 1, room - 2 * frame.width * frame.height, max(end, _end(frame, rate))
            if room > 0:
                held.append(frame)
        if span is None:
            _tell_cut(container, container.streams.video[0], path, end, reach, told)
    if not frames:
        raise UnreadableError("too-few-frames", "no frame could be decoded")
    wanted = list(pick(frames, rate))
    if not wanted:
        raise UnreadableError("too-few-frames", f"{frames} frames at {rate:g} per second")
    pictures = {number: _resized(held[number].to_image(), size, gray, box) for number in set(wanted) if number < len(held)}
    if len(pictures) < len(set(wanted)):
        with opened(path) as container:
            for number, frame in enumerate(_within(container, path, span)):
                if number in wanted and number not in pictures:
                    pictures[number] = _resized(frame.to_image(), size, gray, box)
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


def read_image(path: Path | BinaryIO, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture as RGB, ``(H, W, 3)`` of the size asked for, bilinear with antialias; the aspect is not kept.

    It stands as its camera says (EXIF), and 16 bits of gray are scaled to 8.

    Raises:
        UnreadableError: ``missing-file``, ``lfs-pointer``, ``zero-length``, ``undecodable`` (damaged or cut off, or numbers whose range nobody says).
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(path, Path):
        _look(path)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:  # remarks on what is written beside the picture
            return _resized(_colors(picture), size, gray=False)
    except UnidentifiedImageError as error:
        raise UnreadableError("undecodable", "it is no picture of a known kind") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError("undecodable", _short(error)) from error


def media_facts(path: Path) -> dict[str, Any]:
    """Decoded counts: ``frames`` and ``frame_rate``, ``samples`` and ``sample_rate``, of the streams that the file has."""
    found: dict[str, Any] = {}
    with opened(path) as container:
        there = bool(container.streams.video), bool(container.streams.audio)
    if there[0]:
        found["frames"], found["frame_rate"] = count_frames(path)
    if there[1]:
        samples, found["sample_rate"] = decode_audio(path)
        found["samples"] = len(samples)
    return found


def _look(path: Path) -> None:
    """Refuse what is no media file at all, before a decoder says something less clear."""
    try:
        with path.open("rb") as file:
            start = file.read(24)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no file's name can hold a NUL
        raise UnreadableError("missing-file", path.name) from None
    except OSError as error:
        raise UnreadableError("undecodable", error.strerror or str(error)) from error
    if not start:
        raise UnreadableError("zero-length", f"{path.name} has no bytes")
    if start == b"version https://git-lfs."[:24]:
        raise UnreadableError("lfs-pointer", "run git lfs pull in the data set's folder")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A media file for FFmpeg; whatever is wrong with it, also while it is read, is an :class:`UnreadableError`."""
    import av
    from av import logging

    _look(path)
    logging.set_level(logging.PANIC)
    try:
        with av.open(f"file:{path}") as container:  # a name may look like another protocol of FFmpeg's
            yield container
    except (av.FFmpegError, EOFError, ValueError) as error:
        raise UnreadableError("undecodable", _short(error)) from error


def _mono(frame: Any) -> NDArray[np.float32]:
    values = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype.kind == "u":
        scaled = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        scaled = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        scaled = values.clip(-2 * LOUDEST, 2 * LOUDEST).astype(np.float32)  # infinity stays too loud, and 64-bit numbers fit
    mono: NDArray[np.float32] = scaled.mean(0, dtype=np.float32)
    return mono


@dataclass
class Reach:
    """How far the packets of a file go, in seconds; the longest of its streams counts."""

    end: float = 0.0


def _decoded(container: Any, stream: Any, reach: Reach) -> Iterator[Any]:
    for packet in container.demux():
        if packet.pts is not None:
            reach.end = max(reach.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index == stream.index:
            yield from stream.decode(packet)


def _end(frame: Any, rate: float) -> float:
    """When a frame ends, in seconds; by the rate where the container does not say how long it stands."""
    lasts = float(frame.duration * frame.time_base) if frame.duration else 1 / rate if rate else 0.0
    return (frame.time or 0.0) + lasts


def _missing_share(path: Path) -> float:
    """How much longer a RIFF file (wav, avi) claims to be than it is: FFmpeg believes the file, not the claim."""
    with path.open("rb") as file:
        head = file.read(8)
    claimed, size = int.from_bytes(head[4:], "little"), path.stat().st_size
    return claimed / size if head[:4] == b"RIFF" and size < claimed < UNKNOWN_SIZE else 1.0


def _tell_cut(container: Any, stream: Any, path: Path, decoded: float, reach: Reach, told: list[str] | None) -> None:
    """A stream is held against its own length; one that has none (FLV) against the container's, which its longest stream sets and must reach."""
    if stream.duration:
        promised = float(stream.duration * stream.time_base) * _missing_share(path)
    else:
        decoded, promised = reach.end, float(container.duration or 0) / 1_000_000
    if told is not None and decoded < WHOLE * promised:
        told.append(f"its {CALLED[stream.type]} is cut off: {decoded:.2f} of {promised:.2f} s")


def _rate(container: Any) -> float:
    if not container.streams.video:
        raise UnreadableError("too-few-frames", "there is no stream of pictures")
    stream = container.streams.video[0]
    return float(stream.average_rate or stream.base_rate or Fraction(0))


def _within(container: Any, path: Path, span: Span | None, reach: Reach | None = None) -> Iterator[Any]:
    _rate(container)  # says so where there are no pictures
    stream = container.streams.video[0]
    if span is None:
        yield from _decoded(container, stream, reach or Reach())
        return
    start = float((stream.start_time or 0) * stream.time_base)  # clocks of some containers (MPEG) do not begin at zero
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
    with opened(path) as anew:  # a container without an index (MPEG) lands too late: then all of it, from its start
        yield from _between(anew.decode(anew.streams.video[0]), begin, end)


def _between(frames: Iterable[Any], begin: float, end: float) -> Iterator[Any]:
    """Frames that begin at a time or later, and before another."""
    for frame in frames:
        if frame.time is not None and frame.time >= end:
            return
        if frame.time is not None and frame.time >= begin:
            yield frame


def _colors(picture: Any) -> Any:
    """Three times 8 bits, upright. A picture of numbers must say by its kind how great they may be."""
    from PIL import Image

    picture.load()
    turned = TURNED.get(picture.getexif().get(ORIENTATION))
    upright = picture.transpose(Image.Transpose[turned]) if turned else picture
    if upright.mode.startswith("I;16") or (upright.mode == "I" and picture.format in SIXTEEN_BITS):
        return Image.fromarray(np.rint(np.asarray(upright) / 257).astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        raise UnreadableError(
            "undecodable", f"it holds {'32-bit' if upright.mode == 'I' else 'floating point'} numbers of unknown range; save it with 8 or 16 bits"
        )
    return upright.convert("RGB")


def _resized(picture: Any, size: tuple[int, int], gray: bool, box: Box | None = None) -> NDArray[np.uint8]:
    from PIL import Image

    mode = picture.convert("L") if gray else picture
    height, width = size
    values: NDArray[np.uint8] = np.asarray(mode.resize((width, height), Image.Resampling.BILINEAR, box=box), dtype=np.uint8)
    return values


def _short(error: BaseException) -> str:
    if said := getattr(error, "strerror", None):
        return str(said)  # without the path, which differs from machine to machine
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
