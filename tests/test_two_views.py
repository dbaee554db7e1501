"""CoSeRec, ICLRec, SRMA and LMA4Rec: losses against loops. Their life is in test_every_model."""
import itertools
import math

import pytest
import torch

from mclrec.data import InputError, from_rows
from mclrec.encoder import Sequences, gather, positions_of
from mclrec.model import recommend
from mclrec.registry import model_class
from mclrec.runs import load_run
from mclrec.toy import toy, toy_rows
from mclrec.training import Trainer, fit

SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)
HOW = dict(batch_size=512, progress=False, metric="NDCG@10", patience=10)
SHOP = toy()
FEW = from_rows(*toy_rows(200), core=0, name="few")


def made(name, preset=None, data=SHOP, **settings):
    return model_class(name)(data.n_items, preset, **{**SMALL, **settings})


def trained(model, data=SHOP, batches=3, **how):
    trainer = Trainer(model, data, batch_size=64, **how)
    return trainer, list(itertools.islice(trainer.batches(), batches))


def some(trainer, seed, count=7):
    pick = torch.randperm(len(trainer.end), generator=torch.Generator().manual_seed(seed))[:count]
    return gather(trainer.items, trainer.start[pick], trainer.end[pick], trainer.users[pick]), trainer.items[trainer.end[pick]].long(), pick


def alone(model, batch, every=False):
    "Each sequence of a batch encoded by itself."
    parts = zip(*(x.split(batch.lengths.tolist()) for x in (batch.items, positions_of(batch))))
    result = [model.encoder(Sequences(items, torch.tensor([len(items)]), positions), every=every) for items, positions in parts]
    return result if every else [x[0] for x in result]


def looped_info_nce(x1, x2, allowed=lambda a, k: True, tau=1):
    "Each vector in turn: its partner among all it meets, (person, person) allowed to meet or not."
    x, B, total = x1 + x2, len(x1), 0
    for a in range(2 * B):
        p = (a + B) % (2 * B)
        met = [x[a] @ x[k] / tau for k in range(2 * B) if k == p or k != a and allowed(a % B, k % B)]
        total = total + torch.logsumexp(torch.stack(met), 0) - x[a] @ x[p] / tau
    return total / (2 * B)


def looped_cross_entropy(h, targets, M):
    return sum(torch.logsumexp(M[:-1] @ v, 0) - M[t] @ v for v, t in zip(h, targets)) / len(h)


def looped_bce(model, batch, targets, generator):
    "One drawn item for each position, in the order of the positions."
    rows = alone(model, batch, every=True)
    drawn = torch.randint(1, model.n_items + 1, (len(batch.items),), generator=generator).tolist()
    M, losses = model.encoder.M.weight, []
    for h, items, target in zip(rows, batch.items.split(batch.lengths.tolist()), targets.tolist()):
        for v, following in zip(h, [*items.tolist()[1:], target]):
            losses.append(-torch.log(torch.sigmoid(v @ M[following])) - torch.log(1 - torch.sigmoid(v @ M[drawn[len(losses)]])))
    return sum(losses) / len(losses)


def right_aligned(model, batch):
    "What two views are compared by in preset authors, a list of (n·d,) vectors."
    result, ends = [], torch.cumsum(batch.lengths, 0).tolist()
    for h, end, L in zip(alone(model, batch, every=True), ends, batch.lengths.tolist()):
        table = torch.zeros(model.n, h.shape[1])
        position = positions_of(batch)[end - L:end]
        for row, p in zip(h, position.tolist()): table[model.n - 1 - int(position[-1]) + p] = row
        result.append(table.flatten())
    return result


def still(name, preset=None, seed=0, **settings):
    "A model that drops nothing, a batch, and its views."
    model = made(name, preset, dropout=0.0, attention_dropout=0.0, **settings)
    trainer = Trainer(model, SHOP)
    model.start_epoch(trainer)
    batch, targets, pick = some(trainer, seed)
    return model, batch, targets, model.shared_inputs(batch, targets, pick)


