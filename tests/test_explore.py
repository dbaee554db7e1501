"""The controls of a figure: where they start, and in which order their values stand."""
import subprocess
import sys
from functools import partial

import pytest

from mclrec.explore import GREY, TEXT_SIZE, control, explorable, in_order, styled, with_slider


def heights(height, side="left"):
    "A bar of that height."
    import plotly.graph_objects as go
    return go.Figure(go.Bar(x=[side], y=[height]))


@pytest.mark.parametrize("given, stand", [
    ([0.5, 0, 0.2, 0.8, 1], [0, 0.2, 0.5, 0.8, 1]), ([3, 1, 2], [1, 2, 3]), ([10, 2], [2, 10]), ([-40, 0, 30], [-40, 0, 30]),
    (["b", "a", "c"], ["b", "a", "c"]), ([True, False], [True, False]), (["off", 2, 1], ["off", 2, 1]), (["10", "5", "20"], ["10", "5", "20"]),
])
def test_numbers_stand_in_order_and_the_first_is_where_it_starts(given, stand):
    assert in_order(given) == stand
    made = control("height", given)
    assert [value for _, value in made.options] == stand
    assert made.value == given[0] and made.index == stand.index(given[0])


@pytest.mark.parametrize("given", [[0.5, 0, 0.2, 0.8, 1], [3, 2, 1], [1, 2, 3]])
@pytest.mark.parametrize("play", [None, "height"])
def test_plotlys_slider_stands_in_order_and_shows_the_first(given, play):
    figure = with_slider(heights, {"height": given, "side": ["left", "right"]}, play)
    slider, = figure.layout.sliders
    assert [step.label for step in slider.steps] == [frame.name for frame in figure.frames] == [str(value) for value in sorted(given)]
    assert [frame.data[0].y[0] for frame in figure.frames] == sorted(given)
    assert slider.steps[slider.active].label == str(given[0]) and figure.data[0].y[0] == given[0]


@pytest.mark.parametrize("given", [[1, 2, 3], [3, 2, 1], [2, 1, 3]])
def test_the_clock_starts_where_the_control_does(given):
    shown = explorable(heights, play="height", height=given, side=["right", "left"])
    clock = shown.box.children[0].children[0]
    assert (clock.value, clock.min, clock.max) == (given[0] - 1, 0, 2)
    assert shown.shown.data[0].y[0] == given[0]


def test_what_does_not_move_is_bound_by_a_partial():
    shown = explorable(partial(heights, side="right"), height=[2, 1])
    assert shown.caption == "A bar of that height."
    assert shown.box and shown.shown.data[0].x == ("right",) and shown.shown.data[0].y == (2,)
    with pytest.raises(ValueError, match="f needs a docstring"):
        def f(x, y): return None
        explorable(partial(f, 1), y=[1])


# ---- the look

def luminance(color):
    "WCAG 2: how bright a '#rrggbb' is."
    parts = [int(color[k:k + 2], 16) / 255 for k in (1, 3, 5)]
    return sum(w * (c / 12.92 if c <= .04045 else ((c + .055) / 1.055) ** 2.4) for w, c in zip((.2126, .7152, .0722), parts))


def contrast(a, b):
    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + .05) / (dark + .05)


def test_text_is_large_and_dark_enough_on_white():
    "On a dark page no grey is both; there a live figure takes the page's own colour, which a test in the browser measures."
    figure = styled(heights(1), "title", "x", "y")
    layout = figure.layout
    sizes = [layout.font.size, layout.title.font.size, layout.hoverlabel.font.size, layout.xaxis.title.font.size, layout.yaxis.title.font.size]
    assert min(sizes) >= TEXT_SIZE >= 14 and layout.font.color == GREY and contrast(GREY, "#ffffff") >= 4.5
    assert max(min(contrast(f"#{v:02x}{v:02x}{v:02x}", page) for page in ("#ffffff", "#111111")) for v in range(256)) < 4.5


def test_controls_stand_on_one_grid_each_under_its_label():
    shown = explorable(heights, play="height", height=[1, 2, 3], side=["left", "right"])
    grid, plot, caption = shown.box.children
    assert "mclrec-controls" in grid._dom_classes and list(grid.children[1:]) == list(shown.controls.values())
    assert [made.description for made in shown.controls.values()] == ["height", "side"]
    assert "mclrec-caption" in caption._dom_classes and caption.value == "A bar of that height."


@pytest.mark.parametrize("package, do", [
    ("plotly", "explore.chips({'a': [('b', None)]})"), ("ipywidgets", "explore.control('x', [1, 2])"), ("anywidget", "explore.live_plot()")])
def test_a_package_that_is_missing_is_said_in_one_sentence(package, do):
    code = f"import sys; sys.modules.update({package}=None); from mclrec import explore; {do}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (f"ModuleNotFoundError: figures need the package {package}, which is not installed here; "
                                            "pip install plotly ipywidgets anywidget brings all they need.")


def test_a_page_has_one_anywidget():
    "It is the one kind of widget that fails for good where it is not ready within two seconds."
    from anywidget import AnyWidget
    from ipywidgets.widgets.widget import _instances
    for w in [*_instances.values()]:                   # what another test of this process has shown, such as a model that is clicked
        if isinstance(w, AnyWidget) and type(w).__module__ != "mclrec.explore": w.close()
    boxes = [explorable(heights, height=[1, 2, 3]).box for _ in range(3)]
    assert len(boxes) == 3 and len([w for w in _instances.values() if isinstance(w, AnyWidget)]) == 1
