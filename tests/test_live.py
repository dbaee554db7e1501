"""The live trainer: one thread that listens, leaves nothing behind, and trains exactly as `fit` does."""
import gc
import math
import subprocess
import sys
import threading
import time

import pytest
import torch

from mclrec.data import InputError, from_rows
from mclrec.live import _RUNS, AUTO_GAMMA, CHOICES, VALUES, LiveRun, LiveTrainer, check_value, curve, curves_figure, losses_of, setting_label, some_of, status_line
from mclrec.meta import MCLRec
from mclrec.model import evaluate
from mclrec.training import Trainer

SHOP = from_rows([u for u in range(40) for _ in range(7)], [3 * u % 20 + k for u in range(40) for k in range(7)], core=0, name="shop")
SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)
NAME = "mclrec live"


def threads():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    for run in list(_RUNS):
        run.stop()
    until(lambda: not threads())  # those of runs that were dropped end by themselves


def run_of(**how):
    return LiveRun(SHOP, **{**SMALL, "batch_size": 32, **how})


def steps(run, count):
    for _ in range(count):
        run.step()
    assert run.wait(30)
    return run


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def losses(run):
    return [record["losses"] for record in run.history]


# ---- what is trained

@pytest.mark.parametrize("preset", MCLRec.PRESETS)
@pytest.mark.parametrize("joint", [False, True])
def test_it_trains_as_the_trainer_does(preset, joint):
    "Also across the end of an epoch (five batches), and whatever is measured in between."
    run = steps(run_of(preset=preset, joint=joint, valid_every=2), 7)
    lam, beta = .03, .1
    trainer = Trainer(MCLRec(SHOP.n_items, preset, joint=joint, lam=lam, beta=beta, **SMALL), SHOP, batch_size=32)
    expected = [losses_of(r) for _ in range(2) for r in trainer.batches()][:7]
    assert losses(run) == expected
    assert [r["epoch"] for r in run.history] == [1] * 5 + [2] * 2
    assert [r["batch"] for r in run.history if "valid" in r] == [2, 4, 6]


def test_validation_is_evaluate_on_some_of_the_users():
    run = steps(run_of(valid_every=1, users=10), 1)
    assert run.some.n_users == 10 and run.some.n_items == SHOP.n_items
    assert run.history[0]["valid"] == evaluate(run.trainer.model, some_of(SHOP, 10), "valid")
    assert some_of(SHOP, 1000) is SHOP


def test_norms_are_those_of_the_whole_gradient_stage_by_stage():
    run = steps(run_of(), 1)
    assert list(run.history[0]["norms"]) == ["θ, stage 1", "φ, stage 2", "θ, stage 3"]
    model = run.trainer.model
    for name, parameters in (("θ, stage 3", model.encoder.parameters()), ("φ, stage 2", [*model.w1.parameters(), *model.w2.parameters()])):
        whole = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm().item()
        assert run.history[0]["norms"][name] == pytest.approx(whole, rel=1e-5)
    assert list(steps(run_of(preset="paper"), 1).history[0]["norms"]) == ["θ, stage 1", "φ, stage 2"]
    assert list(steps(run_of(joint=True), 1).history[0]["norms"]) == ["θ, stage 1", "φ, stage 1"]


# ---- its life

def test_start_pause_step_stop_reset():
    run = run_of()
    assert run.state == "ready" and threads() == []
    run.start()
    assert run.state == "running" and len(threads()) == 1
    until(lambda: len(run.history) >= 3)
    run.start()
    assert len(threads()) == 1, "a second start makes no second thread"
    run.pause()
    held = len(run.history)
    assert run.state == "paused" and threads()[0].is_alive()
    time.sleep(0.3)
    assert len(run.history) == held
    steps(run, 1)
    assert len(run.history) == held + 1 and run.state == "paused"
    steps(run, 3)
    assert len(run.history) == held + 4
    run.stop()
    assert run.state == "stopped" and threads() == []
    run.start()
    until(lambda: len(run.history) > held + 6)
    assert [r["batch"] for r in run.history] == list(range(1, len(run.history) + 1))
    run.reset()
    assert run.state == "ready" and run.history == [] and threads() == []


