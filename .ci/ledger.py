"""The equation ledger: where the book explains, codes, checks and lets the reader move each numbered equation of the paper.

It is read off the notebooks of parts 1 and 2, nothing is typed in twice:

- explanation: a Markdown cell with `\\tag{7}`; for Algorithm 1 one with "Algorithm 1" in a heading;
- symbol: an exported function, class or method whose docstring has "Eq. 7", "Eq. 11-13" or "Eq. 11, 12", or "Algorithm 1";
- check: a code cell that asserts and whose first comment is `# check: Eq. 7`;
- control: a code cell that shows a figure and whose first comment is `# control: Eq. 7`.

`python .ci/ledger.py` prints what is missing and fails if anything is.
"""
import ast
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

root = Path(__file__).resolve().parents[1]
EQUATIONS = [f"Eq. {n}" for n in range(1, 16)] + ["Algorithm 1"]
KINDS = {"explanation": r"a Markdown cell with \tag{n}", "symbol": "an exported function with the equation in its docstring",
         "check": "a cell that begins with `# check: Eq. n`", "control": "a cell that begins with `# control: Eq. n`"}
TITLES = {1: "the task", 2: "a sequence becomes a vector", 3: "the loss of the next item", 4: "two views of a history", 5: "views by the augmenters",
          6: "the encoder's loss, without R", 7: "contrast of the data views", 8: "the contrastive loss", 9: "contrast with the augmenters' views",
          10: "the augmenters' loss, without R", 11: "positive and negative scores", 12: "the margins", 13: "the regularizer",
          14: "the encoder's loss", 15: "the augmenters' loss"}
PLOTLY = "application/vnd.plotly.v1+json"

numbers = re.compile(r"Eqs?\. (\d+(?:\s*[-–]\s*\d+)?(?:,\s*\d+(?:\s*[-–]\s*\d+)?)*)")
tag = re.compile(r"\\tag\{(\d+)\}")
mark = re.compile(r"#\s*(check|control):\s*(.*)")


class Place(NamedTuple):
    "A cell of a chapter: its notebook (a path from nbs/), the chapter's title, the heading above the cell; and what stands there, a symbol's name."
    path: str
    title: str
    heading: str
    name: str = ""


def named(text):
    "The equations, and Algorithm 1, that a text names: 'Eq. 11-13' → ['Eq. 11', 'Eq. 12', 'Eq. 13']."
    found = []
    for group in numbers.findall(text):
        for part in group.split(","):
            first, *last = (int(n) for n in re.split(r"[-–]", part))
            found += [f"Eq. {n}" for n in range(first, (last or [first])[0] + 1)]
    return list(dict.fromkeys(found + (["Algorithm 1"] if "Algorithm 1" in text else [])))


def source(cell):
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def headings(text):
    "The headings of a Markdown cell, outermost first as they come, as (level, words)."
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [(len(level), words.strip()) for level, words in re.findall(r"^(#+) (.*)$", text, re.M)]


