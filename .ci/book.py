"""Builds the book as a web site that needs neither Python nor a network: `make book` writes _site/, and _site/index.html opens from disk.

    python .ci/book.py                frames that are out of date are recorded first (.ci/frames.py), then the pages are built
    python .ci/book.py --as-stored    from what is stored, nothing is run
    python .ci/book.py --zip          and packed into _site.zip

The pages are the notebooks with the outputs they have stored; nothing is run for them. A figure becomes a picture with its data beside it, which
web/book.js draws and moves. What the pages need from other projects is fetched once into .cache/book/ and checked against its hash.
"""
import ast
import base64
import gzip
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from configparser import ConfigParser
from pathlib import Path

import frames
from outputs import PICTURE, PLOTLY

root = Path(__file__).resolve().parents[1]
nbs, web, cache, site = root / "nbs", root / "web", root / ".cache" / "book", root / "_site"
source = cache / "source"

ini = ConfigParser(delimiters=["="])
ini.read(root / "settings.ini", encoding="utf-8")
settings = ini["DEFAULT"]
GITHUB = f"{settings['git_url']}/blob/{settings['branch']}"

# ---- what comes from other projects

# Where to, sha256, npm's package and file, and for who has no npm a wheel of PyPI and its file (Plotly's there has every kind of chart in it, three
# times the bytes).
FROM_OTHERS = {
    "mathjax/tex-svg-full.js": [
        ("mathjax@3.2.2", "package/es5/tex-svg-full.js", "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"),
        ("django-static-mathjax==3.2.2.1", "mathjax/static/mathjax/es5/tex-svg-full.js", "214c3da890b16db3d1319684cc04f3fd4e72ea59d5eb3863f256146015fb1783")],
    "plotly.js": [
        ("plotly.js-cartesian-dist-min@4.1.1", "package/plotly-cartesian.min.js", "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"),
        ("plotly==7.1.0", "plotly/package_data/plotly.min.js", "3b6e15d45dbb7fca5bd2094291e961ddc5472cd887009e6009a56dab668d721f")],
}


def fetch():
    "Bring MathJax and Plotly into the cache, if they are not there yet; the folder they are in."
    folder = cache / "static"
    for name, ways in FROM_OTHERS.items():
        place = folder / name
        known = {sha for _, _, sha in ways}
        if place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() in known:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        said = []
        for package, file, sha in ways:
            try:
                content = from_package(package, file)
            except (OSError, subprocess.CalledProcessError, KeyError, IndexError) as e:
                said.append(f"{package}: {e}")
                continue
            if hashlib.sha256(content).hexdigest() != sha:
                sys.exit(f"{package} is not the file that this book was made with: {file} has another sha256.")
            place.write_bytes(content)
            break
        else:
            sys.exit(f"{name} could be had neither from npm nor from PyPI; the build needs one of them the first time. " + "; ".join(said))
    return folder


def from_package(package, file):
    "The content of one file of a package: of npm's if its version is written with @, else of PyPI's."
    with tempfile.TemporaryDirectory() as place:
        quiet = dict(cwd=place, check=True, capture_output=True)
        if "@" in package:
            subprocess.run([shutil.which("npm") or "npm", "pack", "--silent", package], **quiet)
            with tarfile.open(next(Path(place).glob("*.tgz"))) as archive:
                return archive.extractfile(file).read()
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", package], **quiet)
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as archive:
            return archive.read(file)


# ---- pages


