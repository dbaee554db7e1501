"""The whole life of a model: of every name in the registry, in each of its presets, on a shop that takes seconds.

A new model is tested here from the moment its name stands in `MODELS`; nothing in this file names one. `-k sasrec` runs one of them.
"""
import json
import math
from functools import lru_cache

import pytest
import torch

from mclrec.data import InputError, from_rows
from mclrec.encoder import gather
from mclrec.model import evaluate, recommend
from mclrec.registry import MODELS, model_class
from mclrec.runs import load_run, read_tensors, save
from mclrec.training import Trainer, fit

SHOP = from_rows([u for u in range(40) for _ in range(5 + u % 6)], [(3 * u + k * (1 + u % 2)) % 20 for u in range(40) for k in range(5 + u % 6)], core=0, name="shop")
# Settings by the names that models share: small, and what happens only later happens within three epochs. A model takes those it has.
SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8, hidden=12, across=3, down=2, pretrain=1, hybrid_from=1)
HOW = dict(batch_size=32, lr=5e-3, progress=False)


def made(name, preset, data=SHOP, seed=2020, **settings):
    kind = model_class(name)
    return kind(data.n_items, preset, seed, **{k: v for k, v in SMALL.items() if k in kind.DEFAULTS}, **settings)


EVERY = [(name, preset) for name in MODELS for preset in model_class(name).PRESETS]
LEARNERS = [row for row in EVERY if made(*row).stages()]               # the others count


def over(rows): return pytest.mark.parametrize("name, preset", rows, ids=[":".join(row) for row in rows])


@lru_cache
def trained(name, preset):
    "A model after three epochs, and their records; shared by the tests that only ask."
    model = made(name, preset)
    return model, fit(model, SHOP, epochs=3, **HOW)


def uneven(*lengths):
    "Histories of the given lengths over 20 items."
    return from_rows([u for u, T in enumerate(lengths) for _ in range(T)], [(5 * u + 3 * k) % 20 for u, T in enumerate(lengths) for k in range(T)], core=0, name="uneven")


def losses(trainer):
    "The loss of each stage of each batch of an epoch."
    return [float(terms["loss"]) for record in trainer.batches() for stages in record.values() for terms in stages]


def same_tensors(a, b): return a.keys() == b.keys() and all(torch.equal(t, b[k]) for k, t in a.items())


# ---- what it is

@over(EVERY)
def test_it_answers_to_its_name(name, preset):
    kind, model = model_class(name), made(name, preset)
    assert kind.name == name and kind.__doc__ and kind.PRESETS[preset].keys() <= kind.DEFAULTS.keys() == model.settings.keys()
    metric, decimals = model.metric
    assert metric in trained(name, preset)[1][0]["valid"] and decimals in (None, *range(7))


@over(EVERY)
def test_what_it_cannot_be_made_of_is_said_in_one_sentence(name, preset):
    with pytest.raises(InputError, match="n_items"): model_class(name)(0, preset)
    for key in ("no_such_setting", *list(model_class(name).DEFAULTS)[:1]):
        with pytest.raises(InputError, match=key): model_class(name)(5, preset, **{key: object()})


@pytest.mark.parametrize("name", MODELS)
def test_a_setting_out_of_its_range_is_said_in_one_sentence(name):
    kind = model_class(name)
    for key in kind.RANGES.keys() & kind.DEFAULTS.keys():
        allowed = kind.RANGES[key]
        assert all(value is None or value in allowed for value in [kind.DEFAULTS[key], *(p[key] for p in kind.PRESETS.values() if key in p)])
        for wrong in (-1, 0, 2, 10**5, -1.0, 0.0, 1.0, 2.0, "neither"):
            if type(wrong) is not type(kind.DEFAULTS[key]) or wrong in allowed: continue
            with pytest.raises(InputError) as said: kind(5, **{key: wrong})
            assert str(said.value) == f"{key}={wrong!r} must be {allowed}."


# ---- how it is trained

@over(LEARNERS)
def test_every_part_of_it_moves_and_every_term_is_a_number(name, preset):
    model = made(name, preset)
    trainer = Trainer(model, SHOP, batch_size=32, lr=5e-3)
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    for _ in range(3):
        terms = [terms for record in trainer.batches() for stages in record.values() for terms in stages]
        assert terms and all(math.isfinite(value) for t in terms for value in t.values())
    assert [k for k, p in model.named_parameters() if torch.equal(p, before[k])] == []


@over(LEARNERS)
def test_the_seed_decides(name, preset):
    def life(seed):
        torch.rand(seed % 7 + 1)                                       # what others draw is no matter
        model = made(name, preset, seed=seed)
        trainer = Trainer(model, SHOP, seed=seed, batch_size=32, lr=5e-3)
        return losses(trainer) + losses(trainer), model.state_dict()
    (one, weights), (same, same_weights), (other, _) = life(3), life(3), life(4)
    assert one == same != other and same_tensors(weights, same_weights)


@over(LEARNERS)
def test_it_stops_early_and_keeps_its_best_epoch(name, preset):
    model = made(name, preset)
    records = fit(model, SHOP, epochs=12, patience=1, metric="NDCG@10", **HOW)
    decimals, best, waited, counted = model.metric[1], -math.inf, 0, records[model.warm_up:]
    kept = None
    for k, record in enumerate(counted):
        value = record["valid"]["NDCG@10"] if decimals is None else round(record["valid"]["NDCG@10"], decimals)
        best, waited, kept = (value, 0, record) if value > best else (best, waited + 1, kept)
        assert waited <= 1 or k == len(counted) - 1                    # it does not go on after the second epoch without a gain
    assert len(records) == 12 or waited == 2
    assert evaluate(model, SHOP, "valid", model.valid_seen_out) == kept["valid"]             # the same code on the same weights, twice


