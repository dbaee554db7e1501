"""Opens the book in JupyterLab and says where to begin: `make lab`. One Ctrl-C closes it, kernels and all.

What is given after the name goes to JupyterLab, `--no-browser --port 9999` say.
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

root = Path(__file__).resolve().parents[1]
COVER = "nbs/index.ipynb"
OPEN = """
The book is open, in your browser or at
    {address}
Begin on that page, under "Start here". In a chapter, Shift-Enter runs a cell and goes to the next one.
Ctrl-C in this window closes the book; save your notebooks first (Ctrl-S in the page)."""


def command(more):
    "JupyterLab on the whole project, with the cover as its first page: given a file, it would serve that file's folder alone."
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    first = [f"--LabApp.default_url=/lab/tree/{COVER}", f"--config={root / '.ci' / 'jupyter_config.py'}"]
    return [sys.executable, "-m", "jupyterlab", *as_root, *first, *more]


def address(process):
    "Where the server of this process answers: it writes that to a file of its own, once it does."
    from jupyter_core.paths import jupyter_runtime_dir

    record = Path(jupyter_runtime_dir()) / f"jpserver-{process.pid}.json"
    while process.poll() is None:
        try:
            said = json.loads(record.read_text(encoding="utf-8"))
            return f"{said['url']}lab/tree/{COVER}" + (f"?token={said['token']}" if said["token"] else "")
        except (OSError, ValueError):
            time.sleep(0.2)
    return None


def main(more):
    print("Starting JupyterLab; its first page takes some seconds.", flush=True)
    quiet = [] if any(word.startswith(("--debug", "--log-level")) for word in more) else ["--log-level=WARN"]
    # Whoever started us, Ctrl-C and a request to end mean the same: close the book.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A session of its own, so that Ctrl-C comes to us alone and JupyterLab asks nothing back.
    lab = subprocess.Popen(command([*quiet, *more]), cwd=root, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        if where := address(lab):
            print(OPEN.format(address=where), flush=True)
        return lab.wait()
    except KeyboardInterrupt:
        print("\nClosing JupyterLab and its kernels …", flush=True)
        lab.send_signal(signal.SIGTERM)
        lab.wait()
        print("Closed. `make lab` opens the book again.", flush=True)
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
