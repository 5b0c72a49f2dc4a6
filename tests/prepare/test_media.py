"""Decoding of sound, images and video: generated, damaged and, if available, real files."""

from __future__ import annotations

import os
import struct
import sys
import tarfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2d.datasets.crema_d.reader import CremaOptions, plan_crema
from g2d.datasets.vggsound.reader import VGGSoundOptions, plan_vggsound
from g2d.errors import MissingDependencyError, UnreadableError
from g2d.prepare import prepare
from g2d.prepare.media import (
    at_least,
    count_frames,
    decode_span,
    fit_length,
    is_silent,
    legacy_frames,
    media_facts,
    read_audio,
    read_frames,
    read_image,
    released_frames,
    resample,
    spread,
)
from g2d.prepare.media import files as files_of
from g2d.prepare.media import frames as frames_of
from g2d.prepare.media import pictures as pictures_of
from g2d.prepare.media import sound as sound_of
from support.media_files import moving, tone, write_riff, write_video, write_wav

SHARED = Path(os.environ.get("G2D_DATA") or Path(__file__).parents[3] / "shared" / "data")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pack = SHARED / "rawmedia-mini" / "rawmedia_mini.tar"
    if not pack.is_file():
        pytest.skip("the data pack rawmedia-mini is missing (G2D_DATA)")
    folder = tmp_path_factory.mktemp("rawmedia")
    with tarfile.open(pack) as file:
        file.extractall(folder, filter="data")
    return folder


def test_real_files_decode_to_the_expected_counts(real: Path) -> None:
    originals = sorted((real / "original").glob("*.mpg"))
    assert len(originals) == 11
    for path in originals:
        facts = media_facts(path)
        assert (facts["frames"], facts["frame_rate"], facts["sample_rate"]) == (75, 25.0, 44_100)
        name = path.stem
        assert count_frames(real / "cremad-layout" / "VideoFlash" / f"{name}.flv")[0] == 75
        assert count_frames(next((real / "vggsound-layout").rglob(f"{name}.mp4")))[0] == 75
        sound = read_audio(real / "cremad-layout" / "AudioWAV" / f"{name}.wav", 16_000)
        assert abs(len(sound) / 16_000 - 2.98) < 0.05
        assert not is_silent(sound)


def test_real_files_are_prepared_in_the_layout_of_crema_d(real: Path, tmp_path: Path) -> None:
    source = tmp_path / "crema"
    for folder in ("AudioWAV", "VideoFlash"):
        (source / folder).mkdir(parents=True)
        for i, path in enumerate(sorted((real / "cremad-layout" / folder).iterdir())):
            name = f"10{i:02d}_DFA_{'ANG' if i % 2 else 'HAP'}_XX"
            (source / folder / f"{name}{path.suffix}").symlink_to(path)
    plan = plan_crema(source, CremaOptions())
    assert len(plan.samples) == 11
    summary = prepare(plan, source, tmp_path / "store", workers=2, allow_partial=True)
    assert (summary.facts["rows"], summary.facts["skipped"]) == (11, [])
    assert np.load(tmp_path / "store" / "video.npy").shape == (11, 3, 256, 256, 3)
    assert np.load(tmp_path / "store" / "audio.npy").shape == (11, 66_150)


def test_real_files_are_prepared_in_the_layout_of_vggsound(real: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "vgg"
    rows = []
    for i, path in enumerate(sorted((real / "vggsound-layout").rglob("*.mp4"))):
        name = f"{path.stem:_<11}"
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.parent.name / f"{name}_{i:06d}.mp4")
        rows.append(f"{name},{i},{path.parent.name},{'test' if i % 4 == 0 else 'train'}")
    (folder / "vggsound.csv").write_text("\n".join(rows))
    (folder / "stat.csv").write_text("\n".join(f"{digit},1,speech" for digit in DIGITS))
    summary = prepare(
        plan_vggsound(folder, VGGSoundOptions()), folder, tmp_path / "store", workers=2
    )
    assert (summary.facts["rows"], summary.facts["expected"]) == (11, 11)
    assert summary.facts["task"]["classes"] == sorted(DIGITS)
    sound = np.load(tmp_path / "store" / "audio.npy")
    assert sound.shape == (11, 160_000)
    assert np.abs(sound.astype(int)).max(1).min() > 500


