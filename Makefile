# Every target sets up what it needs on a fresh machine: a virtual environment in .venv, pinned.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Two workers a core: tests of live runs wait for most of their time. A single process: make test WORKERS=0
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

# Where torch's CPU build is looked for first: on Linux the default index has gigabytes of CUDA. macOS and
# Windows wheels are CPU builds already.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ifeq ($(shell uname -s),Linux)
TORCH_FROM := --torch-index $(TORCH_INDEX)
endif

.PHONY: run test test-all test-slow check bench bench-nautilus differential fuzz mutants simulate simulate-test simulate-planted soak clean setup
run: setup
	$(BIN)/python -m agent run --paper --config config.yaml

test: setup
	$(PYTEST) -m "not slow"

test-all: setup
	$(PYTEST)

# What is marked slow, but for the comparison with hftbacktest, which has a target of its own.
test-slow: setup
	$(PYTEST) -m slow --ignore tests/differential

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pip --disable-pip-version-check check

bench: setup .venv-differential/.installed .venv-nautilus/.installed
	for b in benchmarks/bench_*.py; do echo "== $$b"; PYTHONPATH=. $(BIN)/python $$b || exit 1; done

# Small mistakes planted in the code, a sample by a seed: which ones do the tests notice? It goes on where it was
# ended. AGAIN=1 also tries those not noticed so far. One again: make mutants ONLY=agent/replay.py:198:8:LeaveOutCall
mutants: COUNT = 300
mutants: setup .venv-mutants/.installed
	PYTHONPATH=. .venv-mutants/bin/python -m tests.mutants.mutation_run --count $(COUNT) --seed $(SEED) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(AGAIN),--again)

.venv-mutants/.installed: tests/mutants/requirements.txt
	@$(PYTHON) .ci/make_environment.py .venv-mutants $<
	@touch $@

# Odd input of every kind, drawn by a seed; ends with one JSON line. One case again: make fuzz ONLY=rows:17
COUNT ?= 20000
SEED ?= 1
fuzz: setup
	PYTHONPATH=. $(BIN)/python -m tests.fuzz.campaign --count $(COUNT) --seed $(SEED) $(if $(ONLY),--only $(ONLY))

# Whole agents in virtual time, by seeds; ends with one JSON line. SEEDS=N FROM=K; one again: SEED=K (FAULTS=0,2).
# simloop wants Python 3.12: this one, or a newer one beside it.
SEEDS ?= 50
FROM ?= 1
SIMULATE = PYTHONPATH=. PYTHONHASHSEED=0 .venv-simulation/bin/python -m tests.simulation
NEWER = $(PYTHON) python3.14 python3.13 python3.12 $$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1[2-9]*/bin/python 2>/dev/null)
simulate: .venv-simulation/.installed
	$(SIMULATE).campaign --seeds $(SEEDS) --first $(FROM) $(if $(filter command%,$(origin SEED)),--seed $(SEED)) \
	  $(if $(FAULTS),--faults $(FAULTS))

# A day of one agent in virtual time, under faults: does it grow? HOURS=N SEED=K
HOURS ?= 24
soak: .venv-simulation/.installed
	$(SIMULATE).soak --hours $(HOURS) --seed $(SEED)

# The simulation's own tests: the same seed gives the same bytes, what is killed does nothing any more.
simulate-test: .venv-simulation/.installed
	PYTHONPATH=. .venv-simulation/bin/python -m pytest -q tests/simulation

# Mistakes planted in the product on purpose: by how many seeds is each found?
simulate-planted: .venv-simulation/.installed
	$(SIMULATE).planted_run $(if $(ONLY),--only $(ONLY))

.venv-simulation/.installed: tests/simulation/requirements.txt
	@for p in $(NEWER); do "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || continue; \
	  "$$p" .ci/make_environment.py .venv-simulation $< && touch $@ && exit 0; exit 1; done; \
	  echo "make simulate needs Python 3.12 or newer: make simulate PYTHON=python3.13" >&2; exit 1

# The paper venue against hftbacktest, which pins another numpy and so has an environment of its own.
differential: setup .venv-differential/.installed
	$(PYTEST) tests/differential

.venv-differential/.installed: tests/differential/requirements.txt
	@$(PYTHON) .ci/make_environment.py .venv-differential $<
	@touch $@

# A whole replay against NautilusTrader's TWAP backtest: its own environment too. SESSION=DIR for a session.
bench-nautilus: setup .venv-nautilus/.installed
	PYTHONPATH=. $(BIN)/python benchmarks/bench_nautilus.py $(SESSION)

.venv-nautilus/.installed: benchmarks/requirements-nautilus.txt
	@$(PYTHON) .ci/make_environment.py .venv-nautilus $<
	@touch $@

clean:
	rm -rf $(VENV) .venv-differential .venv-nautilus .venv-mutants .venv-simulation runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(STAMP)

# What a run imports is imported once while nothing else waits for it, so that its bytecode is there.
RUN_IMPORTS := torch agent.app.live_session,agent.terminal.run_view,ccxt.pro

$(STAMP): requirements.lock pyproject.toml .ci/make_environment.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) .ci/make_environment.py $(VENV) requirements.lock --project $(TORCH_FROM) --imports $(RUN_IMPORTS)
	@touch $(STAMP)
