"""The contract of a method: it owns one training step, and nothing else.

A method sees a :class:`TrainState` and a batch, and does whatever its paper says happens in one step. Epochs, devices,
checkpoints and logs belong to whoever calls it: the engine, or a loop of your own (a TrainState is built by hand in one line).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from g2d.errors import ArgumentError, G2DError, UnsupportedError
from g2d.functional.scoring import flip_rate, margin, ranking
from g2d.fusion import Additive
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, TeacherOutput

Rows = Callable[[str, float, int], Iterable[Batch]]
"""``rows(split, fraction, epoch)``: batches over a seeded share of a split's rows, as seen in that epoch."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a batch that passes through the model at once.

    Args:
        batch: its rows.
        rows: where they stand in the whole batch.
        share: their weight in the mean over the whole batch of all processes; shares add up to 1.
    """

    batch: Batch
    rows: slice
    share: float

    def of(self, teacher: TeacherOutput | None) -> TeacherOutput | None:
        """The teachers' answers on this part."""
        return None if teacher is None else teacher.rows(self.rows)


@dataclass(frozen=True, slots=True)
class Validation:
    """How the model did on the validation split after an epoch, by the method's own inference rule.

    Args:
        loss, score: mean loss and headline metric (higher is better) of the fused prediction.
        unimodal_loss, unimodal_score: the same of every modality's own prediction.
    """

    loss: float
    score: float
    unimodal_loss: Mapping[str, float]
    unimodal_score: Mapping[str, float]