@pytest.mark.parametrize(
    ("library", "read"),
    [
        ("av", lambda path: read_audio(path, 8_000)),
        ("av", lambda path: read_frames(path, spread(1), (8, 8))),
        ("PIL.Image", lambda path: read_image(path, (8, 8))),
    ],
)
def test_a_missing_library_is_one_sentence_with_the_command_that_installs_it(
    tmp_path: Path, library: str, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'g2d\[media\]'"):
        read(tmp_path / "clip")


def test_resampling_has_librosas_length_and_keeps_a_tone() -> None:
    assert len(resample(np.zeros(36_409, np.float32), 16_000, 22_050)) == 50_177
    slow = resample(
        np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32), 16_000, 8_000
    )
    expected = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    assert np.abs(slow - expected)[200:-200].max() < 0.01


def test_wav_files_are_read_sample_by_sample(tmp_path: Path) -> None:
    left, right = tone(0.5, 8_000, 300), tone(0.5, 8_000, 500) // 2
    write_wav(tmp_path / "mono.wav", left, 8_000)
    write_wav(tmp_path / "stereo.wav", np.stack([left, right], 1), 8_000)
    assert np.array_equal(read_audio(tmp_path / "mono.wav", 8_000), left)
    both = (left.astype(int) + right) / 2
    assert np.abs(read_audio(tmp_path / "stereo.wav", 8_000) - both).max() <= 1


@pytest.mark.parametrize("suffix", [".flv", ".mp4", ".mpg", ".avi"])
def test_every_container_gives_its_frames_and_sound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    write_video(path, moving(25, (48, 64), 3), 25, tone(1.0, 44_100, 440), 44_100)
    assert count_frames(path)[0] == 25
    pictures = read_frames(path, spread(3), (48, 64))
    assert pictures.shape == (3, 48, 64, 3)
    assert np.abs(pictures.astype(int) - moving(25, (48, 64), 3)[[4, 12, 20]]).mean() < 12
    sound = read_audio(path, 16_000)
    spectrum = np.abs(np.fft.rfft(sound[3000:11_000].astype(float)))
    assert abs(int(spectrum.argmax()) * 2 - 440) <= 4


def test_mp3_is_read(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp3"), "w") as container:
        stream = container.add_stream("mp3", rate=22_050, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(1.0, 22_050)[None], format="s16", layout="mono")
        frame.sample_rate = 22_050
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=22_050, frame_size=1152
        )
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(part):
                container.mux(packet)
    assert abs(len(read_audio(tmp_path / "a.mp3", 22_050)) - 22_050) < 3_000


def test_frames_are_chosen_by_the_rules() -> None:
    assert list(legacy_frames(1)(75, 29.97)) == [0, 29, 58]
    assert list(legacy_frames(2)(75, 29.97)) == [0, 14, 29, 43, 58, 72]
    assert [released_frames(1)(25 * n, 25.0) for n in range(1, 7)] == [
        [0],
        [25],
        [25],
        [50],
        [75],
        [50],
    ]
    assert released_frames(1)(250, 25.0) == [150]
    with pytest.raises(UnreadableError, match="too-few-frames"):
        released_frames(3, least=4)(75, 25.0)
    assert list(spread(3)(10, 25.0)) == [1, 5, 8]
    for rate in (0.0, 1000.0):
        with pytest.raises(UnreadableError):
            legacy_frames(1)(75, rate)
    with pytest.raises(UnreadableError):
        at_least(4, spread(3))(3, 10.0)


def test_reading_a_long_video_twice_gives_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.mp4", moving(12, (48, 64), 1), 12)
    cached = read_frames(tmp_path / "a.mp4", spread(4), (24, 32))
    monkeypatch.setattr(frames_of, "CACHED", 3 * 2 * 48 * 64)
    assert np.array_equal(read_frames(tmp_path / "a.mp4", spread(4), (24, 32)), cached)


def broken_text(path: Path) -> None:
    path.write_text("no media file, but long enough to be inspected")


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")


