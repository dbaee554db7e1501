"""Each run once: declared in one way, claimed by one process, resumed after a kill, recorded when it fails; over processes as in one."""
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mclrec import cli
from mclrec.arms import EXPERIMENTS, FIELD, GROUPS, HOW, NOISE, OWN, SEEDS, TOY, Plan, Run, run_of, runs_of
from mclrec.big import prepare
from mclrec.checks import InputError, check_settings
from mclrec.data import from_rows
from mclrec.people import gains, ranks, read_folder, read_record
from mclrec.registry import MODELS, model_class
from mclrec.runner import (_asked, claimed, fulfils, in_words, list_experiment, list_experiments, noisy, of_group, place, revision, run_experiment, run_one,
                           seconds_left)
from mclrec.toy import toy

ROOT = Path(__file__).resolve().parents[1]
QUICK = {"BPR": dict(model="bpr", epochs=2, d=8), "popularity": dict(model="popularity", noise=(0.15,))}


@pytest.fixture
def trial():
    "Declares a small experiment for a test."
    def declare(**arms): EXPERIMENTS["trial"] = Plan("Does it work?", arms, ("toy",), {"the rest": "order"})
    yield declare
    EXPERIMENTS.pop("trial", None)


# What is declared

@pytest.mark.parametrize("name", EXPERIMENTS)
def test_rows_say_what_the_models_know(name):
    plan = EXPERIMENTS[name]
    assert plan.question.endswith("?") and plan.data and (plan.arms or plan.elsewhere)
    assert all((ROOT / "benchmarks" / f"{by}.py").exists() for by in plan.elsewhere.values())
    for row in plan.arms.values():
        kind = model_class(row["model"])
        assert row.get("preset") in (None, *kind.PRESETS)
        settings = {key: value for key, value in row.items() if key not in (*HOW, *OWN, "model", "preset")}
        assert check_settings(kind, settings) == settings and all(type(a) is type(settings[k]) for k, a in check_settings(kind, settings).items())
        assert row.get("group") in (None, *GROUPS) and set(row.get("noise", ())) <= {*NOISE}


def test_words_of_a_row_mean_one_thing():
    for name in MODELS: assert not {*HOW, *OWN, "model", "preset"} & model_class(name).DEFAULTS.keys()


def test_toy_is_trained_as_by_the_command():
    assert {key: value for key, value in TOY.items() if key != "epochs"} == cli.FOR_TOY and TOY["epochs"] == 10


def test_table_3_has_all_models():
    assert {row["model"] for row in FIELD.values()} == MODELS.keys() - {"recipe"}        # which is another objective


def test_what_means_the_same_is_one_run():
    runs = {run.name: run.asked for run in runs_of("all").values()}
    asked = [json.dumps(one, sort_keys=True) for one in runs.values()]
    assert len({json.dumps(json.loads(one, parse_int=float), sort_keys=True) for one in asked}) == len(runs)        # 0 and 0.0 are one setting
    official = {key: value for key, value in model_class("mclrec").DEFAULTS.items() if value is not None}
    assert run_of(dict(model="mclrec", preset="official", **official, batch_size=256), "beauty", 1).name == run_of(dict(model="mclrec"), "beauty", 1).name


def test_rates_are_multiplied_and_go_with_the_batch():
    fit = lambda data="beauty", **row: run_of(dict(model="mclrec", **row), data, 1).asked["fit"]
    assert fit(rate=2)["lr"] == .002 and fit("toy", rate=.5)["lr_aug"] == .0025 and fit(lr=.1)["lr"] == .1
    assert fit(batch_size=64, scaled=True)["lr"] == .00025 and fit("toy", batch_size=64, scaled=True)["lr"] == .0025 and fit(batch_size=64)["lr"] == .001
    assert fit(lr_aug=1e-12) == fit() | {"lr_aug": 1e-12}


def test_dropout_of_the_toy_shop_goes_to_models_that_have_it():
    assert run_of(FIELD["BPR"], "toy", 1).asked["settings"] == {} and run_of(FIELD["GRU4Rec"], "toy", 1).asked["settings"] == {"dropout": 0.2}
    assert list(runs_of("table3", seeds=[7]))[0] == ("table3", "MCLRec", 7) and {seed for *_, seed in runs_of("x3")} == {*SEEDS}


