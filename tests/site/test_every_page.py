"""Every page of the built site, from disk and without a network: no error, every control alive, every link leads somewhere, nothing too heavy."""
import base64
import functools
import gzip
import html
import json
import os
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from test_alive import explorables
from visit import READY, SHOWN, controls, draw_all, move, visiting

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ["MCLREC_SITE"]).resolve()
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
ALIVE = [name for name in PAGES if 'class="mclrec-figure"' in (SITE / name).read_text("utf-8")]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_error_or_request(page, name):
    with visiting(page, (SITE / name).as_uri()) as faults:
        page.wait_for_function("!window.MathJax?.startup || window.MathJax.startup.promise")
        page.evaluate("window.MathJax?.startup?.promise")
        assert page.locator("mjx-merror").count() == 0
        assert faults == []


@pytest.mark.parametrize("name", [*ALIVE, "in_your_browser.html"])
def test_every_control_moves_its_figure(page, name):
    with visiting(page, (SITE / name).as_uri()) as faults:
        draw_all(page)
        unmoved = [(figure, control) for figure, names in controls(page) for control in names if not move(page, figure, control)]
        assert unmoved == []
        assert faults == []


def test_what_waits_for_a_guess_opens_with_it(page):
    with visiting(page, (SITE / "1_the_problem/01_data.html").as_uri()) as faults:
        page.wait_for_function(READY)
        opened = "[...document.querySelectorAll('details.mclrec-opened')].map(one => one.open)"
        figure = page.locator("details.mclrec-opened .mclrec-figure")
        assert page.evaluate(opened) == [False, False, False] and not figure.is_visible()
        page.locator(".mclrec-guess summary").first.click()
        figure.locator(".main-svg").first.wait_for()
        assert page.evaluate(opened) == [True, True, False], "its figure and its numbers; not what the next question asks"
        assert faults == []


def test_the_site_has_every_explorable_of_the_notebooks():
    "Each figure that a notebook stored with a slider or a menu stands on its page and has its controls; so it is as many here as there."
    missing, count = [], 0
    for path in sorted((ROOT / "nbs").glob("*/*.ipynb")):
        wanted = explorables(path)
        if not wanted:
            continue
        page = SITE / path.relative_to(ROOT / "nbs").with_suffix(".html")
        data = (SITE / "_static" / "frames" / f"{path.stem}.js").read_text("utf-8")
        figures = json.loads(gzip.decompress(base64.b64decode(data.split('"')[-2])))
        places = set(re.findall(r'<figure class="mclrec-figure" id="fig-([^"]+)"', page.read_text("utf-8")))
        for cell, number in wanted.items():
            alive = [name for name, one in figures.items() if name.rsplit("-", 1)[0] == cell and one["controls"] and name in places]
            count += len(alive)
            if len(alive) != number:
                missing.append((path.stem, cell))
    print(f"{count} explorables")
    assert missing == []


class Anchors:
    "The names of a page's places, and where its links go."

    def __init__(self, text):
        tags = re.findall(r"<[a-zA-Z][^>]*>", text)
        self.names = {name for tag in tags for name in re.findall(r'\s(?:id|name)="([^"]*)"', tag)}
        self.links = [html.unescape(link) for tag in tags for link in re.findall(r'\s(?:href|src)="([^"]*)"', tag)]


def test_every_link_inside_the_site_leads_somewhere():
    seen = {name: Anchors((SITE / name).read_text("utf-8")) for name in PAGES}
    broken = []
    for name, found in seen.items():
        for link in found.links:
            if "://" in link or link.startswith(("mailto:", "data:", "#fig-", "javascript:")) or link in ("#", ""):
                continue
            file, _, anchor = link.partition("#")
            target = (SITE / name).parent / unquote(file.split("?")[0]) if file else SITE / name
            target = target.resolve()
            if not target.exists():
                broken.append((name, link))
                continue
            key = target.relative_to(SITE).as_posix()
            if anchor and key in seen and unquote(anchor) not in seen[key].names:
                broken.append((name, link))
    assert broken == []


def test_equations_are_named_and_linked():
    "Each numbered equation of the paper that the book tags has a place of its own, and the prose leads to it."
    names = set().union(*(Anchors((SITE / name).read_text("utf-8")).names for name in PAGES))
    assert {f"eq-{number}" for number in range(1, 16)} <= names


def test_pictures_have_words():
    silent = [(name, tag[:100]) for name in PAGES for tag in re.findall(r"<img\s[^>]*>", (SITE / name).read_text("utf-8")) if not re.search(r'alt="[^"]', tag)]
    assert silent == []


def test_the_site_is_light():
    "A page with the data of its figures weighs less than 3 MB, the site less than 40."
    heavy = []
    for name in PAGES:
        page = SITE / name
        data = SITE / "_static" / "frames" / f"{page.stem}.js"
        size = page.stat().st_size + (data.stat().st_size if data.exists() else 0)
        if size >= 3e6:
            heavy.append((name, size))
    assert heavy == []
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < 40e6


