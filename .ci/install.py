"""Makes the book's environment, .venv/, and says all the way what is happening: `make lab` and `make test` call it when it is needed.

Standard library only: it runs before anything is installed. What pip itself says is kept in .venv/install.log.
"""
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

root = Path(__file__).resolve().parents[1]
EVERY = 10  # seconds between two lines, at most
BEFORE = """\
The book needs an environment of its own and makes it now, in {venv}/: Python packages, about 1.9 GB in the end, most of it PyTorch.
On an ordinary line this takes three to ten minutes, and happens once. Nothing else on this machine is changed; to undo it, delete {venv}/."""
CUDA = """\
On Linux, PyTorch from PyPI brings NVIDIA's CUDA libraries along, several GB more, and the book needs none of them. If pip is not told of another
source already, this gets the smaller one (stop with Ctrl-C first):
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make lab"""


def may_bring_cuda():
    "Whether pip may take PyTorch's CUDA build: on Linux it does where it is not told of other wheels."
    told = " ".join(value for key, value in os.environ.items() if key.startswith("PIP_"))
    return platform.system() == "Linux" and platform.machine() == "x86_64" and "whl/cpu" not in told


class Progress:
    "What pip has said so far, as one short sentence. `read` takes its lines, `line` gives the sentence."

    def __init__(self, venv):
        self.venv, self.found, self.last, self.total = venv, set(), "", 0

    def read(self, text):
        if m := re.match(r"\s*(?:Collecting|Requirement already satisfied:) ([\w.-]+)", text):
            self.found.add(m[1])
        if m := re.match(r"\s*(?:Downloading|Using cached|Processing) (\S+)(?: \(([\d.]+ .B)\))?", text):
            name = m[1].rsplit("/", 1)[-1].split("-")[0]
            self.last = name + (f", {m[2]}" if m[2] else "")
        if text.startswith("Installing collected packages:"):
            self.total = len(text.split(","))

    def line(self):
        if not self.total:
            return f"looking for packages and fetching them: {len(self.found)} so far" + (f" ({self.last})" if self.last else "")
        there = list(self.venv.glob("lib/python*/site-packages/*.dist-info")) or list(self.venv.glob("Lib/site-packages/*.dist-info"))
        return f"unpacking: {min(len(there), self.total)} of {self.total} packages, {gigabytes(self.venv):.1f} GB"


def gigabytes(folder):
    return sum(os.lstat(os.path.join(where, name)).st_size for where, _, names in os.walk(folder) for name in names if os.path.lexists(os.path.join(where, name))) / 1e9


def say(begun, what):
    print(f"{time.monotonic() - begun:5.0f} s  {what}", flush=True)


def watched(command, progress, log, begun):
    "Run a command, a line of progress every ten seconds; its exit status."
    # A session of its own: Ctrl-C comes to us alone, and pip is stopped in order.
    pip = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def listen():
        for text in pip.stdout:
            log.write(text)
            progress.read(text)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        while True:
            try:
                pip.wait(EVERY)
                break
            except subprocess.TimeoutExpired:
                say(begun, progress.line())
    except KeyboardInterrupt:
        os.killpg(pip.pid, signal.SIGTERM)
        pip.wait()
        raise
    listener.join()
    return pip.returncode


def quiet_lab(venv):
    "JupyterLab in this environment asks no network for news or updates, and no reader whether it may."
    folder = venv / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": False}}
    (folder / "overrides.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def main(folder):
    version = sys.version_info
    if not (3, 11) <= version < (3, 14):
        sys.exit(f"mclrec needs Python 3.11, 3.12 or 3.13; this is {version[0]}.{version[1]}. Name another: make PYTHON=python3.12 ...")
    venv, begun = root / folder, time.monotonic()
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    new = not python.exists()
    print(BEFORE.format(venv=folder) if new else f"What the book requires has changed: bringing {folder}/ up to date.", flush=True)
    if new and may_bring_cuda():
        print(CUDA, flush=True)
    if new:
        say(begun, "making the environment")
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", "-c", "constraints.txt", "-e", ".[dev]"]
    say(begun, "asking pip for what settings.ini and constraints.txt name")
    record = venv / "install.log"
    with record.open("w", encoding="utf-8") as log:
        status = watched(command, Progress(venv), log, begun)
    if status:
        print(*record.read_text(encoding="utf-8").splitlines()[-30:], sep="\n")
        sys.exit(f"pip could not install what the book needs; all it said is in {folder}/install.log. `make lab` tries again.")
    quiet_lab(venv)
    say(begun, f"done: {gigabytes(venv):.1f} GB in {folder}/")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if sys.argv[1:] else ".venv")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next `make lab` goes on; pip keeps what it has fetched.")
