"""AGM, Adaptive Gradient Modulation: the gradient of each modality's share is scaled.

It works with any fusion.

H. Li, X. Li, P. Hu, Y. Lei, C. Li, Y. Zhou, "Boosting Multi-modal Model Performance with Adaptive
Gradient Modulation", ICCV 2023.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Literal, Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.functional.gradients import scale_gradient
from g2d.functional.precision import at_least_float32
from g2d.functional.shapley import (
    Coalition,
    coalitions,
    first_members,
    modulation_coefficients,
    random_orders,
    sampled_shares,
    shares,
)
from g2d.functional.sums import sum_and_count
from g2d.functional.windows import Window, checked_window, window_epochs
from g2d.fusion import Additive
from g2d.method import (
    Cost,
    Log,
    Method,
    Modulate,
    Record,
    TrainState,
    modulated,
    scales_update,
    spaces,
)
from g2d.model import MultimodalModel, evaluating, without_rows
from g2d.task import Task
from g2d.types import Batch, Encoded, Input, Inputs, Output, Present
from g2d.types import Sequence as Padded

MANY = 6
"""Number of modalities beyond which the cost of all coalitions is a notice."""
MOST_ORDERS = 10_000
"""Number of orders beyond which an update would hardly end."""
Orders = Sequence[tuple[str, ...]] | None
"""Orders of the modalities that are sampled; None takes every coalition."""


class AGM(Method):
    """l = sum_m G_{c^m}(u^m): a Shapley-style split of the logits whose gradients are scaled.

    1. f(S) is the prediction with the modalities outside S absent. u^m averages what m adds to
       every coalition, so that sum_m u^m = f(M).
    2. q^m is the cross-entropy of u^m. r^m is large for a modality that fits better than the
       average in this batch.
    3. c^m = exp( alpha * min(R^m - r^m, cap) ), with R^m computed from the means Q over the run: a
       modality that is ahead of its own average is damped.
    4. Backward pass through G_c, which multiplies gradients by c; update.

    An encoder runs twice: on x^m in train mode, for f(M) and every coalition, and on an absent
    input in eval mode with gradients, on one row if rows have no length of their own. Coalitions
    cost head passes only. The authors' code runs an encoder 2^k times, in eval mode for all
    coalitions but M: the same gradients without BatchNorm and dropout, and those of
    ``coalitions="eval"`` with them.

    Args:
        alpha: Strength; 0 is joint training up to rounding. The authors' example uses 2.5.
        cap: Upper bound of R^m - r^m: 10 on CREMA-D and VGGSound, 7 on UR-Funny; None is no bound.
        window: Epochs of the modulation: where it begins and ends as shares of the run, or the
            first and the last epoch as ints, counted from 1; None modulates in all epochs (as in
            the runs of G²D's authors; AGM's default ends after epoch 20 of 100).
        after_window: Coefficients after the window: ``"one"`` is joint training; ``"keep"`` applies
            those of its last update to the rest of the run, as the released code does.
        coalitions: Features of a modality in coalitions that contain it, but not all modalities:
            ``"reuse"`` takes those of f(M); ``"eval"`` encodes the input again in eval mode, as the
            released code does, which matters with BatchNorm or dropout and costs a third pass.
        permutations: Number of random orders of the modalities from which the shares are estimated,
            without bias, with N (k - 1) + 1 head passes at most instead of 2^k - 1; drawn for
            every update, and fixed in predictions; at most 10,000. None takes every coalition.
        absent: Features of an absent modality. ``"zero_input"``: those of an input of zeros (the
            authors' choice; BatchNorm and biases turn it into features). ``"feature_mean"``: the
            running mean of the modality's features, a constant.
        clip: Norm to which all gradients are clipped if an entry of the fusion's gradient exceeds 1
            (the authors': 1, on UR-Funny 5); None never clips.
        modulate: What a coefficient scales, see :class:`~g2d.method.Modulation`. If it is the
            update of an encoder, the gradient is that of joint training.
    """

    cost = Cost(forward=2, backward=2, flops=1.03, besides="an absent input is one row")
    search = spaces(alpha=Log(0.1, 5))
    tasks = frozenset({"classification", "multilabel"})
    running: Tensor
    updates: Tensor
    kept: Tensor

    def __init__(
        self,
        *,
        alpha: float = 2.5,
        cap: float | None = 10.0,
        window: Window = None,
        after_window: Literal["one", "keep"] = "one",
        coalitions: Literal["reuse", "eval"] = "reuse",
        permutations: int | None = None,
        absent: Literal["zero_input", "feature_mean"] = "zero_input",
        clip: float | None = None,
        modulate: Modulate = "auto",
    ) -> None:
        super().__init__()
        self.alpha, self.cap, self.clip = alpha, cap, clip
        self.window, self.absent = checked_window(window), absent
        self.keeps, self.encodes_again = after_window == "keep", coalitions == "eval"
        self.modulate: Modulate = modulate
        if permutations is not None and not 1 <= permutations <= MOST_ORDERS:
            raise ArgumentError(
                f"permutations must be one or more, at most {MOST_ORDERS:,}, found {permutations}."
            )
        self.permutations = permutations

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.register_buffer("running", torch.zeros(len(self.modalities), dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        if self.keeps:
            self.register_buffer("kept", torch.ones(len(self.modalities), dtype=torch.float64))
        if self.absent == "feature_mean":
            for m, width in model.fusion.dims.items():
                self.register_buffer(f"mean_{m}", torch.zeros(width))
        return self

    def epoch_start(self, state: TrainState) -> None:
        k = len(self.modalities)
        if k > MANY and self.permutations is None:
            self.notices["coalitions"] = (
                f"AGM passes through the fusion {2**k - 1:,} times per update, once for every "
                f"coalition of {k} modalities. permutations=8 samples {8 * (k - 1) + 1} of them."
            )

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        modulating, is_over = self._place(state)
        at_update = modulating and scales_update(state, self.modulate)
        parts, model = list(state.parts(batch)), state.model
        batches = [part.batch for part in parts]
        split: list[dict[str, Tensor]] = []
        with state.autocast():
            # All parts before any backward pass: the coefficients depend on the whole batch. Train
            # mode before eval mode: it changes the BatchNorm statistics that the backward pass of
            # eval mode reads.
            encoded = [model.encode(b.inputs, present=b.present) for b in batches]
            full = [model.fusion(features)[0] for features in encoded]
            if modulating:
                orders = self._orders(state.generator)
                with torch.no_grad() if at_update else nullcontext():
                    for b, f, logits in zip(batches, encoded, full, strict=True):
                        split.append(self._shares(model, b.inputs, f, logits, b.present, orders))
        c = dict.fromkeys(self.modalities, 1.0)
        if modulating:
            c = self._coefficients(state, batches, split, is_over)
        if at_update:
            state.scale_update(c)
        else:
            modulated(state, c, "gradient")  # refuses an optimizer that would undo them
        record: Record = {}
        for i, part in enumerate(parts):
            logits = full[i] if at_update or not modulating else _recombined(split[i], c)
            with state.autocast():
                term = self.task.loss(logits, part.batch.target)
            state.backward_terms({"task": term}, part, record)
        if modulating:
            self._update_means(state, encoded, batches)
        self._clip(state)
        state.update()
        return state.recorded(record | {f"kappa/{m}": value for m, value in c.items()})

    def _place(self, state: TrainState) -> tuple[bool, bool]:
        """Return whether gradients are scaled in this epoch, and whether the window is over."""
        first, last = window_epochs(self.window, state.epochs)
        is_over = state.epoch > last
        return first <= state.epoch and (self.keeps or not is_over), is_over

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        """Predict l = f(M), with u^m as unimodal logits.

        With late fusion, whose unimodal logits average to l, u^m is multiplied by k.
        """
        encoded = model.encode(inputs, present=present)
        logits = model.fusion(encoded)[0]
        orders = self._orders(torch.Generator().manual_seed(0))
        u = self._shares(model, inputs, encoded, logits, present, orders)
        if isinstance(model.fusion, Additive):
            u = {m: share / model.fusion.scale for m, share in u.items()}
        return self.calibrated(model, Output({m: e.pooled for m, e in encoded.items()}, logits, u))

    def _shares(
        self,
        model: MultimodalModel,
        inputs: Inputs,
        encoded: Mapping[str, Encoded],
        full: Tensor,
        present: Present,
        orders: Orders = None,
    ) -> dict[str, Tensor]:
        """Return u^m of a part, from its features with and without each modality."""
        everyone = frozenset(self.modalities)
        values: dict[Coalition, Tensor] = {everyone: full}
        encodes_again = self.encodes_again and model.training
        if len(everyone) == 1:
            return shares(values, self.modalities)
        with evaluating(model):
            without = {
                m: self._absent(model.encoders[m], m, inputs[m], encoded[m], (present or {}).get(m))
                for m in self.modalities
            }
            having = model.encode(inputs, present=present) if encodes_again else encoded
            for some in coalitions(self.modalities) if orders is None else first_members(orders):
                if some != everyone:
                    features = {m: (having if m in some else without)[m] for m in self.modalities}
                    values[some] = model.fusion(features)[0]
        if orders is None:
            return shares(values, self.modalities)
        sampled = sampled_shares(values, orders)
        return {m: sampled[m] for m in self.modalities}

    def _orders(self, generator: torch.Generator) -> Orders:
        """Return the orders of the modalities to sample, the same on all processes."""
        if self.permutations is None:
            return None
        return random_orders(self.modalities, self.permutations, generator)

    def _absent(
        self, encoder: nn.Module, m: str, values: Input, like: Encoded, present: Tensor | None
    ) -> Encoded:
        """Return the features of a modality in coalitions without it; zero in rows without it."""
        rows = len(like.pooled)
        if self.absent == "feature_mean":
            pooled = self.get_buffer(f"mean_{m}").to(like.pooled.dtype).expand(rows, -1)
            tokens = None if like.tokens is None else torch.zeros_like(like.tokens)
            mask = like.mask
        else:
            nothing = encoder(
                Padded(torch.zeros_like(values.values), values.mask)
                if isinstance(values, Padded)
                else torch.zeros_like(values[:1])
            )
            output = nothing if isinstance(nothing, Encoded) else Encoded(nothing)
            pooled = output.pooled.expand(rows, -1)
            tokens = None if output.tokens is None else output.tokens.expand(rows, -1, -1)
            mask = None if output.mask is None else output.mask.expand(rows, -1)
        absent = Encoded(pooled, tokens, mask)
        return absent if present is None else without_rows(absent, present)

    @torch.no_grad()
    def _coefficients(
        self,
        state: TrainState,
        batches: Sequence[Batch],
        split: Sequence[Mapping[str, Tensor]],
        is_over: bool,
    ) -> dict[str, float]:
        """Return c^m from q^m of this batch and the means before it; update the means.

        After the window they are those of its last update.
        """
        total = torch.zeros(len(self.modalities), 2, dtype=torch.float64, device=state.device)
        for batch, u in zip(batches, split, strict=True):
            for i, m in enumerate(self.modalities):
                entropy = self.task.loss_per_row(u[m], batch.target).clamp_max(-math.log(1e-8))
                total[i] += sum_and_count(entropy, batch.has(m))
        total = state.sum_across_processes(total)
        before = self.running.to(total)
        # A modality that no row of the batch has keeps the value it had.
        q = torch.where(total[:, 1] > 0, total[:, 0] / total[:, 1].clamp_min(1), before)
        c = modulation_coefficients(
            self.by_modality(q), self.by_modality(before), alpha=self.alpha, cap=self.cap
        )
        self.updates += 1
        self.running.copy_(before + (q - before) / self.updates)
        if not self.keeps:
            return c
        if not is_over:
            self.kept.copy_(torch.tensor(list(c.values()), dtype=torch.float64))
        return self.by_modality(self.kept)

    @torch.no_grad()
    def _update_means(
        self, state: TrainState, encoded: Sequence[Mapping[str, Encoded]], batches: Sequence[Batch]
    ) -> None:
        """Update the running mean of every modality's features."""
        if self.absent != "feature_mean":
            return
        for m in self.modalities:
            features = torch.cat([at_least_float32(e[m].pooled) for e in encoded])
            rows = torch.cat([b.has(m) for b in batches])
            total = state.sum_across_processes(
                torch.cat([features.sum(0), rows.sum()[None].to(features)])
            )
            mean = self.get_buffer(f"mean_{m}")
            if total[-1] > 0:
                mean += (total[:-1] / total[-1] - mean) / self.updates

    @torch.no_grad()
    def _clip(self, state: TrainState) -> None:
        """Clip all gradients if an entry of the fusion's gradient exceeds 1."""
        if self.clip is None:
            return
        state.reduce_gradients()
        gradients = [p.grad for p in state.model.fusion.parameters() if p.grad is not None]
        if any(bool(g.abs().max() > 1) for g in gradients):
            state.clip_gradients(self.clip)


def _recombined(u: Mapping[str, Tensor], c: Mapping[str, float]) -> Tensor:
    """Return sum_m G_{c^m}(u^m): f(M), whose gradient reaches every share scaled by c^m."""
    return torch.stack([scale_gradient(share, c[m]) for m, share in u.items()]).sum(0)
