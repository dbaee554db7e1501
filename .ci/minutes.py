"""How long a chapter takes a reader: counted, not guessed. `python .ci/minutes.py` prints a line a chapter.

Words of prose at 150 a minute, fifteen seconds for a cell of code that is not folded, a minute and a half for a figure to move. Exercises and
their solutions come on top: they say their own minutes.
"""
import json
import re
import sys
from pathlib import Path

from test_notebooks import MOVES

root = Path(__file__).resolve().parents[1]
A_MINUTE, A_CELL, A_FIGURE = 150, 0.25, 1.5


def words(text):
    "How many words of prose a Markdown cell has: formulas count as one each, code and folded solutions not at all."
    text = re.sub(r"^```.*?^```|<details>.*?</details>", "", text, flags=re.M | re.S)
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`", " formula ", text, flags=re.S)
    return len(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", re.sub(r"\]\([^)]*\)", "]", text)))


def count(notebook):
    "(words, visible cells of code, figures to move) of a notebook."
    prose = cells = figures = 0
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if {"exercise", "solution", "mistake"} & set(cell["metadata"].get("tags", [])):
            continue
        if cell["cell_type"] == "markdown":
            prose += words(source)
        elif cell["cell_type"] == "code":
            cells += not cell["metadata"].get("jupyter", {}).get("source_hidden", False)
            figures += bool(MOVES.search(source))
    return prose, cells, figures


def minutes(notebook):
    prose, cells, figures = count(notebook)
    return prose / A_MINUTE + cells * A_CELL + figures * A_FIGURE


if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[1:]] or sorted(p for p in root.glob("nbs/*/*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        print(f"{minutes(notebook):4.0f} minutes  {path.stem}: {'{} words, {} cells of code, {} figures to move'.format(*count(notebook))}")
