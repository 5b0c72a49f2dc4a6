"""ReconBoost: modalities are boosted in turns.

Each modality learns what the sum of the others has not solved yet.

C. Hua, Q. Xu, S. Bao, Z. Yang, Q. Huang, "ReconBoost: Boosting Can Achieve Modality Reconcilement",
ICML 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.functional.boosting import consolidation, residual_loss
from g2d.fusion import Align
from g2d.method import (
    Cost,
    Log,
    Method,
    Record,
    TrainState,
    order_of_turns,
    pooled_features,
    spaces,
)
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, Present


class ReconBoost(Method):
    """l = b * sum_m z^m through one shared head; stage t = 0, 1, .. belongs to modality t mod k.

    1. First phase of a stage: encoder m and the head learn L_i = -(w_1 - w_2 q_i[y_i]) log
       p_i^m[y_i], with q the softmax of the sum of the others.
    2. From stage 1 on, alpha * MSE( softmax(z^m), softmax(z^prev) ) is added, with the modality of
       the stage before.
    3. Second phase: the encoders of all members, the head and the boost rate b learn CE(l, y).
    4. Every phase starts with a new optimizer. In the first phase the other encoders are in eval
       mode and do not change.
    5. The epochs of the run are cut into stages; the last one may be incomplete.

    The head (linear, ReLU, linear) belongs to the method, so the model's fusion is not used.
    Features narrower than the widest pass through a linear projector per modality. The order of
    stages matters by design.

    Args:
        phases: Epochs of the first and the second phase of a stage.
        weights: w_1 and w_2. The authors': 5 and 1 on CREMA-D, 4 and 1 on AVE, 1 and 0.25 on
            sentiment data.
        alpha: Weight of step 2. It has no gradient in the released code; here modality m receives
            one.
        hidden: Width of the head's inner layer.
        class_mean: Divide step 1 by the number of classes, as the released code does.
        pretrained: Use the others' predictions from stage 0 on, for encoders that start from their
            teachers.
        members: Modalities in the sums over the others and over all: ``"growing"`` begins with none
            and adds the modality of every stage, as the released code does unless its encoders are
            pretrained; ``"all"`` has every modality from stage 0 on. With ``pretrained`` all are
            members.
        order: Order of the stages; None is the order of the data.
    """

    cost = Cost(
        flops=1.02, besides="in the first phase of a stage one encoder alone has a backward pass"
    )
    search = spaces(alpha=Log(0.05, 2))
    tasks = frozenset({"classification"})
    own_heads = True
    size: Tensor

    def __init__(
        self,
        *,
        phases: Sequence[int] = (4, 4),
        weights: Sequence[float] = (5.0, 1.0),
        alpha: float = 0.5,
        hidden: int = 256,
        class_mean: bool = True,
        pretrained: bool = False,
        members: Literal["all", "growing"] = "growing",
        order: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if len(phases) != 2 or phases[0] < 1 or phases[1] < 0:
            raise ArgumentError(
                "phases must be two numbers of epochs, the first of them 1 or more, "
                f"found {list(phases)}."
            )
        if len(weights) != 2 or not weights[0] >= weights[1] >= 0:
            raise ArgumentError(
                "weights must be w_1 and w_2 with w_1 >= w_2 >= 0 (else easy rows are unlearned), "
                f"found {list(weights)}."
            )
        self.phases, self.weights = tuple(phases), (weights[0], weights[1])
        self.alpha, self.hidden, self.order = alpha, hidden, order
        self.class_mean, self.pretrained = class_mean, pretrained
        self.growing = members == "growing" and not pretrained

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.turns = order_of_turns(self.order, self.modalities)
        self.align = Align(model.fusion.dims)
        inner, outer = (
            nn.Linear(self.align.width, self.hidden),
            nn.Linear(self.hidden, task.outputs),
        )
        self.head = nn.Sequential(inner, nn.ReLU(), outer)
        self.boost = nn.Parameter(torch.ones(()))
        if self.growing:
            self.register_buffer("size", torch.tensor(1))
        return self

    def members(self, stage: int | None = None) -> tuple[str, ...]:
        """Return the modalities whose sum is the prediction, in the order of their turns.

        Args:
            stage: A stage, counted from 0; None is the stage of the last epoch that was started.
        """
        if not self.growing:
            return self.turns
        return self.turns[: int(self.size) if stage is None else stage + 1]

    def head_scale(self, model: MultimodalModel) -> float:
        """Return b: the prediction is b * sum_m z^m."""
        return self.boost.item()

    def place(self, epoch: int) -> tuple[int, bool]:
        """Return the stage of an epoch, counted from 0, and whether it is in the first phase.

        Example:
            >>> [ReconBoost(phases=(2, 1)).place(epoch) for epoch in (1, 2, 3, 4)]
            [(0, True), (0, True), (0, False), (1, True)]
        """
        stage, within = divmod(epoch - 1, sum(self.phases))
        return stage, within < self.phases[0]

    def epoch_start(self, state: TrainState) -> None:
        if state.epoch == 1 or self.place(state.epoch) != self.place(state.epoch - 1):
            state.reset_optimizer()
        if self.growing:
            self.size.fill_(len(self.members(self.place(state.epoch)[0])))
            self._notice(state.epochs)

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        stage, first = self.place(state.epoch)
        record: Record = {}
        for part in state.parts(batch):
            with state.autocast():
                if first:
                    terms = self._alone(state, stage, part.batch)
                else:
                    terms = self._together(state, stage, part.batch)
            state.backward_terms(terms, part, record)
        state.update()
        for m in self.modalities:
            learns = m == self._turn(stage) if first else m in self.members(stage)
            record[f"kappa/{m}"] = float(learns)
        return state.recorded(record | {"stage": float(stage)})

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        features = pooled_features(model, inputs, present)
        z = self._logits(features, present)
        z |= {m: torch.zeros_like(z[m]) for m in z.keys() - set(self.members())}
        return self.calibrated(model, Output(features, self.boost * _sum(z), z))

    def _notice(self, epochs: int | None) -> None:
        """Add a notice if the run ends before every modality has had a stage."""
        if epochs is None:
            return
        left_out = self.turns[self.place(epochs)[0] + 1 :]
        if left_out:
            needed = sum(self.phases) * (len(self.turns) - 1) + 1
            self.notices["stages"] = (
                f"The run of {epochs} epochs has no stage for {', '.join(left_out)}, which "
                "therefore cannot contribute to the prediction. "
                f"Train for {needed} epochs or more, or choose shorter phases."
            )

    def _turn(self, stage: int) -> str:
        return self.turns[stage % len(self.turns)]

    def _logits(self, features: Mapping[str, Tensor], present: Present) -> dict[str, Tensor]:
        """Return z^m per modality; zero in rows without it."""
        z = {m: self.head(self.align(m, f)) for m, f in features.items()}
        for m in z.keys() & (present or {}).keys():
            z[m] = torch.where((present or {})[m][:, None], z[m], 0.0)
        return z

    def _encoded(
        self, state: TrainState, batch: Batch, only: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return z^m of every modality, or of some of them."""
        features = pooled_features(state.model, batch.inputs, batch.present, only)
        return self._logits(features, batch.present)

    def _alone(self, state: TrainState, stage: int, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the first phase: encoder m and the head learn."""
        m, previous = self._turn(stage), self._turn(stage - 1)
        others = [other for other in self.modalities if other in self.members(stage) and other != m]
        with torch.no_grad(), evaluating(state.model):
            known = self._encoded(state, batch, others)
        z = self._encoded(state, batch, (m,))[m]
        counts = bool(known) and (stage > 0 or self.pretrained)
        solved = self.boost.detach() * _sum(known) if counts else None
        rows = batch.has(m)
        residual = residual_loss(
            z, batch.target, solved, weights=self.weights, class_mean=self.class_mean
        )
        residual = residual * self.task.row_weights(batch.target).to(residual)
        terms = {f"residual/{m}": (residual * rows).mean()}
        if stage > 0 and previous in known and self.alpha != 0:
            distance = consolidation(z, known[previous])
            terms[f"consolidation/{m}"] = self.alpha * (distance * rows).mean()
        return terms

    def _together(self, state: TrainState, stage: int, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the second phase: all members learn, and the boost rate."""
        only = [m for m in self.modalities if m in self.members(stage)]
        logits = self.boost * _sum(self._encoded(state, batch, only))
        return {"task": self.task.loss(logits, batch.target)}


def _sum(logits: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(tuple(logits.values())).sum(0)