def pages():
    "The chapters in the order of the cover, by part: {heading: [path without ending, …]}; the two to look things up first."
    text = "\n".join("".join(c["source"]) for c in json.loads((nbs / "index.ipynb").read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "markdown")
    text = text[text.index("## Contents"):]
    text = text[:text.index("\n## ")] if "\n## " in text else text
    parts, heading = {"To look things up": []}, "To look things up"
    for line in text.splitlines():
        if m := re.match(r"\*\*(.+?)\*\*", line):
            heading = m[1]
        for page in re.findall(r"\]\(([^)]+)\.ipynb\)", line):
            known = [one for some in parts.values() for one in some]
            if page not in known:
                parts.setdefault(heading, []).append(page)
    look_up = parts.pop("To look things up")
    return {**parts, "To look things up": look_up}


def equations():
    "The page that explains each numbered equation, by its number: the first that tags it."
    found = {}
    for part in pages().values():
        for page in part:
            if page not in ("notation", "ledger"):
                for number in re.findall(r"\\tag\{(\d+)\}", "".join(markdown(page))):
                    found.setdefault(number, page)
    return found


def markdown(page):
    cells = json.loads((nbs / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


# Text in which nothing is to be replaced: code, mathematics, links.
KEPT = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|!?\[[^\]]*\]\([^)]*\)|^#[^\n]*$|<[^>]*>", re.S | re.M)


# What waits for a guess is folded; book.js opens it when an answer above it is unfolded.
WAITS = re.compile(r"^\w+\.opens\(", re.M)
SHUT = '<details class="mclrec-opened"><summary>Guess first, above. Then open this.</summary>{}</details>'


class Page:
    "One notebook on its way to a page: `made` is the notebook that Sphinx reads, `figures` the data of what it shows."

    def __init__(self, page, of_equations):
        self.page, self.equations, self.figures, self.labelled, self.without = page, of_equations, {}, set(), []
        self.path, self.up = nbs / f"{page}.ipynb", "../" * page.count("/")
        self.frames = (frames.read(self.path) or {"cells": {}})["cells"]
        self.made = json.loads(self.path.read_text(encoding="utf-8"))
        self.made["metadata"].pop("widgets", None)
        self.made["cells"] = [done for cell in self.made["cells"] for done in self.cell(cell)]

    def cell(self, cell):
        "The cells of the page that a cell of the notebook becomes: none, itself, or more."
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            return [{**cell, "source": self.text(text)}]
        if cell["cell_type"] != "code" or re.fullmatch(r"#\|\s*default_exp.*", text.strip()) or not text.strip():
            return []
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            cell["metadata"].setdefault("tags", []).append("hide-input")
        count, kept, said = 0, [], []
        for out in cell["outputs"]:
            data = out.get("data", {})
            if PLOTLY in data:
                recorded = self.frames.get(cell["id"], [])
                shown = self.figure(f"{cell['id']}-{count}", data, recorded[count] if count < len(recorded) else None)
                data = {"text/html": SHUT.format(shown) if WAITS.search(text) else shown}
                count += 1
            elif "image/svg+xml" in data:
                data = {"text/html": drawing("".join(data["image/svg+xml"]))}
            elif "text/markdown" in data:
                # As a cell of its own: only there does Sphinx follow links between pages.
                said.append({"cell_type": "markdown", "id": f"{cell['id']}-{len(said)}", "metadata": {}, "source": self.text("".join(data["text/markdown"]))})
                continue
            kept.append({**out, "data": data} if data else out)
        return [{**cell, "outputs": kept}, *said]

    def text(self, text):
        "A cell of text: equations get a name, their numbers in the prose become links, and links out of the book lead to GitHub."
        text = re.sub(r"^(?!\s)\$\$((?:(?!\$\$).)*?)\\tag\{(\d+)\}((?:(?!\$\$).)*?)\$\$", self.equation, text, flags=re.S | re.M)
        pieces, at = [], 0
        for kept in KEPT.finditer(text):
            pieces += [self.prose(text[at:kept.start()]), self.link(kept[0])]
            at = kept.end()
        return "".join(pieces) + self.prose(text[at:])

    def equation(self, m):
        number = m[2]
        name = f"\n(eq-{number})=\n" if self.equations.get(number) == self.page and number not in self.labelled else "\n"
        self.labelled.add(number)
        return f"{name}$$\\tag{{{number}}}{m[1]}{m[3]}$$\n"

    def prose(self, text):
        def linked(m):
            return f"[{m[0]}](#eq-{m[1]})" if m[1] in self.equations else m[0]

        return re.sub(r"Eq\. (\d+)", linked, text)

    def link(self, text):
        m = re.fullmatch(r"(!?\[[^\]]*\])\(([^)#\s]+)(#[^)]*)?\)", text, flags=re.S)
        if not m or "://" in m[2] or m[2].startswith("mailto:"):
            return text
        target = (self.path.parent / m[2]).resolve()
        if target.is_relative_to(nbs) and target.suffix == ".ipynb":
            return text
        return f"{m[1]}({GITHUB}/{target.relative_to(root).as_posix()})"

    def figure(self, name, data, recorded):
        "The picture of a figure, in a place that book.js makes alive; its data are set aside."
        shown = data[PLOTLY]
        if recorded is None:
            one, layout = frames.Pieces(), {k: v for k, v in shown["layout"].items() if k != "template"}
            whole = one.add(frames.plain({"data": shown["data"], "layout": layout}))
            words = "".join(data.get("text/plain", ""))
            caption = "" if words.startswith("Figure(") else words
            recorded = dict(caption=caption, note="", controls=[], keys=one.keys, pieces=one.pieces, roots=[whole])
            if "frames" in shown:
                recorded["note"] = "Its controls were not recorded for this page; open the notebook to move it."
                self.without.append(name)
        self.figures[name] = recorded
        title = shown["layout"].get("title", {})
        alt = html.escape(recorded["caption"] or title.get("text", "") or "figure", quote=True)
        picture = site_picture(self.path.stem, name, "".join(data[PICTURE])) if PICTURE in data else ""
        words = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(recorded["caption"]))
        caption = f"<figcaption>{words}</figcaption>" if words else ""
        height = shown["layout"].get("height", 450)
        return (f'<figure class="mclrec-figure" id="fig-{name}" data-chapter="{self.path.stem}" data-name="{name}">'
                f'<div class="mclrec-plot" role="img" aria-label="{alt}" style="min-height:{height - (90 if "sliders" in shown["layout"] else 0)}px">'
                f'<img src="{self.up}_static/{picture}" alt="{alt}" loading="lazy"></div>{caption}</figure>')

    def tour(self):
        "The guided tour for the first page: the figure of the whole model once more, and what walks through it."
        chapter = nbs / "2_the_method" / "00_the_whole_model.ipynb"
        cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
        cell, (recorded,) = next((cell, made) for cell in cells if (made := (frames.read(chapter) or {"cells": {}})["cells"].get(cell["id"])))
        picture = self.figure("tour", next(out["data"] for out in cell["outputs"] if PLOTLY in out.get("data", {})), recorded)
        text = f"## Three minutes\n\nThe whole model in one picture, from a history to a ranking. Walk with *next*, or with the arrow keys; take over wherever you like.\n\n{picture}\n\n"
        return {"cell_type": "markdown", "id": "tour", "metadata": {}, "source": text + "Then try it with a history of your own, [in your browser](in_your_browser.md)."}

    def write(self):
        if self.figures:
            data = gzip.compress(json.dumps(self.figures, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0)
            script(self.path.stem, "mclrecFrames", data, self.path.stem)
            names = ["plotly.js", "mathematics.js", "book.js", "computed.js", *(["tour.js"] if self.page == "index" else []), f"frames/{self.path.stem}.js"]
            scripts = "".join(f'<script defer src="{self.up}_static/{name}"></script>' for name in names)
            self.made["cells"].append({"cell_type": "markdown", "id": "scripts", "metadata": {}, "source": scripts})
        link = f'<p class="mclrec-download"><a href="{self.up}notebooks/{self.page}.ipynb" download>Download this notebook</a></p>'
        self.made["cells"].append({"cell_type": "markdown", "id": "download", "metadata": {}, "source": link})
        place = source / f"{self.page}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(self.made, ensure_ascii=False), encoding="utf-8")


def script(name, function, data, *more):
    "Compressed data as a script that hands them to a function: the only way in which a page opened from disk can have data."
    place = source / "_static" / "frames" / f"{name}.js"
    place.parent.mkdir(parents=True, exist_ok=True)
    words = "".join(f'"{word}",' for word in more)
    place.write_text(f'{function}({words}"{base64.b64encode(data).decode()}");\n', encoding="utf-8")


def drawing(svg):
    "A drawing that stands in the page itself, so that its title is read aloud."
    return f'<div class="mclrec-drawing">{svg}</div>'


def site_picture(chapter, name, picture):
    place = f"figures/{chapter}-{name}.png"
    (source / "_static" / "figures").mkdir(parents=True, exist_ok=True)
    (source / "_static" / place).write_bytes(base64.b64decode(picture))
    return place


def contents():
    "The table of contents, as cells of Sphinx's at the end of the cover."
    cells = []
    for k, (heading, part) in enumerate([("Try it", ["in_your_browser"]), *pages().items(), ("The library", ["api/index"])]):
        lines = "\n".join(part)
        text = f"```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{lines}\n```"
        cells.append({"cell_type": "markdown", "id": f"toc-{k}", "metadata": {}, "source": text})
    return cells


# ---- the library


def api():
    "A page for each module of the library: signatures, docstrings, and the chapter that each comes from."
    folder, lines = source / "api", []
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((root / "mclrec").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        chapter = re.search(r"File to edit: (?:\.\./)+nbs/(\S+\.ipynb)", text)
        if not chapter or path.name.startswith("__"):
            continue
        tree = ast.parse(text)
        public = names(tree)
        if not public:
            continue
        body = [f"# {name}", ast.get_docstring(tree) or "", f"Chapter: [](../{chapter[1]}). Code: [{path.relative_to(root)}]({GITHUB}/{path.relative_to(root)}).",
                f"```{{py:module}} {name}\n```"]
        for one in tree.body:
            if isinstance(one, (ast.FunctionDef, ast.ClassDef)) and one.name in public:
                body.append(described(one))
        (folder / f"{name}.md").write_text("\n\n".join(body) + "\n", encoding="utf-8")
        lines.append(name)
    toc = "\n".join(lines)
    (folder / "index.md").write_text(
        "# The library, name by name\n\nEvery module is written by one chapter, which says why it is as it is. Here are the names, what they take and what "
        f"they give.\n\n```{{toctree}}\n:maxdepth: 1\n\n{toc}\n```\n", encoding="utf-8")


def names(tree):
    for one in tree.body:
        if isinstance(one, ast.Assign) and getattr(one.targets[0], "id", "") == "__all__":
            return ast.literal_eval(one.value)
    return []


def described(one, inside=""):
    "A function or a class as a directive of Sphinx's."
    text = ast.get_docstring(one) or ""
    fence = "`" * (3 if inside else 5)
    if isinstance(one, ast.FunctionDef):
        kind, signature = "method" if inside else "function", f"{one.name}({without_self(one, inside)})"
        return f"{fence}{{py:{kind}}} {signature}\n{text}\n{fence}"
    first = next((f for f in one.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
    signature = f"{one.name}({without_self(first, 'class')})" if first else one.name
    methods = [described(f, "class") for f in one.body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_") and ast.get_docstring(f)]
    return "\n\n".join([f"{fence}{{py:class}} {signature}\n{text}", *methods]) + f"\n{fence}"


def without_self(function, inside):
    "A function's arguments as they are written, without the one that Python fills in."
    text = ast.unparse(function.args)
    return re.sub(r"^(self|cls)(, )?", "", text) if inside else text


# ---- all together


def prepare():
    "Everything that Sphinx reads, into a folder that is new each time, as is the one that it writes."
    for folder in (source, cache / "site", cache / "doctrees"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fetch(), source / "_static")
    for path in web.glob("*.*"):
        if path.suffix in (".js", ".css"):
            shutil.copy(path, source / "_static")
    shutil.copy(web / "in_your_browser.md", source)
    of_equations = equations()
    for part in pages().values():
        for page in part:
            made = Page(page, of_equations)
            made.write()
            if made.without:
                print(f"{page}: {len(made.without)} figures have no frames; `python .ci/frames.py nbs/{page}.ipynb` records them.", flush=True)
    cover = Page("index", of_equations)
    cover.made["cells"] = [cover.made["cells"][0], cover.tour(), *cover.made["cells"][1:], *contents()]
    cover.write()
    script("shop", "mclrecShop", frames.SHOP.read_bytes())
    api()


def sphinx():
    "Let Sphinx make the pages; its warnings are errors."
    told = {"title": "MCLRec, a textbook that runs", "author": settings["author"], "copyright": settings["copyright"], "version": settings["version"],
            "repository": settings["git_url"], "branch": settings["branch"], "address": settings["doc_host"] + settings["doc_baseurl"] + "/", "cache": str(cache / "jupyter"),
            "static": str(source / "_static")}
    env = os.environ | {"MCLREC_BOOK": json.dumps(told)}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-j", "2", "-d", str(cache / "doctrees"), "-c", str(web), str(source), str(cache / "site")]
    return subprocess.run(command, env=env).returncode


def finish():
    "The pages to _site/, and the notebooks themselves beside them, for download."
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(cache / "site", site, ignore=shutil.ignore_patterns(".buildinfo", "_sources", "objects.inv"))
    for page in site.rglob("*.html"):  # the theme's button that unfolds a part of the contents has no name
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace('<summary><span class="toctree-toggle"', '<summary aria-label="its pages"><span class="toctree-toggle"'), encoding="utf-8")
    for page in [one for part in pages().values() for one in part] + ["index"]:
        place = site / "notebooks" / f"{page}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(nbs / f"{page}.ipynb", place)
    (site / ".nojekyll").touch()


def main(words):
    begun = time.perf_counter()
    if "--as-stored" not in words:
        frames.main([])
    prepare()
    if status := sphinx():
        sys.exit(status)
    finish()
    size = sum(f.stat().st_size for f in site.rglob("*") if f.is_file())
    print(f"{len(list(site.rglob('*.html')))} pages, {size / 1e6:.1f} MB, {time.perf_counter() - begun:.0f} s: open {site.relative_to(root)}/index.html", flush=True)
    if "--zip" in words:
        shutil.make_archive(str(root / "_site"), "zip", site)


if __name__ == "__main__":
    main(sys.argv[1:])
