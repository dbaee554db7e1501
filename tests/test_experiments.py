"""The records are whole and true, and what reads them says what is wrong with those that are not."""
import json
import shutil
import subprocess
import sys
from itertools import product
from math import log2
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mclrec
from mclrec.data import InputError, from_rows
from mclrec.experiments import (STEPS, Result, Table, by_seed, chance, find_results, holm, impossible, kendall, mean_and_deviation, paired,
                                read_paper, read_results, repeated, sign_flips, step_of, text_table)
from mclrec.ranking import metrics
from mclrec.registry import MODELS, model_class
from mclrec.runs import fingerprint
from mclrec.training import fit

RESULTS = Path(__file__).resolve().parents[1] / "results"
NINE = [f"{name}@{k}" for name in ("HR", "NDCG", "MRR") for k in (5, 10, 20)]
TOY = json.loads((RESULTS / "toy.json").read_text())
SEEDS = [2020, 2021, 2022, 2023, 2024]
COMPARED = ["popularity", *read_paper(RESULTS)[1]]                     # the columns of Table 3 and their floor; a model of your own needs no record


def row(model, preset, seed):
    return next(r for r in TOY["runs"] if (r["model"], r["preset"], r["seed"]) == (model, preset, seed))


# The records

@pytest.mark.parametrize("model, preset", [(name, preset) for name in COMPARED for preset in model_class(name).PRESETS if preset != "swift"])
def test_toy_has_every_compared_model_with_every_seed(model, preset):
    assert [r["seed"] for r in TOY["runs"] if (r["model"], r["preset"]) == (model, preset)] == SEEDS
    # what a later version added was at its default then; it had no other way
    recorded, kind = TOY["settings"][f"{model}:{preset}"].keys(), model_class(model)
    assert recorded <= kind.DEFAULTS.keys() and kind.DEFAULTS.keys() - recorded <= {"regime", "horizon", "negatives", "one_pass"}


def test_no_run_of_toy_stands_twice_and_each_has_its_epochs():
    runs = [(r["model"], r["preset"], r["seed"]) for r in TOY["runs"]]
    assert len(runs) == len(set(runs)) and {model for model, *_ in runs} <= {*MODELS}
    for r in TOY["runs"]:
        assert 1 <= r["best_epoch"] <= len(r["valid"]) and r["seconds"] > 0
        warm_up = TOY["settings"][f"{r['model']}:{r['preset']}"].get("pretrain", 0) if r["model"] == "s3rec" else 0
        best = warm_up + 1 + int(np.argmax(r["valid"][warm_up:])) if len(r["valid"]) > warm_up else len(r["valid"])
        rounds = model_class(r["model"])(5, r["preset"]).metric[1] is not None
        assert r["best_epoch"] == best or rounds


@pytest.mark.parametrize("result", read_results(RESULTS), ids=lambda r: f"{r.data}-{r.model}-{r.preset}-{r.seed}")
def test_the_numbers_of_a_record_can_be_of_one_ranking(result):
    assert result.test.keys() == {"seen_in", "seen_out"}
    for test in result.test.values():
        assert list(test) == NINE and all(0 <= value <= 1 for value in test.values())
        assert impossible(test, half=5e-6) == []
        for k in (5, 10, 20): assert test[f"MRR@{k}"] <= test[f"NDCG@{k}"] <= test[f"HR@{k}"]
        for name, (a, b) in product(("HR", "NDCG", "MRR"), ((5, 10), (10, 20))): assert test[f"{name}@{a}"] <= test[f"{name}@{b}"]


def test_every_model_beats_popularity_on_toy_with_every_seed():
    "In the preset the command line takes and, of MCLRec, in both; `authors` was made for other data, and chapter 40 says whom it leaves at popularity."
    floor = row("popularity", "shared", 2020)["test"]["seen_in"]["HR@10"]
    for (model, preset), values in by_seed(read_results(RESULTS, "toy"), "HR@10").items():
        if model != "popularity" and preset != "authors": assert min(values.values()) > 1.25 * floor, model


