"""Fusions in which modalities modulate one another: FiLM and the bilinear gate.

Their unimodal logits are approximations.

Sources: E. Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018;
D. Kiela et al., "Efficient Large-Scale Multi-Modal Classification", AAAI 2018.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.fusion.base import Pooled

Readout = Literal["zero_other", "self_modulation"]
"""Way to read unimodal logits, see :class:`Conditional`."""


class Conditional(Pooled):
    """Base of FiLM and BiGated, with the readout of unimodal logits.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
        unimodal: Readout of z^m. ``"zero_other"``: the joint logits with the features of all
            other modalities set to zero. ``"self_modulation"``: the authors' readout, in which a
            modality passes alone through layers that were trained on others.
    """

    def __init__(self, dims: Mapping[str, int], outputs: int, unimodal: Readout) -> None:
        super().__init__(dims, outputs)
        self.readout = unimodal

    @abstractmethod
    def alone(self, modality: str, features: Tensor) -> Tensor:
        """Return z^m ``(B, C)`` by the readout ``"self_modulation"``."""

    def read(self, modality: str, features: Mapping[str, Tensor]) -> Tensor:
        """Return z^m ``(B, C)`` by the chosen readout; see :meth:`~g2d.fusion.base.Pooled.read`."""
        if self.readout == "self_modulation":
            return self.alone(modality, features[modality])
        return super().read(modality, features)


class FiLM(Conditional):
    """All other modalities scale and shift the features of one modality t.

    l = W ((1 + sum_j gamma_j) * f^t + sum_j beta_j) + b, with (gamma_j, beta_j) = A_j f^j + a_j
    for every modality j other than t.

    The original, for two modalities, has no 1: ``plus_one=False`` is
    l = W (gamma * f^t + beta) + b.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
        conditioned: Modality t; None for the last one (in the original the first modulates the
            second).
        plus_one: Whether to start near the identity, which keeps a sum of several gamma_j stable.
        unimodal: Readout, see :class:`Conditional`; ``"self_modulation"`` needs equal D_m, because
            f^m passes through its own (gamma, beta).

    Raises:
        ArgumentError: An argument breaks its rule.
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
        self.conditioned = tuple(dims)[-1] if conditioned is None else conditioned
        one_of("conditioned", self.conditioned, dims)
        if unimodal == "self_modulation" and len(set(dims.values())) > 1:
            widths = ", ".join(f"{m} {d}" for m, d in dims.items())
            raise ArgumentError(
                "features under unimodal='self_modulation' must be equally wide, "
                f"found {widths}. Use unimodal='zero_other'."
            )
        self.plus_one = plus_one
        width = dims[self.conditioned]
        self.generators = nn.ModuleDict(
            {m: nn.Linear(d, 2 * width) for m, d in dims.items() if m != self.conditioned}
        )
        self.head = nn.Linear(width, outputs)

    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the fused logits l ``(B, C)`` of features f^m ``(B, D_m)``."""
        target = features[self.conditioned]
        return self._modulated(
            target, [generator(features[m]) for m, generator in self.generators.items()]
        )

    def alone(self, modality: str, features: Tensor) -> Tensor:
        """Return z^m ``(B, C)``, where f^m is modulated by its own (gamma, beta).

        The conditioned modality has no generator and uses the mean of the others' generators; of
        two modalities that is the only generator.
        """
        own = [g for m, g in self.generators.items() if m == modality] or self.generators.values()
        generated = [generator(features) for generator in own]
        mean = [torch.stack(generated).mean(0)] if generated else []
        z = self._modulated(features, mean)
        return z - self.head.bias * (1 - 1 / len(self.dims))

    def _modulated(self, target: Tensor, generated: list[Tensor]) -> Tensor:
        """Return the logits of a target modulated by the sum of (gamma, beta)."""
        if generated:
            gamma, beta = torch.stack(generated).sum(0).chunk(2, dim=1)
            target = (gamma + float(self.plus_one)) * target + beta
        fused: Tensor = self.head(target)
        return fused


class BiGated(Conditional):
    """One modality t passes through the gates of all others.

    l = W (u^t * prod_{j≠t} sigmoid(u^j)) + b, with u^m = U_m f^m + u_m.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
        gated: Modality t. None is the second of two modalities, as in the original; of three or
            more it is the mean over every choice of t, because a product of several gates is
            nearly zero.
        width: Width of u^m; None for the largest D_m.
        unimodal: Readout, see :class:`Conditional`; ``"self_modulation"`` is W u^m + b / k, without
            gates.

    Raises:
        ArgumentError: An argument breaks its rule.
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
        self.passing = tuple(dims) if len(dims) > 2 else (tuple(dims)[-1],)
        if gated is not None:
            one_of("gated", gated, dims)
            self.passing = (gated,)
        self.width = width
        self.projections = nn.ModuleDict({m: nn.Linear(d, width) for m, d in dims.items()})
        self.head = nn.Linear(width, outputs)

    def projected(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return u^m = U_m f^m + u_m ``(B, width)`` of features f^m ``(B, D_m)``."""
        return {m: self.projections[m](features[m]) for m in self.dims}

    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the fused logits l ``(B, C)`` of features f^m ``(B, D_m)``."""
        u = self.projected(features)
        passed = [
            math.prod((u[j].sigmoid() for j in self.dims if j != t), start=u[t])
            for t in self.passing
        ]
        logits: Tensor = self.head(torch.stack(passed).mean(0))
        return logits

    def alone(self, modality: str, features: Tensor) -> Tensor:
        """Return z^m = W u^m + b / k ``(B, C)``."""
        z: Tensor = self.head(self.projections[modality](features))
        return z - self.head.bias * (1 - 1 / len(self.dims))
