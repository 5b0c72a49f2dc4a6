# make demo · make test: each sets up everything it needs on a machine with Python 3.11+, pip, git and make.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: test lint docs help clean

help:
	@echo "make test   format, lint, types, import floors, docs, tests"
	@echo "make lint   the checks that run nothing"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make clean  forget the environment and everything built"

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "g2d must have Python 3.11 or newer, found $$($(PYTHON) --version). Run make PYTHON=python3.11."; exit 2; }
	$(PYTHON) -m venv .venv || { echo "Python's venv module must be installed: on Debian, apt-get install python3-venv."; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build/html

test: lint docs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

clean:
	rm -rf .venv docs/_build build dist
