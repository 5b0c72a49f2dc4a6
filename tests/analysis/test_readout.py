"""Distance between the readout of a modality and dropping the others' inputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from g2d.analysis import readout_error
from g2d.fusion import BiGated, CrossAttention, FiLM, Fusion, Late, Sum
from g2d.model import MultimodalModel
from support.workbench import Bench

DIMS = {"sight": 6, "sound": 5, "word": 8}


def measured(fusion: Fusion, absent: bool = False) -> dict[str, tuple[float, float]]:
    bench = Bench("joint", k=3, absent=absent)
    model = MultimodalModel({m: bench.encoder(m, 0) for m in DIMS}, fusion)
    return {
        m: (error.relative, error.agreement)
        for m, error in readout_error(model, bench.rows()).items()
    }


def test_the_error_is_its_definition_written_out() -> None:
    bench = Bench("joint", k=2)
    model = MultimodalModel(
        {m: bench.encoder(m, 0) for m in bench.modalities}, FiLM({"sight": 6, "sound": 5}, 3)
    )
    rows = list(bench.rows())
    error = readout_error(model, rows)["sight"]
    model.eval()
    with torch.no_grad():
        z = torch.cat(
            [model(batch.inputs, unimodal=True).unimodal_logits["sight"] for batch in rows]
        )
        dropped = torch.cat(
            [
                model({**batch.inputs, "sound": torch.zeros_like(batch.inputs["sound"])}).logits
                for batch in rows
            ]
        )
    z, dropped = z - z.mean(1, keepdim=True), dropped - dropped.mean(1, keepdim=True)
    assert error.relative == pytest.approx(
        ((z - dropped).square().sum() / dropped.square().sum()).sqrt().item(), rel=1e-5
    )
    assert error.agreement == pytest.approx(
        (z.argmax(1) == dropped.argmax(1)).float().mean().item()
    )


@pytest.mark.parametrize("fusion", [Late, Sum])
def test_an_exact_readout_differs_only_by_the_features_of_zero_inputs(fusion: type[Late]) -> None:
    assert all(relative > 0 for relative, _ in measured(fusion(DIMS, 3)).values())
    bench = Bench("joint", k=2)
    encoders = {
        "sight": nn.Sequential(nn.Flatten(), nn.Linear(36, 6, bias=False)),
        "sound": nn.Linear(4, 5, bias=False),
    }
    model = MultimodalModel(encoders, fusion({"sight": 6, "sound": 5}, 3))
    for head in model.fusion.heads.values():
        nn.init.zeros_(head.bias)
    for error in readout_error(model, bench.rows()).values():
        assert error.relative < 1e-6
        assert error.agreement == 1.0


@pytest.mark.parametrize("fusion", [FiLM, BiGated, CrossAttention])
def test_approximate_readouts_have_a_finite_error_with_and_without_missing_modalities(
    fusion: type[FiLM],
) -> None:
    for absent in (False, True):
        for relative, agreement in measured(fusion(DIMS, 3), absent).values():
            assert 0 < relative < float("inf")
            assert 0 <= agreement <= 1


def test_the_model_stays_in_train_mode() -> None:
    bench = Bench("joint", batchnorm=True)
    model = bench.model().train()
    readout_error(model, bench.rows())
    assert all(module.training for module in model.modules())
