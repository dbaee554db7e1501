"""CL4SRec, DuoRec, BERT4Rec, S³-Rec: the losses against loops. Their life is in test_every_model."""
import pytest
import torch

from mclrec.data import InputError, from_rows
from mclrec.encoder import gather
from mclrec.model import evaluate, recommend
from mclrec.registry import model_class
from mclrec.runs import load_run
from mclrec.training import Trainer, fit

SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)
FEW = {"s3rec": dict(pretrain=1)}                                      # settings that make two epochs enough to see all of a model
SHOP = from_rows([u for u in range(30) for _ in range(6 + u % 4)], [f"i{3 * u % 20 + k}" for u in range(30) for k in range(6 + u % 4)], core=0, name="shop")
HOW = dict(batch_size=16, progress=False)


def model_of(name, preset=None, **settings):
    return model_class(name)(SHOP.n_items, preset, **{**SMALL, **FEW.get(name, {}), **settings})


def ragged(B, seed=0):
    "A random ragged batch of B histories of 1 to 6 items, and what came next."
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (B,), generator=g)
    end = torch.cumsum(lengths, 0)
    return gather(torch.randint(1, SHOP.n_items + 1, (int(end[-1]),), generator=g), end - lengths, end), torch.randint(1, SHOP.n_items + 1, (B,), generator=g)


def one_by_one(model, batch):
    "The vectors of a ragged batch, each sequence read alone and on a padded table."
    from mclrec.encoder import Sequences, padded, positions_of
    parts = zip(batch.items.split(batch.lengths.tolist()), positions_of(batch).split(batch.lengths.tolist()))
    return torch.cat([padded(model.encoder, Sequences(items, torch.tensor([len(items)]), positions)) for items, positions in parts])


def ce(h, M, target):
    scores = torch.stack([h @ m for m in M])
    return scores.exp().sum().log() - scores[target]


def nce(a, b, tau=1.0):
    x, B, total = torch.cat([a, b]), len(a), 0
    for r in range(2 * B):
        s = {k: torch.exp(x[r] @ x[k] / tau) for k in range(2 * B) if k != r}
        total = total - torch.log(s[(r + B) % (2 * B)] / sum(s.values()))
    return total / (2 * B)


# ---- CL4SRec

@pytest.mark.parametrize("preset, tau", [("shared", 1.0), ("authors", 0.5)])
def test_cl4srec_is_the_loop(preset, tau):
    model = model_of("cl4srec", preset, tau=tau, lam=0.3).double().eval()
    batch, targets = ragged(7)
    views = model.shared_inputs(batch, targets)
    h, h1, h2 = one_by_one(model, views.all).chunk(3)
    rec = sum(ce(h[b], model.encoder.M.weight[:SHOP.n_items + 1], targets[b]) for b in range(7)) / 7
    torch.testing.assert_close(model.loss(views)["loss"], rec + 0.3 * nce(h1, h2, tau))


def test_cl4srec_views():
    batch, targets = ragged(40)
    for preset, token in (("shared", False), ("authors", True)):
        views = model_of("cl4srec", preset).shared_inputs(batch, targets)
        assert torch.equal(views.all.items[:len(batch.items)], batch.items)             # the history itself is untouched
        assert ((views.augmented.items == SHOP.n_items + 1).any() == token)
        assert views.augmented.items.max() <= SHOP.n_items + token


@pytest.mark.parametrize("wrong", [dict(tau=0.0), dict(lam=-1.0), dict(crop_ratio=1.5), dict(ratio=1)])
def test_cl4srec_settings(wrong):
    with pytest.raises(InputError): model_of("cl4srec", **wrong)


# ---- DuoRec

@pytest.mark.parametrize("mode, denoise", [("us_x", False), ("un", False), ("su", True), ("us", True)])
def test_duorec_is_the_loop(mode, denoise):
    model = model_of("duorec", mode=mode, denoise=denoise, tau=2.0).double().eval()
    examples = model.examples(SHOP)
    index = torch.arange(0, len(examples.end), 7)
    batch, targets = gather(model.actions, model.start[index], model.end[index]), model.actions[model.end[index]].long()
    _, _, further, at = views = model.shared_inputs(batch, targets, index)
    h, (h1, hs) = one_by_one(model, batch), one_by_one(model, further).chunk(2)
    assert at.tolist() == list(range(len(index)))
    B, total = len(index), 0
    for a, b in {"us_x": [(h1, hs)], "un": [(h, h1)], "su": [(h, hs)], "us": [(h, h1), (h, hs)]}[mode]:
        x, t = torch.cat([a, b]), targets.repeat(2)
        for r in range(2 * B):
            s = {k: torch.exp(x[r] @ x[k] / 2) for k in range(2 * B) if k != r and (k == (r + B) % (2 * B) or not denoise or t[k] != t[r])}
            total = total - torch.log(s[(r + B) % (2 * B)] / sum(s.values())) / (2 * B)
    rec = sum(ce(h[b], model.encoder.M.weight[:SHOP.n_items + 1], targets[b]) for b in range(B)) / B
    torch.testing.assert_close(model.loss(views)["loss"], rec + 0.1 * total)


