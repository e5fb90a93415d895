# Every target sets up what it needs on a fresh machine: a virtual environment in .venv, pinned.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# On Linux the default index serves torch with gigabytes of CUDA; its "+cpu" build serves as well here
# and comes from PyTorch's own index. macOS and Windows wheels are CPU builds already.
TORCH_VERSION := 2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_PIP := install --quiet --disable-pip-version-check

.PHONY: run test test-all check bench bench-nautilus differential clean setup
run: setup
	$(BIN)/python -m agent run --paper --config config.yaml

test: setup
	$(BIN)/python -m pytest -q -m "not slow"

test-all: setup
	$(BIN)/python -m pytest -q

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup .venv-differential/.installed .venv-nautilus/.installed
	for b in benchmarks/bench_*.py; do echo "== $$b"; PYTHONPATH=. $(BIN)/python $$b || exit 1; done

# The paper venue against hftbacktest, which pins another numpy and so has an environment of its own.
differential: setup .venv-differential/.installed
	$(BIN)/python -m pytest -q tests/differential

.venv-differential/.installed: tests/differential/requirements.txt
	$(PYTHON) -m venv .venv-differential
	.venv-differential/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

# A whole replay against NautilusTrader's TWAP backtest: its own environment too. SESSION=DIR for a session.
bench-nautilus: setup .venv-nautilus/.installed
	PYTHONPATH=. $(BIN)/python benchmarks/bench_nautilus.py $(SESSION)

.venv-nautilus/.installed: benchmarks/requirements-nautilus.txt
	$(PYTHON) -m venv .venv-nautilus
	.venv-nautilus/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

clean:
	rm -rf $(VENV) .venv-differential .venv-nautilus runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(shell uname -s),Linux)
	$(BIN)/pip $(TORCH_PIP) --retries 0 --timeout 20 --extra-index-url $(TORCH_INDEX) "torch==$(TORCH_VERSION)+cpu" \
	  || $(BIN)/pip $(TORCH_PIP) "torch==$(TORCH_VERSION)"
else
	$(BIN)/pip $(TORCH_PIP) "torch==$(TORCH_VERSION)"
endif
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(STAMP)
