"""The controls of a figure: where they start, and in which order their values stand."""
import pytest

from mclrec.explore import control, explorable, in_order, with_slider


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
