"""Numbers: what is learnt on the training rows, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.views.step import (
    GRID,
    NUMBERS,
    Draw,
    Form,
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
"""Rows of a table, or steps of sequences, of which a median is taken; it is exact where there are no more."""


class Standardize(Step):
    """``(x - mean) / std`` by the training rows; NaN becomes the mean, which is 0.

    Args:
        axes: ``"feature"``: a mean and std for every column of a table or feature of a sequence; ``"all"``: one of each, for grids.
        clip: bound of the result, in standard deviations; None for none.
        fill: what stands for a number that is missing or infinite: the training rows' mean, or their median (the moments are then taken with it;
            the median itself is that of a random 100,000 to 200,000 rows or steps, where there are more than 200,000).
        mean, std: fitted, or given. center: of each feature, where it is the median that fills.
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
        lengths = {
            name: len(given)
            for name, given in (("mean", self.mean), ("std", self.std), ("center", self.center))
            if given is not None
        }
        if lengths and not {"mean", "std"} <= set(lengths):
            raise ValueError(
                f"mean and std must be given together, found only {', '.join(lengths)}"
            )
        if len(set(lengths.values())) > 1 or (self.axes == "all" and set(lengths.values()) - {1}):
            raise ValueError(
                f"mean and std must hold {'one number each for axes all' if self.axes == 'all' else 'equally many numbers'}, found {lengths}"
            )
        return self

    @property
    def fitted(self) -> bool:
        return self.mean is not None and self.std is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Population moments over known values, in float64; what never varies is only centered."""
        moments, some = _Moments(), _Some(MEDIAN_ROWS)
        for block in training:
            rows = self._rows(block)
            moments.add(rows)
            if self.fill == "median":
                some.add(rows)
        center = some.median() if self.fill == "median" else None
        if center is not None:
            moments.merge(moments.rows - moments.count, center, np.zeros(1))
        mean, std = moments.mean, moments.std()
        given = {
            "mean": tuple(mean.tolist()),
            "std": tuple(std.tolist()),
            "center": None if center is None else tuple(center.tolist()),
        }
        return self.model_copy(update=given)

    def wants(self, values: Input) -> str | None:
        given, features = len(self.mean or (0.0,)), row_shape(values)[-1]
        return (
            None
            if given in (1, features)
            else f"as many features as mean and std have numbers ({given})"
        )

    def _rows(self, block: Input) -> NDArray[np.float64]:
        values: NDArray[np.float64] = real_values(block).double().numpy()
        return values.reshape(-1, values.shape[-1] if self.axes == "feature" else 1)

    def __call__(self, values: Input, draw: Draw) -> Input:
        assert self.mean is not None
        assert self.std is not None
        mean, std = self.mean, self.std

        def change(x: Tensor) -> Tensor:
            x = x.float()
            missing = column(self.center or mean, x)
            scaled = (torch.where(x.isfinite(), x, missing) - column(mean, x)) / column(std, x)
            return scaled if self.clip is None else scaled.clamp(-self.clip, self.clip)

        return on_values(values, change)


class _Moments:
    """Mean and population standard deviation of every column over the finite numbers of a stream of rows."""

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
        """Chan's merge of two groups: no loss of digits where the mean is large."""
        total = np.maximum(self.count + count, 1)
        self.deviation = (
            self.deviation + deviation + (mean - self.mean) ** 2 * self.count * count / total
        )
        self.mean = self.mean + (mean - self.mean) * count / total
        self.count = self.count + count

    def std(self) -> NDArray[np.float64]:
        """1 for a column that does not vary."""
        std = np.sqrt(self.deviation / np.maximum(self.count, 1))
        return np.where(std > 1e-12 * np.maximum(np.abs(self.mean), 1), std, 1.0)


