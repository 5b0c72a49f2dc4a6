"""A cache of trained teachers, found by the hash of everything that determines them.

A teacher is a model of one modality, an encoder and one linear layer, trained by joint training
like any other model. Its folder has its best and its last checkpoint; another student that needs
the same teacher uses it without training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from g2d.data import SPLITS, Loader, Source, Split
from g2d.engine import checkpoint
from g2d.engine.callbacks import Callback
from g2d.engine.checkpoint import BEST, LAST
from g2d.engine.checkpoint_files import newest_whole, read_notes
from g2d.engine.evaluate import evaluate
from g2d.engine.fit import fit
from g2d.engine.options import TrainOptions
from g2d.engine.processes import once, process, seed_everything, wait
from g2d.engine.setup import training_task
from g2d.errors import RunError
from g2d.files import read_json, remove, sweep, write_json
from g2d.locks import is_bookkeeping, owned, tidy
from g2d.manifest import read_signed, write_signed
from g2d.method import Method
from g2d.methods import Joint
from g2d.model import CachedTeachers, MultimodalModel, Teachers
from g2d.runs import CHECKPOINTS, METRICS, saved_lines

SCHEMA = 1
FACTS, DETERMINANTS = "teacher.json", "determinants.json"
"""Files of a teacher's folder; the first one exists once the teacher is finished."""
CACHED_ROWS = 256