# The data of a run

def test_noise_is_strange_and_never_in_the_place_of_what_is_asked():
    data, other = toy(), noisy(toy(), .3)
    for u in range(data.n_users):
        old, new = data[u].tolist(), other[u].tolist()
        assert new[0] == old[0] and new[-1] == old[-1]
        rest = iter(new)
        assert all(item in rest for item in old)                                                  # in the same order, others between
        assert not set(new) - set(old) & set(old) and sum(item in set(old) for item in new) == len(old)
    share = (len(other.items) - len(data.items)) / (len(data.items) - data.n_users)
    assert abs(share - .3) < 5 * (.21 / (len(data.items) - data.n_users))**.5
    whole = from_rows([1] * 4 + [2] * 3, ["a", "b", "c", "a", "a", "b", "a"], core=0)                   # who has everything cannot be given what is strange
    assert noisy(whole, 1)[0].tolist() == whole[0].tolist() and noisy(whole, 1).lengths[1] == 5
    assert (noisy(data, .3).items == other.items).all() and (noisy(data, 0).items == data.items).all() and (noisy(data, 0).offsets == data.offsets).all()


def test_groups_are_everybody_once():
    data, parts = toy(), [of_group(toy(), *limits) for limits in GROUPS.values()]
    assert sum(p.n_users for p in parts) == data.n_users and sum(len(p.items) for p in parts) == len(data.items)
    for part, (least, most) in zip(parts, GROUPS.values()):
        assert least <= part.lengths.min() and part.lengths.max() <= most and part.n_items == data.n_items
        assert all((part[k] == data[data.user_number(part.user_ids[k])]).all() for k in range(0, part.n_users, 50))
    with pytest.raises(InputError, match="nobody has 1 to 2 actions"): of_group(data, 1, 2)


# Once

def test_a_claim_is_one_holders_and_ends_with_the_block(tmp_path):
    path = tmp_path / "deep" / "x.claim"
    with claimed(path) as first, claimed(path) as second: assert (first, second) == (True, False)
    with claimed(path) as third: assert third
    assert os.name == "nt" or not path.exists()


def test_a_claim_that_was_removed_is_none(tmp_path, monkeypatch):
    "Somebody ends and removes the file between our opening it and our lock."
    path, plain = tmp_path / "x.claim", os.open
    def opened(name, *how):
        file = plain(name, *how)
        Path(name).unlink()
        return file
    monkeypatch.setattr(os, "open", opened)
    with claimed(path) as mine: assert not mine


def test_a_claim_ends_with_the_process_that_is_killed(tmp_path):
    path = tmp_path / "x.claim"
    code = f"import time; from pathlib import Path; from mclrec.runner import claimed\nwith claimed(Path({str(path)!r})) as mine: print(mine, flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}) as child:
        assert child.stdout.readline() == "True\n"
        with claimed(path) as mine: assert not mine
        child.send_signal(signal.SIGKILL)
        child.wait()
    with claimed(path) as mine: assert mine


def test_an_experiment_runs_what_is_missing_and_nothing_else(trial, tmp_path):
    trial(**QUICK)
    found = run_experiment("trial", seeds=[1, 2], out=tmp_path)
    assert [o.state for o in found.values()] == ["made"] * 4 and not list((tmp_path / ".work").glob("[!.]*"))
    before = {path: path.read_bytes() for path in tmp_path.glob("toy/*.json")}
    assert len(before) == 4 and run_experiment("trial", seeds=[1, 2], out=tmp_path) == {}
    next(iter(before)).unlink()
    assert len(run_experiment("trial", seeds=[1, 2, 3], out=tmp_path)) == 3
    assert all(path.read_bytes() == content for path, content in list(before.items())[1:])


