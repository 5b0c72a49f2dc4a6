"""Rules that several methods share: one value per modality, turns, separate heads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import Additive, Fusion
from g2d.model import MultimodalModel, Teachers


def check_names(argument: str, names: Collection[str], modalities: Sequence[str]) -> None:
    """Check that an argument names every modality exactly once.

    Raises:
        ArgumentError: if it does not.

    Example:
        >>> check_names("order", ["tone"], ("image", "tone"))
        Traceback (most recent call last):
        g2d.errors.ArgumentError: order must name every modality once (image, tone), found tone.
    """
    if sorted(names) != sorted(modalities):
        raise ArgumentError(
            f"{argument} must name every modality once ({', '.join(modalities)}), "
            f"found {', '.join(names) or 'none'}."
        )


def per_modality(
    argument: str, value: float | Mapping[str, float], modalities: Sequence[str]
) -> dict[str, float]:
    """Return one number per modality, from one number for all or a mapping.

    Raises:
        ArgumentError: if a mapping does not name every modality.

    Example:
        >>> per_modality("alpha", 2.0, ("image", "tone"))
        {'image': 2.0, 'tone': 2.0}
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(modalities, value)
    check_names(argument, value, modalities)
    return {m: value[m] for m in modalities}


def order_of_turns(order: Sequence[str] | None, modalities: Sequence[str]) -> tuple[str, ...]:
    """Return the order in which modalities take turns; None is the order of the data.

    Raises:
        ArgumentError: if ``order`` does not name every modality once.
    """
    if order is None:
        return tuple(modalities)
    check_names("order", order, modalities)
    return tuple(order)


def separate_heads(method: object, model: MultimodalModel) -> Additive:
    """Return the model's fusion if it has one head per modality.

    Raises:
        UnsupportedError: if it has not; the message names the class of ``method``.
    """
    fusion: Fusion = model.fusion
    if not isinstance(fusion, Additive):
        raise UnsupportedError(
            f"fusion of {type(method).__name__} must have one head per modality "
            f"(late, sum or concat), found {type(fusion).__name__.lower()}."
        )
    return fusion


def check_teacher_widths(
    teachers: Teachers, model: MultimodalModel, modalities: Iterable[str]
) -> None:
    """Check that features of teachers are as wide as those of the student.

    Args:
        teachers: Frozen unimodal teachers.
        model: The student.
        modalities: Modalities to check.

    Raises:
        ArgumentError: if the features of a teacher have another width.
    """
    for m in modalities:
        teacher, width = teachers.models[m], model.fusion.dims[m]
        if not isinstance(teacher, MultimodalModel):
            continue  # the features of another module are checked in the first step
        if (of_teacher := teacher.fusion.dims[m]) != width:
            raise ArgumentError(
                f"the teacher of {m!r} must have features as wide as the student's ({width}), "
                f"found {of_teacher}. Give both the same encoder."
            )
