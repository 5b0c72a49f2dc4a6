"""How the program starts and ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from g2d.errors import INTERRUPTED

INTERRUPTED_IMPORT = """
import signal, sys
from g2d.errors import MissingDependencyError

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise {error}("cannot import it") from None

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupted())
sys.argv = ["g2d", "list", "recipes"]
from g2d.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["g2d.cli", "g2d.experiment"])
@pytest.mark.parametrize(
    "error", ["KeyboardInterrupt", "RecursionError", "ImportError", "MissingDependencyError"]
)
def test_ctrl_c_during_an_import_ends_the_program_as_at_any_other_time(
    module: str, error: str
) -> None:
    code = INTERRUPTED_IMPORT.format(module=module, error=error)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 130
    assert ended.stderr.endswith(f"\n{INTERRUPTED}\n")
    assert "Traceback" not in ended.stderr