def test_the_tour_is_walked_by_keys_to_its_end(page):
    with visiting(page, (SITE / "index.html").as_uri()) as faults:
        page.wait_for_function("window.mclrec?.tour")
        draw_all(page)
        sentences, pictures = set(), []
        for step in range(page.evaluate("mclrec.tour.steps")):
            assert page.evaluate("mclrec.tour.at") == step
            sentences.add(page.locator(".mclrec-tour p").inner_text())
            pictures.append(page.evaluate(SHOWN, "fig-tour"))
            page.keyboard.press("ArrowRight")
        assert len(sentences) == step + 1 >= 15
        assert all(a != b for a, b in zip(pictures, pictures[1:])), "each step shows something else"
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("mclrec.tour.at") == step - 1
        assert move(page, "fig-tour", "user"), "and the reader may take over"
        assert faults == []


def test_a_state_is_in_the_address_and_reset_takes_it_out(page):
    address = (SITE / "2_the_method" / "07_contrast.html").as_uri()
    with visiting(page, address) as faults:
        draw_all(page)
        figure = next(id for id, names in controls(page) if "tau" in names and "anchor" in names)
        page.evaluate("id => mclrec.figures[id].set({ tau: 0.1, anchor: 45 })", figure)
        linked, shown = page.evaluate("location.hash"), page.evaluate(SHOWN, figure)
        assert linked == f"#{figure}&anchor=45&tau=0.1"
        page.goto("about:blank")
        page.goto(address + linked)
        draw_all(page)
        assert page.evaluate(SHOWN, figure) == shown
        page.locator(f"#{figure} .mclrec-reset").click()
        assert page.evaluate("location.hash") == f"#{figure}" and page.evaluate(SHOWN, figure) != shown
        assert faults == []


def test_a_point_is_dragged(page):
    with visiting(page, (SITE / "2_the_method" / "07_contrast.html").as_uri()) as faults:
        draw_all(page)
        figure = next(id for id, names in controls(page) if "tau" in names and "anchor" in names)
        page.locator(f"#{figure}").scroll_into_view_if_needed()
        place = page.evaluate(
            """id => { const plot = document.querySelector(`#${id} .mclrec-plot`), { xaxis, yaxis } = plot._fullLayout, { left, top } = plot.getBoundingClientRect();
              const at = (x, y) => [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)];
              return [at(plot.data[0].x[1], plot.data[0].y[1]), at(-2, 0.02)]; }""", figure)
        page.mouse.move(*place[0])
        page.mouse.down()
        page.mouse.move(*place[1], steps=4)
        page.mouse.up()
        assert abs(abs(page.evaluate("id => mclrec.figures[id].at.partner", figure)) - 180) <= 3
        assert faults == []


def test_the_shop_answers(page):
    with visiting(page, (SITE / "in_your_browser.html").as_uri()) as faults:
        page.wait_for_function("window.mclrec?.shop")
        draw_all(page)
        lists = []
        page.locator(".mclrec-shop button", has_text="nothing").click()
        for item in ("scone", "crumpet", "tortilla"):
            page.locator(".mclrec-shop button", has_text=item).first.click()
            lists.append(page.evaluate(SHOWN, "fig-shop-list"))
        assert len(set(lists)) == 3 and len(page.evaluate("mclrec.shop.history")) == 3
        page.locator(".mclrec-typed input").first.fill("one, two, three")
        assert "three" in page.evaluate(SHOWN, "fig-typed")
        assert faults == []


def test_search_finds_from_disk(page):
    with visiting(page, (SITE / "search.html").as_uri() + "?q=regularizer") as faults:
        page.locator("#search-results a").first.wait_for()
        assert page.locator("#search-results a").count() > 3
        assert faults == []


@pytest.mark.parametrize("name", ["index.html", "2_the_method/07_contrast.html", "in_your_browser.html"])
def test_the_same_from_a_server(page, name):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with visiting(page, f"http://127.0.0.1:{server.server_address[1]}/{name}") as faults:
            draw_all(page)
            assert faults == []
        server.shutdown()


@pytest.fixture(scope="session")
def axe():
    "The accessibility checker axe-core, from npm."
    from book import from_package

    try:
        return from_package("axe-core@4.14.1", "package/axe.min.js").decode()
    except Exception as e:
        pytest.skip(f"needs axe-core from npm: {e}")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "2_the_method/07_contrast.html", "1_the_problem/04_ranking.html", "in_your_browser.html", "ledger.html", "api/index.html",
                                  "5_in_practice/90_vectors.html"])
def test_nobody_is_left_out(browser, axe, name, theme):
    "WCAG 2 A and AA, as far as a machine can tell, on a wide page and on a narrow one."
    for width in (1400, 360):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        page.goto((SITE / name).as_uri())
        draw_all(page) if page.locator(".mclrec-figure").count() else None
        page.wait_for_timeout(500)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, { runOnly: ['wcag2a', 'wcag2aa'] })")
        told = [(one["id"], node["html"][:120], node.get("failureSummary", "")[:200]) for one in found["violations"] for node in one["nodes"]]
        assert told == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the page"
        page.close()