def cut(path: Path) -> None:
    whole = path.with_name("whole.mp4")
    write_video(whole, moving(20, (48, 64), 0), 10, tone(2.0, 16_000), 16_000)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "missing-file"),
        (lambda path: path.touch(), "zero-length"),
        (broken_text, "undecodable"),
        (pointer, "lfs-pointer"),
        (cut, "undecodable"),
    ],
)
def test_an_unreadable_file_gives_the_reason(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    for read in (
        lambda: read_audio(path, 8_000),
        lambda: read_frames(path, spread(1), (8, 8)),
        lambda: read_image(path, (8, 8)),
    ):
        with pytest.raises(UnreadableError) as caught:
            read()
        assert caught.value.reason == reason
        assert str(tmp_path) not in caught.value.detail


def test_a_missing_audio_and_a_missing_video_stream_have_different_reasons(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", moving(5, (48, 64), 0), 5)
    write_wav(tmp_path / "blind.wav", tone(0.2, 8_000), 8_000)
    with pytest.raises(UnreadableError) as mute:
        read_audio(tmp_path / "mute.mp4", 8_000)
    with pytest.raises(UnreadableError) as blind:
        read_frames(tmp_path / "blind.wav", spread(1), (8, 8))
    assert (mute.value.reason, blind.value.reason) == ("no-audio", "too-few-frames")


def test_a_truncated_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(moving(1, (64, 64), 0)[0]).save(path)
    assert read_image(path, (32, 16)).shape == (32, 16, 3)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnreadableError, match="undecodable"):
        read_image(path, (32, 16))


def test_lengths_are_fitted() -> None:
    samples = np.array([1, 2, 3], np.int16)
    assert fit_length(samples, 5).tolist() == [1, 2, 3, 0, 0]
    assert fit_length(samples, 2).tolist() == [1, 2]
    assert fit_length(samples, 7, repeat=True).tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert is_silent(np.full(9, 30, np.int16))
    assert not is_silent(np.array([-32768], np.int16))


@pytest.mark.parametrize("suffix", [".wav", ".flv", ".avi"])
def test_a_file_that_ends_too_early_gives_a_warning(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    if suffix == ".wav":
        write_wav(path, tone(3.0, 16_000), 16_000)
    else:
        write_video(path, np.random.default_rng(0).integers(0, 255, (75, 64, 96, 3), np.uint8), 25)

    def warnings() -> list[str]:
        sentences: list[str] = []
        if suffix == ".wav":
            read_audio(path, 16_000, sentences)
        else:
            read_frames(path, spread(3), (32, 48), warnings=sentences)
        return sentences

    assert warnings() == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    (sentence,) = warnings()
    assert "cut off: 1." in sentence
    assert "of 3.0" in sentence


@pytest.mark.parametrize("header", [{"tag": 0}, {"tag": 0x1234}, {"rate": 1}, {"rate": 2**31 - 1}])
def test_sound_with_a_damaged_header_is_refused_before_it_is_resampled(
    tmp_path: Path, header: dict[str, int]
) -> None:
    write_riff(tmp_path / "a.wav", tone(0.5, 8_000).tobytes(), **header)
    with pytest.raises(UnreadableError, match="undecodable"):
        read_audio(tmp_path / "a.wav", 22_050)


@pytest.mark.parametrize(
    ("type_", "bad"), [("<f4", np.nan), ("<f4", -np.inf), ("<f4", 3e38), ("<f8", 1e300)]
)
def test_sound_that_is_not_finite_is_refused_and_not_stored_as_silence(
    tmp_path: Path, type_: str, bad: float
) -> None:
    samples = (tone(0.5, 8_000) / 32768).astype(type_)
    write_riff(tmp_path / "whole.wav", samples.tobytes(), tag=3, bits=8 * samples.itemsize)
    assert np.array_equal(read_audio(tmp_path / "whole.wav", 8_000), tone(0.5, 8_000))
    samples[100] = bad
    write_riff(tmp_path / "a.wav", samples.tobytes(), tag=3, bits=8 * samples.itemsize)
    with pytest.raises(UnreadableError, match="non-finite"):
        read_audio(tmp_path / "a.wav", 16_000)


def test_an_impossible_name_is_a_missing_file() -> None:
    with pytest.raises(UnreadableError, match="missing-file"):
        read_audio(Path("a\0b.wav"), 8_000)


def test_a_name_that_looks_like_a_protocol_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "take:1.wav", tone(0.1, 8_000), 8_000)
    monkeypatch.chdir(tmp_path)
    assert len(read_audio(Path("take:1.wav"), 8_000)) == 800


@pytest.mark.parametrize("suffix", [".mp4", ".flv", ".avi"])
@pytest.mark.parametrize("frames", [1, 4])
def test_a_short_video_with_longer_sound_is_not_reported_as_cut_off(
    tmp_path: Path, suffix: str, frames: int
) -> None:
    write_video(tmp_path / f"a{suffix}", moving(frames, (48, 64), 1), 5, tone(2.0, 22_050), 22_050)
    warnings: list[str] = []
    assert len(read_frames(tmp_path / f"a{suffix}", spread(2), (8, 8), warnings=warnings)) == 2
    read_audio(tmp_path / f"a{suffix}", 22_050, warnings)
    assert warnings == []


def test_a_flash_video_that_ends_early_gives_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.flv"
    write_video(path, moving(60, (48, 64), 1), 20, tone(3.0, 22_050), 22_050)
    with path.open("rb") as file:
        start = file.read(path.stat().st_size // 2)
    path.write_bytes(start)
    warnings: list[str] = []
    read_frames(path, spread(2), (8, 8), warnings=warnings)
    assert len(warnings) == 1
    assert "its video is cut off" in warnings[0]


def gradient() -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    return np.tile(np.linspace(0, 65_535, 256).astype(np.uint16), (16, 1))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_sixteen_bits_of_gray_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(gradient()).save(tmp_path / f"a{suffix}")
    assert np.array_equal(
        read_image(tmp_path / f"a{suffix}", (16, 256))[:, :, 1], np.tile(np.arange(256), (16, 1))
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [(gradient() / np.float32(65_535), "floating point"), (gradient().astype(np.int32), "32-bit")],
)
def test_an_image_of_numbers_of_unknown_range_is_refused(
    tmp_path: Path, values: np.ndarray[tuple[int, int], np.dtype[np.float32]], message: str
) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableError, match=f"undecodable.*{message}"):
        read_image(tmp_path / "a.tif", (16, 256))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "white"), [(1, "left"), (2, "right"), (3, "right"), (6, "top"), (8, "bottom")]
)
def test_an_image_is_rotated_by_its_exif_orientation(
    tmp_path: Path, suffix: str, orientation: int, white: str
) -> None:
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, :32] = 255
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif)
    image = read_image(tmp_path / f"a{suffix}", (32, 32)).astype(float)
    sides = {
        "left": image[:, :10],
        "right": image[:, -10:],
        "top": image[:10],
        "bottom": image[-10:],
    }
    assert max(sides, key=lambda side: float(sides[side].mean())) == white


