"""Runs the notebooks' own checks, nbdev's `nbdev_test` in two processes, and says all the while which notebook it is at: `make test`.

    python .ci/test_notebooks.py                    all of them
    python .ci/test_notebooks.py nbs/2_the_method   a folder, or single notebooks
    python .ci/test_notebooks.py --changed          those that differ from the last commit
    python .ci/test_notebooks.py --still            those without a figure to move: the others are run by tests/browser/test_chapters.py, from
                                                    top to bottom as here, and CI need not run them twice
    python .ci/test_notebooks.py --setting default  on kernels that are not this processor's own, see SETTINGS; `today`: by turns, by the date

The checks are nbdev's: each notebook goes to `nbdev.test.test_nb`, which runs every cell that `settings.ini` does not leave out (`#| slow`).
"""
import argparse
import contextlib
import datetime
import io
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

root = Path(__file__).resolve().parents[1]
WORKERS = 2  # with one thread each: more of either makes torch's threads fight over the cores

# Arithmetic that differs from this machine's in the last digits: an assertion that holds only here is not true. The order of sets and of dicts'
# hashes is another one in every process anyhow (PYTHONHASHSEED is random unless somebody sets it).
SETTINGS = {
    "native": {},
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "threads": {"OMP_NUM_THREADS": "2"},
}
MOVES = re.compile(r"^(?!\s*(?:def|class) ).*\b(explorable|LiveTrainer|live_trainer)\(", re.M)  # what puts something to move on the page


def notebooks(names):
    "The notebooks of the given files and folders, all of the book where none is given."
    found = []
    for name in names or ["nbs"]:
        path = (Path.cwd() / name).resolve() if (Path.cwd() / name).exists() else (root / name).resolve()
        if not path.exists():
            sys.exit(f"{name}: no such notebook or folder.")
        found += sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
    return [p for p in dict.fromkeys(found) if not {".ipynb_checkpoints", "_proc"} & set(p.parts) and not p.name.startswith("_")]


def changed():
    "Notebooks that differ from the last commit, or are new."
    names = subprocess.run(["git", "status", "--porcelain", "-z", "-uall", "--", "nbs"], cwd=root, capture_output=True, text=True, check=True).stdout
    paths = [root / entry[3:] for entry in names.split("\0") if entry.endswith(".ipynb")]
    return [str(p) for p in paths if p.exists()]


def moves(path):
    "Whether a notebook shows something to move."
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return any(MOVES.search("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")


def todays(date=None):
    "The name of the setting whose turn it is: one a day, and none that is what this machine does by itself."
    import torch

    own = torch.backends.cpu.get_cpu_capability().lower()
    others = [name for name in SETTINGS if name not in ("native", own)]
    return others[(date or datetime.date.today()).toordinal() % len(others)]


def test(path):
    "Whether a notebook's cells all ran, in how many seconds, and what went wrong."
    from nbdev.config import get_config
    from nbdev.test import test_nb

    said = io.StringIO()
    os.chdir(root / "nbs")
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        good, seconds = test_nb(path, skip_flags=get_config().tst_flags.split(), basepath=root)
    return good, seconds, said.getvalue()


def cost(path):
    "How long a notebook may take, by its size: the long ones begin first, so that none is left alone at the end."
    return path.stat().st_size


def name(path):
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def run(paths, setting="native"):
    "Test them, a line each as they are done; the failed ones with what they said."
    begun, failed, times = time.perf_counter(), {}, {}
    os.environ.update({"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")} | SETTINGS[setting])
    workers = 1 if os.environ["OMP_NUM_THREADS"] != "1" else min(WORKERS, len(paths))
    how = ", ".join(f"{key}={value}" for key, value in SETTINGS[setting].items())
    print(f"The checks of {len(paths)} notebooks, {workers} at a time{' with ' + how if how else ''}:", flush=True)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        jobs = {pool.submit(test, path): path for path in sorted(paths, key=cost, reverse=True)}
        for count, job in enumerate(as_completed(jobs), 1):
            path = jobs[job]
            try:
                good, times[path], said = job.result()
            except Exception as e:  # its process died
                good, times[path], said = False, 0, repr(e)
            if not good:
                failed[path] = said
            print(f"[{count:2} of {len(paths)}] {'passed' if good else 'FAILED'} {times[path]:4.0f} s  {name(path)}", flush=True)
            if not good:
                print(said, flush=True)
    except KeyboardInterrupt:
        for process in list(pool._processes.values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        print(f"\nStopped after {len(times)} of {len(paths)} notebooks" + (f", {len(failed)} of them failed." if failed else ", all of them passed."), flush=True)
        os._exit(130)
    pool.shutdown()
    slowest = sorted(times, key=times.get, reverse=True)[:3]
    print(f"{len(paths) - len(failed)} notebooks passed, {len(failed)} failed, in {time.perf_counter() - begun:.0f} s; "
          f"the longest: {', '.join(f'{p.stem} {times[p]:.0f} s' for p in slowest)}.", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description="Run the notebooks' own checks.")
    parser.add_argument("names", nargs="*", help="notebooks or folders; all if none is given")
    parser.add_argument("--changed", action="store_true", help="those that differ from the last commit")
    parser.add_argument("--still", action="store_true", help="those without a figure to move")
    parser.add_argument("--setting", choices=[*SETTINGS, "today"], default="native", help="which kernels and how many threads")
    given = parser.parse_args()
    names = given.names + (changed() if given.changed else [])
    if given.changed and not names:
        return print("No notebook differs from the last commit.")
    paths = [path for path in notebooks(names) if not (given.still and moves(path))]
    if failed := run(paths, todays() if given.setting == "today" else given.setting):
        sys.exit("Failed: " + ", ".join(map(name, failed)))


if __name__ == "__main__":
    # By its name, not as `__main__`: a notebook that has run in a worker has taken that name there, and the next job would not find `test`.
    import test_notebooks

    test_notebooks.main()