class _Some:
    """All rows of a stream, or so many as memory has room for: each is kept by the same chance, so no period of the data is hit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.share, self.generator = limit, 1.0, np.random.default_rng(0)
        self.parts: list[tuple[NDArray[np.float32], NDArray[np.float64]]] = []

    def add(self, rows: NDArray[np.float64]) -> None:
        self.parts.append((rows.astype(np.float32), self.generator.random(len(rows))))
        self._keep(-1)
        while sum(len(rows) for rows, _ in self.parts) > self.limit:
            self.share /= 2
            self._keep(0)

    def _keep(self, first: int) -> None:
        """Leave out the rows of the parts from one on whose luck does not reach."""
        self.parts[first:] = [
            (rows[luck < self.share], luck[luck < self.share]) for rows, luck in self.parts[first:]
        ]

    def median(self) -> NDArray[np.float64]:
        """Of the finite numbers of every column; 0 where there are none."""
        together = (
            np.concatenate([rows for rows, _ in self.parts])
            if self.parts
            else np.zeros((0, 1), np.float32)
        )
        columns = (column[np.isfinite(column)] for column in together.T)
        return np.array([float(np.median(known)) if len(known) else 0.0 for known in columns])


class PCA(Step):
    """x' = mu + (x - mu) V V^T with the leading principal components V of the training rows: the energy of the others is removed.

    Args:
        components: how many are kept; or
        energy: the share of the variance that is kept at least.
        mean, basis: fitted; basis is V, row by row ``(components, features)``.
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
            raise ValueError("pca must be given components or energy, one of both")
        if any(len(row) != len(self.mean or ()) for row in self.basis or ()):
            raise ValueError("mean and every row of basis must hold equally many numbers")
        return self

    @property
    def fitted(self) -> bool:
        return self.basis is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Eigenvectors of the covariance in float64."""
        count, total, square = 0, np.zeros(1), np.zeros((1, 1))
        for block in training:
            rows = plain(block).flatten(1).double().numpy()
            count, total, square = count + len(rows), total + rows.sum(0), square + rows.T @ rows
        mean = total / max(count, 1)
        if not np.isfinite(mean).all():
            raise DataError(
                "pca must learn from known numbers, found some that are missing. Put {name: standardize} before it, which fills them."
            )
        variance, vectors = np.linalg.eigh(square / max(count, 1) - np.outer(mean, mean))
        variance, vectors = variance[::-1].clip(0), vectors[:, ::-1]
        share = np.cumsum(variance) / max(variance.sum(), 1e-300)
        k = self.components or int(np.searchsorted(share, (self.energy or 1) - 1e-12) + 1)
        return self.model_copy(
            update={
                "mean": tuple(mean.tolist()),
                "basis": tuple(tuple(row) for row in vectors[:, :k].T.tolist()),
            }
        )

    def wants(self, values: Input) -> str | None:
        features = math.prod(row_shape(values))
        if self.basis is not None:
            return (
                None
                if len(self.basis[0]) == features
                else f"rows of {len(self.basis[0])} features, as it was fitted on"
            )
        return (
            f"at least as many features as components ({self.components})"
            if (self.components or 1) > features
            else None
        )

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        assert self.mean is not None
        assert self.basis is not None
        x = plain(values).float()
        mean, basis = column(self.mean, x), torch.tensor(self.basis, device=x.device)
        flat = x.flatten(1) - mean
        return (mean + flat @ basis.T @ basis).reshape(x.shape)


class Clip(Step):
    """Values below ``low`` become ``low``, values above ``high`` become ``high``."""

    takes: ClassVar[Form] = NUMBERS
    name: Literal["clip"] = "clip"
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if (-math.inf if self.low is None else self.low) >= (
            math.inf if self.high is None else self.high
        ):
            raise ValueError(f"low must be below high, found {self.low} and {self.high}")
        if self.low is None and self.high is None:
            raise ValueError("clip must be given low, high or both")
        return self

    def __call__(self, values: Input, draw: Draw) -> Input:
        return on_values(values, lambda x: x.clamp(self.low, self.high))


class Scale(Step):
    """``(x - mean) / std`` with numbers that are given, and a channel axis put in front of a grid if asked for."""

    takes: ClassVar[Form] = NUMBERS
    name: Literal["scale"] = "scale"
    mean: float = 0.0
    std: float = Field(1.0, gt=0)
    channel: bool = False

    def wants(self, values: Input) -> str | None:
        return (
            f"{GRID.words}, as channel is true" if self.channel and not GRID.fits(values) else None
        )

    def __call__(self, values: Input, draw: Draw) -> Input:
        scaled = on_values(values, lambda x: (x.float() - self.mean) / self.std)
        return plain(scaled)[:, None] if self.channel else scaled
