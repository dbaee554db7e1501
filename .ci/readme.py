"""Writes README.md from the book's cover, nbs/index.ipynb. With --check: fails if README.md is not what would be written.

Markdown cells are taken as they are, with relative links turned to start from the repository's root. Code cells become
```python fences, their text outputs plain fences. `#| hide` leaves a cell out, `#| echo: false` its code; pictures are dropped.
"""
import json
import posixpath
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parents[1]
cover = root / "nbs" / "index.ipynb"
readme = root / "README.md"

# The target of a Markdown link that is neither an address, nor absolute, nor a place on the page.
link = re.compile(r"(\]\()(?![a-z]+:|/|#)([^)\s]+)")


def text_of(value):
    return value if isinstance(value, str) else "".join(value)


def from_root(markdown):
    # GitHub writes the address of a heading in small letters, Jupyter as it stands.
    markdown = re.sub(r"(\]\()(#[^)\s]+)", lambda m: m[1] + m[2].lower(), markdown)
    return link.sub(lambda m: m[1] + posixpath.normpath(posixpath.join("nbs", m[2])), markdown)


def outputs_of(cell):
    "What the cell printed and the text of what it showed, in order."
    for out in cell["outputs"]:
        if out["output_type"] == "stream" and out["name"] == "stdout":
            yield text_of(out["text"])
        elif out["output_type"] in ("execute_result", "display_data"):
            data = out["data"]
            pictured = any(kind.startswith(("image/", "application/vnd.")) for kind in data)
            if "text/plain" in data and not pictured:
                yield text_of(data["text/plain"]) + "\n"


def blocks(cell):
    source = text_of(cell["source"]).strip()
    if cell["cell_type"] == "markdown":
        yield from_root(source)
    elif cell["cell_type"] == "code":
        lines = source.splitlines()
        directives = {line.removeprefix("#|").strip() for line in lines if line.startswith("#|")}
        code = "\n".join(line for line in lines if not line.startswith("#|")).strip()
        if "hide" in directives or not code:
            return
        if "echo: false" not in directives:
            yield f"```python\n{code}\n```"
        shown = "".join(outputs_of(cell)).strip("\n")
        if shown:
            yield f"```\n{shown}\n```"


def render():
    notebook = json.loads(cover.read_text(encoding="utf-8"))
    note = "<!-- Made from nbs/index.ipynb by `make readme`: edit that. -->"
    parts = [block for cell in notebook["cells"] for block in blocks(cell) if block]
    return "\n\n".join([note, *parts]) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if not readme.exists() or readme.read_text(encoding="utf-8") != render():
            sys.exit("README.md differs from nbs/index.ipynb: run `make readme`.")
    else:
        readme.write_text(render(), encoding="utf-8")
