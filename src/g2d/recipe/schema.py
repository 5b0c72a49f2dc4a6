"""The schema of a recipe: a pydantic model per section.

Options of methods, fusions, encoders and modulations are read from the signatures of their
constructors, so that a new option needs no second description.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Set
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from g2d import encoders
from g2d.datasets import DATASETS
from g2d.encoders import ENCODERS, HUGGING_FACE, encoder_constructor
from g2d.engine.options import TrainOptions
from g2d.fusion import FUSIONS, READ_FROM_DATA
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.recipe.parts import Checkpoint
from g2d.recipe.variants import VARIANTS

METHOD_NAMES = (*METHODS, *VARIANTS)
"""Names that choose a method: methods and variants."""
FORBID = ConfigDict(extra="forbid", protected_namespaces=())


def model_of(function: Callable[..., Any], leave_out: Collection[str] = ()) -> type[BaseModel]:
    """Return a pydantic model with one field per keyword-only argument of a function or class.

    Args:
        function: A function or a class.
        leave_out: Arguments that a recipe cannot set.

    Example:
        >>> def encoder(example, *, width: int = 64): ...
        >>> model_of(encoder).model_json_schema()["properties"]
        {'width': {'default': 64, 'title': 'Width', 'type': 'integer'}}
    """
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    options: dict[str, Any] = {
        name: (hints.get(name, Any), ... if option.default is option.empty else option.default)
        for name, option in inspect.signature(function).parameters.items()
        if option.kind is option.KEYWORD_ONLY and name not in leave_out
    }
    return create_model("Options", __config__=FORBID, **options)


OUTSIDE = ("epochs", "seed")
"""Options of training that are keys of the recipe itself, outside its sections."""


def _train_model(name: str, *, optional: bool) -> type[BaseModel]:
    """Return a model of the options of training; optional ones are null by default."""
    defaults, hints = vars(TrainOptions(epochs=1)), get_type_hints(TrainOptions)
    options: dict[str, Any] = {
        key: (hint | None, None) if optional else (hint, defaults[key])
        for key, hint in hints.items()
        if key not in OUTSIDE
    }
    return create_model(name, __config__=FORBID, **options)


TRAIN = _train_model("TrainSection", optional=False)
"""The section ``train``."""
OWN_TRAIN = _train_model("TeacherTrainSection", optional=True)
"""The section ``teachers.train``."""


class TeacherSection(BaseModel):
    """The section ``teachers``.

    Args:
        seed: Seed of the teachers; by default the student's.
        epochs: Epochs of the teachers; by default the student's.
        distil_checkpoint: The checkpoint whose features and logits are distilled.
        ranking_checkpoint: The checkpoint whose confidence ranks the modalities.
        folder: Where teachers are kept; by default ``teachers`` in the parent of the run folder.
        train: Options of training; those that are null are the student's.
    """

    model_config = FORBID

    seed: int | None = None
    epochs: int | None = None
    distil_checkpoint: Checkpoint = "best"
    ranking_checkpoint: Checkpoint = "best"
    folder: Path | None = None
    train: OWN_TRAIN = Field(default_factory=OWN_TRAIN)  # type: ignore[valid-type]


class Keys(BaseModel):
    """All keys of a recipe. Sections that begin with a name are checked by that name.

    Args:
        name: Name of the recipe and of its run folder.
        seed: Seed of everything random but the data.
        epochs: Passes over the training rows.
        data: The data set.
        encoders: The encoder of every modality.
        fusion: The fusion.
        method: The method.
        train: Options of training.
        teachers: How the teachers are trained and which of their checkpoints are used.
        warm_start: Whether the student starts from the teachers' weights.
        controls: Whether the run also evaluates the teachers and their ensembles.
        stack: Sets of teachers that are stacked with the student; 0 for none.
        students: Students that are trained from seeds of their own and stacked.
        methods: Values by dotted key for single methods.
    """

    model_config = FORBID

    name: str = ""
    seed: int = 0
    epochs: int | None = None
    data: Any = None
    encoders: Any = None
    fusion: Any = "late"
    method: Any = None
    train: TRAIN = Field(default_factory=TRAIN)  # type: ignore[valid-type]
    teachers: TeacherSection = Field(default_factory=TeacherSection)
    warm_start: bool = False
    controls: bool = False
    stack: int = Field(0, ge=0, le=100)
    students: int = Field(1, ge=1, le=100)
    methods: dict[str, Any] = {}


class EncoderNames(dict[str, Any]):
    """The registered encoders and any Hugging Face model: ``hf:<name or folder>``."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (
            isinstance(name, str) and name.startswith(HUGGING_FACE) and name != HUGGING_FACE
        )


NAMES: dict[str, Collection[str]] = {
    "data set": DATASETS,
    "encoder": EncoderNames(ENCODERS),
    "fusion": FUSIONS,
    "method": METHOD_NAMES,
    "modulation": MODULATIONS,
}
"""The names that can be chosen, by what they name."""


@cache
def options_model(kind: str, name: str) -> type[BaseModel]:
    """Return the model of the options of a registered name.

    Args:
        kind: A key of :data:`NAMES`.
        name: One of its names; not a variant.
    """
    models: dict[str, Callable[[], type[BaseModel]]] = {
        "data set": lambda: DATASETS[name].options,
        "encoder": lambda: model_of(encoder_constructor(name), encoders.READ_FROM_DATA),
        "fusion": lambda: model_of(FUSIONS[name], READ_FROM_DATA),
        "method": lambda: model_of(METHODS[name], ("teachers", "modulation")),
        "modulation": lambda: model_of(MODULATIONS[name]),
    }
    return models[kind]()


def option_names(kind: str, name: str) -> Set[str]:
    """Return the names of the options of a registered name; see :func:`options_model`."""
    return options_model(kind, name).model_fields.keys()


def takes_modulation(method: str) -> bool:
    """Return whether a method has the option ``modulation``."""
    return "modulation" in inspect.signature(METHODS[method]).parameters
