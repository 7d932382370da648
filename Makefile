# make run       set up what is missing and serve on http://127.0.0.1:8000   (ARGS="--workers 2", …)
# make test      set up what is missing, lint, check types and run every test (ARGS="-k rotation", …)
# make lint      ruff: rules and format
# make types     mypy --strict
# make lock      bring requirements*.lock in line with pyproject.toml          (ARGS=--upgrade for newer versions)
# make bench     what it costs beside its peers; some 40 minutes on a quiet machine (ARGS=--quick to see it run)
# make clean     remove the virtual environment and caches; the data in .data stay
#
# PYTHON=/path/to/python3 chooses the interpreter. What set-up does is told in scripts/setup.

PYTHON ?=
# Most tests wait more than they compute, so there are more processes than cores. A file's tests stay together, with the
# services they share, and files go in their order: those that wait long stand before the many quick ones of unit/.
IN_PARALLEL = -n 4 --dist loadfile --no-loadscope-reorder
ARGS ?=
export PYTHON

.PHONY: run test lint types lock bench clean set-up

# exec, so that the server itself gets the signals meant for it.
run:
	@scripts/setup run && exec .venv/bin/python server.py $(ARGS)

# pytest comes last, so that its verdict is the last thing to read.
test: lint types
	@VIGIL_TEST_CHROMIUM="$${VIGIL_TEST_CHROMIUM:-$$(cat .venv/chromium)}" .venv/bin/python -m pytest $(IN_PARALLEL) $(ARGS)

lint: set-up
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: set-up
	@.venv/bin/mypy

bench: set-up
	@.venv/bin/python -m bench $(ARGS)

set-up:
	@scripts/setup test

# Universal: one lock for every platform and Python from 3.11 on. The runtime lock starts from the other
# one's pins, so that both name the same versions.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml
lock:
	@command -v uv >/dev/null || { echo "uv is needed: see https://docs.astral.sh/uv/" >&2; exit 1; }
	@$(COMPILE) --extra embedded --extra test $(ARGS) --output-file requirements-test.lock
	@cp requirements-test.lock requirements.lock
	@$(COMPILE) --extra embedded --output-file requirements.lock

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis artefacts
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
