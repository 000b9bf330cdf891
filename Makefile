# Everything a newcomer needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test coverage site serve dist fuzz bench clean

demo: $(READY)
	$(BIN)/peerdistill demo --run runs/demo-$$(date +%Y%m%d-%H%M%S)

test: $(READY) site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses=auto --dist=worksteal -m "not own_process"
	$(BIN)/pytest --numprocesses=auto --dist=loadfile -m own_process

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

# Most of an hour: every reader of outside input is given 20,000 broken ones. A short form is part of `make test`.
fuzz: $(READY)
	$(BIN)/python tests/fuzz/campaign.py --inputs 20000

# About twenty minutes on two quiet cores: writes docs/performance/*.json and fills the figures into the documentation.
bench: $(READY)
	set -e; for name in contrast contrast_growth step peers methods episodes relations allocator data augmentation cost roofline startup leader; do \
		$(BIN)/python benchmarks/$$name.py --json docs/performance/$$name.json; \
	done
	$(BIN)/python benchmarks/plot_growth.py
	$(BIN)/python benchmarks/fill_figures.py

# Made anew only when what is required changes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "peerdistill needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV)
