"""Ranks of people: what is packed comes back, what is damaged is refused, and the bootstrap is that of scipy and of a loop."""
import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mclrec.arms import EXPERIMENTS, NOISE, Run, runs_of
from mclrec.checks import InputError
from mclrec.data import held_out
from mclrec.people import (LAST, NINE, Effect, above, check_record, compare, differences, effect, gains, pack, ranks, read_folder, read_record,
                           record_bytes, redrawn, seeds_needed, unpack, verdict, write_record)
from mclrec.registry import model_class
from mclrec.runs import fingerprint
from mclrec.toy import toy

FOLDER = Path(__file__).resolve().parents[1] / "results" / "experiments"
RECORDS = sorted(FOLDER.glob("*/*.json"))


def record(of_in, of_out=None, **more):
    "A sound record of these ranks."
    of_out = of_in if of_out is None else of_out
    test = {f"seen_{seen}": {m: float(gains(of, m).mean()) for m in NINE} for seen, of in (("in", of_in), ("out", of_out))}
    parts = dict.fromkeys(("run", "settings", "fit", "protocol", "tries", "revision", "versions", "hardware", "made", "seconds", "cpu_seconds", "best_epoch", "valid"))
    return {**parts, "data": {"fingerprint": "f", "people": len(of_in)}, "test": test, "ranks": {"test": pack(of_in, of_out)}, **more}


# A byte for each person

@given(st.lists(st.tuples(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1)), min_size=1))
def test_what_is_packed_comes_back_clipped(pairs):
    lists = np.array(pairs).T
    for kept, of in zip(unpack(pack(*lists), len(pairs)), lists):
        assert kept.dtype == np.uint8 and (kept == np.minimum(of, LAST)).all()


def test_two_lists_of_ranks_take_less_than_a_byte_each():
    "22,363 people, every third among the first 255, where small ranks are more frequent; seen items out a few places higher."
    random = np.random.default_rng(0)
    of_in = np.where(random.random(22_363) < .35, np.exp(random.random(22_363) * math.log(255)).astype(int) + 1, 10_000)
    of_out = np.maximum(1, of_in - random.integers(0, 4, len(of_in)))
    assert len(pack(of_in, of_out)) < 22_363


@pytest.mark.parametrize("text", ["", "\"", "AAAAA", pack([1, 2])[:-5], pack([1, 2, 3])])
def test_what_cannot_be_unpacked_is_refused(text):
    with pytest.raises(InputError, match="ranks of test are damaged"):
        ranks({"ranks": {"test": text}, "data": {"people": 2}})


def test_a_small_text_that_would_unpack_into_gigabytes_does_not():
    import base64
    bomb = base64.b85encode(zlib.compress(bytes(10**7), 9)).decode()
    with pytest.raises(ValueError, match="not one byte"): unpack(bomb, 1000)


# A record

def test_a_record_that_is_written_is_read(tmp_path):
    kept = record(np.array([1, 7, 300]), np.array([1, 5, 250]))
    write_record(tmp_path / "toy" / "a.json", kept)
    again = read_folder(tmp_path / "toy")["a"]
    assert {key: value for key, value in again.items() if key != "sha256"} == kept and read_folder(tmp_path / "none") == {}
    assert ranks(again, seen="out").tolist() == [1, 5, 250] and ranks(again).tolist() == [1, 7, 255]
    with pytest.raises(InputError, match="keeps no ranks of 'valid'.*it has test"): ranks(again, "valid")
    with pytest.raises(InputError, match="seen items in only"): ranks({**again, "ranks": {"test": pack([1, 2, 3])}}, seen="out")


def test_a_record_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "a.json"
    write_record(path, record(np.array([1, 7, 300])))
    path.write_text(path.read_text().replace("0.66666", "0.76666"))
    with pytest.raises(InputError, match="a.json: its checksum differs; remove the file and run it again"): read_record(path)


def test_a_record_whose_metrics_are_not_those_of_its_ranks_is_refused():
    kept = record(np.array([1, 7, 300]))
    kept["test"]["seen_out"]["NDCG@10"] += 1e-4
    with pytest.raises(InputError, match="its NDCG@10 with seen items out is not that of its ranks"): check_record(json.loads(record_bytes(kept)), "x")
    del kept["valid"]
    with pytest.raises(InputError, match="x: has no valid"): check_record(json.loads(record_bytes(kept)), "x")


