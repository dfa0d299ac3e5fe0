# `make help` lists the targets. Everything is installed into .venv from requirements.lock, by hash.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
INSTALLED := $(VENV)/.installed
# Workers of the tests on real servers: one stack and 6 GiB each.
WORKERS ?= 2
# Unit tests run in an order of their own each time and print its seed; SEED=N repeats one, and shuffles the tests on
# servers too, which otherwise keep the order of their files.
ORDER := $(if $(SEED),--randomly-seed=$(SEED))
SERVERS_ORDER := $(if $(SEED),--randomly-seed=$(SEED),-p no:randomly)

.DEFAULT_GOAL := help
.PHONY: help install environment demo up down test unit lint format lock dashboards geo-table prometheus-tools clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(INSTALLED)  ## The environment in .venv, exactly as locked

# The last step writes the marker. An environment without it is incomplete and is rebuilt.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "gamestream needs Python 3.11, and no Python was found. Install it, then: make PYTHON=/path/to/python3.11 install"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"gamestream needs Python 3.11, found {v[0]}.{v[1]}. Install it, then: make PYTHON=/path/to/python3.11 install")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3.11-venv, then make install"; exit 1; }
	@test -e $@ || rm -rf $(VENV)
	@rm -f $@
	@$(MAKE) --no-print-directory environment || { rm -rf $(VENV); echo "The installation failed, and .venv was removed. Fix what is named above, then: make install"; exit 1; }
	@touch $@

environment:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "Installing the locked environment (about 2 GB in .venv) ..."
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .

demo: $(INSTALLED)  ## The whole stack, real scores, four boards, a proof: ends with everything running
	@$(BIN)/gamestream demo

up: $(INSTALLED)  ## Start the platform
	@$(BIN)/gamestream up

down: $(INSTALLED)  ## Stop the platform (its data stays)
	@$(BIN)/gamestream down

test: $(INSTALLED)  ## Every test, on real servers that it starts and stops itself
	$(BIN)/pytest tests/unit tests/test_definitions.py -n 2 --durations=25 $(ORDER)
	$(BIN)/pytest tests/integration tests/browser -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations=25 $(SERVERS_ORDER)

unit: $(INSTALLED)  ## The tests that need no server
	$(BIN)/pytest tests/unit -n 2

lint: $(INSTALLED)  ## ruff, import contracts, basedpyright, dg and our own SQL linter, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright
	$(BIN)/dg check defs
	$(BIN)/gamestream lint --no-planner

format: $(INSTALLED)  ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# For the oldest supported Python: some packages need backports there (Debian 12 has 3.11.2).
lock: $(INSTALLED)  ## Resolve the dependencies of pyproject.toml anew
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11.0 --generate-hashes --extra test --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links -o requirements.lock pyproject.toml

dashboards: $(INSTALLED)  ## Write the Grafana dashboards of deploy/grafana anew, and the rules for Prometheus
	$(BIN)/python -m deploy.grafana.build
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(BIN)/gamestream alerts export --home "$$folder" --out "$$folder" && \
	  cp "$$folder/gamestream.rules.yml" deploy/prometheus/ && cp "$$folder/alertmanager.yml" deploy/alertmanager/

# The data come with each security update of Debian's tor-geoipdb: about as often as Tor has a release. Needs apt-get.
geo-table: $(INSTALLED)  ## Build the table of countries anew from Debian's package (docs/enrichment.md)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && chmod 755 "$$folder" && cd "$$folder" && \
	  apt-get -qq -o APT::Sandbox::User=root download tor-geoipdb && dpkg-deb --extract tor-geoipdb_*.deb . && cd $(CURDIR) && \
	  $(BIN)/python -m gamestream_dagster.enrichment.geo_source "$$folder/usr/share/tor"

# promtool and amtool are in no registry of Python packages; Debian's are single programs. Needs apt-get.
prometheus-tools: $(INSTALLED)  ## promtool and amtool, into .venv, for the tests of the exported alerts
	@folder=$(CURDIR)/$(VENV)/prometheus && mkdir -p "$$folder" && cd "$$folder" && \
	  apt-get -qq -o APT::Sandbox::User=root download prometheus prometheus-alertmanager && \
	  for package in *.deb; do dpkg-deb --extract "$$package" . || exit 1; done && \
	  rm -f *.deb usr/bin/prometheus usr/bin/prometheus-alertmanager && rm -rf etc lib usr/share var

clean:  ## Remove the environment and caches (not the data of a stack: that is `gamestream down --purge`)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
