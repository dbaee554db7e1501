"""The loop: the same seed is the same run, an interruption changes nothing, and it stops when it should."""
import json
import math
import shutil

import pytest
import torch

import mclrec.files as files
import mclrec.training as module
from mclrec.data import InputError, from_rows, prefixes
from mclrec.meta import MCLRec
from mclrec.model import Popularity, Recommender, evaluate, recommend
from mclrec.models.sasrec import SASRec
from mclrec.registry import model_class
from mclrec.resume import restore_training, training_state
from mclrec.runs import load_run, read_tensors
from mclrec.switches import torch_switches
from mclrec.training import Trainer, check_finite, fit

SHOP = from_rows([u for u in range(40) for _ in range(7)], [3 * u % 20 + k for u in range(40) for k in range(7)], core=0, name="shop")
SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)
HOW = dict(batch_size=32, progress=False)
MODELS = {"official": (MCLRec, "official"), "paper": (MCLRec, "paper"), "sasrec": (SASRec, None)}


def model_of(name="official", **settings):
    kind, preset = MODELS[name]
    return kind(SHOP.n_items, preset, **{**SMALL, **settings})


def same_weights(a, b):
    a, b = (x if isinstance(x, dict) else x.state_dict() for x in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def timeless(records):
    return [{k: v for k, v in r.items() if not k.startswith("seconds")} for r in records]


def lines(folder):
    return timeless(map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()))


# ---- the loop

def test_an_epoch_sees_every_example_once():
    seen = []

    class Watching(SASRec):
        def shared_inputs(self, batch, targets, index):
            for items, target in zip(batch.items.split(batch.lengths.tolist()), targets.tolist()):
                seen.append((*items.tolist(), target))
            return super().shared_inputs(batch, targets, index)
    trainer = Trainer(Watching(SHOP.n_items, **SMALL), SHOP, batch_size=32)
    examples = prefixes(SHOP, 6)
    expected = sorted(tuple(SHOP.items[s:e + 1].tolist()) for s, e in zip(examples.start, examples.end))
    assert len(expected) == 160
    for epoch in (1, 2):
        assert sum(1 for _ in trainer.batches()) == 5 and trainer.epoch == epoch
        assert sorted(seen) == expected
        first, seen = (seen, []) if epoch == 1 else (first, seen)  # noqa: F821 (bound in the first epoch)
    assert first != seen  # in another order each time


