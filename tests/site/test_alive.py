"""What is kept for the web book, without a browser: every explorable of the notebooks is there with its controls, and no control is dead."""
import gzip
import json
from pathlib import Path

import frames
import pytest
from outputs import PLOTLY

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "nbs").glob("*/*.ipynb"))


def explorables(path):
    "The cells of a chapter that stored figures with a slider or a menu: {id: how many}."
    found = {}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        shown = [out["data"][PLOTLY]["layout"] for out in cell.get("outputs", []) if PLOTLY in out.get("data", {})]
        moved = sum(1 for layout in shown if {"sliders", "updatemenus"} & set(layout))
        if moved:
            found[cell["id"]] = moved
    return found


@pytest.mark.parametrize("path", [path for path in CHAPTERS if explorables(path)], ids=lambda path: path.stem)
def test_the_site_has_the_explorables_of_the_notebook(path):
    kept = (frames.read(path) or {"cells": {}})["cells"]
    alive = {cell: sum(1 for one in shown if one["controls"]) for cell, shown in kept.items()}
    assert {cell: alive.get(cell, 0) for cell in explorables(path)} == explorables(path), f"python .ci/frames.py {path.relative_to(ROOT)}"


def dead(one):
    "The controls of a recorded figure that, wherever the others stand, change nothing."
    sizes = [len(control["values"]) for control in one["controls"]]
    still, step = [], len(one["roots"])
    for control, size in zip(one["controls"], sizes):
        step //= size
        if all(root == one["roots"][k - k // step % size * step] for k, root in enumerate(one["roots"])):
            still.append(control["name"])
    return still


@pytest.mark.parametrize("path", sorted(frames.folder.glob("*.json.gz")), ids=lambda path: path.name.split(".")[0])
def test_no_recorded_control_is_dead(path):
    recorded = [one for shown in json.loads(gzip.decompress(path.read_bytes())).get("cells", {}).values() for one in shown]
    assert [(one["caption"][:50], still) for one in recorded if not one.get("fixed") and (still := dead(one))] == []
