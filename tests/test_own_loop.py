"""The loops of the guide and the README run as printed, without engine, recipes or command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
GUIDE, README = ROOT / "docs" / "guide" / "own-loop.md", ROOT / "README.md"
OPTIONS = ROOT / "docs" / "guide" / "own-loop-options.md"

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
valid_loader = [(inputs, target) for inputs, target in loader[:2]]

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


INTERRUPTED = """
whole, _ = train("whole.pt", 6)

class Interrupted(list):
    starts = 0
    def __iter__(self):
        Interrupted.starts += 1
        for number, batch in enumerate(super().__iter__()):
            if (Interrupted.starts, number) == (4, 2):
                raise KeyboardInterrupt
            yield batch

batches, loader = loader, Interrupted(loader)
try:
    train("half.pt", 6)
except KeyboardInterrupt:
    loader = batches
resumed, state = train("half.pt", 6)
assert state.step == 6 * len(loader) and state.started == 6
for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
    assert torch.equal(a, b), "the resumed run ends elsewhere"
inputs, target = loader[0]
accuracy = (resumed.eval()(inputs).logits.argmax(1) == target).float().mean()
assert accuracy > 0.5, "the model learned nothing"
"""

ON_EVERY_PROCESS = """
import os
from pathlib import Path
prediction = model.eval()({"image": images, "tone": tones}).logits.argmax(1)
assert (prediction == digit).float().mean() > 0.5, "the model learned nothing"
weights = torch.cat([p.detach().flatten() for p in model.parameters()])
Path(os.environ["RANK"]).write_bytes(weights.numpy().tobytes())
os._exit(0)  # threads of gloo can abort the interpreter on its way out
"""


def example(name: str, page: Path = GUIDE) -> str:
    """Return the code block of a page that follows the comment ``<!-- example: name -->``."""
    match = re.search(
        rf"<!-- example: {name} -->\s*```python\n(.*?)```",
        page.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert match, f"the guide must have an example named {name!r}"
    return match[1]


def run(code: str, folder: Path | None = None) -> None:
    """Run code after the preamble in a fresh interpreter, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "before"), [("student", GIVEN_TEACHERS), ("teachers-and-student", "")]
)
def test_the_loops_of_the_guide_run_as_printed(name: str, before: str) -> None:
    run(before + example(name) + CHECK)


def test_the_loop_with_all_options_resumes_bit_for_bit_after_an_interruption(
    tmp_path: Path,
) -> None:
    run(example("options", OPTIONS) + INTERRUPTED, tmp_path)


def test_the_script_for_several_processes_gives_all_of_them_the_same_weights(
    tmp_path: Path,
) -> None:
    (tmp_path / "train.py").write_text(PREAMBLE + example("processes", OPTIONS) + ON_EVERY_PROCESS)
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", "train.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=240,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    assert (tmp_path / "model.pt").is_file()


def test_the_four_lines_of_the_readme_train_a_model() -> None:
    printed = re.search(r"```diff\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert printed
    lines = [line[2:] for line in printed[1].splitlines() if not line.startswith("-")]
    assert sum(line.startswith("+") for line in printed[1].splitlines()) == 4
    run(BEFORE_THE_DIFF + "\n".join(lines) + AFTER_THE_DIFF)
