# make demo   install, train five methods on the built-in emoji data, print the table
# make test   install what is missing, run the tests
# make check  what CI runs beside the tests: lint, types, import contracts

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Real data for tests that want it; they skip with a reason elsewhere.
DATA := $(wildcard ../shared/data)
export DMLBENCH_TEST_DATA ?= $(if $(DATA),$(abspath $(DATA)))

.PHONY: demo test smoke check lint types contracts format lock

demo: $(VENV)/.demo
	@echo "Five methods on 1,629 emoji drawn by three hands; one to three minutes on two cores."
	$(BIN)/dmlbench run untrained raw-pixels normalised-softmax contrastive multi-similarity --profile smoke

test: $(VENV)/.dev
	@echo "All tests; a quarter to half an hour on two cores. 'make smoke' leaves the slow ones out."
	$(BIN)/python -m pytest

smoke: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

check: lint types contracts

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Only for drafts: a frozen protocol never changes, it gets a v2.
lock: $(VENV)/.dev
	$(BIN)/python -c "from dmlbench.protocols import write_lock; write_lock()"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing dmlbench and torch into $(VENV): one to three minutes the first time."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[emoji,fast]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.demo
	@echo "Installing what the tests need into $(VENV): up to a minute the first time."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[emoji,glyphs,dev]"
	@touch $@