def test_the_learning_rate_may_change_between_batches():
    trainer = Trainer(model_of("sasrec"), SHOP, batch_size=32)
    batches = trainer.batches()
    next(batches)
    trainer.lr, before = 1e-30, {k: t.clone() for k, t in trainer.model.state_dict().items()}
    next(batches)
    assert all(torch.allclose(before[k], t, atol=1e-9) for k, t in trainer.model.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_run(name):
    runs = []
    for seed in (1, 1, 2):
        model = model_of(name)
        runs.append((timeless(fit(model, SHOP, epochs=2, seed=seed, **HOW)), model))
    assert runs[0][0] == runs[1][0] and same_weights(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0] and not same_weights(runs[0][1], runs[2][1])


def test_nothing_else_is_random():
    "Whatever was drawn from PyTorch's own generator before."
    torch.manual_seed(1)
    first = timeless(fit(model_of(), SHOP, epochs=1, **HOW))
    torch.manual_seed(2)
    assert timeless(fit(model_of(), SHOP, epochs=1, **HOW)) == first


@pytest.mark.parametrize("name", MODELS)
def test_it_learns(name):
    model, floor = model_of(name, dropout=.1, attention_dropout=0.), Popularity(SHOP.n_items)
    records = fit(model, SHOP, epochs=12, lr=.01, **HOW)
    fit(floor, SHOP, **HOW)
    assert records[-1]["rec"] < .8 * records[0]["rec"]
    assert evaluate(model, SHOP)["NDCG@10"] > 1.5 * evaluate(floor, SHOP)["NDCG@10"]


# ---- a run on disk, interrupted and resumed

class Interrupted(Exception):
    pass


def interrupt(monkeypatch, batch):
    "Stop in the given batch, after its first stage, as a Ctrl-C or a power cut would."
    original, calls = Trainer.step, []

    def step(trainer, *args):
        calls.append(1)
        if len(calls) == batch:
            stages = trainer.model.stages()
            trainer.model.stages = lambda: [stages[0], ("encoder", stop)]
        return original(trainer, *args)

    def stop(views):
        raise Interrupted
    monkeypatch.setattr(Trainer, "step", step)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "Runs of four epochs without interruption: folder and model by name."
    runs = {}
    for name in MODELS:
        folder = tmp_path_factory.mktemp("whole") / name
        model = model_of(name)
        fit(model, SHOP, epochs=4, out=folder, **HOW)
        runs[name] = folder, model
    return runs


def same_run(folder, model, whole):
    assert lines(folder) == lines(whole[0]) and same_weights(model, whole[1])
    for file in ("config.json", "vocabulary.json"):
        assert (folder / file).read_bytes() == (whole[0] / file).read_bytes(), file
    for file in ("model.safetensors", "state.safetensors"):
        (tensors, notes), (expected, noted) = (read_tensors(f / file) for f in (folder, whole[0]))
        assert notes == noted and same_weights(tensors, expected), file
        assert (folder / file).read_bytes() == (whole[0] / file).read_bytes(), file


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [3, 5, 6, 13, 20])  # in the first epoch, its last batch, the second's first, …
def test_interrupted_in_a_batch(name, batch, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt(patch, batch)
        fit(model_of(name), SHOP, epochs=4, out=tmp_path / "run", **HOW)
    model = model_of(name)
    records = fit(model, SHOP, epochs=4, out=tmp_path / "run", resume=True, **HOW)
    assert len(records) == 4
    same_run(tmp_path / "run", model, whole[name])


@pytest.mark.parametrize("write", range(1, 15))
def test_interrupted_between_any_two_writes(write, whole, tmp_path, monkeypatch):
    "Config, vocabulary; then each epoch best weights (if they are), metrics, state: wherever it stops, what is there can be resumed, or begun."
    seen = []
    original = files._prepare
    with monkeypatch.context() as patch:
        def counted(path, content):
            seen.append(path.name)
            if len(seen) == write:
                raise Interrupted
            return original(path, content)
        patch.setattr(files, "_prepare", counted)
        try:
            fit(model_of(), SHOP, epochs=4, out=tmp_path / "run", **HOW)
        except Interrupted:
            pass
        else:
            assert len(seen) < write
    model = model_of()
    begun = "config.json" in seen[:write - 1]
    if not begun:
        with pytest.raises(InputError, match="no run to resume"):
            fit(model_of(), SHOP, epochs=4, out=tmp_path / "run", resume=True, **HOW)
    fit(model, SHOP, epochs=4, out=tmp_path / "run", resume=begun, **HOW)
    same_run(tmp_path / "run", model, whole["official"])
    assert not list((tmp_path / "run").glob(".*"))


def test_more_epochs_later(whole, tmp_path):
    model = model_of()
    for epochs in (1, 2, 4):
        model = model_of()
        fit(model, SHOP, epochs=epochs, out=tmp_path / "run", resume=epochs > 1, **HOW)
    same_run(tmp_path / "run", model, whole["official"])
    again = model_of()
    assert timeless(fit(again, SHOP, epochs=4, out=tmp_path / "run", resume=True, **HOW)) == lines(whole["official"][0])
    same_run(tmp_path / "run", again, whole["official"])


def test_weights_of_another_epoch_are_not_gone_on_with(tmp_path):
    run, weights, kept = tmp_path / "run", tmp_path / "run" / "model.safetensors", []
    def keep(record): kept.append(weights.read_bytes())
    fit(model_of("sasrec"), SHOP, epochs=3, out=run, on_epoch=keep, progress=False)
    assert kept[0] != kept[-1]
    weights.write_bytes(kept[0])
    for what in (lambda: load_run(run), lambda: fit(model_of("sasrec"), SHOP, epochs=4, out=run, resume=True, progress=False)):
        with pytest.raises(InputError, match="holds other weights than this run had kept"): what()


def test_a_warm_up_that_diverges_leaves_its_last_good_epoch(monkeypatch):
    model, kept = model_class("s3rec")(SHOP.n_items, pretrain=3, d=8, n=6, layers=1, heads=2, inner=8), []
    def spoil(record):
        kept.append({name: t.clone() for name, t in model.state_dict().items()})
        good = model.mip_loss
        monkeypatch.setattr(model, "mip_loss", lambda *views: {**(terms := good(*views)), "loss": terms["loss"] * math.inf})
    with pytest.raises(InputError, match="keeps its best weights"): fit(model, SHOP, epochs=5, on_epoch=spoil, progress=False)
    assert len(kept) == 1 and all(torch.equal(t, kept[0][name]) for name, t in model.state_dict().items())


def test_a_run_multiplies_as_it_says_whatever_was_set_before():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch_switches(None): assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally: torch.set_float32_matmul_precision(before)


def test_other_threads_are_said_when_a_run_goes_on(tmp_path, caplog):
    "Sums are taken in another order then: the last digits differ, and the reader is told."
    fit(model_of("sasrec"), SHOP, epochs=1, batch_size=64, out=tmp_path / "run", progress=False)
    config = files.read_json(tmp_path / "run" / "config.json")
    assert config["versions"]["threads"] == torch.get_num_threads()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with caplog.at_level("WARNING", logger="mclrec"):
            fit(model_of("sasrec"), SHOP, epochs=2, batch_size=64, out=tmp_path / "run", resume=True, progress=False)
    finally: torch.set_num_threads(threads)
    assert f"begun with threads {threads}, now {threads + 1}: it goes on, but not to the same last digits" in caplog.text
    caplog.clear()
    with caplog.at_level("WARNING", logger="mclrec"):
        fit(model_of("sasrec"), SHOP, epochs=3, batch_size=64, out=tmp_path / "run", resume=True, progress=False)
    assert "last digits" not in caplog.text


def test_random_numbers_of_another_device_cannot_go_on_here():
    "A generator of a GPU has a state of 16 bytes: nothing of it fits this one, and the sentence says what to do."
    trainer = Trainer(model_of("sasrec"), SHOP, batch_size=64)
    before = {name: t.clone() for name, t in trainer.model.state_dict().items()}
    elsewhere = training_state(trainer) | {"random": torch.zeros(16, dtype=torch.uint8), "epoch": torch.tensor(1)}
    with pytest.raises(InputError, match="begun on another kind of device than cpu.* resume it there, or train anew"):
        restore_training(trainer, elsewhere, "run/state.safetensors")
    assert trainer.epoch == 0 and same_weights(trainer.model, before)


def test_the_best_epoch_is_kept_not_the_last(monkeypatch, tmp_path):
    script, weights = [.1, .3, .2], []

    def judge(model, data, split, exclude_seen):
        weights.append({k: t.clone() for k, t in model.state_dict().items()})
        return dict.fromkeys(names(), script[len(weights) - 1])
    monkeypatch.setattr(module, "evaluate", judge)
    model = model_of()
    fit(model, SHOP, epochs=3, out=tmp_path / "run", **HOW)
    assert same_weights(model, weights[1]) and same_weights(load_run(tmp_path / "run"), weights[1])
    assert not same_weights(weights[1], weights[2])
    monkeypatch.setattr(module, "evaluate", lambda *_: dict.fromkeys(names(), .15))
    model = model_of()
    fit(model, SHOP, epochs=4, out=tmp_path / "run", resume=True, **HOW)  # the best so far survives the pause
    assert same_weights(model, weights[1]) and same_weights(load_run(tmp_path / "run"), weights[1])


# ---- when to stop

def names():
    return [f"{m}@{k}" for m in ("HR", "NDCG", "MRR") for k in (5, 10, 20)]


class Still(Recommender):
    "Learns nothing, in one step an epoch."
    name, DEFAULTS = "still", {}
    decimals = None

    def __init__(self, n_items):
        super().__init__(n_items)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    @property
    def metric(self):
        return "MRR@10", self.decimals

    def stages(self):
        return [("encoder", lambda views: {"loss": self.weight * 1})]


def epochs_with(monkeypatch, values, decimals=None, **kwargs):
    "How many epochs a run takes whose validation gives these values of MRR@10, the last one again and again."
    values = iter([*values, *[values[-1]] * 100])
    monkeypatch.setattr(module, "evaluate", lambda *_: {**dict.fromkeys(names(), 0.), "MRR@10": next(values)})
    model = Still(SHOP.n_items)
    model.decimals = decimals
    return len(fit(model, SHOP, epochs=60, batch_size=500, progress=False, **kwargs))


def test_stops_at_the_eleventh_epoch_without_gain(monkeypatch):
    assert epochs_with(monkeypatch, [.5]) == 12
    assert epochs_with(monkeypatch, [.1, .2, .3, .1]) == 3 + 11
    assert epochs_with(monkeypatch, [.5] + [.4] * 10 + [.6] + [.4]) == 12 + 11  # a gain at the last chance
    assert epochs_with(monkeypatch, [.5] + [.4] * 11 + [.6]) == 12              # a gain too late
    assert epochs_with(monkeypatch, [k / 100 for k in range(60)]) == 60
    assert epochs_with(monkeypatch, [.5], patience=0) == 2 and epochs_with(monkeypatch, [.5], patience=3) == 5
    assert epochs_with(monkeypatch, [0.]) == 12


def test_a_gain_below_the_fourth_decimal_is_none_in_official(monkeypatch):
    creeping = [.03 + k * 1e-6 for k in range(60)]
    assert epochs_with(monkeypatch, creeping, decimals=4) == 12
    assert epochs_with(monkeypatch, creeping) == 60
    assert epochs_with(monkeypatch, [.03, .03006, .03], decimals=4) == 2 + 11
    assert model_of("official").metric == ("MRR@10", 4) and model_of("paper").metric == ("NDCG@10", None)


def test_waiting_survives_a_pause(monkeypatch, tmp_path):
    "Five epochs without gain, a pause, and six more: that is eleven."
    monkeypatch.setattr(module, "evaluate", lambda *_: dict.fromkeys(names(), .25))
    fit(model_of("sasrec"), SHOP, epochs=6, out=tmp_path / "run", **HOW)
    assert len(fit(model_of("sasrec"), SHOP, epochs=50, out=tmp_path / "run", resume=True, **HOW)) == 12


def test_another_metric_decides_when_asked(monkeypatch):
    values = iter([.1, .2, .3, .4])
    monkeypatch.setattr(module, "evaluate", lambda *_: {**dict.fromkeys(names(), 0.), "HR@20": next(values)})
    assert len(fit(Still(SHOP.n_items), SHOP, epochs=4, patience=0, metric="HR@20", progress=False)) == 4


# ---- a loss that is not a number

@pytest.mark.parametrize("term", ["rec", "cl1", "cl2", "R"])
def test_nan_stops_names_its_term_and_keeps_the_last_good_epoch(term, tmp_path, whole):
    model = model_of()
    original, calls = model.encoder_loss, []

    def loss(views):  # asked twice a batch, five batches an epoch
        calls.append(1)
        terms = original(views)
        return {**terms, term: terms[term] * math.nan, "loss": terms["loss"] * math.nan} if len(calls) > 2 * 2 * 5 + 2 else terms
    model.encoder_loss = loss
    with pytest.raises(InputError) as e:
        fit(model, SHOP, epochs=4, out=tmp_path / "run", **HOW)
    assert f"epoch 3, batch 2, stage encoder: the term {term} is nan; the last good epoch is kept in {tmp_path / 'run'}" in str(e.value)
    assert lines(tmp_path / "run") == lines(whole["official"][0])[:2]
    kept = load_run(tmp_path / "run")
    assert same_weights(model, kept) and all(t.isfinite().all() for t in kept.state_dict().values())
    assert recommend(kept, SHOP, users=[3]) == recommend(model, SHOP, users=[3])
    mended = model_of()
    fit(mended, SHOP, epochs=4, out=tmp_path / "run", resume=True, **HOW)
    same_run(tmp_path / "run", mended, whole["official"])


def test_nan_in_the_first_epoch_promises_nothing(tmp_path):
    with pytest.raises(InputError) as e:
        fit(model_of(), SHOP, epochs=2, lr=1e30, out=tmp_path / "run", **HOW)
    assert "epoch 1" in str(e.value) and "lower learning rate" in str(e.value) and "is kept" not in str(e.value)
    with pytest.raises(InputError, match="epoch 1: after its last step the model's vectors are no finite numbers.*lower learning rate"):
        fit(SASRec(SHOP.n_items, **SMALL), SHOP, epochs=2, lr=1e30, **HOW | {"batch_size": 10_000})
    with pytest.raises(InputError, match="model.safetensors: is missing"):
        load_run(tmp_path / "run")


def test_the_augmenters_term_is_named_too():
    good, bad = torch.tensor(1.), torch.tensor(math.inf)
    check_finite({"encoder": [{"loss": good, "rec": good}], "augmenters": [{"loss": good, "cl2": good}]}, 1, 1)
    with pytest.raises(InputError, match="epoch 7, batch 9, stage augmenters: the term cl2 is inf"):
        check_finite({"encoder": [{"loss": good}], "augmenters": [{"loss": bad, "cl2": bad}]}, 7, 9)
    with pytest.raises(InputError, match="the term loss is inf"):
        check_finite({"encoder": [{"loss": bad, "rec": good}]}, 1, 1)


# ---- what fit cannot do

@pytest.mark.parametrize("said, kwargs", [
    ("epochs=0", dict(epochs=0)), ("epochs=1.5", dict(epochs=1.5)), ("batch_size=0", dict(batch_size=0)), ("batch_size='x'", dict(batch_size="x")),
    ("patience=-1", dict(patience=-1)), ("lr=0", dict(lr=0)), ("lr=nan", dict(lr=math.nan)), ("lr_aug=inf", dict(lr_aug=math.inf)), ("lr='x'", dict(lr="x")),
    ("seed='x'", dict(seed="x")), ("seed=", dict(seed=2**80)), ("metric='AUC' is unknown", dict(metric="AUC"))])
def test_arguments_that_cannot_be(said, kwargs, tmp_path):
    with pytest.raises(InputError) as e:
        fit(model_of(), SHOP, out=tmp_path / "run", **{**HOW, **kwargs})
    assert said in str(e.value) and str(e.value).endswith(".")
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_trained_on():
    with pytest.raises(InputError, match="shop has 26 items but the model was made for 5"):
        fit(SASRec(5, **SMALL), SHOP, **HOW)
    three = from_rows([1, 1, 1, 2, 2, 2], list("abcbca"), core=0, name="three")
    with pytest.raises(InputError, match="three: has no training example"):
        fit(SASRec(3, **SMALL), three, **HOW)
    two = from_rows([1, 1, 2, 2], list("abba"), core=0, name="two")
    with pytest.raises(InputError, match="two: no user has three items"):
        fit(SASRec(2, **SMALL), two, **HOW)


def test_an_existing_run_is_not_touched(whole):
    folder, _ = whole["sasrec"]
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(InputError, match="is there already"):
        fit(model_of("sasrec"), SHOP, out=folder, **HOW)
    for said, model, kwargs in [
        ("another lr \\(0.001, now 0.01\\)", model_of("sasrec"), dict(lr=.01)), ("another seed", model_of("sasrec"), dict(seed=1)),
        ("another inner \\(8, now 16\\)", model_of("sasrec", inner=16), {}), ("another model", model_of("official"), {}),
        ("another precision", model_of("sasrec"), dict(precision="medium")), ("another compile", model_of("sasrec"), dict(compile=True)),
        ("another patience", model_of("sasrec"), dict(patience=3)), ("another metric", model_of("sasrec"), dict(metric="HR@5")),
    ]:
        with pytest.raises(InputError, match=f"{said}.*; only epochs may change"):
            fit(model, SHOP, out=folder, resume=True, **{**HOW, **kwargs})
    other = from_rows([u for u in range(40) for _ in range(7)], [3 * u % 20 + 6 - k for u in range(40) for k in range(7)], core=0, name="shop")
    with pytest.raises(InputError, match="only epochs may change"):
        fit(model_of("sasrec"), other, out=folder, resume=True, **HOW)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    with pytest.raises(InputError, match="there is no run to resume"):
        fit(model_of("sasrec"), SHOP, out=folder / "nowhere", resume=True, **HOW)


@pytest.mark.parametrize("file, content", [
    ("config.json", b"[]"), ("config.json", b"{"), ("metrics.jsonl", None), ("metrics.jsonl", b"{"), ("metrics.jsonl", b""), ("model.safetensors", None),
    ("state.safetensors", b"\0" * 9), ("state.safetensors", "model.safetensors")])
def test_a_damaged_run_is_not_resumed(file, content, whole, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for f in whole["sasrec"][0].iterdir():
        (folder / f.name).write_bytes(f.read_bytes())
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes((folder / content).read_bytes() if isinstance(content, str) else content)
    with pytest.raises(InputError) as e:
        fit(model_of("sasrec"), SHOP, epochs=6, out=folder, resume=True, **HOW)
    assert str(folder / file) in str(e.value) and str(e.value).endswith(".")


def test_a_switch_that_cannot_be_had_changes_nothing(monkeypatch):
    "Where torch cannot compile, and where nothing multiplies more roughly, training goes on and gives the same."
    def broken(f, **_):
        def fails(*args):
            raise RuntimeError("no compiler here")
        return fails

    monkeypatch.setattr(torch, "compile", broken)
    plain, switched = model_of(), model_of()
    fit(plain, SHOP, epochs=1, **HOW)
    fit(switched, SHOP, epochs=1, **HOW, compile=True)
    assert same_weights(plain, switched)
    with pytest.raises(InputError, match="precision='half' is unknown: choose one of highest, high, medium"):
        fit(plain, SHOP, epochs=1, precision="half")


# ---- wherever it is called

@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.device("meta")], ids=["no_grad", "inference_mode", "default device"])
def test_it_trains_wherever_it_is_called(around, whole):
    "What the caller has switched off, or where new tensors go by default, is no matter of the training's."
    model = model_of("sasrec")
    with around():
        records = fit(model, SHOP, epochs=4, **HOW)
    assert timeless(records) == lines(whole["sasrec"][0]) and same_weights(model, whole["sasrec"][1])


