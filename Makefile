# What a newcomer types. Each target does the set-up it needs, once, inside $(VENV); a changed lock file has it redone.
# Another interpreter: make PYTHON=python3.12 VENV=.venv-3.12 test

VENV ?= .venv
ARGS ?=
export PYTHON

BIN := $(VENV)/bin
SETUP := scripts/setup $(VENV)

.PHONY: help demo test lint bench chaos soak matrix fuzz lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.package $(VENV)/.demo ## Wallet, credit, a routed and billed answer from a local model (ARGS="--exit" ends after it)
	@$(BIN)/tollway demo $(ARGS)

test: $(VENV)/.package $(VENV)/.dev $(VENV)/.demo ## Run every test (ARGS="tests/unit -k ledger" for some)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.package $(VENV)/.dev ## Format, style, types, import directions, size limits
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_tidy.py

bench: $(VENV)/.package $(VENV)/.bench ## Cost of a request and of a streamed event, beside other gateways (ARGS="--quick")
	$(BIN)/python bench/run.py $(ARGS)

chaos: $(VENV)/.package $(VENV)/.dev ## Kill routers under load and compare every call with the books (ARGS="--kills 1000")
	PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

soak: $(VENV)/.package $(VENV)/.dev ## Load a router for ten minutes and see that all it held comes back (ARGS="--minutes 1")
	PYTHONPATH=tests $(BIN)/python -m soak $(ARGS)

matrix: $(VENV)/.package $(VENV)/.dev ## Every fault of a provider through the official SDKs (ARGS="--write docs/reliability.md")
	PYTHONPATH=tests $(BIN)/python -m matrix $(ARGS)

fuzz: $(VENV)/.package $(VENV)/.dev $(VENV)/.fuzz ## Fuzz what reads bytes from outside, 5 minutes (ARGS="--seconds 60")
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

lock: ## Write requirements/ again from pyproject.toml (ARGS="--upgrade"; needs uv)
	scripts/lock $(ARGS)

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist htmlcov .coverage .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf .bench .fuzz bench/results tests/acceptance/*/node_modules

# Set-up, in steps that each leave a stamp inside the environment.

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt
	@$(SETUP) runtime
	@touch $@

$(VENV)/.package: pyproject.toml $(VENV)/.runtime
	@$(SETUP) package
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@$(SETUP) dev
	@touch $@

$(VENV)/.bench: requirements/postgres.txt $(VENV)/.runtime
	@$(SETUP) bench
	@touch $@

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.runtime
	@$(SETUP) fuzz
	@touch $@

$(VENV)/.demo: requirements/demo.txt $(VENV)/.runtime
	@if $(SETUP) demo; then touch $@; fi
