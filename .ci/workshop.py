"""Packs a workshop for a room without network: `make workshop MINUTES=90` writes _workshop/90/ and _workshop/90.zip.

    python .ci/workshop.py 90                     45, 90 and 180 are in workshops.toml, which says what is cut from which chapter
    python .ci/workshop.py 90 --without-wheels    without the Python packages, hundreds of MB that are fetched for this kind of machine
    python .ci/workshop.py --times                how many minutes each part takes, counted

In the folder, `teacher/` has slides, a timetable and notebooks with everything; `room/` is what everybody gets: notebooks without solutions, a page
to hand out, a program that makes an environment of `room/wheels/` and opens the book, and one that brings a broken notebook back.
"""
import ast
import builtins
import html
import json
import platform
import re
import shutil
import subprocess
import symtable
import sys
import tomllib
from pathlib import Path

import book
import books
from minutes import minutes

root = Path(__file__).resolve().parents[1]
TABLE = tomllib.loads((Path(__file__).with_name("workshops.toml")).read_text(encoding="utf-8"))
MINUTES = [int(key) for key in TABLE if key.isdigit()]
HEADING = re.compile(r"^(?=#{2,} )", re.M)
LONGEST = 12  # lines of a cell of code that a slide shows
# The files of reveal.js with their sha256; from npm, or for who has no npm from a wheel of PyPI that has the same files in it.
REVEAL = {"dist/reveal.js": "46538b52db48724192f59bf46f5e851a18e302777c46f4a34c32709d010d6a29",
          "dist/reveal.css": "68f915a11ebf7203c0446576b7e952ff61c5dd02134a8a226ffaf62ed42136d2",
          "plugin/notes/notes.js": "df1201d19d03241a2897d39c3d38768177df1cbd4bde06327b321cb83461ae89"}
WAYS = [("reveal.js@5.2.1", "package"), ("sphinx-revealjs==3.2.1", "sphinx_revealjs/_static/revealjs")]

# ---- a cut of a chapter


def pieces(notebook):
    "The cells, each text cut at its headings; the first piece of a cell keeps its name."
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown" or books.tags(cell):
            yield cell
            continue
        for k, text in enumerate(piece for piece in HEADING.split(books.source(cell)) if piece.strip()):
            yield cell | {"id": f"{cell['id']}-{k}" if k else cell["id"], "source": text.strip().splitlines(keepends=True)}


def heading(cell):
    "The heading that a piece begins with, as it is written in the table; None if there is none."
    found = re.match(r"#{2,} (.*)", books.source(cell)) if cell["cell_type"] == "markdown" else None
    return found[1].strip() if found else None


def exercises(cells, chosen):
    "The names of the cells that belong to the chosen exercises, their solutions, and what they share."
    kept, current, checked, shared = [], None, {}, True
    for cell in cells:
        text, own = books.source(cell), books.tags(cell)
        if "exercise" in own:
            if head := books.HEAD.search(text):
                current, shared = int(head[1]), False
            elif cell["cell_type"] == "markdown" and not shared:
                current = None
            if re.search(r"^guess\(", text, re.M):
                continue
            if shared or current in chosen or text.startswith("guesses()"):
                kept.append(cell["id"])
            for answer in re.findall(r"^check_\w+\((\w+)\)", text, re.M):
                checked[answer] = current
        elif own & {"solution", "mistake"}:
            if heading(cell) == "Solutions":
                kept.append(cell["id"])
                current = None
            for answer in re.findall(r"^(?:def|class) (\w+)", text, re.M):
                current = checked.get(answer, current)
            if current in chosen:
                kept.append(cell["id"])
    return kept if chosen else []


def cut(notebook, part, with_needed=True):
    "The cells of a part, in order: what its table names, and, folded and without outputs, the earlier code that this needs."
    cells = list(pieces(notebook))
    wanted, unknown, here, opening = set(), set(part["sections"]), None, True
    for cell in cells:
        if (found := heading(cell)) is not None:
            here, opening = found, False
            unknown.discard(here)
        if not books.tags(cell) and (opening or here in part["sections"]):
            wanted.add(cell["id"])
    if unknown:
        sys.exit(f"workshops.toml: {part['chapter']} has no section {', '.join(map(repr, sorted(unknown)))}.")
    wanted |= set(exercises(cells, part.get("exercises", [])))
    needed = needs([cell for cell in cells if cell["cell_type"] == "code"], wanted) if with_needed else set()
    made = []
    for cell in cells:
        if cell["id"] in wanted:
            made.append(cell)
        elif cell["id"] in needed:
            made.append(cell | {"outputs": [], "metadata": {"jupyter": {"source_hidden": True}}})
    return made


