"""Fusions in which modalities modulate one another: FiLM and the bilinear gate. Their unimodal logits are approximations.

E. Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018; D. Kiela et al., "Efficient Large-Scale
Multi-Modal Classification", AAAI 2018.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.fusion.base import Fusion, Kappa
from g2d.types import Encoded

Readout = Literal["zero_other", "self_modulation"]


class Conditional(Fusion):
    """What FiLM and BiGated share: the readout of unimodal logits.

    Args:
        unimodal: how z^m is read. ``"zero_other"``: the joint logits where the features of all other modalities are zero;
            ``"self_modulation"``: the authors' way, in which a modality passes alone through layers that were trained on others.
    """

    def __init__(self, dims: Mapping[str, int], outputs: int, unimodal: Readout) -> None:
        super().__init__(dims, outputs)
        if unimodal not in get_args(Readout):
            raise ArgumentError(
                f"unimodal must be {' or '.join(map(repr, get_args(Readout)))}, found {unimodal!r}."
            )
        self.readout = unimodal

    @abstractmethod
    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        """l ``(B, C)`` from f^m ``(B, D_m)``."""

    @abstractmethod
    def alone(self, modality: str, features: Tensor) -> Tensor:
        """z^m ``(B, C)`` of the readout ``"self_modulation"``."""

    def forward(
        self,
        encoded: Mapping[str, Encoded],
        *,
        unimodal: bool = False,
        head_kappa: Kappa | None = None,
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        self.refuse_head_gate(head_kappa)
        features = {m: encoded[m].pooled for m in self.dims}
        z = {m: self._read(m, features) for m in self.dims} if unimodal else None
        return self.fuse(features), z

    def _read(self, modality: str, features: Mapping[str, Tensor]) -> Tensor:
        if self.readout == "self_modulation":
            return self.alone(modality, features[modality])
        return self.fuse(
            {m: f if m == modality else torch.zeros_like(f) for m, f in features.items()}
        )

    def _one_of(self, option: str, modality: str) -> str:
        if modality not in self.dims:
            raise ArgumentError(
                f"{option} must name a modality ({', '.join(self.dims)}), found {modality!r}."
            )
        return modality


class FiLM(Conditional):
    """All other modalities scale and shift the features of one, t:  l = W ((1 + sum_j gamma_j) * f^t + sum_j beta_j) + b.

    (gamma_j, beta_j) = A_j f^j + a_j for every j other than t. The original, for two modalities, has no 1:
    ``plus_one=False`` is l = W (gamma * f^t + beta) + b.

    Args:
        dims: D_m of every modality.
        outputs: C.
        conditioned: t; None is the last modality (in the original the first modulates the second).
        plus_one: start near the identity, which is what keeps a sum of several gamma_j stable.
        unimodal: see :class:`Conditional`; ``"self_modulation"`` needs equal D_m, because f^m goes through its own (gamma, beta).
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        outputs: int,
        *,
        conditioned: str | None = None,
        plus_one: bool = True,
        unimodal: Readout = "zero_other",
    ) -> None:
        super().__init__(dims, outputs, unimodal)
        self.conditioned = self._one_of(
            "conditioned", tuple(dims)[-1] if conditioned is None else conditioned
        )
        if unimodal == "self_modulation" and len(set(dims.values())) > 1:
            widths = ", ".join(f"{m} {d}" for m, d in dims.items())
            raise ArgumentError(
                f"features under unimodal='self_modulation' must be equally wide, found {widths}. Use unimodal='zero_other'."
            )
        self.plus_one = plus_one
        width = dims[self.conditioned]
        self.generators = nn.ModuleDict(
            {m: nn.Linear(d, 2 * width) for m, d in dims.items() if m != self.conditioned}
        )
        self.head = nn.Linear(width, outputs)

    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        target = features[self.conditioned]
        return self._modulated(
            target, [generator(features[m]) for m, generator in self.generators.items()]
        )

    def alone(self, modality: str, features: Tensor) -> Tensor:
        # The conditioned modality has no generator of its own: it goes through the others', which for two modalities is the only one.
        own = (
            [self.generators[modality]]
            if modality in self.generators
            else list(self.generators.values())
        )
        made = [generator(features) for generator in own]
        mean = [torch.stack(made).mean(0)] if made else []
        z = self._modulated(features, mean)
        return z - self.head.bias * (1 - 1 / len(self.dims))

    def _modulated(self, target: Tensor, made: list[Tensor]) -> Tensor:
        if made:
            gamma, beta = torch.stack(made).sum(0).chunk(2, dim=1)
            target = (gamma + float(self.plus_one)) * target + beta
        fused: Tensor = self.head(target)
        return fused


class BiGated(Conditional):
    """One modality passes through the gates that the others hold open:  l = W (u^t * prod_{j≠t} sigmoid(u^j)) + b, u^m = U_m f^m + u_m.

    Args:
        dims: D_m of every modality.
        outputs: C.
        gated: t, who passes through the gates. None is the second of two modalities, as in the original; of three or more, where a
            product of gates would all but close, it is the mean over every choice of t.
        width: of u^m; None is the largest D_m.
        unimodal: see :class:`Conditional`; ``"self_modulation"`` is W u^m + b / k, without any gate.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        outputs: int,
        *,
        gated: str | None = None,
        width: int | None = None,
        unimodal: Readout = "zero_other",
    ) -> None:
        super().__init__(dims, outputs, unimodal)
        width = max(dims.values()) if width is None else width
        if width < 1:
            raise ArgumentError(f"width must be one or more, found {width}.")
        if gated is not None:
            self.passing: tuple[str, ...] = (self._one_of("gated", gated),)
        else:
            self.passing = tuple(dims) if len(dims) > 2 else (tuple(dims)[-1],)
        self.projections = nn.ModuleDict({m: nn.Linear(d, width) for m, d in dims.items()})
        self.head = nn.Linear(width, outputs)

    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        u = {m: self.projections[m](features[m]) for m in self.dims}
        passed = [
            math.prod((u[j].sigmoid() for j in self.dims if j != t), start=u[t])
            for t in self.passing
        ]
        logits: Tensor = self.head(torch.stack(passed).mean(0))
        return logits

    def alone(self, modality: str, features: Tensor) -> Tensor:
        z: Tensor = self.head(self.projections[modality](features)) - self.head.bias * (
            1 - 1 / len(self.dims)
        )
        return z
