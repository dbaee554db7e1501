"""What is saved comes back as it was, and nothing that is damaged, foreign or half-written is taken for a run."""
import json
import pickle
import resource
import shutil
import signal

import pandas as pd
import pytest
import torch

import mclrec
from mclrec.data import InputError, from_rows
from mclrec.meta import MCLRec
from mclrec.model import Popularity, evaluate, recommend
from mclrec.models.sasrec import SASRec
from mclrec.runs import MODELS, fingerprint, load_official, load_run, model_class, read_json, read_tensors, save, write_atomically
from mclrec.training import fit

SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)


def shop_of(name="shop", items=lambda i: f"i{i}"):
    return from_rows([u for u in range(30) for _ in range(6)], [items(3 * u % 20 + k) for u in range(30) for k in range(6)], core=0, name=name)


SHOP = shop_of()


def says(*parts, call, args=()):
    with pytest.raises(InputError) as e:
        call(*args)
    message = str(e.value)
    assert all(str(part) in message for part in parts), message
    assert message.endswith(".") and "\n" not in message, message


@pytest.fixture
def run(tmp_path):
    "A saved model: its folder."
    model = MCLRec(SHOP.n_items, **SMALL)
    model.prepare(SHOP)
    save(model, tmp_path / "run")
    return tmp_path / "run"


# ---- there and back

@pytest.mark.parametrize("make", [
    lambda n: MCLRec(n, **SMALL), lambda n: MCLRec(n, "paper", 7, share=True, lam=.5, **SMALL), lambda n: SASRec(n, **{**SMALL, "dropout": 0.}), lambda n: Popularity(n)],
    ids=["official", "paper", "sasrec", "popularity"])
def test_load_of_save_recommends_as_before(make, tmp_path):
    model = make(SHOP.n_items)
    mclrec.fit(model, SHOP, epochs=1, progress=False)
    mclrec.save(model, tmp_path / "run")
    again = mclrec.load_run(str(tmp_path / "run"))
    assert type(again) is type(model) and not again.training
    assert (again.settings, again.preset, again.seed, again.vocabulary) == (model.settings, model.preset, model.seed, model.vocabulary)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert recommend(again, SHOP, users=range(30)) == recommend(model, SHOP, users=range(30))
    assert evaluate(again, SHOP, exclude_seen=True) == evaluate(model, SHOP, exclude_seen=True)
    save(again, tmp_path / "copy")
    assert (tmp_path / "copy" / "config.json").read_text() == (tmp_path / "run" / "config.json").read_text()


def test_what_fit_keeps_is_what_it_leaves(tmp_path):
    model = SASRec(SHOP.n_items, **SMALL)
    mclrec.fit(model, SHOP, epochs=2, out=tmp_path / "run", progress=False)
    assert sorted(f.name for f in (tmp_path / "run").iterdir()) == ["card.md", "config.json", "metrics.jsonl", "model.safetensors", "state.safetensors", "vocabulary.json"]
    assert recommend(load_run(tmp_path / "run"), SHOP, users=[1, 2]) == recommend(model, SHOP, users=[1, 2])
    first, second = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert set(first) >= {"loss", "rec", "valid", "seconds"} and len(first["valid"]) == 9


@pytest.mark.parametrize("items", [lambda i: 100 + i, lambda i: f"ä {i}", lambda i: i + .5, lambda i: pd.Timestamp(2020, 1, 1 + i), lambda i: (i, "x")],
                         ids=["numbers", "text", "fractions", "dates", "tuples"])
def test_ids_of_every_kind_survive(items, tmp_path):
    data = shop_of(items=items)
    model = SASRec(data.n_items, **SMALL)
    model.prepare(data)
    save(model, tmp_path / "run")
    again, expected = load_run(tmp_path / "run"), recommend(model, data, users=[4])[0]
    assert [(str(item), score) for item, score in recommend(again, data, users=[4])[0]] == [(str(item), score) for item, score in expected]
    assert evaluate(again, data) == evaluate(model, data)
    if isinstance(items(1), (int, str, float)):
        assert again.vocabulary == data.item_ids


