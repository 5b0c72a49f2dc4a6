"""Recipe: validated, resolved, and the objects it builds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from torch import nn

from g2d.configured import WIDTH
from g2d.data import Source
from g2d.data.store.opening import other_stores
from g2d.datasets import DATASETS
from g2d.encoders import build_encoder
from g2d.engine.options import TrainOptions
from g2d.engine.processes import seed_everything
from g2d.errors import RecipeError
from g2d.fusion import Late, build_fusion
from g2d.method import Method
from g2d.methods import METHODS
from g2d.model import MultimodalModel, Teachers, example_features, feature_dims
from g2d.recipe.faults import shown
from g2d.recipe.parts import Named, TeacherPlan, in_words
from g2d.recipe.reading import Given, read_settings, rooted
from g2d.recipe.schema import OUTSIDE, option_names
from g2d.recipe.validation import make_method, validate
from g2d.runs.earlier import completed, continued
from g2d.types import Batch


@dataclass(frozen=True)
class Recipe:
    """A complete, valid description of a run.

    Example:
        >>> recipe = Recipe.load("digits", ["method=g2d", "epochs=4"])
        >>> recipe.method.options["ranking"], recipe.method.options["alpha"]
        ('lag', 1.0)
        >>> Recipe.load("digits", ["epochs=many"])
        Traceback (most recent call last):
        g2d.errors.RecipeError: digits has 1 fault:
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
    students: int
    given: Given = field(compare=False, repr=False)

    def __repr__(self) -> str:
        """Return the name and the parts, one per line."""
        parts = {
            "data": self.data,
            **{f"encoders.{m}": encoder for m, encoder in self.encoders.items()},
            "fusion": self.fusion,
            "method": self.method,
            "method.modulation": self.modulation,
            "train": in_words(vars(self.train)),
            "teachers": f"{self.teachers.train.epochs} epochs, seed {self.teachers.train.seed}",
        }
        lines = [
            f"  {shorten(f'{key}: {part}', WIDTH, placeholder=' ...')}"
            for key, part in parts.items()
            if part is not None
        ]
        return "\n".join([f"Recipe {self.name!r}", *lines])

    @classmethod
    def load(cls, source: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a recipe, apply overrides, and validate the result.

        Args:
            source: The name of a packaged recipe, such as ``"digits"`` or ``"crema_d/small"``, or a
                path: a :class:`~pathlib.Path`, or a text that ends in .yaml or .yml or begins with
                ./, ../ or /. A relative ``data.root`` in a file counts from the file's folder.
            overrides: Texts ``key=value`` with dotted keys and YAML values, such as
                ``method.alpha=2``. ``key=default`` removes a key.

        Raises:
            RecipeError: The recipe has faults; the message lists all of them.
        """
        faults: list[str] = []
        given = Given.read(source).with_settings(read_settings(overrides, faults))
        folder = None if given.label else Path(source).resolve().parent
        return cls._build(given, str(source), faults, folder)

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], source: str = "recipe") -> Self:
        """Validate the content of a recipe file.

        Args:
            content: The file as plain values.
            source: What an error message calls the recipe.

        Raises:
            RecipeError: The recipe has faults; the message lists all of them.
        """
        if not isinstance(content, Mapping):
            fault = f"the recipe must be a mapping of keys to values, found {shown(content)}."
            raise RecipeError([fault], source)
        return cls._build(Given(content), source, [])

    @classmethod
    def _build(
        cls, given: Given, source: str, faults: list[str], folder: Path | None = None
    ) -> Self:
        content, chosen = given.composed(faults)
        content = completed(rooted(content, Path()), option_names)
        if folder is not None:
            faults.extend(other_stores(content.get("data"), folder))
        fields = validate(content, source, faults)
        label = given.label or fields["data"].name
        fields["name"] = fields["name"] or f"{label}-{chosen or fields['method'].name}"
        return cls(**fields, given=given)

    def changed(self, settings: Mapping[str, Any] | None = None, /, **sections: Any) -> Self:
        """Return the same recipe with other values, as if they had been overrides.

        Args:
            settings: Values by dotted key, such as ``{"teachers.seed": 1}``.
            sections: Values of top-level keys, such as ``method="joint"``.

        Raises:
            RecipeError: A key or a value is not valid.
        """
        given = self.given.with_settings([*(settings or {}).items(), *sections.items()])
        return self._build(given, self.name, [])

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, defaults included; it reads back as an equal recipe.

        Prioritization epochs are whole epochs here, whether they were shares or left out. The
        modulation and the number of students are keys only where there is a modulation, or more
        than one student: recipes of earlier versions have the same keys.
        """
        modulation = {} if self.modulation is None else {"modulation": self.modulation.plain()}
        own, teachers = to_jsonable_python([self.train, self.teachers])
        theirs = teachers.pop("train")
        outside = {key: own.pop(key) for key in OUTSIDE}
        teachers = {key: theirs.pop(key) for key in OUTSIDE} | teachers
        teachers["train"] = {key: value for key, value in theirs.items() if value != own[key]}
        return {
            "name": self.name,
            **outside,
            "data": self.data.plain(),
            "encoders": {m: encoder.plain() for m, encoder in self.encoders.items()},
            "fusion": self.fusion.plain(),
            "method": self.method.plain() | modulation,
            "warm_start": self.warm_start,
            "train": own,
            "teachers": teachers,
            "controls": self.controls,
            "stack": self.stack,
            **({"students": self.students} if self.students > 1 else {}),
        }

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return a resolved recipe of an earlier version as this version writes it.

        Options that did not exist yet get the value that the earlier version behaved like, and
        ``tau: null`` becomes ``tau: none``.

        Args:
            content: The content of the ``recipe.yaml`` of a run folder.

        Raises:
            RecipeError: The recipe names something that no longer exists.
        """
        return cls.from_mapping(content, "the recipe of the run folder").resolved()

    def continuing(self, begun: Mapping[str, Any]) -> Self:
        """Return this recipe with earlier defaults where a run began with them.

        An option that this recipe leaves to its default, and that the run has at the default of the
        version that began it, keeps the run's value.

        Args:
            begun: The content of the ``recipe.yaml`` of the run folder.

        Raises:
            RecipeError: The run's recipe names something that no longer exists.
        """
        content, _ = self.given.composed([])
        return self.changed(continued(self.upgraded(begun), content))

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML."""
        return yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True, width=160)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, in the order of the encoders."""
        return tuple(self.encoders)

    @property
    def needs_teachers(self) -> bool:
        """Whether the student cannot be trained without teachers."""
        return (
            METHODS[self.method.name].needs_teachers
            or self.modulation is not None
            or self.warm_start
            or self.stack > 0
        )

    @property
    def is_stack(self) -> bool:
        """Whether the prediction is a stack: of several students, or of one with its teachers."""
        return self.stack > 0 or self.students > 1

    @property
    def data_options(self) -> BaseModel:
        """The options of the data set, with which it is opened."""
        return DATASETS[self.data.name].options(**self.data.options)

    def build_source(self) -> Source:
        """Open the data.

        Raises:
            RecipeError: The recipe's encoders do not fit the modalities of the data.
        """
        source = DATASETS[self.data.name].open(self.data_options)
        if set(source.modalities) != set(self.encoders):
            modalities = f"modality of the data ({', '.join(source.modalities)})"
            fault = f"encoders must be one per {modalities}, found {', '.join(self.encoders)}."
            raise RecipeError([fault], self.name)
        return source

    def example(self, source: Source) -> Batch:
        """Return two training rows as the encoders receive them; their shapes fix the model's.

        Read it once and pass it to every ``build_`` method.
        """
        rows = source.gather(source.rows("train")[:2])
        return source.view(rows, seed=self.train.seed, epoch=1, train=False)

    def build_model(self, source: Source, example: Batch | None = None) -> MultimodalModel:
        """Return the untrained student. Its weights depend only on the seed and the recipe.

        Args:
            source: The data.
            example: :meth:`example`, if it has been read already.
        """
        seed_everything(self.train.seed)
        example = example or self.example(source)
        encoders = self._encoders(source.modalities, example)
        features = example_features(encoders, example.inputs)
        return MultimodalModel(
            encoders,
            build_fusion(self.fusion.name, features, source.task.outputs, **self.fusion.options),
        )

    def build_method(self, teachers: Teachers | None = None) -> Method:
        """Return the method with its hyperparameters, not yet bound to a model."""
        return make_method(self.method, self.modulation, teachers)

    def build_teacher(
        self, source: Source, modality: str, example: Batch | None = None
    ) -> MultimodalModel:
        """Return an untrained teacher: the encoder of a modality and one linear layer.

        Its weights are drawn from torch's global generator.

        Args:
            source: The data.
            modality: The name of the teacher's modality.
            example: :meth:`example`, if it has been read already.
        """
        example = example or self.example(source)
        encoder = self._encoders([modality], example)
        dims = feature_dims(encoder, example.inputs)
        return MultimodalModel(encoder, Late(dims, source.task.outputs))

    def _encoders(self, modalities: Iterable[str], example: Batch) -> dict[str, nn.Module]:
        """Return untrained encoders; their weights are drawn from torch's global generator."""
        return {
            m: build_encoder(self.encoders[m].name, example.inputs[m], **self.encoders[m].options)
            for m in modalities
        }
