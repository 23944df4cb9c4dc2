# Every command sets itself up: a fresh clone needs make and a Python of 3.11 or newer, nothing else.
# Another interpreter beside the usual one: make test PYTHON=python3.12 VENV=.venv312

PYTHON ?= python3
VENV ?= .venv
# The orders that `make demo` processes.
FILE ?= examples/orders/orders.jsonl
# More words for pytest, or for the demo: make test ARGS="tests/actors -k mailbox"; make demo ARGS=--chaos
ARGS ?=
# Questions for `make bench`, such as BENCH="tell ask"; none for all of them, in so many minutes.
BENCH ?=
MINUTES ?= 15

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
WINGS := $(patsubst %/,%,$(dir $(wildcard $(addsuffix /__init__.py,actors supervision persistence operations command))))
# Programs stand alone: each is checked with its own folder as the place of its imports.
PROGRAMS := $(sort $(dir $(wildcard examples/*/*.py examples/*.py benchmarks/*.py)))

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo test check lint types house bench docs format view clean

help:
	@echo "make demo    run the demo (FILE=... for other orders, ARGS=--chaos for trouble)"
	@echo "make test    run the tests"
	@echo "make check   lint, types, floors, packaging, contract programs, docs examples"
	@echo "make bench   run the benchmarks beside their peers, and write tables (BENCH=\"tell ask\" for these)"
	@echo "make docs    write the API reference from the docstrings"
	@echo "make format  sort imports and lay out the code"
	@echo "make clean   remove all that was made here"

demo: $(VENV)/.test
	@$(BIN)/upright demo --orders $(FILE) $(ARGS)

test: $(VENV)/.test
	$(BIN)/pytest -m "not types" $(ARGS)

check: lint types house

lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.check $(VENV)/.bench view
	$(BIN)/mypy build/view/upright tests
	@set -e; for program in $(PROGRAMS); do \
		echo "$(BIN)/mypy $$program"; \
		MYPYPATH="$$program" $(BIN)/mypy --no-explicit-package-bases "$$program"; \
	done
	$(BIN)/pyright --pythonpath $(BIN)/python

house: $(VENV)/.check
	$(BIN)/pytest tests/house $(ARGS)

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/suite.py --minutes $(MINUTES) $(BENCH)

docs: $(VENV)/.test
	$(BIN)/python docs/make_reference.py

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The wings under their import names, for mypy and pyright: the editable install resolves `upright.*` at run time,
# by an import hook that no type checker can read.
view:
	@rm -rf build/view && mkdir -p build/view/upright
	@for wing in $(WINGS); do ln -s "../../../$$wing" "build/view/upright/$$wing"; done

clean:
	rm -rf .venv* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what stands behind them is made again only when pyproject.toml changed. The editable install follows the
# sources by itself, so that no test ever sees a stale copy.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "expected $(PYTHON) to be Python 3.11 or newer; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.test: pyproject.toml $(wildcard actors/native/*) | $(BIN)/python
	$(PIP) install --upgrade "pip>=25.1"
	$(PIP) install --group test
	$(PIP) install --no-build-isolation --editable .
	@touch $@

$(VENV)/.check: pyproject.toml $(VENV)/.test
	$(PIP) install --group check
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.test
	$(PIP) install --group bench
	@touch $@
