# `make sweep` and `make test` are all that a fresh clone needs; both set up .venv first, once.

PYTHON ?= python3
SWEEP ?= sweeps/routing.yaml

export PYTHON

.PHONY: help install sweep test test-all check clean

help:
	@echo 'make sweep    tune the routing kernel: runs $(SWEEP); another: make sweep SWEEP=FILE'
	@echo 'make test     check everything: format, lint, types and tests'
	@echo 'make test-all the same, and the tests that take minutes: every kill, a cluster, all docs in fresh processes'
	@echo 'make check    the same as make test'
	@echo 'make install  only make .venv and install into it, which the others do first where it is not done'
	@echo 'make clean    remove .venv, builds and caches; results stay'
	@echo
	@echo 'PYTHON=python3.12 names the Python that .venv is made with (now: $(PYTHON))'

install:
	@scripts/setup

sweep: install
	.venv/bin/python -m workbench sweep $(SWEEP)

test check: install
	@scripts/check

test-all: install
	@scripts/check --all

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find workbench kernels tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
