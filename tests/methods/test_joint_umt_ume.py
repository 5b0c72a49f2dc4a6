"""Joint training, UMT and UME."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from g2d.errors import UnsupportedError
from g2d.fusion import Concat, Late, Sum
from g2d.methods import UME
from g2d.model import MultimodalModel, Teachers
from g2d.task import Classification
from g2d.types import Batch
from support.workbench import Bench, equal, predicted, run


@pytest.mark.parametrize(("fusion", "share"), [(Late, 1 / 3), (Sum, 1.0), (Concat, 1.0)])
def test_the_gradient_of_the_features_comes_from_their_head(
    fusion: type[Late], share: float
) -> None:
    """Check dL/df^m = share * W_m^T (p - y) / B, with share 1/k under late fusion."""
    bench = Bench("joint", k=3)
    model = MultimodalModel(
        {m: bench.encoder(m, 0) for m in bench.modalities},
        fusion({"sight": 6, "sound": 5, "word": 8}, 3),
    )
    batch = next(bench.rows())
    encoded = model.encode(batch.inputs)
    logits, _ = model.fusion(encoded)
    gradients = torch.autograd.grad(
        bench.task.loss(logits, batch.target), [e.pooled for e in encoded.values()]
    )
    residual = (logits.softmax(1) - F.one_hot(batch.target, 3)) / len(batch)
    for m, gradient in zip(encoded, gradients, strict=True):
        torch.testing.assert_close(gradient, share * residual @ model.fusion.weight(m))


def test_with_one_modality_it_is_unimodal_training_bit_for_bit() -> None:
    bench = Bench("joint", k=1)
    model, _, _ = bench.train()
    plain = bench.model()
    chain = nn.Sequential(plain.encoders["sight"], plain.fusion.heads["sight"])
    optimizer = torch.optim.SGD(
        [{"params": chain[0].parameters()}, {"params": chain[1].parameters()}],
        lr=0.05,
        momentum=0.9,
        weight_decay=1e-2,
    )
    for _ in range(2):
        for batch in bench.rows():
            optimizer.zero_grad()
            F.cross_entropy(chain(batch.inputs["sight"]), batch.target).backward()
            optimizer.step()
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )


def test_the_modalities_own_losses_can_be_added() -> None:
    bench = Bench("joint", options={"unimodal": 0.5})
    model = bench.model()
    method = bench.method(model)
    batch = next(bench.rows())
    z = model(batch.inputs, unimodal=True).unimodal_logits
    record = method.training_step(bench.state(method, model), batch)
    own = sum(float(value) for name, value in record.items() if name.startswith("loss/unimodal"))
    assert own == pytest.approx(
        0.5 * sum(F.cross_entropy(v, batch.target).item() for v in z.values()), rel=1e-5
    )


def test_umt_gives_no_gradient_where_features_equal_the_teacher_s() -> None:
    bench = Bench("umt")
    model = bench.model()
    method = bench.method(model)
    for m, teacher in method.teachers.models.items():
        model.encoders[m].load_state_dict(teacher.encoders[m].state_dict())
    batch = next(bench.rows())
    output = model(batch.inputs)
    terms = method.objective(output, batch, method.teachers(batch))
    distance = sum(term for name, term in terms.items() if name.startswith("feature"))
    assert distance.item() == 0
    assert all(
        gradient.abs().max() == 0
        for gradient in torch.autograd.grad(
            distance, list(model.encoders.parameters()), allow_unused=True
        )
        if gradient is not None
    )


@pytest.mark.parametrize("name", ["umt", "g2d", "g2d_released"])
def test_training_changes_no_weight_and_no_buffer_of_a_teacher(name: str) -> None:
    bench = Bench(name, batchnorm=True)
    model = bench.model()
    method = bench.method(model)
    run(bench, method, bench.state(method, model), [1, 2])
    untrained = bench.teachers()
    for m, teacher in method.teachers.models.items():
        assert equal(teacher, untrained.models[m])
        assert not teacher.training


def constant(*logits: float) -> MultimodalModel:
    """Return a teacher that predicts the same logits for every input."""
    name = "_".join(str(int(value)) for value in logits)
    model = MultimodalModel({name: nn.Linear(1, 1)}, Late({name: 1}, len(logits)))
    with torch.no_grad():
        model.fusion.heads[name].weight.zero_()
        model.fusion.heads[name].bias.copy_(torch.tensor(logits))
    return model


def ensemble(combine: str, *teachers: MultimodalModel) -> torch.Tensor:
    """Return the fused logits of UME for one row."""
    models = {teacher.modalities[0]: teacher for teacher in teachers}
    student = MultimodalModel(
        {m: nn.Linear(1, 1) for m in models}, Late(dict.fromkeys(models, 1), 2)
    )
    method = UME(teachers=Teachers(models), combine=combine).build(student, Classification(2))
    return predicted(
        method,
        student,
        Batch({m: torch.zeros(1, 1) for m in models}, torch.zeros(1, dtype=torch.int64)),
    ).logits[0]


def test_the_ensemble_by_hand() -> None:
    first, second = constant(2.0, 0.0), constant(0.0, 3.0)
    torch.testing.assert_close(ensemble("logits", first, second), torch.tensor([1.0, 1.5]))
    torch.testing.assert_close(
        ensemble("probabilities", first, second).exp(),
        torch.tensor([(0.880797 + 0.047426) / 2, (0.119203 + 0.952574) / 2]),
    )
    torch.testing.assert_close(ensemble("logits", second, first), ensemble("logits", first, second))
    torch.testing.assert_close(ensemble("logits", first), torch.tensor([2.0, 0.0]))


def test_the_ensemble_is_not_trained() -> None:
    bench = Bench("ume")
    model = bench.model()
    method = bench.method(model)
    with pytest.raises(UnsupportedError, match="epochs of UME must be 0"):
        method.training_step(bench.state(method, model), next(bench.rows()))
