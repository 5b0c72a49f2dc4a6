"""IEMOCAP: emotions in acted dialogues, by sound, face and words.

Busso et al., IEMOCAP: interactive emotional dyadic motion capture database, Language Resources and
Evaluation 2008.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import SPLITS, TEST, TRAIN, UNUSED, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.datasets.decoding import read_audible, text_bytes
from g2d.datasets.folders import counted, read_csv
from g2d.datasets.iemocap.sides import Side, contradictions, find_sides, read_side_map
from g2d.datasets.iemocap.turns import Evaluations, Turn, read_turns, read_words
from g2d.errors import DataError
from g2d.prepare import UNLABELED, Decoded, Plan, Sample, Skip, five_folds, places
from g2d.prepare.media import RESAMPLER, fit_length, read_frames, spread

RATE, SAMPLES = 16_000, 160_000
"""Samples per second of the stored sound, and samples of ten seconds."""
CHARACTERS = 600
"""Bytes kept of the words of a turn."""
CODES: dict[int, dict[str, int]] = {
    4: {"neu": 0, "ang": 1, "sad": 2, "hap": 3, "exc": 3},
    5: {"ang": 0, "exc": 1, "fru": 2, "neu": 3, "sad": 4},
    6: {"ang": 0, "exc": 1, "fru": 2, "neu": 3, "sad": 4, "hap": 5},
}
"""Class of each emotion, by number of classes."""
CLASSES = {
    4: ("neutral", "angry", "sad", "happy"),
    5: ("angry", "excited", "frustrated", "neutral", "sad"),
    6: ("angry", "excited", "frustrated", "neutral", "sad", "happy"),
}
SIZES = {4: 5531, 5: 6785, 6: 7380}
"""Turns of the whole data set, by number of classes."""
IMPROVISED_SIZES = {4: 2943}
"""Turns of improvised dialogues, as far as they are known."""
NONE_AGREED = "xxx"
"""Code of a turn without a majority of the raters."""
LEGACY = "iemocap/legacy-random"
LISTS = tuple(f"{split}.csv" for split in SPLITS)
"""Files of a user's own split, in the order of the numbers of the splits."""


class IemocapOptions(ReaderOptions):
    """Options of ``g2d data prepare iemocap``."""

    classes: Literal[4, 5, 6] = Field(
        4,
        description="4: neutral, angry, sad, happy (with excited); 5: neutral, angry, sad, "
        "excited, frustrated; 6: those and happy",
    )
    improvised_only: bool = Field(False, description="leave out scripts, which recur in sessions")
    frames: int = Field(8, ge=1, description="frames stored of every turn")
    side: int = Field(112, ge=16, description="height and width of the stored frames")
    side_map: str | None = Field(
        None, description="CSV file dialog,left (F or M) for videos with unclear seats"
    )

    def take(self, turn: Turn) -> bool:
        """Return whether the dialogue of a turn belongs to the data set."""
        return turn.improvised or not self.improvised_only


def plan_iemocap(source: Path, options: IemocapOptions) -> Plan:
    """Plan a store from the turns of EmoEvaluation.

    Each turn has its sound, the speaker's half of the video, and its words.

    Raises:
        DataError: There are no turns, a list or map is damaged, or it is unclear who sits where.
    """
    evaluations, words = read_turns(source), read_words(source)
    codes = CODES[options.classes]
    if not evaluations.turns:
        raise DataError(
            f"{source} must hold Session1..5/dialog/EmoEvaluation/*.txt with turns, found none."
        )
    taken = [turn for turn in evaluations.turns if options.take(turn)]
    labeled = sorted(
        (turn for turn in taken if turn.code in codes), key=lambda turn: turn.id.encode()
    )
    sides = _sides(source, options, evaluations.turns, labeled)
    parsed = [_sample(source, turn, codes, words, sides) for turn in labeled]
    samples = [sample for sample in parsed if isinstance(sample, Sample)]
    repeated = [turn for turn in evaluations.repeated if options.take(turn)]
    skipped = [*_skipped(taken, repeated), *(skip for skip in parsed if isinstance(skip, Skip))]
    protocols, warnings = _protocols(source, samples, {skip.id for skip in skipped})
    absent = ["video"] if sides is None else []
    absent += [f"session {i}" for i in range(1, 6) if i not in {turn.session for turn in taken}]
    return Plan(
        name="iemocap",
        task={"kind": "classification", "classes": list(CLASSES[options.classes])},
        signals=_signals(options, has_video=sides is not None),
        samples=samples,
        decode=IemocapDecode(options.frames, options.side, has_video=sides is not None),
        protocols=protocols,
        skipped=sorted(skipped, key=lambda skip: skip.id.encode()),
        parameters=options.model_dump(exclude={"side_map"}) | {"resampler": RESAMPLER},
        report=_report(source, evaluations, labeled, words, sides or {}),
        warnings=(
            *_warnings(evaluations, samples, protocols, options),
            *warnings,
            *contradictions(sides or {}),
        ),
        missing=tuple(absent),
        official=(IMPROVISED_SIZES if options.improvised_only else SIZES).get(options.classes, 0),
    )


