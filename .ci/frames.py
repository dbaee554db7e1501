"""Records what a page without Python shows when a control is moved: every explorable of a chapter, drawn at every point of its grid.

    python .ci/frames.py                         the chapters whose code has changed since they were recorded
    python .ci/frames.py nbs/…/07_contrast.ipynb those named
    python .ci/frames.py shop                    the small model that runs in the page (web/try.js)

The chapter runs as a reader runs it. While it does, an explorable that is shown also calls its own function at every combination of its controls, and
what comes out is kept in web/frames/, a file a chapter, rounded as stored figures are, each piece that several figures share kept once. `make book`
takes the frames from there. Two things are recorded otherwise: the live trainer, by training a handful of settings, and a section of the playground,
by making it for each preset.
"""
import gzip
import json
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
from outputs import code_hash, four_digits, unpacked

EXERCISES = {"exercise", "solution", "mistake"}  # cells that draw nothing

root = Path(__file__).resolve().parents[1]
folder = root / "web" / "frames"
FRAMES = "application/vnd.mclrec.frames+json"
MOST = 1200  # points of one explorable; a larger grid is thinned, and the page says so


def plain(value):
    "A piece of a figure with its numbers unpacked and rounded."
    if isinstance(value, dict):
        return plain(unpacked(value)) if "bdata" in value else {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else four_digits(value)


class Pieces:
    """Figures as a list of pieces, none of them twice; a figure is the number of its piece.

    A piece is [-1, value] (a value as it is), [-2, numbers of pieces…] (a list) or [k, numbers of pieces…], an object with the keys `keys[k]`.
    """

    def __init__(self):
        self.keys, self.pieces, self._known, self._names = [], [], {}, {}

    def add(self, value):
        if isinstance(value, dict):
            names = tuple(value)
            if names not in self._names:
                self._names[names] = len(self.keys)
                self.keys.append(names)
            piece = [self._names[names], *map(self.add, value.values())]
        elif isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
            piece = [-2, *map(self.add, value)]
        else:
            piece = [-1, value]
        name = json.dumps(piece, ensure_ascii=False)
        if name not in self._known:
            self._known[name] = len(self.pieces)
            self.pieces.append(piece)
        return self._known[name]


def thinned(grid, most=MOST):
    "The grid with every second value taken from its longest control until it has at most so many points; a control's first value stays."
    grid = {name: list(values) for name, values in grid.items()}

    def points():
        size = 1
        for values in grid.values():
            size *= len(values)
        return size

    while points() > most:
        name = max(grid, key=lambda name: len(grid[name]))
        first, ordered = grid[name][0], sort(grid[name])
        kept = ordered[ordered.index(first) % 2::2]
        grid[name] = [first, *(value for value in kept if value != first)]
    return grid


def sort(values):
    from mclrec.explore import in_order

    return in_order(values)


def recorded(figure, grid, caption, play=None, clicks=None, note=""):
    "What a page needs to show `figure(**point)` for each point of the grid, and its controls."
    from mclrec.explore import _numbers, label_of

    drawn_by = getattr(figure, "func", figure)
    function = getattr(drawn_by, "__name__", "")
    fixed = TWINS[function](drawn_by, grid) if function in TWINS else None
    whole, grid = grid, grid if fixed else thinned(grid)
    controls, pieces, begun = [], Pieces(), time.perf_counter()
    for name, values in grid.items():
        ordered = sort(values)
        kind = "slider" if _numbers(values) and len(values) > 2 else "buttons" if len(values) <= 6 else "menu"
        words = ["yes" if v is True else "no" if v is False else str(v) for v in ordered]
        controls.append(dict(name=name, label=label_of(name), kind=kind, values=words, start=ordered.index(values[0])))
    roots = []
    for values in [[values[0] for values in grid.values()]] if fixed else product(*map(sort, grid.values())):
        shown = json.loads(figure(**dict(zip(grid, values))).to_json())
        roots.append(pieces.add(plain({"data": shown["data"], "layout": without_template(shown["layout"])})))
    coarser = {label_of(name): [len(grid[name]), len(whole[name])] for name in grid if len(grid[name]) < len(whole[name])}
    return dict(caption=caption, note=note, function=function, fixed=fixed, play=play, clicks=clicks, controls=controls, coarser=coarser,
                keys=pieces.keys, pieces=pieces.pieces, roots=roots, seconds=round(time.perf_counter() - begun, 1))


def contrast_fixed(figure, grid):
    "The angles of the negatives that nobody moves, in degrees, for each size of batch."
    from mclrec.figures.views import _on_circle

    points = {B: _on_circle(0, 0, 0, 1, B, 1)[3:] for B in grid["B"]}
    return {B: [math.degrees(math.atan2(y, x)) for x, y in some.tolist()] for B, some in points.items()}


def hinges_fixed(figure, grid):
    "The scores before they are moved: with which each anchor meets its partner, and the others, for both kinds of margins."
    from mclrec.figures.views import anchor_scores

    S = figure.__globals__["S"].detach()
    return {margins: [x.double().tolist() for x in anchor_scores(S, margins)] for margins in grid["margins"]}


# Functions that web/computed.js computes for any value, not only those of the grid: what it must be told. Of these one point is recorded, the start.
TWINS = {"contrast_figure": contrast_fixed, "hinges": hinges_fixed}


def without_template(layout):
    "Plotly's template is empty in the book's style; what a figure without that style brings is 7 kB, the same each time."
    return {name: part for name, part in layout.items() if name != "template"}


# ---- in the chapter's kernel


def watch(place):
    """From now on whatever is shown also records itself, as a file in `place`.

    By the name of its class: the chapters that explain these classes define them anew.
    """
    from IPython import get_ipython

    formatter = get_ipython().display_formatter
    usual, records = formatter.format, {"Explorable": explorable_frames, "Diagram": diagram_frames, "LiveTrainer": trainer_frames, "Section": section_frames}

    def format_(shown, *args, **how):
        data, more = usual(shown, *args, **how)
        shown = shown.thing if type(shown).__name__ == "Opened" else shown  # what waits for a guess
        taken = records.get(type(shown).__name__, lambda shown: None)(shown) if data else None
        if taken:
            path = Path(place) / f"{len(os.listdir(place))}.json"
            path.write_text(json.dumps(taken, ensure_ascii=False), encoding="utf-8")
            data = {**data, FRAMES: path.name}
        return data, more

    formatter.format = format_


def explorable_frames(shown):
    return recorded(shown.figure, shown.grid, shown.caption, shown.play)


def diagram_frames(shown):
    return recorded(shown.figure, shown.grid, shown.caption, clicks="box")


AFTER, BATCHES = 30, 60
BRANCHES = {"nothing": {}, "β = 0.4": {"beta": 0.4}, "R off": {"regularizer": False}, "joint instead of meta": {"joint": True},
            "learning rates × 10": {"lr": 10, "lr_aug": 10}}


def trainer_frames(trainer):
    "A live trainer as a recording: the same run five times, and after half of its batches a setting is changed, each time another one."
    from mclrec.live import AdjustableRun, curves_figure

    run, histories = trainer.run, {}
    for words, changes in BRANCHES.items():
        one = AdjustableRun(run.data, run.seed, valid_every=10, **run.values, **run.fixed)
        for batch in range(BATCHES):
            if batch == AFTER:
                for name, value in changes.items():
                    one.set(name, value * one.values[name] if name in ("lr", "lr_aug") else value)
            one.batch()
        histories[words] = one.history

    def figure(batch, changed):
        return curves_figure(histories[changed][:batch])

    grid = dict(batch=[BATCHES, *range(5, BATCHES, 5)], changed=list(BRANCHES))
    note = (f"A recording of {len(BRANCHES)} runs: after batch {AFTER} one setting is changed. Where a kernel runs, this is a trainer with every setting "
            "under a control: open the notebook to use it.")
    return recorded(figure, grid, f"Losses, validation and gradients of a recorded run, and what is changed after batch {AFTER}.", "batch", note=note)


STAGES = {}


def section_frames(section):
    "A section of the playground on the toy shop, with the preset as one more control; other data need a kernel."
    play, shown = section.playground, section.shown
    if type(shown).__name__ == "LiveTrainer":
        return trainer_frames(shown)
    presets = [widget for name, widget in play.controls.items() if name == "preset"]
    if not presets:
        return explorable_frames(shown) if hasattr(shown, "grid") else None
    made = {}
    for preset in presets[0].options:
        chosen = {**play.chosen, "preset": preset}
        key = (id(play), *chosen.values())
        if key not in STAGES:
            STAGES[key] = play.stage if chosen == play.chosen else play.prepare(lambda share: True, **chosen)
        made[preset] = section.make(STAGES[key])
    grids = [one.grid for one in made.values()]
    start = {name: values[0] for name, values in shown.grid.items()}
    if any(grid != grids[0] for grid in grids) or len({one.figure(**start).to_json() for one in made.values()}) == 1:
        return explorable_frames(shown)  # the preset is no matter here, a history is what it is

    def figure(preset, **point):
        return made[preset].figure(**point)

    note = "Recorded on the toy shop. With a kernel, the menus above this figure also choose the data."
    return recorded(figure, {"preset": list(made), **shown.grid}, shown.caption, shown.play, note=note)


# ---- the model that runs in the page

SHOP = folder / "shop.json.gz"


def shop():
    "Train a small MCLRec on the toy shop and keep what web/try.js needs of it: the encoder's weights, the items and their aisles, some histories."
    import base64

    import mclrec
    import numpy as np
    from mclrec.toy import AISLES, TINTS

    data = mclrec.load("toy")
    model = mclrec.MCLRec(data.n_items, preset="official", d=32, n=20, dropout=0.2, attention_dropout=0.2)
    mclrec.fit(model, data, epochs=10, batch_size=128, lr=0.005, lr_aug=0.005, seed=2020)
    weights = {name: value.numpy() for name, value in model.encoder.state_dict().items() if name.split(".")[0] in ("M", "P", "norm", "blocks")}
    flat = np.concatenate([value.ravel() for value in weights.values()]).astype("<f4")
    numbers = {name: k + 1 for k, name in enumerate(data.item_ids)}
    kept = dict(
        d=32, n=20, heads=model.encoder.heads, items=list(data.item_ids), shapes=[[name, list(value.shape)] for name, value in weights.items()],
        aisles={aisle: [numbers[item] for item in items] for aisle, items in AISLES.items()}, tints={aisle: TINTS[aisle] for aisle in AISLES},
        histories=[data[user][-8:].tolist() for user in (2, 5, 33, 76)], weights=base64.b64encode(flat.tobytes()).decode())
    folder.mkdir(parents=True, exist_ok=True)
    SHOP.write_bytes(gzip.compress(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0))
    print(f"shop: HR@10 {mclrec.evaluate(model, data, split='test')['HR@10']:.3f}, {SHOP.stat().st_size / 1000:.0f} kB", flush=True)


# ---- in the process that runs the chapters


def record(path):
    "Run one chapter and write its frames; a line for each explorable: its points, how long they took, and whether it was thinned."
    import tempfile

    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    source = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place:
        first = f"import sys; sys.path.insert(0, {str(root / '.ci')!r}); import frames; frames.watch({place!r})"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
        where = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=1800, kernel_name="python3", store_widget_state=False, resources=where).execute()
        cells = {}
        for cell in notebook.cells[1:]:
            names = [out["data"][FRAMES] for out in cell.get("outputs", []) if FRAMES in out.get("data", {})]
            if names:
                cells[cell["id"]] = [json.loads((Path(place) / name).read_text(encoding="utf-8")) for name in names]
    found = [one for shown in cells.values() for one in shown]
    seconds = [one.pop("seconds") for one in found]
    write(path, {"of": drawing_hash(source), "cells": cells})
    return [f"    {' × '.join(str(len(c['values'])) for c in one['controls'])} = {len(one['roots'])} points, {took:.0f} s"
            f"{'; thinned: ' + str(one['coarser']) if one['coarser'] else ''}  {one['caption'][:60]}" for one, took in zip(found, seconds)]