def test_a_step_while_it_runs_pauses_it():
    run = run_of()
    run.start()
    until(lambda: run.history)
    run.step()
    assert run.wait(30) and run.state == "paused"


def test_the_same_seed_is_the_same_run():
    run = steps(run_of(seed=7), 6)
    first = losses(run)
    run.reset()
    assert losses(steps(run, 6)) == first
    assert losses(steps(run_of(seed=8), 6)) != first


def test_a_run_that_is_dropped_ends_its_thread():
    run = run_of()
    run.start()
    until(lambda: run.history)  # noqa: F821 (the name is deleted below, on purpose)
    thread = run._thread
    del run
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_a_new_run_in_the_same_place_stops_the_old_one():
    old, elsewhere = run_of(place="a"), run_of(place="b")
    old.start()
    elsewhere.start()
    new = run_of(place="a")
    assert old.state in ("stopped", "ready") and elsewhere.state == "running" and new.state == "ready" and len(threads()) == 1


def test_the_thread_keeps_torch_off_the_last_core_and_leaves_the_callers_threads_alone():
    before, seen = torch.get_num_threads(), []
    steps(run_of(watch=lambda run: seen.append(torch.get_num_threads())), 1)
    assert 1 <= seen[0] <= before and torch.get_num_threads() == before


def test_python_ends_while_it_trains():
    "Without a crash, a word or a wait."
    code = "import mclrec; from mclrec.live import LiveRun; run = LiveRun(mclrec.load('toy'), d=8, heads=2, inner=8); run.start(); run.watch = None"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- changes

@pytest.mark.parametrize("name, value, held", [
    ("lam", .5, lambda r: r.trainer.model.settings["lam"]), ("beta", .4, lambda r: r.trainer.model.settings["beta"]),
    ("gamma", .2, lambda r: r.trainer.model.gamma), ("regularizer", False, lambda r: r.trainer.model.settings["regularizer"]),
    ("lr", .01, lambda r: r.trainer.optimisers["encoder"].param_groups[0]["lr"]), ("lr_aug", .02, lambda r: r.trainer.optimisers["augmenters"].param_groups[0]["lr"]),
    ("batch_size", 8, lambda r: r.trainer.batch_size), ("dropout", .1, lambda r: r.trainer.model.encoder.attention_dropout),
    ("joint", True, lambda r: r.trainer.model.settings["joint"])])
def test_a_change_holds_from_the_next_batch_on(name, value, held):
    run, still = steps(run_of(), 2), steps(run_of(place="other"), 3)
    assert held(run) != value
    run.set(name, value)
    assert held(run) != value, "not in the middle of a batch"
    steps(run, 1)
    assert held(run) == value and run.history[2]["changed"] == {name: value}
    steps(run, 1)
    assert "changed" not in run.history[3]
    assert losses(run)[:2] == losses(still)[:2]
    if name not in ("lr", "lr_aug"):
        assert losses(run)[2] != losses(still)[2]
    else:
        steps(still, 1)
        assert losses(run)[3] != losses(still)[3]


def test_a_change_while_it_runs():
    run = run_of()
    run.start()
    until(lambda: len(run.history) >= 2)
    run.set("lr", 5e-3)
    until(lambda: any("changed" in r for r in run.history))
    assert run.trainer.lr == 5e-3


def test_joint_and_back_keeps_what_adam_knows():
    run = steps(run_of(), 3)
    before = {p: {k: v.clone() for k, v in s.items()} for o in run.trainer.optimisers.values() for p, s in o.state.items()}
    for joint in (True, False):
        run.set("joint", joint)
        run._apply()
        after = {p: s for o in run.trainer.optimisers.values() for p, s in o.state.items()}
        assert after.keys() == before.keys() and all(torch.equal(after[p][k], before[p][k]) for p in before for k in before[p])
    undisturbed = losses(steps(run_of(place="other"), 5))
    assert losses(steps(run, 2)) == undisturbed