def again(model, preset, seed):
    "The row of results/toy.json trained again from what the file says, and from nothing else."
    data, recorded = mclrec.load("toy"), row(model, preset, seed)
    assert fingerprint(data) == TOY["data"]["fingerprint"]
    made = model_class(model)(data.n_items, preset, seed, **TOY["settings"][f"{model}:{preset}"])
    how = {**TOY["fit"], "seed": seed} if model_class(model).DEFAULTS else {"metric": TOY["fit"]["metric"]}
    records = fit(made, data, epochs=len(recorded["valid"]), progress=False, **how)
    return recorded, [r["valid"][TOY["fit"]["metric"]] for r in records], {f"seen_{'out' if out else 'in'}": mclrec.evaluate(made, data, exclude_seen=out) for out in (False, True)}


def test_popularity_is_as_recorded():
    recorded, valid, test = again("popularity", "shared", 2020)
    assert valid == pytest.approx(recorded["valid"], abs=6e-6)
    for how in test: assert test[how] == pytest.approx(recorded["test"][how], abs=6e-6)


def test_a_trained_row_is_as_recorded():
    # Sums in another order change the last bits, so that a few of 1,000 people may be ranked otherwise on another processor; another seed changes dozens.
    recorded, valid, test = again("bpr", "shared", 2021)
    assert valid == pytest.approx(recorded["valid"], abs=0.004)
    for how in test: assert test[how] == pytest.approx(recorded["test"][how], abs=0.008)
    other = row("bpr", "shared", 2020)
    assert recorded["valid"] != pytest.approx(other["valid"], abs=0.004) and recorded["test"]["seen_in"] != pytest.approx(other["test"]["seen_in"], abs=0.008)


def test_the_released_checkpoint_ranks_as_recorded(checkpoint_path, beauty_path):
    kept = next(r for r in read_results(RESULTS, "beauty") if r.preset == "released")
    data = mclrec.load(beauty_path)
    model = mclrec.load_official(checkpoint_path, data)
    assert mclrec.evaluate(model, data, exclude_seen=True) == pytest.approx(kept.test["seen_out"], abs=1e-4)


def test_repeats_are_as_recorded(yelp_path):
    kept = json.loads((RESULTS / "repeats.json").read_text())
    for name, data in (("toy", mclrec.load("toy")), ("yelp", mclrec.load(yelp_path))):
        for split in ("valid", "test"): assert kept[name][split] == [round(share, 5) for share in repeated(data, split)]


def test_the_printed_table_has_its_cells_and_its_gains():
    printed, names = read_paper(RESULTS)
    assert list(printed) == ["beauty", "sports", "yelp"] and len(names) == 13
    stated = json.loads((RESULTS / "paper.json").read_text())["improvement_percent"]
    for data, columns in printed.items():
        assert columns.keys() == names.keys()
        for metric, gain in stated[data].items():
            best = max(column[metric] for model, column in columns.items() if model != "mclrec")
            assert round(100 * (columns["mclrec"][metric] / best - 1), 2) == gain
    ablation = json.loads((RESULTS / "paper.json").read_text())["table4"]
    for data, rows in ablation.items():
        assert len(rows) == 5 and rows["(A) MCLRec"] == {metric: printed[data]["mclrec"][metric] for metric in ("HR@20", "NDCG@20")}
    assert printed["sports"]["lma4rec"]["HR@10"] == 0.0439 and printed["yelp"]["mclrec"]["NDCG@20"] == 0.0467


# Making them

