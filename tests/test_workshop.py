"""A workshop's box: its times fit, its cuts run by themselves, no solution is in what the room gets, the talk asks no network; a notebook comes back."""
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import books
import for_otter
import pytest
import workshop

from mclrec.teach import NOT_YET

ROOT = Path(__file__).resolve().parents[1]
PATHS = {each: workshop.TABLE[str(each)] for each in workshop.MINUTES}
PARTS = [pytest.param(part, id=f"{each}-{workshop.stem(part)}") for each, path in PATHS.items() for part in path["parts"] if "chapter" in part]


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workshop") / "90"
    workshop.pack(90, folder, with_wheels=False)
    return folder


@pytest.mark.parametrize("each", PATHS)
def test_the_parts_fit_the_time_and_leave_some_for_questions(each):
    rows = workshop.timed(PATHS[each])
    assert [begins for begins, _, _ in rows] == [0, *(ends for _, ends, _ in rows[:-1])]
    assert 0.75 * each <= rows[-1][1] <= 0.95 * each


def test_what_is_counted_is_what_is_in_the_cut():
    part = PATHS[90]["parts"][3]
    less = part | {"sections": part["sections"][:-1], "exercises": [1]}
    (reading, tasks, runs), (shorter, fewer, same) = workshop.lasts(part), workshop.lasts(less)
    assert shorter < reading and (tasks, fewer) == (15, 5) and runs == same > 0


@pytest.mark.parametrize("part", PARTS)
def test_a_cut_has_what_it_names_and_all_that_this_needs(part):
    cells = workshop.cut(workshop.read(part), part)
    found = {workshop.heading(cell) for cell in cells if cell["cell_type"] == "markdown"}
    assert set(part["sections"]) <= found
    tasks = [int(head[1]) for cell in cells if "exercise" in books.tags(cell) for head in books.HEAD.finditer(books.source(cell))]
    assert tasks == part.get("exercises", [])
    whole = {name for cell in workshop.read(part)["cells"] if cell["cell_type"] == "code" for name in workshop.Names(books.source(cell)).defines}
    known = set()
    for cell in cells:
        if cell["cell_type"] == "code" and not books.tags(cell):
            names = workshop.Names(books.source(cell))
            assert (names.uses & whole) - names.defines <= known, "what the chapter defines and the cell uses comes before it"
            known |= names.defines


def test_a_cut_runs_by_itself():
    part = {"chapter": "2_the_method/07_contrast", "sections": ["As two matrix operations", "What is a negative?"]}
    where = {"__name__": "cut"}
    chosen, cells, whole = ([cell for cell in some if cell["cell_type"] == "code"]
                            for some in (workshop.cut(workshop.read(part), part, with_needed=False), workshop.cut(workshop.read(part), part), workshop.read(part)["cells"]))
    assert len(chosen) < len(cells) < len(whole) / 2, "by hand, above, two vectors were made that the chosen sections use"
    for cell in cells:
        exec(compile(books.source(cell), f"<{cell['id']}>", "exec"), where)


@pytest.mark.parametrize("code, before, needed", [
    ("y", ["x = 1", "y = x", "z = 2"], [0, 1]),
    ("f()", ["def f(): return data", "data = 1", "z = 2"], [0, 1]),
    ("w", ["w = [0]", "v = 1", "w[0] = 5", "w.append(1)"], [0, 2, 3]),
    ("x", ["x = 1", "x = 2"], [1]),
    ("x", ["x = 1", "x += 2"], [0, 1]),
    ("g(1)", ["from m import g, h", "def k(g): return g"], [0]),
    ("len([])", ["x = 1"], []),
])
def test_what_a_cell_needs(code, before, needed):
    cells = [{"id": str(k), "source": text} for k, text in enumerate([*before, code])]
    assert workshop.needs(cells, {str(len(before))}) == {*map(str, needed), str(len(before))}


