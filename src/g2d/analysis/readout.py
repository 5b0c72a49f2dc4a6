"""Distance of a fusion's unimodal readout from dropping the other modalities' inputs.

The two conventions must not be mixed in a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from g2d.fusion import Additive
from g2d.model import MultimodalModel, evaluating
from g2d.types import Batch, Input, Inputs, Sequence


@dataclass(frozen=True)
class ReadoutError:
    """Distance of the two conventions for one modality, over many rows.

    Args:
        relative: ‖z - z'‖ / ‖z'‖ of the logits, 0 if they agree. Logits are centered over the
            classes first, because a softmax does not see their mean; a single output is not.
        agreement: Share of rows for which both predict the same class; for one output, the same
            sign.
    """

    relative: float
    agreement: float


@torch.no_grad()
def readout_error(model: MultimodalModel, batches: Iterable[Batch]) -> dict[str, ReadoutError]:
    """Compare the readout z^m with z'^m, per modality.

    z^m is computed from the features f^m alone; z'^m are the fused logits when every other
    modality's *input* is zero.

    An encoder makes features of a zero input (biases, BatchNorm), so that the two differ even
    where z^m is exact: with an additive fusion l = s * sum_m z^m the readout s * z^m lacks what
    the others' zero inputs add, which is the same for every row of equal length. Tables that
    report one must not be compared with tables that report the other.

    Args:
        model: Model of this library; in eval mode during the call.
        batches: Batches as the encoders take them; rows that lack the modality are left out.

    Returns:
        An error per modality.

    Example:
        >>> from torch import nn
        >>> from g2d.fusion import Late
        >>> encoders = {m: nn.Linear(2, 3, bias=False) for m in ("image", "tone")}
        >>> model = MultimodalModel(encoders, Late({"image": 3, "tone": 3}, 4))
        >>> _ = [head.bias.data.zero_() for head in model.fusion.heads.values()]
        >>> inputs = {m: torch.randn(8, 2) for m in ("image", "tone")}
        >>> rows = Batch(inputs, torch.zeros(8, dtype=torch.int64))
        >>> error = readout_error(model, [rows])["image"]
        >>> round(error.relative, 4), error.agreement
        (0.0, 1.0)
    """
    scale = model.fusion.scale if isinstance(model.fusion, Additive) else 1.0
    classes = False
    read: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    dropped: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    with evaluating(model):
        for batch in batches:
            classes = batch.target.ndim == 1
            z = model(batch.inputs, present=batch.present, unimodal=True).unimodal_logits
            for m in model.modalities:
                has = batch.has(m)
                read[m].append(scale * z[m][has])
                dropped[m].append(model(without_others(batch.inputs, m)).logits[has])
    return {
        m: _compared(torch.cat(read[m]), torch.cat(dropped[m]), classes) for m in model.modalities
    }


def without_others(inputs: Inputs, kept: str) -> dict[str, Input]:
    """Return inputs that are zero for all modalities but one; sequences keep their length.

    Args:
        inputs: Inputs per modality.
        kept: Modality whose input stays.
    """
    return {m: values if m == kept else zeros_like(values) for m, values in inputs.items()}


def zeros_like(values: Input) -> Input:
    """Return an input of zeros, of the same shape and length."""
    return (
        Sequence(torch.zeros_like(values.values), values.mask)
        if isinstance(values, Sequence)
        else torch.zeros_like(values)
    )


def _compared(read: Tensor, dropped: Tensor, classes: bool) -> ReadoutError:
    """Return the error of logits ``(N, C)`` that were read against those of dropped inputs."""
    if classes:
        same = (read.argmax(1) == dropped.argmax(1)).float().mean()
        read, dropped = read - read.mean(1, keepdim=True), dropped - dropped.mean(1, keepdim=True)
    else:
        same = (read.sign() == dropped.sign()).float().mean()
    return ReadoutError(
        ((read - dropped).norm() / dropped.norm().clamp_min(1e-12)).item(), same.item()
    )