def test_weights_that_cannot_be_trained_are_said_at_once():
    with torch.inference_mode():
        model = model_of("sasrec")
    with pytest.raises(InputError, match="made inside torch.inference_mode"):
        fit(model, SHOP, **HOW)


def test_what_has_no_stages_takes_one_epoch_without_batches(tmp_path):
    model = Popularity(SHOP.n_items)
    trainer = Trainer(model, SHOP)
    assert not trainer.learns and trainer.optimisers == {} and list(trainer.batches()) == [] and trainer.epoch == 1
    model = Popularity(SHOP.n_items)
    records = fit(model, SHOP, epochs=7, out=tmp_path / "run", progress=False)
    assert len(records) == 1 and records[0].keys() == {"epoch", "valid", "seconds", "seconds_training"}
    assert timeless(fit(Popularity(SHOP.n_items), SHOP, epochs=7, out=tmp_path / "run", resume=True, progress=False)) == timeless(records)


@pytest.mark.parametrize("columns", [60, 80, 100, 300])
def test_the_bar_fits_the_line(columns, monkeypatch, capsys):
    "However many terms there are; where there is room they are all said."
    shown = []
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(module.tqdm, "set_postfix_str", lambda bar, text, refresh: shown.append(text))
    fit(model_of(), SHOP, epochs=1, batch_size=8, progress=True)
    assert shown and all(len("epoch 1/1") + 45 + len(text) <= max(columns, 54) for text in shown)
    assert [("augmenters.R" in text, "loss" in text) for text in shown[-1:]] == [(columns == 300, columns > 60)]


