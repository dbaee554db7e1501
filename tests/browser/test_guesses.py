"""A guess as a reader makes it: a click is answered and kept; on a page without a kernel each answer unfolds."""
import json
import re

from mclrec.questions import QUESTIONS
from mclrec.teach import folded

def test_a_click_is_answered_and_kept(open_notebook):
    kept = open_notebook.folder / "guesses.json"
    kept.unlink(missing_ok=True)
    notebook = open_notebook("nbs/1_the_problem/01_data.ipynb")
    notebook.run_all()
    assert notebook.faults() == [] and not kept.exists(), "running a chapter guesses nothing"
    box = notebook.page.locator(".mclrec-guess").first
    question = QUESTIONS["tail"]
    wrong = next(answer for answer in question.replies if answer != question.right)
    assert question.text in box.inner_text() and question.replies[wrong] not in box.inner_text()
    waiting, figures = notebook.page.get_by_text("Guess first, above: then this opens."), len(notebook.explorables())
    shut = waiting.count()
    assert shut >= 3
    box.get_by_role("button", name="fairly sure").click()
    box.get_by_role("button", name=wrong).click()
    box.get_by_text(question.replies[wrong]).wait_for()
    assert box.get_by_role("button", name=question.right).is_disabled()
    notebook.settle()
    notebook.page.get_by_text(re.compile(r"the top tenth has \d")).wait_for()
    assert len(notebook.explorables()) == figures + 1 and waiting.count() == shut - 2, "the figure and its numbers, and nothing else"
    assert json.loads(kept.read_text())["guesses"]["tail"]["first"] == {"answer": wrong, "sure": "fairly sure"}
    assert "0 of 1 right" in notebook.kernel("from mclrec.teach import guesses; print(guesses())")


def test_without_a_kernel_an_answer_unfolds_into_its_reply(browser):
    page = browser.new_page()
    question = QUESTIONS["tail"]
    page.set_content(folded(question))
    reply = page.get_by_text(question.replies[question.right])
    assert not reply.is_visible()
    page.get_by_text(question.right, exact=True).click()
    assert reply.is_visible()
    page.close()
