"""The loops of the guide and the README run as printed, without engine, recipes or command line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE, README = ROOT / "docs" / "guide" / "own-loop.md", ROOT / "README.md"

PREAMBLE = '''
import sys

class Refuse:
    """An import hook: the parts that a loop of one's own must not need."""
    def find_spec(self, name, path=None, target=None):
        package, _, rest = name.partition(".")
        if package == "g2d" and rest.partition(".")[0] in ("engine", "recipe", "cli", "experiment"):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
import torch
from torch import nn

torch.manual_seed(0)
digit = torch.arange(10).repeat(20)
images = torch.randn(10, 1, 16, 16)[digit] + 0.5 * torch.randn(200, 1, 16, 16)
tones = torch.randn(10, 32)[digit] + 0.5 * torch.randn(200, 32)
batches = torch.randperm(200).split(40)
loader = [({"image": images[rows], "tone": tones[rows]}, digit[rows]) for rows in batches]

class MyCNN(nn.Sequential):
    def __init__(self):
        pooled = nn.AdaptiveAvgPool2d(4)
        super().__init__(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), pooled, nn.Flatten())

class MyMLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(32, 64), nn.ReLU())
'''

GIVEN_TEACHERS = """
import g2d
image_teacher = g2d.MultimodalModel({"image": MyCNN()}, g2d.Late({"image": 128}, outputs=10))
tone_teacher = g2d.MultimodalModel({"tone": MyMLP()}, g2d.Late({"tone": 64}, outputs=10))
"""

BEFORE_THE_DIFF = """
import g2d
from g2d.methods import OGMGE
epochs = 20
encoders = {"image": MyCNN(), "tone": MyMLP()}
model = g2d.MultimodalModel(encoders, g2d.Late({"image": 128, "tone": 64}, outputs=10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
"""

AFTER_THE_DIFF = """
prediction = method.task.predict(method.predict(model.eval(), inputs).logits)
assert (prediction == target).float().mean() > 0.5, "the model learned nothing"
"""

CHECK = """
assert prediction.shape == target.shape
assert (prediction == target).float().mean() > 0.5, "the student learned nothing"
assert state.step == 20 * len(loader)
"""


def example(name: str) -> str:
    """Return the code block of the guide that follows the comment ``<!-- example: name -->``."""
    match = re.search(
        rf"<!-- example: {name} -->\s*```python\n(.*?)```",
        GUIDE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert match, f"the guide must have an example named {name!r}"
    return match[1]


def run(code: str) -> None:
    """Run code after the preamble in a fresh interpreter, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "before"), [("student", GIVEN_TEACHERS), ("teachers-and-student", "")]
)
def test_the_loops_of_the_guide_run_as_printed(name: str, before: str) -> None:
    run(before + example(name) + CHECK)


def test_the_four_lines_of_the_readme_train_a_model() -> None:
    printed = re.search(r"```diff\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert printed
    lines = [line[2:] for line in printed[1].splitlines() if not line.startswith("-")]
    assert sum(line.startswith("+") for line in printed[1].splitlines()) == 4
    run(BEFORE_THE_DIFF + "\n".join(lines) + AFTER_THE_DIFF)