def test_a_run_without_its_state_is_not_begun_anew_over_what_is_there(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole["sasrec"][0], folder)
    (folder / "state.safetensors").unlink()
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(InputError, match="state.safetensors: is missing"):
        fit(model_of("sasrec"), SHOP, epochs=1, out=folder, resume=True, **HOW)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def test_the_slower_of_two_processes_takes_nothing_from_the_faster(whole, tmp_path):
    folder, once = tmp_path / "run", []
    shutil.copytree(whole["sasrec"][0], folder)

    def another(record):
        if not once:
            once.append(record)
            fit(model_of("sasrec"), SHOP, epochs=record["epoch"] + 3, out=folder, resume=True, **HOW)

    trained = len(lines(folder))
    with pytest.raises(InputError, match="another process goes on with this run"):
        fit(model_of("sasrec"), SHOP, epochs=trained + 5, out=folder, resume=True, patience=10, on_epoch=another, **HOW)
    assert len(lines(folder)) == trained + 4


@pytest.mark.parametrize("content", [b"", b"{", "folder"])
def test_resuming_writes_the_vocabulary_again(content, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole["sasrec"][0], folder)
    (folder / "vocabulary.json").unlink()
    if content == "folder":
        (folder / "vocabulary.json").mkdir()
        with pytest.raises(InputError, match="vocabulary.json: cannot be written"):
            fit(model_of("sasrec"), SHOP, epochs=6, out=folder, resume=True, **HOW)
    else:
        (folder / "vocabulary.json").write_bytes(content)
        fit(model_of("sasrec"), SHOP, epochs=6, out=folder, resume=True, **HOW)
        assert load_run(folder).vocabulary == SHOP.item_ids


@pytest.mark.parametrize("said, how", [("say which with out", dict(resume=True)), ("compile='no'", dict(compile="no")), ("5 is no path", dict(out=5))])
def test_arguments_that_would_be_passed_over(said, how):
    with pytest.raises(InputError, match=said):
        fit(model_of("sasrec"), SHOP, epochs=1, **how, **HOW)
