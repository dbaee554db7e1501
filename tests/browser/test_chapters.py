"""Every chapter, opened in JupyterLab and run from top to bottom, as a reader does."""
import pytest
from lab import ROOT

CHAPTERS = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("nbs/**/*.ipynb") if ".ipynb_checkpoints" not in p.parts)


@pytest.mark.parametrize("path", CHAPTERS)
def test_runs_top_to_bottom(open_notebook, path):
    notebook = open_notebook(path)
    notebook.run_all()
    assert notebook.faults() == []
