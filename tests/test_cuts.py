"""A cut in time: what each side of it holds, and that nothing of the later side is learnt."""
import json
from itertools import pairwise

import numpy as np
import pytest

from mclrec.checks import InputError
from mclrec.cuts import cut_in_time, date_of, moments
from mclrec.data import from_rows, held_out, learnable, prefixes
from mclrec.loading import load
from mclrec.model import Popularity, evaluate
from mclrec.models.bert4rec import windows
from mclrec.models.bpr import training_part
from mclrec.models.caser import full_windows
from mclrec.models.fmc import FMC
from mclrec.registry import model_class
from mclrec.resume import read_config
from mclrec.runs import fingerprint, load_run, save
from mclrec.sharing import whole
from mclrec.sweep import only
from mclrec.training import fit


def log(seed, n=400, times=60):
    "Users, items and times with many ties, in any order; the last users and items come late."
    random = np.random.default_rng(seed)
    when = random.integers(0, times, n)
    users, items = random.integers(0, 20 + when // 3), random.integers(0, 15 + when // 4)
    return [f"u{u}" for u in users], [f"i{i}" for i in items], when


def by_hand(users, items, times, share, core):
    "The same by loops: each user's (item, time) in order, and both moments."
    ordered = sorted(times.tolist())
    valid, test = ordered[round(len(ordered) * (1 - 2 * share))], ordered[round(len(ordered) * (1 - share))]
    rows = list(zip(users, items, times.tolist()))
    past = [row for row in rows if row[2] < valid]
    while True:
        kept = [r for r in past if all(sum(o[k] == r[k] for o in past) >= core for k in (0, 1))]
        if len(kept) == len(past): break
        past = kept
    people, things = (list(dict.fromkeys(row[k] for row in past)) for k in (0, 1))
    known = [row for row in rows if row[0] in people and row[1] in things]
    return {u: sorted(((i, t) for who, i, t in known if who == u), key=lambda x: x[1]) for u in people}, things, valid, test


@pytest.mark.parametrize("seed, share, core", [(0, .1, 0), (1, .2, 3), (2, .3, 5)])
def test_a_cut_is_what_a_loop_makes_of_it(seed, share, core):
    users, items, times = log(seed)
    data = cut_in_time(users, items, times, share, core)
    histories, things, valid, test = by_hand(users, items, times, share, core)
    assert (data.user_ids, data.item_ids) == ([*histories], things)
    for u, (id, history) in enumerate(histories.items()):
        assert [data.item_ids[i - 1] for i in data[u]] == [i for i, _ in history]
        assert data.cuts[u].tolist() == [sum(t < moment for _, t in history) for moment in (valid, test)]
    for split, begin, end in (("valid", valid, test), ("test", test, np.inf)):
        expected = {}
        for id, history in histories.items():
            if any(t < begin for _, t in history) and (after := [k for k, (_, t) in enumerate(history) if begin <= t < end]):
                expected[id] = after[0]
        asked = held_out(data, split)
        assert {data.user_ids[u]: int(e - data.offsets[u]) for u, e in zip(asked.users, asked.end)} == expected


def test_no_model_learns_from_what_lies_behind_the_cut():
    data = cut_in_time(*log(3), .2, 2)
    end = data.offsets[:-1] + data.cuts[:, 0]
    for examples in (prefixes(data), whole(data), windows(data, 5), full_windows(data, 3, 2)):
        assert len(examples.end) and (examples.end < end[examples.users]).all() and (examples.start >= data.offsets[examples.users]).all()
    users, places = training_part(data)
    assert len(places) == learnable(data).sum() == data.cuts[:, 0].sum() and (places < end[users]).all()
    model = Popularity(data.n_items)
    model.prepare(data)
    assert model.counts.sum() == data.cuts[:, 0].sum()
    hidden = np.ones(len(data.items), bool)
    hidden[places] = False
    other = type(data)(np.where(hidden, 1, data.items).astype(np.int32), data.offsets, data.item_ids, data.user_ids, cuts=data.cuts)
    again = Popularity(data.n_items)
    again.prepare(other)
    assert (model.counts == again.counts).all()


def test_without_a_cut_all_is_as_it_was():
    data = from_rows(*log(4), core=0)
    assert data.cuts is None and data.protocol == "leave-one-out"
    T = data.lengths
    assert (learnable(data) == np.where(T >= 3, T - 2, T)).all() and len(prefixes(data).end) == np.where(T >= 3, T - 3, T - 1).sum()


def test_some_people_of_a_cut_keep_theirs():
    data = cut_in_time(*log(5), .2, 0)
    some = only(data, np.array([3, 1]))
    assert (some.cuts == data.cuts[[3, 1]]).all() and fingerprint(some) != fingerprint(only(data, np.array([1, 3])))


def test_a_cut_is_part_of_the_fingerprint():
    data = cut_in_time(*log(6), .2, 0)
    moved = type(data)(data.items, data.offsets, data.item_ids, data.user_ids, cuts=data.cuts - (data.cuts > 1))
    assert fingerprint(data) != fingerprint(moved)


@pytest.mark.parametrize("name", ["bpr", "sasrec"])
def test_the_last_user_may_have_nothing_behind_the_cut(name):
    rows = [(f"u{user}", f"i{(user + k) % 7}", 0 if user == 9 else k) for user in range(10) for k in range(8)]
    users, items, times = zip(*rows)
    data = cut_in_time([*users], [*items], np.array(times), .2, 0)
    assert data.cuts[-1, 0] == data.lengths[-1]
    assert len(fit(model_class(name)(data.n_items, d=8), data, epochs=1, batch_size=16, progress=False)) == 1


def test_moments_and_dates():
    assert moments(np.arange(100)[::-1], .25) == (50, 75) and date_of(1_404_172_800_000_000_000) == "2014-07-01T00:00:00" and date_of(.5) == "0.5"
    with pytest.raises(InputError, match="too few different times"): moments(np.arange(100), .004)
    for times in ([1] * 9, [1] * 8 + [2]):
        with pytest.raises(InputError, match="too few different times"): moments(np.array(times), .1)


@pytest.mark.parametrize("change, says", [
    ({"times": None}, "has no times"), ({"share": 0}, "cut=0"), ({"share": .5}, "cut=0.5"), ({"share": "x"}, "cut="), ({"core": 99}, "99-core"),
    ({"users": [], "items": [], "times": []}, "no interactions in it"), ({"users": [1]}, "must be of one length")])
def test_what_cannot_be_cut_says_so(change, says):
    with pytest.raises(InputError, match=says): cut_in_time(**{**dict(zip(("users", "items", "times"), log(7))), "share": .1, **change})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "log.csv"
    path.write_text("user,item,time\n" + "".join(f"{u},{i},{1_400_000_000 + 86_400 * t}\n" for u, i, t in zip(*log(8))))
    return path


def test_a_run_says_how_it_was_judged(table, tmp_path, caplog):
    with caplog.at_level("INFO", "mclrec"): data = load(table, cut=.2, core=0)
    assert data.protocol.startswith("a cut in time at 2014-") and "cut in time; validation begins at 2014-" in caplog.text
    fit(FMC(data.n_items), data, epochs=1, out=tmp_path / "run", progress=False)
    assert read_config(tmp_path / "run")["data"]["protocol"] == data.protocol
    model = load_run(tmp_path / "run")
    assert set(evaluate(model, data)) and "judged by" not in caplog.text
    evaluate(model, load(table, core=0))
    assert f"trained for {data.protocol} and is judged by leave-one-out" in caplog.text
    save(model, tmp_path / "saved")
    assert load_run(tmp_path / "saved").protocol == data.protocol and data.protocol in (tmp_path / "saved" / "card.md").read_text()
    save(load_run(tmp_path / "saved"), tmp_path / "saved")
    assert load_run(tmp_path / "saved").protocol == data.protocol
    with pytest.raises(InputError, match="was run with another"):
        fit(FMC(load(table, core=0).n_items), load(table, core=0), epochs=2, out=tmp_path / "run", resume=True, progress=False)


def test_the_command_line_cuts_too(table, tmp_path, capsys):
    from mclrec.cli import main
    how = [str(table), "--core", "0", "--cut", "0.2"]
    assert main(["train", *how, "--model", "popularity", "--out", str(tmp_path / "run")]) == 0
    assert "Test (a cut in time at 2014-" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run"), *how]) == 0 and "test items, a cut in time at 2014-" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run"), *how, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"].startswith("a cut in time")
    assert main(["train", "toy", "--cut", "0.2", "--out", str(tmp_path / "no")]) == 2 and "toy: has no times" in capsys.readouterr().err


def test_histories_stay_in_the_order_of_time():
    users, items, times = log(9)
    data = cut_in_time(users, list(range(len(items))), times, .2, 0)      # every item its own, so that its time is known
    for u in range(data.n_users): assert all(times[data.item_ids[a - 1]] <= times[data.item_ids[b - 1]] for a, b in pairwise(data[u]))
