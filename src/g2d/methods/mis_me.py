"""MIS-ME: a regression head over concatenated features, with a head and a loss of its own for every modality.

M. Rakib, A. A. Mohammed, D. C. Diggins, S. Sharma, J. M. Sadler, T. Ochsner, A. Bagavathi, "MIS-ME: A Multi-modal Framework for Soil
Moisture Estimation", DSAA 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.method import Cost, Log, Method, TrainState, spaces
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Inputs, Output

Approach = Literal["concat", "hybrid", "weighted"]


class MISME(Method):
    """L = delta * L_S(joint) + sum_m gamma^m * L_S(z^m)  (hybrid, the authors' best), or one of their two other approaches.

    1. ``"concat"``: BatchNorm over [f^1; ..; f^k], then linear layers of 256 and 128 with BatchNorm, ReLU and dropout 0.3 and
       0.5, then one output; L = L_S.
    2. ``"hybrid"``: the same, with a head for every modality whose losses are added.
    3. ``"weighted"``: l = sum_m a_m h_m(a_m f^m) with learnable scalars a_m, 1 at first, which act twice; L = L_S.

    A modality's head halves wide features twice, D -> D/2 -> D/4 -> outputs with BatchNorm, ReLU and dropout 0.3 and 0.5 (the
    authors' image head); features of fewer than 64 numbers have one linear layer (their table head). All heads are the method's
    own, so the model's fusion is not used. The unimodal predictions of ``"concat"`` are the joint head's own answer when
    the other modalities' features are those of an average row, zero after the BatchNorm.

    Args:
        approach: one of the three.
        delta: weight of the joint loss.
        gamma: weight of every modality's own loss; 0 leaves its head untrained.
    """

    tasks = frozenset({"regression"})
    own_heads = True
    cost = Cost(flops=1.04)
    search = spaces(gamma=Log(0.1, 10))

    def __init__(
        self,
        *,
        approach: Approach = "hybrid",
        delta: float = 1.0,
        gamma: float | Mapping[str, float] = 1.0,
    ) -> None:
        super().__init__()
        if approach not in get_args(Approach):
            raise ArgumentError(
                f"approach must be one of {', '.join(get_args(Approach))}, found {approach!r}."
            )
        self.approach, self.delta, self.gamma = approach, delta, gamma

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        dims, outputs = model.fusion.dims, task.outputs
        if isinstance(self.gamma, Mapping) and set(self.gamma) != set(dims):
            raise ArgumentError(
                f"gamma must hold one weight per modality ({', '.join(dims)}), found {', '.join(self.gamma)}."
            )
        self.weight = {
            m: self.gamma[m] if isinstance(self.gamma, Mapping) else self.gamma for m in dims
        }
        if self.approach == "weighted":
            self.scalars = nn.ParameterDict({m: nn.Parameter(torch.ones(())) for m in dims})
        else:
            self.normalize = nn.BatchNorm1d(sum(dims.values()))
            self.joint = nn.Sequential(
                *_layers(sum(dims.values()), (256, 128)), nn.Linear(128, outputs)
            )
        if self.approach != "concat":
            self.heads = nn.ModuleDict({m: _head(width, outputs) for m, width in dims.items()})
        return self

    def head_scale(self, model: MultimodalModel) -> None:
        """The prediction is not a sum of heads; where it is (``"weighted"``), its scalars were learnt."""

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        record: dict[str, Tensor | float] = {}
        for part in state.parts(batch):
            with state.autocast():
                features = {
                    m: encoded.pooled
                    for m, encoded in state.model.encode(
                        part.batch.inputs, present=part.batch.present
                    ).items()
                }
                fused, alone = self._predictions(features)
                terms = {"task": self.delta * self.task.loss(fused, part.batch.target)}
                if self.approach == "hybrid":
                    own = {m: weight for m, weight in self.weight.items() if weight != 0}
                    terms |= {
                        f"unimodal/{m}": weight * self.unimodal_loss(m, alone[m], part.batch)
                        for m, weight in own.items()
                    }
            state.backward(torch.stack(tuple(terms.values())).sum() * part.share)
            for name, term in terms.items():
                record[f"loss/{name}"] = (
                    record.get(f"loss/{name}", 0.0) + term.detach() * part.share
                )
        state.update()
        return state.recorded(record)

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        features = {
            m: encoded.pooled for m, encoded in model.encode(inputs, present=present).items()
        }
        return Output(features, *self._predictions(features))

    def _predictions(self, features: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The fused prediction, and every modality's own."""
        if self.approach == "weighted":
            a = self.scalars
            z = {m: a[m] * self.heads[m](a[m] * f) for m, f in features.items()}
            return torch.stack(tuple(z.values())).sum(0), z
        both: Tensor = self.normalize(torch.cat(tuple(features.values()), dim=1))
        fused = self.joint(both)
        if self.approach == "hybrid":
            return fused, {m: self.heads[m](f) for m, f in features.items()}
        return fused, {} if self.training else self._without_the_others(features, both)

    def _without_the_others(
        self, features: Mapping[str, Tensor], both: Tensor
    ) -> dict[str, Tensor]:
        parts = dict(
            zip(features, both.split([f.shape[1] for f in features.values()], dim=1), strict=True)
        )
        return {
            m: self.joint(
                torch.cat(
                    [
                        part if other == m else torch.zeros_like(part)
                        for other, part in parts.items()
                    ],
                    dim=1,
                )
            )
            for m in parts
        }


def _layers(width: int, widths: tuple[int, int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inner, share in zip(widths, (0.3, 0.5), strict=True):
        layers += [nn.Linear(width, inner), nn.BatchNorm1d(inner), nn.ReLU(), nn.Dropout(share)]
        width = inner
    return layers


def _head(width: int, outputs: int) -> nn.Module:
    if width < 64:
        return nn.Linear(width, outputs)
    return nn.Sequential(*_layers(width, (width // 2, width // 4)), nn.Linear(width // 4, outputs))
