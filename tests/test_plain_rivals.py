"""SASRec, BPR, GRU4Rec, Caser and FMC: their losses by brute force. Their life is in test_every_model."""
import math

import numpy as np
import pytest
import torch

from mclrec.data import InputError, from_rows
from mclrec.encoder import Sequences
from mclrec.models.bpr import Unseen, UserTable, training_part
from mclrec.models.caser import full_windows, windows
from mclrec.models.gru4rec import bpr_max
from mclrec.models.sasrec import every_position_bce, next_items, whole
from mclrec.registry import model_class
from mclrec.training import Trainer, fit

SHOP = from_rows([u for u in range(40) for _ in range(5 + u % 6)], [(3 * u + k * (1 + u % 2)) % 20 for u in range(40) for k in range(5 + u % 6)], core=0, name="shop")
SMALL = {"sasrec": dict(d=8, n=6, layers=1, heads=2, inner=8), "bpr": dict(d=8), "fmc": dict(d=8), "gru4rec": dict(d=8, n=6, hidden=12), "caser": dict(d=6, n=4, across=3, down=2)}
HOW = dict(batch_size=32, lr=5e-3, progress=False)


def model_of(name, preset=None, data=SHOP, **settings):
    return model_class(name)(data.n_items, preset, **{**SMALL[name], **settings})


def uneven(*lengths, n_items=30):
    "People with histories of the given lengths."
    g = np.random.default_rng(len(lengths))
    return from_rows([u for u, T in enumerate(lengths) for _ in range(T)], g.integers(n_items, size=sum(lengths)).tolist(), core=0, name="uneven")


def a_batch(g, B, n_items, longest=6, users=None):
    lengths = torch.randint(1, longest + 1, (B,), generator=g)
    items = torch.randint(1, n_items + 1, (int(lengths.sum()),), generator=g)
    return Sequences(items, lengths, None, users), torch.randint(1, n_items + 1, (B,), generator=g)


def of_each(batch):
    return [s.tolist() for s in batch.items.split(batch.lengths.tolist())]


# ---- SASRec

def test_whole_histories():
    data = uneven(1, 2, 3, 4, 5, 12)
    seen = {int(u): (data.items[s:e].tolist(), int(data.items[e])) for u, s, e in zip(*whole(data, 4))}
    wanted = {}
    for u, T in enumerate([1, 2, 3, 4, 5, 12]):
        if T == 2: wanted[u] = (data[u][:1].tolist(), int(data[u][1]))
        if T >= 4: wanted[u] = (data[u][:T - 3][-4:].tolist(), int(data[u][T - 3]))
    assert seen == wanted


@pytest.mark.parametrize("B", [1, 2, 7])
def test_every_position_against_one_item(B):
    g = torch.Generator().manual_seed(B)
    batch, targets = a_batch(g, B, 11)
    h, M = torch.randn(len(batch.items), 5, generator=g, dtype=torch.float64), torch.randn(13, 5, generator=g, dtype=torch.float64)
    h.requires_grad_()
    after = [v for items, target in zip(of_each(batch), targets.tolist()) for v in [*items[1:], target]]
    assert next_items(batch, targets).tolist() == after
    drawn = torch.randint(1, 12, (len(after),), generator=torch.Generator().manual_seed(9)).tolist()
    loss = sum(-torch.log(torch.sigmoid(h[t] @ M[v])) - torch.log(1 - torch.sigmoid(h[t] @ M[j])) for t, (v, j) in enumerate(zip(after, drawn))) / len(after)
    ours = every_position_bce(h, batch, targets, M, 11, torch.Generator().manual_seed(9))
    torch.testing.assert_close(ours, loss)
    torch.testing.assert_close(*(torch.autograd.grad(x, h)[0] for x in (ours, loss)))


def test_the_negatives_are_all_items_and_nothing_else():
    drawn = set()

    class Watched(torch.Tensor):
        def __getitem__(self, index):
            drawn.update(index.tolist())
            return torch.Tensor.__getitem__(self.as_subclass(torch.Tensor), index)
    T = 400
    batch, M = Sequences(torch.ones(T, dtype=torch.long), torch.tensor([T])), torch.randn(7, 2).as_subclass(Watched)
    every_position_bce(torch.randn(T, 2), batch, torch.tensor([1]), M, 5, torch.Generator().manual_seed(1))
    assert drawn == {1, 2, 3, 4, 5}


# ---- BPR

