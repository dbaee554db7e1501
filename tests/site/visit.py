"""A visit to a page of the site, with everything that goes wrong on it noted, and no network."""
from contextlib import contextmanager

SHOWN = """id => { const plot = document.querySelector(`#${CSS.escape(id)} .mclrec-plot`); return JSON.stringify([plot.data, plot.layout]); }"""
READY = """() => window.mclrec && [...document.querySelectorAll('.mclrec-figure')].every(place => mclrec.figures[place.id])"""


@contextmanager
def visiting(page, address):
    "Opens the address; yields a list that gets a line for each error, failed request and request that would leave the machine."
    faults = []
    page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on("response", lambda response: faults.append(f"{response.status}: {response.url}") if response.status >= 400 else None)

    def only_here(route):
        if route.request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1")):
            return route.continue_()
        faults.append(f"leaves the machine: {route.request.url}")
        return route.abort()

    page.route("**/*", only_here)
    page.goto(address)
    yield faults


def draw_all(page):
    "Every figure drawn, those out of sight too, and those that wait for a guess."
    page.wait_for_function(READY)
    page.evaluate("for (const shut of document.querySelectorAll('details.mclrec-opened')) shut.open = true")
    page.evaluate("for (const figure of Object.values(mclrec.figures)) figure.draw()")


def controls(page):
    "The ids of the figures of a page, each with the names of its controls."
    return page.evaluate("Object.entries(mclrec.figures).map(([id, figure]) => [id, figure.controls.map(one => one.name)])")


def move(page, figure, control):
    "From the figure's start move one control as a reader would, the other way too if that showed nothing; whether the figure's data changed."
    page.evaluate("id => mclrec.figures[id].reset()", figure)
    place = page.locator(f"#{figure} [data-control='{control}']")
    before = page.evaluate(SHOWN, figure)
    for way in (0, 1):
        if place.locator("input[type=range]").count():
            place.locator("input").press(("ArrowRight", "ArrowLeft")[way])
        elif place.locator("select").count():
            place.locator("select").press(("ArrowDown", "ArrowUp")[way])
        else:
            choices = place.locator("label:not(:has(:checked))")
            choices.nth((0, -1)[way]).click()
        if page.evaluate(SHOWN, figure) != before:
            return True
    return False
