# `make sample` and `make test` do everything on a machine with git, make and a Python with pip.
# uv finds (through .python-version) a Python that is new enough; it is fetched with pip into
# .tools where it is missing, which also works where the system's Python is externally managed.

SHELL := /bin/bash
BIN := .venv/bin
READY := .venv/.ready
# the first Python that runs pip: only to fetch uv, never to run the package
PIP_PYTHON = $(firstword $(foreach name,python3 python /usr/bin/python3,$(shell $(name) -m pip --version >/dev/null 2>&1 && echo $(name))))

.PHONY: sample test test-all check bench notebooks browser clean

sample: $(READY)
	$(BIN)/bayes-cmvt sample --out runs/cmvt --overwrite

test: check
	$(BIN)/python -m pytest -m "not slow and not interrupt" -n 2 --dist loadfile --cov --cov-report=
	$(BIN)/python -m pytest -m "not slow and interrupt" --cov --cov-append --cov-report=term

# property tests look for new counterexamples here; in `make test` they repeat the same examples
test-all: check
	$(BIN)/python -m pytest --hypothesis-profile=search --cov --cov-report=term

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/evaluation.py

notebooks: $(READY)
	$(BIN)/python -m pytest tests/test_notebooks.py

browser:
	command -v chromium >/dev/null || (apt-get update -q && apt-get install -q -y chromium)

clean:
	rm -rf .venv .tools

$(READY): pyproject.toml constraints.txt .python-version
	@set -e; \
	uv=uv; \
	if ! $$uv --version >/dev/null 2>&1; then \
	  uv=.tools/bin/uv; \
	  if ! $$uv --version >/dev/null 2>&1; then \
	    [ -n "$(PIP_PYTHON)" ] || { echo "no Python with pip was found; install one, or uv" >&2; exit 1; }; \
	    $(PIP_PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .tools uv; \
	  fi; \
	fi; \
	$$uv venv --quiet --clear .venv || $$uv venv --quiet --clear --python ">=3.12" .venv \
	  || { echo "no Python 3.12 or newer was found; install one and run make again" >&2; exit 1; }; \
	$$uv pip install --quiet --compile-bytecode --python .venv --constraint constraints.txt --editable . --group test
	@touch $@