def place_of(path):
    return folder / (path.stem + ".json.gz")


def write(path, frames):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(frames, ensure_ascii=False, separators=(",", ":"))
    place_of(path).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read(path):
    "The frames of a chapter, {'of': the code they came from, 'cells': {cell: [frames of its figures]}}; None if there are none."
    return json.loads(gzip.decompress(place_of(path).read_bytes())) if place_of(path).exists() else None


def needed(path):
    "Whether a chapter shows something to move."
    from test_notebooks import MOVES

    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return any(MOVES.search(text) or "@play.section" in text for text in code)


def drawing_hash(notebook):
    "The `code_hash` of a notebook without its exercises."
    return code_hash({"cells": [c for c in notebook["cells"] if not EXERCISES & set(c["metadata"].get("tags", []))]})


def stale(path):
    "Whether a chapter's frames came from other code than it has, exercises apart, or are missing."
    found, notebook = read(path), json.loads(path.read_text(encoding="utf-8"))
    return found is None or found["of"] not in (drawing_hash(notebook), code_hash(notebook))


def attempt(path):
    "Record a chapter: nothing, or what went wrong; the other chapters shall not wait for it."
    begun = time.perf_counter()
    try:
        lines = record(path)
    except Exception as e:  # of any kind
        return [f"{path.relative_to(root)}: {e}"]
    size = place_of(path).stat().st_size / 1000
    print("\n".join([f"{path.relative_to(root)}: {time.perf_counter() - begun:.0f} s, {size:.0f} kB", *lines]), flush=True)
    return []


def main(names):
    if names == ["shop"] or not SHOP.exists():
        shop()
    if names == ["shop"]:
        return
    chapters = [Path(name).resolve() for name in names]
    if not names:
        chapters = [p for p in sorted((root / "nbs").glob("*/*.ipynb")) if needed(p) and stale(p)]
    failed = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for said in pool.map(attempt, chapters):
            failed += said
    if failed:
        sys.exit("\n\n".join(failed))


if __name__ == "__main__":
    # By its name, so that the processes that record find what they are sent.
    import frames

    frames.main(sys.argv[1:])
