# Everything a newcomer and the CI need. Requires make, git, and a Python 3.11 with its venv module.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.environment
# uv ignores pip's configuration, and pip ignores uv's. Both must install into .venv, even if pip is configured to
# install elsewhere.
PIP    := PIP_USER=0 $(BIN)/python -m pip
UV     := $(BIN)/python -I deployments/uv_as_pip.py pip

# Containers often disable Python's bytecode cache. Then every Spotwave process would compile thousands of modules.
unexport PYTHONDONTWRITEBYTECODE PIP_TARGET PIP_PREFIX PIP_ROOT

.DEFAULT_GOAL := help
.PHONY: help env up down water-dimer test test-all faults bench accuracy many-jobs sqlite-limit audit docs dist lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP)  ## create the environment in .venv from the lock file

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "Spotwave needs Python 3.11 to 3.13, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'from pathlib import Path; Path.home()' 2>/dev/null || \
		{ echo "HOME is not set, and user id $$(id -u) is unknown on this computer: set HOME to a folder that you own" >&2; exit 1; }
	@echo "environment: installing the packages of requirements.lock"
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "environment: $(PYTHON) cannot create a virtual environment; $(VENV) was removed (on Debian: apt install python3-venv)" >&2; exit 1; }
	@awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/uv --version >/dev/null 2>&1 || \
		$(PIP) install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	@$(UV) sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

up: $(STAMP)  ## start Prefect (unless one is configured) and the controller's worker; register blocks and deployments
	@$(BIN)/spotwave up

down:  ## end all Spotwave processes on this computer
	@if [ -x $(BIN)/spotwave ]; then $(BIN)/spotwave down; fi

water-dimer: $(STAMP)  ## compute the energy of the water dimer, and follow the job in the terminal
	@$(BIN)/spotwave run shci/water-dimer

test: $(STAMP)  ## run the linter, the type checker and the test suite
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "not thorough"

# One at a time: each of these tests runs several jobs, which is all that two cores can carry.
SAMPLE ?= 4
test-all: test  ## also run the tests that take minutes, with a sample of the faults (SAMPLE=4)
	@FAULTS_SAMPLE=$(SAMPLE) $(BIN)/pytest -m thorough

faults: $(STAMP)  ## test every fault at every step on every cloud; FAULTS="--only notice" for a part
	@$(BIN)/python -m tests.faults $(FAULTS)

bench: $(STAMP)  ## run the benchmarks; each prints its figures as `name value`
	@for benchmark in benchmarks/*.py; do \
		case "$$benchmark" in */_* | */many_jobs.py | */accuracy.py | */same_twice.py) continue ;; esac; \
		$(BIN)/python -m "benchmarks.$$(basename "$$benchmark" .py)" || exit 1; \
	done

accuracy: $(STAMP)  ## regenerate docs/accuracy.md: energies of 85 systems, compared with those of other programs
	@$(BIN)/python -m benchmarks.accuracy --write docs/accuracy.md

JOBS ?= 40
many-jobs: $(STAMP)  ## run many jobs at once on PostgreSQL with local machines, and measure the load (JOBS=40)
	@$(BIN)/python -m benchmarks.many_jobs --jobs $(JOBS)

sqlite-limit: $(STAMP)  ## run more and more jobs at once on SQLite, to find its limit
	@$(BIN)/python -m benchmarks.many_jobs --sqlite --jobs 8,12,16,24

docs: $(STAMP)  ## build the documentation as web pages in docs/_build; a warning is an error
	@rm -rf docs/_build docs/api/generated
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs . docs/_build
	@echo "documentation: docs/_build/docs/index.html"

# The wheel is built from the sdist, so that both are tested. Dependencies come from the lock file, checked by hash.
dist: $(STAMP)  ## build sdist and wheel in dist/, check them, and install the wheel into an empty environment
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(BIN)/uv venv --quiet --python $(BIN)/python "$$folder" && \
		echo "$$(echo ./dist/*.whl) $$($(PIP) hash dist/*.whl | tail -n 1)" > "$$folder/wheel.txt" && \
		$(UV) install --quiet --python "$$folder/bin/python" --require-hashes --requirement "$$folder/wheel.txt" \
			--constraints requirements.lock && env -u PYTHONPATH "$$folder/bin/spotwave" --version

lock: $(STAMP)  ## resolve pyproject.toml into requirements.lock, and node/requirements.in likewise (LOCK=--upgrade: newest)
	@$(UV) compile --quiet $(LOCK) --universal --generate-hashes --python-version 3.11 --extra dev \
		--no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock
	@$(UV) compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--constraints requirements.lock node/requirements.in --output-file node/requirements.lock

ADVISORIES := api.osv.dev
# GHSA-cw25-2p92-7f75 names prefect, but the vulnerable package is prefect-github: not installed (docs/security.md).
NOT_OURS := GHSA-cw25-2p92-7f75
audit: $(STAMP)  ## look up known vulnerabilities of the packages in the lock files (needs the network)
	@$(BIN)/python -c 'import socket; socket.create_connection(("$(ADVISORIES)", 443), 10).close()' 2>/dev/null || \
		{ echo "audit: $(ADVISORIES) cannot be reached, so no package was checked" >&2; exit 1; }
	@for lock in requirements.lock node/requirements.lock; do \
		$(BIN)/pip-audit --strict --progress-spinner off --disable-pip --require-hashes --vulnerability-service osv \
			$(addprefix --ignore-vuln ,$(NOT_OURS)) --requirement "$$lock" || exit 1; \
	done

clean:  ## end everything and remove the environment; STATE=1: also your jobs, budgets and ledger (results stay)
	@if [ -x $(BIN)/spotwave ]; then $(BIN)/spotwave clean $(if $(STATE),--state); fi
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist docs/_build docs/api/generated
