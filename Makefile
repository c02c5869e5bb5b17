# Two commands do all the set-up: `make quickstart` and `make test`.
SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests run in parallel, one process per core.
JOBS ?= auto
# A process that is done takes tests from the others: the long ones stand last, and would wait for one another.
SHARED := --dist worksteal

.PHONY: help quickstart smoke check-chain test test-all test-cpus freshness campaign check docs docs-generate format venv dev clean

help:
	@echo "make quickstart   install, then run the whole chain on Python's own documentation"
	@echo "make smoke        the same in under a minute, for CI"
	@echo "make check-chain  check the recipes of that chain before anything runs, in seconds"
	@echo "make test         install, then run the tests (test-all adds the long matrices)"
	@echo "make test-cpus    the tests as if on other processors and with other numbers of threads"
	@echo "make freshness    the same with the newest of everything but torch, in an environment of its own"
	@echo "make campaign     kills, limits, damage, foreign models, odd recipes and rows: tried and held, in over an hour"
	@echo "make check        lint, types, docs and generated files, as CI runs them"
	@echo "make docs         build the documentation into docs/_build/html"
	@echo "make clean        remove what the quickstart made"

# The marker is newer than what it was installed from, or it is installed again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "llmkit needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 4; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 4; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
# torch comes first and by its exact version: left to the resolver, it would bring gigabytes of CUDA packages.
	$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[gguf,llama-cpp,serve]"
	touch $@

# What the tests need, by name alone: the versions are those of the constraints, or the newest.
DEV := $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"])' | sed 's/>=[^ ]*//g')

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt $(DEV)
	touch $@

venv: $(VENV)/.installed
dev: $(VENV)/.installed-dev

quickstart: venv
	@$(MAKE) --no-print-directory -f recipes/quickstart/Makefile LLMKIT=$(BIN)/llmkit RECIPES=recipes/quickstart

smoke: venv
	@$(MAKE) --no-print-directory -f recipes/quickstart/Makefile LLMKIT=$(BIN)/llmkit RECIPES=recipes/quickstart smoke

check-chain: venv
	@$(MAKE) --no-print-directory -f recipes/quickstart/Makefile LLMKIT=$(BIN)/llmkit RECIPES=recipes/quickstart check-chain

test: dev
	$(BIN)/python -m pytest -n $(JOBS) $(SHARED) -m "not slow"

test-all: dev
	$(BIN)/python -m pytest -n $(JOBS) $(SHARED)

# Outside CI: the same tests as if on other processors, goldens included. CPU_TESTS=tests/golden for a part of them.
# Each is one whole run: no AVX, AVX2 as most processors have it, and all that this one has.
CPUS := OMP_NUM_THREADS=1,ATEN_CPU_CAPABILITY=default \
  OMP_NUM_THREADS=2,ATEN_CPU_CAPABILITY=avx2,ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=4
CPU_TESTS ?= tests
test-cpus: dev
	@broken=; for cpu in $(CPUS); do echo "== $$cpu"; \
	  env $${cpu//,/ } $(BIN)/python -m pytest -n $(JOBS) $(SHARED) -m "not slow" $(CPU_TESTS) || broken="$$broken $$cpu"; done; \
	if [ -n "$$broken" ]; then echo "broke under$$broken"; exit 1; fi

# One process, one case after another; CLASSES="damage models" for some, TRY="--sample 20" for every twentieth.
campaign: dev
	$(BIN)/python -m campaign $(CLASSES) $(TRY)

# Outside CI: what breaks with versions that nobody has tried yet, before a user says so. torch stays what it is.
FRESH := build/freshness
FRESH_TESTS ?= -m "not slow"
freshness:
	rm -rf $(FRESH)
	$(PYTHON) -m venv $(FRESH)
	grep '^torch==' constraints.txt > $(FRESH)/torch.txt
	$(FRESH)/bin/python -m pip install -q --disable-pip-version-check -r $(FRESH)/torch.txt
	$(FRESH)/bin/python -m pip install -q --disable-pip-version-check -c $(FRESH)/torch.txt -e . $(DEV)
	@$(FRESH)/bin/python tests/freshness.py constraints.txt
	@broken=; \
	$(MAKE) --no-print-directory -f recipes/quickstart/Makefile LLMKIT=$(FRESH)/bin/llmkit RECIPES=recipes/quickstart \
	  BUILD=$(FRESH)/chain smoke || broken="make smoke"; \
	$(FRESH)/bin/python -m pytest -n $(JOBS) $(SHARED) $(FRESH_TESTS) || broken="$${broken:+$$broken, }the tests above"; \
	if [ -n "$$broken" ]; then echo "broke with the newest versions: $$broken"; exit 1; fi; \
	echo "nothing broke with the newest versions"

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m pytest -q tests/stages/test_layers.py
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

docs: dev
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf build
