"""A browser for the tests, and JupyterLab on a copy of the book."""
import pytest
from lab import Notebook, new_page, serve


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    "The folder of the copy."
    return tmp_path_factory.mktemp("book")


@pytest.fixture(scope="session")
def lab(chromium, book):
    with serve(book) as address:
        yield address


@pytest.fixture
def open_notebook(browser, lab, book):
    "A function that opens a notebook, by its path from the repository's root, as a reader sees it."
    page = new_page(browser)
    opened = []

    def open_(path):
        opened.append(Notebook(page, *lab, path))
        return opened[-1]

    open_.folder = book
    yield open_
    for notebook in opened:
        notebook.close()
    page.close()
