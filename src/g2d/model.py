"""The multimodal model with its door between encoder and fusion, and the frozen teachers.

The door is what makes modulation simple. An encoder is reached only through its features f^m, so
scaling the gradient at f^m scales the gradient of all its parameters (Eq. 8); no parameter is
looked up by name. Where kappa^m = 0 the encoder runs without a graph: its backward pass is never
computed, its ``.grad`` stays None, the optimizer skips it, and none of its bits change, whatever
the optimizer, its momentum or its weight decay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from g2d.configured import Configured
from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.gradients import scale_gradient
from g2d.functional.precision import at_least_float32
from g2d.fusion import Additive, Fusion, Kappa, Late
from g2d.types import Batch, Encoded, Input, Inputs, Output, Present, TeacherOutput

_BatchNorm = nn.modules.batchnorm._BatchNorm


class MultimodalModel(nn.Module):
    """Encoders, a door behind each of them, and a fusion.

    Args:
        encoders: One ``nn.Module`` per modality that returns features ``(B, D)`` or
            :class:`~g2d.types.Encoded`.
        fusion: Module that turns the features into logits.

    Raises:
        ArgumentError: Two encoders, or an encoder and the fusion, share a parameter, or encoders
            and fusion name different modalities.

    Example:
        >>> from g2d.fusion import Late
        >>> encoders = {"image": nn.Linear(4, 3), "tone": nn.Linear(2, 5)}
        >>> model = MultimodalModel(encoders, Late({"image": 3, "tone": 5}, outputs=10))
        >>> model
        MultimodalModel(
          image: Linear(in_features=4, out_features=3, bias=True), 15 parameters
          tone: Linear(in_features=2, out_features=5, bias=True), 15 parameters
          fusion: Late(dims={'image': 3, 'tone': 5}, outputs=10), 100 parameters
        )
        >>> inputs = {"image": torch.randn(8, 4), "tone": torch.randn(8, 2)}
        >>> output = model(inputs, {"image": 1.0, "tone": 0.0})
        >>> output.logits.sum().backward()
        >>> encoders["tone"].weight.grad is None, encoders["image"].weight.grad is None
        (True, False)
    """

    def __init__(self, encoders: Mapping[str, nn.Module], fusion: Fusion) -> None:
        super().__init__()
        owner: dict[int, str] = {}
        for name, part in [*encoders.items(), ("fusion", fusion)]:
            for parameter in part.parameters():
                other = owner.setdefault(id(parameter), name)
                if other != name:
                    raise ArgumentError(
                        f"encoders must not share parameters, found one in both {other!r} and "
                        f"{name!r}. The door could not scale the gradient of only one modality."
                    )
        if tuple(encoders) != tuple(fusion.dims):
            raise ArgumentError(
                f"fusion must take the encoders' modalities in their order "
                f"({', '.join(encoders)}), found {', '.join(fusion.dims)}."
            )
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion

    def __repr__(self) -> str:
        parts = [*self.encoders.items(), ("fusion", self.fusion)]
        lines = [f"  {name}: {_short(module)}\n" for name, module in parts]
        return f"{type(self).__name__}(\n{''.join(lines)})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the data."""
        return tuple(self.fusion.dims)

    def encode(
        self,
        inputs: Inputs,
        kappa: Kappa | None = None,
        *,
        present: Present = None,
        freeze_batchnorm: bool = False,
        only: Collection[str] | None = None,
    ) -> dict[str, Encoded]:
        """Return the features of every modality, each behind its door.

        Args:
            inputs: Inputs per modality, a tensor ``(B, ...)`` or a Sequence.
            kappa: Coefficient per modality in [0, 1]; a modality without one is not modulated.
            present: Rows that have the modality ``(B,)``, bool, per modality; features of the
                other rows are zero.
            freeze_batchnorm: Normalize a suppressed encoder (kappa = 0) by its running statistics
                and do not update them. By default it stays in train mode, as in the paper's code:
                its statistics change, its weights do not.
            only: Modalities to encode; None encodes all. For methods in which modalities take
                turns.

        Raises:
            ArgumentError: The input of a modality is missing.
        """
        missing = [m for m in self.modalities if m not in inputs]
        if missing:
            raise ArgumentError(
                f"inputs must hold every modality of the model ({', '.join(self.modalities)}), "
                f"found none for {', '.join(missing)}."
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
        present: Present = None,
        unimodal: bool = False,
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> Output:
        """Return features and fused logits of a batch.

        Args:
            inputs: Inputs per modality, see :meth:`encode`.
            kappa: Coefficient per modality, see :meth:`encode`.
            present: Rows that have the modality, see :meth:`encode`.
            unimodal: Whether to return the unimodal logits z^m too.
            gate_heads: Whether to scale the gradient of each modality's head like that of its
                encoder; needs separate heads.
            freeze_batchnorm: Whether to freeze the statistics of suppressed encoders, see
                :meth:`encode`.
        """
        encoded = self.encode(inputs, kappa, present=present, freeze_batchnorm=freeze_batchnorm)
        logits, z = self.fusion(
            encoded, unimodal=unimodal, head_kappa=kappa if gate_heads else None
        )
        return Output({m: e.pooled for m, e in encoded.items()}, logits, z)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups for any torch optimizer: one per encoder and one for the fusion.

        Each group has a ``name``; groups without parameters are left out.
        """
        parts = [*self.encoders.items(), ("fusion", self.fusion)]
        groups = [{"name": name, "params": list(part.parameters())} for name, part in parts]
        return [group for group in groups if group["params"]]

    def _through_door(
        self,
        m: str,
        values: Input,
        kappa: Tensor | float,
        present: Tensor | None,
        freeze_batchnorm: bool,
    ) -> Encoded:
        """Encode one modality and scale the gradient at its features by kappa."""
        encoder = self.encoders[m]
        if not isinstance(kappa, Tensor) and kappa == 0:
            frozen = _batchnorm_frozen(encoder) if freeze_batchnorm else nullcontext()
            with torch.no_grad(), frozen:
                encoded = _as_encoded(encoder(values), m)
        else:
            encoded = _as_encoded(encoder(values), m)
            tokens = None if encoded.tokens is None else scale_gradient(encoded.tokens, kappa)
            encoded = replace(encoded, pooled=scale_gradient(encoded.pooled, kappa), tokens=tokens)
        return encoded if present is None else without_rows(encoded, present)


def check_model(model: object) -> None:
    """Check that a method can train a model.

    Raises:
        ArgumentError: It is another module, or a model within a wrapper such as
            ``DistributedDataParallel``.
    """
    if _is_multimodal(model):
        return
    name = type(model).__name__
    if _is_multimodal(getattr(model, "module", None)):
        raise ArgumentError(
            f"model must not be wrapped, found {name}: a method sums the gradients of all "
            "processes itself. Pass the model itself (model.module) and start the script with "
            "torchrun."
        )
    raise ArgumentError(
        f"model must be a g2d.MultimodalModel, found {name}. Build one from your encoders: "
        "MultimodalModel({'image': encoder}, Late({'image': width}, outputs=classes))."
    )


def _is_multimodal(model: object) -> bool:
    """Return whether an object is a multimodal model, compiled or not."""
    return all(hasattr(model, name) for name in ("encoders", "fusion", "modalities"))


def _short(module: nn.Module) -> str:
    """Return a module's size and its repr, or its class if the repr lists layers."""
    text = repr(module).replace("\n", "\n  ")
    if "\n" in text and not isinstance(module, Configured):
        text = f"{type(module).__name__}(...)"
    return f"{text}, {sum(p.numel() for p in module.parameters()):,} parameters"


def without_rows(encoded: Encoded, present: Tensor) -> Encoded:
    """Return the features with zeros in the rows that lack the modality.

    Tokens of these rows are zero and masked.

    Args:
        encoded: Output of an encoder.
        present: Rows that have the modality ``(B,)``, bool.
    """
    # where, not a product: the features of an absent input may be infinite, and 0 * inf is not 0.
    pooled = torch.where(present[:, None], encoded.pooled, 0.0)
    if encoded.tokens is None:
        return replace(encoded, pooled=pooled)
    real = present[:, None].expand(encoded.tokens.shape[:2])
    mask = real if encoded.mask is None else encoded.mask & real
    return Encoded(pooled, torch.where(present[:, None, None], encoded.tokens, 0.0), mask)


def example_features(encoders: Mapping[str, nn.Module], inputs: Inputs) -> dict[str, Encoded]:
    """Encode two example rows in eval mode, to read the widths of features and tokens from them.

    Args:
        encoders: Encoder per modality.
        inputs: Example inputs per modality; the first two rows are used.

    Example:
        >>> features = example_features({"tone": nn.Linear(2, 5)}, {"tone": torch.zeros(9, 2)})
        >>> features["tone"].pooled.shape
        torch.Size([2, 5])
    """
    features = {}
    for m, encoder in encoders.items():
        with torch.no_grad(), evaluating(encoder):
            features[m] = _as_encoded(encoder(inputs[m][:2]), m)
    return features


def feature_dims(encoders: Mapping[str, nn.Module], inputs: Inputs) -> dict[str, int]:
    """Return the width D_m of every encoder's features, read from two example rows.

    Args:
        encoders: Encoder per modality.
        inputs: Example inputs per modality; the first two rows are used.

    Example:
        >>> feature_dims({"tone": nn.Linear(2, 5)}, {"tone": torch.zeros(9, 2)})
        {'tone': 5}
    """
    return {m: encoded.pooled.shape[1] for m, encoded in example_features(encoders, inputs).items()}


def warm_start(model: MultimodalModel, teachers: Mapping[str, nn.Module]) -> None:
    """Copy the teachers' weights into a student: every encoder, and the heads of additive fusions.

    With an additive fusion the student then *is* the ensemble of its teachers (the mean of their
    logits).

    Args:
        model: Student, changed in place.
        teachers: Teacher per modality.

    Raises:
        ArgumentError: A teacher's encoder has another shape than the student's.
        UnsupportedError: A teacher is a module of another kind, whose encoder is not known.
    """
    heads = {m: teacher_head(teachers[m]) for m in model.modalities}
    for m in model.modalities:
        try:
            model.encoders[m].load_state_dict(teacher_encoder(teachers[m]).state_dict())
        except RuntimeError as error:
            raise ArgumentError(
                f"the teacher of {m!r} must have the student's encoder to start from, "
                f"found another: {error}"
            ) from error
    if isinstance(model.fusion, Additive):
        model.fusion.load_heads(heads)


def teacher_encoder(teacher: nn.Module) -> nn.Module:
    """Return the encoder of a teacher.

    Args:
        teacher: Model of one modality.

    Raises:
        UnsupportedError: The teacher is a module of another kind, whose encoder is not known.
    """
    if not isinstance(teacher, MultimodalModel):
        raise UnsupportedError(
            "a teacher whose encoder is used must be a g2d.MultimodalModel of one modality, "
            f"found {type(getattr(teacher, 'module', teacher)).__name__}."
        )
    (encoder,) = teacher.encoders.values()
    return encoder


def teacher_head(teacher: nn.Module) -> nn.Linear:
    """Return the linear layer psi_t^m on top of a teacher's encoder.

    Args:
        teacher: Model of one modality with Late fusion.

    Raises:
        UnsupportedError: The model is no such teacher.
    """
    fusion = teacher.fusion if isinstance(teacher, MultimodalModel) else None
    if not isinstance(fusion, Late) or len(fusion.dims) != 1:
        raise UnsupportedError(
            "a teacher must be one encoder and one linear layer "
            "(a model of one modality with Late fusion), found another model."
        )
    (head,) = fusion.heads.values()
    assert isinstance(head, nn.Linear)
    return head


class ModuleTeacher(nn.Module):
    """A module of one's own as the teacher of a modality.

    Args:
        modality: Name of the modality.
        module: Returns logits ``(B, C)``, or a tuple of features ``(B, D)`` and logits, for the
            inputs of the modality.
    """

    def __init__(self, modality: str, module: nn.Module) -> None:
        super().__init__()
        self.modality, self.module = modality, module

    @property
    def modalities(self) -> tuple[str, ...]:
        """Name of the modality, as for a multimodal model."""
        return (self.modality,)

    def forward(self, inputs: Inputs) -> Output:
        """Return the logits of a batch, and the features if the module returns them.

        Raises:
            ArgumentError: The module returns something else.
        """
        value = self.module(inputs[self.modality])
        parts = value if isinstance(value, tuple) else (value,)
        tables = [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
        if len(tables) != len(parts) or len(parts) not in (1, 2):
            kinds = [tuple(p.shape) if isinstance(p, Tensor) else type(p).__name__ for p in parts]
            raise ArgumentError(
                f"the teacher of {self.modality!r} must return logits (rows, outputs), or features "
                f"(rows, D) and logits, found {', '.join(map(str, kinds)) or 'nothing'}."
            )
        *features, logits = tables
        return Output(dict(zip(self.modalities, features, strict=False)), logits)


class Teachers:
    """Frozen unimodal teachers, one per modality.

    It is not an ``nn.Module``, so that teachers appear neither in a student's checkpoint nor in
    its train mode.

    Args:
        models: Teacher per modality, frozen and set to eval mode here: a model of that modality
            alone, or any module that returns logits ``(B, C)``, or a tuple of features ``(B, D)``
            and logits, for the inputs of the modality. Feature distillation needs the features.
        ranking: Teachers whose confidence ranks the modalities, for example the last checkpoints;
            None if ``models`` rank.

    Raises:
        ArgumentError: A model has other modalities than its own, or a teacher is no module.

    Example:
        >>> from g2d.fusion import Late
        >>> teacher = MultimodalModel({"tone": nn.Linear(2, 5)}, Late({"tone": 5}, outputs=10))
        >>> teachers = Teachers({"tone": teacher})
        >>> teachers
        Teachers(tone)
        >>> batch = Batch({"tone": torch.zeros(3, 2)}, torch.zeros(3, dtype=torch.int64))
        >>> teachers(batch).logits["tone"].shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        ranking: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self.models = {m: _as_teacher(m, teacher) for m, teacher in models.items()}
        self.ranking = ranking and {m: _as_teacher(m, teacher) for m, teacher in ranking.items()}

    def __repr__(self) -> str:
        ranking = [] if self.ranking is None else ["ranked by other checkpoints"]
        return f"{type(self).__name__}({', '.join([*self.models, *ranking])})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that have a teacher."""
        return tuple(self.models)

    def to(self, device: torch.device | str) -> Teachers:
        """Move all teachers to a device and return them."""
        for teacher in [*self.models.values(), *(self.ranking or {}).values()]:
            teacher.to(device)
        return self

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutput:
        """Return the teachers' output for a batch, from the same inputs that the student sees."""
        outputs = {m: teacher({m: batch.inputs[m]}) for m, teacher in self.models.items()}
        logits = {m: output.logits for m, output in outputs.items()}
        features = {m: f for output in outputs.values() for m, f in output.features.items()}
        if self.ranking is None:
            return TeacherOutput(features, logits, logits)
        ranking = {m: teacher({m: batch.inputs[m]}).logits for m, teacher in self.ranking.items()}
        return TeacherOutput(features, logits, ranking)


def _as_teacher(m: str, teacher: nn.Module) -> nn.Module:
    """Return a frozen teacher of one modality in eval mode; wrap a module of one's own."""
    if not isinstance(teacher, nn.Module):
        raise ArgumentError(
            f"the teacher of {m!r} must be a torch module, found {type(teacher).__name__}."
        )
    if not _is_multimodal(teacher) and not isinstance(teacher, ModuleTeacher):
        teacher = ModuleTeacher(m, teacher)
    modalities: Any = teacher.modalities
    if modalities != (m,):
        raise ArgumentError(
            f"the teacher of {m!r} must be a model of that modality alone, "
            f"found one of {', '.join(modalities)}."
        )
    return teacher.eval().requires_grad_(False)


class CachedTeachers(Teachers):
    """Teachers that compute the output of a row once and then look it up by ``batch.index``.

    Use it only where the inputs of a row are the same in every epoch (no crop, flip or noise).

    Args:
        models: Teacher per modality, see :class:`Teachers`.
        ranking: Teachers that rank the modalities, see :class:`Teachers`.
        rows: Number of sample ids; ids run from 0.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        ranking: Mapping[str, nn.Module] | None = None,
        *,
        rows: int,
    ) -> None:
        super().__init__(models, ranking)
        self.known = torch.zeros(rows, dtype=torch.bool)
        self._table: TeacherOutput | None = None

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, rows={len(self.known)})"

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutput:
        """Return the teachers' output for a batch, computed only for rows that are new.

        Raises:
            ArgumentError: The batch has no index.
        """
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
            for table in _tables(self._table)
        )
        return TeacherOutput(features, logits, logits if self.ranking is None else ranking)

    def _remember(self, index: Tensor, output: TeacherOutput) -> None:
        """Store the output of the rows with these ids."""
        if self._table is None:
            empty = (
                {
                    m: torch.zeros(len(self.known), v.shape[1], dtype=at_least_float32(v).dtype)
                    for m, v in values.items()
                }
                for values in _tables(output)
            )
            self._table = TeacherOutput(*empty)
        for table, values in zip(_tables(self._table), _tables(output), strict=True):
            for m, rows in values.items():
                table[m][index] = at_least_float32(rows).cpu()
        self.known[index] = True


def _tables(output: TeacherOutput) -> tuple[Mapping[str, Tensor], ...]:
    """Return features, logits and ranking logits."""
    return output.features, output.logits, output.ranking_logits


def _as_encoded(value: Any, modality: str) -> Encoded:
    """Return an encoder's output as Encoded, after a check of its shape."""
    encoded = value if isinstance(value, Encoded) else Encoded(value)
    pooled: Any = encoded.pooled
    if not isinstance(pooled, Tensor) or pooled.ndim != 2:
        kind = tuple(pooled.shape) if isinstance(pooled, Tensor) else type(value).__name__
        raise ArgumentError(
            f"the encoder of {modality!r} must return features of shape (rows, D) or Encoded, "
            f"found {kind}."
        )
    return encoded


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set a module to eval mode, and every part of it back to its own mode at the end.

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
    """Use running statistics in all BatchNorm layers, and do not update them."""
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