def test_duorec_positives_have_the_same_target_and_are_another():
    model = model_of("duorec")
    end = torch.from_numpy(model.examples(SHOP).end)
    index, targets = torch.arange(len(end)), model.actions[end]
    drawn = torch.stack([model.same_target.another(index, model.generator) for _ in range(60)])
    assert (targets[drawn] == targets).all()
    count = torch.bincount(targets)[targets]
    assert ((drawn == index) == (count == 1)).all()
    few = count <= 5
    assert [len(drawn[:, k].unique()) for k in index[few]] == (count[few] - 1).clamp(min=1).tolist()


@pytest.mark.parametrize("wrong", [dict(tau=0.0), dict(lam=-1.0), dict(mode="x")])
def test_duorec_settings(wrong):
    with pytest.raises(InputError): model_of("duorec", **wrong)


# ---- BERT4Rec

@pytest.mark.parametrize("preset, seed", [("shared", 1), ("authors", 2), ("authors", 3)])
def test_bert4rec_is_the_loop(preset, seed):
    model = model_of("bert4rec", preset, mask_ratio=0.5).double().eval()
    if preset == "authors": torch.nn.init.normal_(model.bias)
    batch, targets = ragged(7, seed)
    batch = gather(batch.items, torch.cumsum(batch.lengths, 0) - batch.lengths.clamp(max=5), torch.cumsum(batch.lengths, 0))
    masked, hidden, answers = views = model.shared_inputs(batch, targets)
    rows = [torch.cat([items, target[None]]) for items, target in zip(batch.items.split(batch.lengths.tolist()), targets)]
    assert torch.equal(torch.where(hidden, 0, torch.cat(rows)), torch.where(hidden, 0, masked.items)) and (masked.items[hidden] == SHOP.n_items + 1).all()
    total, at = 0, 0
    for row in rows:
        length = len(row)
        for t in range(length):
            if not hidden[at + t]: continue
            h = every_alone(model, masked.items[at:at + length])[t]
            if preset == "authors": h = model.norm(torch.nn.functional.gelu(model.W(h)))
            scores = torch.stack([h @ m for m in model.encoder.M.weight[:SHOP.n_items + 1]]) + (model.bias if preset == "authors" else 0)
            total = total + scores.exp().sum().log() - scores[row[t]]
        at += length
    torch.testing.assert_close(model.loss(views)["loss"], total / hidden.sum())


def every_alone(model, items):
    from mclrec.encoder import Sequences, padded
    return padded(model.encoder, Sequences(items, torch.tensor([len(items)])), every=True)


@pytest.mark.parametrize("preset", ["shared", "authors"])
def test_bert4rec_reads_the_mask_behind_the_history(preset):
    model = model_of("bert4rec", preset).double().eval()
    history = torch.tensor([3, 1, 4, 1, 5])
    from mclrec.encoder import Sequences
    h = every_alone(model, torch.cat([history, torch.tensor([SHOP.n_items + 1])]))[-1]
    torch.testing.assert_close(model.encode(Sequences(history, torch.tensor([5])))[0], model.answer(h))
    assert model.n == 5


def test_bert4rec_hides_as_it_should():
    from mclrec.models.bert4rec import append, hide
    g = torch.Generator().manual_seed(0)
    batch, targets = ragged(300)
    whole = append(batch, targets, 6)
    end = torch.cumsum(whole.lengths, 0)
    assert torch.equal(whole.lengths, (batch.lengths + 1).clamp(max=6)) and torch.equal(whole.items[end - 1], targets)
    for ratio, last_only in ((0.2, 0.0), (0.6, 1.0), (1.0, 0.0), (0.0, 0.0)):
        _, hidden = hide(whole, ratio, last_only, 99, g)
        count = torch.stack([part.sum() for part in hidden.split(whole.lengths.tolist())])
        assert torch.equal(count, torch.ones_like(count) if last_only else torch.round(ratio * whole.lengths).long().clamp(min=1))
        assert not last_only or hidden[end - 1].all()