def test_gains_are_those_of_the_metrics():
    assert gains([1, 3, 11], "HR@10").tolist() == [1, 1, 0] and gains([1, 3, 11], "NDCG@10").tolist() == [1, .5, 0]
    assert np.allclose(gains([1, 4, 255], "MRR@254"), [1, .25, 0], atol=1e-15)
    for bad in ("NDCG", "NDCG@0", "NDCG@255", "AUC@10", "HR@ten"):
        with pytest.raises(InputError, match="cannot be had from the ranks"): gains([1], bad)


# The records that are there

@pytest.mark.parametrize("path", RECORDS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_kept_record_is_whole_and_of_a_declared_run(path):
    kept = read_record(path)
    asked = kept["run"]
    assert path.parent.name == asked["data"] and path.stem == Run(asked).name
    declared = {run.name: run for run in runs_of("all", asked["data"], [asked["seed"]]).values()}
    assert declared[path.stem].asked == asked, "no experiment asks for it any more"
    if "failed" in kept: return
    model = model_class(asked["model"])(kept["data"]["items"], asked["preset"], asked["seed"], **kept["settings"])
    filled = {key for key, value in model_class(asked["model"]).DEFAULTS.items() if value is None}
    usual = {**model.DEFAULTS, **model.PRESETS[asked["preset"]], **asked["settings"]}
    assert {k: v for k, v in kept["settings"].items() if k not in filled} == {k: usual[k] for k in kept["settings"] if k not in filled}
    assert all(kept["fit"][key] == value for key, value in asked["fit"].items() if key != "epochs")
    epochs = len(kept["valid"]["NDCG@10"])
    assert 1 <= kept["best_epoch"] <= epochs <= asked["fit"]["epochs"] and kept["seconds"] >= 0 and kept["tries"] >= 1 and kept["revision"]
    assert kept["versions"] and kept["hardware"]["cores"] and kept["made"] > "2026-11-25"
    if asked["data"] == "toy" and "group" not in asked:
        assert kept["data"] == {"name": "toy", "fingerprint": fingerprint(toy()), "people": len(held_out(toy()).users), "items": 300}
    for share in NOISE:
        if f"noise {share:g}" in kept["ranks"]: assert len(ranks(kept, f"noise {share:g}")) == kept["data"]["people"]


def test_all_records_together_are_light():
    assert sum(path.stat().st_size for path in RECORDS) < 15e6


# How sure

def test_the_bootstrap_over_people_is_that_of_scipy():
    table = np.random.default_rng(3).choice([-1, -.5, 0, 0, 0, 1, .63], (400, 1))
    ours, draws = effect(table, 20_000), 20_000
    theirs = stats.bootstrap((table[:, 0],), np.mean, n_resamples=draws, method="percentile", rng=np.random.default_rng(4))
    slack = 5 * 2.7 * theirs.standard_error * math.sqrt(2 / draws)        # both ends are themselves drawn: 2.7 sd / √draws each
    assert abs(ours.low - theirs.confidence_interval.low) < slack and abs(ours.high - theirs.confidence_interval.high) < slack
    assert math.isclose(redrawn(table, draws).std(), theirs.standard_error, rel_tol=5 / math.sqrt(2 * draws) * math.sqrt(2))


def test_the_bootstrap_over_seeds_and_people_is_that_of_a_loop():
    random = np.random.default_rng(5)
    table = random.choice([-1, 0, 0, 1, .5], (60, 1)) + random.normal(0, .2, (1, 4)) + random.normal(0, .1, (60, 4))
    loop = [table[random.integers(60, size=60)][:, random.integers(4, size=4)].mean() for _ in range(4000)]
    at_once = redrawn(table, 4000)
    assert abs(np.mean(loop) - at_once.mean()) < 5 * np.std(loop) * math.sqrt(2 / 4000)
    assert math.isclose(np.std(loop), at_once.std(), rel_tol=5 / math.sqrt(4000))
    assert stats.ks_2samp(loop, at_once).pvalue > 1e-4


def test_draws_begin_anew_with_each_call_and_go_by_parts():
    table = np.random.default_rng(6).normal(size=(3000, 2))                # all rows different: several parts
    assert (redrawn(table, 1500) == redrawn(table, 1500)).all() and len(redrawn(table, 1500)) == 1500
    assert redrawn(np.zeros((5, 3)), 100).tolist() == [0] * 100 and effect(np.zeros((5, 3)), 100).p == 1


def test_comparing_pairs_people_and_seeds():
    a, b = ({seed: record(np.array(of)) for seed, of in runs.items()} for runs in ({1: [1, 5, 20], 2: [1, 5, 2], 9: [1, 1, 1]}, {2: [4, 5, 20], 1: [1, 5, 2]}))
    table = differences(a, b, "HR@4")
    assert table.tolist() == [[0, 0], [0, 0], [-1, 1]] and differences(a, b, "HR@4", who=np.array([False, False, True])).tolist() == [[-1, 1]]
    found = compare(a, b, "HR@4")
    assert (found.mean, found.seeds, found.people) == (0, 2, 3) and found.low < 0 < found.high
    with pytest.raises(InputError, match="share no seed"): compare({1: a[1]}, {2: b[2]})
    with pytest.raises(InputError, match="different data"): compare(a, {1: {**b[1], "data": {"fingerprint": "g", "people": 3}}})


@pytest.mark.parametrize("low, high, p, claimed, hits, said", [
    (.001, .01, .01, 1, None, "supported"), (.001, .01, .2, 1, None, "undecided"), (.001, .01, .01, -1, None, "refuted"), (-.01, -.001, .01, -1, None, "supported"),
    (-.001, .01, .3, 1, None, "undecided"), (-.0001, .0005, .3, 1, (-.0009, .0009), "refuted"), (-.0001, .0005, .3, 1, (-.0009, .002), "undecided")])
def test_verdicts_are_those_of_the_protocol(low, high, p, claimed, hits, said):
    of = Effect((low + high) / 2, low, high, .01, 5, 1000)
    assert verdict(of, p, claimed, hits and Effect(0, *hits, .5, 5, 1000)) == said


def test_seeds_that_would_decide():
    seeds = np.array([[.0, .02, .04]]) + np.zeros((1000, 1))
    assert seeds_needed(seeds) == math.ceil(.02**2 / (.02 / 1.96)**2) == 4              # people do not differ: the seeds' variance alone
    assert seeds_needed(seeds, .001) == math.ceil((3.2905 * .02 / .02)**2) == 11        # the level that is left when many are compared
    assert seeds_needed(seeds + 1) == 4 and seeds_needed(seeds[:, :1]) is None          # more than there are; one seed says nothing of others
    people = np.random.default_rng(1).choice([-1.0, 1.0], (50, 1)) + seeds[:50]
    assert seeds_needed(people) == math.inf                                            # too few people, whatever the seeds
    assert seeds_needed(people[:1]) is None                                            # one person says nothing of others


def test_what_is_neither_of_a_person_nor_of_a_seed_goes_away_with_seeds():
    "As many as are needed have an interval at 0's edge by the two-level bootstrap, drawn afresh; and the part is the one of analysis of variance."
    random = np.random.default_rng(3)
    few = random.normal(.01, .2, (500, 3))
    few += .01 - few.mean()
    needed = seeds_needed(few)
    assert 3 < needed < math.inf
    more = random.normal(.01, .2, (500, needed))
    more += .01 - more.mean()
    of = effect(more, 4000)
    assert abs(of.low) < .004                                                          # the variances of the few are known to a tenth or so


def test_declared_experiments_are_those_the_protocol_names():
    assert {"table3", "table4", "figure3", "batch", "lambda_beta", "noise", "groups", "x1", "x2", "x3", "x4", "x5", "regimes", "plan",
            "parts", "recipe"} == EXPERIMENTS.keys()


def test_seen_items_above_the_target_are_those_of_the_people_hit():
    record = {"data": {"people": 4}, "ranks": {"test": pack([3, 12, 15, 1], [2, 10, 11, 1])}}
    assert above(record).tolist() == [1, 2, 0] and above(record, k=2).tolist() == [1, 0]
