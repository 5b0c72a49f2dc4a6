"""What the card of a method lists under "Needs" is enforced, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from g2d.errors import G2DError
from g2d.fusion import FiLM, Late
from g2d.method import TrainState
from g2d.methods import METHODS
from g2d.model import MultimodalModel, Teachers
from g2d.task import Regression, Task
from support.workbench import CLASSES, WIDTHS, Bench, arguments

CARDS = Path(__file__).parents[2] / "docs" / "methods"


class SigmoidBench(Bench):
    """A regression whose output is a sigmoid."""

    @property
    def task(self) -> Task:
        return Regression(1, output="sigmoid")


class FewTeachersBench(Bench):
    """Teachers of all modalities but the last."""

    def teachers(self) -> Teachers:
        return Teachers({m: self.model((m,)) for m in self.modalities[:-1]})


class OtherTeachersBench(Bench):
    """Teachers with wider features than the student's."""

    def teachers(self) -> Teachers:
        width = WIDTHS["word"]
        return Teachers(
            {
                m: MultimodalModel({m: self.encoder("word", 0)}, Late({m: width}, CLASSES))
                for m in self.modalities
            }
        )


def build(bench: Bench) -> None:
    bench.method(bench.model())


def build_with_film(bench: Bench) -> None:
    encoders = {m: bench.encoder(m, 0) for m in bench.modalities}
    dims = {m: WIDTHS[m] for m in bench.modalities}
    bench.method(MultimodalModel(encoders, FiLM(dims, bench.task.outputs)))


def train_without_rows(bench: Bench) -> None:
    """Train an epoch with a state that gives no access to whole splits."""
    model = bench.model()
    method = bench.method(model)
    optimizer = bench.state(method, model).optimizer
    state = TrainState(model, optimizer, bench.task, epochs=2, batches_per_epoch=4)
    state.epoch = 1
    method.epoch_start(state)
    if method.trains:
        method.training_step(state, next(bench.rows()))
    method.epoch_end(state, bench.validation(1))


def train_without_validation(bench: Bench) -> None:
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    state.epoch = 1
    method.epoch_start(state)
    method.epoch_end(state, None)


@dataclass(frozen=True)
class Offense:
    """A problem that lacks what a need asks for.

    Args:
        run: Function that builds a method on the problem, or trains it.
        message: Pattern of the refusal.
        bench: Class of the problem.
        changed: Arguments of the problem.
    """

    run: Callable[[Bench], None]
    message: str
    bench: type[Bench] = Bench
    changed: tuple[tuple[str, Any], ...] = ()

    def commit(self, name: str, options: dict[str, Any], regression: bool) -> None:
        settings = {"regression": regression, "options": options, **dict(self.changed)}
        self.run(self.bench(name, **settings))


FILM = Offense(build_with_film, r"\(late, sum or concat\), found film\.")
NO_ROWS = Offense(train_without_rows, r"rows must give access .*Pass TrainState\(rows=\.\.\.\)")
REGRESSION = Offense(build, r"must .*, found a? ?regression", changed=(("regression", True),))
NEEDS: dict[str, Offense] = {
    "a classification": REGRESSION,
    "a classification or several labels per row": REGRESSION,
    "a regression": Offense(
        build, r"must be regression, found classification", changed=(("regression", False),)
    ),
    "an output without a sigmoid (`data.output: identity`)": Offense(
        build, r"found 'sigmoid'\. Set data\.output=identity", SigmoidBench
    ),
    "one head per modality (late, sum or concat)": FILM,
    "late fusion": Offense(
        build, r"must be late .*, found concat", changed=(("fusion", "concat"),)
    ),
    "one teacher per modality": Offense(build, r"teachers must name every mod", FewTeachersBench),
    "teachers with the student's encoders": Offense(
        build, r"the teacher of 'sight' must have", OtherTeachersBench
    ),
    "with film or bigated the options of the released code (`unimodal: self_modulation`, "
    "`plus_one: false`)": Offense(build_with_film, r"found true\. Use g2d, or set fusion"),
    "validation per modality": Offense(
        train_without_validation, r"validation must (be given|hold)"
    ),
    "training rows": NO_ROWS,
    "validation rows": NO_ROWS,
}
"""What breaks each need that a card can list; a card with another need has to add a row."""


def needs_of(name: str) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """Return the needs on a method's card, by the options that they belong to."""
    card = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    section = re.search(r"^\*\*Needs\.\*\* (.*?)\n\n", card, re.MULTILINE | re.DOTALL)
    assert section is not None, f"the card of {name} has no line of needs"
    text = " ".join(section[1].split())
    first = re.match(r"(.*?)(?:, (?:like|over) [^;.]*)?\.(?: |$)", text)
    assert first is not None
    needs = {(): [] if first[1] == "Nothing" else _listed(first[1])}
    for option, value, listed in re.findall(r"`(\w+): (\w+)` needs ([^.]+)\.", text):
        needs[((option, value),)] = _listed(listed)
    return needs


def _listed(text: str) -> list[str]:
    return [need[0].lower() + need[1:] for need in text.split("; ")]


LISTED = [
    (name, options, need)
    for name in METHODS
    for options, needs in needs_of(name).items()
    for need in needs
]


def is_regression(name: str, need: str = "") -> bool:
    """Return whether the method is tried on a regression."""
    return "a regression" in needs_of(name)[()] or need.startswith("an output")


@pytest.mark.parametrize(("name", "options", "need"), LISTED)
def test_a_problem_without_what_a_card_needs_is_refused_with_the_way_out(
    name: str, options: tuple[tuple[str, str], ...], need: str
) -> None:
    with pytest.raises(G2DError, match=NEEDS[need].message):
        NEEDS[need].commit(name, dict(options), is_regression(name))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_every_problem_that_its_card_does_not_exclude(name: str) -> None:
    needs = needs_of(name)[()]
    refused = [NEEDS[need] for need in needs]
    takes_values = REGRESSION not in refused
    for need, offense in NEEDS.items():
        implied = need.startswith("an output") and not takes_values
        implied |= need.startswith("one head per") and "late fusion" in needs
        implied |= offense.run is build_with_film and any(
            NEEDS[other].run is build_with_film for other in needs
        )
        implied |= need.startswith("with film") and "late fusion" in needs
        without_teachers = "teacher" in need and not METHODS[name].needs_teachers
        other_task = need == "a regression" and takes_values
        if offense not in refused and not (implied or without_teachers or other_task):
            offense.commit(name, arguments(name, 2), is_regression(name, need))
