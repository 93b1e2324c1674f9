# `make demo` shows Duly at work; `make test` checks everything. Both need only Python 3.11+ and make.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help environment demo test lint format types contracts tests unit schema lock wheel clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

environment: $(READY) ## create .venv from the lock file (nothing is done if it is up to date)

# An own stamp, not the folder: a half-made environment is made again from where it stopped.
$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Duly needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## run everything on this machine with invented borrowers and a sandbox phone
	@$(BIN)/duly demo || test $$? -eq 130 # Ctrl-C is how it ends

test: lint types contracts tests ## everything that must hold before a change lands

lint: $(READY) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## let ruff put the formatting right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## mypy --strict
	$(BIN)/mypy

contracts: $(READY) ## who may import whom
	$(BIN)/lint-imports

# One process more than there are cores: tests often wait for a server. Who is done early takes from the others.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) + 1)')

tests: $(READY) ## all tests, on a real PostgreSQL and Valkey
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

unit: $(READY) ## only the tests that need no database
	$(BIN)/pytest tests/unit

schema: $(READY) ## write agent/store/schema.sql anew from the migrations
	$(BIN)/python -m tests.support.schema > agent/store/schema.sql.new
	mv agent/store/schema.sql.new agent/store/schema.sql

lock: ## pin all dependencies anew, with hashes (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

wheel: $(READY) ## build dist/*.whl
	$(BIN)/hatchling build -t wheel

clean: ## remove the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