def test_the_room_gets_no_solution(box):
    texts = [path.read_text(encoding="utf-8") for path in (box / "room").rglob("*.ipynb")]
    assert len(texts) == 2 * 5
    for part in (part for part in PATHS[90]["parts"] if "chapter" in part):
        solved = {line.strip() for cell in workshop.read(part)["cells"] if cell["cell_type"] == "code" and books.tags(cell) & {"solution", "mistake"}
                  for line in books.source(cell).splitlines()}
        own = {line.strip() for cell in workshop.read(part)["cells"] if cell["cell_type"] == "code" and not books.tags(cell) & {"solution", "mistake"}
               for line in books.source(cell).splitlines()}
        given = json.loads((box / "room" / "notebooks" / f"{workshop.stem(part)}.ipynb").read_text(encoding="utf-8"))["cells"]
        assert not any(books.tags(cell) & books.FOR_THE_TEACHER for cell in given)
        assert {line.strip() for cell in given for line in books.source(cell).splitlines()} & (solved - own) == set()
    full = (box / "teacher" / "notebooks" / "07_contrast.ipynb").read_text(encoding="utf-8")
    assert "## Solutions" in full and "For the teacher" in full and not any("## Solutions" in text for text in texts)


class Resources(HTMLParser):
    "What a page loads: scripts, styles, pictures."

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, given):
        self.found += [value for key, value in given if key in ("src", "srcset", "data") or (key == "href" and tag != "a")]


@pytest.mark.parametrize("name", ["teacher/slides/index.html", "teacher/timetable.html", "room/handout.html"])
def test_a_page_loads_nothing_from_a_network_and_everything_is_there(box, name):
    page = box / name
    reader = Resources()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.found and not [place for place in reader.found if "//" in place]
    assert [place for place in reader.found if not (page.parent / place).is_file()] == []
    for style in page.parent.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text(encoding="utf-8"))


def test_the_talk_has_every_part_its_figures_its_notes_and_the_checkpoints(box):
    text = (box / "teacher" / "slides" / "index.html").read_text(encoding="utf-8")
    for _, ends, part in workshop.timed(PATHS[90]):
        assert part["seen"] in text and (part.get("title") or workshop.titles(part)[0]) in text and f"At {ends} minutes" in text
    assert text.count('class="mclrec-figure"') == 5 and text.count('class="notes"') > 10
    assert "proven(" not in text and "raise NotImplementedError" not in text


