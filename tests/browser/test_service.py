"""The page of the service, as a visitor uses it: items of the toy shop are picked, and the list changes."""
import subprocess
import sys

import pytest
from lab import new_page

import mclrec


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    run, data = tmp_path_factory.mktemp("service") / "run", mclrec.load("toy")
    model = mclrec.SASRec(data.n_items, d=8, layers=1, inner=8)
    model.prepare(data)
    mclrec.save(model, run)
    with subprocess.Popen([sys.executable, "-m", "mclrec", "serve", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True) as service:
        yield service.stdout.readline().strip(), mclrec.load_run(run)
        service.terminate()


def test_items_are_picked_and_the_list_changes(browser, service):
    url, model = service
    page, asked, wrong = new_page(browser), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(url)
    page.wait_for_function("document.querySelectorAll('#known option').length === 300")
    history = []

    def shows(history):
        expected = [item for item, _ in mclrec.recommend(model, histories=[history], k=10)[0]] if history else []
        page.wait_for_function("items => JSON.stringify([...document.querySelectorAll('#list button')].map(b => b.textContent)) === JSON.stringify(items)", arg=expected)

    for item in ("basil", "tomato"):
        page.get_by_label("An item").fill(item)
        page.keyboard.press("Enter")
        history.append(item)
        shows(history)
    assert page.locator("h2").text_content() == "Like tomato" and page.locator("#alike li").count() == 5
    history.append(page.locator("#list button").first.text_content())
    page.locator("#list button").first.click()
    shows(history)
    page.get_by_role("button", name="basil ×").click()
    shows(history[1:])
    page.get_by_label("An item").fill("unobtainium")
    page.get_by_role("button", name="Add").click()
    page.wait_for_function("document.querySelector('[role=alert]').textContent.includes('unobtainium')")
    assert page.locator("#list li").count() == 0
    page.get_by_role("button", name="unobtainium ×").click()
    shows(history[1:])
    assert page.locator("[role=alert]").text_content() == "" and not wrong and all(address.startswith(url) for address in asked)
    page.close()