def test_a_record_says_what_was_run(trial, tmp_path):
    trial(**QUICK)
    found = {o.run.asked["model"]: read_record(tmp_path / "toy" / f"{o.run.name}.json") for o in run_experiment("trial", seeds=[1], out=tmp_path).values()}
    bpr, popular = found["bpr"], found["popularity"]
    assert bpr["settings"]["d"] == 8 and bpr["fit"]["lr"] == .005 and bpr["fit"]["seed"] == 1 and len(bpr["valid"]["MRR@10"]) == 2 and bpr["revision"] == revision()
    assert list(bpr["ranks"]) == ["test"] and list(popular["ranks"]) == ["test", "noise 0.15"]
    from mclrec import evaluate, fit
    model = model_class("bpr")(300, seed=1, d=8)
    records = fit(model, toy(), 2, 1, 128, .005, progress=False)
    for out in (False, True):                                                    # the same, trained by hand: the same code, so the same ranks
        by_hand = evaluate(model, toy(), exclude_seen=out)
        assert bpr["test"][f"seen_{'out' if out else 'in'}"] == {name: round(value, 5) for name, value in by_hand.items()}
        assert abs(gains(ranks(bpr, seen="out" if out else "in")).mean() - by_hand["NDCG@10"]) < 1e-9
    assert bpr["valid"]["NDCG@10"] == [round(r["valid"]["NDCG@10"], 5) for r in records]
    assert bpr["best_epoch"] == 1 + int(np.argmax([r["valid"]["NDCG@10"] for r in records]))


def test_a_run_that_fails_is_recorded_and_stops_nobody(trial, tmp_path, caplog):
    trial(fast=dict(model="bpr", epochs=1, lr=1e30), wrong=dict(model="bpr", no_such=1), good=QUICK["BPR"])
    found = run_experiment("trial", seeds=[1], out=tmp_path)
    assert [o.state for o in found.values()] == ["failed", "failed", "made"]
    assert re.search(r"the term \w+ is (nan|inf)", list(found.values())[0].record["failed"]) and "no_such" in list(found.values())[1].record["failed"]
    assert str(tmp_path) not in json.dumps([o.record for o in found.values()]) and "2 runs failed" in caplog.text
    assert run_experiment("trial", seeds=[1], out=tmp_path) == {}                # nor is it tried again
    said = list_experiment("trial", seeds=[1], out=tmp_path)
    assert re.search(r"fast +1 of 1 +1 +failed", said) and "the rest: benchmarks/order.py" in said and said.endswith("Nothing is missing.")


def test_a_full_disk_ends_the_command(trial, tmp_path, monkeypatch):
    trial(good=QUICK["BPR"])
    monkeypatch.setattr("mclrec.runner.make_record", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError): run_experiment("trial", seeds=[1], out=tmp_path)
    assert not list(tmp_path.glob("toy/*"))


def test_a_disk_that_is_full_for_a_moment_costs_one_epoch(trial, tmp_path, monkeypatch):
    "The epochs that are kept stay, begun or gone on with, and no record says that the run failed."
    trial(good=dict(model="bpr", epochs=4, d=8))
    import mclrec.files as files
    import mclrec.training as training
    trained, original, replace = [], training.one_epoch, os.replace
    monkeypatch.setattr(training, "one_epoch", lambda trainer, *rest: trained.append(trainer.epoch + 1) or original(trainer, *rest))
    def full(*names):
        if str(names[1]).endswith("state.safetensors") and trained[-1] in wrong: raise OSError(28, "No space left on device")
        replace(*names)
    monkeypatch.setattr(files.os, "replace", full)
    for wrong in ([2], [3]):
        with pytest.raises(InputError, match="No space left"): run_experiment("trial", seeds=[1], out=tmp_path)
    wrong = []
    (outcome,) = run_experiment("trial", seeds=[1], out=tmp_path).values()
    assert outcome.state == "made" and trained == [1, 2, 2, 3, 3, 4]


def test_what_somebody_else_is_at_is_left_alone(trial, tmp_path):
    trial(**QUICK)
    (of_bpr, other) = runs_of("trial", seeds=[1]).values()
    with claimed(tmp_path / ".work" / f"{of_bpr.name}.claim"):
        found = run_experiment("trial", seeds=[1], out=tmp_path)
    assert found[of_bpr.name].state == "elsewhere" and found[other.name].state == "made"
    assert run_one(other, "toy", tmp_path).state == "there" and run_one(of_bpr, "toy", tmp_path).state == "made"


