# `make lab` opens the book, `make test` checks it. Both make .venv on first use and leave the rest of the machine alone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
READY  := $(VENV)/.ready
# As if the environment were activated, so that a cell or a test may call the command mclrec by its name.
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"

# JupyterLab refuses to start as root, which is what one is in most containers.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help venv lab test test-notebooks test-python export outputs readme clean-notebooks check build

help:
	@echo "make lab              open the book in JupyterLab (ARGS='--no-browser --port 9999' are handed on)"
	@echo "make test             run the notebooks' own checks, then pytest (ARGS='-k ranking' are handed on)"
	@echo "make export           write mclrec/ from the notebooks"
	@echo "make outputs          run the chapters whose code has changed and keep what they show (ARGS='nbs/…ipynb' runs those named)"
	@echo "make readme           write README.md from nbs/index.ipynb"
	@echo "make clean-notebooks  strip from the notebooks what must not be committed"
	@echo "make check            fail unless notebooks are clean and mclrec/ and README.md are what they say"
	@echo "make build            make the wheel and the source archive in dist/"

# The stamp makes the second `make lab` quick; a change in what is required makes it stale.
$(READY): setup.py pyproject.toml settings.ini constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
		f"mclrec needs Python 3.11, 3.12 or 3.13; this is {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]'
	@touch $@

venv: $(READY)

# A page to start at rather than a file to open: with a file Jupyter would serve that file's folder alone.
lab: $(READY)
	$(ACTIVE) jupyter lab $(ROOT) --LabApp.default_url=/lab/tree/nbs/index.ipynb $(ARGS)

test: test-notebooks test-python

# Two notebooks at a time, one thread each: more of either makes torch's threads fight over the cores.
test-notebooks: $(READY)
	$(ACTIVE) OMP_NUM_THREADS=1 nbdev_test --n_workers 2 --timing

test-python: $(READY)
	$(ACTIVE) python -m pytest $(ARGS)

export: $(READY)
	$(BIN)/nbdev_export

outputs: $(READY)
	$(ACTIVE) python .ci/outputs.py $(ARGS)
	$(BIN)/python .ci/check_notebooks.py --fix

readme: $(READY)
	$(BIN)/python .ci/readme.py

clean-notebooks: $(READY)
	$(BIN)/python .ci/check_notebooks.py --fix

check: $(READY)
	$(BIN)/python .ci/check_notebooks.py
	$(BIN)/python .ci/readme.py --check

build: $(READY)
	rm -rf build dist
	$(BIN)/python -m build
