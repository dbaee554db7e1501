"""Claims and verdicts: the claims are the protocol's, and each verdict is what its rule makes of records whose answer is known."""
import math
import re
from pathlib import Path

import numpy as np
import pytest

from mclrec import verdicts
from mclrec.arms import EXPERIMENTS, FIELD, SEEDS
from mclrec.checks import InputError
from mclrec.evidence import t_quantile
from mclrec.experiments import find_results
from mclrec.people import differences, effect, pack
from mclrec.verdicts import (CLAIMS, LEAST, RIVALS, _beyond, _together, best_of, best_of_field, between, contrast, earlier_contrast, gained, hours_left,
                             in_common, in_thousand, judge, judge_section, loses_less, of_field, of_seeds, recorded, verdict_rows, with_interval)

PROTOCOL = (Path(__file__).resolve().parents[1] / "PROTOCOL.md").read_text(encoding="utf-8")


def run(ranks, **noise):
    "A record with these ranks, seen items in and out, and at noise."
    kept = {"test": pack(ranks, ranks)} | {f"noise {share}": pack(of) for share, of in noise.items()}
    return {"ranks": kept, "data": {"people": len(ranks), "fingerprint": "f"}, "valid": {"MRR@10": [.1], "NDCG@10": [.1]}}


def runs(hit, people=400, seeds=SEEDS):
    "Runs in which so large a share of the same people is hit at rank 1, the rest at 200."
    return {seed: run(np.where(np.arange(people) < hit * people + k, 1, 200)) for k, seed in enumerate(seeds)}


def test_the_claims_are_those_of_the_protocol_in_its_order_and_under_its_heads():
    section, found = None, []
    for line in PROTOCOL[PROTOCOL.index("## The claims"):PROTOCOL.index("## Further")].splitlines():
        if head := re.match(r"\*\*(.+?)\*\*", line): section = head[1]
        elif row := re.match(r"\| ([A-Z]\d) \|", line): found.append((row[1], section))
    assert [(key, claim.section) for key, claim in CLAIMS.items()] == found


def test_claims_name_arms_and_experiments_that_exist_and_each_has_a_comparison():
    for key, claim in CLAIMS.items():
        assert claim.experiment in (*EXPERIMENTS, "")
        assert (claim.parts is None) == key.startswith("C")
        if claim.parts: assert claim.parts("toy"), key                    # an arm that does not exist would raise here
    assert len(RIVALS) == 12 and not set(RIVALS) - set(FIELD)


def test_what_is_asked_for_by_a_wrong_name_is_refused():
    with pytest.raises(InputError, match="no arm of experiment 'table3'"): recorded("table3", "MCLrec")
    with pytest.raises(InputError, match="no arm of experiment 'table9'"): recorded("table9", "MCLRec")
    assert recorded("table3", "MCLRec", "nowhere") == {} and best_of("table3", ["BPR", "MCLRec"], "nowhere") == "BPR"


def test_a_contrast_is_the_table_of_differences_by_people_and_seeds():
    a, b = recorded("table3", "last item"), recorded("table3", "BPR")
    ndcg, hits = contrast(a, b)
    assert (ndcg == differences(a, b)).all() and (hits == differences(a, b, "HR@10")).all()
    some = {seed: a[seed] for seed in SEEDS[:2]}
    assert contrast(some, b)[0].shape[1] == 2 and contrast({}, b) is None and contrast({1: a[2020]}, b) is None
    assert in_common(a, some) == [some, some] and in_common(a, {1: a[2020]}, b) == [{}, {}, {}]
    with pytest.raises(InputError, match="of different data"):
        contrast(a, {seed: record | {"data": record["data"] | {"fingerprint": "another"}} for seed, record in b.items()})


def test_groups_of_which_one_has_fewer_seeds_are_judged_by_those_that_all_have(monkeypatch):
    def recorded(experiment, arm, data="toy", folder=None):
        return runs(.5, people=300 if "9 or more" in arm else 200, seeds=SEEDS if "9 or more" in arm else SEEDS[1:4])
    monkeypatch.setattr(verdicts, "recorded", recorded)
    for key in ("R5", "R7"): assert {tables[0].shape[1] for tables in CLAIMS[key].parts("toy").values()} == {3}


def test_verdicts_follow_the_protocol():
    made = {"better": contrast(runs(.5), runs(.3)), "worse": contrast(runs(.3), runs(.5)), "none": None, "same": contrast(runs(.3), runs(.3)),
            "few": contrast(runs(.5, seeds=SEEDS[:2]), runs(.3, seeds=SEEDS[:2])), "other": contrast(runs(.5), runs(.3))}
    found = judge(made, equal=("same", "other"), draws=500)
    assert {said: j and j.verdict for said, j in found.items()} == {
        "better": "supported", "worse": "refuted", "none": None, "same": "supported", "few": "undecided", "other": "refuted"}
    assert all(j is None or j.p >= j.effect.p for j in found.values())
    tiny = {"tiny": contrast(runs(.3), runs(.3))}
    assert judge(tiny, draws=200)["tiny"].verdict == "undecided" and judge(tiny, significant=("tiny",), draws=200)["tiny"].verdict == "refuted"


