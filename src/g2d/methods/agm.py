"""AGM, Adaptive Gradient Modulation: the gradient entering each modality's share of the prediction is scaled, for any fusion.

H. Li, X. Li, P. Hu, Y. Lei, C. Li, Y. Zhou, "Boosting Multi-modal Model Performance with Adaptive Gradient Modulation", ICCV 2023.
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
from g2d.functional.schedule import checked_window, within
from g2d.functional.shapley import Coalition, coalitions, modulation_coefficients, shares
from g2d.fusion import Additive
from g2d.method import Cost, Log, Method, TrainState, modulated, spaces
from g2d.model import MultimodalModel, evaluating, without_rows
from g2d.task import Task
from g2d.types import Batch, Encoded, Input, Inputs, Output
from g2d.types import Sequence as Padded


class AGM(Method):
    """l = sum_m G_{c^m}(u^m): a Shapley-style split of the fused logits, every share with its own gradient scale.

    1. f(S) is the prediction with modalities outside S absent; u^m averages what m adds to every coalition, sum_m u^m = f(M).
    2. q^m is the cross-entropy of u^m; r^m is large for the modality that fits better than the average of this batch.
    3. c^m = exp( alpha * min(R^m - r^m, cap) ), R^m the same of the means Q over the run: who is ahead of itself is damped.
    4. Backward through G_c, which multiplies gradients by c; update.

    An encoder runs twice, on x^m (in train mode, for f(M) and for every coalition) and on an absent input (eval mode, with
    gradient, and one row of it where rows have no length of their own); coalitions cost head passes only. The authors' code runs
    it 2^k times, in eval mode for all coalitions but M: without BatchNorm and dropout the gradients are the same.

    Args:
        alpha: strength; 0 is joint training up to rounding. The authors' example uses 2.5.
        cap: of R^m - r^m: 10 on CREMA-D and VGGSound, 7 on UR-Funny; None is no cap.
        window: first and last epoch of the modulation, counted from 1 (the authors': 1 to 21); None is always.
        absent: an absent modality is an input of zeros (the authors' choice; BatchNorm and biases make features of it) or the
            running mean of its features, ``"feature_mean"``, which is a constant.
        clip: clip the global gradient norm to this whenever an entry of the fusion's gradient exceeds 1 (the authors': 1, on
            UR-Funny 5); None never does.
        modulate: what a coefficient scales, see :class:`~g2d.method.Modulation`. Where it scales the step of an encoder, the
            gradient is that of joint training.
    """

    cost = Cost(forward=2, backward=2, flops=1.03, besides="an absent input is one row")
    search = spaces(alpha=Log(0.1, 5))
    tasks = frozenset({"classification"})
    running: Tensor
    updates: Tensor

    def __init__(
        self,
        *,
        alpha: float = 2.5,
        cap: float | None = 10.0,
        window: Sequence[int] | None = (1, 21),
        absent: Literal["zero_input", "feature_mean"] = "zero_input",
        clip: float | None = None,
        modulate: str = "auto",
    ) -> None:
        super().__init__()
        if absent not in ("zero_input", "feature_mean"):
            raise ArgumentError(f"absent must be 'zero_input' or 'feature_mean', found {absent!r}.")
        if modulate not in ("auto", "gradient", "update"):
            raise ArgumentError(
                f"modulate must be 'auto', 'gradient' or 'update', found {modulate!r}."
            )
        self.alpha, self.cap, self.window, self.absent = alpha, cap, checked_window(window), absent
        self.clip, self.modulate = clip, modulate

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        self.register_buffer("running", torch.zeros(len(self.modalities), dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        if self.absent == "feature_mean":
            for m, width in model.fusion.dims.items():
                self.register_buffer(f"mean_{m}", torch.zeros(width))
        return self

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        modulating = within(self.window, state.epoch)
        at_update = modulating and (
            self.modulate == "update" or (self.modulate == "auto" and state.adaptive)
        )
        parts, model = list(state.parts(batch)), state.model
        with state.autocast():
            # All parts before any backward: the coefficients depend on the whole batch. Train mode before eval mode: it moves
            # the BatchNorm statistics that the backward of eval mode reads.
            encoded = [
                model.encode(part.batch.inputs, present=part.batch.present) for part in parts
            ]
            full = [model.fusion(features)[0] for features in encoded]
            split: list[dict[str, Tensor]] = []
            if modulating:
                with torch.no_grad() if at_update else nullcontext():
                    for part, features, logits in zip(parts, encoded, full, strict=True):
                        split.append(
                            self._shares(
                                model, part.batch.inputs, features, logits, part.batch.present
                            )
                        )
        c = (
            self._coefficients(state, [p.batch for p in parts], split)
            if modulating
            else dict.fromkeys(self.modalities, 1.0)
        )
        if at_update:
            state.scale_update(c)
        else:
            modulated(state, c, "gradient")  # refuses an optimizer that would undo them
        loss = torch.zeros((), device=state.device)
        for i, part in enumerate(parts):
            logits = full[i] if at_update or not modulating else _recombined(split[i], c)
            with state.autocast():
                term = self.task.loss(logits, part.batch.target)
            state.backward(term * part.share)
            loss = loss + term.detach() * part.share
        if modulating:
            self._remember_features(state, encoded, [p.batch for p in parts])
        self._clip(state)
        state.update()
        return state.recorded(
            {"loss/task": loss, **{f"kappa/{m}": value for m, value in c.items()}}
        )

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        """l = f(M), and u^m as unimodal logits (times k with Late fusion, whose unimodal logits average to l)."""
        encoded = model.encode(inputs, present=present)
        logits = model.fusion(encoded)[0]
        u = self._shares(model, inputs, encoded, logits, present)
        if isinstance(model.fusion, Additive):
            u = {m: share / model.fusion.scale for m, share in u.items()}
        return self.calibrated(model, Output({m: e.pooled for m, e in encoded.items()}, logits, u))

    def _shares(
        self,
        model: MultimodalModel,
        inputs: Inputs,
        encoded: Mapping[str, Encoded],
        full: Tensor,
        present: Mapping[str, Tensor] | None,
    ) -> dict[str, Tensor]:
        """u^m of a part, from features with and without each modality."""
        everyone = frozenset(self.modalities)
        values: dict[Coalition, Tensor] = {everyone: full}
        with evaluating(model):
            if len(everyone) > 1:
                without = {
                    m: self._absent(
                        model.encoders[m],
                        m,
                        inputs[m],
                        encoded[m],
                        None if present is None else present.get(m),
                    )
                    for m in self.modalities
                }
                for some in coalitions(self.modalities):
                    if some != everyone:
                        values[some] = model.fusion(
                            {m: encoded[m] if m in some else without[m] for m in self.modalities}
                        )[0]
        return shares(values, self.modalities)

    def _absent(
        self, encoder: nn.Module, m: str, values: Input, like: Encoded, present: Tensor | None
    ) -> Encoded:
        """What stands in the place of a modality's features where a coalition lacks it; zero where the row lacks it anyway."""
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
            found = nothing if isinstance(nothing, Encoded) else Encoded(nothing)
            pooled = found.pooled.expand(rows, -1)
            tokens = None if found.tokens is None else found.tokens.expand(rows, -1, -1)
            mask = None if found.mask is None else found.mask.expand(rows, -1)
        absent = Encoded(pooled, tokens, mask)
        return absent if present is None else without_rows(absent, present)

    @torch.no_grad()
    def _coefficients(
        self, state: TrainState, batches: Sequence[Batch], split: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, float]:
        """c^m from this batch's q^m and the means of the updates before, which then take this batch in."""
        total = torch.zeros(len(self.modalities), 2, dtype=torch.float64, device=state.device)
        for batch, u in zip(batches, split, strict=True):
            for i, m in enumerate(self.modalities):
                entropy = self.task.loss_per_row(u[m], batch.target).clamp_max(-math.log(1e-8))
                there = batch.has(m).to(entropy)
                total[i] += torch.stack([(entropy * there).sum(), there.sum()]).double()
        total = state.sum_across_processes(total)
        before = self.running.to(total)
        # A modality that no row of the batch has is taken to fit as it did before.
        q = torch.where(total[:, 1] > 0, total[:, 0] / total[:, 1].clamp_min(1), before)
        c = modulation_coefficients(
            self._named(q), self._named(before), alpha=self.alpha, cap=self.cap
        )
        self.updates += 1
        self.running.copy_(before + (q - before) / self.updates)
        return c

    @torch.no_grad()
    def _remember_features(
        self, state: TrainState, encoded: Sequence[Mapping[str, Encoded]], batches: Sequence[Batch]
    ) -> None:
        if self.absent != "feature_mean":
            return
        for m in self.modalities:
            features = torch.cat([e[m].pooled.float() for e in encoded])
            there = torch.cat([b.has(m).float() for b in batches])
            total = state.sum_across_processes(
                torch.cat([features.sum(0), there.sum()[None].to(features)])
            )
            mean = self.get_buffer(f"mean_{m}")
            if total[-1] > 0:
                mean += (total[:-1] / total[-1] - mean) / self.updates

    @torch.no_grad()
    def _clip(self, state: TrainState) -> None:
        if self.clip is None:
            return
        state.reduce_gradients()
        gradients = [p.grad for p in state.model.fusion.parameters() if p.grad is not None]
        if any(bool(g.abs().max() > 1) for g in gradients):
            nn.utils.clip_grad_norm_(
                [p for group in state.optimizer.param_groups for p in group["params"]], self.clip
            )

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.modalities, values.tolist(), strict=True))


def _recombined(u: Mapping[str, Tensor], c: Mapping[str, float]) -> Tensor:
    """sum_m G_{c^m}(u^m): the value of f(M), whose gradient reaches every share scaled."""
    return torch.stack([scale_gradient(share, c[m]) for m, share in u.items()]).sum(0)