class Names:
    "What a cell defines, uses at once, uses when a function of it is called, and changes; names of the notebook, not those inside of functions."

    def __init__(self, code):
        self.defines, self.uses, self.later, self.changes = set(), set(), set(), set()
        lines = [line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))]
        self.block(ast.parse("\n".join(lines)).body)
        self.later -= self.defines

    def block(self, statements):
        for one in statements:
            inner = [getattr(one, name) for name in ("body", "orelse", "finalbody") if isinstance(getattr(one, name, None), list)]
            if isinstance(one, (ast.FunctionDef, ast.ClassDef)) or not inner:
                self.statement(ast.unparse(one))
                self.changed(one)
                continue
            for head in (getattr(one, "iter", None), getattr(one, "test", None), *(item.context_expr for item in getattr(one, "items", []))):
                if head is not None:
                    self.statement(ast.unparse(head))
            for target in (getattr(one, "target", None), *(item.optional_vars for item in getattr(one, "items", []))):
                self.defines |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)} if target else set()
            for handler in getattr(one, "handlers", []):
                self.defines |= {handler.name} - {None}
                inner.append(handler.body)
            for body in inner:
                self.block(body)

    def statement(self, code):
        table = symtable.symtable(code, "cell", "exec")
        self.uses |= {s.get_name() for s in table.get_symbols() if s.is_referenced()} - self.defines
        self.children(table, False)
        self.defines |= {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}

    def children(self, table, deferred):
        for child in table.get_children():
            at_once = not deferred and (child.get_type() == "class" or child.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr"))
            names = {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
            if at_once:
                self.uses |= names - self.defines
            else:
                self.later |= names
            self.children(child, not at_once)

    def changed(self, one):
        "Names whose things are changed in place: an item or an attribute is set, or a method is called for what it does."
        targets = [target.value for target in getattr(one, "targets", []) if isinstance(target, (ast.Attribute, ast.Subscript))]
        if isinstance(one, ast.AugAssign):
            self.uses |= {n.id for n in ast.walk(one.target) if isinstance(n, ast.Name)} - (self.defines - {getattr(one.target, "id", None)})
            targets.append(one.target)
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) and isinstance(one.value.func, ast.Attribute):
            targets.append(one.value.func.value)
        self.changes |= {target.id for target in targets if isinstance(target, ast.Name)}


def needs(cells, wanted):
    "The names of the earlier cells that the wanted ones need: for each name, the last cell before that defines it, and those after that change it."
    said, found, asked = [Names(books.source(cell)) for cell in cells], set(), set()

    def resolve(name, at):
        if (name, at) in asked or hasattr(builtins, name):
            return
        asked.add((name, at))
        first = next((k for k in range(at - 1, -1, -1) if name in said[k].defines), None)
        if first is None:
            return
        for k in [first, *(k for k in range(first + 1, at) if name in said[k].changes)]:
            take(k)
        for later in said[first].later:
            resolve(later, at)

    def take(k):
        found.add(k)
        for name in said[k].uses | said[k].later:
            resolve(name, k)

    for k, cell in enumerate(cells):
        if cell["id"] in wanted:
            take(k)
    return {cells[k]["id"] for k in found}


def read(part):
    return json.loads((root / "nbs" / f"{part['chapter']}.ipynb").read_text(encoding="utf-8"))


def stem(part):
    return part["chapter"].rsplit("/", 1)[-1]


# ---- minutes


def running(notebook):
    "How long the whole chapter runs, as it says of itself, in minutes: more than its cut does."
    return int(re.search(r"Measured: (\d+) s", books.source(notebook["cells"][0]))[1]) / 60


def lasts(part):
    "The minutes of a part: (reading and moving, exercises, running)."
    if "pause" in part:
        return part["pause"], 0, 0
    notebook = read(part)
    cells = cut(notebook, part, with_needed=False)
    tasks = [int(head[5]) for cell in cells if "exercise" in books.tags(cell) for head in books.HEAD.finditer(books.source(cell))]
    return minutes({"cells": cells}), sum(tasks), running(notebook)


def timed(path):
    "The parts with the minute at which each begins and ends, rounded; what is left of the time is for questions."
    at, rows = 0.0, []
    for part in path["parts"]:
        before, at = at, at + sum(lasts(part))
        rows.append((round(before), round(at), part))
    return rows


# ---- the notebooks


def notebook_of(part, kind, path_minutes, known):
    "One cut as a notebook of the students' or the teacher's book, its links made to fit the folder."
    notebook = read(part)
    title = notebook["cells"][0]
    first = books.source(title).split("\n\n")
    says = f"*Cut from the chapter of this name for a workshop of {path_minutes} minutes. Run the cells from the top, with Shift-Enter; folded cells prepare what the others need.*"
    whole = minutes({"cells": cut(notebook, part, with_needed=False)})
    notebook["cells"] = cut(notebook, part)
    notebook["cells"][0] = title | {"source": "\n\n".join([*first[:2], says]).splitlines(keepends=True)}
    notebook["cells"] = books.BOOKS[kind](notebook)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"(?<=Minutes of reading and moving, counted:\* )\d+", f"{whole:.0f}", books.source(cell))
            cell["source"] = linked(text, known).splitlines(keepends=True)
    notebook["metadata"].pop("outputs_of", None)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def linked(text, known):
    "Links to notebooks of the same folder stay; of others, only their words."
    def link(m):
        words, target, place = m[1], m[2].rsplit("/", 1)[-1], m[3] or ""
        if "://" in m[2]:
            return m[0]
        if m[2] == "" or (target.endswith(".ipynb") and target[:-6] in known and not place):
            return f"[{words}]({target}{place})" if m[2] else words
        return words
    return re.sub(r"(?<!!)\[([^\]\[]*)\]\(([^)#\s]*)(#[^)]*)?\)", link, text)


