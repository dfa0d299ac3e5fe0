# `make help` lists the targets. Everything is installed into .venv from requirements.lock, by hash.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up down test unit lint format lock clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(INSTALLED)  ## The environment in .venv, exactly as locked

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"gamestream needs Python 3.11, found {v[0]}.{v[1]}. Install it, then: make PYTHON=/path/to/python3.11 install")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "Installing the locked environment (about 2 GB in .venv) ..."
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED)  ## The whole stack, real scores, four boards, a proof: ends with everything running
	@$(BIN)/gamestream demo

up: $(INSTALLED)  ## Start the platform
	@$(BIN)/gamestream up

down: $(INSTALLED)  ## Stop the platform (its data stays)
	@$(BIN)/gamestream down

test: $(INSTALLED)  ## Every test, on real servers that it starts and stops itself
	$(BIN)/pytest tests/unit tests/test_definitions.py -n 2
	$(BIN)/pytest tests/integration tests/browser -n 2 --dist loadgroup

unit: $(INSTALLED)  ## The tests that need no server
	$(BIN)/pytest tests/unit -n 2

lint: $(INSTALLED)  ## ruff, basedpyright, dg and our own SQL linter, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/dg check defs
	$(BIN)/gamestream lint --no-planner

format: $(INSTALLED)  ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(INSTALLED)  ## Resolve the dependencies of pyproject.toml anew
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --extra test --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links -o requirements.lock pyproject.toml

clean:  ## Remove the environment and caches (not the data of a stack: that is `gamestream down --purge`)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
