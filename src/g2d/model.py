"""The multimodal model with its door between encoder and fusion, and the frozen teachers.

The door is the one idea that makes modulation simple. An encoder is reached only through its features f^m, so scaling the
gradient at f^m scales the gradient of all its parameters (Eq. 8); no parameter is ever looked up by name. Where kappa^m = 0 the
encoder runs without a graph: its backward is never computed, its ``.grad`` stays None, the optimizer skips it, and not a bit of
it moves, whatever the optimizer, its momentum or its weight decay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.gradients import scale_gradient
from g2d.fusion import Additive, Fusion, Kappa, Late
from g2d.types import Batch, Encoded, Input, Inputs, Output, TeacherOutput

_BatchNorm = nn.modules.batchnorm._BatchNorm


class MultimodalModel(nn.Module):
    """Encoders, a door, a fusion.

    Args:
        encoders: per modality any ``nn.Module`` that returns ``(B, D)`` or :class:`~g2d.types.Encoded`.
        fusion: what turns the features into logits.

    Raises:
        ArgumentError: an encoder serves two modalities, or encoders and fusion name different modalities.

    Example:
        >>> from g2d.fusion import Late
        >>> encoders = {"image": nn.Linear(4, 3), "tone": nn.Linear(2, 5)}
        >>> model = MultimodalModel(encoders, Late({"image": 3, "tone": 5}, outputs=10))
        >>> output = model({"image": torch.randn(8, 4), "tone": torch.randn(8, 2)}, {"image": 1.0, "tone": 0.0})
        >>> output.logits.sum().backward()
        >>> encoders["tone"].weight.grad is None, encoders["image"].weight.grad is None
        (True, False)
    """

    def __init__(self, encoders: Mapping[str, nn.Module], fusion: Fusion) -> None:
        super().__init__()
        owner: dict[int, str] = {}
        for m, encoder in encoders.items():
            for parameter in encoder.parameters():
                other = owner.setdefault(id(parameter), m)
                if other != m:
                    raise ArgumentError(
                        f"encoders must not share parameters, found one in both {other!r} and {m!r}: a door could not tell them apart."
                    )
        if tuple(encoders) != tuple(fusion.dims):
            raise ArgumentError(
                f"fusion must take the encoders' modalities in their order ({', '.join(encoders)}), found {', '.join(fusion.dims)}."
            )
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.fusion.dims)

    def encode(
        self,
        inputs: Inputs,
        kappa: Kappa | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        freeze_batchnorm: bool = False,
        only: Collection[str] | None = None,
    ) -> dict[str, Encoded]:
        """Features of every modality, each behind its door.

        Args:
            inputs: per modality, ``(B, ...)`` or a Sequence.
            kappa: coefficient per modality in [0, 1]; those not named, or None, pass untouched.
            present: ``(B,)`` bool per modality; features of rows that lack it are zero.
            freeze_batchnorm: normalise a suppressed encoder (kappa = 0) by its running statistics, which then stand still. By
                default it stays in train mode, as in the paper's code: its statistics move, its weights do not.
            only: encode these modalities and no others; for methods in which modalities take turns.
        """
        missing = [m for m in self.modalities if m not in inputs]
        if missing:
            raise ArgumentError(
                f"inputs must hold every modality of the model ({', '.join(self.modalities)}), found none for {', '.join(missing)}."
            )
        return {
            m: self._through_door(
                m,
                inputs[m],
                1.0 if kappa is None else kappa.get(m, 1.0),
                None if present is None else present.get(m),
                freeze_batchnorm,
            )
            for m in self.modalities
            if only is None or m in only
        }

    def forward(
        self,
        inputs: Inputs,
        kappa: Kappa | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        unimodal: bool = False,
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> Output:
        """Fused logits of a batch.

        Args:
            kappa, present, freeze_batchnorm: see :meth:`encode`.
            unimodal: also give the unimodal logits z^m.
            gate_heads: scale the gradient of each modality's head with that of its encoder; needs separate heads.
        """
        encoded = self.encode(inputs, kappa, present=present, freeze_batchnorm=freeze_batchnorm)
        logits, z = self.fusion(
            encoded, unimodal=unimodal, head_kappa=kappa if gate_heads else None
        )
        return Output({m: e.pooled for m, e in encoded.items()}, logits, z)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Optimizer groups, one per encoder and one for the fusion, each with its ``name``; pass them to any torch optimizer."""
        groups = [
            {"name": m, "params": list(encoder.parameters())}
            for m, encoder in self.encoders.items()
        ]
        groups.append({"name": "fusion", "params": list(self.fusion.parameters())})
        return [group for group in groups if group["params"]]

    def _through_door(
        self,
        m: str,
        values: Input,
        kappa: Tensor | float,
        present: Tensor | None,
        freeze_batchnorm: bool,
    ) -> Encoded:
        encoder = self.encoders[m]
        if not isinstance(kappa, Tensor) and kappa == 0:
            with torch.no_grad(), _batchnorm_frozen(encoder) if freeze_batchnorm else _nothing():
                encoded = _as_encoded(encoder(values), m)
        else:
            encoded = _as_encoded(encoder(values), m)
            tokens = None if encoded.tokens is None else scale_gradient(encoded.tokens, kappa)
            encoded = replace(encoded, pooled=scale_gradient(encoded.pooled, kappa), tokens=tokens)
        return encoded if present is None else without_rows(encoded, present)


