"""The text tells the truth about the code: what it names exists, what it counts is as many, what it says of a rule is the rule."""
import ast
import json
import keyword
import re
from pathlib import Path
from statistics import median

import pytest
from ledger import source
from minutes import minutes
from outputs import PICTURE, PLOTLY, figures, has_palette

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(p for p in ROOT.glob("nbs/**/*.ipynb") if ".ipynb_checkpoints" not in p.parts)
PAGES = [ROOT / "CONTRIBUTING.md", *NOTEBOOKS]
# Released code and data, quoted.
QUOTED = set("""model_aug_in_batch B00A8S7A2C meta_rl aug1 aug2 trainer py sim dot cos
    reviewerID unixReviewTime exe jpg""".split())
# Words that stand in code type and are no code of ours: the field's, the paper's, Python's, other programs'.
FIELD = set("""
    Adam AdamW BPR Caser GRU4Rec SASRec BERT4Rec CL4SRec CoSeRec DuoRec ICLRec LMA4Rec MCLRec SRMA S3Rec
    True False None python3 pip git make Shift Enter user item time timestamp rating
    nbdev nbdev_test nbdev_clean nbdev_prepare nbdev_docs jupyter lab export default_exp slow hide echo tag Eq check control Algorithm
    MASK NA NaN NaT NULL user_id token equal inf nan PATH
    torchrun logdir nnodes rdzv
    metadata source_hidden jupyter ipynb csv tsv txt inter parquet json gz npz pth safetensors
""".split())


def name(path):
    return path.relative_to(ROOT).as_posix()


def cells(path, kind):
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")] if kind == "markdown" else []
    return [source(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def parsed(code):
    "The syntax tree of a cell, without nbdev's and IPython's lines; nothing for one that shows a mistake."
    try:
        return ast.parse("\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))))
    except SyntaxError:
        return ast.parse("")


def defined(tree, locals_too=False):
    "What a piece of code can be asked for by name: functions, classes, arguments, attributes, keys, what it imports; and its variables on demand."
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from (node.asname or node.name).split(".") + node.name.split(".")
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from node.module.split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) <= 3:  # a key, no sentence
            yield from re.findall(r"\w+", node.value)
        elif isinstance(node, ast.Name) and (locals_too or isinstance(node.ctx, ast.Load)):
            yield node.id
    for node in tree.body:
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name)) if target else ()