@over(LEARNERS)
def test_two_epochs_and_one_more_are_three(name, preset, tmp_path):
    plan = {"planned": 3} if "schedule" in made(name, preset).TRAINING.get(preset, {}) else {}
    fit(made(name, preset), SHOP, epochs=3, out=tmp_path / "whole", **HOW, **plan)
    fit(made(name, preset), SHOP, epochs=2, out=tmp_path / "parts", **HOW, **plan)
    fit(made(name, preset), SHOP, epochs=3, out=tmp_path / "parts", resume=True, **HOW)
    for file in ("model.safetensors", "state.safetensors"):
        (whole, notes), (parts, same_notes) = (read_tensors(tmp_path / run / file) for run in ("whole", "parts"))
        told = [{k: v for k, v in said.items() if k != "metrics"} for said in (notes, same_notes)]      # a checksum of lines that tell seconds
        assert told[0] == told[1] and same_tensors(whole, parts), file
    lines = [[{k: v for k, v in json.loads(line).items() if "seconds" not in k} for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()] for run in ("whole", "parts")]
    assert len(lines[0]) == 3 and lines[0] == lines[1]


@over(LEARNERS)
def test_a_batch_of_one_is_enough(name, preset):
    trainer = Trainer(made(name, preset, uneven(5, 6, 7)), uneven(5, 6, 7), batch_size=1)
    assert all(map(math.isfinite, losses(trainer))) and all(torch.isfinite(t).all() for t in trainer.model.state_dict().values())


@over(LEARNERS)
@pytest.mark.parametrize("lengths", [(4,), (4, 5, 1, 2, 3, 9), (2, 30)], ids=str)
def test_people_with_hardly_anything_are_enough(name, preset, lengths):
    data = uneven(*lengths)
    trainer = Trainer(made(name, preset, data), data, batch_size=4)
    assert all(map(math.isfinite, losses(trainer) + losses(trainer)))


# ---- what it is asked

@over(EVERY)
def test_untrained_it_can_be_asked(name, preset):
    model = made(name, preset)
    assert len(recommend(model, SHOP, users=[0], k=3)[0]) == 3
    assert all(0 <= value <= 1 for value in evaluate(model, SHOP).values())


@over(EVERY)
def test_saved_and_loaded_it_says_the_same(name, preset, tmp_path):
    model, _ = trained(name, preset)
    save(model, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert (again.settings, again.preset, again.seed) == (model.settings, model.preset, model.seed)
    for who in (dict(users=[0, 7, 39]), dict(histories=[[0, 3, 6], [19]])):
        assert recommend(again, SHOP, **who) == recommend(model, SHOP, **who)
    for exclude_seen in (False, True):
        assert evaluate(again, SHOP, exclude_seen=exclude_seen) == evaluate(model, SHOP, exclude_seen=exclude_seen)


@over(EVERY)
def test_strangers_and_people_of_other_data_are_served(name, preset):
    model, _ = trained(name, preset)
    lists = recommend(model, histories=[[0, 3, 6], [5], [4] * 30, ["never seen", 7]], k=4)
    assert all(len(items) == 4 and all(math.isfinite(score) for _, score in items) for items in lists)
    with pytest.raises(InputError, match="never seen"): recommend(model, histories=[["never seen"]])
    others = from_rows([f"new {u}" for u in range(4) for _ in range(6)], [*range(20), "a", "b", "c", "d"], core=0, name="others")
    assert all(0 <= value <= 1 for value in evaluate(model, others).values())


@over(EVERY)
def test_what_was_seen_is_left_out_or_in(name, preset):
    model, _ = trained(name, preset)
    everything = recommend(model, SHOP, users=range(40), k=20, exclude_seen=False)
    fresh = recommend(model, SHOP, users=range(40), k=20)
    for u, (all_of_them, unseen) in enumerate(zip(everything, fresh)):
        seen = {SHOP.item_ids[i - 1] for i in SHOP[u]}
        assert len(all_of_them) == 20 and [pair for pair in all_of_them if pair[0] not in seen] == unseen
        assert [score for _, score in all_of_them] == sorted((score for _, score in all_of_them), reverse=True)


@over(EVERY)
def test_nobody_hangs_on_who_else_is_asked(name, preset):
    "The order in which numbers are added may differ with the batch, so a thousand roundings of single precision are allowed."
    model, _ = trained(name, preset)
    model.eval()
    items, lengths = torch.from_numpy(SHOP.items), torch.tensor([1, 3, 5, 2])
    start = torch.from_numpy(SHOP.offsets[[0, 5, 9, 30]].astype("int64"))
    with torch.no_grad():
        start = start + (lengths - model.n).clamp(min=0)
        end = start + lengths.clamp(max=model.n)
        together = model.encode(gather(items, start, end))
        for k in range(4):
            alone = model.encode(gather(items, start[k:k + 1], end[k:k + 1]))[0]
            torch.testing.assert_close(together[k], alone, rtol=1e-4, atol=1e-4 * float(together.abs().max()))
