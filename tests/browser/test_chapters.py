"""Every chapter, opened in JupyterLab, run from top to bottom, and every control in it moved, as a reader does."""
import pytest
from lab import ROOT

CHAPTERS = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("nbs/**/*.ipynb") if ".ipynb_checkpoints" not in p.parts)


@pytest.mark.parametrize("path", CHAPTERS)
def test_runs_and_every_control_changes_its_figure(open_notebook, path):
    notebook = open_notebook(path)
    notebook.run_all()
    assert notebook.faults() == []
    unmoved = [
        (n, control)
        for n, controls in enumerate(notebook.explorables())
        for control in controls
        if [notebook.move(n, control, way) for way in (0, 1)] == [None, None]  # there and back: the next one starts from the start
    ]
    assert unmoved == []
    notebook.settle()
    assert notebook.faults() == []
