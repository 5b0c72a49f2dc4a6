"""MIS-ME: a regression head on concatenated features, and a head and a loss per modality.

M. Rakib, A. A. Mohammed, D. C. Diggins, S. Sharma, J. M. Sadler, T. Ochsner, A. Bagavathi, "MIS-ME:
A Multi-modal Framework for Soil Moisture Estimation", DSAA 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor, nn

from g2d.errors import UnsupportedError
from g2d.method import Cost, Log, Method, Record, TrainState, per_modality, pooled_features, spaces
from g2d.model import MultimodalModel
from g2d.task import Regression, Task
from g2d.types import Batch, Inputs, Output, Present


class MISME(Method):
    """L = delta * L_S(joint) + sum_m gamma^m * L_S(z^m), or one of two other approaches.

    1. ``"concat"``: BatchNorm over [f^1; ..; f^k], then linear layers of 256 and 128 with
       BatchNorm, ReLU and dropout 0.3 and 0.5, then the output layer; L = L_S.
    2. ``"hybrid"``: the same, and a head for every modality whose losses are added: the formula
       above, and the authors' best.
    3. ``"weighted"``: l = sum_m a_m h_m(a_m f^m) with learnable scalars a_m, 1 at first, which act
       twice; L = L_S.

    The head of a modality halves wide features twice, D -> D/2 -> D/4 -> outputs, with BatchNorm,
    ReLU and dropout 0.3 and 0.5 (the authors' image head). Features of fewer than 64 numbers have
    one linear layer (their table head). All heads belong to the method, so the model's fusion is
    not used. The unimodal predictions of ``"concat"`` are those of the joint head if the features
    of the other modalities are those of an average row: zero after the BatchNorm.

    Args:
        approach: One of the three approaches above.
        delta: Weight of the joint loss.
        gamma: Weight of the unimodal losses, one for all modalities or one for each; 0 leaves a
            head untrained.
    """

    tasks = frozenset({"regression"})
    own_heads = True
    cost = Cost(flops=1.04)
    search = spaces(gamma=Log(0.1, 10))

    def __init__(
        self,
        *,
        approach: Literal["concat", "hybrid", "weighted"] = "hybrid",
        delta: float = 1.0,
        gamma: float | Mapping[str, float] = 1.0,
    ) -> None:
        super().__init__()
        self.approach, self.delta, self.gamma = approach, delta, gamma

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if isinstance(task, Regression) and task.output != "identity":
            raise UnsupportedError(
                "output of a regression with MISME must be 'identity', as its heads end without a "
                f"sigmoid, found {task.output!r}. Set data.output=identity in a recipe, or build "
                "Regression(output='identity')."
            )
        dims, outputs = model.fusion.dims, task.outputs
        self.weight = per_modality("gamma", self.gamma, self.modalities)
        if self.approach == "weighted":
            self.scalars = nn.ParameterDict({m: nn.Parameter(torch.ones(())) for m in dims})
        else:
            width = sum(dims.values())
            self.normalize = nn.BatchNorm1d(width)
            self.joint = nn.Sequential(*_layers(width, (256, 128)), nn.Linear(128, outputs))
        if self.approach != "concat":
            self.heads = nn.ModuleDict({m: _head(width, outputs) for m, width in dims.items()})
        return self

    def head_scale(self, model: MultimodalModel) -> None:
        """Return None: the prediction is no sum of heads, or its scalars were learned."""

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        record: Record = {}
        for part in state.parts(batch):
            with state.autocast():
                inputs, present = part.batch.inputs, part.batch.present
                fused, alone = self._predictions(pooled_features(state.model, inputs, present))
                terms = {"task": self.delta * self.task.loss(fused, part.batch.target)}
                for m, weight in self.weight.items():
                    if self.approach == "hybrid" and weight != 0:
                        loss = self.unimodal_loss(m, alone[m], part.batch)
                        terms[f"unimodal/{m}"] = weight * loss
            state.backward_terms(terms, part, record)
        state.update()
        return state.recorded(record)

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        features = pooled_features(model, inputs, present)
        return Output(features, *self._predictions(features))

    def _predictions(self, features: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fused prediction and the prediction of every modality."""
        if self.approach == "weighted":
            a = self.scalars
            z = {m: a[m] * self.heads[m](a[m] * f) for m, f in features.items()}
            return torch.stack(tuple(z.values())).sum(0), z
        joined: Tensor = self.normalize(torch.cat(tuple(features.values()), dim=1))
        fused = self.joint(joined)
        if self.approach == "hybrid":
            return fused, {m: self.heads[m](f) for m, f in features.items()}
        return fused, {} if self.training else self._without_the_others(features, joined)

    def _without_the_others(
        self, features: Mapping[str, Tensor], joined: Tensor
    ) -> dict[str, Tensor]:
        """Return the joint head's prediction with all modalities but one set to zero."""
        widths = [f.shape[1] for f in features.values()]
        parts = dict(zip(features, joined.split(widths, dim=1), strict=True))
        return {
            m: self.joint(
                torch.cat([f if j == m else torch.zeros_like(f) for j, f in parts.items()], dim=1)
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
