PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
# Where torch is looked for first, beside the ordinary index: PyTorch's builds for CPUs on Linux without an NVIDIA driver. Empty:
# nowhere (make demo TORCH_INDEX=).
TORCH_INDEX ?= $(shell test "$$(uname)" = Linux && ! command -v nvidia-smi > /dev/null && echo https://download.pytorch.org/whl/cpu)
# A file of versions to install (make test CONSTRAINTS=constraints.txt); empty: the newest that pyproject.toml allows.
CONSTRAINTS ?=
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: demo test test-random test-all test-mutation lint docs bench bench-gpu clean

$(VENV)/.installed: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) launch/local/torch_first.py "$(TORCH_INDEX)" $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) --editable '.[test]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(INSTALL) --editable '.[docs]'
	touch $@

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html"

demo: $(VENV)/.installed
	$(PY) -m engine.run config/demo.yaml

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m basedpyright

# Three files of tests at a time, on two cores too: much of the suite waits for processes to start. tests/conftest.py puts the longest first.
test: lint
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not soak and not slurm"

# The files in an order of their own each time, which the first lines print; `make test-random SEED=7` repeats one.
test-random: SEED ?= $(shell date +%s)
test-random: lint
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not soak and not slurm" --random-files $(SEED)

test-all: test test-random
	$(PY) -m pytest -m "soak or slurm"
	$(MAKE) test-mutation

# Small faults put into the code, which tests must notice: hours. `make test-mutation ROOMS=storage COUNT=20 SEED=7` is a part.
test-mutation: ROOMS ?= storage,machine,reporting,labels,masking,inference,causes,runs
test-mutation: COUNT ?= 50
test-mutation: SEED ?= 1
test-mutation: $(VENV)/.installed-test
	$(PY) -m tests.mutation --rooms $(ROOMS) --count $(COUNT) --seed $(SEED)

bench: $(VENV)/.installed-test
	$(PY) -m tests.benchmarks.family_parity
	$(PY) -m tests.benchmarks.statistics_cost
	$(PY) -m tests.benchmarks.forward_profile
	$(PY) -m tests.benchmarks.run_cost --layers 4 --repeats 1
	$(PY) -m tests.benchmarks.prefix_sharing --groups 2
	$(PY) -m tests.benchmarks.causal_cost
	$(PY) -m tests.benchmarks.plan_scale --rows 100,400 > tests/benchmarks/plan_scale_small.md
	cat tests/benchmarks/plan_scale_small.md
	$(PY) -m tests.benchmarks.inference_cost --samples 200 --permutations 200 > tests/benchmarks/inference_cost_small.md
	cat tests/benchmarks/inference_cost_small.md

bench-gpu: $(VENV)/.installed-test
	$(PY) -m tests.benchmarks.gpu

clean:
	rm -rf $(VENV) runs site build *.egg-info .pytest_cache .ruff_cache
