"""Every numbered equation of the paper is explained, coded, checked and movable; and the ledger would notice if one were not."""
import json
import re
from pathlib import Path

import ledger
import pytest

ROOT = Path(__file__).resolve().parents[1]

FIGURE = dict(output_type="display_data", metadata={}, data={ledger.PLOTLY: {}})
BOOK = ledger.read()


def markdown(text):
    return dict(cell_type="markdown", source=text)


def code(text, *outputs):
    return dict(cell_type="code", source=text, outputs=list(outputs))


def small():
    "A book of one chapter in which Eq. 7 and Algorithm 1 have all that they need."
    return {"1_a/01_b.ipynb": dict(cells=[
        markdown("# A chapter\n\n> ?"),
        markdown("## By hand\n\n$$a = b \\tag{7}$$"),
        code('#| export\ndef f(x):\n    "a of Eq. 7."\n    return x'),
        code("# check: Eq. 7, Algorithm 1\nassert f(1) == 1"),
        code("# control: Eq. 7, Algorithm 1\nshow(f)", FIGURE),
        markdown("## Algorithm 1, read aloud"),
        code('#| export\nclass C:\n    def step(self):\n        "One turn of Algorithm 1."'),
    ])}


def about(equation, notebooks):
    return [fault for fault in ledger.faults(notebooks) if fault.startswith(equation + " ")]


def test_the_ledger_of_the_book_is_complete():
    assert ledger.faults(BOOK) == []


@pytest.mark.parametrize("text, equations", [
    ("Eq. 7", [7]), ("R of Eq. 11-13 as printed", [11, 12, 13]), ("Eq. 11–13", [11, 12, 13]), ("L (Eq. 7), R (Eq. 13)", [7, 13]),
    ("Eq. 2, 4-6, 9", [2, 4, 5, 6, 9]), ("Eq. 8's two terms", [8]), ("equation 7", []), ("§7", []), ("Eq. 7 and Eq. 7", [7]),
])
def test_a_text_names_equations(text, equations):
    assert ledger.named(text) == [f"Eq. {n}" for n in equations]


def test_a_complete_equation_has_all_four():
    found, wrong = ledger.collect(small())
    assert wrong == []
    assert {kind: [p.name or p.heading for p in places] for kind, places in found["Eq. 7"].items()} == {
        "explanation": ["By hand"], "symbol": ["f"], "check": ["By hand"], "control": ["By hand"]}
    assert {kind: [p.name or p.heading for p in places] for kind, places in found["Algorithm 1"].items()} == {
        "explanation": ["Algorithm 1, read aloud"], "symbol": ["C.step"], "check": ["By hand"], "control": ["By hand"]}


@pytest.mark.parametrize("cell, was, now, missing", [
    (1, "\\tag{7}", "", ["explanation"]),
    (2, "Eq. 7", "it", ["symbol"]),
    (2, "#| export\n", "", ["symbol"]),
    (2, "def f", "def _f", ["symbol"]),
    (3, "# check: ", "# ", ["check"]),
    (4, "# control: ", "# ", ["control"]),
    (3, "# check", "# control", ["check"]),
])
def test_what_is_taken_away_is_missed(cell, was, now, missing):
    book = small()
    changed = book["1_a/01_b.ipynb"]["cells"][cell]
    assert was in changed["source"]
    changed["source"] = changed["source"].replace(was, now)
    assert [re.match(r"Eq\. 7 has no (\w+)", fault)[1] for fault in about("Eq. 7", book)] == missing


@pytest.mark.parametrize("cell, change, says", [
    (3, dict(source="# check: Eq. 7, Algorithm 1\nf(1)"), "asserts nothing"),
    (4, dict(outputs=[]), "shows no figure"),
    (3, dict(source="x = 1\n# check: Eq. 7, Algorithm 1\nassert x"), "must be the first line"),
    (3, dict(source="# check: Eq 7\nassert 1"), "names no equation"),
    (3, dict(source="# check: Eq. 17\nassert 1"), "the paper has no Eq. 17"),
])
def test_a_mark_that_does_not_hold_is_named(cell, change, says):
    book = small()
    book["1_a/01_b.ipynb"]["cells"][cell] |= change
    wrong = [fault for fault in ledger.faults(book) if fault.startswith("nbs/1_a/01_b.ipynb, under “")]
    assert len(wrong) == 1 and says in wrong[0]
    assert about("Eq. 7", book) != []


@pytest.mark.parametrize("kind", ledger.KINDS)
@pytest.mark.parametrize("equation", ledger.EQUATIONS)
def test_the_book_without_its_marks_fails(equation, kind):
    "In the real book each of the 64 entries hangs on its marks, and on nothing else."
    places = ledger.collect(BOOK)[0][equation][kind]
    assert places, f"{equation} has no {kind} to take away"
    book = {path: dict(cells=[without(cell, path, equation, kind) for cell in notebook["cells"]]) if path in {p.path for p in places} else notebook
            for path, notebook in BOOK.items()}
    assert [fault for fault in ledger.faults(book) if fault.startswith(f"{equation} has no {kind}:")]


def without(cell, path, equation, kind):
    "The cell, or an empty one in its place if it is what the equation has of this kind."
    gives = [(e, k) for e, k, _ in ledger.entries(path, dict(cells=[cell]))]
    return {**cell, "source": ""} if (equation, kind) in gives else cell


def test_every_link_of_the_ledger_leads_to_its_heading():
    for target, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", ledger.table(BOOK)):
        headings = [words.replace("`", "") for cell in BOOK[target]["cells"] if cell["cell_type"] == "markdown" for _, words in ledger.headings(ledger.source(cell))]
        assert not anchor or anchor in [ledger.quote(words.replace(" ", "-"), safe="-.,:'!?") for words in headings]


def test_the_page_shows_the_ledger_of_today():
    "Its output is made from other notebooks, so its own unchanged code does not show that it is old."
    page = json.loads((ROOT / "nbs/ledger.ipynb").read_text(encoding="utf-8"))
    shown = ["".join(out["data"]["text/markdown"]) for cell in page["cells"] for out in cell.get("outputs", []) if "text/markdown" in out.get("data", {})]
    assert ledger.table(BOOK) in shown, "run `make outputs ARGS=nbs/ledger.ipynb`"
