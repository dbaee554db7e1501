"""What every chapter promises its reader, looked for in the notebooks as they are."""
import json
import re
from pathlib import Path

import pytest
from ledger import headings, source
from outputs import PLOTLY, measured

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(p for p in ROOT.glob("nbs/**/*.ipynb") if ".ipynb_checkpoints" not in p.parts)
TAUGHT = [p for p in NOTEBOOKS if p.parent.name.startswith(("1_", "2_"))]
MOVES = re.compile(r"\b(explorable|LiveTrainer)\(")  # what puts something to move on the page


def name(path):
    return path.relative_to(ROOT / "nbs").as_posix()


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [source(cell) for cell in notebook["cells"] if kind in (cell["cell_type"], "any")]


def moved(path):
    "The places, among all cells, of those that show something to move."
    notebook = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return notebook, [k for k, cell in enumerate(notebook) if cell["cell_type"] == "code" and shows(source(cell))]


def shows(code):
    "Whether a cell uses an explorable rather than defining what one is."
    return any(MOVES.search(line) and not re.match(r"\s*(def|class) ", line) for line in code.splitlines())


def prose(text):
    "A Markdown cell without its code."
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def unbalanced(text):
    "Formulas of a Markdown cell that do not close, each by how it begins."
    text = prose(text).replace(r"\$", "")
    pieces = text.split("$$")
    if len(pieces) % 2 == 0:
        return ["$$" + pieces[-1][:40]]
    paragraphs = [paragraph for outside in pieces[::2] for paragraph in re.split(r"\n\s*\n", outside)]
    inline = [paragraph for paragraph in paragraphs if paragraph.count("$") % 2]
    formulas = pieces[1::2] + [f for paragraph in paragraphs for f in paragraph.split("$")[1::2] if paragraph not in inline]
    braces = [f for f in formulas if len(re.findall(r"(?<!\\)\{", f)) != len(re.findall(r"(?<!\\)\}", f)) or unmatched(f)]
    return [piece[piece.rindex("$"):][:40] for piece in inline] + [f[:40] for f in braces]


def unmatched(formula):
    r"Whether a formula has more \left than \right, or the other way round."
    return len(re.findall(r"\\left(?![a-z])", formula)) != len(re.findall(r"\\right(?![a-z])", formula))


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_a_chapter_opens_with_its_question(path):
    first = cells(path, "any")[0]
    assert re.match(r"# [^\n]+\n\n> [^\n]*\?\n", first + "\n"), "the first cell is a title and, quoted, a question"
    assert measured.search(first), "the first cell says how long the chapter takes: run `make outputs`"


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_a_chapter_ends_with_a_summary(path):
    heads = [words for text in cells(path, "markdown") for level, words in headings(text) if level == 2]
    assert heads[-1] == "Summary"


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_a_chapter_has_something_to_move_and_asks_before_it_is_moved(path):
    notebook, places = moved(path)
    assert places, "there is no explorable"
    asked = []
    for k in places:
        before = next((source(cell) for cell in reversed(notebook[:k]) if cell["cell_type"] == "markdown"), "")
        asked.append("?" in before)
    assert any(asked), "no explorable has a question above it"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_formulas_close(path):
    assert [f for text in cells(path, "markdown") for f in unbalanced(text)] == []


LINES, WIDTH = 40, 140  # of a cell, of a line of code: what a projector shows whole, and CONTRIBUTING says
# Cells of one class that are longer for now, by their chapter and first line, and no longer than this.
LONGER = {
    ("01_data", "@dataclass(eq=False)"): 44,
    ("03_encoder", "class Encoder(nn.Module):"): 50,
    ("05_a_model", "class Recommender(nn.Module):"): 73,
    ("10_meta_training", "class MCLRec(EncoderRecommender):"): 78,
    ("11_training", "class Trainer:"): 51,
    ("34_our_recipe", "class Recipe(EncoderRecommender):"): 53,
    ("60_explorables", "class Explorable:"): 50,
    ("76_all_prefixes_at_once", "class Causal:"): 50,
    ("61_the_live_trainer", "class AdjustableRun:"): 79,
    ("61_the_live_trainer", "class LiveRun(AdjustableRun):"): 73,
    ("61_the_live_trainer", "class LiveTrainer:"): 76,
}