def test_a_run_is_judged_on_data_of_other_people(run):
    model = load_run(run)
    strangers = from_rows([9] * 4 + [8] * 3, ["i1", "i2", "i3", "i4", "i7", "new", "i1"], core=0)
    assert 0 <= evaluate(model, strangers)["HR@20"] <= 1
    assert len(recommend(model, strangers, users=[8], k=3)[0]) == 3


def test_untrained_models_and_training_runs_are_not_saved_over(tmp_path):
    says("knows no items yet", call=save, args=(SASRec(5, **SMALL), tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    model = SASRec(SHOP.n_items, **SMALL)
    mclrec.fit(model, SHOP, epochs=1, out=tmp_path / "run", progress=False)
    says("holds a training run", call=save, args=(model, tmp_path / "run"))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name, text in {"config.json": '{"model_type": "bert"}', "model.safetensors": "of another program"}.items(): (foreign / name).write_text(text)
    says("or other files", call=save, args=(model, foreign))
    assert (foreign / "model.safetensors").read_text() == "of another program"
    says("cannot be written", call=save, args=(model, tmp_path / ("x" * 300)))
    says("has a zero byte", call=save, args=(model, "a\0b"))


def test_a_training_that_has_just_begun_is_not_saved_over(tmp_path):
    model = Popularity(SHOP.n_items)
    fit(model, SHOP, progress=False)
    fit(SASRec(SHOP.n_items, **SMALL), SHOP, epochs=1, out=tmp_path / "run", progress=False)
    for name in ("state.safetensors", "metrics.jsonl", "model.safetensors", "card.md"): (tmp_path / "run" / name).unlink()
    says("holds a training run", call=save, args=(model, tmp_path / "run"))


def test_a_name_of_a_model():
    assert {model_class(name).name for name in MODELS} == set(MODELS)
    says("model 'bert' is unknown", ", ".join(MODELS), call=model_class, args=("bert",))


def test_the_fingerprint_is_of_who_did_what_in_which_order():
    users, items = [1, 1, 1, 2, 2, 2], list("abcbca")
    same = fingerprint(from_rows(users, items, core=0, name="other"))
    assert same == fingerprint(from_rows(users, items, core=0))
    for u, i in ((users, list("acbbca")), ([1, 1, 1, 3, 3, 3], items), (users, list("xbcbcx")), (users + [2], items + ["a"])):
        assert fingerprint(from_rows(u, i, core=0)) != same


# ---- whole or not at all

def full_disk():
    "From now on no file grows beyond 2,000 bytes; undone by the function returned."
    old, was = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, old[1]))

    def undo():
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, was)
    return undo


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    write_atomically(tmp_path / "new" / "note", b"first")
    undo = full_disk()
    try:
        says("note: cannot be written", "make room", call=write_atomically, args=(tmp_path / "new" / "note", b"x" * 5000))
        write_atomically(tmp_path / "new" / "small", b"y" * 1000)
    finally:
        undo()
    assert {f.name: f.read_bytes() for f in (tmp_path / "new").iterdir()} == {"note": b"first", "small": b"y" * 1000}
    with open(tmp_path / "new" / "note", "rb") as reading:  # replaced as a whole: whoever has it open reads the old one to its end
        write_atomically(tmp_path / "new" / "note", b"second")
        assert reading.read() == b"first" and (tmp_path / "new" / "note").read_bytes() == b"second"
    (tmp_path / "file").write_text("x")
    says("cannot be written", call=write_atomically, args=(tmp_path / "file" / "below", b""))
    says("cannot be written", call=write_atomically, args=(tmp_path / ("x" * 250), b""))     # the name of what is prepared beside it is too long


# ---- what is not a run

FILES = ("config.json", "vocabulary.json", "model.safetensors")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe\0", b"null", b"7", b"[]", b"{}", "half"])
def test_each_file_missing_or_damaged(file, content, run):
    path = run / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:path.stat().st_size // 2] if content == "half" else content)
    says(path, call=load_run, args=(run,))


