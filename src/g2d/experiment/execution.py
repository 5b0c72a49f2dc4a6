"""Cells are carried out in this process, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence

from g2d.experiment.cells import Cell, Engine, InProcess, Outcomes, carry_out
from g2d.experiment.console import Console, Say
from g2d.experiment.display import Announcer, display
from g2d.experiment.launching import Launch, devices
from g2d.recipe import Recipe


def execute(
    cells: Sequence[Cell],
    recipes: Sequence[Recipe],
    launch: Launch,
    *,
    progress: bool,
    say: Say,
) -> Outcomes:
    """Carry out cells as ``launch`` says.

    Args:
        cells: The cells.
        recipes: Their recipes, which decide about devices.
        launch: Processes or cluster.
        progress: Show what runs, and how far it is.
        say: Receives messages for the user.
    """
    if not cells:
        return Outcomes()
    if not launch.parallel:
        return carry_out(cells, InProcess(Console(say, progress)), Announcer(say))
    with display(len(cells), say, progress) as watcher:
        return carry_out(cells, _engine(len(cells), recipes, launch), watcher)


def _engine(cells: int, recipes: Sequence[Recipe], launch: Launch) -> Engine:
    if launch.ray is not None:
        from g2d.experiment.on_ray import RayEngine

        return RayEngine(launch.ray, gpu=all(one.train.device != "cpu" for one in recipes))
    from g2d.experiment.workers import Workers

    return Workers(min(launch.jobs, cells), devices(recipes))