# ---- what is refused

@pytest.mark.parametrize("name, settings", [("coserec", dict(short="SX")), ("coserec", dict(short="")), ("coserec", dict(K=-1)), ("coserec", dict(lam=-0.1)),
                                            ("coserec", dict(insert_ratio=1.5)),
                                            ("iclrec", dict(K=0)), ("iclrec", dict(beta=-1.0)), ("iclrec", dict(crop_ratio=2.0)),
                                            ("srma", dict(dropped=4)), ("srma", dict(extra=-1)), ("srma", dict(complement=-1.0)), ("srma", dict(complement=0.1, pretrain=0)), ("srma", dict(tau=0.0)),
                                            ("lma4rec", dict(keep=1.0)), ("lma4rec", dict(t=0.0)), ("lma4rec", dict(estimator="guess"))])
def test_bad_settings_are_said(name, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        made(name, **settings)


@pytest.mark.parametrize("wrong", [dict(mask_ratio=1.0), dict(mask_ratio=-0.1), dict(reorder_ratio=1.1), dict(lam=-0.1)], ids=str)
@pytest.mark.parametrize("name", ["mclrec", "cl4srec", "coserec", "iclrec", "srma", "lma4rec"])
def test_what_no_view_can_be_made_with_is_refused_by_every_model_of_views(name, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        model_class(name)(9, **wrong)


@pytest.mark.parametrize("name", ["mclrec", "cl4srec"])
def test_everything_may_be_masked_with_a_token_to_read(name):
    model_class(name)(9, mask_ratio=1.0, mask_token=True)


@pytest.mark.parametrize("name", ["coserec", "iclrec", "srma", "lma4rec"])
def test_what_decides_when_to_stop(name):
    assert [made(name, preset).metric for preset in ("shared", "authors")] == [("NDCG@10", None), ("NDCG@20", None)]


# ---- CoSeRec

@pytest.mark.parametrize("seed", range(3))
def test_coserec_is_the_loop(seed):
    model, batch, targets, views = still("coserec", seed=seed)
    con = looped_info_nce(alone(model, views[2]), alone(model, views[3]))
    expected = looped_cross_entropy(alone(model, batch), targets, model.encoder.M.weight) + 0.1 * con
    torch.testing.assert_close(model.loss(views)["loss"], expected)


@pytest.mark.parametrize("seed", range(3))
def test_coserec_of_the_authors_is_the_loop(seed):
    model, batch, targets, views = still("coserec", "authors", seed)
    state = model.generator.get_state()
    terms = model.loss(views)
    model.generator.set_state(state)
    expected = looped_bce(model, batch, targets, model.generator) + 0.1 * looped_info_nce(right_aligned(model, views[2]), right_aligned(model, views[3]))
    torch.testing.assert_close(terms["loss"], expected)


def test_correlations_are_the_loop():
    from mclrec.models.coserec import best_of_pairs, correlations
    generator = torch.Generator().manual_seed(3)
    users, items = torch.randint(9, (60,), generator=generator), torch.randint(1, 13, (60,), generator=generator)
    sets = [set(items[users == u].tolist()) for u in range(9)]
    count = {i: sum(i in s for s in sets) for i in range(1, 14)}
    c = {(i, j): sum(1 / math.log(1 + len(s)) for s in sets if {i, j} <= s) / math.sqrt(count[i] * count[j])
         for i in range(1, 14) for j in range(1, 14) if i != j and any({i, j} <= s for s in sets)}
    i, j, values = correlations(users, items, 13)
    assert list(zip(i.tolist(), j.tolist())) == sorted(c)
    torch.testing.assert_close(values, torch.tensor([c[p] for p in sorted(c)], dtype=torch.float64))
    similar, score = best_of_pairs(i, j, values, 13)
    for a in range(1, 14):
        mine = {b: v for (x, b), v in c.items() if x == a}
        assert math.isclose(mine.get(int(similar[a]), min(c.values())), max(mine.values(), default=min(c.values())))
        assert mine or similar[a] == a
    assert similar[0] == 0 and similar[14] == 14 and 0 <= score.min() and score.max() == 1


def test_correlations_see_only_what_training_reads():
    hidden = from_rows([0] * 5 + [1] * 5, ["a", "b", "c", "d", "e", "a", "f", "g", "h", "i"], core=0)
    model = made("coserec", data=hidden)
    model.prepare(hidden)
    partner = {hidden.item_ids[k - 1]: hidden.item_ids[int(model.counted[0][k]) - 1] for k in range(1, 10)}
    assert partner["b"] == partner["f"] == "a" and partner["a"] in "bf" and all(partner[i] == i for i in "cdeghi")


def test_short_histories_draw_gently():
    model, batch, targets, _ = still("coserec", K=6, short="S")
    for _ in range(5):
        view = model.view(batch)
        assert torch.equal(view.lengths, batch.lengths) and torch.equal(torch.bincount((view.items != batch.items).long())[1:], torch.tensor([7]))


def test_settings_of_the_authors_depend_on_the_data_set():
    for name, K, first in (("beauty", 12, 220), ("yelp", 4, 300), ("toy", 4, 160)):
        model = made("coserec", "authors")
        shop = toy()
        shop.name = name
        model.prepare(shop)
        assert (model.settings["K"], model.settings["hybrid_from"]) == (K, first)


# ---- ICLRec

def looped_icl(h1, h2, h, intents, fnm):
    own = [min(range(len(intents)), key=lambda k: ((v.detach() - intents[k])**2).sum().item()) for v in h]
    c = [intents[k] / intents[k].norm() for k in own]
    return sum(looped_info_nce(x, c, lambda a, k: not (fnm and own[a] == own[k])) for x in (h1, h2)) / 2


@pytest.mark.parametrize("seed", range(3))
def test_iclrec_is_the_loop(seed):
    model, batch, targets, views = still("iclrec", seed=seed, K=3)
    h, h1, h2 = (alone(model, b) for b in (batch, views[2], views[3]))
    expected = looped_cross_entropy(h, targets, model.encoder.M.weight) + 0.1 * looped_info_nce(h1, h2) + 0.1 * looped_icl(h1, h2, h, model.intents, True)
    torch.testing.assert_close(model.loss(views)["loss"], expected)


@pytest.mark.parametrize("seed", range(3))
def test_iclrec_of_the_authors_is_the_loop(seed):
    model, batch, targets, views = still("iclrec", "authors", seed, K=3)
    state = model.generator.get_state()
    terms = model.loss(views)
    model.generator.set_state(state)
    h, h1, h2 = ([x.mean(0) for x in alone(model, b, every=True)] for b in (batch, views[2], views[3]))
    expected = looped_bce(model, batch, targets, model.generator) + 0.1 * looped_info_nce(right_aligned(model, views[2]), right_aligned(model, views[3]))
    torch.testing.assert_close(terms["loss"], expected + 0.1 * looped_icl(h1, h2, h, model.intents, False))


def test_k_means_is_that_of_scikit_learn():
    from sklearn.cluster import KMeans

    from mclrec.models.iclrec import k_means
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(4))
    theirs = KMeans(7, init=x[:7].numpy(), n_init=1, max_iter=20, tol=0, algorithm="lloyd").fit(x.numpy())
    torch.testing.assert_close(k_means(x, x[:7]), torch.from_numpy(theirs.cluster_centers_), rtol=1e-3, atol=1e-3)


def test_a_centre_that_nobody_is_nearest_to_stays():
    from mclrec.models.iclrec import k_means
    centres = k_means(torch.tensor([[0., 0.], [2., 0.]]), torch.tensor([[1., 0.], [90., 90.]]))
    assert centres.tolist() == [[1, 0], [90, 90]]


def test_intents_are_of_people_and_teach_no_one_by_gradient():
    model, batch, targets, views = still("iclrec")
    assert model.intents.shape == (len({u for u in range(SHOP.n_users) if SHOP.lengths[u] >= 4}) // 39, 8) and not model.intents.requires_grad
    model.loss(views)["icl"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


# ---- SRMA

def with_layers(model, rows, kept):
    "The light layers `kept` on each of some vectors, nothing dropped."
    def on(x):
        for k in kept:
            layer = model.light[k]
            x = torch.nn.functional.layer_norm(x + torch.nn.functional.gelu(layer.W.weight @ x + layer.W.bias), x.shape, layer.norm.weight, layer.norm.bias, 1e-12)
        return x
    return [on(x) for x in rows]


@pytest.mark.parametrize("distinct", [True, False])
def test_srma_is_the_loop(distinct):
    model, batch, targets, views = still("srma", distinct=distinct)
    model.train()
    for layer in model.light: torch.nn.init.normal_(layer.W.weight)
    state = model.generator.get_state()
    terms = model.loss(views)
    model.generator.set_state(state)
    kept = [model.drawn() for _ in range(3 if distinct else 2)]
    assert all(len(k) == 2 and k == sorted(k) for k in kept)
    h, x1, x2 = (with_layers(model, alone(model, b), k) for b, k in zip((batch, views[2], views[3]), kept if distinct else kept + kept[1:]))
    torch.testing.assert_close(terms["loss"], looped_cross_entropy(h, targets, model.encoder.M.weight) + 0.1 * looped_info_nce(x1, x2, tau=8))


def test_srma_of_the_authors_is_the_loop():
    model, batch, targets, views = still("srma", "authors")
    model.eval()                                                     # all light layers
    state = model.generator.get_state()
    terms = model.loss(views)
    model.generator.set_state(state)

    class WithLayers(torch.nn.Module):
        M = model.encoder.M
        def forward(self, batch, every): return torch.stack(with_layers(model, model.encoder(batch, every=every), [0, 1]))
    whole = type("", (), dict(encoder=WithLayers(), n=model.n, n_items=model.n_items))
    expected = looped_bce(whole, batch, targets, model.generator) + 0.1 * looped_info_nce(right_aligned(whole, views[2]), right_aligned(whole, views[3]))
    torch.testing.assert_close(terms["loss"], expected)


def test_ranking_uses_every_light_layer():
    model, batch, *_ = still("srma")
    model.eval()
    torch.testing.assert_close(model.encode(batch), torch.stack(with_layers(model, alone(model, batch), [0, 1, 2])))
    model.train()
    drawn = {tuple(model.drawn()) for _ in range(60)}
    assert drawn == {(0, 1), (0, 2), (1, 2)}


def test_complementing():
    "After `pretrain` epochs a frozen copy stays behind and training begins anew; ranking does not see the copy."
    model = made("srma", complement=0.5, pretrain=1, dropout=0.0, attention_dropout=0.0)
    fresh = {k: t.clone() for k, t in model.state_dict().items()}
    trainer = Trainer(model, SHOP, batch_size=512)
    assert all("before" not in terms for record in trainer.batches() for terms in record["encoder"])
    learnt = {k: t.clone() for k, t in model.encoder.state_dict().items()}
    model.start_epoch(trainer)
    assert all(torch.equal(t, learnt[k]) for k, t in model.before.encoder.state_dict().items())
    assert all(torch.equal(t, fresh[f"encoder.{k}"]) for k, t in model.encoder.state_dict().items())
    batch, targets, _ = some(trainer, 0)
    model.train()
    views = model.shared_inputs(batch, targets)
    state = model.generator.get_state()
    terms = model.loss(views)
    model.generator.set_state(state)
    h, x1, x2 = (with_layers(model, alone(model, b), model.drawn()) for b in (batch, views[2], views[3]))
    old = with_layers(model.before, alone(model.before, batch), [0, 1, 2])
    expected = looped_info_nce(x1, x2, tau=8) + 0.5 * (looped_info_nce(x1, old, tau=8) + looped_info_nce(x2, old, tau=8))
    torch.testing.assert_close(terms["loss"], looped_cross_entropy(h, targets, model.encoder.M.weight) + 0.1 * expected)
    trainer.epoch += 1
    list(trainer.batches())
    assert all(torch.equal(t, learnt[k]) for k, t in model.before.encoder.state_dict().items())


def test_complementing_resumes(tmp_path):
    models = [made("srma", data=FEW, complement=0.5, pretrain=1) for _ in range(3)]
    fit(models[0], FEW, epochs=3, out=tmp_path / "whole", **HOW)
    for model, epochs in zip(models[1:], (1, 3)): fit(model, FEW, epochs=epochs, out=tmp_path / "parts", resume=model is models[2], **HOW)
    assert all(torch.equal(a, b) for a, b in zip(models[0].state_dict().values(), models[2].state_dict().values()))
    again = load_run(tmp_path / "whole")
    assert recommend(again, FEW, users=["1"]) == recommend(models[0], FEW, users=["1"])


# ---- LMA4Rec

def test_arm_is_right_on_average():
    from mclrec.models.lma4rec import coins
    alpha = torch.tensor([.3, -1.], requires_grad=True)
    f = lambda z: (z @ torch.tensor([1., 2.]) - 1)**2
    outcomes, q = torch.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]]), torch.sigmoid(alpha)
    truth, = torch.autograd.grad((f(outcomes) * torch.where(outcomes > 0, q, 1 - q).prod(1)).sum(), alpha)
    u = torch.rand(200000, 2, generator=torch.Generator().manual_seed(0))
    arm = ((f(coins(alpha, u, "above")) - f(coins(alpha, u, "below")))[:, None] * (u - 0.5)).mean(0)
    torch.testing.assert_close(arm, truth, atol=0.01, rtol=0)