def test_a_vector_for_each_user_and_the_mean_for_strangers():
    table = UserTable(4).eval()
    who = Sequences(torch.tensor([1, 1, 1]), torch.tensor([1, 1, 1]), None, torch.tensor([-1, 0, 2]))
    assert not table(who).any()
    table.grow(3, 1.0, torch.Generator().manual_seed(1))
    mean = table.weight.mean(0)
    assert torch.equal(table(who), torch.stack([mean, table.weight[0], table.weight[2]]))
    assert torch.equal(table(who._replace(users=None)), mean.expand(3, 4))
    fresh = UserTable(4)
    fresh.load_state_dict(table.state_dict())
    assert torch.equal(fresh.weight, table.weight)
    with pytest.raises(RuntimeError):
        UserTable(5).load_state_dict(table.state_dict())


def test_what_is_drawn_was_not_taken_and_all_of_it_can_be():
    data = uneven(2, 3, 5, 9, 40, n_items=9)
    unseen, (users, places) = Unseen(data), training_part(data)
    count = np.bincount(users)
    assert count.tolist() == [1, 1, 3, 7, 38] and places.tolist() == [a for u in range(5) for a in range(data.offsets[u], data.offsets[u] + count[u])]
    g = torch.Generator().manual_seed(2)
    for u in range(data.n_users):
        left = set(range(1, data.n_items + 1)) - set(data[u][:count[u]].tolist())
        drawn = unseen(torch.full((600,), u), g).tolist()
        assert set(drawn) == (left or set(range(1, data.n_items + 1)))
    assert not unseen.state_dict()


def test_loss_of_bpr():
    model = model_of("bpr", "authors", reg=0.7)
    model.prepare(SHOP)
    g = torch.Generator().manual_seed(5)
    torch.nn.init.normal_(model.Q.weight, generator=g)
    users, others = torch.randint(40, (9,), generator=g), torch.randint(1, 21, (9,), generator=g)
    batch = Sequences(torch.randint(1, 21, (9,), generator=g), torch.ones(9, dtype=torch.long), None, users)
    loss = 0
    for u, i, j in zip(users, batch.items, others):
        p, qi, qj = model.P.weight[u], model.Q.weight[i], model.Q.weight[j]
        loss += (-torch.log(torch.sigmoid(p @ (qi - qj))) + 0.35 * (p @ p + qi @ qi + qj @ qj)) / 9
    torch.testing.assert_close(model.loss((batch, others))["loss"], loss)


def test_bpr_learns_from_the_training_part_alone():
    model = model_of("bpr")
    examples = model.examples(SHOP)
    assert sorted(examples.start.tolist()) == [a for u in range(40) for a in range(SHOP.offsets[u], SHOP.offsets[u + 1] - 2)]
    assert all(SHOP.offsets[u] <= s < SHOP.offsets[u + 1] and e == s + 1 for u, s, e in zip(*examples))


def test_a_bpr_fitted_again_goes_on_and_fitted_to_others_starts_anew():
    model = model_of("bpr")
    fit(model, SHOP, epochs=1, **HOW)
    before = model.P.weight.clone()
    model.prepare(SHOP)
    assert torch.equal(model.P.weight, before)
    others = from_rows([f"x{u}" for u in range(4) for _ in range(6)], SHOP.item_ids + SHOP.item_ids[:4], core=0)
    model.prepare(others)
    assert model.P.weight.shape == (4, 8) and model.user_vocabulary == others.user_ids


# ---- GRU4Rec

@pytest.mark.parametrize("bias,layers,hidden", [(False, 1, 7), (True, 1, 8), (True, 2, 7)])
def test_the_recurrent_net_step_by_step(bias, layers, hidden):
    model = model_of("gru4rec", bias=bias, layers=layers, hidden=hidden).double().eval()
    g = torch.Generator().manual_seed(4)
    for p in model.parameters(): torch.nn.init.normal_(p, generator=g)
    batch, _ = a_batch(g, 9, 20)
    for items, ours in zip(of_each(batch), model.encode(batch)):
        inputs = [model.M.weight[i] for i in items]
        for layer in range(layers):
            get = lambda kind, part: getattr(model.gru, f"{kind}_{part}_l{layer}") if kind == "weight" or bias else torch.zeros(3 * hidden, dtype=torch.float64)
            h, states = torch.zeros(hidden, dtype=torch.float64), []
            for x in inputs:
                a, b = get("weight", "ih") @ x + get("bias", "ih"), get("weight", "hh") @ h + get("bias", "hh")
                (ar, az, an), (br, bz, bn) = a.chunk(3), b.chunk(3)
                z = torch.sigmoid(az + bz)
                h = (1 - z) * torch.tanh(an + torch.sigmoid(ar + br) * bn) + z * h
                states.append(h)
            inputs = states
        torch.testing.assert_close(ours, h if model.W is None else model.W.weight @ h + model.W.bias)


