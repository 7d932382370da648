# make run       install what is missing and serve on http://127.0.0.1:8000   (ARGS="--workers 2", …)
# make check     lint, types, and the tests that start no node; about a minute, for every commit (ARGS="-k rotation", …)
# make test      lint, types and all tests; several minutes                                      (ARGS="-k rotation", …)
# make page      bundle the demo page; needed after each change of client-demo/ that a browser loads
# make format    format the code with ruff and apply its automatic fixes
# make lint      ruff: rules and format
# make types     mypy --strict, including tests
# make lock      update requirements*.lock from pyproject.toml                 (ARGS=--upgrade for newer versions)
# make bench     benchmark against the peers; an hour or more on an idle machine   (ARGS=--quick for a short run)
# make faults    break real processes and compare with docs/reliability.md; some 15 minutes (ARGS="--only redis-killed")
# make soak      draw faults at random, and check what each client saw             (ARGS="--minutes 60 --seed 1")
# make clean     remove the virtual environment and caches, but not the data in .data
#
# PYTHON=/path/to/python3 selects the interpreter. The set-up is described in scripts/setup.

PYTHON ?=
CHECKED = tests/unit tests/stores tests/vectors tests/specification tests/test_architecture.py
# Most tests wait more than they compute, so there are more processes than cores. Those of `check` wait less.
# Tests of one file run in one process, since they share services. Files run in order: slow ones come before the many
# quick ones of unit/.
IN_PARALLEL = -n 6 --dist loadfile --no-loadscope-reorder
ARGS ?=
export PYTHON

# Without bytecode files, every process started by a test would compile the server again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run check test compile page format lint types lock bench faults soak clean set-up

# exec, so that the server receives signals directly.
run:
	@scripts/setup run && exec .venv/bin/python server.py $(ARGS)

# pytest runs last, so that its result is at the end of the output.
test: lint
	@$(MAKE) --no-print-directory -j2 types compile
	@VIGIL_TEST_CHROMIUM="$${VIGIL_TEST_CHROMIUM:-$$(cat .venv/chromium)}" .venv/bin/python -m pytest $(IN_PARALLEL) $(ARGS)

check: lint types
	@.venv/bin/python -m pytest $(IN_PARALLEL) -n 4 $(CHECKED) $(ARGS)

# Otherwise each of pytest's processes compiles all tests when they have changed. An error is left to pytest itself.
compile: set-up
	@.venv/bin/python -m pytest --collect-only -qq >/dev/null 2>&1 || true

page: set-up
	@node scripts/page/bundle.js

format: set-up
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format --quiet .

lint: set-up
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: set-up
	@.venv/bin/mypy

bench: set-up
	@.venv/bin/python -m bench $(ARGS)

# They use the clients and services of tests/support.
faults: set-up
	@PYTHONPATH=tests .venv/bin/python -m bench.faults $(ARGS)

soak: set-up
	@PYTHONPATH=tests .venv/bin/python -m bench.faults.soak $(ARGS)

set-up:
	@scripts/setup test

# Universal: one lock for all platforms and Python 3.11 or newer. The runtime lock starts from the test lock's pins, so
# that all have the same versions.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml
lock:
	@command -v uv >/dev/null || { echo "uv is needed: see https://docs.astral.sh/uv/" >&2; exit 1; }
	@$(COMPILE) --extra embedded --extra otel --extra test $(ARGS) --output-file requirements-test.lock
	@cp requirements-test.lock requirements.lock
	@$(COMPILE) --extra embedded --output-file requirements.lock
	@cp requirements-test.lock requirements-otel.lock
	@$(COMPILE) --extra embedded --extra otel --output-file requirements-otel.lock

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis artefacts
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
