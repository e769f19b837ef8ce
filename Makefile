# make demo: curate the quickstart recipe and look at the result.  make test: what CI runs.

# The first interpreter that runs and fits; a version manager may leave a python3.12 that only prints an error.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
PEERS ?= .venv-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet -c constraints.txt
DEMO := build/demo
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help demo lint format test bench bench-scale clean
help:
	@echo "make demo    install into $(VENV), curate examples/quickstart, verify it, explain one dropped record"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff rewrite what it can"
	@echo "make test    lint and all tests, as CI does; PYTEST_ARGS='-n 2 -m \"not slow\"' for a quick look"
	@echo "make bench   the benchmarks, as one report (about 20 minutes); make bench-scale: growth to a million rows"
	@echo "make clean   remove $(VENV), $(PEERS), build/ and caches; releases/ stays"

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# One stamp for each set of dependencies: installed again only when one of the files named here is newer.
$(VENV)/.base: $(VENV)/pyvenv.cfg setup.py constraints.txt schemas/version.py
	@echo "installing gristmill into $(VENV) (a few minutes the first time)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg setup.py constraints.txt schemas/version.py
	@echo "installing gristmill[dev] into $(VENV) (a few minutes the first time)"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.base

# A published version is never overwritten, so the demo clears its own folder, and only that, first.
demo: $(VENV)/.base
	@rm -rf $(DEMO)
	$(BIN)/gristmill curate examples/quickstart/recipe.yaml --out $(DEMO)
	$(BIN)/gristmill verify $(DEMO)/quickstart/1.0.0
	$(BIN)/gristmill why $(DEMO)/quickstart/1.0.0 alpaca.json:2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The peers pin other versions than we do, so they have an environment of their own.
$(PEERS)/.stamp: benchmarks/peers.txt benchmarks/peers_alone.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing the peers into $(PEERS)"
	@"$(PYTHON)" -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r benchmarks/peers.txt
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps -r benchmarks/peers_alone.txt
	@touch $@

# Without the peers the comparisons are skipped, and the report says so.
bench bench-scale: $(VENV)/.dev
	@$(MAKE) --no-print-directory $(PEERS)/.stamp || echo "the peers could not be installed" >&2
	GRISTMILL_PEERS_PYTHON=$(abspath $(PEERS))/bin/python $(BIN)/python -m benchmarks.report \
		$(if $(findstring scale,$@),--scale) --write build/bench/$@.md $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
