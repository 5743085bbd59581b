# `make` lists the targets. Everything works on a fresh machine with python3 >= 3.11, make and network.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Some tests take gigabytes of disk, and all of them a core.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal
SEED ?= $(shell date +%s)
BUCKET ?= module
CORPUS ?= stdlib
COPIES ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all cover uncovered shuffled lint format types layers check golden methods bench bench-documents bench-strings bench-search bench-far bench-scale bench-rlm integrations s3-server long soak mutants clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 >= 3.11 is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

setup: $(VENV)/ready ## make the environment in .venv

$(VENV)/integrations: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev --group integrations
	touch $@

integrations: $(VENV)/integrations ## add rlms and dspy to it: for their tests, examples/ and bench-rlm

demo: $(VENV)/ready ## pack the standard library, look into it, get it back
	$(BIN)/python -m tools.demo

test: $(VENV)/ready ## run the tests
	$(PYTEST)

test-all: ## run the tests on Python 3.11, 3.12 and 3.13
	$(PYTHON) tools/test_all.py

cover: $(VENV)/ready ## run the tests and require branch coverage
	$(PYTEST) --cov --cov-report=term -m 'not forks and not thorough'

uncovered: $(VENV)/ready ## run the tests that cover leaves out
	$(PYTEST) -m 'forks or thorough'

shuffled: $(VENV)/ready ## run the tests in an order that SEED decides, with few examples; BUCKET=global mixes files as well
	HYPOTHESIS_PROFILE=few $(PYTEST) --random-order-bucket=$(BUCKET) --random-order-seed=$(SEED)

lint: $(VENV)/ready ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/ready ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/ready ## mypy
	$(BIN)/mypy

layers: $(VENV)/ready ## import-linter: imports point down
	$(BIN)/lint-imports

check: lint types layers cover uncovered ## all that a commit must pass

methods: $(VENV)/ready ## write the table of all methods into the README
	$(BIN)/python -m tools.method_table

golden: $(VENV)/ready ## make the golden packs again; only with a new format
	$(BIN)/python -m tools.regenerate_golden

bench: $(VENV)/ready ## measure against zstd, ripgrep and str; CORPUS=linux COPIES=4 for the large ones
	$(BIN)/python -m bench.run --corpus $(CORPUS) --copies $(COPIES)

bench-documents: $(VENV)/ready ## measure a source tree and a million small files, and packs that grow
	$(BIN)/python -m bench.documents linux-tree million

bench-strings: $(VENV)/ready ## measure as_str() and what makes new texts against str; 20 GB of memory, 6 of disk
	$(BIN)/python -m bench.strings

bench-search: $(VENV)/ready ## measure searching against str, re, ripgrep and zstd; 16 GB of memory, 5 of disk
	$(BIN)/python -m bench.search

bench-far: $(VENV)/ready ## measure packs on an S3 server of this machine, 0 and 25 ms away
	$(BIN)/python -m bench.far

bench-scale: $(VENV)/integrations ## measure 16 GB in 16 packs, with Dask's workers and from an S3 server; 12 GB of memory, 30 of disk
	$(BIN)/python -m bench.scale

bench-rlm: $(VENV)/integrations ## measure whole runs of RLMs with a scripted model; 20 GB of memory
	$(BIN)/python -m bench.rlm --s3

s3-server: $(VENV)/ready ## start an S3 server on this machine, to try the README's S3 section; Ctrl-C stops it
	$(BIN)/python -m tools.s3_server

long: $(VENV)/ready ## search 5,000,000,000 characters as one str with 300 MB of data; 8 GB of disk
	$(BIN)/python -m tools.make_long
	$(BIN)/python -m tools.search_long

soak: $(VENV)/ready ## hours: gigabytes against str, the campaigns of docs/reliability.md, many more examples
	$(BIN)/python -m tools.against_str linux cjk one-line
	$(BIN)/python -m tools.fault_campaign --trials 3000
	$(BIN)/python -m tools.fuzz --seconds 300
	$(BIN)/python -m tools.crash_campaign
	$(BIN)/python -m tools.stress --minutes 30
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest --timeout=0

mutants: $(VENV)/ready ## change the code in 3,200 ways and see whether the tests notice; many hours
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group mutation
	$(BIN)/mutmut run
	$(BIN)/mutmut export-cicd-stats
	cat mutants/mutmut-cicd-stats.json

clean: ## remove all that was made
	rm -rf mutants .venv .venv-* build dist .coverage .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
