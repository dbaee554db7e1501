"""The checks check: dirty notebooks, stale modules and stale links are found, and with CI=true a skip fails."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command, cwd, **env):
    "Exit status and everything printed."
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=os.environ | env, text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def book(tmp_path):
    "A project like ours with one chapter, exported and clean."
    shutil.copy(ROOT / "settings.ini", tmp_path)
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "mclrec").mkdir()
    (tmp_path / "mclrec" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "nbs").mkdir()
    sources = ["#| default_exp one", "#| export\ndef one(): return 1", "one()"]
    cells = [dict(cell_type="code", id=f"c{i}", metadata={}, outputs=[], execution_count=None, source=s) for i, s in enumerate(sources)]
    kernel = dict(name="python3", display_name="python3", language="python")
    code = hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
    write(tmp_path, dict(cells=cells, metadata=dict(kernelspec=kernel, outputs_of=code), nbformat=4, nbformat_minor=5))
    run(".ci/check_notebooks.py", "--fix", cwd=tmp_path)
    subprocess.run([Path(sys.executable).with_name("nbdev_export")], cwd=tmp_path, check=True)
    return tmp_path


def read(book):
    return json.loads((book / "nbs" / "one.ipynb").read_text())


def write(book, notebook):
    (book / "nbs" / "one.ipynb").write_text(json.dumps(notebook))


def test_a_clean_book_passes(book):
    assert run(".ci/check_notebooks.py", cwd=book) == (0, "")


def test_a_dirty_notebook_is_named_and_fixed(book):
    notebook = read(book)
    notebook["metadata"]["widgets"] = {"state": {}}
    notebook["cells"][2]["execution_count"] = 7
    write(book, notebook)
    status, said = run(".ci/check_notebooks.py", cwd=book)
    assert status == 1
    assert "nbs/one.ipynb: carries the state of its widgets" in said and "cell 3 has an execution count" in said
    run(".ci/check_notebooks.py", "--fix", cwd=book)
    assert run(".ci/check_notebooks.py", cwd=book) == (0, "")


def test_an_error_output_is_named(book):
    notebook = read(book)
    notebook["cells"][2]["outputs"] = [dict(output_type="error", ename="E", evalue="", traceback=[])]
    write(book, notebook)
    status, said = run(".ci/check_notebooks.py", cwd=book)
    assert status == 1 and "cell 3 ends in an error" in said


def test_outputs_of_other_code_are_named(book):
    notebook = read(book)
    notebook["cells"][2]["source"] = "one() + 1"
    write(book, notebook)
    status, said = run(".ci/check_notebooks.py", cwd=book)
    assert status == 1 and "its outputs are not of the code and the records it has now" in said


def test_outputs_of_other_records_are_named(book):
    (book / "results").mkdir()
    for name in ("one", "two"):
        (book / "results" / f"{name}.json").write_text("1")
    notebook = read(book)
    notebook["cells"][2]["source"] = 'from pathlib import Path\nPath("../results", "one.json").read_text()'
    hashed = "import json, sys; sys.path.insert(0, '.ci'); from outputs import code_hash; print(code_hash(json.load(sys.stdin)))"
    done = subprocess.run([sys.executable, "-c", hashed], cwd=book, input=json.dumps(notebook), text=True, capture_output=True, check=True)
    notebook["metadata"]["outputs_of"] = done.stdout.strip()
    write(book, notebook)
    run(".ci/check_notebooks.py", "--fix", cwd=book)
    assert run(".ci/check_notebooks.py", cwd=book) == (0, "")
    (book / "results" / "two.json").write_text("2")
    assert run(".ci/check_notebooks.py", cwd=book) == (0, ""), "no cell reads two.json"
    (book / "results" / "one.json").write_text("2")
    status, said = run(".ci/check_notebooks.py", cwd=book)
    assert status == 1 and "its outputs are not of the code and the records it has now" in said


def test_a_figure_without_a_picture_is_named(book):
    notebook = read(book)
    data = {"application/vnd.plotly.v1+json": {"data": [], "layout": {}}}
    notebook["cells"][2]["outputs"] = [dict(output_type="display_data", data=data, metadata={})]
    write(book, notebook)
    status, said = run(".ci/check_notebooks.py", cwd=book)
    assert status == 1 and "has a figure without a picture" in said


def test_modules_that_no_notebook_exports_are_named(book):
    module = book / "mclrec" / "one.py"
    (book / "mclrec" / "gone.py").write_text(module.read_text())
    module.write_text(module.read_text() + "\ntwo = 2\n")
    status, said = run(".ci/check_notebooks.py", cwd=book)
    assert status == 1
    assert "mclrec/one.py: is not what the notebooks export" in said and "mclrec/gone.py: no notebook exports it" in said


def test_the_cover_lists_every_chapter_and_its_links_lead_somewhere():
    links = set(re.findall(r"\]\((?!https?://)([^)#\s]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    chapters = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("nbs/*/*.ipynb")}
    assert {link for link in links if not (ROOT / link).exists()} == set()
    assert chapters - links == set()


@pytest.mark.parametrize("ci, fails", [("", False), ("true", True)])
@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_it(): pytest.skip('no such thing')",
        "import pytest\npytest.importorskip('no_such_thing', reason='no such thing')",
        "import pytest\n@pytest.fixture\ndef it(): pytest.skip('no such thing')\ndef test_it(it): pass",
    ],
    ids=["test", "module", "fixture"],
)
def test_a_skip_fails_where_nothing_may_be_missing(tmp_path, source, ci, fails):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(source + "\n")
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    got, said = run("-m", "pytest", "-ra", "-p", "no:cacheprovider", cwd=tmp_path, CI=ci)
    assert bool(got) == fails
    assert "no such thing" in said