def first_line(code):
    "What a cell begins with, after nbdev's directives."
    return next((line for line in code.splitlines() if line.strip() and not line.startswith("#|")), "")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_cell_is_a_wall_of_code(path):
    long = {(path.stem, first_line(code)): len(code.splitlines()) for code in cells(path, "code") if len(code.splitlines()) > LINES}
    assert {cell: lines for cell, lines in long.items() if lines > LONGER.get(cell, LINES)} == {}, f"cells of more than {LINES} lines, by their first"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_line_of_code_runs_out_of_the_page(path):
    wide = [line for code in cells(path, "code") for line in code.splitlines() if len(line) > WIDTH]
    assert wide == [], f"lines of more than {WIDTH} characters, which a classroom's projector does not show whole"


def figures_first(path):
    "Visible lines of code above a chapter's first figure."
    lines = 0
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            if any(PLOTLY in out.get("data", {}) for out in cell.get("outputs", [])):
                return lines
            if not cell["metadata"].get("jupyter", {}).get("source_hidden"):
                lines += len([line for line in source(cell).splitlines() if line.strip() and not line.startswith("#|")])
    return lines


def test_what_is_listed_as_longer_is():
    "So that the list shrinks with the cells."
    now = {(path.stem, first_line(code)): len(code.splitlines()) for path in NOTEBOOKS for code in cells(path, "code")}
    assert {cell: now.get(cell) for cell, lines in LONGER.items() if now.get(cell, 0) <= LINES} == {}, "no longer longer, or gone: take it off the list"


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_a_figure_comes_before_much_code(path):
    assert figures_first(path) <= 60, "visible lines of code above the first figure: fold cells of machinery (metadata.jupyter.source_hidden)"


@pytest.mark.parametrize("path", TAUGHT, ids=name)
def test_a_chapter_says_what_it_is_for_and_what_one_can_do_after_it(path):
    texts = cells(path, "markdown")
    assert all(re.search(rf"\*{word}", "\n".join(texts[:2])) for word in ("Goals", "You need", "Minutes")), "at the top: *Goals*, *You need*, *Minutes*"
    assert "You can now" in texts[-1], "at the end: what the reader can now do"


def test_parts_one_and_two_are_read_in_six_minutes():
    seconds = {name(p): int(m[1]) for p in TAUGHT if (m := measured.search(cells(p, "any")[0]))}
    assert max(seconds.values(), default=0) <= 60 and sum(seconds.values()) <= 360, seconds


@pytest.mark.parametrize("text, faults", [
    ("so $a$ and $b$", 0), ("$a", 1), ("$$a$$ and $b$", 0), ("$$a", 1), ("it costs \\$5", 0), ("`$HOME` is $x$", 0), ("```sh\necho $X\n```\n$x$", 0),
    ("$\\frac{a}{b$", 1), ("$\\{1\\}$ and $\\lbrace$", 0), ("$a\n\nb$", 2), ("$\\left(a\\right.$", 0), ("$\\left(a$", 1), ("$a\\leftarrow b$", 0),
])
def test_what_counts_as_a_formula_that_does_not_close(text, faults):
    assert len(unbalanced(text)) == faults


@pytest.mark.parametrize("code, does", [("explorable(f, x=[1])", True), ("x = explorable(f, x=[1])", True), ("def explorable(figure):", False), ("class LiveTrainer(X):", False), ("LiveTrainer(data)", True)])
def test_what_counts_as_something_to_move(code, does):
    assert shows(code) == does