# ---- pages


MATH = ("<script>window.MathJax = {{tex: {{inlineMath: [['$', '$']], tags: 'none'}}, options: {{enableMenu: false}}}};</script>"
        "<script defer src=\"{}mathjax/tex-svg-full.js\"></script>")


def page(title, body, static):
    "A page that stands alone beside its folder of static files."
    style = (root / "web" / "workshop" / "page.css").read_text(encoding="utf-8")
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
            f"<style>\n{style}</style>{MATH.format(static)}</head>\n<body>\n{body}\n</body></html>\n")


def titles(part):
    "(title, question) of a part: those of its chapter."
    if "pause" in part:
        return part["title"], ""
    first = books.source(read(part)["cells"][0]).split("\n\n")
    return first[0].removeprefix("# ").strip(), first[1].removeprefix("> ").strip()


def timetable(path, path_minutes):
    "The teacher's page: what happens when, what everybody should have seen by then, and what to do if not."
    rows = timed(path)
    lines = []
    for begins, ends, part in rows:
        title, question = titles(part)
        reading, tasks, runs = lasts(part)
        counted = f"{reading:.0f}" if "pause" in part else f"{reading:.0f} reading and moving, {tasks} exercises, {60 * runs:.0f} s running"
        chosen = f"exercise{'s' * (len(part['exercises']) > 1)} {' and '.join(map(str, part['exercises']))}" if part.get("exercises") else ""
        lines.append(f"<tr><td>{begins}–{ends}</td><td><b>{inline(title)}</b>{f' ({stem(part)}; {chosen})' if chosen else f' ({stem(part)})' if 'chapter' in part else ''}"
                     f"<br><small>{inline(question)}</small><br><small>minutes counted: {counted}</small></td>"
                     f"<td>At {ends} minutes everybody should have seen {inline(part['seen'])}.</td><td>{inline(part['plan_b'])}</td></tr>")
    left = path_minutes - rows[-1][1]
    body = f"""<h1>{inline(path['title'])}</h1>
<p>{path_minutes} minutes, {path['kind']}. At the end the room knows {inline(path['knows'])}.</p>
<table><thead><tr><th>minutes</th><th>part</th><th>checkpoint</th><th>plan B</th></tr></thead><tbody>
{chr(10).join(lines)}
<tr><td>{rows[-1][1]}–{path_minutes}</td><td><b>Questions</b></td><td>{left} minutes are left over: they are for what the room asks on the way, too.</td><td>If they are gone, stop at a checkpoint, not in the middle of a part.</td></tr>
</tbody></table>
<p>Minutes are counted from what is really in the cuts: 150 words a minute, a quarter of a minute for an open cell, one and a half for a figure to move, what the
exercises say of themselves, and the running time of each whole chapter.</p>
<h2>Before the room comes</h2>
<ol><li>Copy the folder <code>room/</code> to every machine, or to sticks; keep <code>teacher/</code>, which has the solutions, to yourself.</li>
<li>On one machine: <code>python3 start.py</code> in <code>room/</code>, with the network off. It makes the environment once, which takes minutes.</li>
<li>Open <code>slides/index.html</code> from disk. S opens your notes, D changes between light and dark, Esc shows all slides.</li>
<li>Print <code>room/handout.html</code>: one page.</li></ol>
<h2>While it runs</h2>
<p>A broken notebook: <code>python3 reset.py notebooks/NAME.ipynb</code> brings it back, and keeps the broken one beside it. Somebody without a machine that starts: all
figures of the path move on the slides, without a kernel.</p>"""
    return page(f"Timetable, {path_minutes} minutes", body, "slides/_static/")