LIBRARY = {path: parsed(path.read_text(encoding="utf-8")) for path in ROOT.glob("mclrec/**/*.py") if path.name != "_modidx.py"}
ITEMS = set(re.findall(r"\w+", (ROOT / "mclrec" / "toy.py").read_text(encoding="utf-8")))  # the toy shop's
VOCABULARY = {word for tree in LIBRARY.values() for word in defined(tree)} | {path.stem for path in LIBRARY} | {"mclrec", "models", "figures"} | ITEMS
CLASSES = {node.name: node for tree in LIBRARY.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
FILES = {part for path in ROOT.glob("**/*") if not {".venv", ".git"} & set(path.relative_to(ROOT).parts) for part in path.relative_to(ROOT).parts}


def named(text):
    "What a text names in code type, outside of fences."
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


def unknown(token, known):
    "The words of a piece of code that nothing defines."
    if re.match(r"(make|git|python|pip|jupyter|nbdev_\w+|PIP_\w+|OMP_\w+|\$|\.ci|\.venv)\b|.*[/\\]|.*://", token) or token in FILES:
        return commands(token)
    if token.startswith("mclrec ") and "=" not in token.split()[1]:
        return commands(token)
    words = re.findall(r"(?<![\w.\d-])[^\W\d]\w*(?:\.[^\W\d]\w*)*", re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", token))
    return [word for word in words if not all(part in known for part in word.split(".")) or not attribute(word)]


def attribute(word):
    "Whether a class of the library that is named with an attribute has it, or hides it from us."
    first, *rest = word.split(".")
    if not rest or first not in CLASSES:
        return True
    return rest[0] in members(first)


def members(kind):
    "Names of a class: its methods, fields and what its methods put on `self`, those it inherits too."
    node = CLASSES[kind]
    own = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
    own |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"}
    own |= {n.id for statement in node.body for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for base in node.bases:
        last = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        own |= members(last) if last in CLASSES else set(dir(__import__("torch").nn.Module)) if last == "Module" else set()
    return own


def commands(token):
    "The options, subcommands and targets of a command line that do not exist."
    cli = (ROOT / "mclrec" / "cli.py").read_text(encoding="utf-8")
    if m := re.match(r"mclrec ([a-z][a-z-]*)", token):
        options = [option for option in re.findall(r"(?<!\S)(--[a-z-]+)", token) if f'"{option}"' not in cli and option not in ("--help", "--version")]
        return options + [m[1]] * (f'"{m[1]}"' not in cli)
    if m := re.match(r"make ([a-z-]+)", token):
        return [m[1]] * (not re.search(rf"^{m[1]}:|^{m[1]} .*:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    return []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_what_the_text_names_exists(path):
    own = {word for code in cells(path, "code") for word in defined(parsed(code), locals_too=True)}
    if path.suffix == ".md":
        own |= set(defined(parsed((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")))) | {"CI", "MCLREC_DATA", "CHROMIUM", "LONGER", "recent", "recent_ratio"}
    known = VOCABULARY | FIELD | QUOTED | own | set(keyword.kwlist)
    missing = {token: words for text in cells(path, "markdown") for token in named(text) if (words := unknown(token, known))}
    assert not missing, f"{missing}: named in the text, defined nowhere: mend the text, or add a word of the field to FIELD"


@pytest.mark.parametrize("token, words", [
    ("fit", []), ("fit(seed)", []), ("Encoder.M", []), ("Encoder.nothing", ["Encoder.nothing"]), ("no_such_name", ["no_such_name"]), ("qqq = 'no_such'", ["qqq"]),
    ("mclrec train toy --out run", []), ("mclrec train toy --aut run", ["--aut"]), ("mclrec tarin toy", ["tarin"]), ("mclrec --help", []), ("make quick", []), ("make quik", ["quik"]),
    ("settings.ini", []), ("0.5", []), ("1e-3", []), ("nbs/no.ipynb", []),
])
def test_what_counts_as_named(token, words):
    assert unknown(token, VOCABULARY | FIELD) == words


NUMBERS = {word: k for k, word in enumerate("""zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty twenty-one twenty-two twenty-three twenty-four twenty-five""".split())}


def contract():
    tree = LIBRARY[ROOT / "mclrec" / "__init__.py"]
    return next(len(node.value.keys) for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "_WHERE")


@pytest.mark.parametrize("path, said, how_many", [
    ("nbs/5_in_practice/54_the_library.ipynb", r"(\S+) names make up the public contract", contract),
    ("nbs/ledger.ipynb", r"## (\S+) points in which", lambda: sum(len(re.findall(r"(?<!class )\bPoint\(", code)) for code in cells(ROOT / "nbs/ledger.ipynb", "code"))),
])
def test_what_the_text_counts_is_as_many(path, said, how_many):
    text = " ".join(cells(ROOT / path, "markdown"))
    m = re.search(said, text)
    if m and m[1].strip("*").lower() in NUMBERS:
        assert NUMBERS[m[1].strip("*").lower()] == how_many()


def test_the_command_names_every_kind_of_file_it_reads():
    from mclrec.cli import DATA
    from mclrec.loading import READERS
    assert [ending for ending in READERS if ending not in DATA] == []


def test_contributing_says_the_rule_for_cells_that_the_test_holds():
    lines, width = re.search(r"^LINES, WIDTH = (\d+), (\d+)", (ROOT / "tests" / "test_book.py").read_text(encoding="utf-8"), re.M).groups()
    rule = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"at most {lines} lines" in rule and f"at most {width} characters" in rule


def test_no_notebook_is_heavy():
    weights = {name(path): path.stat().st_size / 1000 for path in NOTEBOOKS}
    assert {path: round(weight) for path, weight in weights.items() if weight > 500} == {}, "kB; `make shrink` may help"
    assert median(weights.values()) < 120


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_what_is_stored_is_small_and_quiet(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert [cell["id"] for cell in notebook["cells"] for out in cell.get("outputs", []) if out.get("name") == "stderr"] == [], "what libraries say on stderr"
    assert all(has_palette(data[PICTURE]) for data in figures(notebook) if PICTURE in data), "a picture without a palette: `make shrink`"
    long = re.findall(r"\d\.\d{9,}", json.dumps([data[PLOTLY] for data in figures(notebook)]))
    assert long == [], "numbers of a figure with more than four digits: `make shrink`"


def test_the_ways_through_for_a_class_take_the_time_they_say():
    cover = "\n".join(cells(ROOT / "nbs/index.ipynb", "markdown"))
    ways = re.findall(r"^\| (\d+) minutes[^|]*\|([^|]*)\|", cover, re.M)
    assert len(ways) == 3
    so_far = set()
    for said, chapters in ways:
        linked = set(re.findall(r"\]\(([^)#]+)\)", chapters)) | (so_far if "the same" in chapters else set())
        counted = sum(minutes(json.loads((ROOT / "nbs" / path).read_text(encoding="utf-8"))) for path in linked)
        assert counted <= int(said) * 1.05, f"{said} minutes, and {counted:.0f} counted by .ci/minutes.py: {sorted(linked)}"
        so_far = linked
