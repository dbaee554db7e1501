"""Runs chapters and keeps what they show: `make outputs` those whose code has changed, `make outputs ARGS="nbs/…ipynb …"` the named ones.

A reader on GitHub has neither a kernel nor Plotly, so every figure is also kept as a picture, drawn by Chromium. The live widgets themselves
are not kept, nor progress bars, nor what libraries say on the error stream. The notebook remembers which code and which records its outputs came
from, and `outdated` says when it has others now. The chapter's first cell says how long it took; that line changes only when the time has
changed by half or more.

What is kept is kept small: pictures have a palette of 256 colours, numbers of a figure four significant digits and no more room than they need,
and what is the same in every frame stands once. With --shrink, stored outputs are made so without running anything.
"""
import array
import base64
import copy
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

# What whoever runs this has guessed is no part of the book.
os.environ["MCLREC_GUESSES"] = os.path.join(tempfile.gettempdir(), f"no-guesses-{os.getpid()}.json")
# One thread for torch: two of them wait for each other wherever something else runs too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

root = Path(__file__).resolve().parents[1]
PLOTLY, PICTURE = "application/vnd.plotly.v1+json", "image/png"
ALL_RECORDS = ("mclrec.verdicts", "mclrec.people", "read_results(", '"experiments"')
WIDGETS = ("application/vnd.jupyter.widget-view+json",)
measured = re.compile(r"\*Measured: (\d+) s from top to bottom on two cores, no GPU; seed 2020 unless a cell says otherwise\.\*")


def code_hash(notebook):
    "A short name for all the code of a notebook, and for the records that it reads."
    code = "\0".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code")
    named = hashlib.sha256(code.encode())
    for path in records_of(code):
        named.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return named.hexdigest()[:16]


def records_of(code):
    "The records that some code reads: all of them if it asks the library for runs, else the files whose names stand in it."
    every, all_of_them = sorted((root / "results").rglob("*.json")), any(asked in code for asked in ALL_RECORDS)
    return every if all_of_them else [path for path in every if f'"{path.name}"' in code or ("}.json" in code and f'"{path.stem}"' in code)]


def outdated(notebook):
    "Whether its outputs came from other code or other records than it has now."
    return notebook["metadata"].get("outputs_of") != code_hash(notebook)


