"""``python -m g2d`` and the command ``g2d``."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from g2d.errors import INTERRUPTED


def main() -> None:
    """Run the command line; an unexpected error prints a traceback and exits with code 1.

    Ctrl-C exits with code 130, also if an import that it interrupted fails with another error.
    """
    interrupts = _noted_interrupts()
    try:
        from g2d.cli import app

        app(prog_name="g2d")
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as ended:
        if interrupts and ended.code in (1, 2):
            _end_interrupted()
        if "TORCHELASTIC_RUN_ID" in os.environ and isinstance(ended.code, int | None):
            # Threads of gloo can abort the interpreter at exit; all files are written by now.
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(ended.code or 0)
        raise
    except Exception:
        if interrupts:
            _end_interrupted()
        traceback.print_exc()
        sys.stderr.write(
            "\nThis is a bug in g2d. Please report it with the lines above and the output of:"
            " g2d doctor\n"
        )
        sys.exit(1)


def _noted_interrupts() -> list[int]:
    """Return a list that every Ctrl-C extends before it raises KeyboardInterrupt as usual."""
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> NoReturn:
        interrupts.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)
    return interrupts


def _end_interrupted() -> NoReturn:
    sys.stderr.write(f"\n{INTERRUPTED}\n")
    sys.exit(130)


if __name__ == "__main__":
    main()
