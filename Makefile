# make demo and make test each create their own environment. They need Python 3.11+, pip, git and make.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= runs/demo
# A module's tests run in one process, so that what they share is made once.
TWO := -n 2 --dist loadscope --no-loadscope-reorder
SPHINX := $(BIN)/sphinx-build --fresh-env --quiet --fail-on-warning --keep-going

.PHONY: help demo test lint docs check-docs bench clean

help:
	@echo "make demo   train on built-in data in a few minutes; a table, and figures in $(DEMO)"
	@echo "make test   everything that a change must pass: lint, documentation, tests"
	@echo "make lint   format, style, types, import layers"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make check-docs  the same without pages of source code, faster"
	@echo "make bench  measure cost and speed on this machine"
	@echo "make clean  delete the environment and everything built; runs are kept"

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python must be 3.11 or newer. Choose another one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python must be able to create environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "Setting up .venv; the first time this downloads PyTorch and takes some minutes."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: .venv/installed
	$(BIN)/g2d demo --seeds 1 --out $(DEMO)

test: .venv/installed
	@$(MAKE) -j 2 lint check-docs
	OMP_NUM_THREADS=1 $(BIN)/pytest $(TWO)

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: .venv/installed
	rm -rf docs/api/generated
	$(SPHINX) docs docs/_build/html

# The same pages and warnings without what takes two thirds of the time: pages of source code, and an
# entry in the navigation of every page for each class and function.
check-docs: .venv/installed
	rm -rf docs/api/generated
	$(SPHINX) -t check docs docs/_build/check

bench: .venv/installed
	@for name in steps loading rows checkpoints; do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf .venv docs/_build docs/api/generated build dist