class TrainState:
    """Everything a training step may touch.

    Args:
        model: the student.
        optimizer: over the groups of :meth:`Method.parameter_groups`, each with its ``name``.
        task: the kind of target.
        epochs, batches_per_epoch: the length of the run, for schedules inside a method.
        accumulate: cut every batch into this many parts; still one update per batch.
        max_norm: clip the global gradient norm, if given.
        precision: compute type of the forward pass (``torch.bfloat16``); None is full precision.
        scaler: loss scaling for float16.
        generator: random numbers of the method, equal on all processes.
        rows: access to whole splits, for the methods that need a pass over them.

    Attributes:
        epoch: counted from 1.
        step: updates done so far.
        stop: set by a method that has nothing left to train.
    """

    def __init__(
        self,
        model: MultimodalModel,
        optimizer: Optimizer,
        task: Task,
        *,
        epochs: int = 1,
        batches_per_epoch: int = 1,
        accumulate: int = 1,
        max_norm: float | None = None,
        precision: torch.dtype | None = None,
        scaler: torch.amp.GradScaler | None = None,
        generator: torch.Generator | None = None,
        rows: Rows | None = None,
    ) -> None:
        self.model, self.optimizer, self.task = model, optimizer, task
        self.epochs, self.batches_per_epoch = epochs, batches_per_epoch
        self.accumulate, self.max_norm, self.precision, self.scaler = accumulate, max_norm, precision, scaler
        self.generator = generator or torch.Generator().manual_seed(0)
        self.epoch, self.step, self.stop = 1, 0, False
        self.snapshots: dict[str, dict[str, Tensor]] = {}
        self._rows, self._rates, self._reduced = rows, dict[str, float](), False

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def adaptive(self) -> bool:
        """The optimizer divides by the size of past gradients, so that scaling a gradient does almost nothing (Adam and its kin)."""
        return not isinstance(self.optimizer, torch.optim.SGD)

    def parts(self, batch: Batch) -> Iterator[Part]:
        """The pieces of a batch: one, unless accumulation is asked for. Sizes differ by one row at most."""
        total = self.sum_across_processes(torch.tensor(float(len(batch)))).item() if processes() > 1 else len(batch)
        pieces = min(self.accumulate, max(1, len(batch) // 2))  # BatchNorm needs two rows
        if pieces == 1:
            yield Part(batch, slice(0, len(batch)), len(batch) / total)
            return
        edges = [round(i * len(batch) / pieces) for i in range(pieces + 1)]
        for start, end in pairwise(edges):
            yield Part(batch.rows(slice(start, end)), slice(start, end), (end - start) / total)

    def autocast(self) -> torch.autocast:
        """Around forward and loss; losses and scores are float32 whatever it says."""
        return torch.autocast(self.device.type, dtype=self.precision or torch.bfloat16, enabled=self.precision is not None)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss already weighted by its part's share."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def reduce_gradients(self) -> None:
        """Sum gradients over processes and undo the loss scale; done once per update, by whoever needs the true gradients first.

        Raises:
            G2DError: processes disagree about which parameters have a gradient.
        """
        if self._reduced:
            return
        if processes() > 1:
            _sum_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self._reduced = True

    def update(self) -> None:
        """Average over processes, unscale, clip, step, forget the gradients. A parameter without a gradient does not move at all."""
        self.reduce_gradients()
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], self.max_norm)
        with self._scaled_rates():
            if self.scaler is None:
                self.optimizer.step()
            else:
                self.scaler.step(self.optimizer)
                self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._reduced = False
        self.step += 1

    def scale_update(self, kappa: Mapping[str, float]) -> None:
        """Multiply the step size of these parameter groups in the next update: modulation where gradients cannot be scaled."""
        self._rates = {m: rate for m, rate in kappa.items() if rate != 1}

    def sum_across_processes(self, values: Tensor) -> Tensor:
        """The sum over all processes; the values themselves where there is one."""
        if processes() > 1:
            dist.all_reduce(values)
        return values

    def recorded(self, record: Mapping[str, Tensor | float]) -> dict[str, Tensor | float]:
        """What a step records, its losses (``loss/...``, each a share of the whole batch's) summed over processes."""
        if processes() == 1:
            return dict(record)
        return {name: self.sum_across_processes(torch.as_tensor(value)) if name.startswith("loss/") else value for name, value in record.items()}

    def train_rows(self, fraction: float = 1.0, epoch: int | None = None) -> Iterable[Batch]:
        """Batches over a share of the training rows, as seen in an epoch (this one, unless told). The same on every process."""
        return self._split("train", fraction, epoch)

    def validation_rows(self) -> Iterable[Batch]:
        """Batches over the validation rows."""
        return self._split("valid", 1.0, None)

    @property
    def has_rows(self) -> bool:
        return self._rows is not None

    def snapshot(self, branch: str) -> None:
        """Remember the weights of a branch (a modality's encoder and own head, or ``"model"``)."""
        self.snapshots[branch] = {
            f"{i}.{name}": value.detach().clone() for i, module in enumerate(self.branch(branch)) for name, value in module.state_dict().items()
        }

    def restore(self, branch: str) -> None:
        """Bring a branch back to its snapshot, and let its optimizer forget the way it went since."""
        for i, module in enumerate(self.branch(branch)):
            prefix = f"{i}."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in self.snapshots[branch].items() if k.startswith(prefix)})
            for parameter in module.parameters():
                self.optimizer.state.pop(parameter, None)

    def branch(self, branch: str) -> list[nn.Module]:
        """The modules of a branch: a modality's encoder and, with an additive fusion, its head; or the whole ``"model"``."""
        if branch == "model":
            return [self.model]
        fusion = self.model.fusion
        return [self.model.encoders[branch], *([fusion.heads[branch]] if isinstance(fusion, Additive) else [])]

    def reset_optimizer(self) -> None:
        """Forget momenta and moments, as a fresh optimizer would."""
        self.optimizer.state.clear()

    def _split(self, split: str, fraction: float, epoch: int | None) -> Iterable[Batch]:
        if self._rows is None:
            raise ArgumentError(f"rows must give access to the {split} split for this method, found None. Pass TrainState(rows=...).")
        return self._rows(split, fraction, self.epoch if epoch is None else epoch)

    @contextmanager
    def _scaled_rates(self) -> Iterator[None]:
        scaled = [(group, group["lr"]) for group in self.optimizer.param_groups if group.get("name") in self._rates]
        for group, rate in scaled:
            group["lr"] = rate * self._rates[group["name"]]
        try:
            yield
        finally:
            for group, rate in scaled:
                group["lr"] = rate
            self._rates = {}