def test_the_status_says_what_a_change_will_do_and_when():
    run = run_of()
    assert status_line(run) == "ready · batch 0"
    run.set("joint", True)
    run.set("preset", "paper")
    assert status_line(run) == "ready · batch 0 · <b>joint, preset = paper</b>: the run will start with this"
    steps(run, 1)
    assert "<b>" not in status_line(run)
    run.set("beta", .4)
    run.set("share", True)
    assert status_line(run).endswith("<b>β = 0.4</b>: from the next batch on · <b>one augmenter</b>: applies to the next run, press ↺ restart")
    steps(run, 1)
    assert status_line(run).endswith("a batch · <b>one augmenter</b>: applies to the next run, press ↺ restart")


def test_what_needs_a_new_model_waits_for_a_reset():
    run = run_of()
    run.set("preset", "paper")
    steps(run, 1)
    assert run.trainer.model.preset == "paper", "before the first batch there is nothing to lose"
    run.set("share", True)
    steps(run, 1)
    assert run.waiting() == {"share": True} and run.trainer.model.w1 is not run.trainer.model.w2 and "changed" not in run.history[1]
    run.reset()
    assert run.waiting() == {} and run.trainer.model.w1 is run.trainer.model.w2
    assert steps(run, 1).state == "paused"


# ---- what goes wrong

def test_a_loss_that_is_no_number_is_one_sentence_and_an_end():
    run = steps(run_of(), 2)
    run.set("lr", 1e30)
    run.start()
    until(lambda: run.state == "failed")
    assert run.error.startswith("batch ") and "lower the learning rates" in run.error and not run.alive
    run.step()
    assert run.state == "failed"
    run.set("lr", 1e-3)
    run.start()
    until(lambda: len(run.history) >= 2)
    assert run.state == "running" and run.error == "" and run.history[0]["batch"] == 1


def test_any_exception_is_said(monkeypatch):
    run = steps(run_of(), 1)
    monkeypatch.setattr(run.trainer.model, "encoder_loss", lambda views: 1 / 0)
    steps(run, 1)
    assert run.state == "failed" and run.error == "ZeroDivisionError: division by zero"
    until(lambda: not threads())


@pytest.mark.parametrize("name, value", [("tau", 1.), ("preset", "best"), ("joint", 1), ("lam", -1), ("lam", None), ("beta", math.nan), ("gamma", "x"), ("lr", 0), ("lr", math.inf),
                                         ("lr_aug", True), ("batch_size", 0), ("batch_size", 2.), ("dropout", 1)])
def test_bad_values(name, value):
    with pytest.raises(InputError) as e:
        check_value(name, value)
    assert name in str(e.value)
    run = run_of()
    with pytest.raises(InputError):
        run.set(name, value)
    assert run.values == run._held


def test_bad_settings_and_data():
    with pytest.raises(InputError):
        run_of(lamda=1)
    with pytest.raises(InputError):
        run_of(lr=-1)
    with pytest.raises(InputError):
        LiveRun(from_rows([0, 0, 1, 1], [1, 2, 1, 2], core=0))


# ---- curves and widgets

def test_curves_show_every_number_and_mark_every_change():
    run = steps(run_of(valid_every=1), 3)
    run.set("beta", .4)
    run.set("lr", .01)
    steps(run, 2)
    figure = curves_figure(run.history)
    shown = {trace.name: trace for trace in figure.data if trace.visible}
    assert {"L<sub>0</sub>", "L<sub>1</sub>", "NDCG@10", "θ, stage 1", "φ, stage 2", "θ, stage 3"} <= shown.keys()
    assert list(shown["L<sub>0</sub>"].y) == [x["L_0"] for x in losses(run)] and list(shown["L<sub>0</sub>"].x) == [1, 2, 3, 4, 5]
    assert list(shown["NDCG@10"].y) == [r["valid"]["NDCG@10"] for r in run.history]
    assert [a.text for a in figure.layout.annotations] == ["β = 0.4, lr = 0.01"] and {s.x0 for s in figure.layout.shapes} == {4}
    assert not any(trace.visible for trace in curves_figure([]).data)


