"""What a training step may touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from g2d.errors import ArgumentError
from g2d.fusion import Additive
from g2d.method.processes import processes, sum_gradients
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, TeacherOutput

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


class TrainState:
    """Everything a training step may touch.

    Args:
        model: the student.
        optimizer: over the groups of :meth:`Method.parameter_groups`, each with its ``name``.
        task: the kind of target.
        epochs: Length of the run, needed by methods with a schedule over the run.
        batches_per_epoch: Updates per epoch, for schedules within an epoch.
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
        epochs: int | None = None,
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
        self.accumulate, self.max_norm, self.precision, self.scaler = (
            accumulate,
            max_norm,
            precision,
            scaler,
        )
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
        total = (
            self.sum_across_processes(torch.tensor(float(len(batch)))).item()
            if processes() > 1
            else len(batch)
        )
        pieces = min(self.accumulate, max(1, len(batch) // 2))  # BatchNorm needs two rows
        if pieces == 1:
            yield Part(batch, slice(0, len(batch)), len(batch) / total)
            return
        edges = [round(i * len(batch) / pieces) for i in range(pieces + 1)]
        for start, end in pairwise(edges):
            yield Part(batch.rows(slice(start, end)), slice(start, end), (end - start) / total)

    def autocast(self) -> torch.autocast:
        """Around forward and loss; losses and scores are float32 whatever it says."""
        return torch.autocast(
            self.device.type,
            dtype=self.precision or torch.bfloat16,
            enabled=self.precision is not None,
        )

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
            sum_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self._reduced = True

    def update(self) -> None:
        """Average over processes, unscale, clip, step, forget the gradients. A parameter without a gradient does not move at all."""
        self.reduce_gradients()
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_(
                [p for group in self.optimizer.param_groups for p in group["params"]], self.max_norm
            )
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
        """What a step records; losses and alignments (``loss/...``, each a share of the whole batch's) are summed over processes."""
        if processes() == 1:
            return dict(record)
        return {
            name: self.sum_across_processes(torch.as_tensor(value))
            if name.startswith(("loss/", "alignment/"))
            else value
            for name, value in record.items()
        }

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
            f"{i}.{name}": value.detach().clone()
            for i, module in enumerate(self.branch(branch))
            for name, value in module.state_dict().items()
        }

    def restore(self, branch: str) -> None:
        """Bring a branch back to its snapshot, and let its optimizer forget the way it went since."""
        for i, module in enumerate(self.branch(branch)):
            prefix = f"{i}."
            module.load_state_dict(
                {
                    k.removeprefix(prefix): v
                    for k, v in self.snapshots[branch].items()
                    if k.startswith(prefix)
                }
            )
            for parameter in module.parameters():
                self.optimizer.state.pop(parameter, None)

    def branch(self, branch: str) -> list[nn.Module]:
        """The modules of a branch: a modality's encoder and, with an additive fusion, its head; or the whole ``"model"``."""
        if branch == "model":
            return [self.model]
        fusion = self.model.fusion
        return [
            self.model.encoders[branch],
            *([fusion.heads[branch]] if isinstance(fusion, Additive) else []),
        ]

    def reset_optimizer(self) -> None:
        """Forget momenta and moments, as a fresh optimizer would."""
        self.optimizer.state.clear()

    def _split(self, split: str, fraction: float, epoch: int | None) -> Iterable[Batch]:
        if self._rows is None:
            raise ArgumentError(
                f"rows must give access to the {split} split for this method, found None. Pass TrainState(rows=...)."
            )
        return self._rows(split, fraction, self.epoch if epoch is None else epoch)

    @contextmanager
    def _scaled_rates(self) -> Iterator[None]:
        scaled = [
            (group, group["lr"])
            for group in self.optimizer.param_groups
            if group.get("name") in self._rates
        ]
        for group, rate in scaled:
            group["lr"] = rate * self._rates[group["name"]]
        try:
            yield
        finally:
            for group, rate in scaled:
                group["lr"] = rate
            self._rates = {}
