"""Data without validation rows of their own, as released code uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2d.data.store.opening import StoreOptions, open_store
from g2d.errors import RecipeError
from g2d.recipe import Recipe
from support.made_up import made_clips


def test_rows_that_validate_and_test_are_the_same_only_where_that_is_declared(
    tmp_path: Path,
) -> None:
    made_clips(tmp_path, "clips")
    own, shared = (
        open_store(StoreOptions(store="clips", root=str(tmp_path), validation=validation))
        for validation in ("own", "test")
    )
    assert {*own.rows("train"), *own.rows("valid")} == {*shared.rows("train")}
    assert (
        shared.rows("valid").tolist() == shared.rows("test").tolist() == own.rows("test").tolist()
    )
    assert shared.only(("audio",)).rows("valid").tolist() == own.rows("test").tolist()
    assert own.content_hash == shared.content_hash
    assert len({source.protocol_hash for source in (own, shared)}) == 2
    with pytest.raises(RecipeError, match=r"train\.select_on must be test with data\.val"):
        Recipe.load("crema_d", ["data.validation=test"])