class Method(nn.Module):
    """How one step of training goes, and how the trained model is asked.

    Hyperparameters are keyword-only arguments of the constructor, given once. A method is an ``nn.Module`` so that its heads,
    buffers and counters are saved and moved with it.

    Attributes:
        tasks: kinds of task it is defined for.
        needs_teachers: the constructor takes ``teachers``.
        needs_rows: it passes over whole splits (``TrainState.train_rows``).
        trains: False where training consists of the teachers alone.
        notices: sentences for the user that are not errors, by what they are about, oldest first.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    needs_teachers: ClassVar[bool] = False
    needs_rows: ClassVar[bool] = False
    trains: ClassVar[bool] = True

    task: Task
    modalities: tuple[str, ...]
    head_weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.notices: dict[str, str] = {}

    def build(self, model: MultimodalModel, task: Task) -> Self:
        """Bind to a model and a task, and create the method's own heads; before the optimizer is made.

        Raises:
            UnsupportedError: the method is not defined for this task, number of modalities or fusion.
        """
        if task.kind not in self.tasks:
            raise UnsupportedError(f"task of {type(self).__name__} must be {' or '.join(sorted(self.tasks))}, found {task.kind}.")
        self.task, self.modalities = task, model.modalities
        self.register_buffer("head_weights", torch.ones(len(self.modalities)))
        return self

    def parameter_groups(self, model: MultimodalModel) -> list[dict[str, Any]]:
        """Optimizer groups of the model and of the method's own parameters (named ``method``)."""
        own = [{"name": "method", "params": list(self.parameters())}]
        return [*model.parameter_groups(), *(group for group in own if group["params"])]

    def epoch_start(self, state: TrainState) -> None:
        """Called before the first step of every epoch."""

    @abstractmethod
    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        """Everything one batch causes: forward, loss, backward, modulation, update(s). Returns what to record."""

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        """Called after every epoch with the validation results. Returns what to record."""
        return {}

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None) -> Output:
        """The trained model's answer by this method's own rule, fused and unimodal: what evaluation, reports and exports call."""
        return self.calibrated(model, model(inputs, present=present, unimodal=True))

    def head_scale(self, model: MultimodalModel) -> float | None:
        """s, where this method's prediction is l = s * sum_m z^m, so that its heads can be calibrated; None where it is not such a sum."""
        return model.fusion.scale if isinstance(model.fusion, Additive) else None

    def calibrated(self, model: MultimodalModel, output: Output) -> Output:
        """Weigh the heads as :func:`g2d.functional.calibration.fit_head_weights` found (all 1 unless calibration was asked for)."""
        z, scale = output.unimodal_logits, self.head_scale(model)
        if z is None or scale is None or bool((self.head_weights == 1).all()):
            return output
        weighted = {m: z[m] * weight for m, weight in zip(self.modalities, self.head_weights, strict=True)}
        return Output(output.features, torch.stack(tuple(weighted.values())).sum(0) * scale, weighted)

    def unimodal_loss(self, m: str, z: Tensor, batch: Batch) -> Tensor:
        """L_S of a modality's own prediction z^m, a scalar: the mean over all rows, of which those that lack the modality count 0."""
        per_row = self.task.loss_per_row(z, batch.target)
        return per_row.mean() if batch.present is None or m not in batch.present else (per_row * batch.present[m]).mean()


class Modulation(nn.Module):
    """One coefficient kappa per modality, known before the forward pass; composed with any :class:`SinglePass` method.

    Args:
        modulate: what fractional coefficients scale. ``"gradient"``: the gradient at the door (exact under SGD); ``"update"``: the
            step size of the encoder's parameters (works under Adam and its kin, where a scaled gradient does almost nothing);
            ``"auto"``: whichever fits the optimizer. Coefficients 0 and 1 mean the same under all three.
        gate_heads: a modality's own head is gated with its encoder.
        freeze_batchnorm: running statistics of a suppressed encoder stand still too.
    """

    def __init__(self, *, modulate: str = "auto", gate_heads: bool = False, freeze_batchnorm: bool = False) -> None:
        super().__init__()
        if modulate not in ("auto", "gradient", "update"):
            raise ArgumentError(f"modulate must be 'auto', 'gradient' or 'update', found {modulate!r}.")
        self.modulate, self.gate_heads, self.freeze_batchnorm = modulate, gate_heads, freeze_batchnorm

    def build(self, model: MultimodalModel, task: Task) -> None:
        """Check the modulation against the model; called by the method's own ``build``."""

    def epoch_start(self, state: TrainState, teachers: Teachers) -> None:
        """Called before the first step of every epoch."""

    @abstractmethod
    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        """kappa^m of every modality, from the teachers' confidence rho on the whole batch of all processes (Eq. 5)."""

    def at_the_door(self, state: TrainState, kappa: dict[str, float]) -> dict[str, float]:
        """The coefficients the door applies; fractional ones go to the update instead where gradients cannot be scaled."""
        return modulated(state, kappa, self.modulate)


