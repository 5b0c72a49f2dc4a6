"""Small media files for the made-up samples of data sets, written with PyAV and Pillow."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any
from wave import open as open_wav

import numpy as np
from numpy.typing import NDArray

CODECS = {
    ".flv": ("flv1", "mp3"),
    ".mp4": ("libx264", "aac"),
    ".mpg": ("mpeg1video", "mp2"),
    ".avi": ("mpeg4", "mp2"),
}
"""Codecs of video and sound for each kind of file."""


def tone(seconds: float, rate: int, frequency: float = 440.0) -> NDArray[np.int16]:
    """Return a sine at half of full scale, ``(seconds * rate,)``."""
    time = np.arange(round(seconds * rate)) / rate
    wave: NDArray[np.float64] = np.sin(2 * np.pi * frequency * time)
    return np.rint(16384 * wave).astype(np.int16)


def moving(frames: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Return frames ``(T, H, W, 3)`` of a bright square that moves over a plain background.

    Args:
        frames: Number of frames.
        size: Height and width in pixels.
        seed: Seed of the color and of the position.
    """
    height, width = size
    color = np.random.default_rng(seed).integers(20, 120, 3)
    pictures = np.broadcast_to(color.astype(np.uint8), (frames, height, width, 3)).copy()
    for t in range(frames):
        left = (t * 3 + seed) % (width - 16)
        pictures[t, 8:24, left : left + 16] = 230
    return pictures


def write_wav(path: Path, samples: NDArray[np.int16], rate: int) -> None:
    """Write 16-bit PCM sound, ``(L,)`` mono or ``(L, channels)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_wav(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture ``(H, W, 3)`` in the format of the path's suffix."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_video(
    path: Path,
    pictures: NDArray[np.uint8],
    rate: Fraction | int,
    sound: NDArray[np.int16] | None = None,
    sound_rate: int = 22_050,
) -> None:
    """Write a video, in the codecs of the path's suffix.

    Args:
        path: File to write.
        pictures: Frames ``(T, H, W, 3)``.
        rate: Frames per second.
        sound: Mono sound ``(L,)``; None writes a video without sound.
        sound_rate: Samples per second.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    video_codec, audio_codec = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(video_codec, rate=Fraction(rate))
        video.height, video.width, video.pix_fmt = pictures.shape[1], pictures.shape[2], "yuv420p"
        audio: Any = None
        if sound is not None:
            audio = container.add_stream(audio_codec, rate=sound_rate, layout="mono")
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if sound is not None:
            _write_sound(container, audio, sound, sound_rate)


def _write_sound(container: Any, stream: Any, sound: NDArray[np.int16], rate: int) -> None:
    """Encode mono sound ``(L,)`` into a stream."""
    import av

    frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(
        format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1152
    )
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode())