def test_an_image_with_damaged_metadata_is_read(tmp_path: Path) -> None:
    Image.fromarray(moving(1, (64, 64), 0)[0]).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x07\0\x12"
    )
    assert read_image(tmp_path / "a.jpg", (8, 8)).shape == (8, 8, 3)


def test_a_span_of_a_container_without_an_index_loses_no_frame(tmp_path: Path) -> None:
    frames = moving(75, (48, 64), 0)
    for name in ("clip.mpg", "clip.avi", "clip.mp4"):
        write_video(tmp_path / name, frames, 25)
        for begin, end in ((0.0, 9.0), (1.0, 2.0), (0.5, 0.9), (2.9, 3.5)):
            expected = sum(begin <= i / 25 < end for i in range(75))
            assert abs(count_frames(tmp_path / name, (begin, end))[0] - expected) <= 1, (
                name,
                begin,
                end,
            )


MATRICES = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


@pytest.mark.parametrize(("orientation", "axes"), MATRICES.items())
def test_a_video_is_turned_as_a_photo_with_the_same_orientation(
    tmp_path: Path, orientation: int, axes: tuple[int, int, int, int]
) -> None:
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32, 0] = stored[:24, 32:, 1] = stored[24:, :32, 2] = 255
    write_video(tmp_path / "a.mp4", np.stack([stored] * 5), 5)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    box = data.find(b"tkhd")
    start = box + 8 + (20 if data[box + 4] == 0 else 32) + 16
    a, b, c, d = (value << 16 for value in axes)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    frame = read_frames(tmp_path / "a.mp4", spread(1), (32, 32))[0].astype(int)
    photo = read_image(tmp_path / "a.png", (32, 32)).astype(int)
    assert np.abs(frame - photo).mean() < 12
    gray = next(iter(decode_span(tmp_path / "a.mp4", (0.0, 9.0))))
    assert gray.shape == ((64, 48) if a == 0 else (48, 64))