def run(path):
    """The notebook as executed in its own folder, as plain JSON; and how many seconds that took.

    Seconds of the processor, not of the clock on the wall: with one thread on a quiet machine they are the same, and on a busy one these still hold.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    begun = seconds_of_children()
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", store_widget_state=False, coalesce_streams=True, resources=where).execute()
    return json.loads(nbformat.writes(notebook)), seconds_of_children() - begun


def seconds_of_children():
    "Processor seconds of all processes that we have started and that have ended, kernels among them."
    spent = os.times()
    return spent.children_user + spent.children_system


def figures(notebook):
    "Every output of a notebook that is a Plotly figure."
    for cell in notebook["cells"]:
        for out in cell.get("outputs", []):
            if PLOTLY in out.get("data", {}):
                yield out["data"]


KINDS = {"f8": "d", "f4": "f", "i4": "i", "u4": "I", "i2": "h", "u2": "H", "i1": "b", "u1": "B"}  # Plotly's names and Python's
PACKED = ("x", "y", "z", "color", "size")  # where Plotly takes numbers as bytes


def four_digits(number):
    "A number as it is kept: a whole one as it is, any other with four significant digits."
    return float(f"{number:.4g}") if isinstance(number, float) and number == number and not number.is_integer() else number


def unpacked(value):
    "Plotly's bytes as numbers, in as many dimensions as they have."
    flat = array.array(KINDS[value["dtype"]], base64.b64decode(value["bdata"])).tolist()
    flat = [None if number != number else number for number in flat]
    for size in reversed([int(n) for n in str(value.get("shape", "")).split(",")[1:]]):
        flat = [flat[k:k + size] for k in range(0, len(flat), size)]
    return flat


def packed(value):
    """Numbers as Plotly's bytes, in the smallest kind that holds them, if that is shorter; else `value` as it is.

    Numbers with a fraction are kept as f4, good for seven digits, of which we mean four; a gap (None) is there not a number, which Plotly
    leaves out just as well.
    """
    rows = value if value and all(isinstance(row, list) for row in value) else [value]
    flat = [number for row in rows for number in row]
    numbers = [number for number in flat if number is not None]
    if len(flat) < 5 or len({len(row) for row in rows}) != 1 or not numbers or not all(type(n) in (int, float) and abs(n) < 2**31 for n in numbers):
        return value
    if len(numbers) == len(flat) and all(float(n).is_integer() for n in flat):
        flat = [int(n) for n in flat]
        kind = next(k for k in ("u1", "i1", "u2", "i2", "i4") if fits(k, min(flat)) and fits(k, max(flat)))
    else:
        kind, flat = "f4", [float("nan") if number is None else number for number in flat]
    shape = {"shape": f"{len(rows)}, {len(rows[0])}"} if rows is value else {}
    return {"dtype": kind, "bdata": base64.b64encode(array.array(KINDS[kind], flat).tobytes()).decode(), **shape}


def fits(kind, number):
    bits = 8 * int(kind[1])
    return 0 <= number < 2**bits if kind[0] == "u" else -(2**(bits - 1)) <= number < 2**(bits - 1)


def rounded(value, key=""):
    "A piece of a figure with its numbers as they are kept."
    if isinstance(value, dict):
        if "bdata" in value:
            return rounded(unpacked(value), key)
        return {name: rounded(part, name) for name, part in value.items()}
    if isinstance(value, list):
        inside = [rounded(part) for part in value]
        return packed(inside) if key in PACKED else inside
    return four_digits(value)


def said_once(figure):
    "The figure without what every frame repeats after it: a frame needs to say only what changes."
    frames = figure.get("frames") or []
    parts = [(figure.get("layout", {}), [frame.get("layout", {}) for frame in frames])]
    if all(len(frame.get("data", [])) == len(figure["data"]) for frame in frames):
        parts += [(trace, [frame["data"][k] for frame in frames]) for k, trace in enumerate(figure["data"])]
    for whole, others in parts:
        for key in [key for key in whole if all(key in other and other[key] == whole[key] for other in others)]:
            for other in others:
                del other[key]
    return figure


def light(figure):
    "A Plotly figure (JSON) with its numbers rounded and packed, and nothing said twice."
    return said_once({key: rounded(value, key) for key, value in copy.deepcopy(figure).items()})


def with_palette(png):
    "A PNG (base64) with a palette of 256 colours, a fifth of the bytes; one that has a palette as it is."
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if image.mode == "P":
        return png
    small = io.BytesIO()
    # The one way of Pillow that keeps what is transparent; no dithering, which would roughen even colours.
    image.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def still(figure):
    "The figure as a picture shows it: without slider and buttons, which a picture cannot move, and without the room for them."
    figure = copy.deepcopy(figure)
    layout = figure["layout"]
    if layout.pop("sliders", None):
        layout["height"] = layout.get("height", 450) - 90  # what `with_slider` of mclrec.explore adds
        layout.setdefault("margin", {})["b"] = 50
    layout.pop("updatemenus", None)
    return figure


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
            figure = still(figure)
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
            return with_palette(url.split(",", 1)[1])

        yield paint
        browser.close()


def tidy(notebook):
    "Out with widgets, which a page without a kernel cannot show, with progress bars and the libraries' own log; figures made light."
    for cell in notebook["cells"]:
        kept = []
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            live = [data.pop(kind, None) for kind in WIDGETS] != [None]
            if live and set(data) == {"text/plain"}:
                continue  # of a widget alone, a progress bar say, nothing is left to see
            if out["output_type"] == "stream" and out["name"] == "stderr":
                continue
            if PLOTLY in data:
                data[PLOTLY] = light(data[PLOTLY])
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
    known = {json.dumps(light(data[PLOTLY]), sort_keys=True): data[PICTURE] for data in figures(before) if PICTURE in data}
    for data in figures(notebook):
        data[PICTURE] = known.get(json.dumps(data[PLOTLY], sort_keys=True)) or paint(data[PLOTLY])
        base64.b64decode(data[PICTURE], validate=True)
    if path.name != "index.ipynb":
        say_how_long(notebook, seconds)
    notebook["metadata"]["outputs_of"] = code_hash(notebook)
    write(path, notebook)
    print(f"{path.relative_to(root)}: {seconds:.0f} s, {len(list(figures(notebook)))} figures", flush=True)


def write(path, notebook):
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def shrink(path, paint):
    "Make what a notebook has stored small, without running it. Pictures with a painted slider are drawn anew."
    before = path.stat().st_size
    notebook = json.loads(path.read_text(encoding="utf-8"))
    tidy(notebook)
    for data in figures(notebook):
        moved = {"sliders", "updatemenus"} & set(data[PLOTLY]["layout"])
        data[PICTURE] = paint(data[PLOTLY]) if PICTURE not in data or (moved and not has_palette(data[PICTURE])) else with_palette(data[PICTURE])
    write(path, notebook)
    print(f"{path.relative_to(root)}: {before / 1000:.0f} → {path.stat().st_size / 1000:.0f} kB", flush=True)


def has_palette(png):
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(png))).mode == "P"


def main(names):
    small = "--shrink" in names
    names = [name for name in names if name != "--shrink"]
    paths = [Path(name).resolve() for name in names] or sorted(p for p in (root / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not names and not small:
        paths = [p for p in paths if outdated(json.loads(p.read_text(encoding="utf-8")))]
    failed = []
    if paths:
        with painter() as paint:
            for path in paths:
                try:
                    (shrink if small else renew)(path, paint)
                except Exception as e:  # of any kind: the other chapters shall not wait for this one
                    failed.append(f"{path.relative_to(root)}: {e}")
    if failed:
        sys.exit("\n\n".join(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
