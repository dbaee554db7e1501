"""A model that goes on with a log that has grown: what it knew stays, to the last bit, whatever the model."""
import json

import numpy as np
import pytest
import torch

from mclrec.checks import InputError
from mclrec.data import from_rows
from mclrec.growing import _places, grown
from mclrec.model import Popularity, recommend
from mclrec.models.sasrec import SASRec
from mclrec.registry import MODELS, model_class
from mclrec.training import fit

SMALL = dict(d=8, n=10, layers=1, heads=1, inner=16)


def log(people, things, seed=1, shuffled=False):
    random = np.random.default_rng(seed)
    rows = [(f"u{u}", f"i{i}") for u in range(people) for i in random.permutation(things)[:6]]
    if shuffled: rows = [rows[k] for k in sorted(range(len(rows)), key=lambda k: (-int(rows[k][0][1:]), k))]
    return from_rows(*zip(*rows), core=0, name="grown" if shuffled else "before")


def test_a_number_and_its_text_are_two_ids():
    old, now = _places(["1", 1, 2], ["2", 1, "1", "3"])
    assert old.tolist() == [2, 1, 0] and now.tolist() == [0, 1, 2]


BEFORE, AFTER = log(12, 9), log(15, 13, seed=2, shuffled=True)


def settings_of(kind):
    return {key: value for key, value in SMALL.items() if key in kind.DEFAULTS}


def begun(name):
    kind = model_class(name)
    model = kind(BEFORE.n_items, seed=3, **settings_of(kind))
    fit(model, BEFORE, epochs=1, progress=False)
    return model


def scores(model, history, items):
    found = dict(recommend(model, histories=[history], k=model.n_items, exclude_seen=False)[0])
    return [found[item] for item in items]


@pytest.mark.parametrize("name", MODELS)
def test_a_grown_model_answers_as_before(name):
    model = begun(name)
    larger, fresh = grown(model, AFTER), type(model)(AFTER.n_items, model.preset, 3, **model.settings)
    assert larger.vocabulary == AFTER.item_ids and larger.n_items == AFTER.n_items > BEFORE.n_items and AFTER.item_ids != sorted(AFTER.item_ids)
    if model.knows_users:
        mine, theirs = model.item_vectors(), larger.item_vectors()
        for k, item in enumerate(BEFORE.item_ids): assert torch.equal(mine[k], theirs[AFTER.item_ids.index(item)])
        assert larger.user_vocabulary == AFTER.user_ids and larger.grown_from["new_users"] == 3
        for k, user in enumerate(BEFORE.user_ids): assert torch.equal(model.P.weight[k], larger.P.weight[AFTER.user_ids.index(user)])
    elif name == "recipe":  # its scores may change: whose neighbour an item is, is read from the log anew
        for k, item in enumerate(BEFORE.item_ids, 1):
            assert torch.equal(model.encoder.M.weight[k], larger.encoder.M.weight[AFTER.item_ids.index(item) + 1])
    elif name == "popularity":  # counted anew in the log it has now
        fresh.prepare(AFTER)
        assert torch.equal(larger.counts, fresh.counts)
    else:  # the same numbers, added in another order
        assert scores(larger, BEFORE.item_ids[:4], BEFORE.item_ids) == pytest.approx(scores(model, BEFORE.item_ids[:4], BEFORE.item_ids), rel=1e-4, abs=1e-5)
    fresh.prepare(AFTER)
    if larger.stages() and name != "recipe":
        for item in set(AFTER.item_ids) - set(BEFORE.item_ids):
            assert torch.equal(larger.item_vectors()[AFTER.item_ids.index(item)], fresh.item_vectors()[AFTER.item_ids.index(item)])
    fit(larger, AFTER, epochs=1, progress=False)


def test_what_cannot_grow_says_so():
    with pytest.raises(InputError, match="knows no items yet"): grown(SASRec(9, **SMALL), AFTER)
    other = from_rows(["a"] * 4, list("wxyz"), core=0, name="other")
    model = Popularity(BEFORE.n_items)
    model.prepare(BEFORE)
    with pytest.raises(InputError, match="other: the model knows none of its 4 items"): grown(model, other)


def test_items_that_are_gone_are_left_behind(caplog):
    model = SASRec(AFTER.n_items, **SMALL)
    model.prepare(AFTER)
    with caplog.at_level("INFO", "mclrec"): smaller = grown(model, BEFORE)
    assert smaller.grown_from["gone_items"] == 4 and smaller.grown_from["new_items"] == 0 and "9 items, 0 new items, 4 gone items" in caplog.text


def write(path, data):
    path.write_text("user,item\n" + "".join(f"{data.user_ids[u]},{data.item_ids[i - 1]}\n" for u in range(data.n_users) for i in data[u]))
    return str(path)


def test_train_from_a_run(tmp_path, capsys, caplog):
    from mclrec.cli import main
    june, july, run = write(tmp_path / "june.csv", BEFORE), write(tmp_path / "july.csv", AFTER), str(tmp_path / "june")
    how = ["--core", "0", "--epochs", "1"]
    small = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    assert main(["train", june, "--out", run, "--model", "sasrec", *small, *how]) == 0
    again = ["train", july, "--from", run, "--out", str(tmp_path / "july"), *how]
    with caplog.at_level("INFO", "mclrec"): assert main(again) == 0
    assert "goes on from a trained model; 9 items, 4 new items, 0 gone items" in caplog.text
    config = json.loads((tmp_path / "july" / "config.json").read_text())
    assert config["settings"]["d"] == 8 and config["start"]["new_items"] == 4 and main(["evaluate", str(tmp_path / "july"), july, "--core", "0"]) == 0
    assert main([*again[:-1], "2", "--resume"]) == 0
    assert main(["train", july, "--model", "sasrec", *small, "--out", str(tmp_path / "july"), "--core", "0", "--epochs", "3", "--resume"]) == 2
    assert "another start" in capsys.readouterr().err
    for other in (["--set", "d=9"], ["--model", "fmc"]):
        assert main([*again[:-4], "--out", str(tmp_path / "no"), *other]) == 2
        assert "--from keeps the model and its settings" in capsys.readouterr().err
