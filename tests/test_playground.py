"""A page whose figures follow one choice: never blocked, never half old and half new, and nothing of it left running."""
import subprocess
import sys
import threading

import plotly.graph_objects as go
import pytest
from mclrec.explore import explorable
from mclrec.playground import Latest, Playground


def threads():
    return [t for t in threading.enumerate() if t.name == "mclrec playground"]


def bars(stage):
    def figure(height):
        "As many bars as the stage says."
        return go.Figure(go.Bar(y=[height] * stage))

    return explorable(figure, height=[1, 2, 3])


def shown(section):
    return len(section.shown.shown.data[0].y)


@pytest.fixture
def gate():
    "An event that holds up every stage but the first until it is set."
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def page(gate):
    asked = []

    def prepare(tick, size):
        if asked:
            asked.append(size)
            while not gate.wait(0.001):
                if not tick(0.5):
                    return None
        asked.append(size)
        if size == 13:
            raise RuntimeError("bad luck")
        return size

    playground = Playground(prepare, size=[1, 2, 3, 13])
    playground.asked = asked
    yield playground
    gate.set()
    playground.close()
    assert threads() == []


def test_a_choice_returns_at_once_and_says_what_is_done_meanwhile(page, gate):
    section = page.section(bars)
    page.choose(size=3)
    assert shown(section) == 1 and page.stage == 1
    assert len(threads()) == 1
    gate.set()
    assert page.work.wait(10)
    assert shown(section) == 3 and page.stage == 3
    assert page.status.value == "3: ready" and page.progress.value == 1


def test_while_it_works_the_bar_says_so(page, gate):
    said = []
    page.status.observe(lambda change: said.append(change["new"]), "value")
    page.section(bars)
    gate.set()
    page.choose(size=2)
    assert page.work.wait(10)
    assert said == ["2: bars …", "2: ready"]


def test_only_the_last_of_many_choices_is_shown(page, gate):
    section = page.section(bars)
    for size in (2, 3, 2, 3):
        page.choose(size=size)
    assert len(threads()) == 1
    gate.set()
    assert page.work.wait(10)
    assert shown(section) == 3
    assert page.asked[-1] == 3


def test_a_stage_that_fails_is_said_and_the_old_figures_stay(page, gate):
    section = page.section(bars)
    gate.set()
    page.choose(size=13)
    assert page.work.wait(10)
    assert page.status.value == "13: RuntimeError: bad luck" and shown(section) == 1
    page.choose(size=2)
    assert page.work.wait(10)
    assert shown(section) == 2


def test_a_first_stage_that_fails_is_an_error_of_its_cell():
    def prepare(tick, size):
        raise RuntimeError("at once")

    with pytest.raises(RuntimeError, match="at once"):
        Playground(prepare, size=[1])


def test_figures_that_are_replaced_leave_no_widgets_behind(page, gate):
    from ipywidgets.widgets.widget import _instances

    page.section(bars)
    gate.set()
    before = None
    for size in (2, 3) * 5:
        page.choose(size=size)
        assert page.work.wait(10)
        before = before or len(_instances)
    assert len(_instances) <= before


def test_a_section_made_again_takes_the_place_of_the_first(page, gate):
    first, second = page.section(bars), page.section(bars)
    assert list(page.sections.values()) == [second] and first.shown is None


def test_closing_gives_up_what_is_under_way(page):
    page.section(bars)
    page.choose(size=3)
    page.close()
    assert threads() == [] and page.stage == 1


def test_an_unknown_choice_is_refused(page):
    with pytest.raises(Exception, match="[Ii]nvalid selection"):
        page.choose(size=7)


def test_questions_from_many_threads_are_answered_in_the_end():
    answered = []
    latest = Latest(lambda value, wanted: answered.append(value))
    asking = [threading.Thread(target=lambda k=k: [latest.ask((k, n)) for n in range(200)]) for k in range(4)]
    for t in asking:
        t.start()
    for t in asking:
        t.join()
    assert latest.wait(10)
    assert answered[-1][1] == 199 and threads() == []


def test_a_process_ends_while_a_stage_is_made():
    code = """
import torch
from mclrec.playground import Playground
def prepare(tick, size):
    while size > 1 and tick(0.5): torch.rand(64, 64) @ torch.rand(64, 64)
    return size
page = Playground(prepare, size=[1, 2])
page.choose(size=2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