def test_frames_that_last_unequally_long_are_picked_by_time(tmp_path: Path) -> None:
    import av

    starts = [0, 90, 91, 92, 93, 94, 95, 96]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number, start in enumerate(starts):
            picture = np.full((32, 32, 3), 30 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = start, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = tmp_path / "a.mkv"
    assert read_frames(path, spread(4), (4, 4)).mean((1, 2, 3)).round(-1).tolist() == [0, 0, 0, 0]
    by_count = at_least(2, lambda frames, rate: [1, 3])
    assert read_frames(path, by_count, (4, 4)).mean((1, 2, 3)).round(-1).tolist() == [30, 90]


@pytest.mark.parametrize(
    ("weights", "loudest"), [((1, -1), 0), ((-0.5, 0.5), 0), ((1, -2, 1.001), 1)]
)
def test_channels_that_cancel_are_not_silent(
    tmp_path: Path, weights: tuple[float, ...], loudest: int
) -> None:
    sound = tone(0.5, 8_000).astype(float) / 4
    channels = np.stack([sound * weight for weight in weights], 1).astype("<i2")
    write_wav(tmp_path / "a.wav", channels, 8_000)
    sentences: list[str] = []
    assert np.array_equal(read_audio(tmp_path / "a.wav", 8_000, sentences), channels[:, loudest])
    assert "cancel" in sentences[0]


def test_one_loud_channel_among_silent_ones_is_mixed_down(tmp_path: Path) -> None:
    sound = tone(0.5, 8_000)
    write_wav(tmp_path / "a.wav", np.stack([sound, 0 * sound], 1), 8_000)
    sentences: list[str] = []
    heard = read_audio(tmp_path / "a.wav", 8_000, sentences).astype(int)
    assert np.abs(heard - sound / 2).max() <= 1
    assert sentences == []


def test_a_limit_stops_decoding_and_changes_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0).integers(-9_000, 9_000, 44_100 * 9).astype("<i2")
    write_wav(tmp_path / "a.wav", draw, 44_100)
    whole = read_audio(tmp_path / "a.wav", 16_000)
    samples: list[int] = []
    counted = sound_of._channels

    def count(frame: object) -> object:
        channels = counted(frame)
        samples.append(channels.shape[1])
        return channels

    monkeypatch.setattr(sound_of, "_channels", count)
    part = read_audio(tmp_path / "a.wav", 16_000, seconds=2.5)
    assert np.array_equal(part, whole[: 16_000 * 5 // 2])
    assert sum(samples) < 44_100 * 4


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.wav\n",
        "[playlist]\nFile1=a.wav\n",
    ],
)
@pytest.mark.parametrize("suffix", [".wav", ".m3u8", ".mp4"])
def test_a_file_that_names_other_files_reads_none_of_them(
    tmp_path: Path, text: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0, 8_000), 8_000)
    path = tmp_path / f"list{suffix}"
    path.write_text(text)
    with pytest.raises(UnreadableError, match="names other files"):
        read_audio(path, 8_000)
    monkeypatch.setattr(files_of, "SCRIPTS", (b"nothing",))
    with pytest.raises(UnreadableError, match="undecodable"):
        read_audio(path, 8_000)


def test_pipes_and_devices_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(UnreadableError, match="not a regular file"):
        read_audio(tmp_path / "pipe.wav", 8_000)
    with pytest.raises(UnreadableError, match="not a regular file"):
        read_image(tmp_path / "zero.png", (8, 8))


def test_pictures_and_frames_with_too_many_pixels_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(moving(1, (64, 64), 0)[0]).save(tmp_path / "a.png")
    write_video(tmp_path / "a.mp4", moving(3, (64, 64), 1), 5)
    monkeypatch.setattr(pictures_of, "MOST_PIXELS", 64 * 64 - 1)
    with pytest.raises(UnreadableError, match="64 x 64 pixels are too many"):
        read_image(tmp_path / "a.png", (8, 8))
    with pytest.raises(UnreadableError, match="64 x 64 pixels are too many"):
        read_frames(tmp_path / "a.mp4", spread(1), (8, 8))