def without_rows(encoded: Encoded, present: Tensor) -> Encoded:
    """The same features, zero in the rows that lack the modality; their tokens are zero and masked."""
    # where, not a product: what an encoder makes of an absent input may be infinite, and 0 * inf is not 0.
    pooled = torch.where(present[:, None], encoded.pooled, 0.0)
    if encoded.tokens is None:
        return replace(encoded, pooled=pooled)
    real = present[:, None].expand(encoded.tokens.shape[:2])
    mask = real if encoded.mask is None else encoded.mask & real
    return Encoded(pooled, torch.where(present[:, None, None], encoded.tokens, 0.0), mask)


def example_features(encoders: Mapping[str, nn.Module], inputs: Inputs) -> dict[str, Encoded]:
    """What every encoder makes of two example rows, in eval mode: the widths of features and tokens are read from it, not typed in.

    Example:
        >>> example_features({"tone": nn.Linear(2, 5)}, {"tone": torch.zeros(9, 2)})["tone"].pooled.shape
        torch.Size([2, 5])
    """
    features = {}
    for m, encoder in encoders.items():
        with torch.no_grad(), evaluating(encoder):
            features[m] = _as_encoded(encoder(inputs[m][:2]), m)
    return features


def feature_dims(encoders: Mapping[str, nn.Module], inputs: Inputs) -> dict[str, int]:
    """D_m of every encoder, read from what it makes of two example rows.

    Example:
        >>> feature_dims({"tone": nn.Linear(2, 5)}, {"tone": torch.zeros(9, 2)})
        {'tone': 5}
    """
    return {m: encoded.pooled.shape[1] for m, encoded in example_features(encoders, inputs).items()}


def warm_start(model: MultimodalModel, teachers: Mapping[str, MultimodalModel]) -> None:
    """Start a student from its teachers: every encoder, and the heads where the fusion is additive.

    With an additive fusion the student then *is* the ensemble of its teachers (the mean of their logits).

    Raises:
        ArgumentError: a teacher's encoder has another shape than the student's.
    """
    for m in model.modalities:
        try:
            model.encoders[m].load_state_dict(teachers[m].encoders[m].state_dict())
        except RuntimeError as error:
            raise ArgumentError(
                f"the teacher of {m!r} must have the student's encoder to start from, found another: {error}"
            ) from error
    if isinstance(model.fusion, Additive):
        model.fusion.load_heads({m: teacher_head(teachers[m]) for m in model.modalities})


def teacher_head(teacher: MultimodalModel) -> nn.Linear:
    """The one linear layer psi_t^m on top of a teacher's encoder."""
    if not isinstance(teacher.fusion, Late) or len(teacher.modalities) != 1:
        raise UnsupportedError(
            "a teacher must be one encoder and one linear layer (a model of one modality with Late fusion), found another model."
        )
    head = teacher.fusion.heads[teacher.modalities[0]]
    assert isinstance(head, nn.Linear)
    return head


