"""The rooms of the house: pictures apart from mathematics, and no module that needs one which needs it."""
import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mclrec"
MODULES = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py") if p.name not in ("__init__.py", "_modidx.py")}
DRAWING = {"explore", "live"}  # beside the folder figures/


def imported(name, tree=None):
    "What a module imports, anywhere in it, by full name: mclrec.data for `from .data import x` and for `from mclrec.data import x`."
    here = ["mclrec", *name.split(".")][:-1]
    for node in ast.walk(tree or ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = here[:len(here) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield whole
            yield from (f"{whole}.{alias.name}" for alias in node.names)


def needs(name):
    "The modules of the package that a module imports."
    return {full.removeprefix("mclrec.") for full in imported(name)} & MODULES.keys() - {name}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - DRAWING))
def test_only_figures_name_plotly(name):
    plotly = [full for full in imported(name) if full.split(".")[0] == "plotly"]
    assert name.startswith("figures.") or not plotly, "figures live in mclrec/figures/"


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("figures.")))
def test_figures_import_plotly_at_their_top(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    top = [full for full in imported(name, ast.Module(tree.body, [])) if full.startswith("plotly")]
    inside = [full for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.Lambda)) for full in imported(name, ast.Module([f], []))]
    assert not [full for full in inside if full.startswith("plotly")] and top


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith("figures.") and name not in DRAWING | {"playground"}))
def test_mathematics_does_not_need_a_picture(name):
    assert not {other for other in needs(name) if other.startswith("figures.") or other in DRAWING}


def test_no_module_needs_one_that_needs_it():
    try:
        TopologicalSorter({name: needs(name) for name in MODULES}).prepare()
    except CycleError as e:
        raise AssertionError(f"a circle of imports: {' → '.join(e.args[1])}") from None


@pytest.mark.parametrize("code, expected", [
    ("import plotly.graph_objects as go", {"plotly.graph_objects"}), ("from plotly import offline", {"plotly", "plotly.offline"}),
    ("from ..data import InputError", {"mclrec.data", "mclrec.data.InputError"}), ("from mclrec import data", {"mclrec", "mclrec.data"}),
    ("def f():\n    import plotly", {"plotly"}), ("text = 'import plotly'", set())])
def test_what_counts_as_an_import(code, expected):
    assert set(imported("models.sasrec", ast.parse(code))) == expected
