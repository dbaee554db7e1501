"""What the figures of the book promise beyond being moved, which `test_chapters` does for each."""
import re

import pytest
from lab import SHOWN

# Enough that a figure takes several seconds; so much (12) that the page loses its kernel shows a fault of no figure.
SLOWER = {"rate": 4}
PLAYING = f"n => {{ const box = document.querySelectorAll('.mclrec-explorable')[n]; return {SHOWN}; }}"


def test_a_figure_that_is_a_time_plays(open_notebook):
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    notebook.run_all()
    notebook.explorables()
    before = notebook.page.evaluate(PLAYING, 0)
    notebook.page.locator(".mclrec-explorable .jupyter-button").first.click()
    notebook.page.wait_for_function(f"before => ({PLAYING})(0) !== before", arg=before)
    notebook.settle()
    assert notebook.faults() == []


def test_a_figure_is_live_on_a_slow_page(open_notebook):
    "On a page that needs seconds to get its figures up, each of them must still hear of its controls."
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    slow = notebook.page.context.new_cdp_session(notebook.page)
    slow.send("Emulation.setCPUThrottlingRate", SLOWER)
    notebook.run_all()
    assert notebook.explorables() == [["mclrec-control-k", "mclrec-control-scale"]]
    slow.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    assert notebook.move(0, "mclrec-control-scale") is not None


# For a minute the page has time for others only every two and a half seconds.
BUSY = """() => {
  let left = 24;
  window.busy = setInterval(() => { const end = Date.now() + 2500; while (Date.now() < end); if (!--left) clearInterval(window.busy); }, 50);
}"""


@pytest.mark.parametrize("slow", ["throttled", "busy"])
def test_a_slow_page_raises_no_error(open_notebook, slow):
    "anywidget gives a widget two seconds to be ready, which a slow page does not have: when the figures come, and when the page is opened again."
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    page, errors = notebook.page, []
    page.on("pageerror", lambda error: errors.append(str(error)))
    if slow == "throttled":
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", SLOWER)
    else:
        page.evaluate(BUSY)
    notebook.run_all()
    if slow == "busy":
        page.evaluate("clearInterval(window.busy)")
    notebook.explorables()
    page.wait_for_timeout(3000)
    assert errors == []
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    page.reload()
    notebook.ready()
    notebook.explorables()
    page.wait_for_timeout(3000)
    assert errors == []


COLOURS = """[...document.querySelectorAll('.mclrec-plot text, .mclrec-caption, .mclrec-controls .widget-label')].map(text => {
  const style = getComputedStyle(text), page = getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor;
  return [text.textContent, text instanceof SVGElement ? style.fill : style.color, page, parseFloat(style.fontSize)];
})"""


def contrast(a, b):
    "WCAG 2, of two colours as a browser says them; what is transparent lies on the other."
    (r, g, b_, *alpha), under = ([float(x) for x in re.findall(r"[\d.]+", color)] for color in (a, b))
    share = alpha[0] if alpha else 1
    lights = []
    for color in ([share * x + (1 - share) * y for x, y in zip((r, g, b_), under)], under[:3]):
        parts = [c / 255 / 12.92 if c / 255 <= .04045 else ((c / 255 + .055) / 1.055) ** 2.4 for c in color]
        lights.append(.2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2])
    return (max(lights) + .05) / (min(lights) + .05)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_can_be_read_in_every_theme(open_notebook, theme):
    notebook = open_notebook("nbs/6_how_this_book_works/60_explorables.ipynb")
    notebook.run_all()
    notebook.explorables()
    notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    name = f"document.body.dataset.jpThemeName === {theme!r}"
    notebook.page.wait_for_function(name)
    notebook.page.wait_for_timeout(2000)
    found = notebook.page.evaluate(COLOURS)
    assert len(found) > 10
    assert [text for text in found if text[3] < 14 or contrast(text[1], text[2]) < 4.5] == []


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
    notebook.page.wait_for_function(f"{WIDTHS}.every(([drawn, room]) => drawn === room)")
    notebook.page.set_viewport_size({"width": 900, "height": 900})
    notebook.page.wait_for_function(f"{WIDTHS}.every(([drawn, room]) => drawn === room && drawn < 800)")