class Teachers:
    """Frozen unimodal teachers, one per modality.

    Deliberately not an ``nn.Module``: a teacher must appear neither in a student's checkpoint nor in its train mode.

    Args:
        models: per modality a model of that modality alone; frozen and put in eval mode here.
        ranking: the models whose confidence ranks, if it should not be the same ones (their last checkpoint, say).
    """

    def __init__(
        self,
        models: Mapping[str, MultimodalModel],
        ranking: Mapping[str, MultimodalModel] | None = None,
    ) -> None:
        for m, teacher in [*models.items(), *(ranking or {}).items()]:
            if teacher.modalities != (m,):
                raise ArgumentError(
                    f"the teacher of {m!r} must be a model of that modality alone, found one of {', '.join(teacher.modalities)}."
                )
            teacher.eval().requires_grad_(False)
        self.models, self.ranking = dict(models), None if ranking is None else dict(ranking)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.models)

    def to(self, device: torch.device | str) -> Teachers:
        for teacher in [*self.models.values(), *(self.ranking or {}).values()]:
            teacher.to(device)
        return self

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutput:
        """What the teachers say about the rows of a batch, under the very view of the data that the student sees."""
        outputs = {m: teacher({m: batch.inputs[m]}) for m, teacher in self.models.items()}
        logits = {m: output.logits for m, output in outputs.items()}
        ranking = (
            logits
            if self.ranking is None
            else {m: teacher({m: batch.inputs[m]}).logits for m, teacher in self.ranking.items()}
        )
        return TeacherOutput(
            {m: output.features[m] for m, output in outputs.items()}, logits, ranking
        )


class CachedTeachers(Teachers):
    """The same answers, computed once per row and then looked up by ``batch.index``.

    Only where a row's inputs are the same in every epoch (no crop, flip or fresh draw); whoever builds it knows.

    Args:
        models, ranking: see :class:`Teachers`.
        rows: how many sample ids there are; ids run from 0.
    """

    def __init__(
        self,
        models: Mapping[str, MultimodalModel],
        ranking: Mapping[str, MultimodalModel] | None = None,
        *,
        rows: int,
    ) -> None:
        super().__init__(models, ranking)
        self.known = torch.zeros(rows, dtype=torch.bool)
        self._table: TeacherOutput | None = None

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutput:
        if batch.index is None:
            raise ArgumentError(
                "index must name the rows of a batch for cached teachers, found None."
            )
        index = batch.index.cpu()
        if not self.known[index].all():
            self._remember(index, super().__call__(batch))
        assert self._table is not None
        device = batch.index.device
        features, logits, ranking = (
            {m: rows[index].to(device) for m, rows in table.items()}
            for table in (self._table.features, self._table.logits, self._table.ranking_logits)
        )
        return TeacherOutput(features, logits, logits if self.ranking is None else ranking)

    def _remember(self, index: Tensor, output: TeacherOutput) -> None:
        if self._table is None:
            empty = [
                {m: torch.zeros(len(self.known), v.shape[1]) for m, v in t.items()}
                for t in (output.features, output.logits, output.ranking_logits)
            ]
            self._table = TeacherOutput(*empty)
        for table, values in zip(
            (self._table.features, self._table.logits, self._table.ranking_logits),
            (output.features, output.logits, output.ranking_logits),
            strict=True,
        ):
            for m, rows in values.items():
                table[m][index] = rows.float().cpu()
        self.known[index] = True


def _as_encoded(value: Any, modality: str) -> Encoded:
    encoded = value if isinstance(value, Encoded) else Encoded(value)
    if not isinstance(encoded.pooled, Tensor) or encoded.pooled.ndim != 2:
        found = (
            tuple(encoded.pooled.shape)
            if isinstance(encoded.pooled, Tensor)
            else type(value).__name__
        )
        raise ArgumentError(
            f"the encoder of {modality!r} must return features of shape (rows, D) or Encoded, found {found}."
        )
    return encoded


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in eval mode for a while, and afterwards every part of it in the mode it had, whatever happened.

    Example:
        >>> layer = nn.Dropout()
        >>> with evaluating(layer):
        ...     layer.training
        False
        >>> layer.training
        True
    """
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def _batchnorm_frozen(module: nn.Module) -> Iterator[None]:
    frozen = [
        layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.training
    ]
    for layer in frozen:
        layer.eval()
    try:
        yield
    finally:
        for layer in frozen:
            layer.train()


@contextmanager
def _nothing() -> Iterator[None]:
    yield
