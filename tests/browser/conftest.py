"""A browser for the tests, and a second and third try for each.

Now and then, on a busy machine, the first figure of a freshly opened page stays deaf to its controls; the same page opened anew works. A
test fails if it fails three times.
"""
import pytest
from _pytest.runner import runtestprotocol
from lab import CHROMIUM_FLAGS, Notebook, serve
from playwright.sync_api import sync_playwright


TRIES = 3


def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(TRIES)):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if left == 0 or not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(scope="session")
def browser(chromium):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    with serve(tmp_path_factory.mktemp("book")) as address:
        yield address


@pytest.fixture
def open_notebook(browser, lab):
    "A function that opens a notebook, by its path from the repository's root, as a reader sees it."
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    opened = []

    def open_(path):
        opened.append(Notebook(page, *lab, path))
        return opened[-1]

    yield open_
    for notebook in opened:
        notebook.close()
    page.close()