def test_a_folder_that_is_none(tmp_path):
    says("there is no such folder", call=load_run, args=(tmp_path / "nowhere",))
    says("config.json: is missing", call=load_run, args=(tmp_path,))
    (tmp_path / "file").write_text("x")
    says("there is no such folder", call=load_run, args=(tmp_path / "file",))


def test_files_of_different_runs(run, tmp_path):
    other = from_rows([1] * 4, "abcd", core=0)
    small, wide = SASRec(4, **SMALL), MCLRec(SHOP.n_items, **{**SMALL, "d": 16})
    small.prepare(other)
    wide.prepare(SHOP)
    save(small, tmp_path / "small")
    save(wide, tmp_path / "wide")
    for file, source, said in (("vocabulary.json", "small", "has 4 items, config.json says 25"), ("model.safetensors", "small", "does not fit the model"), ("model.safetensors", "wide", "does not fit the model")):
        shutil.copytree(run, tmp_path / "mixed", dirs_exist_ok=True)
        shutil.copy(tmp_path / source / file, tmp_path / "mixed")
        says(tmp_path / "mixed" / file, said, call=load_run, args=(tmp_path / "mixed",))


@pytest.mark.parametrize("change", [dict(model="bert"), dict(preset="none"), dict(settings=dict(nonsense=1)), dict(settings=dict(SMALL, d="x")), dict(settings=7), dict(n_items="x"), dict(n_items=-3), dict(seed=[])])
def test_a_config_that_describes_nothing(change, run):
    config = read_json(run / "config.json")
    (run / "config.json").write_text(json.dumps({**config, **change}))
    says(call=load_run, args=(run,))


def test_a_run_is_never_unpickled(run):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled what a stranger may have written",)
    for file in FILES:
        shutil.copytree(run, run.parent / "trap", dirs_exist_ok=True)
        (run.parent / "trap" / file).write_bytes(pickle.dumps(Trap()))
        says(file, call=load_run, args=(run.parent / "trap",))
    torch.save({"state_dict": Trap()}, run / "trap.pth")
    says("trap.pth: is not a checkpoint", call=load_official, args=(run / "trap.pth", SHOP))


# ---- the authors' checkpoint

@pytest.mark.parametrize("content, said", [
    (None, "there is no such file"), (b"", "is not a checkpoint"), (b"text", "is not a checkpoint"), ({"epoch": 1}, "is not a checkpoint"),
    ({"state_dict": {}}, "is not a checkpoint"), ({"state_dict": 7}, "is not a checkpoint"), ([1], "is not a checkpoint"),
    ({"state_dict": {"item_embedding.weight": torch.zeros(9, 64)}}, "was made for 7 items but shop has 25"),
    ({"state_dict": {"item_embedding.weight": torch.zeros(27, 64)}}, "is not a checkpoint of the released MCLRec code (KeyError"), ({"state_dict": {"item_embedding.weight": 7}}, "is not a checkpoint"),
    ({"state_dict": {"item_embedding.weight": torch.zeros(27, 64), "position_embedding.weight": "x"}}, "is not a checkpoint")])
def test_a_checkpoint_that_is_none(content, said, tmp_path):
    path = tmp_path / "model.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    says(path, said, call=load_official, args=(path, SHOP))


def test_a_checkpoint_of_other_data(checkpoint_path):
    says("was made for 12101 items but shop has 25", call=load_official, args=(checkpoint_path, SHOP))


def test_the_released_checkpoint_is_saved_and_loaded(checkpoint_path, beauty_path, tmp_path):
    data = mclrec.load(beauty_path)
    model = mclrec.load_official(checkpoint_path, data)
    save(model, tmp_path / "run")
    again = load_run(tmp_path / "run")
    users = data.user_ids[:5]
    assert recommend(again, data, users=users) == recommend(model, data, users=users)
    assert read_tensors(tmp_path / "run" / "model.safetensors")[0].keys() == model.state_dict().keys()


def test_saving_again_replaces_a_saved_model_and_nothing_else(run):
    save(load_run(run), run)
    assert [p.name for p in run.parent.iterdir()] == ["run"]
    (run / "thesis.txt").write_text("do not lose")
    says("other files", call=save, args=(load_run(run), run))
    assert (run / "thesis.txt").read_text() == "do not lose"
