# Everything a newcomer needs: `make demo` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo factory test coverage test-all setup lock format lint recipes docs bench size ci clean

demo: $(VENV)/.converter          ## set up, then street numbers in, an int8 network for a microcontroller out
	$(BIN)/tinyrefinery demo

factory: $(VENV)/.installed       ## a turn of the cycle on data with faults planted: docs/factory.md
	$(BIN)/python recipes/factory/turn.py

FAST_TESTS = $(BIN)/python -m pytest -m "not slow" -q -n auto --dist worksteal --cov

test: $(VENV)/.dev                ## set up, then pass the fast tests, which must cover 90 % of lines
	$(FAST_TESTS) --cov-report=term:skip-covered --cov-fail-under=90

coverage: $(VENV)/.dev            ## list the lines that the fast tests do not run
	$(FAST_TESTS) --cov-report=term

test-all: $(VENV)/.dev            ## the slow ones too
	$(BIN)/python -m pytest -q -n auto --dist worksteal

setup: $(VENV)/.dev $(VENV)/.docs ## everything for development

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tiny Refinery needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e .
	touch $@

# What writes the file for a device: ONNX from the package index, LiteRT with a converter that has an environment of
# its own in the cache. Where one can't be installed, the demo does without it and reports that.
$(VENV)/.converter: pyproject.toml | $(VENV)/.installed
	if $(BIN)/python -m pip install -q -e '.[onnx,litert]'; \
	then $(BIN)/python -m tinyrefinery.device.tool_environment && touch $@ || true; \
	else $(BIN)/python -m pip install -q -e '.[onnx]' || true; fi

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[docs]'
	touch $@

UPGRADE ?= # make lock UPGRADE=--upgrade takes the newest versions
lock: $(VENV)/.dev                ## pin the development packages: all that dev and docs need
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q pyproject.toml --extra dev --extra docs --universal \
	  --python-version 3.11 $(UPGRADE) -o requirements-dev.lock

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev                ## style, types, direction of imports, size of files and functions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python tools/size.py

recipes: $(VENV)/.dev             ## check every recipe and build its networks; `make test` runs each with --smoke
	$(BIN)/tinyrefinery recipe check recipes --deep

docs: $(VENV)/.dev $(VENV)/.docs  ## build the site; a broken link is an error
	$(BIN)/python tools/results.py --check
	$(BIN)/python tools/figures.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q

bench: $(VENV)/.installed         ## data path and training step against the obvious way
	$(BIN)/python benchmarks/data_path.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/help_time.py
	$(BIN)/python benchmarks/sparse_targets.py
	$(BIN)/python benchmarks/label_store.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/floor.py
	$(BIN)/python benchmarks/compiling.py
	$(BIN)/python benchmarks/dynamics.py
	$(BIN)/python benchmarks/data_tests.py

ci: test lint recipes docs

clean:
	rm -rf $(VENV) site dist .pytest_cache .ruff_cache .coverage*
