"""Every exercise can be passed and failed: its solution passes, its stub does not, each typical mistake is told what is wrong with it.

The cells of a chapter with the tags exercise, solution and mistake are run by themselves, in order, as a reader with a fresh kernel does.
"""
import ast
import json
import linecache
import re
from pathlib import Path

import books
import outputs
import pytest
from ledger import source

from mclrec.teach import NOT_YET, Proof, Verdict

ROOT = Path(__file__).resolve().parents[1]
TAGS = {"exercise", "solution", "mistake"}
HEAD = re.compile(r"^\*\*\d\. [^*\n]+\*\* \*\((recall|code|explain), (★☆☆|★★☆|★★★), (\d+) minutes\)\*", re.M)
STUB = "raise NotImplementedError"


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def exercises(path):
    "The cells of a chapter that belong to its exercises."
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if tags(cell) & TAGS]


NOTEBOOKS = sorted(p for p in ROOT.glob("nbs/*/*.ipynb") if ".ipynb_checkpoints" not in p.parts and exercises(p))
LABS = [p for p in NOTEBOOKS if "_lab_" in p.stem]


def name(path):
    return path.stem


def run(code, where, label):
    "Run a cell in the namespace `where`; what its last line shows, or None."
    tree = ast.parse(code)
    linecache.cache[label] = (len(code), None, code.splitlines(keepends=True), label)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, label, "exec"), where)
    return eval(compile(ast.Expression(last.value), label, "eval"), where) if last else None


