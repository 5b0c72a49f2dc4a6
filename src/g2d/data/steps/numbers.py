"""Numbers: what is learnt on the training rows, and nowhere else."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.steps.step import Draw, Step, column, on_values, plain, real_values
from g2d.errors import DataError
from g2d.types import Input


class Standardize(Step):
    """``(x - mean) / std`` by the training rows; NaN becomes the mean, which is 0.

    Args:
        axes: ``"feature"``: a mean and std for every column of a table or feature of a sequence; ``"all"``: one of each, for grids.
        clip: bound of the result, in standard deviations; None for none.
        fill: what stands for a number that is missing or infinite: the training rows' mean, or their median (the moments are then taken with it).
        mean, std: fitted, or given. center: of each feature, where it is the median that fills.
    """

    name: Literal["standardize"] = "standardize"
    axes: Literal["feature", "all"] = "feature"
    clip: float | None = Field(None, gt=0)
    fill: Literal["mean", "median"] = "mean"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None

    @property
    def fitted(self) -> bool:
        return self.mean is not None and self.std is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Population moments over known values, in float64; what never varies is only centered."""
        blocks: Iterable[NDArray[np.float64]] = (self._rows(block) for block in training)
        center = None
        if self.fill == "median":
            parts = [rows.astype(np.float32) for rows in blocks]
            together = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
            together[~np.isfinite(together)] = np.nan
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a feature without any number: 0 will do
                center = np.nan_to_num(np.nanmedian(together, axis=0).astype(np.float64))
            blocks = [np.where(np.isfinite(together), together, center)]
        mean, std = _moments(blocks)
        given = {"mean": tuple(mean.tolist()), "std": tuple(std.tolist()), "center": None if center is None else tuple(center.tolist())}
        return self.model_copy(update=given)

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


def _moments(blocks: Iterable[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population standard deviation of every column over finite numbers; 1 for a column that does not vary."""
    count, mean, deviation = np.zeros(1), np.zeros(1), np.zeros(1)
    for rows in blocks:
        known = np.isfinite(rows)
        n = known.sum(0)
        block_mean = np.where(known, rows, 0).sum(0) / np.maximum(n, 1)
        block_deviation = np.square(np.where(known, rows - block_mean, 0)).sum(0)
        # Chan's merge of two groups: no loss of digits where the mean is large.
        total = np.maximum(count + n, 1)
        deviation = deviation + block_deviation + (block_mean - mean) ** 2 * count * n / total
        mean = mean + (block_mean - mean) * n / total
        count = count + n
    std = np.sqrt(deviation / np.maximum(count, 1))
    std = np.where(std > 1e-12 * np.maximum(np.abs(mean), 1), std, 1.0)
    return np.atleast_1d(mean), np.atleast_1d(std)


class PCA(Step):
    """x' = mu + (x - mu) V V^T with the leading principal components V of the training rows: the energy of the others is removed.

    Args:
        components: how many are kept; or
        energy: the share of the variance that is kept at least.
        mean, basis: fitted; basis is V, row by row ``(components, features)``.
    """

    name: Literal["pca"] = "pca"
    components: int | None = Field(None, ge=1)
    energy: float | None = Field(None, gt=0, le=1)
    mean: tuple[float, ...] | None = None
    basis: tuple[tuple[float, ...], ...] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.components is None) == (self.energy is None):
            raise ValueError("pca must be given components or energy, one of both")
        return self

    @property
    def fitted(self) -> bool:
        return self.basis is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Eigenvectors of the covariance in float64."""
        count, total, square = 0, np.zeros(1), np.zeros((1, 1))
        for block in training:
            rows = plain(block, self.name).flatten(1).double().numpy()
            count, total, square = count + len(rows), total + rows.sum(0), square + rows.T @ rows
        mean = total / max(count, 1)
        variance, vectors = np.linalg.eigh(square / max(count, 1) - np.outer(mean, mean))
        variance, vectors = variance[::-1].clip(0), vectors[:, ::-1]
        if self.components is not None and self.components > len(mean):
            raise DataError(f"pca must keep at most as many components as there are features ({len(mean)}), found {self.components}.")
        share = np.cumsum(variance) / max(variance.sum(), 1e-300)
        k = self.components or int(np.searchsorted(share, (self.energy or 1) - 1e-12) + 1)
        return self.model_copy(update={"mean": tuple(mean.tolist()), "basis": tuple(tuple(row) for row in vectors[:, :k].T.tolist())})

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        assert self.mean is not None
        assert self.basis is not None
        x = plain(values, self.name).float()
        mean, basis = column(self.mean, x), torch.tensor(self.basis, device=x.device)
        flat = x.flatten(1) - mean
        return (mean + flat @ basis.T @ basis).reshape(x.shape)


class Clip(Step):
    """Values below ``low`` become ``low``, values above ``high`` become ``high``."""

    name: Literal["clip"] = "clip"
    low: float | None = None
    high: float | None = None

    def __call__(self, values: Input, draw: Draw) -> Input:
        return on_values(values, lambda x: x.clamp(self.low, self.high))


class Scale(Step):
    """``(x - mean) / std`` with numbers that are given, and a channel axis put in front of a grid if asked for."""

    name: Literal["scale"] = "scale"
    mean: float = 0.0
    std: float = Field(1.0, gt=0)
    channel: bool = False

    def __call__(self, values: Input, draw: Draw) -> Input:
        scaled = on_values(values, lambda x: (x.float() - self.mean) / self.std)
        return plain(scaled, self.name)[:, None] if self.channel else scaled
