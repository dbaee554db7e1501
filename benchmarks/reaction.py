"""How long a reader waits: from a key pressed on a control until its figure has changed, and for Run All, chapter by chapter, in JupyterLab in Chromium."""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from lab import CHROMIUM_FLAGS, Notebook, serve
from playwright.sync_api import sync_playwright

LIMIT = 150                           # milliseconds, at the 95th percentile of all moves


def chapters(names):
    "The notebooks whose path holds one of `names`; all of them without names."
    paths = [p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("nbs/**/*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    return [p for p in paths if not names or any(name in p for name in names)]


def p95(values):
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def reactions(notebook, n, control, moves):
    "Milliseconds of each of `moves` moves of a control of the n-th explorable, there and back in turn; what did not change the figure is left out."
    waited = [notebook.move(n, control, way=k % 2) for k in range(2)]
    if waited == [None, None]:
        return []
    waited += [notebook.move(n, control, way=k % 2) for k in range(moves - 2)]
    return [ms for ms in waited if ms is not None]


def measure(page, lab, path, moves):
    "Run a chapter and move every control in it: prints a line each, gives all its milliseconds by figure and control."
    notebook = Notebook(page, *lab, path)
    begun = time.perf_counter()
    notebook.run_all()
    seconds, every = time.perf_counter() - begun, {}
    print(f"{path}: Run All {seconds:.1f} s", flush=True)
    try:
        for n, controls in enumerate(notebook.explorables()):
            caption = page.locator(".mclrec-explorable").nth(n).locator("small").last.inner_text()
            print(f"  {n + 1}. {caption}")
            for control in controls:
                ms = reactions(notebook, n, control, moves)
                every[f"{n + 1}. {caption}", control.removeprefix("mclrec-control-")] = ms
                told = f"{median(ms):6.0f} {p95(ms):6.0f} ms  ({len(ms)} moves)" if ms else "did not change its figure"
                print(f"     {control.removeprefix('mclrec-control-'):18} {told}", flush=True)
        for fault in notebook.faults():
            print(f"  fault: {fault}")
    finally:
        notebook.close()
    return seconds, every


def summary(moved, every):
    "What was measured, without the single moves: of all, and of each chapter, [moves, median, 95th percentile, slowest] in milliseconds."
    def told(ms):
        return [len(ms), round(median(ms)), round(p95(ms)), round(max(ms))] if ms else [0]
    of = {path: {"all": told(sum(controls.values(), [])), **{f"{figure}: {control}": told(ms) for (figure, control), ms in controls.items()}}
          for path, controls in moved.items()}
    return {"told": ["moves", "median", "95th percentile", "slowest"], "all": told(every), "chapters": of}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="*", help="parts of their paths, such as 07 or 2_the_method; without them the whole book")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was measured there, as JSON")
    parser.add_argument("--moves", type=int, default=20, help="of each control, there and back in turn (default 20)")
    args = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        sys.exit("Reactions are measured in Chromium: install it, or set $CHROMIUM to its path.")
    print("median and 95th percentile, in milliseconds, of each control")
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as lab, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        seconds, moved = {}, {}
        for path in chapters(args.chapters):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            seconds[path], moved[path] = measure(page, lab, path, args.moves)
            page.close()
        browser.close()
    every = [ms for controls in moved.values() for moves in controls.values() for ms in moves]
    print(f"Run All: {sum(seconds.values()):.0f} s for {len(seconds)} chapters, at most {max(seconds.values(), default=0):.0f} s for one")
    if every:
        print(f"{len(every)} moves: median {median(every):.0f} ms, 95th percentile {p95(every):.0f} ms, slowest {max(every):.0f} ms")
    if args.keep:
        args.keep.write_text(json.dumps(summary(moved, every), indent=1, ensure_ascii=False) + "\n")
    if every and p95(every) > LIMIT:
        sys.exit(f"slower than {LIMIT} ms at the 95th percentile")


if __name__ == "__main__":
    main()