def test_long_runs_stay_small():
    long = [{"batch": k, "losses": {"rec": float(k % 7)}} for k in range(1, 5001)]
    x, y = curve(long, "losses", "rec")
    assert len(x) == len(y) <= 120 and x[0] == 21.5 and abs(y[:-1] - 3).max() < .2
    assert len(curves_figure(long).to_json()) < 30_000


def test_every_value_has_words():
    assert {setting_label(name, v) for name, values in CHOICES.items() for v in values} >= {"β = 0.4", "joint", "R off", "preset = paper", "γ = 0.1 β", "one augmenter", "batch size = 64"}
    assert CHOICES.keys() == VALUES.keys() and all(v in CHOICES[name] for name, v in VALUES.items() if v is not None)


def trainer_of(**how):
    live = LiveTrainer(SHOP, **{**SMALL, "batch_size": 32, **how})
    assert live.box
    return live


def traces(live):
    import json
    return json.loads(live.plot.figure)["data"]


def test_an_empty_figure_says_what_to_press():
    import json
    live = trainer_of()
    said = lambda: [note["text"] for note in json.loads(live.plot.figure)["layout"].get("annotations", [])]
    assert len(said()) == 1 and live.buttons["start"].description in said()[0]
    live.buttons["step"].click()
    until(lambda: traces(live)[0]["x"])
    assert said() == []
    live.buttons["reset"].click()
    assert len(said()) == 1
    live.close()


def test_the_buttons_and_controls_drive_the_run():
    live = trainer_of(gamma=.05, batch_size=24)
    live.buttons["start"].click()
    until(lambda: len(live.run.history) > 3)
    live.buttons["pause"].click()
    assert len(traces(live)[0]["x"]) == len(live.run.history) and live.status.value.startswith("paused")
    for name, made in live.controls.items():
        for value in [v for _, v in made.options]:
            made.value = value
            assert live.run.values[name] == (None if value == AUTO_GAMMA else value)
    assert "<b>preset = paper, one augmenter</b>: applies to the next run, press ↺ restart" in live.status.value
    live.buttons["step"].click()
    assert live.run.wait(30)
    until(lambda: len(traces(live)[0]["x"]) == len(live.run.history))
    live.buttons["stop"].click()
    assert threads() == [] and live.status.value.startswith("stopped")
    live.buttons["reset"].click()
    assert live.run.history == [] and live.run.trainer.model.preset == "paper" and not any(t["visible"] for t in traces(live))
    live.close()


def test_a_failure_is_shown_where_the_curves_are():
    live = trainer_of()
    live.run.set("lr", 1e30)
    live.buttons["start"].click()
    until(lambda: live.plot.error)
    assert live.plot.error == live.run.error and "lower the learning rates" in live.plot.error
    live.run.set("lr", 1e-3)
    live.buttons["reset"].click()
    assert live.plot.error == ""
    live.close()


@pytest.mark.parametrize("close", [lambda live: live.close(), lambda live: live.box.close(), lambda live: live.plot.close()])
def test_closing_ends_the_run(close):
    live = trainer_of()
    live.buttons["start"].click()
    until(lambda: live.run.history)
    close(live)
    until(lambda: not threads())
    assert live.run.state == "stopped"


def test_it_shows_itself_with_and_without_a_kernel():
    recorded = steps(run_of(), 3).history
    live = trainer_of(recorded=recorded)
    bundle = live._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(bundle["application/vnd.plotly.v1+json"]["data"][0]["x"]) == 3
    live.close()


def test_the_library_needs_no_widgets_to_have_a_live_run():
    code = "import sys; sys.modules.update(ipywidgets=None, plotly=None, anywidget=None); import mclrec.live"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_control_has_one_kind_of_label_on_one_grid():
    live = trainer_of()
    grid = live.box.children[1]
    assert "mclrec-controls" in grid._dom_classes and list(grid.children) == list(live.controls.values())
    assert all(made.description for made in live.controls.values())
    live.close()