def called(cell, what):
    "The first argument of each call of `what` in a cell, and whom it is called with: [('check_x', 'x')] for `check_x(x)`."
    for node in ast.walk(ast.parse(source(cell))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and re.fullmatch(what, node.func.id):
            yield node.func.id, *(arg.id for arg in node.args[:2] if isinstance(arg, ast.Name))


def stubs(path):
    return [c for c in exercises(path) if c["cell_type"] == "code" and "exercise" in tags(c) and STUB in source(c)]


@pytest.fixture(autouse=True)
def nobody_guessed(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLREC_GUESSES", str(tmp_path / "guesses.json"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_solutions_pass_stubs_fail_and_mistakes_are_named(path):
    where, verdicts, proofs = {"__name__": path.stem}, [], []
    for k, cell in enumerate(exercises(path)):
        if cell["cell_type"] != "code":
            continue
        shown = run(source(cell), where, f"<{path.stem}, cell {k}>")
        if cell in stubs(path):
            verdicts.append(shown)
        if "mistake" in tags(cell):
            proofs.append(shown)
    assert verdicts == [Verdict(False, NOT_YET)] * len(verdicts) and verdicts, "a stub must be told that nothing is written yet"
    assert all(isinstance(proof, Proof) and len(proof) >= 3 for proof in proofs), "at least three typical mistakes by name"
    every = [says for proof in proofs for says in proof.values()]
    assert len(set(every)) == len(every) or path in LABS, "each mistake has a sentence of its own, in the whole chapter"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_each_exercise_has_its_three_cells_a_solution_and_a_proof(path):
    cells = exercises(path)
    checked = [next(called(cell, r"check_\w+")) for cell in stubs(path)]
    proven = [call[1:] for cell in cells if "mistake" in tags(cell) for call in called(cell, "proven")]
    assert checked == proven, "what is checked in a stub's cell is what `proven` tries, in the same order"
    for cell in stubs(path):
        code = source(cell)
        assert ast.get_docstring(next(n for n in ast.parse(code).body if isinstance(n, (ast.FunctionDef, ast.ClassDef)))), "a stub says what it is to give"
    assert [c["id"] for c in cells if tags(c) & {"solution", "mistake"} and c["cell_type"] == "code" and not c["metadata"].get("jupyter", {}).get("source_hidden")] == [], "folded"
    first = next(k for k, cell in enumerate(cells) if "solution" in tags(cell))
    assert source(cells[first]).startswith("## Solutions") and not any("exercise" in tags(cell) for cell in cells[first:]), "in a place of their own"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_each_exercise_says_its_kind_its_minutes_and_has_a_ladder_of_hints(path):
    texts = [source(cell) for cell in exercises(path) if cell["cell_type"] == "markdown" and "exercise" in tags(cell)]
    heads = [(text, HEAD.search(text)) for text in texts if text.startswith("**")]
    assert all(head for _, head in heads) and len(heads) * (2 if path in LABS else 1) == len(stubs(path)), "a lab has two answers: a test, a repair"
    for text, head in heads:
        hints = re.findall(r"<summary>Hint (\d)</summary>", text)
        assert hints == [str(k + 1) for k in range(len(hints))] and len(hints) >= 2, f"{head[0]}: a ladder has two steps at least"
    kinds = {head[1] for _, head in heads}
    if "3_the_field" in path.parts:
        assert len(heads) >= 2 and "code" in kinds, "two at least, and one of them to code"
    elif path not in LABS:
        assert kinds == {"code", "explain", "recall"}, "three at least: one to recall, one to code, one to explain a figure"


def test_what_the_chapters_ask_is_among_the_questions():
    from mclrec.questions import QUESTIONS

    asked = [key for path in ROOT.glob("nbs/[1-5]*/*.ipynb") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
             if cell["cell_type"] == "code" for key in re.findall(r'^(?:\w+ = )?guess\("([^"]+)"\)', source(cell), re.M)]
    assert sorted(asked) == sorted(QUESTIONS), "each question of the book is asked first in one chapter"


@pytest.mark.parametrize("path", [p for p in sorted(ROOT.glob("nbs/[1-5]*/*.ipynb")) if ".opens(" in p.read_text(encoding="utf-8") or "guess(" in p.read_text(encoding="utf-8")], ids=name)
def test_what_a_question_asks_waits_for_the_answer(path):
    "A question is followed by what opens after it; whoever has the page without a kernel finds a text of it folded."
    asked, opened = [], []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            asked += re.findall(r'^(\w+) = guess\("[^"]+"\)', source(cell), re.M)
            waits = re.findall(r"^(\w+)\.opens\(", source(cell), re.M)
            assert set(waits) <= set(asked) and not waits[1:], "one at a time, and after its question"
            opened += waits
            for out in cell["outputs"] if waits else ():
                assert outputs.PLOTLY in out["data"] or "".join(out["data"]["text/html"]).startswith('<details class="mclrec-opened">'), cell["id"]
            assert not re.search(r'^guess\("[^"]+"\)$', source(cell), re.M), "a question for the first time gets a name, so that something can wait for it"
    assert set(asked) == set(opened)


def test_what_is_asked_again_was_asked_before_and_once():
    first, again = {}, {}
    for path in sorted(ROOT.glob("nbs/[1-5]*/*.ipynb"), key=lambda p: p.stem):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for key, more in books.GUESS.findall(source(cell)) if cell["cell_type"] == "code" else ():
                assert not more or first[key] < path.stem, f"{path.stem}: {key} is asked again before it was asked"
                (again if more else first).setdefault(key, path.stem)
                assert not more or again[key] == path.stem, f"{key} is asked again in {again[key]} and in {path.stem}"
    assert len(again) >= 11


def bodies(path):
    "The lines of the functions and classes that solve a chapter's exercises, without those that their stubs have too."
    checked = {next(called(cell, r"check_\w+"))[1] for cell in stubs(path)}
    given = {line.strip() for cell in (exercises(path) if path in LABS else stubs(path)) if "exercise" in tags(cell) for line in source(cell).splitlines()}
    for cell in exercises(path):
        if cell["cell_type"] == "code" and "solution" in tags(cell):
            for node in ast.parse(source(cell)).body:
                if getattr(node, "name", None) in checked:
                    yield from {line.strip() for line in ast.get_source_segment(source(cell), node).splitlines()} - given - {""}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("books") / "student"
    assert books.write("student", folder) == []
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_student_file_holds_a_solution(student, path):
    text = (student / path.relative_to(ROOT / "nbs")).read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert not any(tags(cell) & books.FOR_THE_TEACHER for cell in cells) and "Solutions" not in text
    assert not re.search(r"<summary>[^<]*[Ss]olution", text), "a folded solution is a solution"
    lines = {line.strip() for cell in cells for line in source(cell).splitlines()}
    solved = set(bodies(path))
    assert len(solved) >= len(stubs(path)) and solved & lines == set()
    said = [s for cell in exercises(path) if cell["cell_type"] == "markdown" and "solution" in tags(cell) for s in re.split(r"(?<=[.:])\s", source(cell))]
    assert [s for s in said if len(s) > 40 and s in text] == []
    assert [source(c) for c in cells if c["cell_type"] == "code" and "exercise" in tags(c) and STUB in source(c)] == [source(c) for c in stubs(path)], "and the stubs are all there"


def test_the_students_book_shows_nothing_that_a_question_asks_for(student):
    asked = 0
    for path in student.rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell, after in zip(cells, cells[1:]):
            if cell["cell_type"] == "markdown" and books.asks(source(cell)) and after["cell_type"] == "code" and not books.GUESS.search(source(after)):
                asked += 1
                assert after["outputs"] == []
            assert not (cell["cell_type"] == "code" and books.OPENS.search(source(cell)) and cell["outputs"])
            if "exercise" in tags(cell) and cell["cell_type"] == "code":
                assert cell["outputs"] == []
    assert asked > 50


def test_links_between_a_students_chapters_lead_somewhere(student):
    for path in student.rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for link in re.findall(r"\]\((?!https?://|#)([^)#\s]+\.ipynb)", source(cell)) if cell["cell_type"] == "markdown" else ():
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_what_a_student_has_written_is_not_written_over(tmp_path):
    books.write("student", tmp_path)
    mine, other = tmp_path / "1_the_problem" / "01_data.ipynb", tmp_path / "1_the_problem" / "02_toy_shop.ipynb"
    mine.write_text(mine.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    new = other.read_bytes()
    other.unlink()
    assert books.write("student", tmp_path) == books.write("student", tmp_path) == ["1_the_problem/01_data.ipynb"]
    assert mine.read_bytes().endswith(b"\n\n") and other.read_bytes() == new, "and what was deleted comes back as new"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_the_teachers_book_has_it_all_open_and_a_page_of_its_own(tmp_path, path):
    cells = json.loads(books.made(path, "instructor"))["cells"]
    page = source(cells[1])
    assert page.startswith("## For the teacher") and all(head[2] in page for cell in exercises(path) for head in books.HEAD.finditer(source(cell)))
    assert len(re.findall(r"^\* \*\*", page, re.M)) >= 3 * len(stubs(path)), "each mistake with what is said of it"
    assert not any(cell["metadata"].get("jupyter", {}).get("source_hidden") for cell in cells if tags(cell) & books.FOR_THE_TEACHER)
    assert [cell for cell in cells if cell["id"] != "for-the-teacher"][0]["id"] == json.loads(path.read_text(encoding="utf-8"))["cells"][0]["id"]


@pytest.mark.parametrize("text, does", [("What do you expect?", True), ("It falls.", False), ("[why?](a.ipynb) It falls.", False), ("> What is it?\n\nIt falls.", False),
                                        ("It falls.\n<details><summary>Why?</summary>\nx\n</details>", False), ("`a ? b` is C.", False)])
def test_what_counts_as_a_question_to_the_reader(text, does):
    assert books.asks(text) == does
