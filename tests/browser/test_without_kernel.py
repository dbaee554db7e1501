"""The figures as a page without a kernel has them: stored in the chapters, drawn by plotly.js alone, moved by their own slider."""
import json
from pathlib import Path

import pytest
from lab import new_page
from outputs import PLOTLY, figures
from plotly.offline import get_plotlyjs

ROOT = Path(__file__).resolve().parents[2]

DRAW = """async ([figure, first]) => {
  document.body.innerHTML = '<div id=plot style="width:1000px"></div>';
  const plot = await Plotly.newPlot('plot', figure);
  let coming = window.shown = first;                                      // the frame that the page shows, once it is drawn
  plot.on('plotly_animatingframe', event => { coming = event.name; });
  plot.on('plotly_animated', () => { window.shown = coming; }); }"""
MOVED = "([k, name]) => document.getElementById('plot')._fullLayout.sliders[0].active === k && window.shown === name"
DRAWN = """() => document.getElementById('plot').data.map(t => JSON.stringify(
  ['x', 'y', 'z', 'text', 'values', 'visible'].map(key => t[key] ?? null)))"""
LAYOUT = """() => { const { title, shapes, annotations } = document.getElementById('plot').layout;
  return JSON.stringify([title, shapes, annotations]); }"""


def stored(path):
    "The figures with a slider in a chapter's outputs."
    found = (data[PLOTLY] for data in figures(json.loads(path.read_text("utf-8"))))
    return [f for f in found if "sliders" in f["layout"]]


CHAPTERS = [path for path in sorted(ROOT.glob("nbs/*/*.ipynb")) if stored(path)]


@pytest.fixture(scope="module")
def page(browser):
    page = new_page(browser, width=1100)
    page.set_content("<body></body>")
    page.add_script_tag(content=get_plotlyjs())
    yield page
    page.close()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_slider_of_a_stored_figure_moves_it(page, path):
    for figure in stored(path):
        slider, = figure["layout"]["sliders"]
        names = [step["args"][0][0] for step in slider["steps"]]
        assert [frame["name"] for frame in figure["frames"]] == names and len(set(names)) == len(names) > 1
        page.evaluate(DRAW, [figure, names[slider.get("active", 0)]])
        seen = set()
        for k in (len(names) - 1, 0):
            rail = page.locator(".slider-rail-touch-rect")
            rail.scroll_into_view_if_needed()
            box = rail.bounding_box()
            page.mouse.click(box["x"] + box["width"] * (0.995 if k else 0.005), box["y"] + box["height"] / 2)
            page.wait_for_function(MOVED, arg=[k, names[k]])
            seen.add((*page.evaluate(DRAWN), page.evaluate(LAYOUT)))
        assert len(seen) == 2, f"{slider['currentvalue']['prefix']}: its two ends look the same"
