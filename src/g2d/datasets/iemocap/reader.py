"""IEMOCAP: emotions in acted dialogues, by sound, face and words (Busso et al., Language Resources and Evaluation 2008)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.folders import read_csv
from g2d.datasets.iemocap.sides import Side, contradictions, find_sides, read_side_map
from g2d.datasets.iemocap.turns import TURN, Evaluations, Turn, read_turns, read_words
from g2d.datasets.table.values import text_bytes
from g2d.errors import DataError, UnreadableError
from g2d.prepare import UNLABELED, Decoded, Plan, Sample, Skip, places
from g2d.prepare.media import RESAMPLER, fit_length, is_silent, read_audio, read_frames, spread

RATE, SAMPLES, CHARACTERS = 16_000, 160_000, 600
CODES: dict[int, dict[str, int]] = {
    4: {"neu": 0, "ang": 1, "sad": 2, "hap": 3, "exc": 3},
    5: {"ang": 0, "exc": 1, "fru": 2, "neu": 3, "sad": 4},
    6: {"ang": 0, "exc": 1, "fru": 2, "neu": 3, "sad": 4, "hap": 5},
}
CLASSES = {
    4: ("neutral", "angry", "sad", "happy"),
    5: ("angry", "excited", "frustrated", "neutral", "sad"),
    6: ("angry", "excited", "frustrated", "neutral", "sad", "happy"),
}
SIZES = {4: 5531, 5: 6785, 6: 7380}
IMPROVISED_SIZES = {4: 2943}
"""Turns of improvised dialogues, where they were counted."""
NONE_AGREED = "xxx"
SESSIONS = range(1, 6)
LISTS = ("train.csv", "valid.csv", "test.csv")
"""A user's own split, in the order of the places."""


class IemocapOptions(ReaderOptions):
    """What ``g2d data prepare iemocap`` can be told."""

    classes: Literal[4, 5, 6] = Field(
        4,
        description="4: neutral, angry, sad, happy (with excited); 5: without happy, with frustrated and excited; 6: both",
    )
    improvised_only: bool = Field(
        False, description="leave scripted dialogues out: their lines recur in all sessions"
    )
    frames: int = Field(8, ge=1, description="of every turn")
    side: int = Field(112, ge=16, description="of the stored pictures")
    side_map: str | None = Field(
        None,
        description="CSV file dialog,left (F or M), where the sides of the actors are not clear",
    )

    def take(self, turn: Turn) -> bool:
        """Whether a turn's dialogue belongs to the data set."""
        return turn.improvised or not self.improvised_only


