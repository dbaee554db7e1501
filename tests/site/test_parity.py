"""The mathematics of the web book against the library: each function of web/mathematics.js gives what its twin gives."""
import base64
import gzip
import json
from pathlib import Path

import mclrec
import numpy as np
import pytest
import torch
from mclrec.contrast import one_anchor
from mclrec.encoder import Encoder, Sequences, attention_weights
from mclrec.figures.views import anchor_scores, charges, contrast_figure, trace
from mclrec.augment import OPERATORS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.set_content("<body></body>")
    page.add_script_tag(path=ROOT / "web" / "mathematics.js")
    yield page
    page.close()


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours, theirs, **how):
    torch.testing.assert_close(torch.tensor(ours, dtype=torch.float64), theirs.double(), **{"rtol": 1e-10, "atol": 1e-10} | how)


@pytest.mark.parametrize("tau", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("negatives", [1, 6, 62])
def test_one_term_of_eq_8(page, tau, negatives):
    "Both sides compute with 64 bits: they differ by rounding only."
    x = 2 * drawn(negatives + 2, 2, seed=negatives)
    ours = page.evaluate("([x, tau]) => mathematics.oneAnchor(x[0], x[1], x.slice(2), tau)", [x.tolist(), tau])
    loss, shares, at_anchor, at_others = one_anchor(x[0], x[1], x[2:], tau)
    close(ours["loss"], loss)
    close(ours["shares"], shares)
    close(ours["atAnchor"], at_anchor, rtol=1e-8)
    close(ours["atOthers"], at_others, rtol=1e-8)


@pytest.mark.parametrize("margins", ["batch", "anchor"])
def test_what_r_charges(page, margins):
    x = torch.nn.functional.normalize(drawn(24, 5), dim=1)
    P, N = anchor_scores((x @ x.T).fill_diagonal_(-torch.inf), margins)
    for move in (-1.5, 0.0, 0.7):
        ours = page.evaluate("([P, N, margins]) => mathematics.charges(P, N, margins)", [(P + move).tolist(), N.tolist(), margins])
        for name, theirs in zip(("oMin", "oMax", "first", "second"), charges(P + move, N, margins)):
            close(ours[name], theirs)


@pytest.mark.parametrize("operator", ["crop", "mask", "reorder"])
def test_the_operators_of_eq_4(page, operator, monkeypatch):
    "Given the same numbers by chance, in the order in which the library draws them, the same view comes out."
    for length in (1, 2, 5, 8, 20):
        for ratio in (0.0, 0.2, 0.5, 0.8, 1.0):
            for seed in range(3):
                noted, usual = [], torch.rand

                def noting(*args, **how):
                    made = usual(*args, **how)
                    noted.extend(made.tolist())
                    return made

                with monkeypatch.context() as patch:
                    patch.setattr(torch, "rand", noting)
                    theirs = trace(length, operator, ratio, torch.Generator().manual_seed(seed))
                given = [list(range(1, length + 1)), ratio, noted, operator]
                ours = page.evaluate("([items, ratio, noted, name]) => mathematics.OPERATORS[name](items, ratio, () => noted.shift())", given)
                assert [item or 0 for item in ours] == theirs, (length, ratio, seed)
    assert operator in OPERATORS


@pytest.fixture(scope="module")
def shop():
    "The model of the page as the page has it, and as the library has it."
    kept = json.loads(gzip.decompress((ROOT / "web" / "frames" / "shop.json.gz").read_bytes()))
    encoder = Encoder(len(kept["items"]), d=kept["d"], n=kept["n"], heads=kept["heads"], inner=dict(kept["shapes"])["blocks.0.W1.weight"][0]).eval()
    flat, weights = np.frombuffer(base64.b64decode(kept["weights"]), "<f4").copy(), {}
    for name, shape in kept["shapes"]:
        size = int(np.prod(shape))
        weights[name], flat = torch.from_numpy(flat[:size]).view(shape), flat[size:]
    assert not len(flat)
    encoder.load_state_dict(weights)
    return kept, encoder


def test_the_encoder(page, shop):
    """Torch computes with 32 bits, the page with 64: they may differ as torch with 32 bits differs from torch with 64, and some.

    Among the first ten no two items are so near to each other, so their order is the same.
    """
    kept, encoder = shop
    data = mclrec.load("toy")
    assert list(data.item_ids) == kept["items"]
    page.evaluate("kept => { window.shop = mathematics.model(kept); }", kept)
    wide = Encoder(len(kept["items"]), d=kept["d"], n=kept["n"], heads=kept["heads"], inner=dict(kept["shapes"])["blocks.0.W1.weight"][0]).double().eval()
    wide.load_state_dict({name: value.double() for name, value in encoder.state_dict().items()})
    furthest, narrow = 0.0, 0.0
    for user in range(0, 1000, 10):
        items = torch.from_numpy(data[user]).long()
        ours = page.evaluate("items => { const { h, shares } = mathematics.encode(shop, items); return { h, shares, scores: mathematics.scores(shop, h) }; }", items.tolist())
        recent = items[-kept["n"]:]
        with torch.no_grad():
            h, h32 = (one(Sequences(recent, torch.tensor([len(recent)])))[0] for one in (wide, encoder))
            scores = wide.M.weight[1:len(kept["items"]) + 1] @ h
        close(ours["h"], h, rtol=1e-9, atol=1e-9)
        close(ours["scores"], scores, rtol=1e-8, atol=1e-8)
        assert np.argsort(ours["scores"])[::-1][:10].tolist() == scores.argsort(descending=True)[:10].tolist()
        shares = attention_weights(wide, recent)
        for layer, heads in enumerate(ours["shares"]):
            for head, rows in enumerate(heads):
                for t, row in enumerate(rows):
                    close(row, shares[layer, head, t, : t + 1], atol=1e-9)
        furthest = max(furthest, (torch.tensor(ours["h"], dtype=torch.float64) - h32.double()).abs().max().item())
        narrow = max(narrow, (h32.double() - h).abs().max().item())
    print(f"page against 32 bits {furthest:.1e}, 32 against 64 bits {narrow:.1e}")
    assert furthest <= narrow + 1e-8


def test_erf_is_good_to_the_last_digits(page):
    x = torch.linspace(-8, 8, 401, dtype=torch.float64)
    close(page.evaluate("x => x.map(mathematics.erf)", x.tolist()), torch.erf(x), rtol=0, atol=1e-14)


def with_figures(browser):
    "A page that can compute figures."
    page = browser.new_page()
    page.set_content("<body></body>")
    for name in ("mathematics", "book", "computed"):
        page.add_script_tag(path=ROOT / "web" / f"{name}.js")
    return page


def recorded(chapter, function):
    kept = json.loads(gzip.decompress((ROOT / "web" / "frames" / f"{chapter}.json.gz").read_bytes()))
    return next(one for some in kept["cells"].values() for one in some if one["function"] == function)


def test_the_figure_of_r_begins_as_it_was_drawn(browser):
    "Where the sliders start the page computes what the notebook drew, which is kept with four digits."
    page, kept = with_figures(browser), recorded("09_regularizer", "hinges")
    ours, theirs = page.evaluate(
        """recorded => { const { controls, figure } = mclrec.computed.hinges(recorded);
          return [figure(Object.fromEntries(controls.map(({ name, start }) => [name, start]))), mclrec.assembled(recorded, recorded.roots[0])]; }""", kept)
    assert ours["layout"]["title"]["text"] == theirs["layout"]["title"]["text"] and len(ours["data"]) == len(theirs["data"])
    for a, b in zip(ours["data"], theirs["data"]):
        close(a["y"], torch.tensor(b["y"], dtype=torch.float64), rtol=1e-3, atol=1e-3)
    for a, b in zip(ours["layout"]["shapes"], theirs["layout"]["shapes"]):
        assert abs(a["x0"] - b["x0"]) < 1e-3
    page.close()


FIGURE = """([recorded, at]) => {
  const { data, layout } = mclrec.computed.contrast_figure(recorded).figure(at);
  return { points: [data[0].x, data[0].y], bars: data[1].y, arrows: layout.annotations.map(a => [a.x, a.y, a.ax, a.ay]), title: layout.title.text };
}"""


def test_the_figure_of_contrast(browser):
    "The page's figure of one anchor on a plane, against the notebook's."
    page, kept = with_figures(browser), recorded("07_contrast", "contrast_figure")
    sizes = kept["controls"][5]["values"]
    for anchor, partner, negative, length, tau, B in ((0, 60, -45, 2.0, 1.0, 4), (17, -170, 33, 1.3, 0.15, 2), (-91, -90, 180, 4.0, 5.0, 32)):
        at = dict(anchor=anchor, partner=partner, negative=negative, length=length, tau=tau, B=sizes.index(str(B)))
        ours, theirs = page.evaluate(FIGURE, [kept, at]), contrast_figure(anchor, partner, negative, length, tau, B)
        points, bars = theirs.data
        close(ours["points"], torch.tensor([points.x, points.y], dtype=torch.float64), atol=1e-9)
        close(ours["bars"], torch.tensor(bars.y, dtype=torch.float64), atol=1e-9)
        arrows = [[a.x, a.y, a.ax, a.ay] for a in theirs.layout.annotations]
        close(ours["arrows"], torch.tensor(arrows, dtype=torch.float64), atol=1e-9)
        assert ours["title"] == theirs.layout.title.text
    page.close()
