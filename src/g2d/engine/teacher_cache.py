"""Teachers are trained once: kept by the hash of everything that determines them, found again by it.

A teacher is a model of one modality, an encoder and one linear layer, trained by joint training like any other model. A folder
holds it with its best and its last checkpoint; a second student that needs the same one starts at once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from g2d.data import Loader, Source
from g2d.engine import checkpoint
from g2d.engine.callbacks import Callback
from g2d.engine.evaluate import evaluate
from g2d.engine.fit import as_record, fit
from g2d.engine.options import TrainOptions
from g2d.engine.processes import process, seed_everything, wait
from g2d.errors import RunError
from g2d.fusion import Late
from g2d.methods import Joint
from g2d.model import CachedTeachers, MultimodalModel, Teachers, feature_dims

SCHEMA = 1
KNOWN = "teacher.json"
"""What stands in the folder of a finished teacher."""
CHECKPOINTS = ("best", "last")
CACHED_ROWS = 256


@dataclass(frozen=True)
class Teacher:
    """One teacher in the cache.

    Args:
        modality: what it sees.
        folder: where it is kept.
        reused: it stood there before.
        facts: selected epoch, seconds of training, and per split metrics and mean confidence in the truth.
    """

    modality: str
    folder: Path
    reused: bool
    facts: Mapping[str, Any]


class TeacherCache:
    """Trains what is missing.

    Args:
        folder: of all teachers; one sub-folder each.
        source: the student's data; every teacher sees its own modality of it.
        encoders: per modality the encoder's name and options, as plain values.
        build: a fresh encoder of a modality.
        options: how teachers are trained; their seed is among them.
        say: takes sentences for the user.
        watch: callbacks for a teacher in training, by its name.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        encoders: Mapping[str, Mapping[str, Any]],
        build: Callable[[str], nn.Module],
        options: TrainOptions,
        *,
        say: Callable[[str], object] = lambda sentence: None,
        watch: Callable[[str], Sequence[Callback]] = lambda name: (),
    ) -> None:
        self.folder, self.source, self.encoders, self.build, self.options = (
            folder,
            source,
            dict(encoders),
            build,
            options,
        )
        self.say, self.watch = say, watch

    def obtain(self, modality: str) -> Teacher:
        """The teacher of a modality, from the cache or trained now; says which, and why."""
        facts = self.determinants(modality)
        folder = self.folder / f"{modality}-{_key(facts)}"
        known = _read(folder)
        reason = None if known is not None else self.reason(modality, facts)
        wait()  # so that every process looks before one of them writes
        if known is not None:
            self.say(f"teacher of {modality}: reused ({folder.name}).")
            return Teacher(modality, folder, True, known)
        self.say(f"teacher of {modality}: training, because {reason}.")
        return Teacher(modality, folder, False, self._train(modality, folder, facts))

    def find(self, modality: str) -> Teacher | None:
        """The teacher of a modality if it is there; nothing is trained."""
        folder = self.folder / f"{modality}-{_key(self.determinants(modality))}"
        known = _read(folder)
        return None if known is None else Teacher(modality, folder, True, known)

    def teachers(
        self, *, distil: str = "best", ranking: str = "best"
    ) -> tuple[Teachers, list[Teacher]]:
        """Frozen teachers of all modalities, and where they came from.

        Args:
            distil, ranking: the checkpoint whose features and logits are distilled, and the one whose confidence ranks
                (``"best"`` on validation, or ``"last"``).
        """
        found = [self.obtain(m) for m in self.source.modalities]
        distils = {teacher.modality: self.open(teacher, distil) for teacher in found}
        ranks = (
            None
            if ranking == distil
            else {teacher.modality: self.open(teacher, ranking) for teacher in found}
        )
        if not self.source.deterministic:
            return Teachers(distils, ranks), found
        cached = CachedTeachers(distils, ranks, rows=self.source.size)
        # Every row once, in one order: were rows looked up as batches come, the last bit would depend on where a run was resumed.
        for split in ("train", "valid"):
            for batch in Loader(
                self.source, split, CACHED_ROWS, device=self.options.resolved_device()
            ).epoch(0):
                cached(batch)
        return cached, found

    def open(self, teacher: Teacher, which: str) -> MultimodalModel:
        """A teacher's model at one of its two checkpoints."""
        model = self._model(teacher.modality)
        checkpoint.load_model(teacher.folder / "checkpoints" / which, model)
        return model.to(self.options.resolved_device())

    def determinants(self, modality: str) -> dict[str, Any]:
        """Everything that a teacher's weights depend on, as plain values."""
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

    def _options(self, modality: str) -> TrainOptions:
        """How this teacher is trained: the other encoders' learning rates do not concern it."""
        own = {
            name: lr for name, lr in self.options.group_lr.items() if name in (modality, "fusion")
        }
        return replace(self.options, group_lr=own)

    def reason(self, modality: str, facts: Mapping[str, Any]) -> str:
        """Why no teacher in the cache will do: how the nearest one differs."""
        if (self.folder / f"{modality}-{_key(facts)}" / KNOWN).is_file():
            return "the one there is damaged"
        differing = []
        for path in sorted(self.folder.glob(f"{modality}-*/determinants.json")):
            if _read(path.parent) is not None:
                other = json.loads(path.read_text(encoding="utf-8"))
                differing.append(
                    [
                        (name, value, other.get(name))
                        for name, value in facts.items()
                        if other.get(name) != value
                    ]
                )
        if not differing:
            return "there is none yet"
        nearest = min(differing, key=len)
        return f"none has {', '.join(f'{name} {_short(value)} (found {name} {_short(other)})' for name, value, other in nearest)}"

    def _train(self, modality: str, folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
        source, options = self.source.only((modality,)), self._options(modality)
        if process() == 0:
            _clear_damage(folder)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "determinants.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        wait()
        model = self._model(modality)
        method = Joint().build(model, source.task)
        fitted = fit(
            method,
            model,
            source,
            options,
            folder=folder,
            callbacks=self.watch(f"teacher of {modality}"),
        )
        known: dict[str, Any] = {
            "epoch": fitted.selected_epoch,
            "seconds": fitted.seconds,
            "splits": {},
            "last": {},
        }
        for split in ("train", "valid", "test"):
            record = as_record(
                evaluate(method, model, source, split, batch_size=options.eval_batch_size)
            )
            known["splits"][split] = record["fused"]
        last = self._model(modality)
        checkpoint.load_model(folder / "checkpoints" / "last", last)
        last.to(options.resolved_device())
        for split in ("train", "valid"):
            known["last"][split] = as_record(
                evaluate(method, last, source, split, batch_size=options.eval_batch_size)
            )["fused"]
        if process() == 0:
            aside = folder / ".teacher.json"
            aside.write_text(json.dumps(known, indent=1), encoding="utf-8")
            aside.replace(folder / KNOWN)  # what stands there makes it a finished teacher
        wait()
        return known

    def _model(self, modality: str) -> MultimodalModel:
        seed_everything(self.options.seed)
        example = next(Loader(self.source.only((modality,)), "valid", 2).epoch(0))
        encoder = {modality: self.build(modality)}
        return MultimodalModel(
            encoder, Late(feature_dims(encoder, example.inputs), self.source.task.outputs)
        )


def _key(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _read(folder: Path) -> dict[str, Any] | None:
    """The facts of a finished, undamaged teacher."""
    try:
        facts: dict[str, Any] = json.loads((folder / KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if all(_whole(folder / "checkpoints" / which) for which in CHECKPOINTS) else None


def _clear_damage(folder: Path) -> None:
    """Make room for a teacher where a damaged one stands; one that is only unfinished goes on where it was."""
    there = [
        path for which in CHECKPOINTS if checkpoint.recover(path := folder / "checkpoints" / which)
    ]
    if (folder / KNOWN).is_file() or not all(map(_whole, there)):
        shutil.rmtree(folder, ignore_errors=True)


def _whole(folder: Path) -> bool:
    try:
        checkpoint.verify(folder)
    except RunError:
        return False
    return True


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else text[:12] + "…"