def test_noise_that_is_asked_for_later_is_judged_later(trial, tmp_path):
    trial(few=dict(model="popularity"))
    (first,) = run_experiment("trial", seeds=[1], out=tmp_path).values()
    trial(few=dict(model="popularity"), noise=dict(model="popularity", noise=NOISE))
    (again,) = run_experiment("trial", seeds=[1], out=tmp_path).values()
    assert again.run.name == first.run.name and again.record["test"] == first.record["test"] and len(again.record["ranks"]) == 1 + len(NOISE)
    assert not fulfils(first.record, again.run) and fulfils(again.record, first.run) and not fulfils(None, first.run)


def test_stages_are_taken_as_often_as_the_row_says(trial, tmp_path):
    trial(once=dict(model="fmc", d=4, epochs=1), twice=dict(model="fmc", d=4, epochs=1, times=2))
    once, twice = (o.record["valid"]["NDCG@10"] for o in run_experiment("trial", seeds=[1], out=tmp_path).values())
    assert once != twice and Run({**run_of(FIELD["last item"], "toy", 1).asked, "times": 2}).name == run_of(FIELD["last item"] | {"times": 2}, "toy", 1).name


def test_a_folder_of_another_version_is_begun_again(trial, tmp_path):
    trial(good=QUICK["BPR"])
    (run,) = runs_of("trial", seeds=[1]).values()
    work = tmp_path / ".work" / run.name
    work.mkdir(parents=True)
    (work / "config.json").write_text('{"of": "another version"}')
    assert run_experiment("trial", seeds=[1], out=tmp_path)[run.name].state == "made" and not work.exists()


