"""Every chapter with something to move, opened in JupyterLab, run from top to bottom, and every control in it moved, as a reader does.

The others are run by nbdev's own test, which sees as much of them: `.ci/test_notebooks.py --still`.
"""
import gzip
import json
from pathlib import Path

import pytest
from lab import ROOT
from test_notebooks import moves, notebooks

CHAPTERS = [path.relative_to(ROOT).as_posix() for path in notebooks([]) if moves(path)]


def recorded(path):
    "How many explorables a chapter has, by what is kept of them for a page without a kernel; a live trainer is none."
    kept = json.loads(gzip.decompress((ROOT / "web" / "frames" / f"{Path(path).stem}.json.gz").read_bytes()))
    shown = [figure for cell in kept["cells"].values() for figure in cell]
    return sum([control["name"] for control in figure["controls"]] != ["batch", "changed"] for figure in shown)


@pytest.mark.parametrize("path", CHAPTERS)
def test_runs_and_every_control_changes_its_figure(open_notebook, path):
    notebook = open_notebook(path)
    notebook.run_all()
    assert notebook.faults() == []
    notebook.guess()
    unmoved = [
        (n, control)
        for n, controls in enumerate(notebook.explorables(recorded(path)))
        for control in controls
        if [notebook.move(n, control, way) for way in (0, 1)] == [None, None]  # there and back: the next one starts from the start
    ]
    assert unmoved == []
    notebook.settle()
    assert notebook.faults() == []


def test_an_untouched_notebook_is_not_marked_as_changed(open_notebook):
    notebook = open_notebook("nbs/index.ipynb")
    notebook.page.wait_for_timeout(2000)
    assert not notebook.page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty")
    disk = (open_notebook.folder / "nbs" / "index.ipynb").read_bytes()
    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_timeout(2000)
    saved = (open_notebook.folder / "nbs" / "index.ipynb").read_text(encoding="utf-8")
    assert "language_info" not in saved and b"language_info" not in disk, "what the page needs is not kept on the disk"


def test_threads_do_not_wait_in_a_busy_loop(open_notebook):
    "Beside another program a training took more than ten times as long, where a chapter loads PyTorch before this library can say so."
    notebook = open_notebook("nbs/index.ipynb")
    assert notebook.kernel("import os; print(os.environ['GOMP_SPINCOUNT'])").strip() == "1000"
