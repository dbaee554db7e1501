"""The picture of the whole model, moved by keyboard and by clicks with a kernel, and by Plotly's own menus without one."""
import json

import pytest
from lab import ROOT, new_page
from outputs import figures
from plotly.offline import get_plotlyjs

PATH = "nbs/2_the_method/00_the_whole_model.ipynb"
SAID = "document.querySelector('.mclrec-explorable .js-plotly-plot').data[7].text[0]"


@pytest.fixture(scope="module")
def stored():
    "The picture as the chapter keeps it."
    from outputs import PLOTLY

    found = [data[PLOTLY] for data in figures(json.loads((ROOT / PATH).read_text("utf-8")))]
    return next(f for f in found if "updatemenus" in f["layout"])


def test_both_menus_work_without_a_kernel(browser, stored):
    page = new_page(browser, 900, 800)
    page.set_content("<div id='plot'></div>")
    page.add_script_tag(content=get_plotlyjs())
    page.evaluate("async f => { await Plotly.newPlot('plot', f); }", stored)
    text = "document.getElementById('plot').data[7].text[0]"
    step = "document.getElementById('plot').data[5].text.at(-1)"
    for menu, label, where, want in ((0, "box: R", text, "The regularizer"), (1, "stage: 2: φ", step, "φ moves"), (0, "box: h", text, "as a vector")):
        page.locator(".updatemenu-header").nth(menu).click()
        page.locator(".updatemenu-dropdown-button").get_by_text(label, exact=True).click()
        page.wait_for_function(f"{where}.includes({want!r})")
    assert "φ moves" in page.evaluate(step), "choosing a box leaves the stage"
    page.close()


def test_a_click_on_a_box_and_the_keyboard_do_the_same(open_notebook):
    notebook = open_notebook(PATH)
    notebook.run_all()
    assert notebook.faults() == []
    notebook.explorables()
    select = notebook.page.locator(".mclrec-control-box select").first
    select.focus()
    select.press("End")
    notebook.page.wait_for_function(f"{SAID}.includes('The step of this stage')")
    select.press("ArrowUp")
    chosen = select.evaluate("s => [s.selectedIndex, s.options.length, s === document.activeElement]")
    assert chosen == [14, 16, True], "an arrow key chooses, and does not go on to the next cell"
    place = notebook.page.evaluate("""() => {
      const plot = document.querySelector('.mclrec-explorable .js-plotly-plot');
      plot.scrollIntoView({ block: 'center' });
      const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
      return [left + xaxis._offset + xaxis.l2p(6), top + yaxis._offset + yaxis.l2p(2)];
    }""")
    notebook.page.mouse.move(*place)
    notebook.page.mouse.click(*place)
    notebook.page.wait_for_function(f"{SAID}.includes('The regularizer')")
    assert select.evaluate("s => s.options[s.selectedIndex].text") == "R"
    assert notebook.faults() == []