@pytest.mark.parametrize("n", [2, 5, 10, 30])
def test_bert4rec_windows(n):
    from mclrec.models.bert4rec import windows
    data = from_rows([u for u in range(40) for _ in range(u + 1)], [k for u in range(40) for k in range(u + 1)], core=0)
    expected, step = [], max(1, n // 10)
    for u in range(40):
        T = u + 1
        left = T - 2 if T >= 3 else T
        if left < 2: continue
        at = left
        while True:
            expected.append((u, data.offsets[u] + max(0, at - n), data.offsets[u] + max(min(n, left), at) - 1))
            if at <= n: break
            at -= step
    assert [tuple(map(int, e)) for e in zip(*windows(data, n))] == [tuple(map(int, e)) for e in expected]


@pytest.mark.parametrize("wrong", [dict(n=1), dict(mask_ratio=1.5), dict(last_only=-0.1)])
def test_bert4rec_settings(wrong):
    with pytest.raises(InputError): model_of("bert4rec", **wrong)


# ---- S³-Rec

@pytest.mark.parametrize("preset, seed, sampled", [("shared", 1, False), ("authors", 2, True), ("shared", 3, True)])
def test_s3rec_pre_training_is_the_loop(preset, seed, sampled):
    model = model_of("s3rec", preset, mask_ratio=0.5, sampled=sampled).double().eval()
    batch, targets = ragged(7, seed)
    masked, hidden, items, drawn = views = model.shared_inputs(batch, targets)
    rows = [torch.cat([items, target[None]])[-6:] for items, target in zip(batch.items.split(batch.lengths.tolist()), targets)]
    assert torch.equal(torch.cat(rows)[hidden], items) and (masked.items[hidden] == SHOP.n_items + 1).all()
    total, k, at = 0, 0, 0
    for row in rows:
        model.encoder.causal = False
        h = every_alone(model, masked.items[at:at + len(row)])
        model.encoder.causal = True
        assert hidden[at + len(row) - 1]
        for t in range(len(row)):
            if not hidden[at + t]: continue
            assert drawn[k] not in row and 1 <= drawn[k] <= SHOP.n_items
            own, other = (model.W(h[t]) @ model.encoder.M.weight[i] for i in (row[t], drawn[k]))
            if preset == "authors": own, other = own.sigmoid(), other.sigmoid()
            total, k = total + (-torch.log(torch.sigmoid(own - other)) if sampled else ce(model.W(h[t]), model.encoder.M.weight[:SHOP.n_items + 1], row[t])), k + 1
        at += len(row)
    torch.testing.assert_close(model.mip_loss(views)["loss"], total if preset == "authors" else total / k)
    assert model.encoder.causal


def test_s3rec_draws_uniformly_from_what_is_not_there():
    from mclrec.models.s3rec import unlike
    g = torch.Generator().manual_seed(0)
    batch, _ = ragged(5)
    drawn = unlike(batch, torch.arange(5).repeat_interleave(4000), SHOP.n_items, g).view(5, -1)
    for row, items in zip(drawn, batch.items.split(batch.lengths.tolist())):
        expected = torch.ones(SHOP.n_items + 1)
        expected[0] = 0
        expected[items] = 0
        share = torch.bincount(row, minlength=SHOP.n_items + 1) / 4000
        assert ((share > 0) == (expected > 0)).all() and (share - expected / expected.sum()).abs().max() < 0.02
    full = gather(torch.tensor([1, 2]), torch.tensor([0]), torch.tensor([2]))                # nothing else is there: still an item
    assert unlike(full, torch.zeros(9, dtype=torch.long), 2, g).tolist() == [2] * 9


@pytest.mark.parametrize("preset", ["shared", "authors"])
def test_s3rec_changes_to_the_task_after_its_warm_up(preset):
    model = model_of("s3rec", preset, pretrain=2)
    trainer = Trainer(model, SHOP, batch_size=16)
    for stage in ("pretrain", "pretrain", "encoder", "encoder"):
        W, M = (p.detach().clone() for p in (model.W.weight, model.encoder.M.weight))
        seen = [list(record) for record in trainer.batches()]
        assert all(s == [stage] for s in seen) and len(trainer.end) == (133 if stage == "pretrain" else {"shared": 133, "authors": 30}[preset])
        assert torch.equal(W, model.W.weight) == (stage == "encoder") and not torch.equal(M, model.encoder.M.weight)
    assert trainer.optimisers["encoder"].state_dict()["state"][0]["step"] == 2 * -(-len(trainer.end) // 16)


def test_s3rec_stopped_within_its_warm_up_is_a_run_and_goes_on(tmp_path):
    fit(model_of("s3rec", pretrain=3), SHOP, epochs=2, out=tmp_path / "run", **HOW)
    assert recommend(load_run(tmp_path / "run"), histories=[["i1"]], k=2)
    records = fit(model_of("s3rec", pretrain=3), SHOP, epochs=4, out=tmp_path / "run", resume=True, **HOW)
    assert ["mip" in r for r in records] == [True, True, True, False]
    assert records[-1]["valid"] == evaluate(load_run(tmp_path / "run"), SHOP, "valid")      # only the last one could be the best


@pytest.mark.parametrize("wrong", [dict(pretrain=-1), dict(mask_ratio=1.5)])
def test_s3rec_settings(wrong):
    with pytest.raises(InputError): model_of("s3rec", **wrong)
