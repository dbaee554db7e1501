"""The web book in Chromium. Without a built site only the smoke test and the parity of its mathematics run; with $MCLREC_SITE naming one, every page."""
import os
from pathlib import Path

import pytest

collect_ignore = [] if os.environ.get("MCLREC_SITE") else ["test_every_page.py"]


@pytest.fixture(scope="session")
def site():
    "The folder of the site that was built before the tests."
    return Path(os.environ["MCLREC_SITE"]).resolve()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)  # a busy machine is no fault of the page
    yield page
    page.close()
