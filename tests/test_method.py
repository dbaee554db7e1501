"""The losses against loops over their printed definitions, and who moves when."""
import logging
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclrec.augmenters import Augmenter, cl2, finds_partner
from mclrec.contrast import eq8, info_nce, plain_info_nce
from mclrec.data import InputError, from_rows
from mclrec.encoder import Encoder, gather, padded
from mclrec.engine import three_pairs
from mclrec.meta import ELSEWHERE, LAMBDA_BETA, MCLRec, contrastive_terms, iteration, parameters_by_part
from mclrec.ranking import cross_entropy, plain_cross_entropy
from mclrec.regularizer import regularizer, regularizer_per_anchor
from mclrec.sampled import next_item_loss
from mclrec.training import Trainer

few = settings(max_examples=40)
sizes, seeds, taus = st.integers(1, 6), st.integers(0, 999), st.sampled_from([1., .5, 2.])
SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)


def vectors(count, B, seed, d=4):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, d, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(count)]


def gradients(loss, inputs):
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, torch.autograd.grad(loss, inputs, allow_unused=True, retain_graph=True))]


def same(ours, theirs, inputs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients(ours, inputs), gradients(theirs, inputs), rtol=1e-9, atol=1e-9)


# ---- Eq. 7-9

def looped_info_nce(x1, x2, tau):
    "Each of the 2B views in turn: its partner against the partner and all 2(B - 1) views of other people."
    x, B, terms = torch.cat([x1, x2]), len(x1), []
    for a in range(2 * B):
        partner = a + B if a < B else a - B
        rest = [torch.exp(x[a] @ x[k] / tau) for k in range(2 * B) if k not in (a, partner)]
        positive = torch.exp(x[a] @ x[partner] / tau)
        terms.append(-torch.log(positive / (positive + sum(rest))))
    return sum(terms) / (2 * B)


@few
@given(B=sizes, seed=seeds, tau=taus)
def test_info_nce_is_the_loop(B, seed, tau):
    x1, x2 = vectors(2, B, seed)
    expected = looped_info_nce(x1, x2, tau)
    same(info_nce(x1, x2, tau), expected, [x1, x2])
    same(plain_info_nce(x1, x2, tau), expected, [x1, x2])
    same(eq8(x1, x2, tau), 2 * expected, [x1, x2])


def test_what_carries_its_own_gradient_is_differentiated_once_and_says_so():
    h, W, four = *vectors(2, 6, 0), vectors(4, 6, 1)
    g, encoder = torch.arange(6), Encoder(6, **SMALL).double()
    batch, row = gather(torch.tensor([1, 2, 3]), torch.tensor([0]), torch.tensor([3])), encoder.blocks[0].QKV.weight
    drawn = torch.Generator().manual_seed(0)
    fused = {"info_nce": (info_nce(h, W), h), "cross_entropy": (cross_entropy(h, W, g), h), "three_pairs": (three_pairs(*four)[0], four[0]),
             "next_item_loss": (next_item_loss(h, W, g, 3, drawn), h), "ragged": (encoder(batch).square().sum(), row)}
    plain = {"plain_info_nce": (plain_info_nce(h, W), h), "plain_cross_entropy": (plain_cross_entropy(h, W, g), h),
             "padded": (padded(encoder, batch).square().sum(), row)}
    for name, (loss, of) in (fused | plain).items():
        if name in plain:
            first, = torch.autograd.grad(loss, of, create_graph=True)
            assert torch.autograd.grad(first.square().sum(), of)[0].abs().sum() > 0, name
        else:
            torch.autograd.grad(loss, of, retain_graph=True)
            with pytest.raises(RuntimeError, match="written by hand"): torch.autograd.grad(loss, of, create_graph=True)


def test_info_nce_known_answers():
    one = torch.eye(2, dtype=torch.float64)
    assert info_nce(one, one).item() == pytest.approx(math.log(1 + 2 / math.e))  # partner 1, two strangers 0
    assert info_nce(one[:1], one[1:]).item() == 0
    far = 1000 * torch.tensor([[1., 0.], [0., 1.]])
    assert info_nce(far, far).item() == 0 and math.isfinite(info_nce(far, far.flip(0)).item())


