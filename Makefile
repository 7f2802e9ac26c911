PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
PAGE := .dvc/plots/page.html
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro experiments restore setup setup-dev browser test test-slow slow-here slow-ray test-release bench results lint deps format audit clean

repro: setup  ## run what changed of the pipeline
	dvc repro

experiments: setup  ## the experiments of this commit, in the columns that fit a screen
	python -m tools.experiments

restore:  ## back to the committed parameters, models and results; what is here now is first stored as an experiment
	dvc exp save
	git restore params.yaml dvc.lock metrics plots models
	dvc checkout --allow-missing

setup: $(VENV)/.installed $(PAGE)  ## make the environment from the pinned requirements, and a page for dvc plots

setup-dev: setup $(VENV)/.installed-dev  ## add the extras (serve, export, s3, ray) and what the tests and tools need

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and \
	  "Python 3.11, 3.12 or 3.13 is needed: the pinned TensorFlow has no other; set PYTHON=python3.13, say. Received: " \
	  + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==0.13.9
	$(INSTALL) --compile-bytecode -r requirements.txt
	$(INSTALL) --no-deps --editable .
	@git config user.email > /dev/null || echo 'dvc exp run stores experiments as git commits, which need a name and address:\n\
	  git config user.name "Your Name"; git config user.email you@example.org'
	touch $@

# The same pins and more: nothing that is there changes or goes.
$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(INSTALL) --compile-bytecode -r requirements-dev.txt
	touch $@

$(PAGE): $(VENV)/.installed tools/plots_page.py
	python -m tools.plots_page

browser:  ## Debian's Chromium, for the tests that look at pages (as root; without it they are skipped)
	apt-get update -q && apt-get install -qy --no-install-recommends chromium fonts-dejavu-core

test: setup-dev  ## the tests that CI runs, 6 minutes on two cores; some tests wait for servers, hence one worker more than cores
	pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile --no-loadscope-reorder -m "not slow and not release"

test-slow: setup-dev  ## kills, experiments side by side, an S3 remote, two Ray nodes
	$(MAKE) -j2 --output-sync=target slow-here slow-ray

slow-here:
	pytest -m slow --ignore-glob='*/test_ray_*'

slow-ray:  # one cluster at a time
	pytest -m slow tests/*/test_ray_*.py

test-release: setup-dev  ## every application of Keras, large backbones, many more damaged pictures
	pytest -m release

bench: setup  ## against the report's procedure, some 50 minutes; BENCH='--photos … --extractor …' for real ones
	PYTHONPATH=src python -m benchmarks $(BENCH)

results: setup  ## the whole pipeline on RealWaste, hours long, into docs/results.md; it goes on where it was killed
	python -m benchmarks.claims

lint: setup-dev
	ruff check .
	ruff format --check .
	mypy

deps: setup-dev  ## the code that each stage imports, into dvc.yaml
	python -m tools.deps

format: setup-dev
	ruff format .
	ruff check --fix .

audit: setup-dev  ## known faults in the pinned packages, risky calls in the code
	ruff check --select S --ignore-noqa --exit-zero src stages benchmarks
	pip-audit --progress-spinner off -r requirements.txt --disable-pip --no-deps

clean:  ## the environment and the tools' caches; data, models and results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
