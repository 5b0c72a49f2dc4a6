"""The README's loops run as printed, with a user's own encoders and none of the engine, the recipes or the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

PREAMBLE = '''
import sys

class Refuse:
    """An import hook: the parts that a loop of one's own must not need."""
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[:2] in (["g2d", "engine"], ["g2d", "recipe"], ["g2d", "cli"], ["g2d", "experiment"]):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
import torch
from torch import nn

torch.manual_seed(0)
digit = torch.arange(10).repeat(20)
images = torch.randn(10, 1, 16, 16)[digit] + 0.5 * torch.randn(200, 1, 16, 16)
tones = torch.randn(10, 32)[digit] + 0.5 * torch.randn(200, 32)
loader = [({"image": images[rows], "tone": tones[rows]}, digit[rows]) for rows in torch.randperm(200).split(40)]

class MyCNN(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())

class MyMLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(32, 64), nn.ReLU())
'''

GIVEN_TEACHERS = """
import g2d
image_teacher = g2d.MultimodalModel({"image": MyCNN()}, g2d.Late({"image": 128}, outputs=10))
tone_teacher = g2d.MultimodalModel({"tone": MyMLP()}, g2d.Late({"tone": 64}, outputs=10))
"""

CHECK = """
assert prediction.shape == target.shape
assert (prediction == target).float().mean() > 0.5, "the student learnt nothing"
assert state.step == 20 * len(loader)
"""


def example(name: str) -> str:
    """The code block of the README that follows the comment ``<!-- example: name -->``."""
    match = re.search(
        rf"<!-- example: {name} -->\s*```python\n(.*?)```",
        README.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert match, f"README.md must have an example named {name!r}"
    return match[1]


@pytest.mark.parametrize(
    ("name", "before", "lines"), [("student", GIVEN_TEACHERS, 10), ("teachers-and-student", "", 25)]
)
def test_a_loop_of_ones_own_runs_as_the_readme_prints_it(
    name: str, before: str, lines: int
) -> None:
    code = example(name)
    assert len([line for line in code.splitlines() if line.strip()]) <= lines
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + before + code + CHECK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