def modulated(state: TrainState, kappa: Mapping[str, float], modulate: str) -> dict[str, float]:
    """Split coefficients between gradient and update: returns those for the gradient, hands the others to the state.

    Raises:
        UnsupportedError: fractional coefficients on the gradient under an adaptive optimizer, asked for by name.
    """
    fractional = {m: value for m, value in kappa.items() if value not in (0.0, 1.0)}
    if not fractional or modulate == "gradient" or (modulate == "auto" and not state.adaptive):
        if fractional and state.adaptive:
            raise UnsupportedError(
                f"modulate='gradient' must have an optimizer that a scaled gradient changes (SGD), found {type(state.optimizer).__name__}. "
                "Use modulate='auto', which scales the step size there."
            )
        return dict(kappa)
    state.scale_update(fractional)
    return {m: 1.0 if m in fractional else value for m, value in kappa.items()}


class SinglePass(Method):
    """One forward, one backward, one update.

    A method of this kind says what it minimises (:meth:`objective`) and, if need be, what it does to the gradients before the
    update (:meth:`before_update`). Any of them takes a modulation.

    Args:
        modulation: coefficients per modality; needs teachers, whose confidence it reads.
        teachers: frozen unimodal teachers.
    """

    wants_unimodal_logits: bool = False
    """The objective or the scores need z^m."""

    def __init__(self, *, modulation: Modulation | None = None, teachers: Teachers | None = None) -> None:
        super().__init__()
        if modulation is not None and teachers is None:
            raise ArgumentError(f"teachers must be given with {type(modulation).__name__}, found None: their confidence ranks the modalities.")
        self.modulation, self.teachers = modulation, teachers
        self.rankings = RankingLog()

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if self.teachers is not None and set(self.teachers.modalities) != set(model.modalities):
            raise ArgumentError(f"teachers must be one per modality ({', '.join(model.modalities)}), found {', '.join(self.teachers.modalities)}.")
        if self.modulation is not None:
            self.modulation.build(model, task)
        return self

    @abstractmethod
    def objective(self, output: Output, batch: Batch, teacher: TeacherOutput | None) -> dict[str, Tensor]:
        """Named terms, each a mean over the rows; their sum is minimised. A term of weight zero is left out."""

    def observe(self, output: Output, batch: Batch) -> None:
        """Look at a part after its backward pass (the student's own scores); under no_grad."""

    def before_update(self, state: TrainState) -> None:
        """Edit the accumulated gradients; under no_grad. Call ``state.reduce_gradients()`` first if their true size matters."""

    def epoch_start(self, state: TrainState) -> None:
        if self.teachers is None:
            return
        self.rankings.clear()
        if state.has_rows and self.rankings.validation is None:
            self.rankings.validation = split_confidence(state, self.teachers, state.validation_rows())
        if self.modulation is not None:
            self.modulation.epoch_start(state, self.teachers)

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        teacher = None if self.teachers is None else self.teachers(batch)
        # Once per update, on the whole batch of all processes: ranking per part could move two encoders in one update.
        rho = None if teacher is None else batch_confidence(state, batch, teacher)
        kappa = None if self.modulation is None or rho is None else self.modulation.coefficients(state, rho)
        door = None if self.modulation is None or kappa is None else self.modulation.at_the_door(state, kappa)
        gates = {} if self.modulation is None else {"gate_heads": self.modulation.gate_heads, "freeze_batchnorm": self.modulation.freeze_batchnorm}
        losses: dict[str, Tensor | float] = {}
        for part in state.parts(batch):
            with state.autocast():
                output = state.model(part.batch.inputs, door, present=part.batch.present, unimodal=self.wants_unimodal_logits, **gates)
                terms = self.objective(output, part.batch, part.of(teacher))
            state.backward(sum(terms.values(), start=torch.zeros((), device=state.device)) * part.share)
            for name, term in terms.items():
                losses[f"loss/{name}"] = losses.get(f"loss/{name}", 0.0) + term.detach() * part.share
            with torch.no_grad():
                self.observe(output, part.batch)
        with torch.no_grad():
            self.before_update(state)
        state.update()
        if rho is not None:
            self.rankings.add(rho)
        return state.recorded(losses | {f"kappa/{m}": value for m, value in (kappa or {}).items()})

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        if self.teachers is None:
            return {}
        if self.modulation is not None:
            self.notices = self.rankings.doubts() | self.notices
        return self.rankings.summary()


