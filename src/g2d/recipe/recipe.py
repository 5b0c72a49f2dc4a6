"""Recipe: validated, resolved, and the objects it builds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from torch import nn

from g2d.data import Source
from g2d.data.store.facts import DATASET, read_facts
from g2d.data.store.opening import StoreOptions
from g2d.datasets import DATASETS
from g2d.encoders import build_encoder
from g2d.engine.options import TrainOptions
from g2d.engine.processes import seed_everything
from g2d.errors import RecipeError
from g2d.fusion import Late, build_fusion
from g2d.method import Method
from g2d.methods import METHODS
from g2d.model import MultimodalModel, Teachers, example_features, feature_dims
from g2d.plainyaml import read_mapping
from g2d.recipe.parts import Named, TeacherPlan
from g2d.recipe.reading import override
from g2d.recipe.validation import make_method, validate
from g2d.types import Batch


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, how, and for how long.

    Example:
        >>> recipe = Recipe.from_mapping({
        ...     "seed": 1, "data": "digits", "encoders": {"image": "cnn", "tone": "mlp"}, "fusion": "late", "method": {"name": "g2d", "tau": [2, 2]}
        ... })
        >>> recipe.train.epochs, recipe.method.options["alpha"]
        (4, 1.0)
        >>> Recipe.from_mapping({"data": "digits", "encoders": {"image": "cnn", "tone": "mlp"}, "method": "joint", "epochs": "many"})
        Traceback (most recent call last):
        g2d.errors.RecipeError: recipe has 1 fault:
          - epochs must be a whole number or null, found 'many'.
    """

    name: str
    data: Named
    encoders: dict[str, Named]
    fusion: Named
    method: Named
    modulation: Named | None
    warm_start: bool
    train: TrainOptions
    teachers: TeacherPlan
    controls: bool
    stack: int
    given: dict[str, Any] = field(compare=False, repr=False)

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read, override, validate.

        Args:
            path: a YAML file; a relative ``data.root`` in it counts from its folder.
            overrides: dotted ``key=value`` texts, whose values are YAML: ``method.alpha=2``.

        Raises:
            RecipeError: with every fault that was found.
        """
        faults: list[str] = []
        content = override(_rooted(read_mapping(Path(path)), Path(path).parent), overrides, faults)
        faults.extend(_strays(content, Path(path).resolve().parent))
        return cls.from_mapping(content, str(path), faults=faults)

    @classmethod
    def from_mapping(
        cls, content: Mapping[str, Any], source: str = "recipe", *, faults: Iterable[str] = ()
    ) -> Self:
        """Validate a mapping as it stands in a recipe file.

        Raises:
            RecipeError: with every fault that was found, those given included.
        """
        content = _rooted(content, Path())
        return cls(**validate(content, source, faults), given=dict(content))

    def changed(self, **sections: Any) -> Self:
        """The same recipe with other top-level keys, as if the file had held them; what follows from them follows again."""
        return type(self).from_mapping({**self.given, **sections}, self.name)

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, defaults included: what a run folder keeps, and what reads back as the same recipe."""
        modulation = {} if self.modulation is None else {"modulation": self.modulation.plain()}
        own, theirs = _plain_train(self.train), _plain_train(self.teachers.train)
        plain: dict[str, Any] = _plain(
            {
                "name": self.name,
                "seed": self.train.seed,
                "epochs": self.train.epochs,
                "data": self.data.plain(),
                "encoders": {m: encoder.plain() for m, encoder in self.encoders.items()},
                "fusion": self.fusion.plain(),
                "method": self.method.plain() | modulation,
                "warm_start": self.warm_start,
                "train": own,
                "teachers": {
                    "seed": self.teachers.train.seed,
                    "epochs": self.teachers.train.epochs,
                    "distil_checkpoint": self.teachers.distil_checkpoint,
                    "ranking_checkpoint": self.teachers.ranking_checkpoint,
                    "folder": None if self.teachers.folder is None else str(self.teachers.folder),
                    "train": {key: value for key, value in theirs.items() if value != own[key]},
                },
                "controls": self.controls,
                "stack": self.stack,
            }
        )
        return plain

    def to_yaml(self) -> str:
        """The resolved recipe as YAML."""
        return yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True, width=160)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.encoders)

    @property
    def trains(self) -> bool:
        """Whether the student is trained at all (UME is not)."""
        return METHODS[self.method.name].trains

    @property
    def needs_teachers(self) -> bool:
        """Whether the student cannot be trained without teachers."""
        return (
            METHODS[self.method.name].needs_teachers
            or self.modulation is not None
            or self.warm_start
            or self.stack > 0
        )

    def build_source(self) -> Source:
        """Open the data.

        Raises:
            RecipeError: the recipe's encoders do not fit the data's modalities.
        """
        dataset = DATASETS[self.data.name]
        source = dataset.open(dataset.options(**self.data.options))
        if set(source.modalities) != set(self.encoders):
            raise RecipeError(
                [
                    f"encoders must be one per modality of the data ({', '.join(source.modalities)}), found {', '.join(self.encoders)}."
                ],
                self.name,
            )
        return source

    def store_hash(self) -> dict[str, str]:
        """The content hash of the store that the recipe names, without opening it; empty of data that are no store."""
        options = DATASETS[self.data.name].options(**self.data.options)
        if isinstance(options, StoreOptions) and (options.folder / DATASET).is_file():
            return {"content_hash": read_facts(options.folder)["content_hash"]}
        return {}

    def build_encoder(self, source: Source, modality: str) -> nn.Module:
        """An untrained encoder, its weights drawn from torch's generator as it stands."""
        encoder = self.encoders[modality]
        return build_encoder(
            encoder.name, self._example(source).inputs[modality], **encoder.options
        )

    def build_model(self, source: Source) -> MultimodalModel:
        """The untrained student. Its weights depend on the seed and the recipe alone."""
        seed_everything(self.train.seed)
        encoders = {m: self.build_encoder(source, m) for m in source.modalities}
        features = example_features(encoders, self._example(source).inputs)
        return MultimodalModel(
            encoders,
            build_fusion(self.fusion.name, features, source.task.outputs, **self.fusion.options),
        )

    def build_method(self, teachers: Teachers | None = None) -> Method:
        """The method with its hyperparameters; not yet bound to a model."""
        return make_method(self.method, self.modulation, teachers)

    def build_untrained(self, source: Source) -> tuple[MultimodalModel, Method]:
        """The student and its method with teachers that know nothing: what a checkpoint is loaded into, and what refuses early.

        Raises:
            UnsupportedError: the method is not defined for this task, number of modalities or fusion.
        """
        model = self.build_model(source)
        return model, self.build_method(self.untrained_teachers(source)).build(model, source.task)

    def untrained_teachers(self, source: Source) -> Teachers:
        """Teachers that know nothing."""
        alone = {m: {m: self.build_encoder(source, m)} for m in source.modalities}
        inputs = self._example(source).inputs
        return Teachers(
            {
                m: MultimodalModel(
                    encoder, Late(feature_dims(encoder, inputs), source.task.outputs)
                )
                for m, encoder in alone.items()
            }
        )

    def _example(self, source: Source) -> Batch:
        return source.view(
            source.gather(source.rows("train")[:2]), seed=self.train.seed, epoch=1, train=False
        )


def _rooted(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A relative ``data.root`` counts from the folder of the file that says it, or from where a command is given."""
    data = content.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("root"), str):
        return dict(content)
    return {**content, "data": {**data, "root": os.path.realpath(folder / data["root"])}}


def _strays(content: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """A recipe that lies in a copied or renamed store must not train on another one."""
    data = content.get("data")
    if not isinstance(data, Mapping) or not (folder / DATASET).is_file():
        return
    root, store = str(data.get("root") or ""), str(data.get("store") or "")
    if (
        root
        and store
        and Path(os.path.realpath(root)) == folder.parent
        and Path(os.path.realpath(Path(root) / store)) != folder
    ):
        yield f"data.store must be the store that the recipe lies in, found {store!r} in {folder.name}. Write store: {folder.name}."


def _plain_train(options: TrainOptions) -> dict[str, Any]:
    return {key: value for key, value in asdict(options).items() if key not in ("epochs", "seed")}


def _plain(value: Any) -> Any:
    """Only what YAML and JSON hold: lists for tuples, and so on down."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
