"""What the figures of the book promise beyond being moved, which `test_chapters` does for each."""
from lab import SHOWN

PLAYING = f"n => {{ const box = document.querySelectorAll('.mclrec-explorable')[n]; return {SHOWN}; }}"


def test_a_figure_that_is_a_time_plays(open_notebook):
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    notebook.run_all()
    notebook.explorables()
    before = notebook.page.evaluate(PLAYING, 0)
    notebook.page.locator(".mclrec-explorable .jupyter-button").first.click()
    notebook.page.wait_for_function(f"before => ({PLAYING})(0) !== before", arg=before, timeout=10_000)
    notebook.settle()
    assert notebook.faults() == []


def test_a_figure_is_live_on_a_slow_page(open_notebook):
    "On a page that needs seconds to get its figures up, each of them must still hear of its controls."
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    slow = notebook.page.context.new_cdp_session(notebook.page)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 12})
    notebook.run_all()
    assert notebook.explorables() == [["mclrec-control-k", "mclrec-control-scale"]]
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    assert notebook.move(0, "mclrec-control-scale") is not None


def test_a_broken_figure_is_a_fault(open_notebook):
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    notebook.run_all()
    notebook.kernel("broken.controls['x'].value = 2")
    assert notebook.faults() == ["in a figure: ZeroDivisionError: division by zero"]


def test_a_figure_is_drawn_again_after_the_page_is_reloaded(open_notebook):
    "The page comes back to a kernel that is still running: its figures do too, live."
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    notebook.run_all()
    notebook.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    notebook.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    notebook.page.reload()
    notebook.ready()
    notebook.page.locator(".mclrec-explorable").first.wait_for()
    controls = notebook.explorables()
    assert controls == [["mclrec-control-k", "mclrec-control-scale"]]
    assert notebook.move(0, "mclrec-control-scale") is not None


WIDTHS = """[...document.querySelectorAll('.js-plotly-plot')].map(p => [p.querySelector('.main-svg').clientWidth, p.clientWidth])"""


def test_a_figure_fills_its_place_at_once_and_when_that_changes(open_notebook):
    "A figure that was drawn before the page had made room for it came out at Plotly's own 700 pixels."
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    notebook.run_all()
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    notebook.settle()
    notebook.explorables()
    notebook.page.wait_for_function(f"{WIDTHS}.every(([drawn, room]) => drawn === room)", timeout=5000)
    notebook.page.set_viewport_size({"width": 900, "height": 900})
    notebook.page.wait_for_function(f"{WIDTHS}.every(([drawn, room]) => drawn === room && drawn < 800)", timeout=5000)