def _skipped(turns: Sequence[Turn], repeated: Sequence[Turn]) -> list[Skip]:
    """Return the turns without an agreed emotion, and those that are listed again."""
    unlabeled = [turn for turn in turns if turn.code == NONE_AGREED]
    return [
        *(Skip(turn.id, UNLABELED, "no majority of raters") for turn in unlabeled),
        *(Skip(t.id, "duplicate", f"again in {t.dialogue}.txt, as {t.code}") for t in repeated),
    ]


def _sides(
    source: Path, options: IemocapOptions, turns: Sequence[Turn], labeled: Sequence[Turn]
) -> dict[str, Side] | None:
    """Find who sits where in the dialogues of the labeled turns; None if there is no video."""
    spoken = defaultdict(list)
    for turn in turns:
        spoken[turn.dialogue].append((turn.speaker, turn.start, turn.end))
    known = read_side_map(Path(options.side_map), spoken) if options.side_map else {}
    videos = {turn.dialogue: path for turn in labeled if (path := _video(source, turn)).is_file()}
    return find_sides(videos, spoken, known) if videos else None


def _warnings(
    evaluations: Evaluations,
    samples: list[Sample],
    protocols: dict[str, NDArray[np.int8]],
    options: IemocapOptions,
) -> list[str]:
    """Return warnings about texts shared by training and test rows, and malformed lines."""
    default = next(iter(protocols))
    share = shared_words(samples, protocols[default])
    shared = f"{share:.1%} of the test texts of {default} occur word for word in training"
    cause = "" if options.improvised_only else ": scripts recur (improvised_only=true)"
    form = "lines of EmoEvaluation begin with '[' but are not written like turns and are left out"
    return [shared + cause, *counted(evaluations.malformed, form)]


def _report(
    source: Path,
    evaluations: Evaluations,
    labeled: Sequence[Turn],
    words: dict[str, str],
    sides: dict[str, Side],
) -> dict[str, Any]:
    """Return the counts that ``dataset.json`` records."""
    turns = evaluations.turns
    return {
        "turns_by_session": dict(sorted(Counter(turn.session for turn in turns).items())),
        "codes": dict(Counter(turn.code for turn in turns).most_common()),
        "wanted": len(labeled),
        "lacking": {
            "wav": sum(not (source / _sound(turn)).is_file() for turn in labeled),
            "avi": sum(not _video(source, turn).is_file() for turn in labeled),
            "text": sum(turn.id not in words for turn in labeled),
        },
        "zero_length": sum(turn.end == turn.start for turn in labeled),
        "end_before_start": sum(turn.end < turn.start for turn in labeled),
        "repeated": len(evaluations.repeated),
        "strange_lines": len(evaluations.malformed),
        "sides": {
            d: {"left": s.left, "margin": round(s.margin, 3)} for d, s in sorted(sides.items())
        },
    }


def _sound(turn: Turn) -> str:
    """Return the path of a turn's sound, relative to the source folder."""
    return f"Session{turn.session}/sentences/wav/{turn.dialogue}/{turn.id}.wav"


def _video(source: Path, turn: Turn) -> Path:
    """Return the path of the video of a turn's dialogue."""
    return source / f"Session{turn.session}/dialog/avi/DivX/{turn.dialogue}.avi"


