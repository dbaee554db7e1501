"""Makes a student's or a teacher's book of the notebooks: `make student` writes _student/, `make instructor` writes _instructor/.

    python .ci/books.py student [FOLDER]      stubs without solutions; what a question asks for is seen only by running the cell
    python .ci/books.py instructor [FOLDER]   everything, unfolded, and at the head of each chapter a page for who teaches it

One source, the notebooks in nbs/, and the tags of their cells: `exercise`, `solution`, `mistake`, `instructor`, `notes`. A notebook in the folder
that somebody has worked in since it was made is left as it is; delete it and run this again to have it back as new.
"""
import hashlib
import json
import re
import sys
from pathlib import Path

from minutes import minutes

root = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(root))
FURTHER_DOWN = " Solutions are folded further down."
FOR_THE_TEACHER = {"solution", "mistake", "instructor", "notes"}
HEAD = re.compile(r"^\*\*(\d)\. ([^*\n]+)\*\* \*\((\w+), (★☆☆|★★☆|★★★), (\d+) minutes\)\*", re.M)
GUESS = re.compile(r'^(?:\w+ = )?guess\("([^"]+)"(, again=True)?\)', re.M)
OPENS = re.compile(r"^\w+\.opens\(", re.M)
MADE = ".made.json"  # the hash of each notebook as it was made


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def text_cell(id, text):
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": text.splitlines(keepends=True)}


def asks(text):
    "Whether a text puts a question to its reader; one that is quoted, folded or part of an address does not count."
    return "?" in re.sub(r"<details>.*?</details>|\[[^\]]*\]\([^)]*\)|`[^`]*`|^>.*?$|\*[^*\n]*\?[^*\n]*\*:", "", text, flags=re.S | re.M)


def student(notebook):
    "Without solutions, and without the outputs that a question above them asks for."
    cells, asked = [], False
    for cell in notebook["cells"]:
        if tags(cell) & FOR_THE_TEACHER:
            continue
        if cell["cell_type"] == "markdown":
            asked = asks(source(cell))
            cell["source"] = source(cell).replace(FURTHER_DOWN, "").splitlines(keepends=True)
        else:
            asked = asked or bool(GUESS.search(source(cell)))
            if (asked and not GUESS.search(source(cell))) or OPENS.search(source(cell)) or "exercise" in tags(cell):
                cell["outputs"] = []
        cells.append(cell)
    return cells


def instructor(notebook):
    "With everything open, and after the title a page of what there is to teach with."
    from mclrec.questions import QUESTIONS

    for cell in notebook["cells"]:
        if tags(cell) & FOR_THE_TEACHER:
            cell["metadata"].get("jupyter", {}).pop("source_hidden", None)
    lines = ["## For the teacher", "", f"*Minutes of reading and moving, counted:* {minutes(notebook):.0f}.", ""]
    found = [m for cell in notebook["cells"] if "exercise" in tags(cell) for m in HEAD.finditer(source(cell))]
    if found:
        lines += [f"*Minutes of exercises:* {sum(int(m[5]) for m in found)}.", "", *(f"* {m[1]}. {m[2]} ({m[3]}, {m[4]}, {m[5]} minutes)" for m in found), ""]
    wrong = [line for cell in notebook["cells"] if "mistake" in tags(cell) for line in stored(cell).splitlines() if line.startswith("✗ ") and ": " in line]
    if wrong:
        lines += ["*What goes wrong, and what the checker says then:*", "", *(f"* **{name}**: {says}" for name, says in (line[2:].split(": ", 1) for line in wrong)), ""]
    asked = [m for cell in notebook["cells"] if cell["cell_type"] == "code" for m in GUESS.finditer(source(cell)) if m[1] in QUESTIONS]
    if asked:
        lines += ["*Ask before you show:*", ""]
        for m in asked:
            question = QUESTIONS[m[1]]
            lines += [f"* {question.text}" + (" (asked once more)" if m[2] else "")]
            lines += [] if m[2] else [f"    * {'✓' if answer == question.right else '✗'} {answer}: {reply}" for answer, reply in question.replies.items()]
        lines += [""]
    return [notebook["cells"][0], text_cell("for-the-teacher", "\n".join(lines).rstrip()), *notebook["cells"][1:]]


def stored(cell):
    "What a cell shows as plain text."
    return "\n".join("".join(out.get("text") or out.get("data", {}).get("text/plain", "")) for out in cell.get("outputs", []))


BOOKS = {"student": student, "instructor": instructor}


def made(path, kind):
    "A notebook of the book of that kind, as the bytes of its file."
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"] = BOOKS[kind](notebook)
    notebook["metadata"].pop("outputs_of", None)
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def write(kind, folder):
    "Write the whole book into `folder`; the notebooks there that were left alone because somebody has worked in them."
    known = folder / MADE
    before = json.loads(known.read_text()) if known.is_file() else {}
    now, kept = {}, []
    for path in sorted((root / "nbs").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        name = path.relative_to(root / "nbs").as_posix()
        target, content = folder / name, made(path, kind)
        now[name] = hashlib.sha256(content).hexdigest()
        if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() not in (before.get(name), now[name]):
            kept.append(name)
            now[name] = before.get(name)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    known.write_text(json.dumps(now, indent=1))
    return kept


def main(given):
    if not 1 <= len(given) <= 2 or given[0] not in BOOKS:
        sys.exit(f"Say which book: python .ci/books.py {'|'.join(BOOKS)} [FOLDER]")
    folder = Path(given[1]) if len(given) == 2 else root / f"_{given[0]}"
    kept = write(given[0], folder)
    print(f"The {given[0]}'s book is in {folder}: {len(list(folder.rglob('*.ipynb')))} notebooks.")
    if kept:
        print("Left as they are, because somebody has worked in them (delete one and run this again to have it as new): " + ", ".join(kept))


if __name__ == "__main__":
    main(sys.argv[1:])
