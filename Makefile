# Continual ML. `make run` opens the app, `make test` passes the tests; both set up what they need.
PYTHON ?= python3
PORT ?= $(or $(CONTINUAL_PORT),8501)
HOST ?= $(or $(CONTINUAL_HOST),127.0.0.1)
VENV := .venv
PY := $(VENV)/bin/python
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export PYTHONHASHSEED = 0

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev browser run test soak check format lock mlflow benchmarks clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Continual ML needs Python 3.11 or newer; this is $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check uv || touch $(VENV)/bin/uv

# uv takes seconds where pip takes minutes; without it pip does.
define install
	@if [ -s $(VENV)/bin/uv ]; then $(VENV)/bin/uv pip install -q --python $(PY) -r $(1); \
	else $(PY) -m pip install -q --disable-pip-version-check -r $(1); fi
	@touch $@
endef

$(VENV)/.run: requirements.txt | $(VENV)/bin/uv
	$(call install,requirements.txt)

$(VENV)/.dev: requirements-dev.txt | $(VENV)/bin/uv
	$(call install,requirements-dev.txt)

setup: $(VENV)/.run  ## Make .venv with what the app needs

setup-dev: $(VENV)/.dev

run: setup  ## Open the app (PORT=8501)
	CONTINUAL_PORT=$(PORT) CONTINUAL_HOST=$(HOST) $(VENV)/bin/streamlit run app.py --server.port $(PORT) --server.address $(HOST)

browser: setup-dev
	@$(PY) scripts/browser.py

test: setup-dev browser  ## Pass every test
	$(PY) -m pytest

soak: setup-dev browser  ## The slow tests
	$(PY) -m pytest -m soak

check: setup-dev  ## Lint, format, types, architecture
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup-dev  ## Put the code into shape
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

lock: setup-dev  ## Resolve requirements*.in anew
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate requirements.in -o requirements.txt
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate requirements-dev.in -c requirements.txt -o requirements-dev.txt

mlflow: setup  ## Open MLflow's own UI on the same store (port 5000)
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(VENV)/bin/mlflow ui --workers 1 --port 5000 \
		--backend-store-uri "$$($(PY) -c 'from core.settings import load; print(load().tracking_uri)')"

benchmarks:  ## List the benchmarks
	@ls benchmarks/*.py

clean:  ## Remove .venv and caches; data stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
