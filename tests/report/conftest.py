"""Fixtures."""

from support.written_runs import make_run as make_run
