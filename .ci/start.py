"""Opens a workshop's notebooks: python3 start.py, in the folder that was handed out.

The first time it makes an environment, room_env/, from the packages in wheels/; no network is needed. Ctrl-C closes the notebooks.
`python3 start.py --only-install` stops before they are opened.
"""
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

here = Path(__file__).resolve().parent
made_for = json.loads((here / "made_for.json").read_text(encoding="utf-8"))
venv = here / "room_env"
python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
ready = venv / "ready"


def check():
    "Stop with a sentence where the packages cannot fit this machine."
    if not (here / "wheels").is_dir():
        sys.exit("This box was packed without packages (wheels/): ask for one with them.")
    now = {"python": ".".join(platform.python_version_tuple()[:2]), "system": platform.system(), "machine": platform.machine()}
    if now["python"] == made_for["python"] and sys.version_info[:3] < tuple(map(int, made_for["at_least"].split("."))):
        sys.exit(f"The packages in wheels/ need Python {made_for['at_least']} or a later {made_for['python']}, and this is {platform.python_version()}. "
                 "Run start.py with another one.")
    if other := [f"{key} {now[key]}, not {made_for[key]}" for key in now if now[key] != made_for[key]]:
        sys.exit(f"The packages in wheels/ are for another machine than this one: {'; '.join(other)}. The handout, and the book's pages, which your teacher may have, need only a browser.")


def install():
    begun = time.monotonic()
    print("Making an environment in room_env/. It happens once and takes some minutes; nothing else on this machine is changed.", flush=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    print(f"{time.monotonic() - begun:4.0f} s  installing {len(list((here / 'wheels').glob('*.whl')))} packages from wheels/", flush=True)
    # Whatever this machine is told of package indexes, it does not count here.
    own = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    command = [python, "-m", "pip", "--isolated", "install", "-q", "--disable-pip-version-check", "--no-index", "--find-links", here / "wheels", *made_for["needs"]]
    if subprocess.run(command, env=own | {"PIP_CONFIG_FILE": os.devnull}).returncode:
        sys.exit("The packages could not be installed; pip says why above. Delete room_env/ before you try again.")
    ready.touch()
    print(f"{time.monotonic() - begun:4.0f} s  done", flush=True)


def main(words):
    if not ready.exists():
        check()
        install()
    if "--only-install" in words:
        return
    print(f"Opening {made_for['first']}; Ctrl-C in this window closes the notebooks, save them first (Ctrl-S in the page).", flush=True)
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # a kernel's threads do not wait in a busy loop
    quiet = ["--LabApp.news_url=None", f"--LabApp.default_url=/lab/tree/notebooks/{made_for['first']}"]
    try:
        sys.exit(subprocess.run([python, "-m", "jupyterlab", *as_root, *quiet, f"--ServerApp.root_dir={here}", *words], cwd=here).returncode)
    except KeyboardInterrupt:
        print("\nClosed. `python3 start.py` opens the notebooks again.")


if __name__ == "__main__":
    main(sys.argv[1:])
