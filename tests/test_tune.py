"""A search over settings: on validation items only, stopped and gone on with, shared by processes, counted to the last try."""
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import mclrec.tune as module
from mclrec.cli import main
from mclrec.data import InputError, from_rows
from mclrec.model import Popularity
from mclrec.models.sasrec import SASRec
from mclrec.runs import load_run, read_config
from mclrec.training import fit
from mclrec.tune import SPACE, best_run, finished, open_study, space_of, tune

SHOP = from_rows([u for u in range(40) for _ in range(7)], [3 * u % 20 + k for u in range(40) for k in range(7)], core=0, name="shop")
TINY = dict(d=4, n=6, layers=1, heads=1, inner=4)
HOW = dict(epochs=1, batch_size=64)
make = partial(SASRec, SHOP.n_items, **TINY)


def tried(path):
    return [(t.number, t.params, t.value) for t in open_study(path, {}).trials]


def test_the_space_of_a_model_is_what_it_has():
    assert space_of(SASRec(20)).keys() == {"lr", "batch_size", "dropout", "attention_dropout"}
    assert space_of(SASRec(20), ["lr", "batch_size"]).keys() == {"dropout", "attention_dropout"}
    with pytest.raises(InputError, match="popularity has nothing left to search"):
        space_of(Popularity(20))
    with pytest.raises(InputError, match="sasrec has nothing left"):
        space_of(SASRec(20), SPACE)


