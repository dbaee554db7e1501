"""Turns a chapter's exercises into an assignment for otter-grader, for courses that grade with it. Otter itself is not needed here.

    python .ci/for_otter.py nbs/2_the_method/07_contrast.ipynb contrast.ipynb
    otter assign contrast.ipynb dist                    in an environment with otter-grader: what students get, and an autograder

Each exercise becomes a question of one point: its text, its stub as the prompt, its solution, and one test that asks the chapter's own checker. What
the checker says of a wrong answer is the test's failure message. Where otter runs, mclrec has to be installed.
"""
import json
import re
import sys
from pathlib import Path

import books

root = Path(__file__).resolve().parents[1]


def raw(id, text):
    return {"cell_type": "raw", "id": id, "metadata": {}, "source": text}


def code(id, text):
    return {"cell_type": "code", "id": id, "metadata": {}, "source": text, "outputs": [], "execution_count": None}


def assignment(notebook, name):
    "The cells of otter's master notebook."
    title = books.source(notebook["cells"][0]).split("\n")[0].removeprefix("# ")
    made = [raw("config", f"# ASSIGNMENT CONFIG\nname: {name}\ninit_cell: true\nexport_cell: false\nruns_on: default\nenvironment: null\n"),
            books.text_cell("title", f"# {title}: exercises\n\nPut your answer where `raise NotImplementedError` stands, and run the cell.")]
    tagged = [cell for cell in notebook["cells"] if books.tags(cell) & {"exercise", "solution"}]
    solved = {}
    for cell in tagged:
        if "solution" in books.tags(cell) and cell["cell_type"] == "code":
            for answer in re.findall(r"^(?:def|class) (\w+)", books.source(cell), re.M):
                solved.setdefault(answer, books.source(cell))
    waiting, question = [], None  # checkers stand above the stub; before the first question they are everybody's imports
    for cell in tagged:
        text = books.source(cell)
        if "exercise" not in books.tags(cell):
            continue
        if cell["cell_type"] == "markdown":
            if books.HEAD.search(text):
                question = cell
            continue
        asked = re.search(r"^(check_\w+)\((\w+)\)$", text, re.M)
        if asked and question is not None:
            check, answer = asked.groups()
            stub = text.replace(asked[0], "").rstrip()
            made += [*waiting, raw(f"{answer}-q", f"# BEGIN QUESTION\nname: {answer}\npoints: 1"), {**question, "metadata": {}, "source": books.source(question)},
                     raw(f"{answer}-p", "# BEGIN PROMPT"), code(f"{answer}-stub", stub), raw(f"{answer}-pe", "# END PROMPT"),
                     raw(f"{answer}-s", "# BEGIN SOLUTION"), code(f"{answer}-solution", f"# BEGIN SOLUTION NO PROMPT\n{solved[answer]}\n# END SOLUTION"), raw(f"{answer}-se", "# END SOLUTION"),
                     raw(f"{answer}-t", "# BEGIN TESTS"),
                     code(f"{answer}-test", f"verdict = {check}({answer})\nassert verdict.right, verdict.says"),
                     raw(f"{answer}-te", "# END TESTS"), raw(f"{answer}-qe", "# END QUESTION")]
            waiting = []
        elif not re.match(r"guess(es)?\(", text):
            waiting.append(code(cell["id"], text))
    return made


def main(names):
    if len(names) != 2:
        sys.exit("Say which chapter and where to: python .ci/for_otter.py nbs/2_the_method/07_contrast.ipynb contrast.ipynb")
    path, target = map(Path, names)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = assignment(notebook, target.stem)
    if not (count := sum(cell["id"].endswith("-q") for cell in cells)):
        sys.exit(f"{path}: has no exercises.")
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    target.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{target}: {count} questions. Next, where otter-grader is installed: otter assign {target} dist")


if __name__ == "__main__":
    main(sys.argv[1:])