def inline(text):
    "A line of Markdown as HTML: bold, italic, code; mathematics is left to the page."
    text = html.escape(text, quote=False)
    for mark, tag in ((r"\*\*(.+?)\*\*", "b"), (r"(?<!\w)\*(.+?)\*", "i"), (r"`(.+?)`", "code")):
        text = re.sub(mark, rf"<{tag}>\1</{tag}>", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def handout(path, path_minutes):
    "One page for everybody: the way, the equations, the exercises, and how to go on at home."
    chapters = [part for part in path["parts"] if "chapter" in part]
    way = "".join(f"<li><b>{inline(title)}</b> {inline(question)} <span>{stem(part)}</span></li>" for part in chapters for title, question in [titles(part)])
    equations, tasks = {}, []
    for part in chapters:
        for cell in cut(read(part), part, with_needed=False):
            for formula in re.findall(r"\$\$(.*?)\$\$", books.source(cell), re.S) if cell["cell_type"] == "markdown" and not books.tags(cell) else ():
                if number := re.search(r"\\tag\{(\d+)\}", formula):
                    equations.setdefault(int(number[1]), re.sub(r"[,.]\s*(?=\\tag)", " ", formula))
            if "exercise" in books.tags(cell):
                tasks += [f"<li>{inline(head[2])} <span>{stem(part)}, {head[4]}, {head[5]} minutes</span></li>" for head in books.HEAD.finditer(books.source(cell))]
    shown = "".join(f"<div>$${html.escape(equations[number])}$$</div>" for number in sorted(equations)[:7])
    body = f"""<main class="handout"><h1>{inline(path['title'])}</h1>
<p>A workshop of {path_minutes} minutes on MCLRec (Qin et al., SIGIR 2023). At the end you know {inline(path['knows'])}.</p>
<section><h2>The way</h2><ol>{way}</ol></section>
<section class="equations"><h2>What to have before your eyes</h2>{shown}</section>
<section><h2>To do</h2><ul>{"".join(tasks)}</ul><p>Run the cell of an exercise with your answer in it: it says what is wrong, not only that something is. Hints unfold one by one.</p></section>
<section><h2>How</h2><p><code>python3 start.py</code> opens the notebooks. Shift-Enter runs a cell. <code>python3 reset.py notebooks/NAME.ipynb</code> brings a broken notebook back
and keeps yours beside it. At home the whole book is the repository {inline(book.settings['git_url'])}: <code>make lab</code>.</p></section>
<section><h2>Where I was surprised</h2><hr><hr><hr></section></main>"""
    return page(path["title"], body, "static/")


# ---- slides


class Chapter(book.Page):
    "A chapter whose figures are alive in the slides; its texts stay Markdown."

    def text(self, text):
        return text


SENTENCE = re.compile(r"(?<=[.?!])(?<!Eq\.)(?<!Fig\.)(?<!vs\.)\s+(?=[A-Z*$\[(])")
ITEM = re.compile(r"\n?((?:[*-]|\d+\.) +)")
FULL = 18  # lines of code and of what it shows that stand below a short text; more get a slide of their own


def condensed(text):
    "What a slide shows of a text: of each paragraph the first sentence and the questions, displayed equations, lists and tables."
    kept = []
    for paragraph in re.split(r"\n\s*\n", linked(text, ())):
        paragraph = paragraph.strip()
        if "olded" in paragraph or not paragraph:  # what is said of folded cells is of no use on a wall
            continue
        if paragraph.startswith(("$$", "|", "<")):
            kept.append(paragraph)
        elif paragraph.startswith("> "):
            kept.append("> " + first_of(re.sub(r"^> ?", "", paragraph, flags=re.M)))
        elif ITEM.match(paragraph):
            kept.append("\n".join(mark + first_of(item) for mark, item in zip(*[iter(re.split(r"(?:^|\n)((?:[*-]|\d+\.) +)", paragraph)[1:])] * 2)))
        else:
            kept.append(first_of(paragraph))
    return "\n\n".join(kept)


def first_of(paragraph):
    first, *rest = SENTENCE.split(paragraph)
    while rest and (first.count("*") % 2 or first.count("$") % 2):  # not within what is set in italics, or in a formula
        first = f"{first} {rest.pop(0)}"
    return " ".join([first, *(sentence for sentence in rest if sentence.rstrip().endswith("?") and sentence.count("*") % 2 == 0)])


def slide(kind, text):
    return {"cell_type": "markdown", "id": "", "metadata": {"slideshow": {"slide_type": kind}}, "source": text}


def slides_of(part, chapter, ends):
    "The slides of one part: its title and question, its sections, figures and short cells, its exercises, and the checkpoint."
    title, question = titles(part)
    yield slide("slide", f"## {title}\n\n> {question}")
    made = {cell["id"]: cell for cell in chapter.made["cells"]}
    here, below = title, 0  # how many lines there is room for below the text of the last slide
    for cell in cut(read(part), part, with_needed=False)[1:]:
        text = books.source(cell)
        exercise = "exercise" in books.tags(cell)
        if books.tags(cell) & books.FOR_THE_TEACHER:
            continue
        if cell["cell_type"] == "markdown":
            here, below = heading(cell) or here, 0
            if head := books.HEAD.search(text) if exercise else None:
                task = re.sub(r"<details>.*?</details>", "", text[head.end():], flags=re.S).strip()
                yield slide("subslide", f"### Exercise: {head[2]} ({head[5]} minutes)\n\n{linked(task, ())}")
            elif not exercise:
                whole = re.sub(r"^#+ .*", "", text).strip()
                if short := condensed(whole):
                    yield slide("subslide", f"### {here}\n\n{short}")
                    below = FULL - max(0, len(short.split()) - 40) // 8 - 2 * short.count("$$")
                    if short != whole:
                        yield slide("notes", linked(whole, ()))
        elif not exercise and cell["id"] in made:
            shown = made[cell["id"]]
            hidden = "hide-input" in shown["metadata"].get("tags", [])
            drawn = any(word in json.dumps(shown["outputs"]) for word in ("mclrec-figure", "mclrec-drawing"))
            said = "\n".join(line for line in text.splitlines() if not line.startswith(("#|", "# check: ", "# control: ")))
            lines = 99 if drawn else len(said.splitlines()) + len(books.stored(cell).splitlines())
            if (hidden and not drawn) or (not shown["outputs"] and lines > min(below, LONGEST)):
                continue
            if lines > below:
                yield slide("subslide", f"### {here}")
            below = 0
            visible = not (hidden or drawn or books.GUESS.search(text) or len(said.splitlines()) > LONGEST)
            yield shown | {"source": said, "metadata": {"slideshow": {"slide_type": "-"}, "code": visible}}
    yield slide("subslide", f"### At {ends} minutes\n\nEverybody should have seen {part['seen']}.")


def reveal(static):
    "reveal.js into the folder of static files; kept in the cache that the web book has, checked against its hash."
    for file, sha in REVEAL.items():
        known, said = book.cache / "reveal" / file, []
        for package, where in WAYS if not known.exists() or book.hashlib.sha256(known.read_bytes()).hexdigest() != sha else ():
            try:
                content = book.from_package(package, f"{where}/{file}")
            except (OSError, subprocess.CalledProcessError, KeyError, IndexError) as e:
                said.append(f"{package}: {e}")
                continue
            if book.hashlib.sha256(content).hexdigest() != sha:
                sys.exit(f"{package} is not the package that the slides were made with: {file} has another sha256.")
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_bytes(content)
            break
        if not known.exists():
            sys.exit(f"reveal.js could be had neither from npm nor from PyPI; the slides need one of them the first time. {'; '.join(said)}")
        (static / "reveal" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(known, static / "reveal" / file)


def slides(path, path_minutes, folder):
    "A talk of the path in `folder`: index.html, which opens from disk and asks no network."
    import nbformat
    from nbconvert import SlidesExporter

    static = folder / "_static"
    shutil.copytree(book.fetch(), static)
    reveal(static)
    for name in ("book.js", "mathematics.js", "computed.js", "book.css"):
        shutil.copy(root / "web" / name, static)
    shutil.copy(root / "web" / "workshop" / "slides.js", static)
    (static / "reveal" / "dist" / "theme").mkdir()
    shutil.copy(root / "web" / "workshop" / "slides.css", static / "reveal" / "dist" / "theme" / "book.css")
    talk = [slide("slide", f"# {path['title']}\n\n{path_minutes} minutes, {path['kind']}\n\nQin et al., *Meta-optimized Contrastive Learning for Sequential Recommendation*, SIGIR 2023")]
    scripts, equations = [], book.equations()
    for _, ends, part in timed(path):
        if "pause" in part:
            talk += [slide("slide", f"## {part['title']}\n\nAt {ends} minutes everybody should have seen {part['seen']}.")]
            continue
        chapter = Chapter(part["chapter"], equations)
        talk += slides_of(part, chapter, ends)
        shown = json.dumps(talk)
        chapter.figures = {name: figure for name, figure in chapter.figures.items() if f'data-name=\\"{name}\\"' in shown}
        data = book.gzip.compress(json.dumps(chapter.figures, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0)
        book.script(stem(part), "mclrecFrames", data, stem(part))
        scripts.append(f"_static/frames/{stem(part)}.js")
    talk += [slide("slide", f"## That was it\n\nYou know now {path['knows']}.\n\nThe whole book: {book.settings['git_url']}")]
    for k, cell in enumerate(talk):
        cell["id"] = f"slide-{k}"
    notebook = json.dumps({"cells": talk, "metadata": {"title": path["title"]}, "nbformat": 4, "nbformat_minor": 5}).replace("../_static/", "_static/")
    exporter = SlidesExporter(template_name="workshop", extra_template_basedirs=[str(root / "web")], reveal_url_prefix="_static/reveal", reveal_theme="book")
    text, _ = exporter.from_notebook_node(nbformat.reads(notebook, as_version=4))
    (folder / "index.html").write_text(text.replace("<!-- frames -->", "".join(f'<script defer src="{name}"></script>' for name in scripts)), encoding="utf-8")
    used = set(re.findall(r"_static/figures/([^\"]+)", text))
    for picture in (static / "figures").glob("*.png"):
        if picture.name not in used:
            picture.unlink()


# ---- the box


def wheels(folder):
    "The packages of a room, as wheels for machines like this one, and the library's own."
    folder.mkdir()
    download = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), "--only-binary=:all:", "-c", str(root / "constraints.txt")]
    subprocess.run([*download, *book.settings["requirements"].split(), *TABLE["needs"]], check=True)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(root)], check=True)


