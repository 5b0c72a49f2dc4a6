"""Values that are not finite in a whole training: nothing is poisoned, and skips are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from g2d.engine.callbacks import Callback
from g2d.engine.fit import Fit, fit
from g2d.engine.options import TrainOptions
from g2d.errors import NonFiniteError, RunError

STEPS = 5
"""Updates per epoch of the problem."""


def fit_with_bad_gradients(
    problem: Any, folder: Path, bad: Callable[[int], bool], callbacks: Any = (), **options: Any
) -> Fit:
    """Train with a gradient of NaN in every backward pass, counted from 1, that ``bad`` names."""
    model = problem.model()
    method = problem.method(model)
    passes = 0

    def change(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return gradient * torch.nan if bad(passes) else gradient

    next(model.parameters()).register_hook(change)
    plan = TrainOptions(**({"epochs": 4, "batch_size": 10, "lr": 0.05} | options))
    return fit(method, model, problem.source(), plan, folder=folder, callbacks=callbacks)


def saved(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "last" / "model.safetensors")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("update", [2 * STEPS, STEPS + 1])
def test_a_bad_update_never_poisons_the_last_checkpoint_and_the_run_goes_on_from_it(
    toy: Any, content: Any, tmp_path: Path, update: int
) -> None:
    with pytest.raises(NonFiniteError, match=r"gradient .* nan in epoch 2.*on_nonfinite=skip"):
        fit_with_bad_gradients(toy(), tmp_path / "run", lambda passes: passes == update)
    assert [line["epoch"] for line in lines(tmp_path / "run")] == [1]
    assert all(value.isfinite().all() for value in saved(tmp_path / "run").values())
    toy().fit(tmp_path / "run")
    toy().fit(tmp_path / "whole")
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_weights_that_overflow_in_the_last_update_of_an_epoch_are_not_kept(
    toy: Any, tmp_path: Path
) -> None:
    source = toy().source()
    huge = {m: values * 1e30 for m, values in source.arrays.items()}
    with pytest.raises(
        NonFiniteError, match=r"encoders\.a\.1\.running_var .* after epoch 1, which"
    ):
        toy(changed={"arrays": huge}).fit(tmp_path, batch_size=48, lr=1e-30)
    assert lines(tmp_path) == []
    assert not (tmp_path / "checkpoints").exists()


def test_skipped_batches_are_counted_per_epoch_and_over_the_sessions_of_a_run(
    toy: Any, content: Any, tmp_path: Path
) -> None:
    class Stop(Callback):
        def on_epoch(self, record: Any) -> None:
            if record["epoch"] == 3:
                raise KeyboardInterrupt

    bad = (2, STEPS + 1, STEPS + 4)
    whole = fit_with_bad_gradients(
        toy(dropout=0.3), tmp_path / "whole", bad.__contains__, on_nonfinite="skip"
    )
    assert (whole.skipped, whole.updates) == (3, 4 * STEPS - 3)
    counts = [line["train"]["skipped_updates"] for line in lines(tmp_path / "whole")]
    assert counts == [1, 2, 0, 0]
    assert any("was not finite" in notice for notice in whole.notices)
    with pytest.raises(KeyboardInterrupt):
        fit_with_bad_gradients(
            toy(dropout=0.3), tmp_path / "cut", bad.__contains__, [Stop()], on_nonfinite="skip"
        )
    resumed = fit_with_bad_gradients(
        toy(dropout=0.3), tmp_path / "cut", lambda passes: False, on_nonfinite="skip"
    )
    assert (resumed.skipped, resumed.updates) == (3, 4 * STEPS - 3)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_an_epoch_whose_batches_are_all_skipped_ends_the_run(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"epoch 2 must have a finite .* found none among 5"):
        fit_with_bad_gradients(toy(), tmp_path, lambda passes: passes > STEPS, on_nonfinite="skip")
    assert [line["epoch"] for line in lines(tmp_path)] == [1]


def test_without_faults_both_choices_train_the_same_weights(toy: Any, tmp_path: Path) -> None:
    toy(dropout=0.3).fit(tmp_path / "stop")
    toy(dropout=0.3).fit(tmp_path / "skip", on_nonfinite="skip")
    stop, skip = saved(tmp_path / "stop"), saved(tmp_path / "skip")
    assert all(torch.equal(stop[name], skip[name]) for name in stop)


def test_overflowing_gradients_under_loss_scaling_are_left_to_the_scaler(
    toy: Any, tmp_path: Path
) -> None:
    fitted = fit_with_bad_gradients(
        toy(), tmp_path, lambda passes: passes == 3, precision="float16", epochs=1
    )
    assert (fitted.updates, fitted.skipped) == (STEPS, 0)
    assert all(value.isfinite().all() for value in saved(tmp_path).values())
