"""Steps that the public code of the compared methods computed, and the same steps by this library.

The files and their layout are described in ``tests/golden/README.md``. A test builds a method,
lets :func:`replay` take the recorded steps and compares with :func:`check`::

    golden = Golden("ogm_concat")
    model = golden.model(Concat)
    method = OGMGE(...).build(model, golden.task)
    check(replay(golden, model, method.double()), Equal())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from g2d.fusion import Additive, BiGated, Concat, FiLM, Fusion, Late
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.task import Classification, Regression, Task
from g2d.types import Batch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "golden"
TOLERANCE = 1e-12
"""Largest difference of equal numbers, relative to the largest entry of an array if above 1."""

Named = dict[str, tuple[Tensor, ...]]
"""Tensors of a model under the names of a file; several are the columns of one."""
Reader = Callable[[Mapping[str, float]], float]
"""Function that computes a recorded number from the record of a training step."""


@cache
def _arrays(name: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


class Golden:
    """Recorded steps of one file.

    Args:
        name: Name of the file without its suffix.
    """

    def __init__(self, name: str) -> None:
        self.name, self.arrays = name, _arrays(name)
        self.steps = int(self.arrays["steps"]) if "steps" in self.arrays else 0
        self.hyper = {key: value.item() for key, value in self.below("hyper").items()}
        self.modalities = tuple(self.below("input"))

    def below(self, part: str) -> dict[str, Tensor]:
        """Return the arrays whose key begins with ``part/``, by the rest of their key."""
        return {
            key.removeprefix(f"{part}/"): torch.from_numpy(value.copy())
            for key, value in self.arrays.items()
            if key.startswith(f"{part}/") and value.dtype.kind != "U"
        }

    def per_modality(self, name: str) -> dict[str, float]:
        """Return a hyperparameter that each modality has its own value of."""
        return {m: self.hyper[f"{name}_{m}"] for m in self.modalities}

    @property
    def task(self) -> Task:
        """Kind of target: 6 classes, or one real value without a sigmoid."""
        if self.arrays["target"].ndim == 1:
            return Classification(6)
        return Regression(1, output="identity")

    @property
    def initial(self) -> dict[str, Tensor]:
        """Tensors before the first step."""
        in_units = self.below("initial_in_units")
        whole = {name: value * self.hyper["unit"] for name, value in in_units.items()}
        return self.below("initial") | whole

    @property
    def dims(self) -> dict[str, int]:
        """Width of every modality's features."""
        return {m: _layers(self.initial, m)[-1][1]["weight"].shape[0] for m in self.modalities}

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """Yield the epoch of every step, as the authors' code counts, and its batch."""
        ends = np.cumsum(self.arrays["rows"])
        inputs, target = self.below("input"), torch.from_numpy(self.arrays["target"])
        for epoch, rows, end in zip(self.arrays["epoch"], self.arrays["rows"], ends, strict=True):
            cut = slice(int(end - rows), int(end))
            yield int(epoch), Batch({m: x[cut] for m, x in inputs.items()}, target[cut])

    def model(self, kind: type[Fusion], **options: Any) -> MultimodalModel:
        """Return the recorded model in float64, with its initial weights.

        Args:
            kind: Class of the fusion. Weights that the file does not hold, such as the heads of a
                fusion that the method does not use, stay random.
            options: Further arguments of the fusion.
        """
        encoders = {m: _encoder(self.initial, m) for m in self.modalities}
        model = MultimodalModel(encoders, kind(self.dims, self.task.outputs, **options)).double()
        load(self.initial, parts(model))
        return model

    def teachers(self) -> Teachers:
        """Return the recorded teachers in float64."""
        frozen, models = self.below("teacher"), {}
        for m in self.modalities:
            fusion = Late({m: self.dims[m]}, self.task.outputs)
            models[m] = MultimodalModel({m: _encoder(frozen, m)}, fusion).double()
            load(frozen, parts(models[m]))
        return Teachers(models)