@few
@given(B=sizes, seed=seeds)
def test_cl2_is_its_three_pairs(B, seed):
    h1, h2, z1, z2 = inputs = vectors(4, B, seed)
    same(cl2(*inputs), looped_info_nce(z1, z2, 1) + looped_info_nce(h1, z2, 1) + looped_info_nce(h2, z1, 1), inputs)


def test_who_finds_the_partner():
    one, two = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[[0, 2, 1]]  # the last two are mixed up
    assert finds_partner(one, 2 * two).tolist() == [True, False, False, True, False, False]
    assert finds_partner(one, one + .1).all()


@pytest.mark.parametrize("normalize", [True, False])
def test_augmenter_by_hand(normalize):
    w, h = Augmenter(8, normalize).double(), torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert [tuple(layer.weight.shape) for layer in w.layers] == [(4, 8), (2, 4), (8, 2)]
    gelu = lambda x: x * .5 * (1 + torch.erf(x / math.sqrt(2)))
    (W1, b1), (W2, b2), (W3, b3) = ((layer.weight, layer.bias) for layer in w.layers)
    z = gelu(gelu(h @ W1.T + b1) @ W2.T + b2) @ W3.T + b3
    torch.testing.assert_close(w(h), z / z.norm(dim=1, keepdim=True) if normalize else z)


