"""Small media files, written with PyAV."""

from __future__ import annotations

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

CODECS = {
    ".flv": ("flv1", "mp3"),
    ".mp4": ("libx264", "aac"),
    ".mpg": ("mpeg1video", "mp2"),
    ".avi": ("mpeg4", "mp2"),
}


def tone(seconds: float, rate: int, frequency: float = 440.0) -> NDArray[np.int16]:
    """A sine at half of full scale."""
    return np.rint(
        16384 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    ).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], rate: int) -> None:
    """16-bit PCM; ``(L,)`` mono or ``(L, channels)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def write_riff(path: Path, data: bytes, *, tag: int = 1, rate: int = 8_000, bits: int = 16) -> None:
    """A mono wav file with any header; tag 3 is floating point."""
    width = bits // 8
    head = (
        b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, tag, 1, rate, min(rate * width, 2**32 - 1), width, bits)
        + b"data"
        + struct.pack("<I", len(data))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data)


def moving(frames: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """``(T, H, W, 3)``: a bright square that wanders over a plain ground, whose color comes from the seed."""
    height, width = size
    ground = np.random.default_rng(seed).integers(20, 120, 3)
    pictures = np.broadcast_to(ground.astype(np.uint8), (frames, height, width, 3)).copy()
    for t in range(frames):
        left = (t * 3 + seed) % (width - 16)
        pictures[t, 8:24, left : left + 16] = 230
    return pictures


def write_video(
    path: Path,
    pictures: NDArray[np.uint8],
    rate: Fraction | int,
    sound: NDArray[np.int16] | None = None,
    sound_rate: int = 22_050,
) -> None:
    """Frames and mono sound in the codecs of the file's kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video_codec, audio_codec = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        video = container.add_stream(video_codec, rate=Fraction(rate))
        video.height, video.width, video.pix_fmt = pictures.shape[1], pictures.shape[2], "yuv420p"
        audio = (
            None
            if sound is None
            else container.add_stream(audio_codec, rate=sound_rate, layout="mono")
        )
        for picture in pictures:
            for packet in video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in video.encode():
            container.mux(packet)
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            frame.sample_rate = sound_rate
            resampler = av.AudioResampler(
                format=audio.format,
                layout="mono",
                rate=sound_rate,
                frame_size=audio.frame_size or 1152,
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                for packet in audio.encode(part):
                    container.mux(packet)
            for packet in audio.encode():
                container.mux(packet)