def bench(*command, **more):
    done = subprocess.run([sys.executable, *map(str, command)], text=True, capture_output=True, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_runner_goes_on_where_it_stopped_and_trains_nothing_twice(tmp_path):
    field = RESULTS.parent / "benchmarks" / "field.py"
    call = [field, "toy", tmp_path / "out.json", "--runs", tmp_path / "runs", "--rows", "popularity:shared", "bpr:shared:3", "--seeds", "7"]
    bench(*call)
    first = (tmp_path / "out.json").read_bytes()
    run = tmp_path / "runs" / "toy-bpr-shared-7"
    epochs = (run / "metrics.jsonl").read_text()
    assert [len(r["valid"]) for r in json.loads(first)["runs"]] == [1, 3]
    for file in run.iterdir(): file.chmod(0o444)
    said = bench(*call)                                               # all is there
    assert (tmp_path / "out.json").read_bytes() == first and said.count("epochs") == 2
    run.with_suffix(".json").unlink()                                 # as if it had been cut after its second epoch
    bench("-c", "import sys; from mclrec.cli import main; sys.exit(main())", "train", "toy", "--model", "bpr", "--seed", "7", "--preset", "shared",
          "--set", "metric=MRR@10", "--epochs", "2", "--out", tmp_path / "cut")
    for file in run.iterdir(): file.unlink()
    run.rmdir()
    (tmp_path / "cut").rename(run)
    bench(*call)
    strip = lambda text: [{k: v for k, v in json.loads(line).items() if not k.startswith("seconds")} for line in text.splitlines()]
    assert strip((run / "metrics.jsonl").read_text()) == strip(epochs)
    strip_run = lambda content: [{k: v for k, v in r.items() if k != "seconds"} for r in json.loads(content)["runs"]]
    assert strip_run((tmp_path / "out.json").read_bytes()) == strip_run(first)


def test_rows_made_later_join_those_that_are_there(tmp_path):
    call = [RESULTS.parent / "benchmarks" / "field.py", "toy", tmp_path / "out.json", "--runs", tmp_path / "runs", "--seeds", "7", "--rows"]
    bench(*call, "popularity:shared", "bpr:shared:1")
    before = json.loads((tmp_path / "out.json").read_text())
    del before["versions"]["precision"], before["versions"]["compile"]          # as in a file from before there were these switches
    before["runs"][0]["seconds"] = 7.0
    (tmp_path / "out.json").write_text(json.dumps(before))
    shutil.rmtree(tmp_path / "runs")
    bench(*call, "bpr:shared:2", "bpr:authors:1")
    after = json.loads((tmp_path / "out.json").read_text())
    assert [(r["model"], r["preset"], len(r["valid"])) for r in after["runs"]] == [("popularity", "shared", 1), ("bpr", "shared", 2), ("bpr", "authors", 1)]
    assert after["runs"][0] == before["runs"][0] and list(after["settings"]) == ["popularity:shared", "bpr:shared", "bpr:authors"]
    (tmp_path / "out.json").write_text(json.dumps({**before, "data": {"name": "toy", "fingerprint": "another"}}))
    with pytest.raises(AssertionError, match="not made in one way"): bench(*call, "bpr:authors:1")


# Reading them

def test_results_are_found_from_a_chapter_and_missed_elsewhere(tmp_path):
    assert find_results(RESULTS.parent / "nbs" / "4_the_evidence") == RESULTS
    with pytest.raises(InputError, match="come with a clone"): find_results(tmp_path)


def test_long_and_short_records_are_read_alike(tmp_path):
    test = {"seen_in": {"HR@10": .5}, "seen_out": {"HR@10": .25}}
    long = dict(model="sasrec", preset="shared", seed=1, data={"name": "shop"}, fit={"metric": "HR@10"}, test=test, epochs=[{"epoch": 1, "con": .3, "valid": {"HR@10": .1}, "seconds": 1}], best_epoch=1, seconds=2.0)
    short = dict(data={"name": "shop"}, runs=[dict(model="bpr", preset="shared", seed=2, test=test, valid=[.1, .2], losses={"rec": .4}, best_epoch=2, seconds=1.0)])
    for name, content in (("a", long), ("b", short), ("c", {"neither": 1})): (tmp_path / f"{name}.json").write_text(json.dumps(content))
    got = read_results(tmp_path)
    assert got == [Result("shop", "sasrec", "shared", 1, test, [.1], {"con": .3}, 1, 2.0), Result("shop", "bpr", "shared", 2, test, [.1, .2], {"rec": .4}, 2, 1.0)]
    assert read_results(tmp_path, "other") == []
    assert by_seed(got, "HR@10", "seen_out") == {("sasrec", "shared"): {1: .25}, ("bpr", "shared"): {2: .25}}
    (tmp_path / "d.json").write_text(json.dumps(long))
    with pytest.raises(InputError, match="d.json: has shop sasrec shared 1, which another file has too"): read_results(tmp_path)


@pytest.mark.parametrize("content, said", [("{", "cannot be read as JSON"), ('{"runs": [{}], "data": {"name": "x"}}', "is not a record of runs"), ('{"test": {}}', "is not a record of runs")])
def test_damaged_records_are_named(content, said, tmp_path):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=f"r.json: {said}"): read_results(tmp_path)


