"""Whole histories instead of prefixes, and some items instead of all: exact where they must be, estimates where they are."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mclrec
from mclrec.checks import InputError
from mclrec.data import Interactions, prefixes
from mclrec.encoder import Sequences, gather
from mclrec.registry import MODELS, model_class
from mclrec.sampled import halving, next_item_loss
from mclrec.sharing import next_few, next_items, random_prefixes, split_at, whole
from mclrec.training import Trainer, fit, rate_factor

CAUSAL = [name for name in MODELS if "regime" in model_class(name).DEFAULTS]
APART = [name for name in MODELS if name not in CAUSAL]


def data_of(lengths, n_items=30, seed=0):
    "Random histories of the given lengths."
    items = np.random.default_rng(seed).integers(1, n_items + 1, sum(lengths)).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Interactions(items, offsets, [f"i{k}" for k in range(n_items)], [f"u{k}" for k in range(len(lengths))])


def model_of(name, data, dtype=torch.float64, **changes):
    "A small model without dropout, after `prepare`."
    kind = model_class(name)
    small = dict(d=8, n=5, inner=8, layers=2, heads=2, dropout=0.0, attention_dropout=0.0, hidden=8, lam=0.0, beta=0.0, pretrain=0, horizon=1)
    model = kind(data.n_items, **{key: value for key, value in small.items() if key in kind.DEFAULTS} | changes).to(dtype)
    model.prepare(data)
    return model


def rec_of(model, data):
    "L_rec and its gradients over all training examples at once, a sum over what is predicted."
    examples = model.examples(data)
    if model.name == "s3rec": examples = model.fine_tuning                     # its first stage has prefixes

    items, start, end = (torch.from_numpy(x) for x in (data.items, examples.start, examples.end))
    batch, targets = gather(items, start, end), items[end].long()
    h, answers = model.read(batch)[0], model.answers(batch, targets)
    table = model.M if hasattr(model, "M") else model.encoder.M
    loss = model.softmax_loss(h, table.weight[:data.n_items + 1], answers)
    parameters = [p for p in model.parameters()]
    return loss, torch.autograd.grad(loss, parameters, allow_unused=True), len(answers)


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 17), min_size=1, max_size=6).filter(lambda x: any(n == 2 or n > 3 for n in x)))
def test_a_batch_of_whole_histories_is_the_batch_of_all_their_prefixes(name, lengths):
    data = data_of(lengths)                                     # n = 5: up to nine prefixes lie beyond it
    apart, shared = (model_of(name, data, regime=regime) for regime in ("prefixes", "users"))
    (a, da, count), (b, db, other) = rec_of(apart, data), rec_of(shared, data)
    assert count == other == len(prefixes(data).end)            # nothing is dropped
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    for one, two in zip(da, db):
        if one is None or two is None: assert one is two
        else: torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_same_in_float32_and_in_the_model_s_own_loss(name):
    data = data_of([12, 4, 9, 2, 5, 30])
    (a, da, _), (b, db, _) = (rec_of(model_of(name, data, torch.float32, regime=regime), data) for regime in ("prefixes", "users"))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for one, two in zip(da, db):
        if one is not None: torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
def test_it_trains_stops_and_resumes_bit_for_bit(name, tmp_path):
    data = mclrec.load("toy")
    small = dict(d=8, inner=8, layers=1, heads=1, hidden=8, K=5 if name == "iclrec" else 4, pretrain=1)
    def make():
        kind = model_class(name)
        return kind(data.n_items, regime="users", negatives=40, horizon=2, **{k: v for k, v in small.items() if k in kind.DEFAULTS})
    how = dict(batch_size=256, lr=5e-3, schedule="cosine", planned=3, warmup_epochs=0.5, progress=False)
    once, twice = make(), make()
    fit(once, data, epochs=3, out=tmp_path / "once", **how)
    fit(twice, data, epochs=2, out=tmp_path / "twice", **how)
    again = make()
    fit(again, data, epochs=3, out=tmp_path / "twice", resume=True, **how)
    states = [mclrec.runs.read_tensors(tmp_path / run / "state.safetensors")[0] for run in ("once", "twice")]
    assert states[0].keys() == states[1].keys() and all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", APART)
def test_a_model_that_cannot_share_says_why(name):
    with pytest.raises(InputError, match=f"{name} cannot be trained on whole histories .*regime.*: it "if name != "caser" else "each prefix"):
        model_class(name)(10, regime="users")


def test_what_cannot_go_together_is_refused():
    SASRec = mclrec.SASRec
    for wrong in (dict(regime="people"), dict(horizon=2), dict(horizon=0, regime="users"), dict(negatives=-1),
                  dict(preset="authors", regime="users"), dict(preset="authors", negatives=5)):
        with pytest.raises(InputError): SASRec(10, **wrong)
    with pytest.raises(InputError, match="drawn"): model_class("gru4rec")(10, "authors", regime="users")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 6))
def test_split_at_puts_every_prefix_somewhere_once(lengths, n):
    items = torch.arange(sum(lengths)) + 1
    batch = Sequences(items, torch.tensor(lengths))
    heads, windows, order = split_at(batch, n)
    assert heads.lengths.tolist() == [min(length, n) for length in lengths] and set(windows.lengths.tolist()) <= {n}
    ends = torch.cat([heads.items, windows.items[torch.cumsum(windows.lengths, 0) - 1]])
    assert ends[order].tolist() == items.tolist()


def test_next_few_against_a_loop():
    histories, targets = [[3, 1, 4], [5], [2, 6]], [9, 8, 7]
    batch = Sequences(torch.tensor(sum(histories, [])), torch.tensor([len(h) for h in histories]))
    expected = []
    for history, target in zip(histories, targets):
        follows = history[1:] + [target]
        expected += [(follows[k:] + [0, 0, 0])[:3] for k in range(len(history))]
    assert next_few(batch, torch.tensor(targets), 3).tolist() == expected
    assert next_items(batch, torch.tensor(targets)).tolist() == [row[0] for row in expected]


def test_random_prefixes_are_prefixes_of_every_length():
    lengths, generator = torch.tensor([1, 3, 8] * 400), torch.Generator().manual_seed(0)
    items = torch.cat([torch.arange(n) for n in lengths.tolist()])
    drawn, last = random_prefixes(Sequences(items, lengths), 5, generator)
    ends = drawn.items[torch.cumsum(drawn.lengths, 0) - 1]
    assert torch.equal(ends, items[last]) and int(drawn.lengths.max()) == 5
    assert set((ends + 1)[lengths == 8].tolist()) == set(range(1, 9))


def by_loop(h, W, g, weight, drawn):
    "The estimate of Eq. 3, a candidate at a time."
    total = 0
    for b in range(len(h)):
        scores, right = (W @ h[b]).double(), [int(i) for i, w in zip(g[b], weight[b]) if w > 0]
        Z = sum(math.exp(scores[i]) for i in right)
        Z += sum(math.exp(scores[j]) for j in drawn if j not in right) * len(W) / len(drawn)
        total += math.log(Z) - sum(float(w) * float(scores[i]) for i, w in zip(g[b], weight[b]))
    return total / len(h)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("K", [1, 7, 19])
def test_the_sampled_softmax_against_a_loop_and_autograd(k, K):
    generator = torch.Generator().manual_seed(3)
    h, W = (torch.randn(n, 4, generator=generator, dtype=torch.float64, requires_grad=True) for n in (6, 20))
    g = torch.randint(0, 20, (6, k), generator=generator)
    if k > 1: g[0, 1:], g[1, 2], g[2, 1] = -1, -1, g[2, 0]
    loss = next_item_loss(h, W, g[:, 0] if k == 1 else g, K, torch.Generator().manual_seed(5))
    drawn = torch.randperm(20, generator=torch.Generator().manual_seed(5))[:K].tolist()
    weight = halving(g + 1)
    assert torch.allclose(weight.sum(1), torch.ones(6)) and weight[0, 0] == 1
    assert loss.item() == pytest.approx(by_loop(h.detach(), W.detach(), g, weight, drawn), abs=1e-9)
    gradients = torch.autograd.grad(loss, (h, W))
    for x, gradient in zip((h, W), gradients):
        for at in [(0, 0), (2, 1), (5, 3)]:
            moved = []
            for step in (1e-6, -1e-6):
                other = x.detach().clone()
                other[at] += step
                pair = (other, W.detach()) if x is h else (h.detach(), other)
                moved.append(by_loop(*pair, g, weight, drawn))
            assert gradient[at].item() == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_all_items_drawn_are_the_exact_loss(k):
    generator = torch.Generator().manual_seed(3)
    h, W = (torch.randn(n, 4, generator=generator, dtype=torch.float64, requires_grad=True) for n in (6, 20))
    g = torch.randint(0, 20, (6, k), generator=generator)
    g = g[:, 0] if k == 1 else g
    exact = [x for x in (next_item_loss(h, W, g), *torch.autograd.grad(next_item_loss(h, W, g), (h, W)))]
    # 19 of 20 with the last one as a hit for everybody would be exact too; here 20 of 20 is the sum itself
    same = next_item_loss(h, W, g, negatives=20)
    for a, b in zip(exact, (same, *torch.autograd.grad(same, (h, W)))): torch.testing.assert_close(a, b)
    weight = halving((g if k > 1 else g[:, None]) + 1)
    plain = (torch.logsumexp(h @ W.T, 1) - (weight * (h @ W.T).gather(1, g if k > 1 else g[:, None])).sum(1)).mean()
    torch.testing.assert_close(same, plain)


def test_z_is_unbiased_and_the_loss_nearly():
    "The mean of exp(loss + s_g) over many draws is Z, within five standard errors."
    generator = torch.Generator().manual_seed(0)
    h, W, g = torch.randn(1, 4, generator=generator), torch.randn(50, 4, generator=generator), torch.tensor([7])
    draws = torch.stack([next_item_loss(h, W, g, 10, generator) for _ in range(4000)]).double()
    score = (W @ h[0]).double()
    estimates = (draws + score[7]).exp()
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - score.exp().sum()) < 5 * error
    assert draws.mean() < torch.logsumexp(score, 0) - score[7]                  # Jensen: the log of an estimate is low


def test_the_rate_rises_and_falls_as_planned():
    assert [rate_factor(x) for x in (0, 1, 99)] == [1, 1, 1]
    assert [rate_factor(x, warmup_epochs=2) for x in (0, 1, 2, 9)] == [0, .5, 1, 1]
    assert [rate_factor(x, "linear", 10) for x in (0, 5, 10, 12)] == [1, .5, 0, 0]
    assert [rate_factor(x, "linear", 10, 2) for x in (1, 2, 6, 10)] == [.5, 1, .5, 0]
    assert [round(rate_factor(x, "cosine", 10), 3) for x in (0, 2.5, 5, 10)] == [1, round((1 + math.sqrt(.5)) / 2, 3), .5, 0]


def test_the_optimiser_is_told_the_rate_of_the_middle_of_each_batch():
    data = mclrec.load("toy")
    trainer = Trainer(mclrec.SASRec(data.n_items, d=8, inner=8, layers=1, heads=1), data, batch_size=1000, lr=0.1,
                      schedule=dict(schedule="linear", planned=2, warmup_epochs=0))
    rates = []
    for _ in range(2):
        for _ in trainer.batches(): rates.append(trainer.optimisers["encoder"].param_groups[0]["lr"])
    count = len(trainer.end)
    middles = [epoch + (at + min(1000, count - at) / 2) / count for epoch in (0, 1) for at in range(0, count, 1000)]
    assert rates == pytest.approx([0.1 * (2 - m) / 2 for m in middles])


def test_a_plan_is_kept_and_cannot_be_overrun(tmp_path):
    data = mclrec.load("toy")
    make = lambda: mclrec.SASRec(data.n_items, d=8, inner=8, layers=1, heads=1)
    for wrong in (dict(schedule="sine"), dict(schedule="linear", planned=2, epochs=3), dict(schedule="linear", epochs=2, warmup_epochs=2),
                  dict(warmup_epochs=-1), dict(planned=3)):
        with pytest.raises(InputError): fit(make(), data, **{"epochs": 1, **wrong})
    fit(make(), data, epochs=1, schedule="linear", planned=3, batch_size=2000, out=tmp_path / "run", progress=False)
    records = fit(make(), data, epochs=2, schedule="linear", batch_size=2000, out=tmp_path / "run", resume=True, progress=False)
    assert len(records) == 2
    with pytest.raises(InputError, match="planned"):
        fit(make(), data, epochs=4, schedule="linear", batch_size=2000, out=tmp_path / "run", resume=True, progress=False)


def test_a_preset_may_bring_its_way_of_training():
    class Quick(mclrec.SASRec):
        PRESETS, TRAINING = {"quick": dict(d=8, inner=8, layers=1, heads=1)}, {"quick": dict(epochs=2, batch_size=3000, patience=0)}
    data = mclrec.load("toy")
    assert len(fit(Quick(data.n_items), data, progress=False)) <= 2
    assert len(fit(Quick(data.n_items), data, epochs=1, progress=False)) == 1


def test_whole_keeps_everything():
    data = data_of([1, 2, 3, 4, 9, 60])
    examples, every = whole(data), prefixes(data)
    assert (examples.end - examples.start).sum() == len(every.end)
    last = whole(data, 5)
    assert (last.end - last.start).max() == 5


@pytest.mark.parametrize("name, preset, first", [("sasrec", "shared", 0), ("gru4rec", "shared", 0), ("mclrec", "official", 0), ("mclrec", "paper", 1)])
def test_a_horizon_that_reaches_beyond_the_end_asks_for_nothing_there(name, preset, first):
    "L_rec against a loop: near the end of a history fewer items follow, and the padding row stands for none of them."
    data = data_of([6, 9, 2])
    model = model_of(name, data, regime="users", horizon=3, preset=preset)
    examples = whole(data)
    items, start, end = (torch.from_numpy(x) for x in (data.items, examples.start, examples.end))
    batch = gather(items, start, end)
    loss = model.loss if name != "mclrec" else model.encoder_loss
    views = model.shared_inputs(batch, items[end].long(), torch.arange(len(end)))
    rec, scores = loss(views)["rec"], model.read(batch)[0] @ (model.M if name == "gru4rec" else model.encoder.M).weight[first:31].T
    expected, row = 0, 0
    for s, e in zip(start.tolist(), end.tolist()):
        for place in range(s, e):
            following = data.items[place + 1:min(place + 4, e + 1)].tolist()
            weights = [0.5**k for k in range(len(following))]
            total = torch.logsumexp(scores[row], 0)
            expected = expected + sum(w * (total - scores[row, i - first]) for w, i in zip(weights, following)) / sum(weights)
            row += 1
    torch.testing.assert_close(rec, expected / row)
