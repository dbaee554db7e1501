# `make lab` opens the book, `make test` checks it. Both make .venv on first use and leave the rest of the machine alone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# As if the environment were activated, so that a cell or a test may call the command mclrec by its name.
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help venv lab test quick test-notebooks test-python export outputs shrink readme clean-notebooks student instructor workshop reset check build evidence book test-book

help:
	@echo "make lab              open the book in JupyterLab (ARGS='--no-browser --port 9999' are handed on); Ctrl-C closes it"
	@echo "make test             run the notebooks' own checks, then pytest (ARGS='-k ranking' are handed on to it)"
	@echo "make quick            in two minutes: check, the notebooks you have changed, and the tests that neither train long nor open a browser"
	@echo "make export           write mclrec/ from the notebooks"
	@echo "make outputs          run the chapters whose code has changed and keep what they show (ARGS='nbs/…ipynb' runs those named)"
	@echo "make shrink           store the pictures and figures of the notebooks in fewer bytes, without running anything"
	@echo "make readme           write README.md from nbs/index.ipynb"
	@echo "make clean-notebooks  strip from the notebooks what must not be committed"
	@echo "make check            fail unless the code is free of leftovers, notebooks are clean, mclrec/ and README.md are what they say,"
	@echo "                      and the ledger is complete"
	@echo "make student          write the students' book to _student/: exercises without solutions, no outputs where the text asks for a guess"
	@echo "make instructor       write the teachers' book to _instructor/: solutions open, and a page of what goes wrong in each chapter"
	@echo "make workshop         pack a workshop of MINUTES=90 (45, 180) for a room without network into _workshop/90.zip: slides, notebooks, timetable,"
	@echo "                      a page to hand out, packages (WHEELS=no leaves these out), and the site if it is built"
	@echo "make reset            bring back a notebook, NB=nbs/…ipynb, as it was handed out; yours is kept beside it"
	@echo "make book             build the book as a web site, _site/index.html, which opens from disk; figures whose chapter has changed are recorded first"
	@echo "                      (ARGS=--as-stored runs nothing, ARGS=--zip packs it for a room without network)"
	@echo "make test-book        open every page of that site in Chromium, move every control, follow every link"
	@echo "make build            make the wheel and the source archive in dist/"
	@echo "make evidence         run what is missing of the experiments on the toy shop, and say what other data would take (ARGS='--jobs 8')"

# The stamp makes the second `make lab` quick; a change in what is required makes it stale.
$(READY): setup.py pyproject.toml settings.ini constraints.txt
	@$(PYTHON) .ci/install.py $(VENV)
	@touch $@

venv: $(READY)

lab: $(READY)
	@$(ACTIVE) python .ci/lab.py $(ARGS)

test: test-notebooks test-python

test-notebooks: $(READY)
	@$(ACTIVE) python .ci/test_notebooks.py $(NOTEBOOKS)

test-python: $(READY)
	@$(ACTIVE) python -m pytest $(ARGS)

quick: check
	@$(ACTIVE) python .ci/test_notebooks.py --changed
	@$(ACTIVE) python -m pytest --quick --numprocesses=2 -q $(ARGS)

export: $(READY)
	$(BIN)/nbdev_export

outputs: $(READY)
	$(ACTIVE) python .ci/outputs.py $(ARGS)
	$(BIN)/python .ci/check_notebooks.py --fix

shrink: $(READY)
	$(BIN)/python .ci/outputs.py --shrink $(ARGS)

readme: $(READY)
	$(BIN)/python .ci/readme.py

clean-notebooks: $(READY)
	$(BIN)/python .ci/check_notebooks.py --fix

student: $(READY)
	@$(BIN)/python .ci/books.py student

instructor: $(READY)
	@$(BIN)/python .ci/books.py instructor

MINUTES ?= 90
workshop: $(READY)
	@$(ACTIVE) python .ci/workshop.py $(MINUTES) $(if $(filter no,$(WHEELS)),--without-wheels)

reset: $(READY)
	@$(BIN)/python .ci/reset.py "$(NB)"

# ruff.toml says what counts as a leftover: an unused import, a name that nothing defines.
check: $(READY)
	@$(BIN)/ruff check --quiet
	@$(BIN)/python .ci/check_notebooks.py
	@$(BIN)/python .ci/readme.py --check
	@$(BIN)/python .ci/ledger.py
	@echo "Clean: code, notebooks, mclrec/, README.md, ledger."

build: $(READY)
	rm -rf build dist
	$(BIN)/python -m build

# Each run once: stop it with Ctrl-C, and the same command goes on.
evidence: $(READY)
	@$(ACTIVE) mclrec experiment all --data toy --jobs -1 $(ARGS)
	@$(ACTIVE) mclrec experiment
	@echo "For the paper's data: mclrec experiment NAME --data beauty (sports, yelp, toys); with --list it says what is missing, and for how long."

book: $(READY)
	@$(ACTIVE) python .ci/book.py $(ARGS)

test-book: $(READY)
	@$(ACTIVE) MCLREC_SITE=_site python -m pytest tests/site $(ARGS)