def test_augmenters_draw_their_weights_from_the_generator_given():
    a, b, c = (Augmenter(8, generator=torch.Generator().manual_seed(seed)).layers[0].weight for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.abs().max() <= 8**-.5


# ---- Eq. 11-13

def looped_batch_margins(z1, z2):
    B = len(z1)
    positive = [z1[a] @ z2[a] for a in range(B)]
    negative = [z1[a] @ z2[b] for a in range(B) for b in range(B) if a != b]
    if not negative:
        return 0 * positive[0]
    o_min, o_max = (f(min(positive), max(negative)) for f in (min, max))
    return sum(max(p - o_min, 0 * p) for p in positive) / len(positive) + sum(max(o_max - n, 0 * n) for n in negative) / len(negative)


def looped_anchor_margins(x1, x2):
    x, B, first, second = torch.cat([x1, x2]), len(x1), 0, 0
    if B == 1:
        return 0 * (x1 * x2).sum()
    for a in range(2 * B):
        partner = (a + B) % (2 * B)
        positive, negative = x[a] @ x[partner], [x[a] @ x[k] for k in range(2 * B) if k not in (a, partner)]
        low, high = min(positive, max(negative)), max(positive, max(negative))
        first = first + max(positive - low, 0 * low)
        second = second + sum(max(high - n, 0 * n) for n in negative) / (2 * B - 2)
    return (first + second) / (2 * B)


@few
@given(B=sizes, seed=seeds)
def test_regularizer_is_the_loop(B, seed):
    inputs = vectors(2, B, seed)
    same(regularizer(*inputs), looped_batch_margins(*inputs), inputs)


@few
@given(B=sizes, seed=seeds)
def test_regularizer_per_anchor_is_the_loop(B, seed):
    inputs = vectors(2, B, seed)
    same(regularizer_per_anchor(*inputs), looped_anchor_margins(*inputs), inputs)


def test_regularizer_known_answers():
    one = torch.eye(2, dtype=torch.float64)
    alike, swapped = (one, one), (one, one.flip(0))
    assert regularizer(*alike).item() == 2                # σ⁺ = 1, 1 and σ⁻ = 0, 0: margins 0 and 1
    assert regularizer(*swapped).item() == 0              # σ⁺ = 0, 0 and σ⁻ = 1, 1: the margins touch both
    assert regularizer_per_anchor(*alike).item() == 2     # every anchor: partner 1, strangers 0, 0
    assert regularizer_per_anchor(*swapped).item() == .5  # every anchor: partner 0, strangers 0, 1


# ---- Eq. 14, 15 and Algorithm 1

SHOP = from_rows([u for u in range(12) for _ in range(6)], [(u + k) % 9 for u in range(12) for k in range(6)], core=0, name="shop")


def model_of(preset="official", prepared=SHOP, **settings):
    model = MCLRec(SHOP.n_items, preset, **{**SMALL, **settings})
    if prepared:
        model.prepare(prepared)
    return model


def some_batch(B=8):
    end = torch.from_numpy(SHOP.offsets[1:1 + B]) - 1
    items = torch.from_numpy(SHOP.items)
    return gather(items, end - 4, end), items[end].long()


def test_the_two_presets():
    official, paper = model_of("official"), model_of("paper")
    assert [group for group, _ in official.stages()] == ["encoder", "augmenters", "encoder"]
    assert [group for group, _ in paper.stages()] == ["encoder", "augmenters"]
    assert [group for group, _ in model_of(joint=True).stages()] == ["all"]
    assert official.metric == ("MRR@10", 4) and paper.metric == ("NDCG@10", None)
    assert official.w1.normalize and not paper.w1.normalize
    assert MCLRec(SHOP.n_items).preset == "official"


@pytest.mark.parametrize("name, expected", [("beauty", (0, .05)), ("sports", (.04, .4)), ("yelp", (.03, .1)), ("shop", (.03, .1))])
def test_weights_are_the_papers_for_the_data_and_said_aloud(name, expected, caplog):
    assert LAMBDA_BETA.get(name, ELSEWHERE) == expected
    data = from_rows([0] * 6, range(6), core=0, name=name)
    model = MCLRec(6, **SMALL)
    with caplog.at_level(logging.INFO, "mclrec"):
        model.prepare(data)
    assert (model.settings["lam"], model.settings["beta"]) == expected and model.gamma == pytest.approx(expected[1] / 10)
    assert f"λ = {expected[0]:g}, β = {expected[1]:g}, γ = {expected[1] / 10:g}" in caplog.text


def test_given_weights_stay():
    model = model_of(lam=0, beta=.7, gamma=.2)
    assert (model.settings["lam"], model.settings["beta"], model.gamma) == (0, .7, .2)


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_losses_are_the_weighted_sums(preset):
    model = model_of(preset, lam=.3, beta=.2).double().eval()
    batch, targets = some_batch()
    views = model.shared_inputs(batch, targets)
    B, terms = len(targets), model.encoder_loss(views)
    h, h1, h2 = model.encode(views.all).split(B)
    torch.testing.assert_close(h, model.encode(batch))
    z1, z2 = model.w1(h1), model.w2(h2)
    official, scale = preset == "official", 1 if preset == "official" else 2
    rows = torch.arange(0 if official else 1, SHOP.n_items + 1)
    expected = {
        "rec": torch.nn.functional.cross_entropy(h @ model.encoder.M.weight[rows].T, targets - rows[0]),
        "cl1": scale * looped_info_nce(h1, h2, 1),
        "cl2": scale * sum(looped_info_nce(a, b, 1) for a, b in ((z1, z2), (h1, z2), (h2, z1))),
        "R": sum(looped_anchor_margins(a, b) for a, b in ((z1, z2), (h1, z2), (h2, z1))) if official else looped_batch_margins(z1, z2),
    }
    expected["loss"] = expected["rec"] + .3 * expected["cl1"] + .2 * expected["cl2"] + .02 * expected["R"]
    assert set(terms) == set(expected)
    for name in expected:
        same(terms[name], expected[name], list(model.parameters()))  # also through the augmenters to the encoder
    second = model.augmenter_loss(views)
    assert set(second) == {"loss", "cl2", "R"}
    torch.testing.assert_close(second["loss"], expected["cl2"] + (.1 if official else .02) * expected["R"])


def test_temperature_is_for_cl1_and_R():
    "As released: the three pairs of Eq. 9 have temperature 1."
    inputs = vectors(2, 5, 0, d=8)
    w = Augmenter(8).double()
    terms = [contrastive_terms(*inputs, w, w, {**MCLRec.DEFAULTS, "tau": tau}) for tau in (1., .5)]
    assert not torch.isclose(terms[0]["cl1"], terms[1]["cl1"])
    torch.testing.assert_close(terms[0]["cl2"], terms[1]["cl2"])
    torch.testing.assert_close(2 * terms[0]["R"], terms[1]["R"])


@pytest.mark.parametrize("settings, gone", [(dict(lam=0), {"cl1"}), (dict(beta=0, gamma=.1), {"cl2"}), (dict(beta=0), {"cl2", "R"}), (dict(regularizer=False), {"R"}), (dict(gamma=0), {"R"})])
def test_each_term_can_be_switched_off(settings, gone):
    model = model_of(**settings)
    assert set(model.encoder_loss(model.shared_inputs(*some_batch()))) == {"loss", "rec", "cl1", "cl2", "R"} - gone
    if settings == dict(regularizer=False):
        assert set(model.augmenter_loss(model.shared_inputs(*some_batch()))) == {"loss", "cl2"}


def moved(model, which):
    "The groups of parameters ('encoder', 'augmenters') that stage number `which` of one iteration moves."
    trainer = Trainer(model, SHOP, batch_size=8)
    stage = model.stages()[which]
    model.stages = lambda: [stage]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    next(trainer.batches())
    return {"encoder" if name.startswith("encoder") else "augmenters" for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_who_moves_when(preset):
    stages = [moved(model_of(preset), k) for k in range(len(model_of(preset).stages()))]
    assert stages == [{"encoder"}, {"augmenters"}, {"encoder"}][:3 if preset == "official" else 2]
    assert moved(model_of(preset, joint=True), 0) == {"encoder", "augmenters"}


@pytest.mark.parametrize("how", [dict(preset="official"), dict(preset="paper"), dict(joint=True)], ids=str)
def test_an_iteration_is_a_step_that_was_watched(how):
    batch, targets = some_batch()
    watched, alone = (Trainer(model_of(**how).train(), SHOP, batch_size=8) for _ in range(2))
    turns, record = iteration(watched, batch, targets), alone.step(batch, targets, None)
    assert [group for group, _, _ in turns] == [group for group, _ in alone.model.stages()]
    assert sorted(loss for _, loss, _ in turns) == sorted(terms["loss"].item() for stages in record.values() for terms in stages)
    for (name, ours), theirs in zip(watched.model.named_parameters(), alone.model.parameters()):
        assert torch.equal(ours, theirs), name                                                  # the same code, run twice
    for group, _, far in turns:
        assert list(far) == list(parameters_by_part(watched.model))
        assert (far["items"] > 0) == (group != "augmenters") and (far["w1"] > 0) == (group != "encoder")
    before = [p.detach().clone() for p in watched.model.parameters()]
    watched.step(batch, targets, None)
    assert len(turns) == len(watched.model.stages()) and not all(torch.equal(p, b) for p, b in zip(watched.model.parameters(), before))


def test_one_augmenter_for_both_views():
    shared, two = model_of(share=True), model_of()
    assert shared.w1 is shared.w2 and two.w1 is not two.w2
    assert not torch.equal(two.w1.layers[0].weight, two.w2.layers[0].weight)
    assert len(shared.groups()["augmenters"][0][0]) == 6 and len(two.groups()["augmenters"][0][0]) == 12
    assert {group: [rate for _, rate in parts] for group, parts in two.groups().items()} == {"encoder": ["lr"], "augmenters": ["lr_aug"]}


@pytest.mark.parametrize("preset, token", [("official", 0), ("paper", SHOP.n_items + 1)])
def test_views_mask_with_the_presets_token(preset, token):
    model, (batch, targets) = model_of(preset, crop_ratio=1., reorder_ratio=0.), some_batch(12)
    views = model.shared_inputs(batch, targets)
    assert len(views.all.lengths) == 3 * len(targets) and len(views.augmented.lengths) == 2 * len(targets)
    assert views.all.items[:len(batch.items)].tolist() == batch.items.tolist()
    strange = set(views.augmented.items.tolist()) - set(batch.items.tolist())
    assert strange == {token}


@pytest.mark.parametrize("settings, said", [
    (dict(updates=4), "updates=4"), (dict(margins="none"), "margins='none'"), (dict(tau=0), "tau=0"), (dict(mask_ratio=1.5), "mask_ratio=1.5"),
    (dict(d=7), "d=7 must be a multiple"), (dict(d=2), "d=2 must be at least 4"), (dict(dropout=1), "dropout=1"), (dict(layers=0), "layers=0"), (dict(nonsense=1), "no setting 'nonsense'"),
    (dict(d="8"), "d='8' must be of the kind int"), (dict(joint=1), "joint=1 must be of the kind bool"), (dict(lam="x"), "lam='x'"), (dict(n=True), "n=True")])
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(InputError) as e:
        model_of(prepared=None, **settings)
    assert said in str(e.value) and str(e.value).endswith(".")


def test_an_unknown_preset():
    with pytest.raises(InputError, match="preset 'authors' is unknown to mclrec: choose 'official' or 'paper'."):
        MCLRec(9, "authors")
