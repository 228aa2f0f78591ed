# speechtl: everything runs in .venv, made on first use. Needs Python >= 3.11 and make, nothing else.
#   make adapt ACCENT=scottish     adapt the starter model, and score it before and after
#   make test                      the tests
PYTHON ?= python3
ACCENT ?= scottish
ARGS ?=
BIN := .venv/bin

.PHONY: adapt test test-all check format clean help

help:
	@sed -n '2,3s/^#  //p' Makefile

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "speechtl needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

adapt: .venv/installed
	$(BIN)/python scripts/adapt.py --accent $(ACCENT) $(ARGS)

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term --quiet $(ARGS)

test-all: .venv/installed
	$(BIN)/python -m pytest $(ARGS)

check: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
