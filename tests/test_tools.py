"""The tools in .ci: what they keep of a figure, which notebooks they run under which setting, what they say of an installation."""
import base64
import datetime
import io
import json
import re

import install
import minutes
import pytest
import test_notebooks
from outputs import PLOTLY, light, packed, still, tidy, unpacked, with_palette


@pytest.mark.parametrize("numbers, kind", [
    ([0, 1, 2, 3, 255], "u1"), ([0, 1, 2, 3, 256], "u2"), ([-1, 0, 1, 2, 127], "i1"), ([-1, 0, 1, 2, 128], "i2"), ([-1, 0, 1, 2, 70_000], "i4"),
    ([1.0, 2.0, 3.0, 4.0, 5.0], "u1"), ([0.5, 1, 2, 3, 4], "f4"), ([[0.5, 1, 2], [3, 4, 5]], "f4"), ([0.5, None, 2, 3, 4], "f4"),
])
def test_numbers_are_packed_and_come_back(numbers, kind):
    small = packed(numbers)
    assert small["dtype"] == kind and unpacked(small) == numbers


@pytest.mark.parametrize("value", [[1, 2, 3], ["a"] * 9, [True] * 9, [None] * 9, [1, 2, 3, 4, "5"], [[1, 2, 3], [4, 5]], [], [2.0**40] * 9])
def test_what_is_no_run_of_numbers_stays(value):
    assert packed(value) == value


def figure(**layout):
    trace = {"type": "scatter", "name": "a", "x": [1, 2, 3, 4, 5], "y": [0.123456, 2, 3, 4, 1234567.5], "text": ["t"]}
    frames = [{"name": str(k), "data": [trace | {"y": [k + 0.123456] * 5}], "layout": {"title": str(k), "height": 450, "margin": {"b": 120}}} for k in (0, 1)]
    return {"data": [trace], "frames": frames, "layout": {"title": "0", "height": 450, "margin": {"b": 120, "l": 60}} | layout}


def test_a_figure_is_made_light():
    whole = figure()
    small = light(whole)
    assert whole == figure(), "the given one is left as it was"
    assert unpacked(small["data"][0]["y"]) == pytest.approx([0.1235, 2, 3, 4, 1235000], rel=1e-6)
    assert [set(frame["data"][0]) for frame in small["frames"]] == [{"y"}, {"y"}], "what every frame repeats stands once"
    assert [set(frame["layout"]) for frame in small["frames"]] == [{"title", "margin"}] * 2
    assert light(small) == small, "and once is enough"
    assert len(json.dumps(small)) < len(json.dumps(whole))


def test_a_picture_has_no_slider():
    moved = figure(sliders=[{}], updatemenus=[{}])
    drawn = still(moved)
    assert "sliders" in moved["layout"] and not {"sliders", "updatemenus"} & set(drawn["layout"])
    assert (drawn["layout"]["height"], drawn["layout"]["margin"]["b"]) == (360, 50)
    assert still(figure())["layout"] == figure()["layout"]


def test_a_palette_keeps_colours_and_what_is_transparent():
    image = pytest.importorskip("PIL.Image")
    bars = image.new("RGBA", (300, 20), (0, 0, 0, 0))
    for x in range(200):
        bars.paste((0, 114, x, 255), (x, 0, x + 1, 20))
    png = io.BytesIO()
    bars.save(png, "PNG")
    small = with_palette(base64.b64encode(png.getvalue()).decode())
    again = image.open(io.BytesIO(base64.b64decode(small)))
    assert again.mode == "P" and with_palette(small) == small
    now = again.convert("RGBA")
    assert max(abs(a - b) for x in range(300) for a, b in zip(now.getpixel((x, 5)), bars.getpixel((x, 5)))) <= 16  # of 255, for 200 shades at once


def test_only_what_a_reader_should_see_is_kept():
    def out(**more):
        return {"output_type": "stream", "name": "stdout", "text": "x"} | more

    widget = {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"}, "metadata": {}}
    plot = {"output_type": "display_data", "data": {PLOTLY: figure(), "text/plain": "caption"}, "metadata": {}}
    notebook = {"cells": [{"cell_type": "code", "outputs": [out(), out(name="stderr", text="a library's log"), widget, plot]}]}
    tidy(notebook)
    kept = notebook["cells"][0]["outputs"]
    assert [o.get("name") or sorted(o["data"]) for o in kept] == ["stdout", [PLOTLY, "text/plain"]] and kept[1]["data"][PLOTLY] == light(figure())


def test_every_chapter_is_run_by_the_browser_or_by_nbdev():
    text = (test_notebooks.root / "tests" / "browser" / "test_chapters.py").read_text(encoding="utf-8")
    assert "for path in notebooks([]) if moves(path)]" in text
    CHAPTERS = [p.relative_to(test_notebooks.root).as_posix() for p in test_notebooks.notebooks([]) if test_notebooks.moves(p)]
    still_ones = [p.relative_to(test_notebooks.root).as_posix() for p in test_notebooks.notebooks([]) if not test_notebooks.moves(p)]
    every = [p.relative_to(test_notebooks.root).as_posix() for p in sorted((test_notebooks.root / "nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    assert sorted([*CHAPTERS, *still_ones]) == sorted(every)


def test_the_other_kernels_take_turns():
    first = datetime.date(2026, 1, 1)
    names = [test_notebooks.todays(first + datetime.timedelta(days)) for days in range(6)]
    own = __import__("torch").backends.cpu.get_cpu_capability().lower()
    assert names[0] != names[1] and set(names) == set(test_notebooks.SETTINGS) - {"native", own}


def test_the_installation_says_how_far_it_is(tmp_path):
    progress = install.Progress(tmp_path)
    for line in ("Collecting torch>=2.4 (from mclrec)", "  Downloading torch-2.13.0-cp311-none-any.whl (526.6 MB)", "Collecting numpy"):
        progress.read(line)
    assert progress.line() == "looking for packages and fetching them: 2 so far (torch, 526.6 MB)"
    progress.read("Installing collected packages: torch, numpy, mclrec")
    (tmp_path / "lib/python3.11/site-packages/torch-2.13.0.dist-info").mkdir(parents=True)
    assert progress.line() == "unpacking: 1 of 3 packages, 0.0 GB"


@pytest.mark.parametrize("text, count", [("two words", 2), ("$a+b$ is one", 3), ("```python\nx = 1\n```\nafter", 1), ("<details>\nthe solution\n</details>", 0),
                                         ("[a link](to/a_page.ipynb)", 2), ("`code` counts once", 3)])
def test_words_are_counted(text, count):
    assert minutes.words(text) == count


def test_make_says_every_target():
    text = (test_notebooks.root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"\.PHONY: (.*)", text)[1].split()) - {"help", "venv"}
    assert targets == set(re.findall(r'@echo "make ([a-z-]+) ', text)) | (targets & {"test-notebooks", "test-python"})
