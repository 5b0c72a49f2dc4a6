"""ReconBoost: modalities are boosted in turns, each learning what the sum of the others has not solved yet.

C. Hua, Q. Xu, S. Bao, Z. Yang, Q. Huang, "ReconBoost: Boosting Can Achieve Modality Reconcilement", ICML 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.functional.boosting import consolidation, residual_loss
from g2d.fusion import Align
from g2d.method import Cost, Log, Method, TrainState, spaces
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Inputs, Output


class ReconBoost(Method):
    """l = b * sum_m z^m through one shared head, trained in stages t = 0, 1, ..; stage t is modality m = t mod k's.

    1. First phase: encoder m and the head learn L_i = -(w_1 - w_2 q_i[y_i]) log p_i^m[y_i], q = softmax of the others' sum.
    2. From stage 1 on, plus alpha * MSE( softmax(z^m), softmax(z^prev) ) with the modality of the stage before.
    3. Second phase: all encoders, the head and the boost rate b learn CE(l, y).
    4. Every phase starts with a fresh optimizer. The others stand in eval mode in the first phase: nothing of them moves.
    5. The run's epochs are cut into stages; the last one may be incomplete.

    The head (linear, ReLU, linear) is the method's own, so the model's fusion is not used. Features narrower than the widest pass
    through a projector of their modality. The order of stages matters by design.

    Args:
        phases: epochs of the first and the second phase of a stage.
        weights: w_1 and w_2. The authors': 5 and 1 on CREMA-D, 4 and 1 on AVE, 1 and 0.25 on sentiment sets.
        alpha: weight of step 2. In the released code it has no gradient; here it has, from the present modality's side.
        hidden: width of the head's inner layer.
        class_mean: divide step 1 by the number of classes, as the released code does.
        pretrained: the encoders are warm-started, so that the others' predictions count from stage 0.
        order: of the stages; None is the order of the data.
    """

    cost = Cost(
        flops=1.02, besides="in the first phase of a stage one encoder alone has a backward pass"
    )
    search = spaces(alpha=Log(0.05, 2))
    tasks = frozenset({"classification"})
    own_heads = True

    def __init__(
        self,
        *,
        phases: Sequence[int] = (4, 4),
        weights: Sequence[float] = (5.0, 1.0),
        alpha: float = 0.5,
        hidden: int = 256,
        class_mean: bool = True,
        pretrained: bool = False,
        order: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if len(phases) != 2 or phases[0] < 1 or phases[1] < 0:
            raise ArgumentError(
                f"phases must be two numbers of epochs, the first of them 1 or more, found {list(phases)}."
            )
        if len(weights) != 2 or not weights[0] >= weights[1] >= 0:
            raise ArgumentError(
                f"weights must be w_1 and w_2 with w_1 >= w_2 >= 0 (else easy rows are unlearnt), found {list(weights)}."
            )
        self.phases, self.weights, self.alpha, self.hidden = (
            tuple(phases),
            (weights[0], weights[1]),
            alpha,
            hidden,
        )
        self.class_mean, self.pretrained, self.order = class_mean, pretrained, order

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.turns = self.modalities if self.order is None else tuple(self.order)
        if sorted(self.turns) != sorted(self.modalities):
            raise ArgumentError(
                f"order must name every modality once ({', '.join(self.modalities)}), found {', '.join(self.turns)}."
            )
        self.align = Align(model.fusion.dims)
        self.head = nn.Sequential(
            nn.Linear(self.align.width, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, task.outputs),
        )
        self.boost = nn.Parameter(torch.ones(()))
        return self

    def head_scale(self, model: MultimodalModel) -> float:
        """b: the prediction is b * sum_m z^m."""
        return self.boost.item()

    def place(self, epoch: int) -> tuple[int, bool]:
        """The stage of an epoch (from 0), and whether it belongs to the first phase.

        Example:
            >>> [ReconBoost(phases=(2, 1)).place(epoch) for epoch in (1, 2, 3, 4)]
            [(0, True), (0, True), (0, False), (1, True)]
        """
        stage, within = divmod(epoch - 1, sum(self.phases))
        return stage, within < self.phases[0]

    def epoch_start(self, state: TrainState) -> None:
        if state.epoch == 1 or self.place(state.epoch) != self.place(state.epoch - 1):
            state.reset_optimizer()

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        stage, first = self.place(state.epoch)
        losses: dict[str, Tensor | float] = {}
        for part in state.parts(batch):
            with state.autocast():
                terms = (
                    self._alone(state, stage, part.batch)
                    if first
                    else self._together(state, part.batch)
                )
            state.backward(torch.stack(tuple(terms.values())).sum() * part.share)
            for name, term in terms.items():
                losses[f"loss/{name}"] = (
                    losses.get(f"loss/{name}", 0.0) + term.detach() * part.share
                )
        state.update()
        learning = {m: float(not first or m == self._turn(stage)) for m in self.modalities}
        return state.recorded(
            losses
            | {f"kappa/{m}": value for m, value in learning.items()}
            | {"stage": float(stage)}
        )

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        features = {
            m: encoded.pooled for m, encoded in model.encode(inputs, present=present).items()
        }
        z = self._logits(features, present)
        return self.calibrated(
            model, Output(features, self.boost * torch.stack(tuple(z.values())).sum(0), z)
        )

    def _turn(self, stage: int) -> str:
        return self.turns[stage % len(self.turns)]

    def _logits(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        """z^m per modality; zero in rows that lack it."""
        z = {m: self.head(self.align(m, f)) for m, f in features.items()}
        return {
            m: v
            if present is None or m not in present
            else torch.where(present[m][:, None], v, 0.0)
            for m, v in z.items()
        }

    def _alone(self, state: TrainState, stage: int, batch: Batch) -> dict[str, Tensor]:
        """The first phase: encoder m and the head; the others only say what they know."""
        m, previous = self._turn(stage), self._turn(stage - 1)
        others = [other for other in self.modalities if other != m]
        with torch.no_grad(), evaluating(state.model):
            known = self._logits(
                {
                    o: e.pooled
                    for o, e in state.model.encode(
                        batch.inputs, present=batch.present, only=others
                    ).items()
                },
                batch.present,
            )
        z = self._logits(
            {m: state.model.encode(batch.inputs, present=batch.present, only=(m,))[m].pooled},
            batch.present,
        )[m]
        learnt = bool(known) and (stage > 0 or self.pretrained)
        solved = self.boost.detach() * torch.stack(tuple(known.values())).sum(0) if learnt else None
        there = batch.has(m)
        terms = {
            f"residual/{m}": (
                residual_loss(
                    z, batch.target, solved, weights=self.weights, class_mean=self.class_mean
                )
                * there
            ).mean()
        }
        if stage > 0 and previous in known and self.alpha != 0:
            terms[f"consolidation/{m}"] = (
                self.alpha * (consolidation(z, known[previous]) * there).mean()
            )
        return terms

    def _together(self, state: TrainState, batch: Batch) -> dict[str, Tensor]:
        """The second phase: everything, and the boost rate."""
        features = {
            m: encoded.pooled
            for m, encoded in state.model.encode(batch.inputs, present=batch.present).items()
        }
        logits = self.boost * torch.stack(
            tuple(self._logits(features, batch.present).values())
        ).sum(0)
        return {"task": self.task.loss(logits, batch.target)}
