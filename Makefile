# Every target makes the virtual environment it needs when it is missing.
# constraints.txt pins what was tested; PYTHON and VENV may be set: make test PYTHON=python3.12 VENV=/tmp/venv
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-attacks check fmt bench notebooks clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "numina_infer needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[transformers,kaggle]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --constraint constraints.txt --editable '.[transformers,kaggle,notebook,eval,dev]'
	@touch $@

demo: $(VENV)/.demo ## ten problems, a real model, real programs, a mock competition: a few minutes
	$(BIN)/numina-infer rehearse

test: $(VENV)/.dev ## all tests, the whole path with the real model included
	$(BIN)/pytest

test-attacks: $(VENV)/.dev ## hostile programs against the sandbox, in private namespaces: needs root, some minutes
	$(BIN)/pytest -m attacks tests/attacks

check: $(VENV)/.dev ## formatting, lint, types, layers, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

fmt: $(VENV)/.dev ## format, fix what can be fixed, bring the notebooks in sync
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/jupytext --sync notebooks/*.ipynb

bench: $(VENV)/.dev ## short form of every benchmark
	@for bench in benchmarks/*.py; do echo "== $$bench"; $(BIN)/python $$bench --short || exit 1; done

notebooks: $(VENV)/.dev ## bring the notebook pairs in sync and execute them into build/
	$(BIN)/jupytext --sync notebooks/*.ipynb
	mkdir -p build/notebooks
	$(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/notebooks notebooks/*.ipynb

clean: ## remove everything that make made, runs excepted
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