@cache
def documented(code):
    "(name, docstring) of every public function and class of a module's text, methods as Class.method."
    things = [("", node) for node in ast.parse(code).body]
    things += [(f"{c.name}.", node) for _, c in things if isinstance(c, ast.ClassDef) and not c.name.startswith("_") for node in c.body]
    things = [(outer, node) for outer, node in things if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")]
    return [(outer + node.name, ast.get_docstring(node) or "") for outer, node in things]


def body(cell):
    "The lines of a code cell without its nbdev directives and leading blank lines; and whether it is exported."
    lines = source(cell).strip().splitlines()
    directives = [line for line in lines if re.match(r"#\s*\|", line)]
    rest = [line for line in lines if line not in directives]
    return "\n".join(rest).strip(), any(re.match(r"#\s*\|\s*exports?\b", line) for line in directives)


def entries(path, notebook):
    "What one notebook gives to the ledger: (equation, kind, place), and (None, what is wrong, place) for marks that do not hold."
    title = heading = ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            heads = headings(source(cell))
            for level, words in heads:
                title, heading = (words, words) if level == 1 else (title, words)
            place = Place(path, title, heading)
            found = [f"Eq. {n}" for n in tag.findall(source(cell))]
            if any("Algorithm 1" in words for _, words in heads):
                found.append("Algorithm 1")
            yield from ((equation, "explanation", place) for equation in found)
        elif cell["cell_type"] == "code":
            code, exported = body(cell)
            place = Place(path, title, heading)
            first, *others = code.splitlines() or [""]
            if exported:
                for name, doc in documented(code):
                    yield from ((equation, "symbol", place._replace(name=name)) for equation in named(doc))
            if m := mark.match(first):
                kind, what = m[1], named(m[2])
                if not what:
                    if re.search(r"\d", m[2]):
                        yield None, f"`{first}` names no equation", place
                elif kind == "check" and not re.search(r"^\s*(assert\b|\S*\bassert_\w+\(|with pytest\.raises)", code, re.M):
                    yield None, f"`{first}` asserts nothing", place
                elif kind == "control" and not any(PLOTLY in out.get("data", {}) for out in cell.get("outputs", [])):
                    yield None, f"`{first}` shows no figure", place
                else:
                    yield from ((equation, kind, place) for equation in what)
            for line in others:
                if mark.match(line) and named(line):
                    yield None, f"`{line}` must be the first line of its cell", place


def read(folder=root / "nbs"):
    "Every notebook of parts 1 and 2, by its path from `folder`."
    paths = sorted(p for part in ("1_*", "2_*") for p in Path(folder).glob(f"{part}/*.ipynb"))
    return {p.relative_to(folder).as_posix(): json.loads(p.read_text(encoding="utf-8")) for p in paths}


def collect(notebooks):
    "The ledger, {equation: {kind: [places]}}, each place once; and what is wrong with marks, a sentence each."
    ledger, wrong = {equation: {kind: [] for kind in KINDS} for equation in EQUATIONS}, []
    for path, notebook in notebooks.items():
        for equation, kind, place in entries(path, notebook):
            if equation is None:
                wrong.append(f"nbs/{path}, under “{place.heading}”: {kind}.")
            elif equation not in ledger:
                wrong.append(f"nbs/{path}, under “{place.heading}”: the paper has no {equation}.")
            elif place not in ledger[equation][kind]:
                ledger[equation][kind].append(place)
    return ledger, wrong


def faults(notebooks):
    "What keeps the ledger from being complete, a sentence each; nothing if all is well."
    ledger, wrong = collect(notebooks)
    missing = [f"{equation} has no {kind}: it needs {how}." for equation, kinds in ledger.items() for kind, how in KINDS.items() if not kinds[kind]]
    return missing + wrong


def link(place):
    "A Markdown link to a place, from a notebook in nbs/. A heading with a formula in it has no address of its own."
    words = place.heading.replace("`", "")
    anchor = "" if "$" in words or words == place.title or not words else "#" + quote(words.replace(" ", "-"), safe="-.,:'!?")
    text = f"`{place.name}`" if place.name else words if "$" not in words else place.title
    return f"[{text}]({place.path}{anchor})"


def chapter(places):
    "The chapters of some places, as links, in the book's order."
    return ", ".join(f"[{number(path)}]({path})" for path in sorted({p.path for p in places}))


def number(path):
    "'2_the_method/07_contrast.ipynb' → '07'."
    return Path(path).name.split("_")[0]


def table(notebooks):
    "The ledger as a Markdown table, for a notebook in nbs/."
    ledger, _ = collect(notebooks)
    rows = ["| | in the paper | chapter | explained under | in the library | checked under | moved under |", "|---|---|---|---|---|---|---|"]
    for equation, kinds in ledger.items():
        what = TITLES[int(equation[4:])] if equation.startswith("Eq.") else "the training, step by step"
        cells = [" · ".join(dict.fromkeys(map(link, places))) or "**missing**" for places in kinds.values()]
        rows.append(f"| **{equation}** | {what} | {chapter(kinds['explanation'])} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    if found := faults(read()):
        sys.exit("\n".join(found))
