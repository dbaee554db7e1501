"""Runs chapters and keeps what they show: `make outputs` those whose code has changed, `make outputs ARGS="nbs/…ipynb …"` the named ones.

A reader on GitHub has neither a kernel nor Plotly, so every figure is also kept as a picture, drawn by Chromium. The live widgets themselves
are not kept, nor progress bars. The notebook remembers which code its outputs came from, and `outdated` says when that is no longer its code.
The chapter's first cell says how long it took; that line changes only when the time has changed by half or more.
"""
import base64
import copy
import hashlib
import json
import os
import re
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

# One thread for torch: two of them wait for each other wherever something else runs too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

root = Path(__file__).resolve().parents[1]
PLOTLY, PICTURE = "application/vnd.plotly.v1+json", "image/png"
WIDGETS = ("application/vnd.jupyter.widget-view+json",)
measured = re.compile(r"\*Measured: (\d+) s from top to bottom on two cores, no GPU; seed 2020 unless a cell says otherwise\.\*")


def code_hash(notebook):
    "A short name for all the code of a notebook."
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:16]


def outdated(notebook):
    "Whether its outputs came from other code than it has."
    return notebook["metadata"].get("outputs_of") != code_hash(notebook)


def run(path):
    "The notebook as executed in its own folder, as plain JSON; and how many seconds that took."
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    begun = time.perf_counter()
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", store_widget_state=False, coalesce_streams=True, resources=where).execute()
    return json.loads(nbformat.writes(notebook)), time.perf_counter() - begun


def figures(notebook):
    "Every output of a notebook that is a Plotly figure."
    for cell in notebook["cells"]:
        for out in cell.get("outputs", []):
            if PLOTLY in out.get("data", {}):
                yield out["data"]


@contextmanager
def painter():
    "A function that draws a Plotly figure (JSON) as a PNG in base64."
    from playwright.sync_api import sync_playwright
    from plotly.offline import get_plotlyjs

    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else ["chromium", "chromium-browser", "google-chrome"]
    chromium = next((path for path in map(shutil.which, names) if path), None)
    if chromium is None:
        sys.exit("Pictures need Chromium: install it, or set $CHROMIUM to its path.")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = browser.new_page()
        page.set_content("<div id='place'></div>")
        page.add_script_tag(content=get_plotlyjs())

        def paint(figure):
            url = page.evaluate(
                """async ({ data, layout }) => {
                  const place = document.getElementById('place');
                  await Plotly.newPlot(place, data, { ...layout, width: layout.width || 800 });
                  const url = await Plotly.toImage(place, { format: 'png', width: layout.width || 800, height: layout.height || 360 });
                  Plotly.purge(place);
                  return url;
                }""",
                {"data": figure["data"], "layout": figure["layout"]},
            )
            return url.split(",", 1)[1]

        yield paint
        browser.close()


def tidy(notebook):
    "Out with widgets, which a page without a kernel cannot show, and with progress bars."
    for cell in notebook["cells"]:
        kept = []
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            live = [data.pop(kind, None) for kind in WIDGETS] != [None]
            if live and set(data) == {"text/plain"}:
                continue  # of a widget alone, a progress bar say, nothing is left to see
            if out["output_type"] == "stream" and out["name"] == "stderr" and "%|" in "".join(out["text"]):
                continue
            if "data" in out and not out["data"]:
                continue
            kept.append(out)
        if "outputs" in cell:
            cell["outputs"] = kept


def say_how_long(notebook, seconds):
    "Put the measured time under the chapter's question."
    cell = notebook["cells"][0]
    text, line = "".join(cell["source"]), f"*Measured: {max(1, round(seconds))} s from top to bottom on two cores, no GPU; seed 2020 unless a cell says otherwise.*"
    before = measured.search(text)
    if before and 2 / 3 < max(1, seconds) / int(before[1]) < 3 / 2:
        return
    text = measured.sub(line, text) if before else f"{text.rstrip()}\n\n{line}"
    cell["source"] = text.splitlines(keepends=True)


def renew(path, paint):
    "Run one notebook and write it back with its outputs and pictures."
    before = json.loads(path.read_text(encoding="utf-8"))
    notebook, seconds = run(path)
    tidy(notebook)
    # A picture of the same figure is not drawn again: another machine's fonts are no news.
    known = {json.dumps(data[PLOTLY], sort_keys=True): data[PICTURE] for data in figures(before) if PICTURE in data}
    for data in figures(notebook):
        data[PICTURE] = known.get(json.dumps(data[PLOTLY], sort_keys=True)) or paint(copy.deepcopy(data[PLOTLY]))
        base64.b64decode(data[PICTURE], validate=True)
    if path.name != "index.ipynb":
        say_how_long(notebook, seconds)
    notebook["metadata"]["outputs_of"] = code_hash(notebook)
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{path.relative_to(root)}: {seconds:.0f} s, {len(list(figures(notebook)))} figures", flush=True)


def main(names):
    paths = [Path(name).resolve() for name in names] or sorted(p for p in (root / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not names:
        paths = [p for p in paths if outdated(json.loads(p.read_text(encoding="utf-8")))]
    failed = []
    if paths:
        with painter() as paint:
            for path in paths:
                try:
                    renew(path, paint)
                except Exception as e:  # of any kind: the other chapters shall not wait for this one
                    failed.append(f"{path.relative_to(root)}: {e}")
    if failed:
        sys.exit("\n\n".join(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
