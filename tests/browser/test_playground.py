"""The playground: every section moves, and all of them follow the menus while the page stays alive."""
import pytest

PATH = "nbs/2_the_method/14_playground.ipynb"
SECTIONS = """[...document.querySelectorAll('[class*=mclrec-section-]')].map(box => [...box.classList].find(c => c.startsWith('mclrec-section-')))"""
SHOWN = """name => JSON.stringify([...document.querySelectorAll(`.${name} .js-plotly-plot`)].map(p => [p.data, p.layout]))"""
STATUS = "document.querySelector('.mclrec-status').innerText"


@pytest.fixture(scope="module")
def page(chromium, browser, lab):
    "The playground after Run All, opened once: it takes a while."
    from lab import Notebook, new_page

    page = new_page(browser)
    notebook = Notebook(page, *lab, PATH)
    notebook.run_all()
    yield notebook
    notebook.close()
    page.close()


def shown(notebook):
    "All that each section's figures show."
    notebook.explorables()
    return {name: notebook.page.evaluate(SHOWN, name) for name in notebook.page.evaluate(SECTIONS)}


def choose(notebook, name, value):
    "Choose from a menu as a reader does, and wait until all is made; what the status said in between."
    notebook.page.evaluate(f"""() => {{
      window.said = [];
      new MutationObserver(() => window.said.push({STATUS})).observe(document.querySelector('.mclrec-status'), {{ subtree: true, childList: true, characterData: true }});
    }}""")
    notebook.page.locator(f".mclrec-choice-{name} select").first.select_option(label=value)
    notebook.page.wait_for_function(f"{STATUS}.includes({value!r})")
    answer = notebook.kernel("print(play.chosen)")
    notebook.page.wait_for_function(f"{STATUS}.endsWith('ready')")
    notebook.settle()
    return notebook.page.evaluate("window.said"), answer


def changed_by_moving(notebook, section):
    "Whether each control of a section changes its figure."
    names = "c => [...c.classList].find(name => name.startsWith('mclrec-control-'))"
    controls = notebook.page.evaluate(f"name => [...document.querySelectorAll(`.${{name}} [class*=mclrec-control-]`)].map({names})", section)
    n = notebook.page.evaluate("name => [...document.querySelectorAll('.mclrec-explorable')].findIndex(box => box.closest(`.${name}`))", section)
    return {control: any(notebook.move(n, control, way) is not None for way in (0, 1)) for control in controls}


def test_there_is_a_section_for_every_topic(page):
    page.explorables()
    kernel = page.kernel("print(*play.sections)").split()
    assert page.page.evaluate(SECTIONS) == [f"mclrec-section-{name}" for name in kernel]
    assert len(kernel) >= 9


def test_another_preset_makes_the_figures_anew(page):
    before = shown(page)
    said, answer = choose(page, "preset", "paper")
    assert "'preset': 'paper'" in answer, "the kernel answered while the figures were made"
    assert any("trained" in words for words in said) and said[-1].endswith("paper: ready")
    after = shown(page)
    assert {name for name in after if after[name] != before[name]} >= {f"mclrec-section-{name}" for name in ("attention", "ranked_list", "clouds", "scores", "over_time")}
    assert page.faults() == []


def test_other_data_makes_every_figure_anew(page, beauty_path):
    if "beauty" not in page.kernel("print(play.controls['data'].options)"):
        pytest.skip("needs the real data where the notebook looks: set $MCLREC_DATA")
    before = shown(page)
    said, answer = choose(page, "data", "beauty")
    assert "'data': 'beauty'" in answer
    after = shown(page)
    assert {name for name in after if after[name] == before[name]} <= {"mclrec-section-contrast"}
    for name in after:
        assert False not in changed_by_moving(page, name).values(), name
    assert page.faults() == []


def test_who_chooses_twice_sees_the_second(page):
    if page.page.evaluate(STATUS).startswith("toy · official"):  # no test before has chosen anything on this page
        choose(page, "preset", "paper")
    page.page.locator(".mclrec-choice-data select").first.select_option(label="toy")
    said, _ = choose(page, "preset", "official")
    assert said[-1] == "toy · official: ready"
    assert page.kernel("print(play.stage.data.name, play.stage.preset)").split() == ["toy", "official"]
    assert page.faults() == []


def test_the_cells_run_again_leave_no_thread_behind(page):
    page.run_all()
    assert page.faults() == []
    assert page.kernel("import threading; print(*[t.name for t in threading.enumerate() if t.name.startswith('mclrec')])").split() == []