def _layers(tensors: Mapping[str, Tensor], modality: str) -> list[tuple[int, dict[str, Tensor]]]:
    """Return number and tensors of every layer with weights of an encoder."""
    layers: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(f"encoder.{modality}."):
            number, kind = name.split(".")[-2:]
            layers.setdefault(int(number), {})[kind] = value
    return sorted(layers.items())


class _Encoder(nn.Sequential):
    """Layers of an encoder; features are means over positions and frames."""

    def forward(self, values: Tensor) -> Tensor:
        """Return features of rows ``(B, D)``, pictures or films ``(B, C, T, H, W)``."""
        rows, film = len(values), values.ndim == 5
        x = values.transpose(1, 2).flatten(0, 1) if film else values
        for layer in self:
            x = layer(_pooled(x, rows) if isinstance(layer, nn.Linear) else x)
        return _pooled(x, rows)


def _pooled(x: Tensor, rows: int) -> Tensor:
    """Return the mean over positions and frames of maps; rows of features as they are."""
    return x.mean((2, 3)).unflatten(0, (rows, -1)).mean(1) if x.ndim == 4 else x


def _encoder(tensors: Mapping[str, Tensor], modality: str) -> nn.Module:
    """Return the encoder that recorded tensors belong to, with random weights."""
    layers: list[nn.Module] = []
    for number, of_layer in _layers(tensors, modality):
        if len(layers) < number:
            layers.append(nn.Tanh())
        weight = of_layer["weight"]
        if weight.ndim == 4:
            size = weight.shape[2]
            layers.append(nn.Conv2d(weight.shape[1], weight.shape[0], size, padding=size // 2))
        elif weight.ndim == 2:
            layers.append(nn.Linear(weight.shape[1], weight.shape[0]))
        else:
            layers.append(nn.BatchNorm2d(len(weight)))
    return _Encoder(*layers)


def of_module(prefix: str, module: nn.Module) -> Named:
    """Return parameters and statistics of a module as ``<prefix>.<name>``."""
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {
        f"{prefix}.{name}": (tensor,)
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


def parts(model: MultimodalModel) -> Named:
    """Return the tensors of encoders and fusion under the names of the files."""
    named: Named = {}
    for m, encoder in model.encoders.items():
        named |= of_module(f"encoder.{m}", encoder)
    fusion = model.fusion
    if isinstance(fusion, Concat):
        columns = tuple(fusion.weight(m) for m in fusion.dims)
        return named | {"head.weight": columns, "head.bias": (fusion.bias,)}
    if isinstance(fusion, Additive):
        for m, head in fusion.heads.items():
            named |= of_module(f"head.{m}", head)
    if isinstance(fusion, FiLM):
        (generator,) = fusion.generators.values()
        named |= of_module("film", generator) | of_module("head", fusion.head)
    if isinstance(fusion, BiGated):
        for m, projection in fusion.projections.items():
            named |= of_module(f"projection.{m}", projection)
        named |= of_module("head", fusion.head)
    return named


@torch.no_grad()
def load(recorded: Mapping[str, Tensor], named: Named) -> None:
    """Copy recorded tensors into those of the same name, as far as both exist."""
    for name in named.keys() & recorded.keys():
        columns = [t.shape[1] for t in named[name]] if len(named[name]) > 1 else None
        values = recorded[name].split(columns, dim=1) if columns else (recorded[name],)
        for tensor, value in zip(named[name], values, strict=True):
            tensor.copy_(value)


def joined(tensors: Iterable[Tensor | None]) -> Tensor | None:
    """Return a copy of tensors joined by columns; None if there is none."""
    given = [t.detach() for t in tensors if t is not None]
    if not given:
        return None
    return given[0].clone() if len(given) == 1 else torch.cat(given, dim=1)


@dataclass
class Replay:
    """Results of this library on recorded steps.

    Attributes:
        golden: The recorded steps.
        records: Record of every training step.
        gradients: Gradients that the optimizer received, per update, by the names of the file.
        after: Tensors after every update, by the names of the file.
    """

    golden: Golden
    records: list[dict[str, float]] = field(default_factory=list)
    gradients: list[dict[str, Tensor | None]] = field(default_factory=list)
    after: list[dict[str, Tensor | None]] = field(default_factory=list)


def replay(
    golden: Golden,
    model: MultimodalModel,
    method: Method,
    *,
    named: Named | None = None,
    first_epoch: int = 0,
    before_step: Callable[[int], None] | None = None,
    **options: Any,
) -> Replay:
    """Take the recorded steps with a method of this library.

    Args:
        golden: The recorded steps.
        model: The model, see :meth:`Golden.model`.
        method: The method, built for the model and in float64.
        named: Tensors of the method's own heads under the names of the file, in addition to
            :func:`parts`; their recorded initial values are loaded.
        first_epoch: Number of the first epoch in the authors' counting; ours is 1.
        before_step: Function that is called with the number of each step, from 0.
        options: Further arguments of :class:`~g2d.method.TrainState`.
    """
    everything = parts(model) | (named or {})
    load(golden.initial, everything)
    hyper = {key: golden.hyper[key] for key in ("lr", "momentum", "weight_decay")}
    optimizer = SGD(method.parameter_groups(model), **hyper)
    state = TrainState(model, optimizer, golden.task, **options)
    replayed = Replay(golden)

    def note(*_: Any) -> None:
        if len(replayed.after) < len(replayed.gradients):
            replayed.after.append({key: joined(value) for key, value in everything.items()})

    def note_gradients(*_: Any) -> None:
        note()
        replayed.gradients.append(
            {key: joined(t.grad for t in value) for key, value in everything.items()}
        )

    optimizer.register_step_pre_hook(note_gradients)
    epoch = None
    for step, (counted, batch) in enumerate(golden.batches()):
        state.epoch = counted - first_epoch + 1
        if counted != epoch:
            model.train()
            method.train()
            method.epoch_start(state)
            epoch = counted
        if before_step is not None:
            before_step(step)
        record = method.training_step(state, batch)
        replayed.records.append({key: float(value) for key, value in record.items()})
        note()
    return replayed


def total(record: Mapping[str, float]) -> float:
    """Return the sum of all terms of a step's loss."""
    return sum(value for key, value in record.items() if key.startswith("loss/"))


def entry(key: str, factor: float = 1.0) -> Reader:
    """Return a reader of one entry of a record, 0 without it, multiplied by a factor."""
    return lambda record: record.get(key, 0.0) * factor


def differences(
    replayed: Replay,
    losses: Mapping[str, Reader] | None = None,
    coefficients: Mapping[str, Reader] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return the largest absolute difference per kind, and the largest relative to size.

    Args:
        replayed: Result of :func:`replay`.
        losses: Reader per key of a loss in the file; by default the sum of all terms is compared
            with ``loss/total``, or ``loss/task`` without it.
        coefficients: Reader per key of a coefficient; by default ``kappa/M`` is compared with
            ``coefficient/M``, where the file has it.

    Returns:
        Differences by kind: ``"loss"``, ``"coefficient"`` (where there are any), ``"gradient"``
        and ``"after"``.
    """
    arrays = replayed.golden.arrays
    if losses is None:
        losses = {"loss/total" if "loss/total" in arrays else "loss/task": total}
    if coefficients is None:
        keys = [key for key in arrays if key.startswith("coefficient/")]
        coefficients = {key: entry(key.replace("coefficient", "kappa")) for key in keys}
    distances = {"loss": [_of_records(replayed, key, read) for key, read in losses.items()]}
    if coefficients:
        distances["coefficient"] = [
            _of_records(replayed, key, read) for key, read in coefficients.items()
        ]
    distances["gradient"] = of_tensors(replayed.golden.below("gradient"), replayed.gradients)
    distances["after"] = of_tensors(replayed.golden.below("after"), replayed.after)
    return {
        kind: (max(a for a, _ in pairs), max(r for _, r in pairs))
        for kind, pairs in distances.items()
    }


def distance(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Return the largest absolute difference, and the same relative to sizes above 1."""
    assert ours.shape == theirs.shape
    assert theirs.dtype == ours.dtype == torch.float64
    largest = (ours - theirs).abs().max().item()
    return largest, largest / max(1.0, theirs.abs().max().item())


def _of_records(replayed: Replay, key: str, read: Reader) -> tuple[float, float]:
    theirs = torch.from_numpy(replayed.golden.arrays[key])
    ours = torch.tensor([read(record) for record in replayed.records], dtype=torch.float64)
    defined = ~theirs.isnan()
    return distance(ours[defined], theirs[defined])


def of_tensors(
    recorded: Mapping[str, Tensor], ours: list[dict[str, Tensor | None]]
) -> list[tuple[float, float]]:
    """Return the differences of tensors per update.

    A recorded NaN means no gradient. Of large tensors a file holds the first 6 x 6 entries
    (``.corner``), the sum and the norm.

    Args:
        recorded: Tensor ``(updates, ...)`` per name.
        ours: Tensors by name, per update.
    """
    distances = []
    for key, values in recorded.items():
        name, _, summary = key.rpartition(".")
        if summary not in ("corner", "sum", "norm"):
            name, summary = key, ""
        for theirs, tensors in zip(values, ours, strict=True):
            tensor = tensors[name]
            if theirs.isnan().all() or tensor is None:
                same = tensor is None and bool(theirs.isnan().all())
                distances.append((0.0, 0.0) if same else (float("inf"), float("inf")))
            else:
                distances.append(distance(_summary(tensor, summary), theirs))
    return distances


def _summary(tensor: Tensor, kind: str) -> Tensor:
    """Return what a file keeps of a tensor."""
    if kind == "corner":
        return tensor[:6, :6]
    if kind:
        return tensor.sum() if kind == "sum" else tensor.norm()
    return tensor


@dataclass(frozen=True)
class Equal:
    """All numbers are equal: losses, coefficients, gradients and tensors after every update."""


@dataclass(frozen=True)
class Different:
    """Some numbers differ by a known amount, for a reason that a card names.

    Args:
        card: Name of a page of ``docs/methods``.
        because: Words of this page that name the reason.
        loss: Largest absolute difference of the losses; None if they are not compared.
        coefficient: The same for coefficients; 0 where they are equal.
        after: The same for tensors after the updates.
    """

    card: str
    because: str
    loss: float | None = None
    coefficient: float | None = None
    after: float | None = None


def check_cards(expected: Different) -> None:
    """Assert that the card names the reason."""
    text = (ROOT / "docs" / "methods" / f"{expected.card}.md").read_text(encoding="utf-8")
    assert expected.because in " ".join(text.split())


def near(measured: float, printed: float) -> bool:
    """Return whether a difference is within a factor of 2 of a printed one."""
    return measured <= TOLERANCE if printed == 0 else printed / 2 <= measured <= printed * 2


def check(replayed: Replay, expected: Equal | Different, **readers: Mapping[str, Reader]) -> None:
    """Assert that recorded and replayed steps are equal, or differ as expected.

    Args:
        replayed: Result of :func:`replay`.
        expected: Relation of both.
        readers: ``losses`` and ``coefficients`` of :func:`differences`.
    """
    distances = differences(replayed, **readers)
    if isinstance(expected, Equal):
        assert {kind: value for kind, (_, value) in distances.items() if value > TOLERANCE} == {}
        return
    check_cards(expected)
    for kind in ("loss", "coefficient", "after"):
        printed = getattr(expected, kind)
        if printed is not None:
            assert near(distances[kind][0], printed), f"{kind} differs by {distances[kind][0]}"
