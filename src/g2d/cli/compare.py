"""``g2d compare`` and ``g2d teachers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import (
    Controls,
    Jobs,
    Methods,
    Oversubscribe,
    Quiet,
    Ray,
    RecipesAndAssignments,
    Script,
    Shard,
    Verify,
    chosen_controls,
    end,
    load_recipes,
    words_of,
)

Seeds = Annotated[
    int, typer.Option(help="Number of seeds, counted from the recipe's own seed.", min=1)
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for all runs.")]
Control = Annotated[
    Controls,
    typer.Option(
        help="Rows that a method must beat. cheap: majority or mean, a linear model, the best"
        " teacher, the teachers' ensembles, and joint training that starts from the teachers."
        " full: also joint training twice as long, with a fusion that is no sum, and two joint"
        " models, calibrated."
    ),
]
NoControls = Annotated[bool, typer.Option("--no-controls", help="The same as --controls none.")]
COMPARED = Path("runs/compare")


def compare(
    recipes: RecipesAndAssignments,
    methods: Methods = None,
    seeds: Seeds = 3,
    out: Out = COMPARED,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Name of the recipe that the others are compared with; joint training by default."
        ),
    ] = None,
    controls: Control = Controls.cheap,
    no_controls: NoControls = False,
    jobs: Jobs = 1,
    shard: Shard = None,
    ray: Ray = None,
    oversubscribe: Oversubscribe = False,
    dry_run: Script = False,
    verify: Verify = False,
    quiet: Quiet = False,
) -> None:
    """Train methods or recipes under several seeds, and show them in one table per problem.

    Example: `g2d compare digits --methods joint,ogm_ge,g2d --seeds 5 --out runs/digits`

    A problem is a data set, protocol, and task. Finished runs are not repeated. A method that does
    not support the task is left out with a message. A run that fails is reported, and the rest is
    finished; the exit code is then 2.
    """
    from g2d.data.store.opening import verify_store
    from g2d.experiment import compare as compare_all

    kind = not no_controls and chosen_controls(controls)
    loaded = load_recipes(recipes, methods)
    if verify:
        for data in {str(one.data): one for one in loaded}.values():
            verify_store(data.data_options)
    if dry_run:
        from g2d.experiment.comparing import planned
        from g2d.experiment.grids import array_of
        from g2d.experiment.launching import Launch

        chosen = {} if controls is Controls.cheap else {"--controls": controls.value}
        shared = {"--methods": methods, "--seeds": seeds, "--out": out}
        needed = [
            *recipes,
            *words_of(shared | chosen | {"--no-controls": no_controls}),
        ]
        own = words_of({"--baseline": baseline, "--oversubscribe": oversubscribe, "--quiet": quiet})
        array = array_of(
            planned(loaded, seeds, out, controls=kind),
            ["compare", *needed, *own, *words_of({"--jobs": jobs if jobs > 1 else None})],
            Launch(jobs, shard),
            teachers=["teachers", *needed],
        )
        typer.echo(array.script(), nl=False)
        return
    comparison = compare_all(
        loaded,
        seeds=seeds,
        out=out,
        baseline=baseline,
        controls=kind,
        jobs=jobs,
        shard=shard,
        ray=ray,
        oversubscribe=oversubscribe,
        progress=not quiet,
        say=typer.echo,
    )
    if text := str(comparison):
        typer.echo(text)
    end(comparison.failures)


def teachers(
    recipes: RecipesAndAssignments,
    methods: Methods = None,
    seeds: Seeds = 3,
    out: Out = COMPARED,
    controls: Control = Controls.cheap,
    no_controls: NoControls = False,
    jobs: Jobs = 1,
    ray: Ray = None,
    oversubscribe: Oversubscribe = False,
    quiet: Quiet = False,
) -> None:
    """Train the teachers that a comparison with the same options needs, each once.

    Example: `g2d teachers digits --methods joint,g2d --seeds 5 --out runs/digits`

    Finished teachers are not trained again. An array of jobs then starts with all of them.
    """
    from g2d.experiment.cells import failures_in_words
    from g2d.experiment.comparing import planned
    from g2d.experiment.launching import Launch
    from g2d.experiment.teacher_cells import TEACHER, train_teachers
    from g2d.report.formatting import counted

    launch = Launch(jobs, ray=ray, oversubscribe=oversubscribe)
    kind = not no_controls and chosen_controls(controls)
    cells = planned(load_recipes(recipes, methods), seeds, out, controls=kind)
    done = train_teachers([one.recipe for one in cells], launch, progress=not quiet, say=typer.echo)
    typer.echo(f"{counted(done.trained, TEACHER)} trained, {done.ready} finished before.")
    if done.failures:
        typer.echo(failures_in_words(done.failures, TEACHER))
    end(done.failures)
