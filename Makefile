# Everything a newcomer and the CI need. Requires make, git, and a Python 3.11 with its venv module.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.environment
# Neither reads what is told to the other; both install into .venv, whatever pip is told to do elsewhere.
PIP    := PIP_USER=0 $(BIN)/python -m pip
UV     := $(BIN)/python -I deployments/uv_as_pip.py pip

# Containers often forbid Python to keep what it compiled; each of our many processes would compile thousands of modules.
unexport PYTHONDONTWRITEBYTECODE PIP_TARGET PIP_PREFIX PIP_ROOT

.DEFAULT_GOAL := help
.PHONY: help env up down water-dimer test test-all faults bench accuracy many-jobs sqlite-limit audit docs dist lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP)  ## the environment in .venv, from the lock file

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "Spotwave needs Python 3.11 to 3.13, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'from pathlib import Path; Path.home()' 2>/dev/null || \
		{ echo "HOME is not set, and this computer knows no user with the number $$(id -u): set HOME to a folder of yours" >&2; exit 1; }
	@echo "environment: installing what requirements.lock names"
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "environment: $(PYTHON) cannot make one, and nothing is left of it (on Debian: apt install python3-venv)" >&2; exit 1; }
	@awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/uv --version >/dev/null 2>&1 || \
		$(PIP) install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	@$(UV) sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

up: $(STAMP)  ## start Prefect (if none is configured), blocks, deployments and the controller's worker
	@$(BIN)/spotwave up

down:  ## end everything of ours on this computer
	@if [ -x $(BIN)/spotwave ]; then $(BIN)/spotwave down; fi

water-dimer: $(STAMP)  ## from nothing to the energy of the water dimer, followed in the terminal
	@$(BIN)/spotwave run shci/water-dimer

test: $(STAMP)  ## lint, types and the test suite
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder -m "not thorough"

# One at a time: each has several jobs of its own, and two cores carry no more.
SAMPLE ?= 4
test-all: test  ## and the tests that take minutes, with a sample of the faults (SAMPLE=4)
	@FAULTS_SAMPLE=$(SAMPLE) $(BIN)/pytest -m thorough

faults: $(STAMP)  ## every fault at every step on every cloud; FAULTS="--only notice" for a part
	@$(BIN)/python -m tests.faults $(FAULTS)

bench: $(STAMP)  ## the benchmarks, each figure as `name value`
	@for benchmark in benchmarks/*.py; do \
		case "$$benchmark" in */_* | */many_jobs.py | */accuracy.py | */same_twice.py) continue ;; esac; \
		$(BIN)/python "$$benchmark" || exit 1; \
	done

accuracy: $(STAMP)  ## docs/accuracy.md anew: 85 systems beside the energies that other programs have found
	@$(BIN)/python -m benchmarks.accuracy --write docs/accuracy.md

JOBS ?= 40
many-jobs: $(STAMP)  ## many jobs at once on PostgreSQL, machines on this computer: what they cost (JOBS=40)
	@$(BIN)/python -m benchmarks.many_jobs --jobs $(JOBS)

sqlite-limit: $(STAMP)  ## more and more jobs at once on SQLite, to see where it stops being enough
	@$(BIN)/python -m benchmarks.many_jobs --sqlite --jobs 8,12,16,24

docs: $(STAMP)  ## the documentation as web pages, in docs/_build; a warning is an error
	@rm -rf docs/_build docs/api/generated
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs . docs/_build
	@echo "documentation: docs/_build/docs/index.html"

# The wheel is built from the sdist, so that both are tried; what it depends on comes from the lock file, by its hashes.
dist: $(STAMP)  ## sdist and wheel in dist/, checked, and installed into an empty environment
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(BIN)/uv venv --quiet --python $(BIN)/python "$$folder" && \
		echo "$$(echo ./dist/*.whl) $$($(PIP) hash dist/*.whl | tail -n 1)" > "$$folder/wheel.txt" && \
		$(UV) install --quiet --python "$$folder/bin/python" --require-hashes --requirement "$$folder/wheel.txt" \
			--constraints requirements.lock && env -u PYTHONPATH "$$folder/bin/spotwave" --version

lock: $(STAMP)  ## resolve pyproject.toml into requirements.lock, and what a machine needs of it (LOCK=--upgrade: the newest)
	@$(UV) compile --quiet $(LOCK) --universal --generate-hashes --python-version 3.11 --extra dev \
		--no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock
	@$(UV) compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--constraints requirements.lock node/requirements.in --output-file node/requirements.lock

ADVISORIES := api.osv.dev
# GHSA-cw25-2p92-7f75 names prefect; what is vulnerable is prefect-github, which is not installed (docs/security.md).
NOT_OURS := GHSA-cw25-2p92-7f75
audit: $(STAMP)  ## known vulnerabilities of what the lock files name; asks a service in the network
	@$(BIN)/python -c 'import socket; socket.create_connection(("$(ADVISORIES)", 443), 10).close()' 2>/dev/null || \
		{ echo "audit: nothing was looked up: $(ADVISORIES) cannot be reached from here, which says nothing of the packages" >&2; exit 1; }
	@for lock in requirements.lock node/requirements.lock; do \
		$(BIN)/pip-audit --strict --progress-spinner off --disable-pip --require-hashes --vulnerability-service osv \
			$(addprefix --ignore-vuln ,$(NOT_OURS)) --requirement "$$lock" || exit 1; \
	done

clean:  ## end everything, and remove the environment; STATE=1: your jobs, budgets and ledger too (results stay)
	@if [ -x $(BIN)/spotwave ]; then $(BIN)/spotwave clean $(if $(STATE),--state); fi
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist docs/_build docs/api/generated
