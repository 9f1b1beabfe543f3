PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python

.PHONY: demo test test-all lint bench bench-gpu clean

$(VENV)/.installed: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: $(VENV)/.installed
	$(PY) -m engine.run config/demo.yaml

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m basedpyright

test: lint
	$(PY) -m pytest -m "not soak and not slurm"

test-all: lint
	$(PY) -m pytest

bench: $(VENV)/.installed-test
	$(PY) -m tests.benchmarks.family_parity
	$(PY) -m tests.benchmarks.statistics_cost

bench-gpu: $(VENV)/.installed-test
	$(PY) -m tests.benchmarks.gpu

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .ruff_cache
