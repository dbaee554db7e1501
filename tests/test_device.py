"""What a GPU runs, looked at without one: on the device "meta" tensors have shapes and no numbers, so whoever asks for a number fails."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mclrec.training as training
from mclrec.augment import RELEASED, augment, draw_operators, without_gaps
from mclrec.encoder import Encoder, Sequences, gather, padded
from mclrec.engine import starts, three_pairs, within
from mclrec.meta import MCLRec, _pair_by_pair, contrastive_terms
from mclrec.models.cl4srec import CL4SRec
from mclrec.models.fmc import FMC
from mclrec.models.sasrec import SASRec
from mclrec.data import from_rows
from mclrec.regularizer import split_scores
from mclrec.training import Trainer, optimisers

SHOP = from_rows([u for u in range(40) for _ in range(7)], [3 * u % 20 + k for u in range(40) for k in range(7)], core=0, name="shop")
SMALL = dict(d=8, n=6, layers=2, heads=2, inner=8)
MODELS = {"official": (MCLRec, "official", {}), "paper": (MCLRec, "paper", {}), "one pass": (MCLRec, "official", {"one_pass": True}),
          "joint": (MCLRec, "official", {"joint": True}), "cl4srec": (CL4SRec, "shared", {}), "sasrec": (SASRec, "shared", {})}


class Elsewhere(torch.Generator):
    "A generator that says of itself where it was asked to be; there is no real one on the device meta."
    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.place = torch.device(device)
        return made
    device = property(lambda self: self.place)


class PlainAdam(torch.optim.Adam):
    "Adam without its fused kernel, of which there is none for the device meta."
    def __init__(self, moved, lr, fused): super().__init__(moved, lr=lr)


@pytest.fixture
def elsewhere(monkeypatch):
    "A trainer on the device meta; `asked` counts what it brought to the host."
    asked = []

    def totals(lengths):
        asked.append(lengths.shape)
        return torch.arange(len(lengths) + 1) * 3
    monkeypatch.setattr(torch, "Generator", Elsewhere)
    monkeypatch.setattr(training, "running_total", totals)
    monkeypatch.setattr(training, "optimisers", lambda *args: optimisers(*args, kind=PlainAdam))

    def trainer_of(kind, preset, **settings):
        model = kind(SHOP.n_items, preset, **settings)
        return Trainer(model.to("meta"), SHOP, batch_size=32), asked
    return trainer_of


@pytest.mark.parametrize("name", MODELS)
def test_an_epoch_asks_a_gpu_for_no_number(name, elsewhere):
    "No `.item()`, no copy to the host, no shape that depends on numbers: but once, before the first batch."
    kind, preset, more = MODELS[name]
    trainer, asked = elsewhere(kind, preset, **SMALL, **more)
    means = training.EpochMeans()
    for record in trainer.batches():
        means.add(record)
        assert all(term.device.type == "meta" for stages in record.values() for terms in stages for term in terms.values())
    assert trainer.epoch == 1 and means.batches == 5 and asked == [(160,)]
    assert all(p.device.type == "meta" for p in trainer.model.parameters())


def test_an_epoch_of_a_model_without_an_encoder(elsewhere):
    trainer, _ = elsewhere(FMC, None, d=8)
    assert sum(1 for _ in trainer.batches()) == 5


@pytest.mark.parametrize("ask", [lambda x: x[0].item(), lambda x: x.cpu(), lambda x: x.tolist(), lambda x: x.nonzero(), lambda x: x[x > 0], lambda x: bool((x > 0).any()),
                                 lambda x: within(x.long()), lambda x: torch.bincount(x.long()), lambda x: torch.unique(x), lambda x: x + torch.ones(3)],
                         ids=["item", "cpu", "tolist", "nonzero", "mask", "bool", "within", "bincount", "unique", "mixed"])
def test_what_asks_would_be_found(ask):
    "The test above relies on it."
    with pytest.raises((RuntimeError, NotImplementedError)):
        ask(torch.empty(3, device="meta"))


def test_a_whole_epoch_is_cut_by_its_running_total():
    lengths = torch.tensor([3, 1, 4])
    assert training.running_total(lengths).tolist() == [0, 3, 4, 8]
    items, start = torch.arange(20), torch.tensor([2, 9, 11])
    known, asked = gather(items, start, start + lengths, total=8), gather(items, start, start + lengths)
    assert known.items.tolist() == asked.items.tolist() and known.lengths.tolist() == [3, 1, 4]


# ---- what a GPU computes, on the CPU

@st.composite
def histories(draw):
    rows = draw(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=6))
    return Sequences(torch.tensor(sum(rows, [])), torch.tensor([len(r) for r in rows]))


@settings(max_examples=60)
@given(batch=histories(), seed=st.integers(0, 99), token=st.sampled_from([0, 10]))
def test_views_in_place_are_views(batch, seed, token):
    "Crops and masks are those of the CPU, draw by draw; a reordered block keeps its items and the rest its places; no length changes."
    seeded = lambda: torch.Generator().manual_seed(seed)
    B, first = len(batch.lengths), starts(batch.lengths)
    for ratios in ({"crop": .5}, {"mask": .5}):
        usual, here = (augment(batch, torch.zeros(B, dtype=torch.long), seeded(), ratios, token, in_place) for in_place in (False, True))
        assert torch.equal(here.lengths, batch.lengths)
        dense = here if token and "mask" in ratios else without_gaps(here)
        for got, expected in zip(dense[:2], usual[:2]):
            assert torch.equal(got, expected)
        assert torch.equal(dense.positions if dense.positions is not None else within(dense.lengths)[0], usual.positions if usual.positions is not None else within(usual.lengths)[0])
    here = augment(batch, torch.zeros(B, dtype=torch.long), seeded(), {"reorder": .8}, token, in_place=True)
    for a, L in zip(first.tolist(), batch.lengths.tolist()):
        before, after, count = batch.items[a:a + L].tolist(), here.items[a:a + L].tolist(), int(.8 * L + 1e-9)
        assert sorted(before) == sorted(after)
        assert any(before[:k] == after[:k] and before[k + count:] == after[k + count:] for k in range(L - count + 1))


@settings(max_examples=40)
@given(batch=histories(), seed=st.integers(0, 99))
def test_an_encoder_reads_views_in_place_as_it_reads_dense_ones(batch, seed):
    "With gaps in a padded table, as a GPU does, and without, as the CPU does."
    encoder = Encoder(9, d=8, n=8, heads=2).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for operator in draw_operators(len(batch.lengths), 3, True, generator):
        view = augment(batch, operator, generator, RELEASED, in_place=True)
        torch.testing.assert_close(padded(encoder, view), encoder(without_gaps(view)), rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(B=st.integers(1, 7), seed=st.integers(0, 999), length=st.sampled_from([.1, 1., 3., 30.]), anchors=st.booleans())
def test_three_pairs_are_the_pairs_one_by_one(B, seed, length, anchors):
    "The CPU's way and the GPU's: values, and gradients for all four or for the augmenters' two alone."
    generator = torch.Generator().manual_seed(seed)
    four = [(length * torch.randn(B, 5, dtype=torch.float64, generator=generator)).requires_grad_() for _ in range(4)]
    ours, plain = three_pairs(*four, anchors), _pair_by_pair(*four, anchors)
    if ours is None:
        assert B == 1 or length == 30.
        return
    for got, expected in zip(ours, plain):
        torch.testing.assert_close(got, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10)
    for asked in (four, four[2:]):
        fixed = [x if any(x is y for y in asked) else x.detach() for x in four]
        got, expected = (torch.autograd.grad(con + .3 * R, asked) for con, R in (three_pairs(*fixed, anchors), _pair_by_pair(*fixed, anchors)))
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_terms_where_the_pairs_cannot_share(preset):
    "Vectors so long that no common factor serves all: the terms are then those of the pairs, and finite."
    model = MCLRec(SHOP.n_items, preset, **SMALL)
    generator = torch.Generator().manual_seed(0)
    h1, h2 = (x.requires_grad_() for x in 30 * torch.randn(2, 5, 8, generator=generator))
    assert three_pairs(h1, h2, model.w1(h1), model.w2(h2)) is None
    terms = contrastive_terms(h1, h2, model.w1, model.w2, {**model.settings})
    assert all(term.isfinite() for term in terms.values())
    torch.autograd.grad(sum(terms.values()), (h1, h2))


@settings(max_examples=30)
@given(B=st.integers(1, 6), seed=st.integers(0, 99))
def test_scores_are_split_row_by_row(B, seed):
    z1, z2 = torch.randn(2, B, 3, generator=torch.Generator().manual_seed(seed))
    positive, negative = split_scores(z1, z2)
    scores = z1 @ z2.T
    assert torch.equal(positive, scores.diagonal()) and torch.equal(negative, scores[~torch.eye(B, dtype=torch.bool)])
