"""The picture of the whole model: its arrows against autograd's, what its boxes hold against the model, its two lives, and the small one."""
import json
from xml.etree import ElementTree

import pytest
import torch

from mclrec.augmenters import cl2
from mclrec.contrast import eq8, info_nce
from mclrec.explore import explorable
from mclrec.figures.model import BOXES, FLOWS, HERE, STAGES, Diagram, cells, flows, gradient, model_figure, study, with_menus, words, you_are_here
from mclrec.regularizer import margins_of, split_scores
from mclrec.toy import toy

SHOP = toy()


@pytest.fixture(scope="module")
def studies():
    return {preset: study(SHOP, preset, B=12, batches=2, d=8, inner=16, n=6) for preset in ("official", "paper")}


def test_boxes_do_not_overlap_and_arrows_join_boxes():
    def corners(name):
        b, wide = BOXES[name], 3.4 if name == "update" else 0.4
        return b.x - wide, b.x + wide, b.y - b.half, b.y + b.half

    names = list(BOXES)
    for k, one in enumerate(names):
        for other in names[k + 1:]:
            a, b = corners(one), corners(other)
            assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], (one, other)
    assert {end for arrow in FLOWS for end in arrow} == {*BOXES} - {"update"}


def test_the_paper_gives_its_regularizer_two_arrows_and_the_release_four():
    assert sum(b == "R" for _, b in flows("paper")) == 2 and sum(b == "R" for _, b in flows("official")) == 4


@pytest.mark.parametrize("stage", STAGES)
def test_a_gradient_goes_back_along_arrows_to_what_moves(stage):
    s, path = STAGES[stage], gradient(stage)
    assert {*path} <= {*flows(s.preset)} and {b for _, b in path} >= {*s.losses}
    reached = {a for a, _ in path}
    assert ({"encoder"} & reached == {"encoder"}) == (s.moves == "θ")
    assert ({"w₁", "w₂"} <= reached) == (s.moves != "") and not {"history", "g₁", "g₂"} & reached


def test_each_stage_moves_its_own_parameters_only(studies):
    for preset, groups in (("official", "θφθ"), ("paper", "θφ")):
        moved = studies[preset].moved
        assert len(moved) == len(groups)
        for far, group in zip(moved, groups):
            assert {part for part, distance in far.items() if distance} == ({"w₁", "w₂"} if group == "φ" else {"items", "places", "blocks"})


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_the_boxes_hold_what_the_model_computes(studies, preset):
    s, u, B = studies[preset], 3, 12
    number = {name: [v for _, v in cells(s, name, u)[0]] for name in BOXES}
    for name, x in (("h", s.h), ("h̃¹", s.h1), ("h̃²", s.h2), ("z̃¹", s.z1), ("z̃²", s.z2)):
        assert number[name] == x[u].tolist()
    con = eq8 if preset == "paper" else info_nce
    torch.testing.assert_close(torch.tensor(s.terms["cl2"]), cl2(s.h1, s.h2, s.z1, s.z2, con), rtol=1e-4, atol=1e-5)
    assert number["L_cl2"][3] == pytest.approx(sum(number["L_cl2"][:3])) and len(number["w₁"]) == 2
    p = (s.h[u] @ s.model.item_vectors().T).softmax(0)
    assert number["L_rec"][0] == pytest.approx(p[s.targets[u] - 1].item(), rel=1e-5)
    positive, best, o_min, o_max, paid, _ = number["R"]
    assert o_min <= o_max and paid == pytest.approx(max(0, positive - o_min), abs=1e-6)
    if preset == "paper":
        low, high = margins_of(*split_scores(s.z1, s.z2))
        assert o_min == pytest.approx(low.item(), abs=1e-5) and o_max == pytest.approx(high.item(), abs=1e-5)
    else:
        assert (o_min, o_max) == (min(positive, best), max(positive, best))
    assert number["history"] == list(range(len(number["history"]))) and B == len(s.users)


def test_every_box_is_drawn_at_every_stage_in_lines_that_fit(studies):
    for box in BOXES:
        for stage in STAGES:
            figure = model_figure(studies, box, stage, studies["official"].users[1])
            assert len(figure.data) == 9 and len(figure.data[8].z) == 2
        lines = words(studies["official"], box, 0, "1: θ").split("<br>")
        assert max(map(len, lines)) <= 60 and len(lines) <= 6, lines


def test_both_menus_of_a_page_without_a_kernel_name_their_frames(studies):
    figure = with_menus(studies, list(BOXES), list(STAGES))
    frames = {frame.name: frame for frame in figure.frames}
    asked = [button.args[0][0] for menu in figure.layout.updatemenus for button in menu.buttons]
    assert asked == [f"box: {b}" for b in BOXES] + [f"stage: {s}" for s in STAGES] and {*asked} == {*frames}
    for kind, many in (("box", 3), ("stage", 6)):
        assert all(len(frame.data) == len(frame.traces) == many for name, frame in frames.items() if name.startswith(kind))
    boxes, stages = ({k for name, f in frames.items() if name.startswith(kind) for k in f.traces} for kind in ("box", "stage"))
    assert not boxes & stages, "the two menus do not undo each other"
    assert len(figure.to_json()) < 100_000


def test_a_click_moves_the_control(studies):
    def whole(box, stage, user):
        "The model."
        return model_figure(studies, box, stage, user)

    shown = Diagram(explorable(whole, box=list(BOXES), stage=list(STAGES), user=studies["official"].users[:2]), studies)
    shown.box.children[-1].chosen = "R"
    assert shown.controls["box"].value == "R" and "regularizer" in shown.shown.data[7].text[0]
    assert "updatemenus" in json.dumps(shown._repr_mimebundle_()["application/vnd.plotly.v1+json"]["layout"])


@pytest.mark.parametrize("chapter", HERE)
def test_the_small_picture_is_an_svg_with_the_chapters_boxes_in_blue(chapter):
    here = you_are_here(chapter)
    root = ElementTree.fromstring(here._repr_svg_())
    boxes = [e.get("fill") for e in root if e.tag.endswith("rect")]
    assert len(boxes) == len(BOXES) and boxes.count("#0072B2") == len(HERE[chapter]) and chapter in repr(here)
    assert {*HERE[chapter]} <= {*BOXES}


def test_every_chapter_of_the_first_two_parts_has_a_place():
    assert [*HERE] == [f"{k:02}" for k in range(1, 15)]
