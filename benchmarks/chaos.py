"""Kill commands hundreds of times, start them in pairs, and count what is damaged: nothing may be.

    python benchmarks/chaos.py --part kills --count 200 --seed 0

Parts: ``kills`` (of ``g2d train``, ten methods, with and without worker processes, half of them
with checkpoints inside epochs), ``compare``, ``tune`` and ``other`` (kills of ``g2d compare``,
``g2d tune``, ``g2d report`` and a preparation), ``ranks`` (one of two processes of a training is
killed), ``pairs`` (commands started together), ``crowd`` (thirteen methods started together train
each teacher once), ``bits`` (flipped bits and files that are cut off).

Finished trials are kept in ``chaos.jsonl`` in the folder, so the same command goes on after an
interruption. The last lines are a table. The exit code is 1 if anything was damaged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import chaos
from support.bits import KINDS, World
from support.chaos import METHODS, Reference, Scene

KILLS = 5
"""Kills of one command before it may end."""


@dataclass
class Campaign:
    """Trials of one part.

    Args:
        folder: Folder of all files.
        part: Name of the part.
        seed: Decides every random moment, together with the number of the trial.
        wholes: References by the names of scenes.
    """

    folder: Path
    part: str
    seed: int
    wholes: dict[str, Reference] = field(default_factory=dict)

    def rng(self, number: int) -> random.Random:
        """Return the random numbers of a trial."""
        return random.Random(f"{self.part} {self.seed} {number}")

    def place(self, number: int) -> Path:
        """Return the empty folder of a trial, in a folder of its own."""
        top = self.folder / self.part / f"{self.seed}-{number}"
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir(parents=True)
        return top / "work"

    def whole(
        self, scene: Scene, make: Callable[[Scene, Path], Reference] = chaos.reference
    ) -> Reference:
        """Return what a scene leaves in peace; it runs once."""
        if scene.name not in self.wholes:
            self.wholes[scene.name] = make(scene, self.place(-1 - len(self.wholes)))
        return self.wholes[scene.name]


def killed(campaign: Campaign, number: int, scene: Scene, kills: int = KILLS) -> list[str]:
    """Kill a command some times; return what is wrong in the end."""
    whole = campaign.whole(scene)
    return chaos.chain(scene, whole, campaign.place(number), campaign.rng(number), kills)


def train(campaign: Campaign, number: int) -> list[str]:
    """Kill a training."""
    method, rest = METHODS[number % len(METHODS)], number // len(METHODS)
    inside = ["train.checkpoint_updates=3"] if rest // 2 % 2 == 0 else []
    scene = chaos.training(method, *inside, workers=2 * (rest % 2), controls=method == "g2d")
    return killed(campaign, number, scene)


def compare(campaign: Campaign, number: int) -> list[str]:
    """Kill a comparison."""
    return killed(campaign, number, chaos.comparison("--jobs", "2"))


def tune(campaign: Campaign, number: int) -> list[str]:
    """Kill a search."""
    return killed(campaign, number, chaos.search())


def other(campaign: Campaign, number: int) -> list[str]:
    """Kill a preparation or a report."""
    return killed(campaign, number, (chaos.preparation, chaos.reporting)[number % 2]())


def ranks(campaign: Campaign, number: int) -> list[str]:
    """Kill one of two processes of a training."""
    scene = chaos.training("umt", "train.checkpoint_updates=5")
    whole = campaign.whole(scene, chaos.reference_of_ranks)
    return chaos.rank_killed(scene, whole, campaign.place(number), campaign.rng(number))


def pairs(campaign: Campaign, number: int) -> list[str]:
    """Start two commands together."""
    rng = campaign.rng(number)
    one, two = chaos.PAIRS[number % len(chaos.PAIRS)]()
    wholes = [campaign.whole(one), campaign.whole(two)]
    longest = min(whole.seconds for whole in wholes)
    delay = rng.choice([0.0, 0.0, rng.uniform(0.0, longest)])
    return chaos.pair((one, two), wholes, campaign.place(number), delay)


def crowd(campaign: Campaign, number: int) -> list[str]:
    """Start thirteen methods together."""
    return chaos.crowd(campaign.place(number))


@cache
def world_of(folder: Path) -> World:
    """Return the world whose files are damaged; it is built once."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return World.made(folder)


def bits(campaign: Campaign, number: int) -> list[str]:
    """Flip a bit of a file, or cut it off; ``chaos_bits.py`` also prints the outcomes."""
    world, kinds = world_of(campaign.folder / "world"), list(KINDS)
    outcome = world.trial(kinds[number % len(kinds)], number % 7 > 4, campaign.rng(number))
    return [outcome] if ":" in outcome else []


PARTS: dict[str, tuple[Callable[[Campaign, int], list[str]], int]] = {
    "kills": (train, KILLS),
    "compare": (compare, KILLS),
    "tune": (tune, KILLS),
    "other": (other, KILLS),
    "ranks": (ranks, 1),
    "pairs": (pairs, 1),
    "bits": (bits, 1),
    "crowd": (crowd, 13),
}
"""Per part a function that makes one trial, and the number of events in it."""


def numbers(count: int, each: int, done: set[int]) -> Iterator[int]:
    """Yield the numbers of the trials that are missing."""
    yield from (number for number in range(-(-count // each)) if number not in done)


def main() -> int:
    """Run the parts, and print the table."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--part", action="append", choices=PARTS, help="default: all")
    words.add_argument("--count", type=int, default=5, help="kills or pairs per part")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--folder", type=Path, default=Path("runs/chaos"))
    given = words.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "chaos.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    records = [record for record in map(json.loads, lines) if record["seed"] == given.seed]
    chaos.warm_up(folder / "warm")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for part in given.part or PARTS:
        act, each = PARTS[part]
        campaign = Campaign(folder, part, given.seed)
        done = {record["number"] for record in records if record["part"] == part}
        for number in numbers(given.count, each, done):
            started = time.monotonic()
            faults = act(campaign, number)
            record = {"part": part, "seed": given.seed, "number": number, "events": each}
            record |= {"seconds": round(time.monotonic() - started, 1), "faults": faults}
            records.append(record)
            with journal.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{part} {number}: {faults or 'whole'}", flush=True)
            if not faults:
                shutil.rmtree(campaign.place(number).parent)
    print("| part | events | trials | damaged | minutes |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for part in PARTS:
        own = [record for record in records if record["part"] == part]
        if own:
            events, minutes = (sum(r[k] for r in own) for k in ("events", "seconds"))
            damaged = sum(bool(record["faults"]) for record in own)
            print(f"| {part} | {events} | {len(own)} | {damaged} | {minutes / 60:.1f} |")
    return int(any(record["faults"] for record in records))


if __name__ == "__main__":
    sys.exit(main())
