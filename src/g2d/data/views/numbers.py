"""Steps for numbers: scaling, clipping and principal components, fitted on training rows only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.pca import principal_components
from g2d.data.views.step import (
    GRID,
    NUMBERS,
    Draw,
    Form,
    PaddedFrames,
    Step,
    column,
    on_values,
    plain,
    real_values,
    row_shape,
)
from g2d.errors import DataError
from g2d.types import Input

MEDIAN_ROWS = 200_000
"""Greatest number of rows (or steps of sequences) whose median is computed exactly."""


class Standardize(Step):
    """Compute ``(x - mean) / std`` with the moments of the training rows.

    A number that is missing (NaN) or infinite is replaced by the mean, which becomes 0.

    Args:
        axes: ``"feature"`` for a mean and std per column of a table or feature of a sequence,
            ``"all"`` for one of each, as grids need.
        clip: Bound of the result in standard deviations; None for no bound.
        fill: What replaces missing numbers: the ``"mean"`` or the ``"median"`` of the training
            rows. With the median, the moments are those of the filled rows. Of more than 200,000
            rows or steps, the median is that of a random 100,000 to 200,000.
        mean: Mean of each feature; fitted if None.
        std: Standard deviation of each feature; fitted if None.
        center: Median of each feature; fitted if None and ``fill`` is ``"median"``.
    """

    takes: ClassVar[Form] = NUMBERS
    name: Literal["standardize"] = "standardize"
    axes: Literal["feature", "all"] = "feature"
    clip: float | None = Field(None, gt=0)
    fill: Literal["mean", "median"] = "mean"
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    center: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _given_together(self) -> Self:
        moments = {"mean": self.mean, "std": self.std, "center": self.center}
        lengths = {name: len(given) for name, given in moments.items() if given is not None}
        if lengths and not {"mean", "std"} <= set(lengths):
            raise ValueError(
                f"mean and std must be given together, found only {', '.join(lengths)}"
            )
        if len(set(lengths.values())) > 1 or (self.axes == "all" and set(lengths.values()) - {1}):
            rule = "one number each for axes all" if self.axes == "all" else "equally many numbers"
            raise ValueError(f"mean and std must hold {rule}, found {lengths}")
        return self

    @property
    def fitted(self) -> bool:
        """Whether mean and std are known."""
        return self.mean is not None and self.std is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Return the step with the population moments of the known values, computed in float64.

        The std of a feature that never varies is 1: the feature is only centered.

        Args:
            training: Blocks of training rows.
        """
        moments, sample = _Moments(), _RowSample(MEDIAN_ROWS)
        for block in training:
            rows = self._rows(block)
            moments.add(rows)
            if self.fill == "median":
                sample.add(rows)
        center = sample.median() if self.fill == "median" else None
        if center is not None:
            moments.merge(moments.rows - moments.count, center, np.zeros(1))
        fitted = {
            "mean": tuple(moments.mean.tolist()),
            "std": tuple(moments.std().tolist()),
            "center": None if center is None else tuple(center.tolist()),
        }
        return self.model_copy(update=fitted)

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        numbers, features = len(self.mean or (0.0,)), row_shape(values)[-1]
        if numbers in (1, features):
            return None
        return f"as many features as mean and std have numbers ({numbers})"

    def _rows(self, block: Input) -> NDArray[np.float64]:
        grid = isinstance(block, PaddedFrames) and self.axes == "feature"  # a moment per frame
        values: NDArray[np.float64] = (
            (plain(block) if grid else real_values(block)).double().numpy()
        )
        return values.reshape(-1, values.shape[-1] if self.axes == "feature" else 1)

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return standardized values as float32."""
        assert self.mean is not None
        assert self.std is not None
        mean, std = self.mean, self.std

        def change(x: Tensor) -> Tensor:
            x = x.float()
            filling = column(self.center or mean, x)
            scaled = (torch.where(x.isfinite(), x, filling) - column(mean, x)) / column(std, x)
            return scaled if self.clip is None else scaled.clamp(-self.clip, self.clip)

        return on_values(values, change)


class _Moments:
    """Mean and population std of every column over the finite numbers of a stream of rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.count, self.mean, self.deviation = np.zeros(1), np.zeros(1), np.zeros(1)

    def add(self, rows: NDArray[np.float64]) -> None:
        known = np.isfinite(rows)
        count = known.sum(0)
        mean = np.where(known, rows, 0).sum(0) / np.maximum(count, 1)
        self.rows += len(rows)
        self.merge(count, mean, np.square(np.where(known, rows - mean, 0)).sum(0))

    def merge(
        self, count: NDArray[Any], mean: NDArray[np.float64], deviation: NDArray[np.float64]
    ) -> None:
        """Merge in another group of rows (Chan et al.); large means lose no digits."""
        total = np.maximum(self.count + count, 1)
        self.deviation = (
            self.deviation + deviation + (mean - self.mean) ** 2 * self.count * count / total
        )
        self.mean = self.mean + (mean - self.mean) * count / total
        self.count = self.count + count

    def std(self) -> NDArray[np.float64]:
        """Return the standard deviation; 1 for a column that does not vary."""
        std = np.sqrt(self.deviation / np.maximum(self.count, 1))
        return np.where(std > 1e-12 * np.maximum(np.abs(self.mean), 1), std, 1.0)