def test_stopped_and_gone_on_with_is_as_if_nothing_had_been(tmp_path, monkeypatch):
    "The same tries: what the sampler draws hangs on how many there are before, and a killed one is made again."
    tune(make, SHOP, tmp_path / "whole", 4, **HOW)

    def killed(*_, **__):
        raise KeyboardInterrupt
    tune(make, SHOP, tmp_path / "study", 2, **HOW)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "fit", killed)
        tune(make, SHOP, tmp_path / "study", 4, **HOW)
    assert [t.state.name for t in open_study(tmp_path / "study", {}).trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    found = tune(make, SHOP, tmp_path / "study", 4, **HOW)
    assert (found.tries, found.failed, found.open) == (4, 0, 0) and len(finished(open_study(tmp_path / "study", {}))) == 4
    whole, study = ([numbered[1:] for numbered in tried(tmp_path / name)] for name in ("whole", "study"))
    assert study[:2] + study[3:] == whole and study[2] == (whole[2][0], None)  # number 2 was killed; number 3 is that again
    again = tune(make, SHOP, tmp_path / "study", 4, **HOW)                    # nothing is left to do
    assert again == found and len(tried(tmp_path / "study")) == 5


def test_who_makes_a_killed_try_again_takes_its_place(tmp_path):
    study, space = open_study(tmp_path / "study", {}), space_of(make())
    def next_one(): return module.next_try(study, tmp_path / "study", 4, 2020, space)
    with next_one() as first:
        with next_one() as killed: pass                                       # its lock is gone, and it was not told
        with next_one() as again, next_one() as third:
            assert again.params == killed.params != first.params and third.params not in (again.params, first.params)


@pytest.mark.parametrize("place", ["file/study", "file/below/study"])
def test_a_study_that_cannot_be_kept_is_said(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"): tune(make, SHOP, tmp_path / place, 1, **HOW)


def test_the_value_is_the_best_epoch_on_validation_and_the_run_says_of_how_many(tmp_path, monkeypatch):
    import mclrec.training as training
    asked = []
    original = training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda model, data, split, out: asked.append(split) or original(model, data, split, out))
    found = tune(make, SHOP, tmp_path / "study", 3, **HOW)
    model, run = best_run(found, make, SHOP, tmp_path / "study", **HOW)
    assert {*asked} == {"valid"}
    assert found.value == max(value for _, _, value in tried(tmp_path / "study"))
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert max(r["valid"]["NDCG@10"] for r in records) == found.value and run.name == "study-best-of-3"
    assert read_config(run)["tuned"] == {"tries": 3, "failed": 0, "value": found.value, "settings": found.settings, "study": "study"}
    assert load_run(run).settings == model.settings and read_config(run)["fit"]["lr"] == found.settings["lr"]
    best_run(found, make, SHOP, tmp_path / "study", **HOW)                    # is there already, and stays


def test_a_try_that_fails_is_a_try(tmp_path):
    with pytest.raises(InputError, match="none of 2 tries came to an end; the last: epoch 1.*is nan"):
        tune(make, SHOP, tmp_path / "study", 2, lr=1e30, **HOW)


def test_another_search_is_refused(tmp_path):
    tune(make, SHOP, tmp_path / "study", 1, **HOW)
    with pytest.raises(InputError, match="was begun with another seed"):
        tune(make, SHOP, tmp_path / "study", 2, seed=7, **HOW)
    with pytest.raises(InputError, match="was begun with another settings"):
        tune(partial(make, d=8), SHOP, tmp_path / "study", 2, **HOW)
    (tmp_path / "text").write_text("user,item\n1,2\n")
    with pytest.raises(InputError, match="text: is no journal of a study"):
        tune(make, SHOP, tmp_path / "text", 1, **HOW)


def test_two_processes_at_once_make_as_many_tries_as_were_asked_for(tmp_path):
    (tmp_path / "shop.txt").write_text("".join(f"u{u} {' '.join(f'i{i}' for i in SHOP[u])}\n" for u in range(SHOP.n_users)))
    settings = [f"--set={key}={value}" for key, value in {**TINY, "batch_size": 64}.items()]
    command = ["tune", str(tmp_path / "shop.txt"), "--core", "0", "--trials", "7", "--epochs", "1", "--model", "sasrec", *settings]
    both = [subprocess.Popen([sys.executable, "-m", "mclrec", *command, "--study", "s.study", "--json"], cwd=tmp_path, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    trials = open_study(tmp_path / "s.study", {}).trials
    assert len(trials) == 7 and all(t.value is not None for t in trials) and len({json.dumps(t.params) for t in trials}) == 7
    answers = [json.loads(out) for out, _ in said]
    last = max(answers, key=lambda answer: answer["tries"])
    assert last["tries"] == 7 and last["run"] == "s-best-of-7" and (tmp_path / "s-best-of-7" / "config.json").exists()
    assert len(last["seen_out"]) == 9 and "try 1 of 7" in said[0][1] + said[1][1]


def test_a_try_that_ends_while_another_process_looks_at_it_keeps_its_value(tmp_path, monkeypatch):
    here, there = (open_study(tmp_path / "s.study", {}) for _ in range(2))
    trial = there.ask()

    @contextmanager
    def claimed(path):
        there.tell(trial, 0.5)                     # the other process ends, and its lock is free
        yield True
    monkeypatch.setattr(module, "claimed", claimed)
    module._drop_killed(here, tmp_path / "s.study")
    assert [t.value for t in here.trials] == [0.5]


def test_the_command_says_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "toy", "--trials", "1", "--epochs", "1", "--model", "sasrec", *[f"--set={k}={v}" for k, v in TINY.items()]]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The best of 1 tries (0 failed) by validation, ") and "Test, seen items out:" in said
    assert (tmp_path / "runs" / "toy-sasrec-best-of-1" / "config.json").exists()
    assert main(["tune", "toy", "--trials", "0"]) == 2 and "trials=0 must be a whole number of at least 1" in capsys.readouterr().err


def test_every_epoch_is_heard_of_once_and_what_is_raised_ends_it(tmp_path):
    heard, model = [], make()
    records = fit(model, SHOP, epochs=3, batch_size=64, out=tmp_path / "run", progress=False, on_epoch=heard.append)
    assert heard == records

    def enough(record):
        if record["epoch"] == 4: raise StopIteration("enough")
    with pytest.raises(StopIteration):
        fit(make(), SHOP, epochs=6, batch_size=64, out=tmp_path / "run", resume=True, progress=False, on_epoch=enough)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("content", ['[{"user": "u"}]', "hello", '{"op_code": 99}\n', "5\n"])
def test_a_file_of_somebody_else_stays_as_it_is(content, tmp_path):
    (tmp_path / "mine").write_text(content)
    with pytest.raises(InputError, match="mine: is no journal of a study"):
        tune(make, SHOP, tmp_path / "mine", 1, **HOW)
    assert (tmp_path / "mine").read_text() == content


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("nowhere"), lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_no_journal(put, tmp_path):
    put(tmp_path / "study")
    with pytest.raises(InputError, match="study: is no journal of a study"):
        tune(make, SHOP, tmp_path / "study", 1, **HOW)
    assert os.path.lexists(tmp_path / "study") and not (tmp_path / "study").is_file()


def test_a_journal_that_a_kill_cut_short_goes_on(tmp_path):
    tune(make, SHOP, tmp_path / "study", 1, **HOW)
    whole = (tmp_path / "study").read_bytes()
    (tmp_path / "study").write_bytes(whole + whole.splitlines()[-1][:-5])
    assert tune(make, SHOP, tmp_path / "study", 2, **HOW).tries == 2
    assert (tmp_path / "study").read_bytes().startswith(whole)


@pytest.mark.parametrize("how", [dict(metric="foo"), dict(lr="abc"), dict(epochs=0), dict(precision="low"), dict(compile="no")])
def test_what_no_training_can_be_told_begins_no_study(how, tmp_path):
    with pytest.raises(InputError, match=next(iter(how))):
        tune(make, SHOP, tmp_path / "study", 2, **HOW | how)
    assert not (tmp_path / "study").exists()
