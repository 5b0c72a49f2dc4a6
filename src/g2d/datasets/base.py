"""The entry of a data set in the registry, and what reads its raw files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from g2d.data.gaps import Absent, Invalid
from g2d.data.source import Source
from g2d.data.store.opening import StoreOptions, open_store
from g2d.errors import DataError
from g2d.files import nearest
from g2d.prepare import Plan


class ReaderOptions(BaseModel):
    """Base class of the options that ``g2d data prepare NAME key=value`` accepts.

    Unknown keys are refused. Every reader adds its own fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class GapOptions(ReaderOptions):
    """Options of readers of a user's own data about what a row does not have."""

    absent: Absent = Field(
        "lack",
        description="what an empty cell, or a file without the wanted stream, does: lack (the row "
        "lacks the modality) or skip (the row is left out)",
    )
    invalid: Invalid = Field(
        "mean",
        description="what replaces numbers that are empty, NaN or infinite: mean (of the "
        "training rows), zero, or skip (the row is left out)",
    )


@dataclass(frozen=True)
class Reader:
    """Description of how the raw files of a data set are read.

    Args:
        plan: Function from the source folder and the options to a plan. It raises
            :class:`~g2d.errors.DataError` if the folder holds nothing usable. That of tables also
            takes the folder to which paths in a table are relative.
        options: Pydantic model of the reader's options.
        layout: Files that the source folder must hold, in one or two lines.
    """

    plan: Callable[..., Plan]
    options: type[ReaderOptions]
    layout: str


class PreparedOptions(StoreOptions):
    """Options of a data set that ``g2d data prepare`` has written as a store.

    Args:
        prepare: Options of the reader that the store must have been prepared with.
    """

    prepare: dict[str, Any] = Field(default_factory=dict)


def options_of(name: str) -> type[PreparedOptions]:
    """Return the options of a data set whose store has the data set's name by default."""
    return create_model(
        f"{name}Options",
        __base__=PreparedOptions,
        __doc__=PreparedOptions.__doc__,
        store=(str, Field(name, min_length=1)),
    )


def open_prepared(options: PreparedOptions) -> Source:
    """Open the store of a data set.

    Raises:
        DataError: The store does not exist, is damaged, or was prepared with other options than
            ``options.prepare``.
    """
    source = open_store(options)
    stored = source.facts["parameters"]
    differing = [name for name, value in options.prepare.items() if stored.get(name) != value]
    if differing:
        expected, actual = (
            ", ".join(f"{name}={values.get(name)}" for name in differing)
            for values in (options.prepare, stored)
        )
        raise DataError(
            f"the store {options.folder} must be prepared with {expected}, found {actual}. "
            "Prepare another one and name it in data.store."
        )
    return source


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Entry of the registry of data sets.

    Args:
        about: Content of the data set in one line.
        license: License of the data.
        needs: What the user must provide by hand, and where to request it.
        options: Pydantic model of what a recipe may set in its section ``data``. The default is
            a store that has the name of the data set.
        open: Function from these options to a :class:`~g2d.data.source.Source`.
        reader: How raw files become a store; None if nothing has to be prepared.
        aliases: Further names that :func:`~g2d.datasets.find_dataset` accepts.
        also: Further entries of the same folder, by name: other forms of the same data.
    """

    about: str
    license: str
    needs: str = "nothing"
    options: type[BaseModel] = PreparedOptions
    open: Callable[[Any], Source] = open_prepared
    reader: Reader | None = None
    aliases: tuple[str, ...] = ()
    also: Mapping[str, DataSet] = field(default_factory=dict)


def read_options(reader: Reader, given: Mapping[str, Any]) -> ReaderOptions:
    """Validate the options of a reader.

    Args:
        reader: Reader that the options belong to.
        given: Options as the user wrote them.

    Raises:
        DataError: An option is unknown, or has an invalid value.
    """
    try:
        return reader.options.model_validate(dict(given))
    except ValidationError as error:
        known = reader.options.model_fields
        faults = "; ".join(
            _fault(
                ".".join(map(str, fault["loc"])),
                "no such option" if fault["type"] == "extra_forbidden" else fault["msg"],
                known,
            )
            for fault in error.errors()
        )
        raise DataError(
            f"options of the preparation must be valid ({', '.join(known) or 'none'}), "
            f"found {faults}."
        ) from error


def _fault(name: str, message: str, known: Collection[str]) -> str:
    """Return one fault as text, with the nearest valid name if the option is unknown."""
    near = None if name.partition(".")[0] in known else nearest(name, known)
    return f"{name}: {message}" + ("" if near is None else f" (did you mean {near!r}?)")