class RankingLog:
    """The teachers' confidence over an epoch's updates, and whether the ranking it gives can be trusted.

    Attributes:
        validation: their confidence on the validation split, if known.
    """

    def __init__(self) -> None:
        self.validation: dict[str, float] | None = None
        self.clear()

    def clear(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.sums: dict[str, float] = {}

    def add(self, rho: Mapping[str, float]) -> None:
        self.counts[ranking(rho)] += 1
        self.sums = {m: self.sums.get(m, 0.0) + value for m, value in rho.items()}

    @property
    def mean(self) -> dict[str, float]:
        return {m: total / max(self.counts.total(), 1) for m, total in self.sums.items()}

    def summary(self) -> dict[str, float]:
        """``confidence/m`` on train and validation, ``ranking/flip_rate``, ``ranking/margin``."""
        record = {f"confidence/{m}": value for m, value in self.mean.items()}
        record |= {f"confidence_validation/{m}": value for m, value in (self.validation or {}).items()}
        if len(self.sums) > 1:
            record |= {"ranking/flip_rate": flip_rate(self.counts), "ranking/margin": margin(self.mean)}
        return record

    def doubts(self) -> dict[str, str]:
        """Sentences about a ranking that may pick the wrong modality, by what is doubtful; empty if nothing is."""
        if len(self.sums) < 2:
            return {}
        found = {}
        if (rate := flip_rate(self.counts)) > 0.10:
            found["flip_rate"] = f"The ranking is in doubt: it flips in {rate:.0%} of the updates. ranking='dataset' keeps it fixed."
        if (gap := margin(self.mean)) < 0.10:
            found["margin"] = f"The ranking is in doubt: teachers differ by only {gap:.2f} in confidence on the training rows."
        if self.validation is not None and ranking(self.mean) != ranking(self.validation):
            train, valid = (" < ".join(ranking(rho)) for rho in (self.mean, self.validation))
            found["disagreement"] = (
                f"The ranking is in doubt: training confidence says {train}, validation confidence {valid}. ranking='memorization' weighs both."
            )
        return found


def batch_confidence(state: TrainState, batch: Batch, teacher: TeacherOutput) -> dict[str, float]:
    """rho_t^m over the batch of all processes  (Eq. 5), from sums and counts so that uneven parts weigh right.

    A modality that no row of the batch has is put last (infinite confidence: nothing to learn from it).
    """
    return _mean_confidence(state, [_confidence_sums(state.task, batch, teacher)])


@torch.no_grad()
def split_confidence(state: TrainState, teachers: Teachers, batches: Iterable[Batch]) -> dict[str, float]:
    """rho_t^m over many batches, which every process sees whole."""
    sums = [_confidence_sums(state.task, batch, teachers(batch)) for batch in batches]
    return _mean_confidence(None, sums)


def _confidence_sums(task: Task, batch: Batch, teacher: TeacherOutput) -> dict[str, Tensor]:
    sums = {}
    for m, logits in teacher.ranking_logits.items():
        confidence = task.confidence(logits, batch.target)
        present = torch.ones_like(confidence) if batch.present is None or m not in batch.present else batch.present[m].to(confidence)
        sums[m] = torch.stack([(confidence * present).sum(), present.sum()]).double()
    return sums


def _mean_confidence(state: TrainState | None, sums: list[dict[str, Tensor]]) -> dict[str, float]:
    total = torch.stack([torch.stack([part[m] for part in sums]).sum(0) for m in sums[0]])
    if state is not None:
        total = state.sum_across_processes(total)
    return {m: s / n if n else float("inf") for m, (s, n) in zip(sums[0], total.tolist(), strict=True)}


def processes() -> int:
    """How many processes train together; 1 unless started by ``torchrun``."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _sum_gradients(parameters: list[nn.Parameter]) -> None:
    """All-reduce the gradients that exist, in one flat bucket per type; those that are None stay None."""
    have = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    agreed = torch.stack([have, 1 - have]).to(parameters[0].device)
    dist.all_reduce(agreed)
    if bool((agreed.min(0).values > 0).any()):
        raise G2DError("processes must compute gradients of the same parameters in an update, found a difference: the replicas would drift apart.")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for dtype in {gradient.dtype for gradient in gradients}:
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.flatten() for gradient in same])
        dist.all_reduce(flat)
        for gradient, summed in zip(same, flat.split([gradient.numel() for gradient in same]), strict=True):
            gradient.copy_(summed.view_as(gradient))