def test_links_between_the_notebooks_lead_somewhere(box):
    for path in [*(box / "room").rglob("notebooks/*.ipynb"), *(box / "teacher").rglob("notebooks/*.ipynb")]:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for link in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", books.source(cell)) if cell["cell_type"] == "markdown" else ():
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def run(*command, cwd):
    done = subprocess.run([sys.executable, *command], cwd=cwd, text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


def test_a_broken_notebook_comes_back_and_the_readers_own_is_kept(box, tmp_path):
    room = shutil.copytree(box / "room", tmp_path / "room", ignore=shutil.ignore_patterns("static"))
    one = room / "notebooks" / "07_contrast.ipynb"
    new = one.read_bytes()
    assert "nothing to do" in run("reset.py", "notebooks/07_contrast.ipynb", cwd=room)[1]
    for kept in ("07_contrast.mine.ipynb", "07_contrast.mine-2.ipynb"):
        one.write_text("broken")
        status, said = run("reset.py", "notebooks/07_contrast.ipynb", cwd=room)
        assert status == 0 and kept in said and one.read_bytes() == new and (one.parent / kept).read_text() == "broken"
    one.unlink()
    assert run("reset.py", "notebooks/07_contrast.ipynb", cwd=room)[0] == 0 and one.read_bytes() == new
    status, said = run("reset.py", "notebooks/no.ipynb", cwd=room)
    assert status and "no notebook of this workshop" in said and len(said.splitlines()) == 1


def test_a_chapter_of_the_book_comes_back_from_the_last_commit(tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / "nbs").mkdir()
    shutil.copy(ROOT / ".ci" / "reset.py", tmp_path / ".ci")
    one = tmp_path / "nbs" / "one.ipynb"
    one.write_text("whole")
    for words in (["init", "-q"], ["add", "nbs"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    one.write_text("broken")
    assert run(".ci/reset.py", "nbs/one.ipynb", cwd=tmp_path)[0] == 0
    assert one.read_text() == "whole" and (one.parent / "one.mine.ipynb").read_text() == "broken"
    status, said = run(".ci/reset.py", "nbs/two.ipynb", cwd=tmp_path)
    assert status and "not in the last commit" in said


def test_a_box_without_packages_and_one_for_another_machine_say_so(box, tmp_path):
    room = shutil.copytree(box / "room", tmp_path / "room", ignore=shutil.ignore_patterns("static"))
    status, said = run("start.py", "--only-install", cwd=room)
    assert status and "packed without packages" in said
    (room / "wheels").mkdir()
    made = json.loads((room / "made_for.json").read_text())
    (room / "made_for.json").write_text(json.dumps(made | {"machine": "abacus"}))
    status, said = run("start.py", "--only-install", cwd=room)
    assert status and "not abacus" in said and not (room / "room_env").exists()


def test_the_talk_opens_from_disk_moves_and_asks_for_nothing(box, browser):
    page, faults = browser.new_page(viewport={"width": 1024, "height": 768}), []
    page.set_default_timeout(120_000)  # a busy machine is no fault of the page
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    page.goto((box / "teacher" / "slides" / "index.html").as_uri())
    page.wait_for_function("window.MathJax?.startup?.promise && window.talk_ready")
    page.evaluate("MathJax.startup.promise")
    seen, drawn = 0, 0
    for _ in range(page.evaluate("talk.getTotalSlides()")):
        slide = page.locator("section.present:not(.stack)")
        assert slide.locator("mjx-merror").count() == 0
        if slide.locator(".mclrec-figure").count():
            page.wait_for_function("document.querySelector('section.present:not(.stack) .js-plotly-plot .main-svg')")
            drawn += 1
        seen += 1
        page.evaluate("talk.next()")
    assert drawn == 5 and seen > 50 and page.evaluate("talk.isLastSlide()")
    assert faults == []
    page.close()


def test_the_handout_is_one_page_of_paper(box, browser, tmp_path):
    shutil.copytree(box / "room" / "static", tmp_path / "static")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    for each, path in PATHS.items():
        place = tmp_path / f"{each}.html"
        place.write_text(workshop.handout(path, each), encoding="utf-8")
        page.goto(place.as_uri())
        page.wait_for_function("window.MathJax?.startup?.promise")
        page.evaluate("MathJax.startup.promise")
        assert page.locator("mjx-merror").count() == 0
        assert page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1, f"{each} minutes"
    page.close()


def test_a_chapters_exercises_become_an_assignment_for_otter():
    path = ROOT / "nbs" / "2_the_method" / "07_contrast.ipynb"
    cells = for_otter.assignment(json.loads(path.read_text(encoding="utf-8")), "contrast")
    blocks = [line for cell in cells if cell["cell_type"] == "raw" for line in [cell["source"].splitlines()[0]]]
    one = ["# BEGIN QUESTION", "# BEGIN PROMPT", "# END PROMPT", "# BEGIN SOLUTION", "# END SOLUTION", "# BEGIN TESTS", "# END TESTS", "# END QUESTION"]
    assert blocks == ["# ASSIGNMENT CONFIG", *one * 4]
    for answered in (True, False):
        where, verdicts = {"__name__": "assignment"}, []
        for cell in cells:
            code = cell["source"]
            if cell["cell_type"] != "code" or (cell["id"].endswith("-solution") and not answered):
                continue
            try:
                exec(compile(code, cell["id"], "exec"), where)
                verdicts += [True] if cell["id"].endswith("-test") else []
            except AssertionError as wrong:
                verdicts.append(str(wrong))
        assert verdicts == ([True] * 4 if answered else [NOT_YET] * 4)
    assert all(cell["source"].startswith("# BEGIN SOLUTION NO PROMPT\n") for cell in cells if cell["id"].endswith("-solution")), "otter takes these out"