# Comparing them

@given(st.lists(st.integers(1, 60), min_size=1, max_size=200))
def test_no_ranking_is_called_impossible(ranks):
    column = {name: round(value, 4) for name, value in metrics(torch.tensor(ranks)).items()}
    assert impossible(column) == []


@pytest.mark.parametrize("first, last", STEPS)
def test_hits_that_gain_too_much_or_too_little_are_impossible(first, last):
    for each, bad in ((1 / log2(first + 1), False), (1 / log2(last + 1), False), (1.1 / log2(first + 1), True), (0.9 / log2(last + 1), True)):
        column = {f"{name}@{k}": value * (k >= last) for name, value in (("HR", .3), ("NDCG", .3 * each)) for k in (5, 10, 20)}
        assert impossible(column) == [(first, last)] * bad
        hits, gained, least, most = step_of(column, first, last)
        assert (hits, gained) == (.3, .3 * each) and least < most


def test_orders():
    up, down = {c: k for k, c in enumerate("abcd")}, {c: -k for k, c in enumerate("abcde")}
    assert kendall(up, up) == 1 and kendall(up, down) == -1 and kendall(up, {"a": 0, "b": 0, "c": 0}) == 0
    with pytest.raises(InputError, match="at least two"): kendall(up, {"a": 1, "z": 2})


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=8))
def test_sign_flips(differences):
    p = sign_flips(differences)
    assert 2 / 2**len(differences) <= p <= 1 and p == sign_flips([-d for d in differences]) == sign_flips(differences[::-1])
    assert sign_flips([abs(d) + .1 for d in differences]) == 2 / 2**len(differences)


def test_sign_flips_of_none_or_too_many():
    for differences in ([], [1.0] * 21):
        with pytest.raises(InputError, match="give from 1 to 20"): sign_flips(differences)


def test_pairs_means_and_chance():
    assert paired({1: 5, 2: 7, 9: 1}, {2: 3, 1: 4, 8: 0}) == [1, 4]
    assert mean_and_deviation({3: 2.0, 4: 4.0}.values()) == (3.0, pytest.approx(2**.5)) and mean_and_deviation([1.0]) == (1.0, None)
    draws = np.random.default_rng(0).binomial(400, .2, 20000) / 400
    assert chance(.2, 400) == pytest.approx(draws.std(), rel=.03)


def test_repeats_by_hand():
    # ann ends with what she took first, bob with what he took just before, eve with something new; kim is too short to be asked.
    rows = {"ann": "abcda", "bob": "abcdd", "eve": "abcde", "kim": "aa"}
    data = from_rows([who for who, items in rows.items() for _ in items], [i for items in rows.values() for i in items], core=0)
    assert repeated(data) == (2 / 3, 1 / 3) and repeated(data, "valid") == (0, 0)


def test_a_table_is_aligned():
    assert text_table(["x", "long"], [["abc", 1], ["d", "22"]]) == "x    long\nabc     1\nd      22"


def test_a_table_is_text_and_html():
    table = Table(["x", "a < b"], [["y & z", 1.5]])
    assert repr(table) == text_table(table.head, table.rows)
    assert table._repr_html_() == '<table><tr><th align="left">x</th><th align="right">a &lt; b</th></tr><tr><td align="left">y &amp; z</td><td align="right">1.5</td></tr></table>'
    assert Table(["x"], [], "A <title>")._repr_html_().startswith("<details><summary>A &lt;title&gt;</summary><table>")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm(p):
    adjusted = holm(p)
    assert all(own <= a <= 1 for own, a in zip(p, adjusted)) and holm(p[::-1]) == adjusted[::-1] or len(set(p)) < len(p)
    assert min(adjusted) == min(1, len(p) * min(p))
    assert [a for _, a in sorted(zip(p, adjusted))] == sorted(adjusted)
    if len(p) == 1: assert adjusted == p


def test_short_trainings_are_recorded_with_enough_seeds():
    kept = json.loads((RESULTS / "part3.json").read_text("utf-8"))
    assert kept["data"]["fingerprint"] == TOY["data"]["fingerprint"]
    for part in ("s3rec", "duorec", "srma", "corners"):
        assert len(kept[part]) >= 5 and len({tuple(run) for run in kept[part].values()}) == 1, part
