"""What the figures of the book promise beyond being moved, which `test_chapters` does for each."""
from lab import SHOWN

PLAYING = f"n => {{ const box = document.querySelectorAll('.mclrec-explorable')[n]; return {SHOWN}; }}"


def test_a_figure_that_is_a_time_plays(open_notebook):
    notebook = open_notebook("nbs/5_in_practice/55_explorables.ipynb")
    notebook.run_all()
    notebook.explorables()
    before = notebook.page.evaluate(PLAYING, 0)
    notebook.page.locator(".mclrec-explorable .jupyter-button").first.click()
    notebook.page.wait_for_function(f"before => ({PLAYING})(0) !== before", arg=before, timeout=10_000)
    notebook.settle()
    assert notebook.faults() == []


def test_a_broken_figure_is_a_fault(open_notebook):
    notebook = open_notebook("nbs/5_in_practice/55_explorables.ipynb")
    notebook.run_all()
    notebook.kernel("broken.controls['x'].value = 2")
    assert notebook.faults() == ["in a figure: ZeroDivisionError: division by zero"]


def test_a_figure_is_drawn_again_after_the_page_is_reloaded(open_notebook):
    "The page comes back to a kernel that is still running: its figures do too, live."
    notebook = open_notebook("nbs/5_in_practice/55_explorables.ipynb")
    notebook.run_all()
    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    notebook.page.reload()
    notebook.ready()
    notebook.page.locator(".mclrec-explorable").first.wait_for()
    controls = notebook.explorables()
    assert controls == [["mclrec-control-k", "mclrec-control-scale"]]
    assert notebook.move(0, "mclrec-control-scale") is not None