@pytest.mark.parametrize("seed", range(3))
def test_bpr_max(seed):
    g = torch.Generator().manual_seed(seed)
    r, R = torch.randn(4, generator=g, dtype=torch.float64), 3 * torch.randn(4, 6, generator=g, dtype=torch.float64)
    same = torch.rand(4, 6, generator=g) < 0.3
    loss = 0
    for b in range(4):
        others = [j for j in range(6) if not same[b, j]]
        s = [math.exp(R[b, j]) / sum(math.exp(R[b, k]) for k in others) for j in others]
        loss -= math.log(sum(w / (1 + math.exp(R[b, j] - r[b])) for w, j in zip(s, others))) / 4
        loss += 0.6 * sum(w * R[b, j].item() ** 2 for w, j in zip(s, others)) / 4
    assert math.isclose(bpr_max(r, R, 0.6, same).item(), loss, rel_tol=1e-9)
    assert math.isfinite(bpr_max(r, R, 0.6, torch.ones_like(same)))


@pytest.mark.parametrize("preset", ["shared", "authors"])
def test_loss_of_gru4rec(preset):
    model = model_of("gru4rec", preset, dropout=0.0, **({"drawn": 5} if preset == "authors" else {}))
    model.prepare(SHOP)
    batch, targets = a_batch(torch.Generator().manual_seed(8), 6, 20)
    batch, targets, drawn = views = model.shared_inputs(batch, targets, None)
    h = model.encode(batch)
    if preset == "shared": loss = torch.nn.functional.cross_entropy(h @ model.M.weight[:21].T, targets)
    else:
        candidates = torch.cat([targets, drawn])
        rows = [h[b:b + 1] @ model.M.weight[candidates[candidates != targets[b]]].T for b in range(6)]
        loss = sum(bpr_max(h[b] @ model.M.weight[targets[b]][:, None], rows[b], 1.0) for b in range(6)) / 6
    torch.testing.assert_close(model.loss(views)["loss"], loss)


def test_the_popular_are_drawn_more_often_and_the_hidden_never():
    data = from_rows(["a"] * 6 + ["b"] * 4, [1, 1, 1, 2, 3, 4, 1, 2, 5, 6], core=0)
    model = model_of("gru4rec", "authors", data, drawn=20000)
    model.prepare(data)
    drawn = torch.bincount(model.shared_inputs(*a_batch(torch.Generator(), 2, 4), None)[2], minlength=7)[1:] / 20000
    weights = torch.tensor([4.0, 2, 0, 0, 0, 0]) ** 0.75
    torch.testing.assert_close(drawn, weights / weights.sum(), atol=0.02, rtol=0)


# ---- FMC

def test_loss_of_fmc_and_that_only_the_last_item_is_read():
    model = model_of("fmc").double()
    batch, targets = a_batch(torch.Generator().manual_seed(6), 7, 20)
    lasts = [items[-1] for items in of_each(batch)]
    loss = sum(torch.logsumexp(model.M.weight[:21] @ model.L.weight[i], 0) - model.M.weight[t] @ model.L.weight[i] for i, t in zip(lasts, targets)) / 7
    torch.testing.assert_close(model.loss((batch, targets))["loss"], loss)
    torch.testing.assert_close(model.encode(batch), model.L.weight[lasts])
    assert model.n == 1 and (np.diff(np.stack(model.examples(SHOP)[1:]), axis=0) == 1).all()


# ---- Caser

def test_windows_are_right_aligned():
    batch = Sequences(torch.tensor([7, 1, 2, 3, 4, 5]), torch.tensor([1, 3, 2]))
    assert windows(batch, 3).tolist() == [[0, 0, 7], [1, 2, 3], [0, 4, 5]]


