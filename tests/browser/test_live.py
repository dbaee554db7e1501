"""The live trainer in the hands of a reader: it starts, listens, holds and ends, and the page answers meanwhile."""
import re

import pytest
from lab import Notebook, new_page

CHAPTER = "nbs/2_the_method/12_hyperparameters.ipynb"
BOX = "document.querySelector('.mclrec-live')"
BATCHES = f"({BOX}?.querySelector('.js-plotly-plot')?.data?.[0]?.x?.at(-1) ?? 0)"
THREADS = "import threading; print([t.name for t in threading.enumerate()].count('mclrec live'))"


class Live:
    "The live trainer on an open page, in a chapter of which perhaps only its cell was run."

    def __init__(self, notebook):
        self.notebook, self.page = notebook, notebook.page

    def press(self, name):
        self.page.locator(f".mclrec-live .mclrec-live-{name}").click()

    def batches(self):
        "Up to which batch the curves go, by what Plotly has drawn."
        return self.page.evaluate(BATCHES)

    def grown(self, beyond):
        self.page.wait_for_function(f"{BATCHES} > {beyond}")
        return self.batches()

    def status(self, word):
        "Wait until the line that says where things stand begins with `word`, and return it."
        self.page.wait_for_function(f"word => {BOX}.innerText.includes(word + ' · ')", arg=word)
        return self.page.locator(".mclrec-live").inner_text()

    def count(self):
        "Batches in the run's history, by the line of its status."
        return int(re.search(r"batch (\d+)", self.page.locator(".mclrec-live").inner_text())[1])

    def faults(self):
        return [fault for fault in self.notebook.faults() if not fault.endswith("did not run")]

    def threads(self):
        return int(self.notebook.kernel(THREADS))


RUN_ITS_CELL = """async () => {
  const panel = jupyterapp.shell.currentWidget, cells = panel.content.widgets;
  panel.content.activeCellIndex = cells.findIndex(c => c.model.sharedModel.source.startsWith('live = LiveTrainer('));
  await jupyterapp.commands.execute('notebook:run-cell');
}"""


def opened(notebook):
    notebook.page.locator(".mclrec-live .js-plotly-plot .main-svg").first.wait_for(state="attached")
    notebook.page.locator(".mclrec-live").scroll_into_view_if_needed()
    return Live(notebook)


@pytest.fixture
def live(open_notebook):
    "The cell of the live trainer alone, which is quicker than the chapter."
    notebook = open_notebook(CHAPTER)
    notebook.kernel("import mclrec; from mclrec.live import *; data = mclrec.load('toy'); history = []")
    notebook.page.evaluate(RUN_ITS_CELL)
    notebook.settle()
    return opened(notebook)


def test_a_reader_trains(open_notebook):
    notebook = open_notebook(CHAPTER)
    notebook.run_all()
    notebook.guess()
    assert notebook.faults() == []
    live = opened(notebook)
    assert live.batches() == 0 and live.threads() == 0
    live.press("start")
    first = live.grown(0)
    live.grown(first)
    assert live.threads() == 1

    # A change while it runs takes effect, and is marked where it did.
    live.page.locator(".mclrec-live .mclrec-live-lr .noUi-handle").press("ArrowRight")
    live.page.wait_for_function(f"{BOX}.querySelector('.js-plotly-plot').layout?.annotations?.some(a => a.text === 'lr = 0.005')")
    assert live.notebook.kernel("print(live.run.trainer.lr)").strip() == "0.005"

    # The page answers meanwhile: a control of another figure moves within a second.
    assert live.notebook.move(0, "mclrec-control-value") < 1000
    live.grown(live.batches())

    # Pause holds, and what is shown is all there is; a step is one batch.
    live.press("pause")
    live.status("paused")
    held = live.count()
    live.page.wait_for_function(f"{BATCHES} >= {held} - 1")
    shown = live.batches()
    live.page.wait_for_timeout(1500)
    assert live.count() == held and live.batches() == shown
    assert live.notebook.kernel("print(len(live.run.history))").strip() == str(held)
    live.press("step")
    live.page.wait_for_function(f"{BOX}.innerText.includes('paused · batch {held + 1} ')")
    live.page.wait_for_timeout(500)
    assert live.count() == held + 1 and live.threads() == 1

    # What needs a new model says that it waits.
    live.page.locator(".mclrec-live .mclrec-live-preset .widget-toggle-button:not(.mod-active)").click()
    live.page.wait_for_function(f"{BOX}.innerText.includes('preset = paper: applies to the next run')")

    live.press("stop")
    live.status("stopped")
    assert live.threads() == 0
    live.press("reset")
    live.status("ready")
    live.page.wait_for_function(f"{BATCHES} === 0")
    assert live.notebook.kernel("print(live.run.trainer.model.preset)").strip() == "paper"
    assert live.faults() == []


def test_running_its_cell_again_leaves_one_trainer(live):
    live.press("start")
    live.grown(0)
    live.notebook.kernel("first = live")
    live.page.evaluate(RUN_ITS_CELL)
    live.notebook.settle()
    assert live.threads() == 0
    assert live.notebook.kernel("print(first is live, first.run.alive)").strip() == "False False"
    live.page.wait_for_function(f"document.querySelectorAll('.mclrec-live').length === 1 && {BATCHES} === 0")
    live.press("start")
    live.grown(0)
    assert live.threads() == 1
    live.notebook.kernel("live.box.close()")
    live.page.wait_for_function("document.querySelectorAll('.mclrec-live').length === 0")
    assert live.threads() == 0
    assert live.faults() == []


def test_a_failure_is_said_and_not_the_end(live):
    live.notebook.kernel("live.run.set('lr', 1e30)")
    live.press("start")
    live.status("failed")
    live.page.wait_for_function(f"{BOX}.innerText.includes('lower the learning rates and restart.')")
    assert live.threads() == 0
    assert len([fault for fault in live.faults() if fault.startswith("in a figure: batch ")]) == 1
    live.notebook.kernel("live.run.set('lr', 1e-3)")
    live.press("start")
    live.grown(0)
    live.press("stop")
    live.status("stopped")
    assert live.faults() == []


def test_a_kernel_that_is_stopped_while_it_trains(live):
    "Nothing of it runs on, and the page has no error to show."
    live.press("start")
    live.grown(0)
    pid = int(live.notebook.kernel("import os; print(os.getpid())"))
    errors = []
    live.page.on("pageerror", lambda error: errors.append(str(error)))
    live.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.shutdown()")
    live.page.wait_for_timeout(1000)
    for _ in range(60):
        if not running(pid):
            break
        live.page.wait_for_timeout(500)
    assert not running(pid) and errors == []


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_chapters_at_once(live, browser, lab):
    "Two readers' pages, two kernels, a trainer in each."
    page = new_page(browser)
    other = Notebook(page, *lab, "nbs/6_how_this_book_works/60_explorables.ipynb")
    other.kernel("import mclrec; from mclrec.live import LiveTrainer; there = LiveTrainer(mclrec.load('toy'), d=16, inner=16); there.box; there.run.start()")
    live.press("start")
    live.grown(live.grown(0))
    assert int(other.kernel(THREADS)) == live.threads() == 1
    other.kernel("there.close()")
    assert int(other.kernel(THREADS)) == 0
    live.grown(live.batches())
    live.press("stop")
    live.status("stopped")
    assert live.faults() == [] and live.threads() == 0
    other.close()
    page.close()
