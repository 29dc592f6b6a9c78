# u-bmc. `make help` lists the targets. It needs GNU make and Python 3.11 or later; all else is installed into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The first Python of these that starts and is new enough; `make PYTHON=/path/to/python3` chooses another one.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(NEW_ENOUGH)' 2> /dev/null && echo $$python && break; done)

# Two stamps, because `make run` needs less than `make test`. Both name the checkout: an environment holds absolute
# paths, so that of a checkout which was moved is made anew.
WHERE := $(shell printf '%s' '$(CURDIR)' | cksum | cut -d ' ' -f 1)
RUN := $(VENV)/.stamp-run-$(WHERE)
DEV := $(VENV)/.stamp-dev-$(WHERE)
MOVED := $(filter-out $(RUN) $(DEV),$(wildcard $(VENV)/.stamp-*))

# Short, because the path of a unix socket is at most 107 bytes long (unix(7)).
TMP_TESTS := $(or $(TMPDIR),/tmp)/ubmc-$(WHERE)

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

.PHONY: help setup run webui webui-dev check test soak bench schema docs lock fmt wheel clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z -]*\):.*## \(.*\)/\1@\2/p' Makefile | while IFS=@ read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

FORCE:

$(BIN)/python: $(if $(MOVED),FORCE)
	@test -n '$(PYTHON)' || { echo 'u-bmc needs Python 3.11 or later; name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo '$(PYTHON) does not start, or is older than 3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
		echo '$(PYTHON) lacks the modules venv and ensurepip; on Debian: apt install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV) with $(PYTHON) ...'
	@$(PYTHON) -m venv --clear $(VENV)

$(RUN): requirements/run.txt pyproject.toml $(BIN)/python
	@echo 'Installing what the program needs ...'
	@$(PIP) install --require-hashes --requirement requirements/run.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	@echo 'Installing what its tests need ...'
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@

setup: $(DEV) ## make .venv with all that the program and its tests need

run: $(RUN) webui ## start the simulated board; more by ARGS='--board qemu'
	@$(BIN)/ubmc run $(ARGS)

webui: $(RUN) ## build the web UI, if its sources changed
	@$(BIN)/python tools/webui.py build

webui-dev: $(RUN) ## the web UI with hot reload, beside a board that runs; another one by UBMC_URL=https://...
	@$(BIN)/python tools/webui.py dev

check: setup ## format, lint, types, imports, schema, generated files, unit tests; before every commit
	@$(BIN)/python tools/check.py $(STEPS)

test: check webui ## check, and every other test; says what it skipped, and what passed only alone
	@rm -rf $(TMP_TESTS)
	@$(BIN)/python tools/suite.py $(TMP_TESTS) $(ARGS)

soak: setup webui ## the long form: thousands of kills, millions of inputs
	@UBMC_SOAK=1 $(BIN)/python -m pytest -m soak --timeout 0 tests $(ARGS)

bench: setup ## measure, beside references in the same run
	@$(BIN)/python -m bench $(ARGS)

schema docs: setup ## generate modules and documents from the schema and the code
	@$(BIN)/python tools/generate.py

# The versions that are locked stay where they still fit; `make lock UPGRADE=1` takes the newest.
$(BIN)/uv: | $(BIN)/python
	@$(PIP) install uv

lock: $(BIN)/uv ## write requirements/ from pyproject.toml
	@$(LOCK) pyproject.toml --group build --output-file requirements/run.txt
	@$(LOCK) pyproject.toml --group dev --extra otlp --constraint requirements/run.txt --output-file requirements/dev.txt
	@$(LOCK) requirements/judges.in --output-file requirements/judges.txt

fmt: setup ## format, and repair what the linter can
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet

wheel: setup webui ## build dist/*.whl, which runs without this checkout
	@rm -rf build
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist .

clean: ## remove .venv and all that was built
	@rm -rf $(VENV) src/ubmc/webui webui/node_modules webui/.svelte-kit webui/build webui/src/lib/gen build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