class _RowSample:
    """A uniform sample of a stream of rows that never holds more than ``limit`` rows.

    Every row is kept with the same probability, so that a period in the data does no harm.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.share, self.generator = limit, 1.0, np.random.default_rng(0)
        self.parts: list[tuple[NDArray[np.float32], NDArray[np.float64]]] = []

    def add(self, rows: NDArray[np.float64]) -> None:
        self.parts.append((rows.astype(np.float32), self.generator.random(len(rows))))
        self._thin(-1)
        while sum(len(rows) for rows, _ in self.parts) > self.limit:
            self.share /= 2
            self._thin(0)

    def _thin(self, first: int) -> None:
        """Drop the rows of the parts from ``first`` on whose random number exceeds the share."""
        self.parts[first:] = [
            (rows[number < self.share], number[number < self.share])
            for rows, number in self.parts[first:]
        ]

    def median(self) -> NDArray[np.float64]:
        """Return the median of the finite numbers of every column; 0 for an empty column."""
        rows = [rows for rows, _ in self.parts] or [np.zeros((0, 1), np.float32)]
        finite = (column[np.isfinite(column)] for column in np.concatenate(rows).T)
        return np.array([float(np.median(known)) if len(known) else 0.0 for known in finite])


class PCA(Step):
    """Project onto the leading principal components: x' = mu + (x - mu) V V^T.

    The components V are those of the training rows; the energy of all others is removed.

    Args:
        components: Number of components. Give either this or ``energy``.
        energy: Smallest share of the variance that the components must hold.
        mean: Mean mu; fitted if None.
        basis: Components, shape ``(components, features)``; fitted if None.
    """

    takes: ClassVar[Form] = GRID
    name: Literal["pca"] = "pca"
    components: int | None = Field(None, ge=1)
    energy: float | None = Field(None, gt=0, le=1)
    mean: tuple[float, ...] | None = None
    basis: tuple[tuple[float, ...], ...] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.components is None) == (self.energy is None):
            raise ValueError("pca must be given either components or energy")
        if any(len(row) != len(self.mean or ()) for row in self.basis or ()):
            raise ValueError("mean and every row of basis must hold equally many numbers")
        return self

    @property
    def fitted(self) -> bool:
        """Whether the components are known."""
        return self.basis is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Return the step with the eigenvectors of the covariance, computed in float64.

        Args:
            training: Blocks of training rows.

        Raises:
            DataError: Some numbers are missing.
        """
        count, total, square = 0, np.zeros(1), np.zeros((1, 1))
        for block in training:
            rows = plain(block).flatten(1).double().numpy()
            count, total, square = count + len(rows), total + rows.sum(0), square + rows.T @ rows
        mean = total / max(count, 1)
        if not np.isfinite(mean).all():
            raise DataError(
                "pca must be fitted on known numbers, found some that are missing. "
                "Put {name: standardize} before it, which fills them."
            )
        covariance = square / max(count, 1) - np.outer(mean, mean)
        variance, components = principal_components(covariance)
        variance = variance.clip(0)
        share = np.cumsum(variance) / max(variance.sum(), 1e-300)
        k = self.components or int(np.searchsorted(share, (self.energy or 1) - 1e-12) + 1)
        basis = tuple(map(tuple, components[:k].tolist()))
        return self.model_copy(update={"mean": tuple(mean.tolist()), "basis": basis})

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        features = math.prod(row_shape(values))
        if self.basis is not None and len(self.basis[0]) != features:
            return f"rows of {len(self.basis[0])} features, as it was fitted on"
        if self.basis is None and (self.components or 1) > features:
            return f"at least as many features as components ({self.components})"
        return None

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return the projected values in the shape that they had."""
        assert self.mean is not None
        assert self.basis is not None
        x = plain(values).float()
        mean, basis = column(self.mean, x), torch.tensor(self.basis, device=x.device)
        flat = x.flatten(1) - mean
        return (mean + flat @ basis.T @ basis).reshape(x.shape)


class Clip(Step):
    """Replace values below ``low`` by ``low`` and values above ``high`` by ``high``.

    Args:
        low: Lower bound; None for no bound.
        high: Upper bound; None for no bound.
    """

    takes: ClassVar[Form] = NUMBERS
    name: Literal["clip"] = "clip"
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("clip must be given low, high or both")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, found {self.low} and {self.high}")
        return self

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return the clipped values."""
        return on_values(values, lambda x: x.clamp(self.low, self.high))


class Scale(Step):
    """Compute ``(x - mean) / std`` with given numbers.

    Args:
        mean: Number that is subtracted.
        std: Number that the difference is divided by.
        channel: Whether to put a channel axis before the axes of a grid.
    """

    takes: ClassVar[Form] = NUMBERS
    name: Literal["scale"] = "scale"
    mean: float = 0.0
    std: float = Field(1.0, gt=0)
    channel: bool = False

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        if self.channel and not GRID.fits(values):
            return f"{GRID.words}, as channel is true"
        return None

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return scaled values as float32."""
        scaled = on_values(values, lambda x: (x.float() - self.mean) / self.std)
        return plain(scaled)[:, None] if self.channel else scaled
