"""What every test may ask for, and what happens where it is not to be had.

A test that needs Chromium or the real data is skipped on a machine without them, and the summary says why.
With CI=true nothing may be missing: there every skip, for whatever reason, is a failure.
With --quick (`make quick`) the modules that train, call the command or open a browser are left out.
"""
import os
import shutil
import sys
from pathlib import Path

# One thread for every torch here and in the processes the tests start: nothing in them is big enough for two.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
IN_CI = os.environ.get("CI") == "true"

# Examples in a fixed order and without a clock: a slow machine is no reason to fail, a green run stays green.
settings.register_profile("mclrec", deadline=None, derandomize=True)
settings.load_profile("mclrec")


# What takes minutes: it trains models, starts the command or a browser. A new module is quick until it is named here.
SLOW = ("browser/", "site/", "test_cli", "test_contrast_and_cloze", "test_distributed", "test_download", "test_every_model",
        "test_exercises", "test_experiments", "test_export", "test_live", "test_plain_rivals", "test_playground", "test_robustness",
        "test_runner", "test_runs", "test_service", "test_sharing", "test_training", "test_tune", "test_two_views", "test_views",
        "test_workshop")


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out what trains, calls the command or opens a browser")


def pytest_ignore_collect(collection_path, config):
    if config.getoption("--quick") and collection_path.is_relative_to(ROOT / "tests"):
        name = collection_path.relative_to(ROOT / "tests").as_posix() + ("/" if collection_path.is_dir() else "")
        return True if name.startswith(SLOW) else None


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def forbid_skip(report):
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"CI=true, and yet this was skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return forbid_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    # A module that skips itself as a whole never gets as far as running a test.
    return forbid_skip((yield))


def data_folders():
    "Where the real data may lie: where the library looks, then beside the repository."
    import pooch

    if os.environ.get("MCLREC_DATA"):
        yield Path(os.environ["MCLREC_DATA"]).resolve()
    yield ROOT.parent / "shared" / "data"
    yield Path(pooch.os_cache("mclrec"))


def real(name):
    for folder in data_folders():
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"needs the real data: no {name} in $MCLREC_DATA; `mclrec download` brings it")


@pytest.fixture(scope="session")
def beauty_path():
    return real("beauty.txt")


@pytest.fixture(scope="session")
def sports_path():
    return real("sports.txt")


@pytest.fixture(scope="session")
def toys_path():
    return real("toys.txt")


@pytest.fixture(scope="session")
def yelp_path():
    return real("yelp.txt")


@pytest.fixture(scope="session")
def checkpoint_path():
    return real("beauty.official-checkpoint.pth")


@pytest.fixture(scope="session")
def chromium():
    "The path of a Chromium, from $CHROMIUM or by its usual names."
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        if path := shutil.which(name):
            return path
    pytest.skip(f"needs Chromium: no {named or 'chromium'} on this machine; install it or set $CHROMIUM")


@pytest.fixture(scope="session")
def browser(chromium):
    "One browser for all tests of a process: Playwright starts once in each."
    from lab import CHROMIUM_FLAGS
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