@pytest.mark.parametrize("preset", ["shared", "authors"])
def test_lma4rec_that_keeps_everything_is_coserec(preset):
    model, batch, targets, views = still("lma4rec", preset)
    model.encoder.alpha.data.fill_(40)
    state = model.generator.get_state()
    terms = model.loss(views)
    model.generator.set_state(state)
    expected = looped_cross_entropy(alone(model, batch), targets, model.encoder.M.weight) if preset == "shared" else looped_bce(model, batch, targets, model.generator)
    compared = alone if preset == "shared" else right_aligned
    model.eval()
    torch.testing.assert_close(terms["loss"], expected + 0.1 * looped_info_nce(compared(model, views[2]), compared(model, views[3])), rtol=1e-4, atol=1e-4)


def test_coins_are_not_for_the_recommendation_loss_nor_for_ranking():
    model, batch, targets, views = still("lma4rec")
    grads = torch.autograd.grad(model.loss(views)["rec"], model.encoder.alpha, allow_unused=True)
    assert grads == (None,) and model.encoder.how is None
    model.train()
    torch.testing.assert_close(model.encode(batch), model.eval().encode(batch))


def test_the_second_pass_of_arm_flips_the_same_coins():
    model, *_, views = still("lma4rec", "authors")
    model.train()
    state = model.generator.get_state()
    with torch.no_grad(): model.contrastive(*views[2:4], "below")
    one_pass = model.generator.get_state()
    model.generator.set_state(state)
    terms = model.keep_loss(views)
    assert torch.equal(model.generator.get_state(), one_pass)
    gradients = torch.autograd.grad(terms["loss"], list(model.parameters()), allow_unused=True)
    assert [g is not None for g in gradients] == [name == "encoder.alpha" for name, _ in model.named_parameters()]
    assert model.encoder.noise is None and gradients[[n for n, _ in model.named_parameters()].index("encoder.alpha")].abs().sum() > 0
