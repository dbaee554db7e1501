"""The records of the experiments are whole and true: every configuration of its script once with every seed, numbers that can be of one ranking."""
import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from mclrec.data import InputError, from_rows
from mclrec.evidence import Interval, interval, read_experiment, t_quantile
from mclrec.meta import MCLRec
from mclrec.people import gains, unpack
from mclrec.runs import fingerprint, model_class
from mclrec.toy import toy

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
SCRIPTS = ["switches", "what_r_does", "r_added", "two_steps", "augmenters", "robustness", "second_order", "order", "meta_and_joint", "pull"]
SEEDS = {"switches": 5, "what_r_does": 6, "r_added": 5, "two_steps": 5, "augmenters": 5, "robustness": 5, "second_order": 5, "order": 5, "meta_and_joint": 5, "pull": 5}


@pytest.fixture(scope="module")
def scripts():
    "The scripts of `benchmarks/`, by name."
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try: yield {name: importlib.import_module(name) for name in SCRIPTS}
    finally: sys.path.remove(str(ROOT / "benchmarks"))


def toy_of(items):
    "Data with so many items, each person walking along them."
    users, taken = zip(*((u, (u * 3 + k) % items) for u in range(items) for k in range(6)))
    return from_rows(list(users), list(taken), core=0)


def rows_of(name):
    "All rows of a record, with the name of their configuration and their seed."
    return [(configuration, seed, row) for configuration, of_seed in read_experiment(RESULTS / f"{name}.json").rows.items() for seed, row in of_seed.items()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_record_holds_configurations_of_its_script_each_seed_once(scripts, name):
    kept, script = read_experiment(RESULTS / f"{name}.json"), scripts[name]
    said = json.loads(json.dumps(script.configurations()))
    assert kept.settings.keys() == kept.rows.keys() and all(said[key] == value for key, value in kept.settings.items())
    assert all({*seeds} <= {*script.SEEDS} for seeds in kept.rows.values())
    counts = [len(seeds) for seeds in kept.rows.values()]
    assert max(counts) >= SEEDS[name] and len(rows_of(name)) == sum(counts)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_record_says_what_it_was_made_of(name):
    head = read_experiment(RESULTS / f"{name}.json").head
    assert head["data"] == {"name": "toy", "fingerprint": fingerprint(toy())}
    assert head["revision"] and {"torch", "numpy", "python", "threads"} <= head["versions"].keys() and "ties against" in head["protocol"]


@pytest.mark.parametrize("name", ["switches", "r_added", "two_steps", "augmenters", "second_order", "order"])
def test_numbers_of_a_row_can_be_of_one_ranking(name):
    for _, _, row in rows_of(name):
        assert row["test"].keys() == {"seen_in", "seen_out"} and row["seconds"] > 0
        for test in row["test"].values():
            assert all(0 <= value <= 1 for value in test.values()) and test["MRR@10"] <= test["NDCG@10"] <= test["HR@10"]
            assert abs(test["HR@10"] * 1000 - round(test["HR@10"] * 1000)) < 1e-6                     # hits among a thousand people
        assert 1 <= row["best_epoch"] <= len(row["valid"])
        assert math.isclose(max(row["valid"]), row["valid"][row["best_epoch"] - 1], abs_tol=1e-4)     # MCLRec's is rounded to four decimals


@pytest.mark.parametrize("name", ["augmenters", "robustness", "second_order", "places", "counted"])
def test_a_row_says_what_its_ranks_say(name):
    for _, _, row in rows_of(name):
        kept = row["ranks"]["test"] if isinstance(row["ranks"], dict) else row["ranks"]
        for of, test in zip(unpack(kept, row.get("data", row).get("people", 1000)), row["test"].values()):
            assert all(abs(gains(of, metric).mean() - value) < 6e-6 for metric, value in test.items())      # written to five decimals


def test_an_unrolled_gradient_is_that_of_the_step(scripts):
    "Against finite differences of θ′(φ) in float64: L_1 after a plain step, no dropout."
    second = scripts["second_order"]
    model = MCLRec(20, "official", 3, d=8, layers=1, n=5, dropout=0.0, attention_dropout=0.0, lam=.1, beta=.5).double()
    trainer = second.Unrolled(model, toy_of(20), 3, "unrolled", batch_size=8)
    batch, targets = trainer.another(8)
    views = model.shared_inputs(batch, targets)
    before = {name: p.detach().clone().requires_grad_() for name, p in model.encoder.named_parameters()}
    def step(): return torch.autograd.grad(trainer.L0(before, views), list(before.values()), create_graph=True)
    gradient = step()
    theta = trainer.after(before, gradient, [-.05 * g.detach() for g in gradient])
    exact = torch.autograd.grad(trainer.L1(*trainer.encode(theta, views.augmented).chunk(2)), trainer.phi)[0]
    def at(shift):
        with torch.no_grad(): trainer.phi[0].view(-1)[0] += shift
        moved = {name: p.detach() - .05 * g.detach() for (name, p), g in zip(before.items(), step())}
        with torch.no_grad(): trainer.phi[0].view(-1)[0] -= shift
        return moved
    eps = 1e-5
    values = []
    for shift in (eps, -eps):
        moved = at(shift)
        with torch.no_grad():
            trainer.phi[0].view(-1)[0] += shift
            values.append(trainer.L1(*trainer.encode(moved, views.augmented).chunk(2)).item())
            trainer.phi[0].view(-1)[0] -= shift
    assert math.isclose(exact.view(-1)[0].item(), (values[0] - values[1]) / 2 / eps, rel_tol=1e-4, abs_tol=1e-9)


def test_counts_of_pairs_on_paper(scripts):
    "Three people, four items: what followed 2 is 3 (twice) and 4 (once); the rest of the order is popularity. Two hidden items each."
    counted = importlib.import_module("counted")
    data = from_rows([0] * 5 + [1] * 4 + [2] * 4, [1, 2, 3, 2, 3, 2, 3, 2, 4, 2, 4, 2, 1], core=0)
    inside, outside = counted.ranked(data)
    assert inside.tolist() == [1, 2, 4] and outside.tolist() == [counted.MISS, 1, 2]


def test_counts_of_pairs_are_those_of_the_record(scripts):
    row = read_experiment(RESULTS / "counted.json").rows["toy"][None]
    found = importlib.import_module("counted").ranked(toy())
    for of, kept in zip(found, unpack(row["ranks"]["test"], row["data"]["people"])): assert (of.clip(max=255) == kept).all()


def test_first_places_are_shares_of_the_own_items():
    places = read_experiment(RESULTS / "places.json").rows["MCLRec, released weights"][None]["places"]
    assert len(places["own"]) == len(places["last"]) == 10 and all(1 >= own >= last >= 0 for own, last in zip(places["own"], places["last"]))
    assert sum(places["last"]) <= 1


def test_the_switches_are_those_between_the_presets():
    kept, paper = read_experiment(RESULTS / "switches.json"), MCLRec.PRESETS["paper"]
    assert kept.settings["paper"] == paper and kept.settings["official"] == {name: MCLRec.DEFAULTS[name] for name in paper}
    for name in paper:
        assert [k for k, v in kept.settings[f"paper, {name}"].items() if v != paper[k]] == [name]
        assert [k for k, v in kept.settings[f"official, {name}"].items() if v != MCLRec.DEFAULTS[k]] == [name]


def test_the_settings_of_two_steps_make_models():
    for said in read_experiment(RESULTS / "two_steps.json").settings.values():
        assert model_class(said["model"])(9, **said["settings"]).stages() and said["times"] in (1, 2)


def test_measures_of_the_views_keep_to_their_bounds():
    kept = read_experiment(RESULTS / "what_r_does.json")
    ceiling = {"z rank": 2 * (32 // 4 + 1), "z rank of one": 32 // 4 + 1, "h rank": 32}
    for _, _, row in rows_of("what_r_does"):
        measures = row["measures"]
        assert all(len(values) == len(kept.head["ranked" if name == "NDCG@10" else "examples"]) for name, values in measures.items())
        for view in "hz":
            assert all(0 <= a <= 4 for a in measures[f"{view} alignment"]) and all(u <= 0 for u in measures[f"{view} uniformity"])
        for name, most in ceiling.items(): assert all(1 <= r <= most for r in measures[name])


def test_runs_with_and_without_r_begin_alike():
    kept = read_experiment(RESULTS / "what_r_does.json").rows
    for name, seeds in kept.items():
        base = kept[name[:name.rindex(" R ")] + " R off"]
        for seed in seeds.keys() & base.keys():
            assert all(seeds[seed]["measures"][m][0] == base[seed]["measures"][m][0] for m in base[seed]["measures"] if m != "NDCG@10")


def test_the_records_of_experiments_are_light():
    assert sum((RESULTS / f"{name}.json").stat().st_size for name in SCRIPTS) < 1_000_000


def test_a_class_that_steps_twice_says_its_stages_twice(scripts):
    again = scripts["two_steps"].again
    assert [group for group, _ in again(MCLRec, 2)(9, d=8, joint=True).stages()] == ["all", "all"]
    assert [group for group, _ in again(MCLRec, 1)(9, d=8).stages()] == ["encoder", "augmenters", "encoder"]


def test_updates_come_in_the_order_that_was_asked(scripts):
    order = scripts["order"]
    for name, said in order.ORDERS.items():
        groups = [group for group, _ in order.ordered(said)(9, d=8).stages()]
        assert groups == {"φ first": ["augmenters", "encoder", "encoder"], "φ last": ["encoder", "encoder", "augmenters"]}.get(name, ["encoder", "augmenters", "encoder"])


def test_the_third_update_is_on_another_batch(scripts):
    model = MCLRec(9, d=8, layers=1)
    trainer, seen = scripts["order"].Other(model, toy_of(9), 1, batch_size=4), []
    loss = model.encoder_loss
    model.encoder_loss = lambda views: (seen.append(views.targets), loss(views))[1]
    next(trainer.batches())
    assert len(seen) == 2 and len(seen[0]) == len(seen[1]) == 4 and not torch.equal(*seen)
    assert "stages" not in vars(model)


def test_a_line_that_was_cut_is_run_again(scripts, tmp_path):
    jobs = sys.modules["jobs"]
    (tmp_path / "lines").write_text('{"configuration": "a", "seed": 1, "x": 2}\n{"configuration": "b", "se')
    assert list(jobs.finished(tmp_path / "lines")) == [("a", 1)] and jobs.finished(tmp_path / "none") == {}
    assert json.loads(jobs.in_lines({"a": 1, "settings": {"s": {}}, "rows": [{"x": 2}]})) == {"a": 1, "settings": {"s": {}}, "rows": [{"x": 2}]}


# What reads them

def test_what_is_no_experiment_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"runs": []}')
    with pytest.raises(InputError, match="is no record of an experiment"): read_experiment(path)
    path.write_text('{"settings": {}, "rows": [{"configuration": "a", "seed": 1}, {"configuration": "a", "seed": 1}]}')
    with pytest.raises(InputError, match="has 'a' with seed 1 twice"): read_experiment(path)


@pytest.mark.parametrize("p, freedom, value", [(.975, 1, 12.7062), (.975, 4, 2.7764), (.95, 4, 2.1318), (.995, 9, 3.2498), (.975, 120, 1.9799)])
def test_students_quantiles_are_those_of_the_tables(p, freedom, value):
    assert math.isclose(t_quantile(p, freedom), value, abs_tol=5e-5)


def test_an_interval_and_its_sign():
    assert math.isclose(interval([1, 2, 3]).high, 2 + 4.30265 / 3**.5, abs_tol=1e-4) and interval([1, 2, 3]).n == 3
    assert Interval(1, .5, 1.5, 5).sign == 1 and Interval(-1, -1.5, -.5, 5).sign == -1 and Interval(0, -1, 1, 5).sign == 0
    assert interval([1, 2, 3], .5).low > interval([1, 2, 3]).low
    with pytest.raises(InputError, match="at least two"): interval([1])
