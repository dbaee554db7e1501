"""A control moved by hand changes the figure beside it: its data, not only its pixels."""

FIGURES = "[...document.querySelectorAll('.jupyter-widgets .js-plotly-plot')].map(p => JSON.stringify(p.data.map(t => t.y)))"


def test_a_control_changes_its_figure(open_notebook):
    notebook = open_notebook("nbs/5_in_practice/55_explorables.ipynb")
    notebook.run_all()
    page = notebook.page
    page.locator(".jupyter-widgets .js-plotly-plot").first.wait_for()
    before = page.evaluate(FIGURES)
    page.locator(".jupyter-widgets .noUi-handle").first.press("ArrowLeft")
    page.wait_for_function(f"before => {{ const now = {FIGURES}; return now.length && now[0] !== before[0]; }}", arg=before)
    page.locator(".jupyter-widgets .widget-toggle-button", has_text="log").first.click()
    page.wait_for_function("[...document.querySelectorAll('.jupyter-widgets .js-plotly-plot')].some(p => p.layout.yaxis.type === 'log')")
    notebook.settle()
    assert notebook.faults() == []