def _sample(
    source: Path,
    turn: Turn,
    codes: dict[str, int],
    words: dict[str, str],
    sides: dict[str, Side] | None,
) -> Sample | Skip:
    """Return the sample of a turn, or why it is skipped."""
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
    notes = {"session": turn.session, "ratings": list(turn.ratings)}
    files = (sound,) if sides is None else (sound, video.relative_to(source).as_posix())
    return Sample(turn.id, codes[turn.code], f"{turn.session}{turn.speaker}", files, facts, notes)


def _signals(options: IemocapOptions, has_video: bool) -> dict[str, Signal]:
    """Return the stored signals: sound seen as log-mel bands, frames if any, and words."""
    mel = {"name": "log_mel", "rate": RATE, "n_fft": 400, "hop": 160, "bands": 80}
    overall = {"name": "standardize", "axes": "all"}
    shape = (options.frames, options.side, options.side, 3)
    signals = {"audio": Signal("audio", "int16", (SAMPLES,), (mel, overall), {"rate": RATE})}
    if has_video:
        signals["video"] = Signal("video", "uint8", shape, ({"name": "pixels"}, overall))
    return signals | {
        "text": Signal("text", "uint8", (CHARACTERS,), ({"name": "tokens", "length": 64},))
    }


@dataclass(frozen=True)
class IemocapDecode:
    """Decoder of a turn: the middle ten seconds of its sound, its frames and its words.

    Args:
        frames: Number of frames of the speaker's half.
        side: Height and width of the frames, in pixels.
        has_video: Whether there are videos.
    """

    frames: int
    side: int
    has_video: bool

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the sound ``(160000,)``, the frames and the bytes of the words of a turn."""
        warnings: list[str] = []
        samples = read_audible(source / sample.files[0], RATE, warnings)
        start = max(0, (len(samples) - SAMPLES) // 2)
        words = sample.facts["words"]
        values: dict[str, NDArray[np.int16] | NDArray[np.uint8] | None] = {
            "audio": fit_length(samples[start : start + SAMPLES], SAMPLES),
            "text": None if words is None else text_bytes(words, CHARACTERS),
        }
        if self.has_video:
            video, size = source / sample.files[1], (self.side, self.side)
            span, box = sample.facts["span"], sample.facts["box"]
            values["video"] = read_frames(video, spread(self.frames), size, span=span, box=box)
        return Decoded(values, warnings=tuple(warnings))


def _protocols(
    source: Path, samples: list[Sample], skipped: Collection[str]
) -> tuple[dict[str, NDArray[np.int8]], list[str]]:
    """Split by session, and by the user's lists of turns if present.

    Returns:
        The protocols, and warnings.
    """
    protocols = {
        "iemocap/session-disjoint-v1": places(
            samples, lambda s: {4: VALID, 5: TEST}.get(s.notes["session"], TRAIN)
        )
    }
    protocols |= five_folds(
        "iemocap/leave-session-v1", samples, lambda s: int(s.notes["session"]), first=1
    )
    if missing := [name for name in LISTS if not (source / name).is_file()]:
        return protocols, [f"{LEGACY} is left out: there is no list {' and no '.join(missing)}"]
    split_of = _read_lists(source)
    protocols[LEGACY] = places(samples, lambda s: split_of.get(s.id, UNUSED))
    unknown = sorted(split_of.keys() - {sample.id for sample in samples} - set(skipped))
    form = f"names in {', '.join(LISTS)} are no turns with these classes"
    return protocols, counted(unknown, form)


def _read_lists(source: Path) -> dict[str, int]:
    """Read the number of the split of every turn in the lists."""
    split_of: dict[str, int] = {}
    for split, name in enumerate(LISTS):
        for _, (turn, *_) in read_csv(source / name):
            if (other := split_of.setdefault(turn, split)) != split:
                raise DataError(
                    f"lists must not share turns, found {turn} in {LISTS[other]} and {name}."
                )
    return split_of


def shared_words(samples: list[Sample], split: NDArray[np.int8]) -> float:
    """Return the share of test texts that occur verbatim among the training texts.

    Args:
        samples: Samples with their words.
        split: Number of the split of each sample ``(N,)``.
    """
    texts: dict[int, list[str]] = {TRAIN: [], TEST: []}
    for sample, number in zip(samples, split.tolist(), strict=True):
        if number in texts and sample.facts["words"]:
            texts[number].append(sample.facts["words"])
    known = set(texts[TRAIN])
    return sum(text in known for text in texts[TEST]) / max(1, len(texts[TEST]))
