"""A reader at work: JupyterLab on a copy of the book, and a page of it in Chromium."""
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import TimeoutError

ROOT = Path(__file__).resolve().parents[2]

CHROMIUM_FLAGS = [
    "--no-sandbox",  # in a container we are root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE = 300  # seconds for what must come: a slow machine is no fault of the book


def new_page(browser, width=1280, height=900):
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE * 1000)
    return page


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def serve(folder):
    "JupyterLab on a copy of the book in `folder`: yields its address and token, stops it at the end."
    shutil.copy(ROOT / "settings.ini", folder)
    shutil.copytree(ROOT / "nbs", folder / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(ROOT / "results", folder / "results")  # what part 4 reads
    shutil.copytree(ROOT / ".ci", folder / ".ci", ignore=shutil.ignore_patterns("__pycache__"))  # the ledger page is made by it
    port, token = free_port(), secrets.token_hex(16)
    base = f"http://127.0.0.1:{port}"
    # A fresh configuration, so that what a developer has set up for herself does not decide the outcome.
    configure(folder / "config")
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env.pop("GOMP_SPINCOUNT", None)  # which this library has set in our own process
    env |= {"OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1", "MCLREC_GUESSES": str(folder / "guesses.json")}
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--expose-app-in-browser"]
    command += [f"--config={ROOT / '.ci' / 'jupyter_config.py'}"]  # as `make lab` does
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    with open(folder / "lab.log", "wb") as log:
        lab = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            await_answer(f"{base}/api/status?token={token}", lab, folder / "lab.log")
            yield base, token
        finally:
            lab.terminate()
            lab.wait(timeout=30)


def configure(folder):
    "What the tests need of JupyterLab. No news: JupyterLab would ask the network for it, and its question about that covers the page."
    labconfig = folder / "labconfig"
    labconfig.mkdir(parents=True)
    (labconfig / "page_config.json").write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')
    # Cells out of sight are drawn too, so that a test need not scroll.
    (labconfig / "default_setting_overrides.json").write_text('{"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}')


def await_answer(url, process, log, seconds=60):
    for _ in range(seconds * 4):
        if process.poll() is not None:
            break
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')}")


# Asked of the notebook's model rather than of the page: cells out of sight are not drawn.
FAULTS = """() => {
  const cells = [...jupyterapp.shell.currentWidget.content.model.cells].map(c => c.toJSON());
  const text = x => Array.isArray(x) ? x.join('') : x;
  const bad = o => o.output_type === 'error' || (o.name === 'stderr' && text(o.text).includes('Traceback'));
  return cells.flatMap((cell, i) => {
    if (cell.cell_type !== 'code' || !text(cell.source).trim()) return [];
    if (cell.execution_count === null) return [`cell ${i + 1} did not run`];
    return cell.outputs.filter(bad).map(o => `cell ${i + 1}: ` + (o.ename ? `${o.ename}: ${o.evalue}` : text(o.text)));
  });
}"""

# A widget's callback that fails does so inside an Output widget, where neither the cell nor the notebook learns of it.
WIDGET_FAULTS = """
from ipywidgets.widgets.widget import _instances
for _widget in list(_instances.values()):
    for _out in getattr(_widget, "outputs", ()):
        if _out["output_type"] == "error":
            print("in a widget:", _out["ename"] + ":", _out["evalue"])
    if getattr(_widget, "error", ""):
        print("in a figure:", _widget.error)
"""

# The n-th explorable of a page, and all that its figures show.
BOX = "const box = document.querySelectorAll('.mclrec-explorable')[n];"
SHOWN = "JSON.stringify([...box.querySelectorAll('.js-plotly-plot')].map(p => [p.data, p.layout]))"

# Notes when the reader did something and when the figure answered.
WATCH = f"""n => {{
  {BOX}
  const before = {SHOWN};
  window.acted = window.answered = null;
  for (const event of ['keydown', 'click', 'change'])
    box.addEventListener(event, () => {{ window.acted ??= performance.now(); }}, {{ capture: true, once: true }});
  const run = window.watching = (window.watching || 0) + 1;
  (function look() {{
    if (run !== window.watching) return;
    const now = {SHOWN};
    if (now !== before && now !== '[]') window.answered = performance.now();
    else requestAnimationFrame(look);
  }})();
}}"""


class Notebook:
    "One notebook, open in JupyterLab on a page of Chromium."

    def __init__(self, page, base, token, path):
        self.page, self.path = page, path
        page.goto(f"{base}/lab/tree/{path}?token={token}&reset")
        self.ready()

    def ready(self):
        "Wait until the notebook is there and its kernel idle."
        self.page.wait_for_function(
            """path => window.jupyterapp?.shell.currentWidget?.context?.path === path
                 && jupyterapp.shell.currentWidget.context.isReady
                 && jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'""",
            arg=self.path,
        )

    def run_all(self):
        "Run All Cells; back when the last has run and the kernel is idle."
        self.page.evaluate("""() => {
          window.ran = false;
          jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ran = true; });
        }""")
        self.page.wait_for_function("window.ran", timeout=2 * PATIENCE * 1000)
        self.settle()

    def settle(self):
        "Wait until the kernel has nothing left to do, a widget's callback included."
        idle = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
        self.page.wait_for_function(idle)

    def kernel(self, code):
        "Run `code` in the notebook's kernel without a cell, and return what it printed."
        return self.page.evaluate(
            """async code => {
              const printed = [];
              const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const future = kernel.requestExecute({ code, store_history: false });
              future.onIOPub = m => { if (m.header.msg_type === 'stream') printed.push(m.content.text); };
              const reply = await future.done;
              if (reply.content.status === 'error') throw new Error(reply.content.traceback.join('\\n'));
              return printed.join('');
            }""",
            code,
        )

    def guess(self):
        "Answer every question of the page, the first answer of each, so that what waits for it opens."
        unanswered = ".mclrec-guess:has(.widget-button:not([disabled]))"
        while left := self.page.locator(unanswered).count():
            self.page.locator(unanswered).first.locator(".widget-button").first.click()
            self.page.wait_for_function(f"document.querySelectorAll('{unanswered}').length < {left}")
        self.settle()

    def explorables(self, least=1):
        "The names of the controls of each explorable on the page, once there are `least` and all their figures are drawn."
        drawn = "box => box.querySelector('.js-plotly-plot .main-svg')"
        self.page.wait_for_function(
            f"""least => {{
              const boxes = [...document.querySelectorAll('.mclrec-explorable')];
              return boxes.length >= least && boxes.every({drawn});
            }}""",
            arg=least,
        )
        names = "c => [...c.classList].find(name => name.startsWith('mclrec-control-'))"
        return self.page.evaluate(f"""[...document.querySelectorAll('.mclrec-explorable')].map(box => [...box.querySelectorAll('[class*=mclrec-control-]')].map({names}))""")

    def move(self, n, control, way=0):
        """Move a control of the n-th explorable, one way or the other, as a reader would.

        Milliseconds until its figure had changed; None if it did not within half a minute, or a slider stands at its end already.
        """
        place = self.page.locator(".mclrec-explorable").nth(n).locator(f".{control}")
        self.page.evaluate(WATCH, n)
        if place.locator(".noUi-handle").count():
            here, end = (float(place.locator(".noUi-handle").get_attribute(f"aria-value{name}")) for name in ("now", ("max", "min")[way]))
            if here == end:
                return None
            place.locator(".noUi-handle").press(("ArrowRight", "ArrowLeft")[way])
        elif place.locator("select").count():
            choices = place.locator("select option").all_text_contents()
            at = place.locator("select").evaluate("s => s.selectedIndex")
            place.locator("select").select_option(index=(at + (1, -1)[way]) % len(choices))
        elif place.locator(".widget-toggle-button").count():
            place.locator(".widget-toggle-button:not(.mod-active)").first.click()
        else:
            place.locator("input, button").first.click()
        try:
            self.page.wait_for_function("window.answered !== null", timeout=30_000)
        except TimeoutError:
            return None
        return self.page.evaluate("window.answered - window.acted")

    def faults(self):
        "Every error that a reader would have met, a line or a traceback each."
        return self.page.evaluate(FAULTS) + self.kernel(WIDGET_FAULTS).splitlines()

    def close(self):
        "End the kernel, so that twenty chapters do not hold twenty of them."
        self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
