"""``python -m g2d`` and the command ``g2d``."""

from __future__ import annotations

import os
import sys
import traceback

from g2d.cli import app


def main() -> None:
    """Run the command line; an unexpected error prints a traceback and exits with code 1."""
    try:
        app(prog_name="g2d")
    except SystemExit as ended:
        if "TORCHELASTIC_RUN_ID" in os.environ and isinstance(ended.code, int | None):
            # Threads of gloo can abort the interpreter at exit; all files are written by now.
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(ended.code or 0)
        raise
    except Exception:
        traceback.print_exc()
        sys.stderr.write(
            "\nThis is a bug in g2d. Please report it with the lines above and the output of:"
            " g2d doctor\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
