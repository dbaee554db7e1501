"""Runs the notebooks' own checks, nbdev's `nbdev_test` in two processes, and says all the while which notebook it is at: `make test`.

    python .ci/test_notebooks.py                    all of them
    python .ci/test_notebooks.py nbs/2_the_method   a folder, or single notebooks
    python .ci/test_notebooks.py --changed          those that differ from the last commit, and those of modules that do

The checks are nbdev's: each notebook goes to `nbdev.test.test_nb`, which runs every cell that `settings.ini` does not leave out (`#| slow`).
"""
import argparse
import contextlib
import io
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

root = Path(__file__).resolve().parents[1]
WORKERS = 2  # with one thread each: more of either makes torch's threads fight over the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")


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


def run(paths):
    "Test them, a line each as they are done; the failed ones with what they said."
    begun, failed, times = time.perf_counter(), {}, {}
    print(f"The checks of {len(paths)} notebooks, {min(WORKERS, len(paths))} at a time:", flush=True)
    pool = ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"))
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
    given = parser.parse_args()
    names = given.names + (changed() if given.changed else [])
    if given.changed and not names:
        return print("No notebook differs from the last commit.")
    if failed := run(notebooks(names)):
        sys.exit("Failed: " + ", ".join(map(name, failed)))


if __name__ == "__main__":
    main()
