"""What stands behind exercises and guesses: checkers that never raise, proofs that can fail, guesses that are kept and survive bad files."""
import json
import sys

import pytest

from mclrec.checks import InputError
from mclrec.questions import QUESTIONS, Question
from mclrec.teach import (NOT_YET, NOTHING, OTHERWISE, SURE, Guess, Verdict, checker, choice, folded, guess, guesses, guesses_path, proven, read_guesses,
                          right_shares)


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLREC_GUESSES", str(tmp_path / "kept" / "guesses.json"))
    return tmp_path / "kept" / "guesses.json"


@checker
def check_double(f):
    "Right: twice."
    got = f(3)
    if got == 9: return "That is the square."
    if got != 6: return OTHERWISE


def stops(x):
    return {}[x]


@pytest.mark.parametrize("answer, says", [
    (lambda x: 2 * x, "Right: twice."), (lambda x: x * x, "That is the square."), (lambda x: 7, OTHERWISE), (lambda x: None, NOTHING), (stops, "Your code stopped at 'return {}[x]': KeyError, 3."),
    (lambda: 1, "What your answer gives cannot be used"), (None, "What your answer gives cannot be used"), (3, "What your answer gives cannot be used"),
])
def test_a_checker_never_raises(answer, says):
    verdict = check_double(answer)
    assert verdict.says.startswith(says) and verdict.right == (says == "Right: twice.")
    assert repr(verdict)[0] == "✗✓"[verdict.right]


def test_a_stub_is_told_so_wherever_it_raises():
    def stub(x): raise NotImplementedError
    class Stub:
        def __call__(self, x): raise NotImplementedError
    assert check_double(stub) == check_double(Stub()) == (False, NOT_YET)


def test_a_judge_that_is_wrong_is_found_out():
    with pytest.raises(AssertionError, match="the solution is refused: That is the square"): proven(check_double, lambda x: x * x, {})
    with pytest.raises(AssertionError, match="passes: twice"): proven(check_double, lambda x: 2 * x, {"twice": lambda x: x + x})
    with pytest.raises(AssertionError, match="without a sentence of its own: seven"): proven(check_double, lambda x: 2 * x, {"seven": lambda x: 7})
    with pytest.raises(AssertionError, match="without a sentence of its own: one, two"):
        proven(check_double, lambda x: 2 * x, {"one": lambda x: x * x, "two": lambda x: x ** 2})
    with pytest.raises(AssertionError, match="without a sentence of its own: stops"): proven(check_double, lambda x: 2 * x, {"stops": stops})
    with pytest.raises(AssertionError, match="a stub passes"): proven(checker(lambda f: None), lambda x: 1, {})


@pytest.mark.parametrize("letter, right", [("b", True), ("B", True), ("a", False), ("x", False), (2, False), ("", False)])
def test_letters(letter, right):
    check = choice("b", "Right.", a="No.", c="Nor this.")
    assert check(lambda: letter).right == right
    if letter in ("x", 2, ""): assert check(lambda: letter).says.startswith("Give one of 'a', 'b', 'c' back")


def test_the_first_guess_stands_and_the_second_is_another(kept):
    assert guess("tail").verdict is None and not kept.exists(), "asking keeps nothing"
    wrong, right = "about 10 %", QUESTIONS["tail"].right
    assert not guess("tail").choose(wrong, "sure").right
    assert not guess("tail").choose(right).right, "the first one stands, also in another run of the cell"
    assert guess("tail", again=True).choose(right).right
    assert read_guesses() == {"tail": {"first": {"answer": wrong, "sure": "sure"}, "again": {"answer": right, "sure": SURE[0]}}}
    report = guesses()
    assert "All your guesses: 1 of 2 right." in report and "Asked a second time: 0 of 1 right before, 1 of 1 right after." in report
    assert "To look at again" not in report, "what is right in the end need not be looked at"


def test_a_number(kept):
    asked = guess("How many?", 300, within=0.1)
    with pytest.raises(InputError, match="none of the answers; give a number"): asked.choose("many")
    assert asked.choose(310).right and not Guess("k", Question("?", 300)).choose(200).right
    assert "It is 300" in folded(asked.question)


def test_what_strangers_write_is_shown_not_obeyed():
    html = folded(Question("<script>x</script>?", "<b>", {"<b>": "<i>yes</i>", "c": "no", "d": "nor"}))
    assert "<script>" not in html and "<b>Guess first.</b>" in html and "&lt;b&gt;" in html and "&lt;i&gt;yes" in html


