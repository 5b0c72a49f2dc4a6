"""The training state: everything that a training step may use and change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from g2d.errors import ArgumentError, NonFiniteError
from g2d.functional.precision import at_least_float32
from g2d.fusion import Additive
from g2d.method.distributed import processes, sum_gradients
from g2d.method.updates import Updates, check_optimizer
from g2d.model import MultimodalModel, check_model
from g2d.task import Task
from g2d.types import Batch, TeacherOutput

Record = dict[str, Tensor | float]
"""Values that a step records, by name."""

Rows = Callable[[str, float, int], Iterable[Batch]]
"""``rows(split, fraction, epoch)``: batches over a random share of a split in that epoch."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a batch that pass through the model together.

    Args:
        batch: The rows.
        rows: Position of the rows in the whole batch.
        share: Weight of the rows in the mean over the whole batch of all processes; the shares of
            all parts sum to 1.
    """

    batch: Batch
    rows: slice
    share: float

    def of(self, teacher: TeacherOutput | None) -> TeacherOutput | None:
        """Return the rows of this part from the teachers' output on the whole batch."""
        return None if teacher is None else teacher.rows(self.rows)


class TrainState:
    """Everything that a training step may use and change.

    Args:
        model: The student.
        optimizer: An optimizer over the parameters of the model and of the method, in groups of any
            kind; :meth:`Method.parameter_groups` has one per encoder. Parameters that it lacks do
            not change.
        task: The kind of target.
        epochs: Number of epochs of the run; needed by schedules over the run.
        batches_per_epoch: Updates per epoch; needed by schedules within an epoch.
        accumulate: Number of parts that a batch is cut into; still one update per batch.
        max_norm: Largest norm of the gradient of all parameters; None does not clip.
        precision: Data type of the forward pass, such as ``torch.bfloat16``; None is float32.
        scaler: Loss scaling for float16.
        generator: Random numbers of the method, the same on all processes.
        rows: Access to whole splits, for methods that pass over them.

    Attributes:
        epoch: Current epoch, counted from 1; set it before ``method.epoch_start(state)``.
        step: Number of updates so far.
        stop: Set by a method that has nothing left to train.
        started: Epoch that ``method.epoch_start`` started last; None before the first one.

    Raises:
        ArgumentError: if the model is not a :class:`~g2d.model.MultimodalModel`.
        UnsupportedError: if the optimizer needs a closure.
    """

    def __init__(
        self,
        model: MultimodalModel,
        optimizer: Optimizer,
        task: Task,
        *,
        epochs: int | None = None,
        batches_per_epoch: int = 1,
        accumulate: int = 1,
        max_norm: float | None = None,
        precision: torch.dtype | None = None,
        scaler: torch.amp.GradScaler | None = None,
        generator: torch.Generator | None = None,
        rows: Rows | None = None,
    ) -> None:
        check_model(model)
        check_optimizer(optimizer)
        self.model, self.optimizer, self.task = model, optimizer, task
        self.epochs, self.batches_per_epoch = epochs, batches_per_epoch
        self.accumulate, self.max_norm = accumulate, max_norm
        self.precision, self.scaler = precision, scaler
        self.generator = generator or torch.Generator().manual_seed(0)
        self.epoch, self.step, self.stop = 1, 0, False
        self.started: int | None = None
        self.snapshots: dict[str, dict[str, Tensor]] = {}
        self._rows, self._updates, self._reduced = rows, Updates(), False
        self._losses: list[Tensor] = []
        self._step_of_start = 0

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    @property
    def adaptive(self) -> bool:
        """Whether the optimizer divides by the size of past gradients, as Adam does.

        Scaling a gradient changes almost nothing there.
        """
        return not isinstance(self.optimizer, torch.optim.SGD)

    def parts(self, batch: Batch) -> Iterator[Part]:
        """Yield the parts of a batch: one, or ``accumulate`` parts of nearly equal size."""
        total: float = len(batch)
        if processes() > 1:
            total = self.sum_across_processes(torch.tensor(float(len(batch)))).item()
        pieces = min(self.accumulate, max(1, len(batch) // 2))  # BatchNorm needs two rows
        if pieces == 1:
            yield Part(batch, slice(0, len(batch)), len(batch) / total)
            return
        edges = [round(i * len(batch) / pieces) for i in range(pieces + 1)]
        for start, end in pairwise(edges):
            yield Part(batch.rows(slice(start, end)), slice(start, end), (end - start) / total)

    def autocast(self) -> torch.autocast:
        """Return the context for forward pass and loss; losses and scores are float32."""
        return torch.autocast(
            self.device.type,
            dtype=self.precision or torch.bfloat16,
            enabled=self.precision is not None,
        )

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss that is already weighted by the share of its part."""
        self.watch_loss(loss)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def watch_loss(self, loss: Tensor) -> None:
        """Let the next update check a loss; needed only for gradients not from :meth:`backward`."""
        self._losses.append(at_least_float32(loss.detach()))

    def backward_terms(self, terms: Mapping[str, Tensor], part: Part, record: Record) -> None:
        """Add the gradients of the sum of some terms, and record each term.

        Args:
            terms: Terms of the loss by name, each a mean over the rows of the part.
            part: The rows behind the terms; their share weighs the terms.
            record: Receives every term as ``loss/<name>``, added up over the parts of a batch.
        """
        loss = sum(terms.values(), start=torch.zeros((), device=self.device))
        self.backward(loss * part.share)
        record_terms(terms, part, record)

    def reduce_gradients(self) -> None:
        """Sum gradients over processes and undo loss scaling, once per update.

        Call it before reading the true size of a gradient; :meth:`update` calls it otherwise.

        Raises:
            G2DError: if a parameter has a gradient on some processes only.
        """
        if self._reduced:
            return
        if processes() > 1:
            sum_gradients(self._parameters())
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self._reduced = True

    def update(self) -> None:
        """Sum over processes, undo loss scaling, clip, step, and clear the gradients.

        A parameter without a gradient does not change at all.

        Raises:
            NonFiniteError: if a loss or a gradient is not finite, on all processes if on one. The
                update is not made, and its gradients are cleared. With loss scaling, gradients
                are left to the scaler, which skips such updates.
        """
        self.reduce_gradients()
        self._require_finite()
        if self.max_norm is not None:
            self.clip_gradients(self.max_norm)
        with self._updates.scaled(self.optimizer):
            if self.scaler is None:
                self.optimizer.step()
            else:
                self.scaler.step(self.optimizer)
                self.scaler.update()
        self._clear()
        self.step += 1

    def _require_finite(self) -> None:
        """Check the losses and the gradients of an update, with one transfer from the device."""
        loss = torch.zeros((), device=self.device)
        if self._losses:
            loss = self.sum_across_processes(torch.stack(self._losses).sum())
        checked = {"loss": loss}
        if self.scaler is None:
            gradients = [p.grad for p in self._parameters() if p.grad is not None]
            checked["gradient"] = nn.utils.get_total_norm(gradients, math.inf).to(loss)
        values = torch.stack(tuple(checked.values())).tolist()
        for name, value in zip(checked, values, strict=True):
            if not math.isfinite(value):
                if self.scaler is not None:
                    self.scaler.update()
                self._clear()
                raise NonFiniteError(
                    f"the {name} must stay finite, found {value} in epoch {self.epoch}, after "
                    f"{self.step} updates. A smaller lr or train.clip may help."
                )

    def _clear(self) -> None:
        """Forget gradients, losses and factors."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model.zero_grad(set_to_none=True)  # of parameters that the optimizer lacks, too
        self._updates.factors, self._losses, self._reduced = {}, [], False

    def clip_gradients(self, max_norm: float) -> None:
        """Clip the norm of the gradient of all parameters."""
        nn.utils.clip_grad_norm_(self._parameters(), max_norm)

    def scale_update(
        self,
        kappa: Mapping[str, float],
        *,
        heads: bool = False,
        only: Callable[[nn.Parameter], bool] | None = None,
    ) -> None:
        """Multiply the next update of some encoders, under any optimizer and any groups.

        The whole move of a parameter is multiplied, decoupled weight decay included; the moments of
        the optimizer are not. This is modulation for optimizers under which scaled gradients change
        almost nothing.

        Args:
            kappa: Coefficient per modality.
            heads: Whether to multiply the modality's own head too, where heads are separate.
            only: Which of these parameters are multiplied; None is all.
        """
        for m, factor in kappa.items():
            modules = self.branch(m) if heads else [self.model.encoders[m]]
            parameters = [p for module in modules for p in module.parameters()]
            self._updates.scale((p for p in parameters if only is None or only(p)), factor)

    def sum_across_processes(self, values: Tensor) -> Tensor:
        """Return the sum over all processes; the values themselves on one process."""
        if processes() > 1:
            dist.all_reduce(values)
        return values

    def recorded(self, record: Mapping[str, Tensor | float]) -> Record:
        """Return a record with losses and alignments summed over processes.

        Each process records its share of these means; other values are equal on all processes.
        """
        if processes() == 1:
            return dict(record)
        return {
            name: self.sum_across_processes(torch.as_tensor(value))
            if name.startswith(("loss/", "alignment/"))
            else value
            for name, value in record.items()
        }

    def train_rows(self, fraction: float = 1.0, epoch: int | None = None) -> Iterable[Batch]:
        """Return batches over a share of the training rows, the same on every process.

        Args:
            fraction: Share of the rows.
            epoch: Epoch whose random views are used; None is the current one.

        Raises:
            ArgumentError: if the state was created without ``rows``.
        """
        return self._split("train", fraction, epoch)

    def validation_rows(self) -> Iterable[Batch]:
        """Return batches over the validation rows.

        Raises:
            ArgumentError: if the state was created without ``rows``.
        """
        return self._split("valid", 1.0, None)

    @property
    def has_rows(self) -> bool:
        """Whether whole splits are available."""
        return self._rows is not None

    def snapshot(self, branch: str) -> None:
        """Keep a copy of the weights of a branch, see :meth:`branch`."""
        self.snapshots[branch] = {
            f"{i}.{name}": value.detach().clone()
            for i, module in enumerate(self.branch(branch))
            for name, value in module.state_dict().items()
        }

    def restore(self, branch: str) -> None:
        """Restore a branch from its snapshot and clear its optimizer state."""
        saved = self.snapshots[branch]
        for i, module in enumerate(self.branch(branch)):
            prefix = f"{i}."
            own = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
            module.load_state_dict(own)
            for parameter in module.parameters():
                self.optimizer.state.pop(parameter, None)

    def branch(self, branch: str) -> list[nn.Module]:
        """Return the modules of a branch.

        Args:
            branch: A modality, for its encoder and, with an additive fusion, its head; or
                ``"model"`` for the whole model.
        """
        if branch == "model":
            return [self.model]
        fusion = self.model.fusion
        heads = [fusion.heads[branch]] if isinstance(fusion, Additive) else []
        return [self.model.encoders[branch], *heads]

    def start_epoch(self) -> None:
        """Note that the current epoch has started; called by ``method.epoch_start``.

        Raises:
            ArgumentError: if steps were taken in this epoch since it started.
        """
        if self.started == self.epoch and self.step > self._step_of_start:
            raise ArgumentError(
                "epoch of the state must change before another epoch starts, found epoch "
                f"{self.epoch} again after its steps. "
                "Write `for state.epoch in range(1, epochs + 1):`."
            )
        self.started, self._step_of_start = self.epoch, self.step

    def continue_epoch(self) -> None:
        """Note that the current epoch started before the checkpoint that was loaded."""
        self.started = self.epoch

    def require_started(self) -> None:
        """Check that the current epoch has started.

        Raises:
            ArgumentError: if it has not.
        """
        if self.started != self.epoch:
            raise ArgumentError(
                f"epoch {self.epoch} must start before its first step, found "
                f"{'no epoch started' if self.started is None else f'epoch {self.started} started'}"
                ". Call method.epoch_start(state) at the start of every epoch."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what the state itself needs to continue after an epoch.

        Model, method, optimizer, loss scaling and schedules have a ``state_dict`` of their own.
        """
        return {
            "epoch": self.epoch,
            "step": self.step,
            "stop": self.stop,
            "generator": self.generator.get_state(),
            "snapshots": {branch: dict(saved) for branch, saved in self.snapshots.items()},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned at the end of an epoch.

        Continue with ``for state.epoch in range(state.epoch + 1, epochs + 1)``.
        """
        for name in ("epoch", "step", "stop"):
            setattr(self, name, state_dict[name])
        self.generator.set_state(state_dict["generator"].cpu())
        self.snapshots = {branch: dict(saved) for branch, saved in state_dict["snapshots"].items()}
        self.started = None

    def reset_optimizer(self) -> None:
        """Clear momenta and moments, as in a new optimizer."""
        self.optimizer.state.clear()

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _split(self, split: str, fraction: float, epoch: int | None) -> Iterable[Batch]:
        if self._rows is None:
            raise ArgumentError(
                f"rows must give access to the {split} split for this method, found None. "
                "Pass TrainState(rows=...)."
            )
        return self._rows(split, fraction, self.epoch if epoch is None else epoch)


def record_terms(terms: Mapping[str, Tensor], part: Part, record: Record) -> None:
    """Add the share of every term to ``record`` under ``loss/<name>``."""
    for name, term in terms.items():
        key = f"loss/{name}"
        record[key] = record.get(key, 0.0) + term.detach() * part.share
