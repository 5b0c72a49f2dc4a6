"""A problem that trains in milliseconds: two tables with new noise every epoch, and models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from g2d.data import Source
from g2d.data.counter import normal
from g2d.data.views import Chain
from g2d.engine.fit import Fit, fit
from g2d.engine.options import TrainOptions
from g2d.fusion import Late
from g2d.method import Method
from g2d.methods import METHODS, Joint
from g2d.model import MultimodalModel, Teachers
from g2d.task import Classification
from support.outcomes import timeless

WIDTHS = {"a": 6, "b": 4}


@dataclass(frozen=True)
class Jitter:
    """View that adds new noise to training rows in every epoch."""

    deterministic: bool = False

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
        return (
            values + 0.1 * normal(seed, epoch, index, 0, tuple(values.shape[1:]))
            if train
            else values
        )

    def config(self) -> dict[str, Any]:
        return {"view": "jitter"}


@dataclass
class Toy:
    """Factory of a small problem; every call builds the same objects.

    Args:
        batchnorm: Put BatchNorm in the encoders.
        dropout: Dropout probability in the encoders.
        changed: Arguments of the source that replace the default ones.
    """

    batchnorm: bool = True
    dropout: float = 0.0
    changed: dict[str, Any] = field(default_factory=dict)

    def source(self) -> Source:
        """Return a source of 48 training, 20 validation and 21 test rows of three classes."""
        rng = np.random.default_rng(0)
        target = rng.integers(0, 3, 89)
        arrays = {
            m: (rng.standard_normal((3, width))[target] + rng.standard_normal((89, width))).astype(
                np.float32
            )
            for m, width in WIDTHS.items()
        }
        parts: dict[str, Any] = {
            "name": "toy",
            "task": Classification(3),
            "arrays": arrays,
            "target": target,
            "group": np.arange(89),
            "split": np.repeat(np.arange(3, dtype=np.int8), (48, 20, 21)),
            "protocol": "toy/v1",
            "views": {"a": Jitter(), "b": Chain("b", ())},
            "facts": {},
        }
        return Source(**(parts | self.changed))

    def encoder(self, m: str) -> nn.Module:
        layers = [
            nn.Linear(WIDTHS[m], 5),
            *([nn.BatchNorm1d(5)] if self.batchnorm else []),
            nn.ReLU(),
            nn.Dropout(self.dropout),
        ]
        return nn.Sequential(*layers)

    def model(self, modalities: tuple[str, ...] = ("a", "b"), seed: int = 0) -> MultimodalModel:
        torch.manual_seed(seed)
        return MultimodalModel(
            {m: self.encoder(m) for m in modalities}, Late(dict.fromkeys(modalities, 5), 3)
        )

    def teacher(self, m: str) -> MultimodalModel:
        """Return a model of one modality whose weights come from torch's generator."""
        return MultimodalModel({m: self.encoder(m)}, Late({m: 5}, 3))

    def teachers(self) -> Teachers:
        """Return untrained teachers that differ in their confidence."""
        return Teachers({m: self.model((m,), seed) for seed, m in enumerate(WIDTHS)})

    def method(self, model: MultimodalModel, name: str = "joint", **hyperparameters: Any) -> Method:
        cls = METHODS[name]
        extra = {"teachers": self.teachers()} if cls.needs_teachers else {}
        built: Method = cls(**hyperparameters, **extra).build(model, self.source().task)
        return built

    def fit(
        self,
        folder: Path | None = None,
        callbacks: Any = (),
        method: dict[str, Any] | None = None,
        **options: Any,
    ) -> tuple[Fit, MultimodalModel, Method]:
        model = self.model()
        built = self.method(model, **(method or {}))
        plan = TrainOptions(**({"epochs": 4, "batch_size": 10, "lr": 0.05} | options))
        return (
            fit(built, model, self.source(), plan, folder=folder, callbacks=callbacks),
            model,
            built,
        )


@pytest.fixture
def toy() -> Callable[..., Toy]:
    return Toy


@pytest.fixture
def joint() -> type[Joint]:
    return Joint


@pytest.fixture
def content() -> Callable[[Path], dict[str, Any]]:
    """Return a function that reads every file of a run folder, without measured times."""

    def read(folder: Path) -> dict[str, Any]:
        files: dict[str, Any] = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.suffix == ".json":
                files[name] = timeless(json.loads(path.read_text()))
            elif path.suffix == ".jsonl":
                files[name] = [timeless(json.loads(line)) for line in path.read_text().splitlines()]
            elif path.is_file():
                files[name] = path.read_bytes()
        return files

    return read