def test_a_guess_works_where_nothing_can_be_kept(kept):
    kept.parent.mkdir()
    kept.mkdir()
    with pytest.raises(InputError, match="cannot be read"): guess("tail")
    kept.rmdir()
    asked = guess("tail")
    kept.mkdir()
    verdict = asked.choose("about 30 %")
    assert verdict.right and "could not be kept" in verdict.says


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", '{"format": "other", "guesses": {}}', '{"format": "mclrec guesses 1", "guesses": []}', '{"format": "mclrec guesses 1", "guesses": {"tail": 3}}',
                                  '{"format": "mclrec guesses 1", "guesses": {"tail": {"first": {"answer": 3}}}}', "[" * 100_000,
                                  '{"format": "mclrec guesses 1", "guesses": {"tail": {"then": {"answer": "a", "sure": "sure"}}}}'])
def test_a_file_of_another_kind_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "odd.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="holds no guesses of this book"): read_guesses(tmp_path / "odd.json")


def test_answers_that_the_book_no_longer_has_are_left_out(tmp_path):
    old = {"tail": {"first": {"answer": "all of it", "sure": "sure"}}, "gone": {"first": {"answer": "x", "sure": "sure"}}}
    (tmp_path / "old.json").write_text(json.dumps({"format": "mclrec guesses 1", "guesses": old}), encoding="utf-8")
    assert "No guess is kept yet" in guesses(tmp_path / "old.json") and right_shares([read_guesses(tmp_path / "old.json")]) == {}


def test_without_widgets_a_guess_is_a_page(monkeypatch):
    asked = guess("tail")
    with_them = asked._repr_mimebundle_()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    without = asked._repr_mimebundle_()
    assert set(without) == {"text/html", "text/plain"} and set(with_them) > set(without)
    assert without["text/html"].count("<details") == len(QUESTIONS["tail"].replies)
    bundle = asked.opens("a <thing>")._repr_mimebundle_()
    assert bundle["text/plain"] == "a <thing>" and "<pre>a &lt;thing&gt;</pre></details>" in bundle["text/html"]
    assert bundle["text/html"].startswith("<details") and " open" not in bundle["text/html"].split(">")[0], "folded until somebody opens it"


def test_a_figure_opens_after_the_guess():
    import plotly.graph_objects as go

    from mclrec.explore import MIME, explorable
    from mclrec.teach import _opened_box

    def bars(height):
        "Bars of one height."
        return go.Figure(go.Bar(y=[height]))
    asked, figure = guess("tail"), explorable(bars, height=[1, 2])
    bundle = asked.opens(figure)._repr_mimebundle_()
    assert MIME in bundle and bundle["text/plain"] == "Bars of one height.", "on a page without a kernel it stands there"
    box = _opened_box(asked, figure)
    assert box.children[0] is not figure.box
    asked.choose("about 10 %")
    assert box.children == (figure.box,)


def test_a_plain_figure_waits_too():
    import plotly.graph_objects as go

    from mclrec.teach import _opened_box
    asked, figure = guess("tail"), go.Figure(go.Bar(y=[1, 2]))
    bundle = asked.opens(figure)._repr_mimebundle_()
    assert "text/plain" in bundle and "Figure" not in bundle["text/plain"]
    box = _opened_box(asked, figure)
    assert "Guess first" in box.children[0].value
    asked.choose("about 10 %")
    assert [out["output_type"] for out in box.children[0].outputs] == ["display_data"]


def test_the_room_says_which_file_is_damaged(tmp_path):
    from mclrec.figures.room import read_room
    with pytest.raises(InputError, match="no guesses in it"): read_room(tmp_path)
    (tmp_path / "ann.json").write_text("{}")
    with pytest.raises(InputError, match="ann.json: holds no guesses"): read_room(tmp_path)


def test_where_guesses_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("MCLREC_GUESSES")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert guesses_path() == tmp_path / ".mclrec" / "guesses.json"


def test_a_class_is_told_what_it_lacks_and_where_it_stopped():
    class Base:
        def prepare(self): raise NotImplementedError
        def encode(self): raise NotImplementedError

    class Written(Base):
        def prepare(self): return [1, 2][self.place]
        place = 0
        def encode(self): return 1

    class Stopped(Written):
        def prepare(self): return [1, 2][7]

    class Lacks(Base):
        def prepare(self): return 1

    class Stub(Base):
        def prepare(self): raise NotImplementedError

    @checker
    def check(kind):
        "Right."
        if kind().prepare() + kind().encode() != 2: return OTHERWISE
    assert check(Written) == Verdict(True, "Right.") and check(Stub) == Verdict(False, NOT_YET)
    assert check(Lacks).says.startswith("Your class has no encode of its own yet")
    assert "return [1, 2][7]" in check(Stopped).says and "IndexError" in check(Stopped).says
    assert check(3).says.startswith("What your answer gives cannot be used")