def plan_iemocap(source: Path, options: IemocapOptions, pattern: str = TURN) -> Plan:
    """Turns of EmoEvaluation with their sound, the speaker's half of the video, and their words."""
    read, words, codes = (
        read_turns(source, pattern),
        read_words(source, pattern),
        CODES[options.classes],
    )
    if not read.turns:
        raise DataError(
            f"{source} must hold Session1..5/dialog/EmoEvaluation/*.txt with turns, found none."
        )
    taken = [turn for turn in read.turns if options.take(turn)]
    wanted = sorted(
        (turn for turn in taken if turn.code in codes), key=lambda turn: turn.id.encode()
    )
    sides = _sides(source, options, read.turns, wanted)
    samples: list[Sample] = []
    skipped = [
        Skip(turn.id, UNLABELED, "no majority of raters")
        for turn in taken
        if turn.code == NONE_AGREED
    ]
    skipped += [
        Skip(t.id, "duplicate", f"again in {t.dialogue}.txt, as {t.code}")
        for t in read.repeated
        if options.take(t)
    ]
    for turn in wanted:
        found = _sample(source, turn, codes, words, sides)
        if isinstance(found, Skip):
            skipped.append(found)
        else:
            samples.append(found)
    protocols, warnings = _protocols(source, samples, {skip.id for skip in skipped})
    absent = sorted(set(SESSIONS) - {turn.session for turn in taken})
    return Plan(
        name="iemocap",
        task={"kind": "classification", "classes": list(CLASSES[options.classes])},
        signals=_signals(options, sides is not None),
        samples=samples,
        decode=IemocapDecode(options.frames, options.side, sides is not None),
        protocols=protocols,
        skipped=sorted(skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump(exclude={"side_map"}) | {"resampler": RESAMPLER},
        report=_report(source, read, wanted, words, sides or {}),
        warnings=(
            *_warnings(read, samples, protocols, options),
            *warnings,
            *contradictions(sides or {}),
        ),
        missing=(
            *(("video",) if sides is None else ()),
            *(f"session {session}" for session in absent),
        ),
        official=(IMPROVISED_SIZES if options.improvised_only else SIZES).get(options.classes, 0),
    )


def _sides(
    source: Path, options: IemocapOptions, turns: Sequence[Turn], wanted: Sequence[Turn]
) -> dict[str, Side] | None:
    """Who sits where in every dialogue that is needed; None where there is no video at all."""
    spoken = defaultdict(list)
    for turn in turns:
        spoken[turn.dialogue].append((turn.speaker, turn.start, turn.end))
    said = read_side_map(Path(options.side_map), spoken) if options.side_map else {}
    videos = {turn.dialogue: path for turn in wanted if (path := _video(source, turn)).is_file()}
    return find_sides(videos, spoken, said) if videos else None


def _warnings(
    read: Evaluations,
    samples: list[Sample],
    protocols: dict[str, NDArray[np.int8]],
    options: IemocapOptions,
) -> list[str]:
    default = next(iter(protocols))
    shared = f"{shared_words(samples, protocols[default]):.1%} of the test texts of {default} occur word for word in training"
    warnings = [
        shared if options.improvised_only else f"{shared}: scripts recur (improvised_only=true)"
    ]
    if read.strange:
        warnings.append(
            f"{len(read.strange)} lines of EmoEvaluation begin with '[' but are not written as turns are, and left out, such as {read.strange[0]!r}"
        )
    return warnings


def _report(
    source: Path,
    read: Evaluations,
    wanted: Sequence[Turn],
    words: dict[str, str],
    sides: dict[str, Side],
) -> dict[str, Any]:
    return {
        "turns_by_session": dict(sorted(Counter(turn.session for turn in read.turns).items())),
        "codes": dict(Counter(turn.code for turn in read.turns).most_common()),
        "wanted": len(wanted),
        "lacking": {
            "wav": sum(not (source / _sound(turn)).is_file() for turn in wanted),
            "avi": sum(not _video(source, turn).is_file() for turn in wanted),
            "text": sum(turn.id not in words for turn in wanted),
        },
        "zero_length": sum(turn.end == turn.start for turn in wanted),
        "end_before_start": sum(turn.end < turn.start for turn in wanted),
        "repeated": len(read.repeated),
        "strange_lines": len(read.strange),
        "sides": {
            d: {"left": side.left, "margin": round(side.margin, 3)}
            for d, side in sorted(sides.items())
        },
    }


def _sound(turn: Turn) -> str:
    return f"Session{turn.session}/sentences/wav/{turn.dialogue}/{turn.id}.wav"


def _video(source: Path, turn: Turn) -> Path:
    return source / f"Session{turn.session}/dialog/avi/DivX/{turn.dialogue}.avi"


def _sample(
    source: Path,
    turn: Turn,
    codes: dict[str, int],
    words: dict[str, str],
    sides: dict[str, Side] | None,
) -> Sample | Skip:
    if turn.end <= turn.start:
        return Skip(turn.id, "zero-length", f"it ends at {turn.end} s and begins at {turn.start} s")
    sound, video = _sound(turn), _video(source, turn)
    if not (source / sound).is_file():
        return Skip(turn.id, "missing-file", "no sound")
    if sides is not None and not video.is_file():
        return Skip(turn.id, "missing-file", "no video of its dialogue")
    if sides is not None and turn.dialogue not in sides:
        return Skip(turn.id, "undecodable", "the video of its dialogue")
    facts = {
        "words": words.get(turn.id),
        "span": [turn.start, turn.end],
        "box": None if sides is None else list(sides[turn.dialogue].box(turn.speaker)),
    }
    notes = {"session": turn.session, "ratings": [turn.valence, turn.activation, turn.dominance]}
    files = (sound,) if sides is None else (sound, video.relative_to(source).as_posix())
    return Sample(turn.id, codes[turn.code], f"{turn.session}{turn.speaker}", files, facts, notes)


def _signals(options: IemocapOptions, seen: bool) -> dict[str, Signal]:
    mel = {"name": "log_mel", "rate": RATE, "n_fft": 400, "hop": 160, "bands": 80}
    overall = {"name": "standardize", "axes": "all"}
    shape = (options.frames, options.side, options.side, 3)
    signals = {"audio": Signal("audio", "int16", (SAMPLES,), (mel, overall), {"rate": RATE})}
    if seen:
        signals["video"] = Signal("video", "uint8", shape, ({"name": "pixels"}, overall))
    return signals | {
        "text": Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens", "length": 64},))
    }


@dataclass(frozen=True)
class IemocapDecode:
    """Ten seconds of sound around the middle of a turn, frames of the speaker's half, and the words."""

    frames: int
    side: int
    seen: bool

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        told: list[str] = []
        samples = read_audio(source / sample.files[0], RATE, told)
        if is_silent(samples):
            raise UnreadableError("no-audio", "its peak is under a thousandth of full scale")
        start = max(0, (len(samples) - SAMPLES) // 2)
        said = sample.facts["words"]
        values: dict[str, NDArray[np.int16] | NDArray[np.uint8] | None] = {
            "audio": fit_length(samples[start : start + SAMPLES], SAMPLES),
            "text": None if said is None else text_bytes(said, CHARACTERS),
        }
        if self.seen:
            begin, end = sample.facts["span"]
            left, top, right, bottom = sample.facts["box"]
            size = (self.side, self.side)
            values["video"] = read_frames(
                source / sample.files[1],
                spread(self.frames),
                size,
                span=(begin, end),
                box=(left, top, right, bottom),
            )
        return Decoded(values, warnings=tuple(told))


def _protocols(
    source: Path, samples: list[Sample], left_out: Collection[str]
) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """By sessions; and the field's random one where a user holds its lists."""
    protocols = {
        "iemocap/session-disjoint-v1": places(
            samples, lambda s: {4: VALID, 5: TEST}.get(s.notes["session"], TRAIN)
        )
    }
    for fold in SESSIONS:
        protocols[f"iemocap/leave-session-v1?fold={fold}"] = places(
            samples, partial(_left_out, fold)
        )
    if lacking := [name for name in LISTS if not (source / name).is_file()]:
        return protocols, [
            f"iemocap/legacy-random needs lists of turns in the source folder, found no {' and no '.join(lacking)}: that protocol is left out"
        ]
    place_of = _listed(source)
    protocols["iemocap/legacy-random"] = places(samples, lambda s: place_of.get(s.id, UNUSED))
    unknown = sorted(place_of.keys() - {sample.id for sample in samples} - set(left_out))
    return protocols, [
        f"{len(unknown)} names in {', '.join(LISTS)} are no turns with these classes, such as {unknown[0]!r}"
    ] if unknown else []


def _left_out(fold: int, sample: Sample) -> int:
    """The session tests, the next one validates."""
    return {fold: TEST, fold % 5 + 1: VALID}.get(sample.notes["session"], TRAIN)


def _listed(source: Path) -> dict[str, int]:
    """The place of every name in the lists."""
    place_of: dict[str, int] = {}
    for place, name in enumerate(LISTS):
        for _, (turn, *_) in read_csv(source / name):
            if (other := place_of.setdefault(turn, place)) != place:
                raise DataError(
                    f"the lists of iemocap/legacy-random must not share turns, found {turn} in {LISTS[other]} and {name}."
                )
    return place_of


def shared_words(samples: list[Sample], place: NDArray[np.int8]) -> float:
    """Share of the test texts that occur verbatim in training."""
    said = {
        split: [
            s.facts["words"]
            for s, p in zip(samples, place.tolist(), strict=True)
            if p == split and s.facts["words"]
        ]
        for split in (TRAIN, TEST)
    }
    known = set(said[TRAIN])
    return sum(text in known for text in said[TEST]) / max(1, len(said[TEST]))