@pytest.mark.parametrize("L,T", [(5, 3), (1, 1), (3, 2)])
def test_windows_slid_by_hand(L, T):
    lengths = [1, 2, 3, 4, 5, 6, 9, 12]
    data = uneven(*lengths)
    expected = []
    for u, length in enumerate(lengths):
        at, m = int(data.offsets[u]), length - 2 if length > 2 else 2 if length == 2 else 0
        if m >= L + T: ends = range(L, m - T + 1)
        else: ends = [max(1, m - T)] if m >= 2 else []
        expected += [(u, at + max(0, e - L), at + e) for e in ends]
    assert sorted(zip(*(x.tolist() for x in full_windows(data, L, T)))) == expected


@pytest.mark.parametrize("preset", ["shared", "authors"])
def test_convolutions_as_loops(preset):
    model = model_of("caser", preset).double().eval()
    model.prepare(SHOP)
    model.double()
    g = torch.Generator().manual_seed(3)
    for p in model.parameters(): torch.nn.init.normal_(p, generator=g)
    batch, _ = a_batch(g, 7, 20, longest=4, users=torch.tensor([0, 5, 39, -1, 2, 2, 7]))
    for items, u, ours in zip(of_each(batch), batch.users.tolist(), model.encode(batch)):
        E = model.M.weight[[0] * (4 - len(items)) + items]
        parts = []
        for height, filters in enumerate(model.across, 1):
            for k in range(3):
                slid = [(filters.weight[k].T * E[t:t + height]).sum() + filters.bias[k] for t in range(4 - height + 1)]
                parts.append(max(0.0, max(x.item() for x in slid)))
        down = [[(model.down.weight[k] * E[:, c]).sum() + model.down.bias[k] for k in range(2)] for c in range(6)]
        o = torch.tensor(parts + [x.item() for row in down for x in row], dtype=torch.float64)
        z = (model.W.weight @ o + model.W.bias).clamp(min=0)
        person = model.P.weight[u] if u >= 0 else model.P.weight.mean(0)
        x = torch.cat([z, person])
        torch.testing.assert_close(ours, torch.cat([x, torch.ones(1, dtype=torch.float64)]) if preset == "authors" else (model.W2.weight @ x + model.W2.bias).clamp(min=0))


def test_loss_of_caser():
    model = model_of("caser", "authors", dropout=0.0)
    trainer = Trainer(model, SHOP, batch_size=13)
    torch.nn.init.normal_(model.out.weight, generator=torch.Generator().manual_seed(1))
    seen, examples = [], model.examples(SHOP)
    model.shared_inputs, plain = lambda batch, targets, index: seen.append((batch, targets, index, plain(batch, targets, index))) or seen[-1][3], model.shared_inputs
    next(trainer.batches())
    (batch, targets, index, (_, following, real, others)), = seen
    yes, no = [], []
    x = model.encode(batch)
    for b, (k, u) in enumerate(zip(index.tolist(), batch.users.tolist())):
        rest = SHOP.items[examples.end[k]:SHOP.offsets[u + 1] - 2][:3].tolist()
        assert following[b][real[b]].tolist() == rest and rest[0] == targets[b]
        assert not set(others[b].tolist()) & set(SHOP[u][:-2].tolist()) and len(others[b]) == 3
        yes += [-torch.log(torch.sigmoid(x[b] @ model.out.weight[i])) for i in rest]
        no += [-torch.log(1 - torch.sigmoid(x[b] @ model.out.weight[i])) for i in others[b]]
    torch.testing.assert_close(model.loss((batch, following, real, others))["loss"], sum(yes) / len(yes) + sum(no) / len(no))


@pytest.mark.parametrize("name,settings", [("caser", dict(across=0)), ("caser", dict(drawn=0, targets=2)), ("gru4rec", dict(hidden=0)), ("gru4rec", dict(dropout=1.0)), ("gru4rec", dict(negatives=-1)), ("gru4rec", dict(drawn=-1)), ("bpr", dict(d=0)), ("fmc", dict(d=0)), ("bpr", dict(reg=-1.0)), ("bpr", dict(n=3)), ("sasrec", dict(every_position=3))])
def test_bad_settings_are_one_sentence(name, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        model_of(name, **settings)


def test_items_are_drawn_by_popularity_to_any_power():
    model = model_of("gru4rec", "authors", drawn=5, alpha=500.0)
    model.prepare(SHOP)
    top = model.chances.max()
    assert model.chances.isfinite().all() and top == 1 and (model.chances == top).any()


def test_two_ways_to_train_caser_are_not_mixed():
    with pytest.raises(InputError, match="leave negatives out"): model_of("caser", "authors", negatives=50)
