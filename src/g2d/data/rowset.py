"""A user's own rows as arrays: how each is stored, and which rows can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from g2d.data.gaps import USUAL, Gaps, Invalid, fill_invalid, without_numbers
from g2d.data.label_sets import MULTILABEL, label_task, strata_of
from g2d.data.lengths import MAX_TOKENS, measured_rows
from g2d.data.splits import SPLIT_WORDS, UNKNOWN, complete_splits, name_hash
from g2d.data.store.facts import MASK, PRESENT_SUFFIX, RESERVED, SOUND, Kind, Signal
from g2d.data.views import defaults
from g2d.data.views.words import token_ends
from g2d.errors import DataError, Reason
from g2d.files import require_names
from g2d.types import is_name

Arrays = Mapping[str, NDArray[Any]]
TaskKind = Literal["classification", "regression", "multilabel"]
ROLES = ("target", "split", "group", "id")
"""Names of arrays that are no modality."""
CHANNELS = (1, 3, 4)
"""Numbers of channels of a picture: gray, RGB, RGB with transparency."""
SHORTEST_SOUND = 256
"""Number of samples from which on rows of int16 numbers are taken for sound."""


@dataclass(frozen=True)
class RowSet:
    """Rows in memory, checked and in the form in which they are stored.

    Args:
        signals: How each modality is stored.
        values: Stored values per modality, one row per sample.
        masks: Which steps are real, per modality of padded sequences.
        present: Which rows have the modality, per modality.
        task: Task as a :class:`~g2d.prepare.plan.Plan` describes it.
        target: Class numbers ``(N,)`` int64, or float64 ``(N, C)``: values in the original unit, or
            states of several labels.
        ids: Unique name of every row.
        group: Group of every row.
        place: Number of the split of every row.
        rule: Name of the rule that divided the rows.
        unusable: Per number of a row that cannot be used, the reason and what is wrong.
        invalid: Per modality how many numbers of each row are NaN or infinite ``(N,)``.
    """

    signals: Mapping[str, Signal]
    values: Mapping[str, NDArray[Any]]
    masks: Mapping[str, NDArray[np.bool_]]
    present: Mapping[str, NDArray[np.bool_]]
    task: Mapping[str, Any]
    target: NDArray[Any]
    ids: list[str]
    group: list[str]
    place: NDArray[np.int8] = field(repr=False)
    rule: str
    unusable: Mapping[int, tuple[Reason, str]]
    invalid: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


def collect(
    arrays: Mapping[str, Any],
    where: str,
    *,
    task: TaskKind | None = None,
    classes: Rows[str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    rate: int | None = None,
    gaps: Gaps = USUAL,
) -> RowSet:
    """Check arrays that belong together and bring them into the form in which they are stored.

    Args:
        arrays: Per modality an array with one row per sample, ``target``, and optionally
            ``split``, ``group``, ``id``, and ``NAME.mask`` and ``NAME.present`` of a modality.
        where: Where the arrays come from, for messages.
        task: Kind of task; None to infer it from the type of the target.
        classes: Names of the classes, if the targets are their numbers, or of several labels.
        kinds: Kind per modality, where it is not inferred as wanted.
        rate: Samples per second of sound.
        gaps: What absent modalities and invalid numbers do to their row.

    Raises:
        DataError: An array is missing or does not fit the others.
    """
    tables = {name: np.asarray(values) for name, values in arrays.items()}
    names = _modalities(tables, where, kinds or {})
    rows = _count(tables, where)
    made = {
        m: _modality(tables, m, (kinds or {}).get(m), rate, rows, where, gaps.invalid)
        for m in names
    }
    plan, target, unusable = _target(tables["target"], task, classes, where)
    ids = _texts(tables, "id", [f"{row:08d}" for row in range(rows)])
    group = _texts(tables, "group", ids)
    for m, modality in made.items():
        if gaps.invalid == "skip":
            for row in np.flatnonzero(modality.invalid).tolist():
                unusable.setdefault(row, ("non-finite", f"{m} holds NaN or infinity"))
        if gaps.absent == "skip":
            for row in np.flatnonzero(~modality.present).tolist():
                unusable.setdefault(row, ("absent", f"it lacks {m}"))
    seen: set[str] = set()
    for row, name in enumerate(ids):
        if name in seen:
            unusable[row] = "duplicate", "an id that occurs before"
        seen.add(name)
    usable = np.array([row not in unusable for row in range(rows)])
    keys = np.fromiter(map(name_hash, group), np.uint32, rows)
    place = np.full(rows, UNKNOWN, np.int8)
    strata = target[usable] if "classes" in plan else None
    if "labels" in plan:
        strata = strata_of(target[usable])
    given = _places(tables, rows, where)
    place[usable], rule = complete_splits(given[usable], keys[usable], strata)
    return RowSet(
        signals={m: modality.signal for m, modality in made.items()},
        values={m: modality.values for m, modality in made.items()},
        masks={m: modality.mask for m, modality in made.items() if modality.mask is not None},
        present={m: modality.present for m, modality in made.items()},
        task=plan,
        target=target,
        ids=ids,
        group=group,
        place=place,
        rule=rule,
        unusable=unusable,
        invalid={m: modality.invalid for m, modality in made.items()},
    )


@dataclass(frozen=True)
class _Modality:
    """A modality in the form in which it is stored; the fields are those of :class:`RowSet`."""

    signal: Signal
    values: NDArray[Any]
    mask: NDArray[np.bool_] | None
    present: NDArray[np.bool_]
    invalid: NDArray[np.int64]


def _modality(
    tables: Arrays,
    m: str,
    kind: Kind | None,
    rate: int | None,
    rows: int,
    where: str,
    invalid: Invalid,
) -> _Modality:
    """Return a modality; padding and rows that lack it are zero.

    With the rule ``"mean"``, a row without a single finite number lacks the modality.
    """
    masked = m + MASK in tables
    kind = kind or _kind_of(tables[m], m, masked, where)
    present = flags_in(tables, m + PRESENT_SUFFIX, (rows,), where)
    signal, values = _as_stored(tables[m], m, kind, rate, where)
    mask = None
    if masked and kind == SOUND:
        signal = replace(signal, masked=True)
    if signal.masked:
        mask = flags_in(tables, m + MASK, (rows, signal.shape[0]), where) & present[:, None]
        values = np.where(mask.reshape(*mask.shape, *(1,) * (values.ndim - 2)), values, 0)
    elif masked:
        raise DataError(f"{m + MASK!r} in {where} must mask a sequence or sound, found {kind}.")
    if mask is not None and signal.counted and (mask[:, 1:] > mask[:, :-1]).any():
        raise DataError(f"{m + MASK!r} in {where} must mask the end of sound, found other samples.")
    values[~present] = 0
    counts = np.zeros(rows, np.int64)
    if values.dtype.kind == "f":
        # The mean of sound is silence, and its view needs finite numbers.
        rule: Invalid = "zero" if kind == SOUND and invalid == "mean" else invalid
        values, bad = fill_invalid(values, rule, values.dtype)
        counts = bad.reshape(rows, -1).sum(1)
        if invalid == "mean" and counts.any():
            lacking = present & without_numbers(bad, mask)
            present, counts[lacking], values[lacking] = present & ~lacking, 0, 0
            mask = None if mask is None else mask & present[:, None]
    return _Modality(signal, values, mask, present, counts)


def _modalities(tables: Arrays, where: str, kinds: Mapping[str, Kind]) -> list[str]:
    """Return the names of the modalities, in order."""
    columns = (name for name in tables if name not in ROLES)
    names = [name for name in columns if not name.endswith((MASK, PRESENT_SUFFIX))]
    if "target" not in tables:
        raise DataError(f"{where} must hold an array 'target', found {', '.join(tables)}.")
    if not names:
        raise DataError(f"{where} must hold an array per modality, found only a target.")
    for name in names:
        if name in RESERVED or not is_name(name):
            raise DataError(f"{name!r} in {where} cannot be the name of a modality. Rename it.")
    for name in tables:
        modality = name.removesuffix(MASK).removesuffix(PRESENT_SUFFIX)
        if modality != name and modality not in names:
            raise DataError(f"{name!r} in {where} must mark a modality, found no {modality!r}.")
    for name, kind in kinds.items():
        if name not in names or kind not in get_args(Kind):
            rule = f"({', '.join(names)}) a kind ({', '.join(get_args(Kind))})"
            raise DataError(f"kinds must give a modality {rule}, found {name}: {kind}.")
    return names


def _count(tables: Arrays, where: str) -> int:
    """Return the number of rows, which must be the same for every array."""
    counts = {name: len(values) if values.ndim else 0 for name, values in tables.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise DataError(
            f"modalities and target in {where} must have the same number of rows, found {listed}."
        )
    rows = counts["target"]
    if not rows:
        raise DataError(f"{where} must hold one row or more, found none.")
    return rows


def flags_in(tables: Arrays, name: str, shape: tuple[int, ...], where: str) -> NDArray[np.bool_]:
    flags = tables.get(name, np.ones(shape, np.bool_))
    if flags.shape != shape or flags.dtype != np.bool_:
        rule = f"{name!r} in {where} must be bool {shape}"
        raise DataError(f"{rule}, found {flags.dtype} {flags.shape}.")
    return flags


def _texts(tables: Arrays, name: str, default: list[str]) -> list[str]:
    values = tables.get(name)
    return default if values is None else [str(value) for value in values.tolist()]


def _places(tables: Arrays, rows: int, where: str) -> NDArray[np.int8]:
    """Return the number of the split of every row, ``UNKNOWN`` where it is not given."""
    if "split" not in tables:
        return np.full(rows, UNKNOWN, np.int8)
    words = [str(value).strip().lower() for value in tables["split"].tolist()]
    numbers = {str(number): number for number in SPLIT_WORDS.values()}
    places = {"": UNKNOWN, "none": UNKNOWN, **SPLIT_WORDS, **numbers}
    for word in words:
        if word not in places:
            rule = f"'split' in {where} must be train, valid, test or unused"
            raise DataError(f"{rule}, found {word!r}.")
    return np.array([places[word] for word in words], np.int8)


_Target = tuple[dict[str, Any], NDArray[Any], dict[int, tuple[Reason, str]]]
"""The task, the targets in its form, and the rows whose target cannot be used."""


def _target(
    values: NDArray[Any], task: TaskKind | None, classes: Rows[str] | None, where: str
) -> _Target:
    kind = task or _kind_of_task(values, where)
    if kind == "regression":
        return _regression(values, where)
    if kind == MULTILABEL:
        return _labels(values, classes, where)
    if values.ndim != 1:
        rule = f"'target' in {where} must be one class per row (N,)"
        raise DataError(f"{rule}, found {values.dtype} {values.shape}.")
    labels = values.tolist()
    missing = [row for row, label in enumerate(labels) if _is_missing(label)]
    number = _class_numbers({x for x in labels if not _is_missing(x)}, classes, where)
    names = list(classes or map(str, number))
    require_names(f"classes in {where}", names)
    return (
        {"kind": kind, "classes": names},
        np.array([number.get(label, 0) for label in labels], np.int64),
        dict.fromkeys(missing, ("no-agreed-label", "its target is missing")),
    )


def _kind_of_task(values: NDArray[Any], where: str) -> TaskKind:
    """Infer the kind of task from the type, the shape and the values of the target."""
    if values.dtype.kind == "f":
        return "regression"
    if values.ndim == 2 and values.dtype.kind in "iub" and _are_states(values):
        if values.shape[1] > 1 and (values.sum(1) == 1).all():
            raise DataError(
                f"'target' in {where} must be one class per row (N,) or several labels per row, "
                "found exactly one 1 in every row. Give task=multilabel if a row can have several "
                "labels, or target.argmax(1) for one class."
            )
        return "multilabel"
    return "classification"


def _are_states(values: NDArray[Any]) -> bool:
    return bool(values.any() and np.isin(values, (0, 1)).all())


def _labels(values: NDArray[Any], labels: Rows[str] | None, where: str) -> _Target:
    """Return the target of several labels per row, whose states are 0 and 1."""
    rule = f"'target' in {where} must be 0 or 1 per label (N, C) for several labels per row"
    if values.dtype.kind not in "fiub" or values.ndim != 2:
        raise DataError(f"{rule}, found {values.dtype} {values.shape}.")
    states = values.astype(np.float64)
    if (strange := states[~np.isin(states, (0, 1)) & ~np.isnan(states)]).size:
        raise DataError(f"{rule}, found {strange[0]:g}.")
    names = list(labels or map(str, range(values.shape[1])))
    require_names(f"labels in {where}", names)
    if len(names) != values.shape[1]:
        rule = f"classes must name the {values.shape[1]} labels of 'target' in {where}"
        raise DataError(f"{rule}, found {len(names)} names.")
    missing = np.flatnonzero(np.isnan(states).any(1)).tolist()
    unusable = dict.fromkeys(missing, ("no-agreed-label", "its target is missing"))
    return label_task(names), states, cast("dict[int, tuple[Reason, str]]", unusable)


def _regression(values: NDArray[Any], where: str) -> _Target:
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        rule = f"'target' in {where} must be numbers (N,) or (N, C) for a regression"
        raise DataError(f"{rule}, found {values.dtype} {values.shape}.")
    numbers = values.astype(np.float64).reshape(len(values), -1)
    unusable: dict[int, tuple[Reason, str]] = {}
    for row in np.flatnonzero(np.isinf(numbers).any(1)).tolist():
        unusable[row] = "non-finite", "its target is infinite"
    for row in np.flatnonzero(np.isnan(numbers).any(1)).tolist():
        unusable[row] = "no-agreed-label", "its target is missing"
    outputs = numbers.shape[1]
    plan = {"kind": "regression", "outputs": outputs, "scale": "train", "output": "identity"}
    return plan, numbers, unusable


def _is_missing(label: Any) -> bool:
    return label is None or label == "" or label != label


def _class_numbers(labels: set[Any], classes: Rows[str] | None, where: str) -> dict[Any, int]:
    """Return the number of every label."""
    words = any(isinstance(label, str) for label in labels)
    names: Rows[Any] = sorted(map(str, labels), key=str.encode) if words else sorted(labels)
    if classes is not None:
        names = classes if words else range(len(classes))
    number = {name: i for i, name in enumerate(names)}
    if unknown := sorted(map(str, labels - number.keys())):
        rule = f"targets in {where} must be among the {len(number)} classes"
        raise DataError(f"{rule}, found {unknown[0]!r}.")
    if len(number) < 2:
        raise DataError(f"'target' in {where} must have two classes or more, found {len(number)}.")
    return number


def _kind_of(values: NDArray[Any], m: str, masked: bool, where: str) -> Kind:
    """Infer the kind of a modality from the type and shape of its array."""
    axes = values.ndim
    if values.dtype.kind in "US" or (values.dtype == object and axes == 1):
        return "text"
    if values.dtype.kind not in "fiub":
        raise DataError(f"{m!r} in {where} must be numbers or text, found {values.dtype}.")
    if values.dtype == np.int16 and axes == 2 and values.shape[1] >= SHORTEST_SOUND:
        return "audio"
    if masked:
        return "sequence"
    if values.dtype == np.uint8 and axes in (3, 4, 5):
        return "video" if axes == 5 else "image"
    kinds: dict[int, Kind] = {1: "table", 2: "table", 3: "sequence", 4: "image", 5: "video"}
    if axes not in kinds:
        raise DataError(f"{m!r} in {where} must have 1 to 5 axes, found {values.shape}.")
    return kinds[axes]


def _as_stored(
    values: NDArray[Any], m: str, kind: Kind, rate: int | None, where: str
) -> tuple[Signal, NDArray[Any]]:
    """Return how a modality is stored, and its values in that form."""
    if values.size == 0:
        raise DataError(f"{m!r} in {where} must hold values, found the shape {values.shape}.")
    rule = _RULES[kind]
    if values.dtype.kind not in rule.types or values.ndim not in rule.axes:
        sentence = f"{m!r} in {where} must be {rule.words} for the kind {kind}"
        raise DataError(f"{sentence}, found {values.dtype} {values.shape}.")
    stored, view, facts = rule.store(values, rate)
    shape = stored.shape[1:]
    return Signal(kind, stored.dtype.name, shape, view, facts, masked=rule.masked), stored


def as_stored(values: NDArray[Any], m: str, masked: bool, where: str) -> NDArray[Any]:
    """Return an array of a modality in the form in which a store holds it; see :func:`collect`.

    Args:
        values: One row per sample.
        m: Name of the modality.
        masked: Whether a mask of its steps is given, too.
        where: Where the array comes from, for messages.

    Raises:
        DataError: It is neither numbers nor text.

    Example:
        >>> as_stored(np.array(["ab", "c"]), "words", False, "the rows").tolist()
        [[97, 98], [99, 0]]
    """
    return _as_stored(values, m, _kind_of(values, m, masked, where), None, where)[1]


_Stored = tuple[NDArray[Any], defaults.Steps, Mapping[str, Any]]


def _floats(values: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of numbers in single precision, or in half precision if they have it."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16 if values.dtype == np.float16 else np.float32)


def _table(values: NDArray[Any], rate: int | None) -> _Stored:
    return _floats(values.reshape(len(values), -1)), defaults.NUMBERS, {}


def _sequence(values: NDArray[Any], rate: int | None) -> _Stored:
    return _floats(values), defaults.SEQUENCE, {}


def _image(values: NDArray[Any], rate: int | None) -> _Stored:
    first = values.ndim == 4 and values.shape[1] in CHANNELS
    last = values.ndim == 4 and values.shape[-1] in CHANNELS
    if values.dtype == np.uint8:
        pixels = np.moveaxis(values, 1, -1) if first and not last else values
        return np.array(pixels), defaults.PIXELS, {}
    grid = np.moveaxis(values, -1, 1) if last and not first else values
    channel = ({"name": "scale", "channel": True},) if values.ndim == 3 else ()
    return np.ascontiguousarray(_floats(grid)), (*channel, *defaults.GRID), {}


def _video(values: NDArray[Any], rate: int | None) -> _Stored:
    if values.dtype != np.uint8:
        return _floats(values), defaults.GRID, {}
    gray = ({"name": "pixels", "frames": True}, *defaults.GRID)
    return np.array(values), defaults.PIXELS if values.ndim == 5 else gray, {}


def _audio(values: NDArray[Any], rate: int | None) -> _Stored:
    samples = np.array(values) if values.dtype == np.int16 else _floats(values)
    return samples, defaults.sound(rate), {} if rate is None else {"rate": rate}


def _text(values: NDArray[Any], rate: int | None) -> _Stored:
    raw = [b"" if text is None else _bytes(text) for text in values.tolist()]
    stored = np.zeros((len(raw), max(1, *map(len, raw))), np.uint8)
    for row, text in zip(stored, raw, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return stored, defaults.text(_tokens(raw)), {}


def _tokens(raw: list[bytes]) -> int:
    """Return how many tokens of texts that are in memory are kept: all, up to a bound."""
    measured = [raw[row].decode(errors="replace") for row in measured_rows(len(raw)).tolist()]
    return min(max(max(1, len(ends)) for ends in token_ends(measured)), MAX_TOKENS)


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


@dataclass(frozen=True)
class _Rule:
    """Rules for the array of a kind of modality, and the form in which it is stored.

    Args:
        axes: Allowed numbers of axes.
        words: The rule in words, for messages.
        store: Function from an array and the rate of sound to the stored values, the default
            view and facts.
        types: Allowed kinds of NumPy types.
        masked: Whether rows are padded sequences.
    """

    axes: tuple[int, ...]
    words: str
    store: Callable[[NDArray[Any], int | None], _Stored]
    types: str = "fiub"
    masked: bool = False


_RULES: dict[Kind, _Rule] = {
    "table": _Rule((1, 2), "numbers (N,) or (N, columns)", _table),
    "sequence": _Rule((3,), "numbers (N, steps, features)", _sequence, masked=True),
    "image": _Rule((3, 4), "numbers (N, height, width[, channels])", _image),
    "video": _Rule((4, 5), "numbers (N, frames, height, width[, channels])", _video),
    "audio": _Rule((2,), "numbers (N, samples)", _audio),
    "text": _Rule((1,), "text (N,)", _text, types="USO"),
}
