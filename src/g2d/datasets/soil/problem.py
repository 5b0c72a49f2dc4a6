"""A built-in regression: the water content of soil from a photo and eight weather values.

It has the form of MIS-ME, but nothing is measured: rows are drawn from a small model of a field,
so that the truth is known. It shows that a recipe works, not how good a method is on soil.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.source import Source
from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.views import Chain, Scale, Standardize
from g2d.task import Regression

COLUMNS = (
    "air temperature",
    "humidity",
    "precipitation",
    "solar flux",
    "wind speed",
    "pressure",
    "tilt x",
    "tilt y",
)
SIZE = 32


class SoilOptions(BaseModel):
    """Options of ``soil`` in a recipe.

    Args:
        modalities: Names of the modalities, in order.
        stations: Number of stations; the rows of a station are in one split.
        visits: Number of rows per station.
        missing: Share of the weather values that are missing (NaN).
        output: Output of the task: ``"identity"`` as in MIS-ME, or ``"sigmoid"`` as in G²D's Eq. 1.
        data_seed: Seed of every draw.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: tuple[Literal["image", "weather"], ...] = Field(("image", "weather"), min_length=1)
    stations: int = Field(50, ge=10, le=10_000)
    visits: int = Field(20, ge=1, le=10_000)
    missing: float = Field(0.03, ge=0, le=0.5)
    output: Literal["identity", "sigmoid"] = "identity"
    data_seed: int = Field(0, ge=0)


def open_soil(options: SoilOptions) -> Source:
    """Draw the problem; 60 % of the stations train, 20 % validate and 20 % test.

    Args:
        options: Options of the problem.
    """
    rng = np.random.default_rng(options.data_seed)
    station = np.repeat(np.arange(options.stations), options.visits)
    ends = [0, round(0.6 * options.stations), round(0.8 * options.stations), options.stations]
    part = np.repeat(np.array([TRAIN, VALID, TEST], np.int8), np.diff(ends))
    split = part[rng.permutation(options.stations)][station]
    table, water = _weather(rng, station)
    stored: dict[str, NDArray[Any]] = {"image": _photos(rng, station, water), "weather": table}
    stored["weather"][rng.random(table.shape) < options.missing] = np.nan
    train = split == TRAIN
    low, high = float(water[train].min()), float(water[train].max())
    target = ((water - low) / (high - low)).astype(np.float32)[:, None]
    variance = float(target[train].var())
    views = {"image": _photo_view(), "weather": _weather_view(stored["weather"][train])}
    return Source(
        name="soil",
        task=Regression(1, output=options.output, low=low, high=high, variance=variance),
        arrays={m: stored[m] for m in options.modalities},
        target=target,
        group=station,
        split=split,
        protocol="soil/station-disjoint-v1",
        views={m: views[m] for m in options.modalities},
        facts={
            "options": options.model_dump(mode="json"),
            "note": "drawn at random: nothing in it was measured",
        },
    )


def _photo_view() -> Chain:
    scale = Scale(mean=114.0, std=50.0)
    return Chain("image", (scale,), {**scale.model_dump(exclude={"name"}), "view": "scaled"})


def _weather_view(train: NDArray[np.float32]) -> Chain:
    """Return the view that standardizes the columns; a column that never varies is centered."""
    mean, std = (f(train, axis=0, dtype=np.float64).round(6) for f in (np.nanmean, np.nanstd))
    moments = {"mean": mean.tolist(), "std": np.where(std, std, 1.0).tolist()}
    return Chain("weather", (Standardize(**moments),), {"view": "standardized", **moments})


def _weather(
    rng: np.random.Generator, station: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Draw eight values per row and the water content in percent that follows from them.

    The water content depends on rain, evaporation and the soil of the station.
    """
    n = len(station)
    temperature, wind = rng.normal(20, 7, n), rng.gamma(2, 1.5, n)
    rain = rng.gamma(0.6, 6, n)
    humidity = np.clip(55 + 1.2 * rain - 0.8 * (temperature - 20) + rng.normal(0, 8, n), 5, 100)
    solar = np.clip(220 + 9 * (temperature - 20) - 4 * rain + rng.normal(0, 50, n), 0, 500)
    pressure, tilts = rng.normal(970, 8, n), rng.normal(0, 4, (2, n))
    holds = rng.uniform(0.6, 1.4, station.max() + 1)[station]
    dries = 0.02 * solar + 0.15 * (temperature - 20) + 0.4 * wind - 0.05 * humidity
    water = np.clip(holds * (24 + 7 * np.log1p(rain) - 1.2 * dries) + rng.normal(0, 1.5, n), 3, 55)
    table = np.stack([temperature, humidity, rain, solar, wind, pressure, *tilts], axis=1).astype(
        np.float32
    )
    return table, water


def _photos(
    rng: np.random.Generator, station: NDArray[np.int64], water: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Draw photos ``(N, 3, 32, 32)``.

    Wet soil is darker. The color depends on the station and the light on the hour; grains and
    straw are visible.
    """
    n = len(station)
    color = rng.uniform(0.8, 1.2, (station.max() + 1, 3))[station]
    light = rng.uniform(0.75, 1.15, n)
    base = 190 * light * (1 - 0.012 * water)
    grain = rng.normal(0, 18, (n, 1, SIZE, SIZE))
    photos = base[:, None, None, None] * color[:, :, None, None] + grain
    for i, (top, left, length) in enumerate(
        zip(*rng.integers(0, (SIZE - 2, SIZE // 2, SIZE // 2), (n, 3)).T, strict=True)
    ):
        photos[i, :, top : top + 2, left : left + length] += 60
    return np.clip(np.rint(photos), 0, 255).astype(np.uint8)
