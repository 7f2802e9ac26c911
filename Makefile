PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAGE := .dvc/plots/page.html
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro experiments setup browser test test-slow bench results lint deps format audit clean

repro: setup  ## run what changed of the pipeline
	dvc repro

experiments: setup  ## the experiments of this commit, in the columns that fit a screen
	python -m stages.experiments

setup: $(VENV)/.installed $(PAGE)  ## make the environment from the pinned requirements, and a page for dvc plots

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==0.13.9
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	touch $@

$(PAGE): $(VENV)/.installed stages/plots_page.py
	python -m stages.plots_page

browser:  ## Debian's Chromium, for the tests that look at pages (as root; without it they are skipped)
	apt-get update -q && apt-get install -qy --no-install-recommends chromium fonts-dejavu-core

test: setup  ## the tests that CI runs, under 6 minutes on two cores
	pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: setup
	pytest -m slow tests

bench: setup  ## against the report's procedure, some 50 minutes; BENCH='--photos … --extractor …' for real ones
	PYTHONPATH=src python -m benchmarks $(BENCH)

results: setup  ## the whole pipeline on RealWaste, hours long, into docs/results.md; it goes on where it was killed
	python -m benchmarks.claims

lint: setup
	ruff check .
	ruff format --check .
	mypy

deps: setup  ## the modules that each stage imports, into dvc.yaml
	python tests/write_deps.py

format: setup
	ruff format .
	ruff check --fix .

audit: setup  ## known faults in the pinned packages, risky calls in the code
	ruff check --select S --ignore-noqa --exit-zero src stages benchmarks
	pip-audit --progress-spinner off -r requirements.txt --disable-pip --no-deps

clean:  ## the environment and the tools' caches; data, models and results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
