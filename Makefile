# Two commands matter: `make up` runs everything, `make test` tests it.
# Needed: git, make, Python 3.11 or newer. Options for a command go into ARGS: make up ARGS="--port 9000"
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/sh
ARGS ?=
# Tests wait for servers and the browser about as long as they work: on two cores four of them at once are quickest.
WORKERS ?= 4
# Fewer: what they wait for is real time, which goes by on a busy machine as well.
LONG_WORKERS ?= 2
# Else every worker compiles every test, and every process that tests start all of the project, each time anew.
test test-long bench: export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
RUN := $(VENV)/bin/python

# PYTHON=... chooses one; otherwise the first of these that is new enough and runs at all.
FIND_PYTHON = for python in $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; done; \
	if [ -z "$$python" ]; then \
	echo "No Python 3.11 or newer found: install one (on Debian 12 or newer: apt install python3 python3-venv)."; \
	exit 1; fi
INSTALL = $(FIND_PYTHON); "$$python" schemaevo/bootstrap.py

.PHONY: help up test test-long bench pictures lint format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## run everything (servers, web, worker, scheduler) until Ctrl-C; the first time with demo data
	@began=$$(date +%s); $(INSTALL) embedded && exec $(RUN) -u manage.py up --since $$began $(ARGS)

test: ## everything that must never break, on servers of its own
	@$(INSTALL) embedded test && exec $(RUN) -m pytest -n $(WORKERS) $(ARGS)

test-long: ## crash, race, million-row and tour tests, and all rounds of random ones; SCHEMAEVO_TEST_SCALE scales them
	@$(INSTALL) embedded test && exec $(RUN) -m pytest -m long -n $(LONG_WORKERS) $(ARGS)

bench: ## benchmarks, each printing its ratio; SCHEMAEVO_BENCH_SCALE scales them
	@$(INSTALL) embedded test && exec $(RUN) -m pytest -m bench -s $(ARGS)

pictures: ## the pictures of docs/tour.md and the README, taken from the running demo
	@$(INSTALL) embedded test && exec $(RUN) -m tests.tour.take_pictures

lint: ## ruff, mypy, import-linter, missing migrations
	@$(INSTALL) embedded test dev
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy .
	$(VENV)/bin/lint-imports
	$(RUN) manage.py makemigrations --check --dry-run

format: ## write the code in its one form
	@$(INSTALL) embedded test dev
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

clean: ## remove caches and the virtual environment; the data in .schemaevo stays
	rm -rf $(VENV) $(VENV).lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.schemaevo/*' -prune -exec rm -rf {} +
