# Continual ML. `make run` opens the app, `make test` passes the tests; both set up what they need.
# Programs of .venv are called as `python -m ...`, so that a folder that was moved, or has a space in its name, works.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev browser run test soak check format lock schema words screenshots mlflow benchmarks clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 "Continual ML needs Python 3.11 or newer;\
	 $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo >&2 "Python could not make $(VENV) (on Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	@$(PY) -m pip install -q uv || echo >&2 "uv is not to be had here; pip does the same in minutes instead of seconds"
	@touch $@

# uv takes seconds where pip takes minutes; where uv is missing or cannot reach the index that pip is set up for, pip does.
define install
	@echo "Installing $(1) into $(VENV)"
	@{ [ -x $(VENV)/bin/uv ] && $(PY) -m uv pip install -q --python $(PY) -r $(1); } || $(PY) -m pip install -q -r $(1)
	@touch $@
endef

$(VENV)/.run: requirements.txt $(VENV)/.made
	$(call install,requirements.txt)

$(VENV)/.dev: requirements-dev.txt $(VENV)/.made
	$(call install,requirements-dev.txt)

setup: $(VENV)/.run  ## Make .venv with what the app needs

setup-dev: $(VENV)/.dev  ## ... and with what its tests need

run: setup  ## Open the app (PORT=8501; other settings: env.example)
	@$(if $(PORT),CONTINUAL_PORT=$(PORT)) $(PY) app.py

browser: setup-dev
	@$(PY) scripts/browser.py

test soak: export PYTHONHASHSEED = 0
test: setup-dev browser  ## Pass every test
	@$(PY) -m pytest -n 2 --dist loadfile

soak: setup-dev browser  ## Pass the slow tests
	@$(PY) -m pytest -m soak

check: setup-dev  ## Lint, format, types, architecture
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()'

format: setup-dev  ## Put the code into shape
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

COMPILE = $(PY) -m uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url
lock: setup-dev  ## Resolve requirements*.in anew, keeping what still fits
	@$(COMPILE) requirements.in -o requirements.txt
	@$(COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt

schema: setup-dev  ## After a new revision: keep a copy of the database schema in tests/schemas
	@$(PY) scripts/schema.py

words: setup-dev  ## Bring the catalogues of words up to date (core/locale)
	@$(PY) scripts/words.py

screenshots: setup-dev browser  ## Take the README's pictures anew
	@$(PY) scripts/screenshots.py

mlflow: setup  ## Open MLflow's own UI on the same store (PORT=5000)
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(PY) -m mlflow ui --workers 1 --port $(or $(PORT),5000) \
		--backend-store-uri "$$($(PY) -c 'from core.settings import load; print(load().tracking_uri)')"

benchmarks: setup  ## List the benchmarks; each runs as .venv/bin/python -m benchmarks.<name>
	@$(PY) -c 'import ast, pathlib; [print(f"{path.stem:22} {(ast.get_docstring(ast.parse(path.read_text())) or path.stem).splitlines()[0]}") for path in sorted(pathlib.Path("benchmarks").glob("*.py"))]'

clean:  ## Remove .venv and caches; data stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
