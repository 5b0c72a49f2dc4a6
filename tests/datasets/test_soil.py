"""The soil problem: deterministic, split by station, fitted on training rows only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LinearRegression

from g2d.datasets.soil.problem import SoilOptions, open_soil


def test_the_same_seed_draws_the_same_soil() -> None:
    first, again, other = (
        open_soil(SoilOptions()),
        open_soil(SoilOptions()),
        open_soil(SoilOptions(data_seed=1)),
    )
    assert first.content_hash == again.content_hash != other.content_hash
    assert first.protocol_hash == again.protocol_hash


def test_stations_do_not_cross_the_split() -> None:
    source = open_soil(SoilOptions())
    groups = [set(source.groups(split)) for split in ("train", "valid", "test")]
    assert [len(group) for group in groups] == [30, 10, 10]
    assert len(set.union(*groups)) == 50
    assert [len(source.rows(split)) for split in ("train", "valid", "test")] == [600, 200, 200]


def test_the_scale_is_that_of_the_training_rows() -> None:
    source = open_soil(SoilOptions())
    train = source.target[source.rows("train")]
    assert (train.min(), train.max()) == (0.0, 1.0)
    water = source.task.unscale(torch.from_numpy(source.target))
    assert 3 <= water.min() < water.max() <= 55


def test_missing_values_become_the_training_mean() -> None:
    source = open_soil(SoilOptions(missing=0.2))
    stored = source.arrays["weather"]
    assert 0.17 < np.isnan(stored).mean() < 0.23
    batch = source.view(source.gather(source.rows("train")), seed=0, epoch=1, train=True)
    values = batch.inputs["weather"]
    assert torch.isfinite(values).all()
    assert (values[torch.from_numpy(np.isnan(stored[source.rows("train")]))] == 0).all()
    known = np.where(np.isnan(stored), np.nan, stored)[source.rows("train")]
    expected = (known - np.nanmean(known, 0)) / np.nanstd(known, 0)
    torch.testing.assert_close(
        values, torch.from_numpy(np.nan_to_num(expected)).float(), rtol=1e-3, atol=1e-3
    )


def test_both_modalities_know_something_of_the_water_and_not_all() -> None:
    source = open_soil(SoilOptions())
    for values in (
        np.nan_to_num(source.arrays["weather"], nan=0.0),
        source.arrays["image"].astype(np.float64).mean((2, 3)),
    ):
        train, test = source.rows("train"), source.rows("test")
        fitted = LinearRegression().fit(values[train], source.target[train])
        assert 0.2 < fitted.score(values[test], source.target[test]) < 0.95


def test_one_modality_can_be_asked_for_and_nonsense_is_refused() -> None:
    assert open_soil(SoilOptions(modalities=("weather",))).modalities == ("weather",)
    with pytest.raises(ValidationError):
        SoilOptions(stations=3)


def test_hashes_are_those_of_the_first_version_so_that_its_runs_still_open() -> None:
    source = open_soil(SoilOptions())
    assert source.content_hash.startswith("e60e6d750dd725d5")
    assert source.protocol_hash.startswith("9697622d977f0367")
