"""DLMG, Dynamically Learning the Modality Gap (LFM): modalities first learn to agree.

Y. Yang, F. Wan, Q.-Y. Jiang, Y. Xu, "Facilitating Multimodal Classification via Dynamically
Learning Modality Gap", NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.matching import MATCHINGS, fitted_weight, heuristic_weight, pairwise_matching
from g2d.method import Choice, Cost, SinglePass, TrainState, processes, separate_heads, spaces
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Output, TeacherOutput, Terms


class DLMG(SinglePass):
    """L = 2 ( a_cls L_S(l, y) + a_mm L_mm ), a_cls + a_mm = 1.

    L_mm is the mean matching of all pairs of unimodal logits. The factor 2 makes a = (1/2, 1/2) the
    plain sum. A single modality has no pair and is trained on L_S.

    The schedule ``"learned"`` follows the derivative of the validation loss after one step, two dot
    products: d L_val(theta - xi dL/dtheta) / d a_mm = -xi <dL_val, dL_mm - dL_cls>, with the
    learning rate xi; a_mm stays in [0.05, 0.95].

    Args:
        schedule: Schedule of a_cls.

            - ``"fitted"``: the authors' polynomial, stretched over the run; needs
              ``TrainState(epochs=...)``;
            - ``"heuristic"``: a_mm = 1 - exp(-1/epoch);
            - ``"learned"``: a_mm starts at 0.95 and follows, once per epoch, the gradient of the
              loss on 16 validation rows; needs ``TrainState(rows=...)``;
            - ``"constant"``: ``weights``.
        matching: ``"js_reverse"`` (the released code), ``"js"`` or ``"infonce"``, whose negatives
            are the rows that pass through the model together.
        weights: a_cls and a_mm of ``"constant"``; (1/2, 0) is joint training, bit for bit.
        rate: Step size of ``"learned"``, halved every 20 epochs.
    """

    cost = Cost(besides="the learned schedule: two passes over 16 rows per epoch")
    search = spaces(schedule=Choice(("fitted", "heuristic")))
    tasks = frozenset({"classification"})
    wants_unimodal_logits = True
    a_mm: Tensor

    def __init__(
        self,
        *,
        schedule: Literal["fitted", "heuristic", "learned", "constant"] = "fitted",
        matching: Literal["js_reverse", "js", "infonce"] = "js_reverse",
        weights: Sequence[float] = (0.5, 0.5),
        rate: float = 1.0,
    ) -> None:
        super().__init__()
        if len(weights) != 2 or min(weights) < 0:
            raise ArgumentError(
                f"weights must be a_cls and a_mm, neither negative, found {tuple(weights)}."
            )
        self.schedule, self.matching, self.rate = schedule, MATCHINGS[matching], rate
        self.constant = tuple(weights)
        self.weights = (0.5, 0.5)

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        separate_heads(self, model)
        self.register_buffer("a_mm", torch.tensor(0.95, dtype=torch.float64))
        return self

    def epoch_start(self, state: TrainState) -> None:
        if self.schedule == "learned" and len(self.modalities) > 1:
            self._learn(state)

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        self.weights = self._weights_of(state)
        record = super().training_step(state, batch)
        return record | {"weight/task": self.weights[0], "weight/matching": self.weights[1]}

    def objective(self, output: Output, batch: Batch, teacher: TeacherOutput | None) -> Terms:
        task, matching = self._losses(output, batch)
        a_cls, a_mm = self.weights
        if matching is None:
            return {"task": task}
        weighted = {"task": (a_cls, task), "matching": (a_mm, matching)}
        return {name: 2 * a * term for name, (a, term) in weighted.items() if a != 0}

    def _losses(self, output: Output, batch: Batch) -> tuple[Tensor, Tensor | None]:
        assert output.unimodal_logits is not None
        matching = pairwise_matching(output.unimodal_logits, self.matching, batch.present)
        return self.task.loss(output.logits, batch.target), matching

    def _weights_of(self, state: TrainState) -> tuple[float, float]:
        """Return a_cls and a_mm in this epoch."""
        if self.schedule == "constant":
            return self.constant[0], self.constant[1]
        if self.schedule == "learned":
            return 1 - self.a_mm.item(), self.a_mm.item()
        if self.schedule == "heuristic":
            a_cls = heuristic_weight(state.epoch)
        elif state.epochs is None:
            raise ArgumentError(
                "epochs must be known for schedule='fitted' of DLMG, found None. "
                "Pass TrainState(epochs=...)."
            )
        else:
            a_cls = fitted_weight(state.epoch, state.epochs)
        return a_cls, 1 - a_cls

    def _learn(self, state: TrainState) -> None:
        """Take one gradient step on a_mm, from 16 training and 16 validation rows.

        The model is in eval mode, so that no statistics change.
        """
        xi = max(group["lr"] for group in state.optimizer.param_groups)
        with evaluating(state.model), torch.enable_grad(), state.autocast():
            train, valid = _first_rows(state.train_rows()), _first_rows(state.validation_rows())
            output = state.model(train.inputs, present=train.present, unimodal=True)
            task, matching = self._losses(output, train)
            logits = state.model(valid.inputs, present=valid.present).logits
            held_out = self.task.loss(logits, valid.target)
        assert matching is not None
        product = _dot(state.model, held_out, matching - task)
        mean = state.sum_across_processes(product) / processes()
        step = mean * xi * self.rate * 0.5 ** ((state.epoch - 1) // 20)
        self.a_mm.copy_((self.a_mm + step.to(self.a_mm)).clamp(0.05, 0.95))


def _first_rows(batches: Iterable[Batch], count: int = 16) -> Batch:
    return next(iter(batches)).rows(slice(0, count))


def _dot(model: MultimodalModel, a: Tensor, b: Tensor) -> Tensor:
    """Return <da, db> over all weights, for two losses with separate graphs."""
    weights = [p for p in model.parameters() if p.requires_grad]
    left, right = (torch.autograd.grad(loss, weights, allow_unused=True) for loss in (a, b))
    products = [
        (x * y).sum().double()
        for x, y in zip(left, right, strict=True)
        if x is not None and y is not None
    ]
    return torch.stack(products).sum()
