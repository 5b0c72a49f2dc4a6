"""IEMOCAP: emotions in acted dialogues, by sound, face and words (Busso et al., Language Resources and Evaluation 2008)."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.media import RESAMPLER, fit_length, is_silent, read_audio, read_frames, spread
from g2d.data.readers.base import Reader, ReaderOptions
from g2d.data.readers.iemocap_sides import Side, contradictions, find_sides, read_side_map
from g2d.data.readers.iemocap_turns import TURN, Turn, read_turns, read_words
from g2d.data.readers.manifest_values import text_bytes
from g2d.data.store.plan import TEST, TRAIN, UNLABELED, UNUSED, VALID, Decoded, Plan, Sample, Signal, Skip, UnreadableError, places
from g2d.errors import DataError

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
NONE_AGREED = "xxx"
SESSIONS = range(1, 6)


class IemocapOptions(ReaderOptions):
    """What ``g2d data prepare iemocap`` can be told."""

    classes: Literal[4, 5, 6] = Field(4, description="4: neutral, angry, sad, happy (with excited); 5: without happy, with frustrated and excited; 6: both")
    improvised_only: bool = Field(False, description="leave scripted dialogues out: their lines recur in all sessions")
    frames: int = Field(8, ge=1, description="of every turn")
    side: int = Field(112, ge=16, description="of the stored pictures")
    side_map: str | None = Field(None, description="CSV file dialog,left (F or M), where the sides of the actors are not clear")


def plan_iemocap(source: Path, options: IemocapOptions, pattern: str = TURN) -> Plan:
    """Turns of EmoEvaluation with their sound, the speaker's half of the video, and their words."""
    turns = list(read_turns(source, pattern))
    if not turns:
        raise DataError(f"{source} must hold Session1..5/dialog/EmoEvaluation/*.txt with turns, found none.")
    words, codes = read_words(source, pattern), CODES[options.classes]
    wanted = [turn for turn in turns if turn.code in codes and (turn.improvised or not options.improvised_only)]
    videos = {turn.dialogue: path for turn in wanted if (path := _video(source, turn)).is_file()}
    said = read_side_map(Path(options.side_map)) if options.side_map else {}
    sides = find_sides(videos, {d: [(t.speaker, t.start, t.end) for t in turns if t.dialogue == d] for d in videos}, said)
    samples: list[Sample] = []
    skipped = [Skip(turn.id, UNLABELED, "no majority of raters") for turn in turns if turn.code == NONE_AGREED]
    for turn in sorted(wanted, key=lambda turn: turn.id.encode()):
        found = _sample(source, turn, codes, words, sides, bool(videos))
        if isinstance(found, Skip):
            skipped.append(found)
        else:
            samples.append(found)
    protocols = _protocols(source, samples)
    shared = shared_words(samples, protocols["iemocap/session-disjoint-v1"])
    warnings = [f"{shared:.1%} of the test texts of iemocap/session-disjoint-v1 occur word for word in training: scripts recur (improvised_only=true)"]
    return Plan(
        name="iemocap",
        task={"kind": "classification", "classes": list(CLASSES[options.classes])},
        signals=_signals(options, bool(videos)),
        samples=samples,
        decode=IemocapDecode(options.frames, options.side, bool(videos)),
        protocols=protocols,
        skipped=sorted(skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump(exclude={"side_map"}) | {"resampler": RESAMPLER},
        report={
            "turns_by_session": dict(sorted(Counter(turn.session for turn in turns).items())),
            "codes": dict(Counter(turn.code for turn in turns).most_common()),
            "without_text": sum(sample.facts["words"] is None for sample in samples),
            "sides": {d: {"left": side.left, "margin": round(side.margin, 3)} for d, side in sorted(sides.items())},
        },
        warnings=tuple(warnings + contradictions(sides)),
        missing=() if videos else ("video",),
        official=0 if options.improvised_only else SIZES[options.classes],
    )


def _video(source: Path, turn: Turn) -> Path:
    return source / f"Session{turn.session}/dialog/avi/DivX/{turn.dialogue}.avi"


def _sample(source: Path, turn: Turn, codes: dict[str, int], words: dict[str, str], sides: dict[str, Side], seen: bool) -> Sample | Skip:
    sound = f"Session{turn.session}/sentences/wav/{turn.dialogue}/{turn.id}.wav"
    if turn.end <= turn.start:
        return Skip(turn.id, "zero-length", f"it ends at {turn.end} s and begins at {turn.start} s")
    if not (source / sound).is_file():
        return Skip(turn.id, "missing-file", "no sound")
    video = _video(source, turn)
    if seen and not video.is_file():
        return Skip(turn.id, "missing-file", "no video of its dialogue")
    if seen and turn.dialogue not in sides:
        return Skip(turn.id, "undecodable", "the video of its dialogue")
    facts = {
        "words": words.get(turn.id),
        "span": [turn.start, turn.end],
        "box": list(sides[turn.dialogue].box(turn.speaker)) if seen else None,
    }
    notes = {"session": turn.session, "ratings": [turn.valence, turn.activation, turn.dominance]}
    files = (sound, *([video.relative_to(source).as_posix()] if seen else []))
    return Sample(turn.id, codes[turn.code], f"{turn.session}{turn.speaker}", files, facts, notes)


def _signals(options: IemocapOptions, seen: bool) -> dict[str, Signal]:
    mel = {"name": "log_mel", "rate": RATE, "n_fft": 400, "hop": 160, "bands": 80}
    overall = {"name": "standardize", "axes": "all"}
    shape = (options.frames, options.side, options.side, 3)
    signals = {"audio": Signal("audio", "int16", (SAMPLES,), (mel, overall), {"rate": RATE})}
    if seen:
        signals["video"] = Signal("video", "uint8", shape, ({"name": "pixels"}, overall))
    return signals | {"text": Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens", "length": 64},))}


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
            values["video"] = read_frames(source / sample.files[1], spread(self.frames), size, span=(begin, end), box=(left, top, right, bottom))
        return Decoded(values, warnings=tuple(told))


def _protocols(source: Path, samples: list[Sample]) -> dict[str, NDArray[np.int8]]:
    protocols = {"iemocap/session-disjoint-v1": places(samples, lambda s: {4: VALID, 5: TEST}.get(s.notes["session"], TRAIN))}
    for fold in SESSIONS:
        protocols[f"iemocap/leave-session-v1?fold={fold}"] = places(samples, partial(_left_out, fold))
    lists = {split: source / f"{split}.csv" for split in ("train", "valid", "test")}
    if all(path.is_file() for path in lists.values()):
        place_of = {name: place for place, path in enumerate(lists.values()) for name in _names(path)}
        protocols["iemocap/legacy-random"] = places(samples, lambda s: place_of.get(s.id, UNUSED))
    return protocols


def _left_out(fold: int, sample: Sample) -> int:
    """The session tests, the next one validates."""
    return {fold: TEST, fold % 5 + 1: VALID}.get(sample.notes["session"], TRAIN)


def _names(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row[0].strip() for row in csv.reader(file) if row]


def shared_words(samples: list[Sample], place: NDArray[np.int8]) -> float:
    """Share of the test texts that occur verbatim in training."""
    said = {split: [s.facts["words"] for s, p in zip(samples, place.tolist(), strict=True) if p == split and s.facts["words"]] for split in (TRAIN, TEST)}
    known = set(said[TRAIN])
    return sum(text in known for text in said[TEST]) / max(1, len(said[TEST]))


READER = Reader(
    plan=plan_iemocap,
    options=IemocapOptions,
    about="IEMOCAP: ten actors in dialogues, 4 emotions (or 5, 6); sound, video of the speaker, words",
    layout="Session1..5 as released: dialog/{EmoEvaluation,transcriptions,avi/DivX}, sentences/wav; for legacy-random train.csv, valid.csv, test.csv of turns",
    needs="a signed release form: sail.usc.edu/iemocap",
    licence="research use, no redistribution",
)
