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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def serve(folder):
    "JupyterLab on a copy of the book in `folder`: yields its address and token, stops it at the end."
    shutil.copy(ROOT / "settings.ini", folder)
    shutil.copytree(ROOT / "nbs", folder / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    port, token = free_port(), secrets.token_hex(16)
    base = f"http://127.0.0.1:{port}"
    # A fresh configuration, so that what a developer has set up for herself does not decide the outcome.
    configure(folder / "config")
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env |= {"OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--expose-app-in-browser"]
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
    "No news: JupyterLab would ask the network for it, and its question about that covers the page."
    page = folder / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    page.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}')


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
"""


class Notebook:
    "One notebook, open in JupyterLab on a page of Chromium."

    def __init__(self, page, base, token, path):
        self.page = page
        page.goto(f"{base}/lab/tree/{path}?token={token}&reset")
        page.wait_for_function(
            """path => window.jupyterapp?.shell.currentWidget?.context?.path === path
                 && jupyterapp.shell.currentWidget.context.isReady
                 && jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'""",
            arg=path,
            timeout=60_000,
        )

    def run_all(self, seconds=300):
        "Run All Cells; back when the last has run and the kernel is idle."
        self.page.evaluate("""() => {
          window.ran = false;
          jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ran = true; });
        }""")
        self.page.wait_for_function("window.ran", timeout=seconds * 1000)
        self.settle()

    def settle(self, seconds=60):
        "Wait until the kernel has nothing left to do, a widget's callback included."
        idle = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
        self.page.wait_for_function(idle, timeout=seconds * 1000)

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

    def faults(self):
        "Every error that a reader would have met, a line or a traceback each."
        return self.page.evaluate(FAULTS) + self.kernel(WIDGET_FAULTS).splitlines()

    def close(self):
        "End the kernel, so that twenty chapters do not hold twenty of them."
        self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
