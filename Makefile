# The verbs of this project; CI calls `make check` and `make test-slow`.
# Needs Python ≥ 3.11 with venv. `make PYTHON=python3.12 …` picks another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Options of `make train`, for example: make train ARGS="memory=dnc seed=3"
ARGS ?=

.PHONY: install train test test-slow test-nightly test-browser test-lowest check fmt-check lint types docs fix wheel clean

install: $(VENV)/.installed

train: $(VENV)/.installed
	$(BIN)/memrl train $(ARGS)

# One process for each core; tests set one thread for themselves. What they import is compiled once,
# also where the shell forbids it: they start many processes.
export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --dist worksteal

# Checks every annotated shape as it runs; half as fast again, so make test does without.
SHAPES := --jaxtyping-packages=memrl,beartype.beartype
test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --dist worksteal $(SHAPES) -m slow
	$(BIN)/pytest -n auto --dist worksteal $(SHAPES) $(addprefix tests/,bonus losses nn policies replay rollout tasks)

test-nightly: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --dist worksteal $(SHAPES) -m nightly

# The page of memrl inspect in Chromium; skipped, and said so, where there is none.
test-browser: $(VENV)/.installed-dev
	$(BIN)/pytest -m browser tests/inspector

# The oldest versions that pyproject.toml declares, in an environment of their own.
test-lowest:
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

check: fmt-check lint types docs test

fmt-check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# The documentation, into site/; a broken link, a missing page or any other warning fails.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fix: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

CONSTRAINTS ?= constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "memrl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
