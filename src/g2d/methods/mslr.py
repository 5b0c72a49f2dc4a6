"""MSLR, Modality-Specific Learning Rates: each branch of a late-fusion model has its own rate.

Y. Yao, R. Mihalcea, "Modality-specific Learning Rates for Effective Multimodal Additive
Late-fusion", Findings of ACL 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError, UnsupportedError
from g2d.method import (
    Choice,
    Cost,
    Log,
    SinglePass,
    TrainState,
    Validation,
    separate_heads,
    spaces,
)
from g2d.model import MultimodalModel
from g2d.task import Task


class MSLR(SinglePass):
    """lr^m = c^m * r^m * lr for encoder and head m; L = L_S.

    - ``"keep"``: lr^m = c^m lr is constant; c^m lr is the best rate of the modality alone.
    - ``"smooth"``: c^m moves towards the mean, (1 - blend) c^m + blend * mean_j c^j.
    - ``"dynamic"``: r^m = a^m / mean of the modality's last ``queue`` validation accuracies before
      a^m; 1 until there are that many.

    The update itself is scaled, so that the method works under every optimizer, with every schedule
    and with any groups of parameters. Scaling gradients instead, as AGM's authors do, changes
    almost nothing under Adam.

    Args:
        strategy: One of the three strategies above.
        coefficients: c^m per modality, 1 if not named. AGM's authors used 0.9 for audio and 1.1 for
            video on CREMA-D and VGGSound, 1.3 and 0.7 on AV-MNIST.
        blend: Weight of the mean in ``"smooth"``; the formula of the paper is not known to us.
        queue: Number of accuracies that ``"dynamic"`` averages.
    """

    cost = Cost(besides="needs validation after every epoch")
    search = spaces(
        strategy=Choice(("keep", "dynamic")), coefficients=Log(0.1, 3, per_modality=True)
    )
    history: Tensor
    seen: Tensor
    ratio: Tensor

    def __init__(
        self,
        *,
        strategy: Literal["keep", "smooth", "dynamic"] = "dynamic",
        coefficients: Mapping[str, float] | None = None,
        blend: float = 0.5,
        queue: int = 5,
    ) -> None:
        super().__init__()
        if coefficients is not None and min(coefficients.values(), default=1.0) < 0:
            raise ArgumentError(f"coefficients must not be negative, found {dict(coefficients)}.")
        if not 0 <= blend <= 1:
            raise ArgumentError(f"blend must be between 0 and 1, found {blend}.")
        if queue < 1:
            raise ArgumentError(f"queue must hold one accuracy or more, found {queue}.")
        self.strategy, self.blend, self.queue = strategy, blend, queue
        self.coefficients = dict(coefficients or {})

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        separate_heads(self, model)
        if unknown := [m for m in self.coefficients if m not in self.modalities]:
            raise ArgumentError(
                f"coefficients must be of the model's modalities ({', '.join(self.modalities)}), "
                f"found {', '.join(unknown)}."
            )
        if self.strategy == "dynamic" and not task.discrete:
            raise UnsupportedError(
                "strategy='dynamic' of MSLR must have validation scores from 0 to 1, "
                f"found a {task.kind} task. Use strategy='keep'."
            )
        k = len(self.modalities)
        self.register_buffer("history", torch.zeros(k, self.queue, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("ratio", torch.ones(k, dtype=torch.float64))
        return self

    def parameter_groups(self, model: MultimodalModel) -> list[dict[str, Any]]:
        """Return the groups of the model, with a group ``head/<modality>`` per head."""
        groups = super().parameter_groups(model)
        heads = [
            {"name": f"head/{m}", "params": list(head.parameters())}
            for m, head in separate_heads(self, model).heads.items()
        ]
        in_heads = {id(p) for head in heads for p in head["params"]}
        rest = [
            group | {"params": [p for p in group["params"] if id(p) not in in_heads]}
            for group in groups
        ]
        return [group for group in [*rest, *heads] if group["params"]]

    def factors(self) -> dict[str, float]:
        """Return lr^m / lr of every modality in this epoch."""
        c = {m: self.coefficients.get(m, 1.0) for m in self.modalities}
        if self.strategy == "smooth":
            mean = sum(c.values()) / len(c)
            c = {m: (1 - self.blend) * value + self.blend * mean for m, value in c.items()}
        return {m: c[m] * r for m, r in self.by_modality(self.ratio).items()}

    def before_update(self, state: TrainState) -> None:
        """Scale the update of every encoder, and of its head if heads are separate."""
        state.scale_update(self.factors(), heads=True)

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        record = {f"rate/{m}": factor for m, factor in self.factors().items()}
        if self.strategy != "dynamic":
            return record
        scores = self.validated(validation).unimodal_score
        for i, m in enumerate(self.modalities):
            mean = self.history[i].mean().item()
            # A rate above zero, which a later epoch can raise again.
            ratio = max(scores[m] / mean, 1e-6) if self.seen >= self.queue and mean > 0 else 1.0
            self.ratio[i] = ratio
            self.history[i] = torch.cat([self.history[i, 1:], self.history.new_tensor([scores[m]])])
        self.seen += 1
        return record
