# What a developer does, one word each. Everything is installed into .venv, in this tree, the
# clients that the tests need into the user's cache.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2  # tests at the same time
INPUTS ?= 1000000
EXAMPLES ?= 4000
PYTEST = $(BIN)/python -m pytest -n $(strip $(JOBS)) --dist loadfile

# What goes through a WebSocket in every way there is.
ON_HYPERCORNS_PATH := $(addprefix tests/,\
	integration/test_attacks.py integration/test_leaving.py integration/test_mailbox.py \
	integration/test_nodes.py conformance/test_python_connecting.py \
	conformance/test_python_large_arrays.py conformance/test_python_calling.py \
	conformance/test_javascript_connect.py \
	cluster/test_crashes.py)

# What says in less than a minute whether a change is on the right way.
QUICK := $(addprefix tests/,unit integration/test_registering.py integration/test_http.py)

# What is in place; so a second run of `make install` costs nothing.
PACKAGE := $(VENV)/.package-installed
CLIENTS := $(VENV)/.clients-installed
BROWSER := $(VENV)/.browser-installed
ASSETS := $(VENV)/.assets-installed
BENCH := $(VENV)/.bench-installed
FUZZ := $(VENV)/.fuzz-installed

.PHONY: help install assets format check test test-quick test-all compose-test test-hypercorn fuzz chaos bench bench-page bench-beside docs walk clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

install: $(PACKAGE) $(CLIENTS) $(BROWSER) $(ASSETS)  ## Make .venv, with the package and all that the tests need

format: $(PACKAGE)  ## Put the code into shape, and bring generated pages up to date
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/ruff check
	$(BIN)/python -m docs.generate
	$(BIN)/python -m helm.generate
	$(BIN)/python -m tests.chart.golden

assets:  ## Get what pages need of npm packages and wheels, before a wheel is made; needs npm and pip
	$(PYTHON) -m hypha_cluster.web.assets.fetching

check: $(PACKAGE)  ## Check shape, habits, types and layers; changes nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install  ## Run the tests, published clients and a browser among them
	$(PYTEST) -m "not slow and not compose"

test-quick: $(PACKAGE)  ## Run the unit tests and a few others, in less than a minute
	$(PYTEST) $(QUICK)

test-all: install  ## Run the slow tests too
	$(PYTEST) -m "not compose"

compose-test: install  ## Run docker-compose.yml and the pods of the chart for real; needs a container engine
	$(BIN)/python -m pytest tests/compose

test-hypercorn: install  ## Run a part of the tests on Hypercorn's own WebSocket path
	HYPHA_TEST_SETTINGS="fast_websockets=false" $(PYTEST) -m "not slow" $(ON_HYPERCORNS_PATH)

fuzz: $(FUZZ)  ## Give millions of inputs to all that reads what strangers send; for an hour or two
	HYPHA_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n 0 --timeout 7200 tests/unit/protocol/test_properties.py
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS)

chaos: install  ## Break a cluster in every way, and write docs/reliability.md
	mkdir -p .pytest_cache && rm -f .pytest_cache/figures
	HYPHA_TEST_FIGURES=.pytest_cache/figures $(BIN)/python -m pytest tests/cluster -m "not brief"; result=$$?; \
	$(BIN)/python -m tests.cluster.report .pytest_cache/figures docs/reliability.md; exit $$result

bench: $(BENCH) $(CLIENTS)  ## Measure everything, for hours
	$(BIN)/python -m benchmarks

bench-page: $(BENCH) $(CLIENTS)  ## Measure for a quarter of an hour, and write docs/performance.md
	$(BIN)/python -m benchmarks --for-page
	$(BIN)/python -m benchmarks.page

bench-beside: $(BENCH)  ## Measure COMMIT=… beside this tree, in turns: frames, HTTP, connections
	$(BIN)/python -m benchmarks.beside $(COMMIT)

docs: $(PACKAGE)  ## Make a site of docs/, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

walk: $(PACKAGE)  ## Do what docs/start.md says, word for word, in a fresh container if there is an engine
	$(BIN)/python -m pytest tests/walk

clean:  ## Remove whatever these commands have made in the tree
	rm -rf $(VENV) .fuzz build dist site *.egg-info .coverage* .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(PACKAGE): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --editable '.[dev]'
	touch $@

$(CLIENTS): $(PACKAGE) tests/client_environments.py tests/client_environments.toml
	$(BIN)/python -m tests.client_environments
	touch $@

$(BENCH): $(PACKAGE)
	$(BIN)/python -m pip install -qq --editable '.[bench]'
	touch $@

$(FUZZ): $(PACKAGE)
	$(BIN)/python -m pip install -qq --editable '.[fuzz]'
	touch $@

# Without a browser its tests are skipped, and say why.
$(BROWSER): $(PACKAGE) tests/browser.py
	$(BIN)/python -m tests.browser && touch $@ || true

# Without what pages need of packages the tests of those pages are skipped, and say why.
$(ASSETS): $(PACKAGE) hypha_cluster/web/assets/catalogue.py
	$(BIN)/python -m hypha_cluster.web.assets.fetching && touch $@ || true