class _Scores(BaseModel):
    """Metrics of a teacher on a split, with its mean confidence in the true target."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]
    confidence: float


class _Splits(BaseModel):
    """Scores of a teacher per split."""

    train: _Scores
    valid: _Scores
    test: _Scores | None = None  # closed for the members of a fit


class Facts(BaseModel):
    """Content of ``teacher.json``.

    Args:
        epoch: The selected epoch.
        seconds: Seconds of training.
        splits: Scores per split.
    """

    epoch: int
    seconds: float
    splits: _Splits


@dataclass(frozen=True)
class Teacher:
    """One teacher in the cache.

    Args:
        modality: The modality that it sees.
        folder: Its folder.
        reused: False if it was trained by this call.
        facts: Selected epoch, seconds of training, and per split the metrics and the mean
            confidence in the true target.
    """

    modality: str
    folder: Path
    reused: bool
    facts: Mapping[str, Any]


class TeacherCache:
    """Cache that trains missing teachers.

    Args:
        folder: Folder of all teachers, one sub-folder each.
        source: The student's data; every teacher sees its own modality.
        encoders: Name and options of every encoder, as plain values by modality.
        build: Returns an untrained teacher of a modality; its weights come from torch's generator.
        options: How teachers are trained, their seed included.
        splits: Splits on which teachers are measured.
        say: Receives messages for the user.
        watch: Returns the callbacks of a training by its name.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        encoders: Mapping[str, Mapping[str, Any]],
        build: Callable[[str], MultimodalModel],
        options: TrainOptions,
        *,
        splits: Sequence[Split] = SPLITS,
        say: Callable[[str], object] = lambda sentence: None,
        watch: Callable[[str], Sequence[Callback]] = lambda name: (),
    ) -> None:
        self.folder, self.source, self.encoders = folder, source, dict(encoders)
        self.build, self.options, self.splits = build, options, splits
        self.say, self.watch = say, watch

    def obtain(self, modality: str) -> Teacher:
        """Return the teacher of a modality, trained if it is missing, and report why.

        If another process trains it, wait for that process.
        """
        determinants = self.determinants(modality)
        folder = self._folder(modality, determinants)
        if (facts := once(lambda: _read(folder))) is None:
            with owned(folder, wait=True, say=self.say, once=once):
                # Another process may have trained it in the meantime.
                if (facts := once(lambda: _read(folder))) is None:
                    reason = once(lambda: self.reason(modality, determinants))
                    self.say(f"teacher of {modality}: training, because {reason}.")
                    facts = self._train(modality, folder, determinants)
                    return Teacher(modality, folder, False, facts)
        once(lambda: tidy(folder))
        self.say(f"teacher of {modality}: reused ({folder.name}).")
        return Teacher(modality, folder, True, self._measured(modality, folder, facts))

    def path(self, modality: str) -> Path:
        """Return the folder of the teacher of a modality, which need not exist."""
        return self._folder(modality, self.determinants(modality))

    def find(self, modality: str) -> Teacher | None:
        """Return the teacher of a modality, or None if it is missing; nothing is trained."""
        folder = self.path(modality)
        facts = _read(folder)
        return None if facts is None else Teacher(modality, folder, True, facts)

    def teachers(
        self, *, distil: str = BEST, ranking: str = BEST
    ) -> tuple[Teachers, list[Teacher]]:
        """Return frozen teachers of all modalities, and where they come from.

        Args:
            distil: Checkpoint whose features and logits are distilled, ``best`` or ``last``.
            ranking: Checkpoint whose confidence ranks the modalities.
        """
        members = [self.obtain(m) for m in self.source.modalities]
        models = {teacher.modality: self.open(teacher, distil) for teacher in members}
        ranks = None
        if ranking != distil:
            ranks = {teacher.modality: self.open(teacher, ranking) for teacher in members}
        if not self.source.deterministic:
            return Teachers(models, ranks), members
        cached = CachedTeachers(models, ranks, rows=self.source.size)
        # Fill the cache in one fixed order: filled batch by batch during training, the last bit of
        # an output would depend on where a run was resumed.
        device = self.options.resolved_device()
        for split in ("train", "valid"):
            for batch in Loader(self.source, split, CACHED_ROWS, device=device).epoch(0):
                cached(batch)
        return cached, members

    def open(self, teacher: Teacher, which: str) -> MultimodalModel:
        """Return a teacher's model at its ``best`` or ``last`` checkpoint."""
        return self._opened(teacher.folder, which, self._model(teacher.modality))

    def determinants(self, modality: str) -> dict[str, Any]:
        """Return everything that a teacher's weights depend on, as plain values."""
        source = self.source.only((modality,))
        return {
            "schema": SCHEMA,
            "modality": modality,
            "encoder": dict(self.encoders[modality]),
            "task": source.task.config(),
            "data": source.content_hash,
            "protocol": source.protocol_hash,
            **self._options(modality).training(),
        }

    def reason(self, modality: str, determinants: Mapping[str, Any]) -> str:
        """Return why no teacher in the cache fits: how the most similar one differs."""
        if (self._folder(modality, determinants) / FACTS).is_file():
            return "its files are damaged"
        differences = list(self._differences(modality, determinants))
        if not differences:
            return "there is none yet"
        nearest = min(differences, key=len)
        return "the most similar one has " + ", ".join(
            f"{name} {_short(other)} instead of {_short(value)}" for name, value, other in nearest
        )

    def _differences(
        self, modality: str, determinants: Mapping[str, Any]
    ) -> Iterator[list[tuple[str, Any, Any]]]:
        for path in sorted(self.folder.glob(f"{modality}-*/{DETERMINANTS}")):
            if _read(path.parent) is not None:
                other = self._recorded(modality, path)
                if other is not None:
                    yield [
                        (name, value, other.get(name))
                        for name, value in determinants.items()
                        if other.get(name) != value
                    ]

    def _recorded(self, modality: str, path: Path) -> dict[str, Any] | None:
        """Return the determinants of another teacher, None if their file is damaged."""
        with suppress(OSError, ValueError):
            other = read_json(path)
            if isinstance(other, dict) and self._folder(modality, other) == path.parent:
                return other
        return None

    def _folder(self, modality: str, determinants: Mapping[str, Any]) -> Path:
        text = json.dumps(determinants, sort_keys=True)
        return self.folder / f"{modality}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _options(self, modality: str) -> TrainOptions:
        """Return a teacher's options, without the learning rates of other encoders."""
        rates = self.options.group_lr
        own = {name: rates[name] for name in rates if name in (modality, "fusion")}
        return replace(self.options, group_lr=own)

    def _train(
        self, modality: str, folder: Path, determinants: Mapping[str, Any]
    ) -> dict[str, Any]:
        source, options = self.source.only((modality,)), self._options(modality)
        if process() == 0:
            sweep(folder)
            _clear_damage(folder)
            write_json(folder / DETERMINANTS, determinants)
        wait()
        model = self._model(modality)
        method: Method = Joint().build(model, training_task(source, options))
        callbacks = self.watch(f"teacher of {modality}")
        fitted = fit(method, model, source, options, folder=folder, callbacks=callbacks)

        def measured(split: Split) -> dict[str, float]:
            return _scores(method, model, source, split, options.eval_batch_size)

        facts: dict[str, Any] = {
            "epoch": fitted.selected_epoch,
            "seconds": fitted.seconds,
            "splits": {split: measured(split) for split in self.splits},
        }
        self._opened(folder, LAST, model)
        facts["last"] = {split: measured(split) for split in ("train", "valid")}
        if process() == 0:
            write_signed(folder / FACTS, facts)
        wait()
        return facts

    def _measured(self, modality: str, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the facts of a teacher, measured on every split that is wanted."""
        missing = [split for split in self.splits if split not in facts["splits"]]
        if not missing:
            return facts
        source, options = self.source.only((modality,)), self._options(modality)
        model = self._opened(folder, BEST, self._model(modality))
        method: Method = Joint().build(model, training_task(source, options))
        for split in missing:
            size = options.eval_batch_size
            facts["splits"][split] = _scores(method, model, source, split, size)
        if process() == 0:
            write_signed(folder / FACTS, facts)
        wait()
        return facts

    def _model(self, modality: str) -> MultimodalModel:
        seed_everything(self.options.seed)
        return self.build(modality)

    def _opened(self, folder: Path, which: str, model: MultimodalModel) -> MultimodalModel:
        checkpoint.load_model(folder / CHECKPOINTS / which, model)
        return model.to(self.options.resolved_device())


def _scores(
    method: Method, model: MultimodalModel, source: Source, split: Split, size: int
) -> dict[str, float]:
    """Return the scores of a teacher on the rows of a split that have its modality, or on all."""
    record = evaluate(method, model, source, split, batch_size=size).record()
    (modality,) = source.modalities
    own: dict[str, float] = record["unimodal"].get(modality, {})
    everywhere: dict[str, float] = record["fused"]
    return own if source.task.headline in own else everywhere


def _read(folder: Path) -> dict[str, Any] | None:
    """Return the facts of a finished, undamaged teacher."""
    try:
        facts = read_signed(folder / FACTS)
        Facts.model_validate(facts)
    except (OSError, ValueError):
        return None
    whole = all(_undamaged(folder / CHECKPOINTS / which) for which in (BEST, LAST))
    return facts if whole else None


def _clear_damage(folder: Path) -> None:
    """Delete a damaged teacher; keep an unfinished one so that it resumes."""
    if (folder / FACTS).is_file() or not _resumable(folder):
        for path in folder.iterdir():
            if not is_bookkeeping(path):  # the lock of this process
                remove(path)


def _resumable(folder: Path) -> bool:
    """Return whether an unfinished teacher has nothing damaged that it needs to continue."""
    try:
        last, _ = newest_whole(folder / CHECKPOINTS / LAST)
        if last is not None:
            notes = read_notes(last)
            if notes.get("selected"):
                checkpoint.verify(folder / CHECKPOINTS / BEST)
            if metrics := notes.get("metrics"):
                saved_lines(folder / METRICS, metrics["lines"], metrics)
    except RunError:
        return False
    return True


def _undamaged(folder: Path) -> bool:
    try:
        checkpoint.verify(folder)
    except RunError:
        return False
    return True


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else text[:12] + "…"