def test_seeds_that_would_decide_grow_with_what_is_compared():
    scattered = np.zeros((400, 5)) + [.3, -.1, .2, -.1, .1]                      # no difference between people, much between seeds
    alone = judge({"one": (scattered, scattered)}, draws=500)["one"]
    among = judge({"one": (scattered, scattered), **{k: contrast(runs(.3), runs(.3)) for k in range(9)}}, draws=500)
    assert alone.verdict == among["one"].verdict == "undecided" and 5 < alone.seeds < among["one"].seeds < math.inf
    assert f"undecided; {alone.seeds} seeds would decide" == verdict_rows({"one": alone})[0][-1]
    assert among[0].seeds == math.inf and verdict_rows({0: among[0]})[0][-1] == "undecided; no number of seeds would decide"


@pytest.mark.parametrize("seeds", [LEAST - 1, LEAST])
def test_a_model_counts_in_table_3_with_enough_seeds(monkeypatch, seeds):
    def recorded(experiment, name, data="toy", folder=None):
        valid = {"valid": {"NDCG@10": [.2 if name == "DuoRec" else .1], "MRR@10": [.1]}}
        return {seed: of | valid for seed, of in runs(.5, seeds=SEEDS[:seeds]).items()}
    monkeypatch.setattr(verdicts, "recorded", recorded)
    against, best = of_field("DuoRec", "SASRec"), best_of_field(("SASRec", "DuoRec"))
    assert (against is None, best) == ((True, None) if seeds < LEAST else (False, "DuoRec"))


def test_records_from_before_the_protocol_decide_nothing():
    of = lambda *values: {seed: {"NDCG@10": value, "HR@10": value} for seed, value in zip(SEEDS, values)}
    high, low = of(.31, .32, .33, .32, .31), of(.21, .22, .22, .23, .21)
    made = {"for": earlier_contrast(high, low), "against": earlier_contrast(low, high), "open": earlier_contrast(high, of(.3)),
            "none": earlier_contrast({}, low)}
    found = judge(made)
    assert [j and j.verdict for j in found.values()] == ["exploratory, for", "exploratory, against", "exploratory, open", None]
    assert with_interval(found["open"].effect) == "+0.0100" and in_thousand(found["open"].hits) == "+10"      # of one seed no interval


@pytest.mark.parametrize("p, freedom", [(.05, 4), (.01, 9), (.1, 1), (.5, 3)])
def test_the_p_of_seeds_is_students(p, freedom):
    assert math.isclose(_beyond(t_quantile(1 - p / 2, freedom), freedom), p, abs_tol=5e-4)
    assert of_seeds([1., 1, 1]).p == 0 and of_seeds([0., 0, 0]).p == 1 and of_seeds([.5]).high == math.inf


def test_a_claim_about_each_falls_with_one_of_them():
    kinds = {"better": contrast(runs(.5), runs(.3)), "worse": contrast(runs(.3), runs(.5)), "none": None, "level": contrast(runs(.3), runs(.3))}
    judged = judge(kinds, draws=500)
    def of(*names): return _together({name: judged[name] for name in names})
    assert of("better").verdict == "supported" and of("better", "worse")[:2] == ("refuted", "worse")
    assert of("better", "level")[:2] == ("undecided", "level") and of("better", "none").verdict == "undecided"
    assert of("none").verdict == "not run" and (of("better", "worse").made, of("better", "worse").hold) == (2, 1)


def test_what_noise_costs_is_a_share_of_what_was_there():
    clean, half = np.where(np.arange(400) < 200, 1, 200), np.where(np.arange(400) < 100, 1, 200)
    robust, weak = ({seed: run(clean, **{"0.15": noisy}) for seed in SEEDS} for noisy in (clean, half))
    table, _ = loses_less(robust, weak)
    assert np.allclose(table.mean(0), .5) and loses_less(robust, {}) is None
    assert loses_less(robust, runs(.5)) is None                                       # not judged with noise
    one, other = (gained(runs(.5, people)) for people in (300, 100))                  # groups of different sizes
    table = between((one, one), (other, other))[0]
    assert np.isclose(table.mean(), one.mean() - other.mean()) and between(None, (one, one)) is None


def test_the_interval_between_two_groups_is_that_of_people_drawn_within_each():
    random = np.random.default_rng(4)
    one, other = (random.random((people, 5)) < share for people, share in ((300, .4), (100, .5)))
    one, other = one * 1.0, other * 1.0
    within = []
    for _ in range(2000):
        seeds = random.integers(0, 5, 5)
        x, y = (of[random.integers(0, len(of), len(of))][:, seeds].mean() for of in (one, other))
        within.append(x - y)
    (table, _), (low, high) = between((one, one), (other, other)), np.quantile(within, (.025, .975))
    of = effect(table, 4000)
    assert abs((of.high - of.low) / (high - low) - 1) < .12 and abs(of.low - low) < .02       # two bootstraps of some thousand draws


def test_sections_are_judged_together_and_what_is_missing_has_a_price():
    found = judge_section("Overall [4.2, Table 3]", "nowhere")
    assert all(j is None for of in found.values() for j in of.values())
    left, hours = hours_left("table3", "sports")
    assert left > 0 and hours > 1
    rows = verdict_rows(judge({"a": None, "b": contrast(runs(.5), runs(.3))}, draws=200))
    assert [row[-1] for row in rows] == ["not run", "supported"]
    assert find_results().is_dir()