def oldest(folder):
    "The lowest version of this Python's line that all wheels of a folder admit: 3.11.5, say."
    from packaging.specifiers import SpecifierSet

    admitted = SpecifierSet()
    for path in folder.glob("*.whl"):
        with book.zipfile.ZipFile(path) as wheel:
            record = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            if found := re.search(r"^Requires-Python: (.+)$", wheel.read(record).decode(), re.M):
                admitted &= SpecifierSet(found[1])
    major, minor, micro = map(int, platform.python_version_tuple())
    return next(f"{major}.{minor}.{k}" for k in range(micro + 1) if f"{major}.{minor}.{k}" in admitted)


def pack(path_minutes, folder, with_wheels=True):
    "The whole box in `folder`, which is made anew."
    path = TABLE[str(path_minutes)]
    shutil.rmtree(folder, ignore_errors=True)
    teacher, room = folder / "teacher", folder / "room"
    for place in (teacher / "notebooks", room / "notebooks", room / "static"):
        place.mkdir(parents=True)
    chapters = [part for part in path["parts"] if "chapter" in part]
    known = {stem(part) for part in chapters}
    for part in chapters:
        (room / "notebooks" / f"{stem(part)}.ipynb").write_text(notebook_of(part, "student", path_minutes, known), encoding="utf-8")
        (teacher / "notebooks" / f"{stem(part)}.ipynb").write_text(notebook_of(part, "instructor", path_minutes, known), encoding="utf-8")
    shutil.copytree(room / "notebooks", room / "originals")
    before, book.source = book.source, teacher / "slides"  # where a chapter's pictures and the data of its figures go
    try:
        slides(path, path_minutes, book.source)
    finally:
        book.source = before
    (teacher / "timetable.html").write_text(timetable(path, path_minutes), encoding="utf-8")
    shutil.copytree(teacher / "slides" / "_static" / "mathjax", room / "static" / "mathjax")
    (room / "handout.html").write_text(handout(path, path_minutes), encoding="utf-8")
    for name in ("start.py", "reset.py"):
        shutil.copy(root / ".ci" / name, room)
    if (root / "_site").is_dir():
        shutil.copytree(root / "_site", folder / "site")  # not in the room: its pages show solutions
    if with_wheels:
        wheels(room / "wheels")
    line = ".".join(platform.python_version_tuple()[:2])
    made = {"minutes": path_minutes, "first": f"{stem(chapters[0])}.ipynb", "needs": ["mclrec", *TABLE["needs"]], "python": line,
            "at_least": oldest(room / "wheels") if with_wheels else line, "system": platform.system(), "machine": platform.machine()}
    (room / "made_for.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    (folder / "README.txt").write_text(README.format(**made, title=path["title"]), encoding="utf-8")


README = """{title}: a workshop of {minutes} minutes, in a box.

teacher/timetable.html     begin here: what happens when, and what to prepare
teacher/slides/index.html  the talk; opens from disk
teacher/notebooks/         with solutions and notes
site/index.html            the book's pages, solutions among them, if `make book` had been run; opens from disk
room/                      what everybody gets: copy this folder, not the others
room/start.py              python3 start.py: makes an environment of room/wheels/ and opens the first notebook
room/reset.py              python3 reset.py notebooks/NAME.ipynb: a broken notebook comes back
room/handout.html          one page to print

No network is needed. The wheels are for Python {python}, from {at_least} on, on {system}, {machine}; for other machines make the box on one of them.
"""


def main(words):
    if "--times" in words:
        for each in MINUTES:
            print(f"{each} minutes: {TABLE[str(each)]['title']}")
            for begins, ends, part in timed(TABLE[str(each)]):
                print(f"  {begins:3}–{ends:<3}  {titles(part)[0]}: {{:.1f}} reading and moving, {{}} exercises, {{:.1f}} running".format(*lasts(part)))
        return
    asked = [word for word in words if not word.startswith("--")] or ["90"]
    if len(asked) != 1 or asked[0] not in map(str, MINUTES):
        sys.exit(f"Say which workshop: make workshop MINUTES={'|'.join(map(str, MINUTES))}")
    folder = root / "_workshop" / asked[0]
    pack(int(asked[0]), folder, "--without-wheels" not in words)
    shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    size = folder.with_suffix(".zip").stat().st_size / 1e6
    print(f"_workshop/{asked[0]}.zip, {size:.1f} MB: begin with teacher/timetable.html in it.")


if __name__ == "__main__":
    main(sys.argv[1:])
