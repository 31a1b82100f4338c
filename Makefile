# Each target sets up everything that it needs, given Python 3.11, make and a package index.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
DATA   ?= movielens-100k
READY  := $(VENV)/.ready

export TF_CPP_MIN_LOG_LEVEL ?= 2
# The environment's own commands (pip, tfx) are found by name in child processes.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help

# The lock is complete and hashed, so nothing is resolved here. `-e .` goes last, without
# its dependencies. Byte code is compiled now: TFX imports several times slower without.
$(READY): requirements/lock.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==0.13.9
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --compile-bytecode --no-deps --require-hashes -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: help setup demo test unit slow e2e robustness lint format lock clean

help:  ## Show the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## Create the environment in .venv

demo: $(READY)  ## Real rows to answers over gRPC (DATA=obd, ARGS=--no-cache)
	$(BIN)/midpg demo --data $(DATA) $(ARGS)

test: unit slow e2e  ## The three kinds of tests below

unit: $(READY)  ## The fast tests
	$(BIN)/python -m pytest -m "not (e2e or slow or robustness)" --numprocesses=2 --dist=loadgroup

slow: $(READY)  ## The tests that take longer, such as all models' on each of them
	$(BIN)/python -m pytest -m "slow and not e2e" --numprocesses=2 --dist=loadgroup

e2e: $(READY)  ## The tests that run real pipelines, processes and ports
	$(BIN)/python -m pytest -m e2e --numprocesses=2 --dist=loadgroup

# One at a time: they load the machine as far as it goes.
robustness: $(READY)  ## Load, nonsense, kills and a soak for the server
	$(BIN)/python -m pytest -m robustness

lint: $(READY)  ## Style, types and the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## Rewrite the sources in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(READY)  ## Renew requirements/lock.txt from setup.py
	$(BIN)/uv pip compile setup.py --extra dev --python-version 3.11 \
	  --override requirements/overrides.txt --constraint requirements/constraints.txt \
	  --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make lock" --quiet --output-file requirements/lock.txt

clean:  ## Remove the environment and what runs have written, not the data
	rm -rf $(VENV) .midpg examples/.midpg build *.egg-info