KILLED = """
import sys; from mclrec.arms import *; from mclrec.runner import *
EXPERIMENTS["trial"] = Plan("?", {f"d {d}": dict(model="bpr", d=d, epochs=6, patience=6) for d in (4, 8)}, ("toy",))
run_experiment("trial", seeds=[1], jobs=int(sys.argv[2]), out=sys.argv[1])
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_command_that_is_killed_goes_on_where_it_was(trial, tmp_path, jobs):
    "In one process, and in two of joblib's, which are killed with it."
    def start(): return subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), str(jobs)], start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    child = start()
    epochs = lambda: {p.parent.name: p.read_text().splitlines() for p in tmp_path.glob(".work/*/metrics.jsonl")}
    while not any(len(lines) >= 2 for lines in epochs().values()): assert child.poll() is None; time.sleep(.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    begun, made = epochs(), {path: path.read_bytes() for path in tmp_path.glob("toy/*.json")}
    assert start().wait() == 0
    kept = read_folder(tmp_path / "toy")
    assert len(kept) == 2 and all(len(record["valid"]["NDCG@10"]) == 6 for record in kept.values()) and all(p.read_bytes() == b for p, b in made.items())
    for name, lines in begun.items():                                            # not begun again: the seconds of the epochs before the kill count too
        assert kept[name]["seconds"] >= sum(json.loads(line)["seconds"] for line in lines if line.endswith("}")) - .1
    assert not list(tmp_path.glob(".work/*/"))


def test_two_processes_make_what_one_makes(trial, tmp_path):
    trial(**{f"d {d}": dict(model="bpr", d=d, epochs=2) for d in (4, 8)})
    alone, together = (run_experiment("trial", seeds=[1], jobs=jobs, out=tmp_path / str(jobs)) for jobs in (1, 2))
    same = ("run", "settings", "fit", "data", "valid", "test", "ranks", "best_epoch", "revision")
    assert alone.keys() == together.keys()
    for name, one in alone.items(): assert {k: one.record[k] for k in same} == {k: together[name].record[k] for k in same}


# What cannot be

@pytest.mark.parametrize("how, says", [
    (dict(name="table5"), "experiment 'table5' is unknown: choose one of table3, .*, or all"), (dict(jobs=0), "jobs=0 would run nothing"),
    (dict(jobs=1.5), "jobs=1.5 must be a whole number"), (dict(seeds=[-1]), "seed=-1 must be"), (dict(backend="nowhere"), "backend nowhere cannot be used")])
def test_what_cannot_be_run_is_said(trial, tmp_path, how, says):
    trial(**QUICK)
    with pytest.raises(InputError, match=says): run_experiment(**{"name": "trial", "out": tmp_path, "seeds": [1], **how})
    assert not list(tmp_path.glob("toy/*"))


def test_a_damaged_record_ends_it_before_anything_runs(trial, tmp_path):
    trial(**QUICK)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "x.json").write_text("{")
    with pytest.raises(InputError, match="x.json: cannot be read as JSON"): run_experiment("trial", seeds=[1], out=tmp_path)


def test_records_of_other_data_by_the_same_name_are_not_mixed(trial, tmp_path):
    trial(popularity=QUICK["popularity"])
    (tmp_path / "toy.txt").write_text("\n".join(f"{u} " + " ".join(str((u + k) % 7) for k in range(6)) for u in range(9)))
    run_experiment("trial", seeds=[1], out=tmp_path / "out")
    with pytest.raises(InputError, match="holds records of other data that is called toy"): run_experiment("trial", str(tmp_path / "toy.txt"), [1], out=tmp_path / "out")


def test_time_left_comes_from_the_records_that_are_most_alike():
    bpr, duo = run_of(FIELD["BPR"], "toy", 1), run_of(FIELD["DuoRec"], "toy", 1)
    def of(model, seconds, way=bpr.asked["fit"], **more): return {"run": {"model": model, "fit": way}, "seconds": seconds, "versions": {"threads": 2}, **more}
    ours = [of("bpr", 2), of("bpr", 900, cpu_seconds=8), {"failed": "x"}]                                  # 2 and 4 seconds
    longer = of("bpr", 50, way={"epochs": 99}), of("duorec", 80, way={"epochs": 99})
    assert seconds_left([bpr, duo], ours) == (6, 1) and seconds_left([bpr], []) == (None, 1)
    assert seconds_left([bpr, duo], [*ours, *longer]) == (6, 1)                                            # another model, but trained alike
    assert seconds_left([bpr, duo], longer) == (130, 2)                                                    # the same model, trained otherwise
    assert seconds_left([bpr], longer[1:]) == (80, 1)
    assert [in_words(s) for s in (0, 90, 600, 9000)] == ["a second or two", "about 90 seconds", "about 10 minutes", "about 2 hours"]


def test_without_joblib_one_job_runs_and_two_are_refused_by_name(trial, tmp_path, monkeypatch):
    trial(popularity=QUICK["popularity"])
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert run_experiment("trial", seeds=[1], out=tmp_path)
    with pytest.raises(ImportError) as e: run_experiment("trial", seeds=[2], jobs=2, out=tmp_path)
    assert e.value.name == "joblib"


# The command

def test_the_command_runs_and_lists(trial, tmp_path, capsys):
    trial(**QUICK)
    assert cli.main(["experiment", "trial", "--seeds", "1", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"BPR +1 of 1 +0?\.?\d", out) and "Nothing is missing." in out
    assert cli.main(["experiment", "--out", str(tmp_path)]) == 0 and "Which of thirteen models ranks best?" in capsys.readouterr().out
    assert cli.main(["experiment", "trial", "--list", "--seeds", "1", "2", "--out", str(tmp_path)]) == 0 and "2 runs are missing" in capsys.readouterr().out
    assert cli.main(["experiment", "table5", "--out", str(tmp_path)]) == 2 and "table5" in capsys.readouterr().err


def test_data_of_any_kind_is_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _asked("x1", "toy", [1], tmp_path)[1] == "toy"
    rows = [(u, i, t) for t, (u, i) in enumerate((u, (3 * u + k) % 20) for u in range(20) for k in range(6))]
    pd.DataFrame(rows, columns=["user", "item", "time"]).to_parquet("log.parquet")
    prepare("log.parquet", "prepared")
    for what in ("log.parquet", "prepared"): assert _asked("x1", what, [1], tmp_path)[1] == str(tmp_path / what)


def test_records_go_to_the_clone_or_here(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "nbs")
    assert place() == ROOT / "results" / "experiments"
    monkeypatch.chdir(tmp_path)
    assert place() == Path("experiments") and place("x") == Path("x") and "table3" in list_experiments(out="x")
