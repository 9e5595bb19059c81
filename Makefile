# `make serve` and `make test` do all set-up themselves.
#   PYTHON  an interpreter >= 3.11 other than python3
#   ENGINE  docker or native, instead of whichever is there
#   ARGS    more arguments for what the target runs
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
ENGINE ?= $(or $(CODE_EXECUTOR_ENGINE),auto)
BIN := .venv/bin

.PHONY: help serve labs test test-fast image server sandbox lock base dist web screenshots lint types layers check format docs fuzz bench soak clean

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.venv/.done: pyproject.toml uv.lock scripts/setup
	PYTHON=$(PYTHON) scripts/setup venv

.venv/.labs: pyproject.toml uv.lock scripts/setup
	PYTHON=$(PYTHON) scripts/setup labs

.venv/.dev: pyproject.toml uv.lock scripts/setup
	PYTHON=$(PYTHON) scripts/setup dev

.sandbox/.done: requirements.txt requirements.lock scripts/setup
	PYTHON=$(PYTHON) scripts/setup sandbox

image: ## build the sandbox image, code-executor:latest (REFRESH=1: once more, with Debian's updates of today)
	scripts/build-image

server: ## build the image of the service, code-executor-server:latest (REFRESH=1: as above)
	scripts/build-image --server

sandbox: .sandbox/.done ## make the interpreter of the native engine

lock: ## lock the libraries of requirements.txt with their hashes (UPGRADE=1: the newest of each)
	scripts/lock $(if $(UPGRADE),--upgrade)

base: ## pin the base image as the registry has it today
	scripts/renew-base

dist: ## build wheel and source package into dist/ (needs npm)
	scripts/dist

web: ## build the page at / and the <run-code> component (needs npm)
	scripts/build-web

serve: .venv/.done ## serve on port 8000 (PORT=…): Docker if an engine answers, else the native engine
	@scripts/build-web --optional
	@scripts/engine $(ENGINE) || [ "$(ENGINE)" = docker ] || $(MAKE) --no-print-directory .sandbox/.done
	exec $(BIN)/code-executor serve --engine $(ENGINE) $(ARGS)

labs: .venv/.labs ## the same with labs, and a small course to look at: http://127.0.0.1:8000/labs
	@scripts/build-web --optional
	@scripts/engine $(ENGINE) || [ "$(ENGINE)" = docker ] || $(MAKE) --no-print-directory .sandbox/.done
	exec scripts/labs --engine $(ENGINE) $(ARGS)

test: .venv/.dev .sandbox/.done ## run every test (ARGS: more for pytest)
	@scripts/build-web --optional
	@scripts/engine auto || [ "$${CI:-}" != true ] || { echo "CI=true, and Docker cannot be used" >&2; exit 1; }
	scripts/test $(ARGS)

test-fast: .venv/.dev ## run the tests that need no engine (under a minute)
	scripts/test --fast $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

layers: .venv/.dev
	$(BIN)/lint-imports

check: lint types layers test ## everything CI checks

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev ## write the tables in docs/ that come from the code
	$(BIN)/python scripts/write_docs.py
	$(BIN)/python scripts/write_wire.py

fuzz: .venv/.dev ## the property tests, for longer
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -m fuzz --timeout=3600 $(ARGS)

screenshots: .venv/.dev .sandbox/.done ## take the pictures in docs/images (needs npm and Chromium)
	scripts/build-web
	$(BIN)/python scripts/screenshots.py

bench: .venv/.dev .sandbox/.done ## measure; table and plots in bench/README.md (ARGS=--quick: 3 minutes, not 20)
	@scripts/build-web --optional
	bench/run $(ARGS)

soak: .venv/.dev .sandbox/.done ## good, slow and hostile programs for MINUTES, and a census before and after
	$(BIN)/python -m tests.hostile.soak --minutes $(or $(MINUTES),30) --engine $(if $(filter auto,$(ENGINE)),docker,$(ENGINE))

clean:
	rm -rf .venv .sandbox .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis web/node_modules web/dist src/code_executor/api/web
