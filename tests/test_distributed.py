"""Two processes that share each batch: the losses and the weights of one, whoever reads what; and a training that loses one of them."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mclrec.cli import main
from mclrec.cuts import cut_in_time
from mclrec.data import InputError, from_rows
from mclrec.distributed import Rank, evaluate_together, joined, share, shared_out
from mclrec.loading import load
from mclrec.registry import model_class
from mclrec.training import Trainer, fit

SHOP = from_rows([u for u in range(41) for _ in range(5 + u % 5)], [(3 * u + k * k) % 20 for u in range(41) for k in range(5 + u % 5)], core=0, name="shop")
CUT = cut_in_time([u for u in range(41) for _ in range(9)], [(3 * u + k * k) % 20 for u in range(41) for k in range(9)],
                  [5 * k + u % 17 for u in range(41) for k in range(9)], share=0.2, core=0, name="cut")
BATCH = 23                       # 162 examples: the last batch has one, which two cannot share
HOW = dict(batch_size=BATCH)
SMALL = dict(d=8, n=6, layers=2, heads=2, inner=8)
STILL = dict(dropout=0.0, attention_dropout=0.0)
CASES = {
    "sasrec": ("sasrec", None, STILL),
    "sasrec, some negatives": ("sasrec", None, dict(STILL, negatives=7)),
    "sasrec, whole histories": ("sasrec", None, dict(STILL, regime="users", horizon=2)),
    "sasrec, authors": ("sasrec", "authors", STILL),
    "cl4srec": ("cl4srec", None, dict(STILL, lam=0.5)),
    "mclrec": ("mclrec", "official", dict(STILL, lam=0.3, beta=0.4, gamma=0.5)),
    "mclrec, paper": ("mclrec", "paper", dict(STILL, lam=0.3, beta=0.4, gamma=0.5)),
    "mclrec, one pass": ("mclrec", "official", dict(STILL, lam=0.3, beta=0.4, one_pass=True)),
    "mclrec, joint": ("mclrec", "official", dict(STILL, lam=0.3, beta=0.4, joint=True)),
    "duorec": ("duorec", None, STILL),
    "bert4rec": ("bert4rec", None, STILL),
    "s3rec": ("s3rec", None, STILL),
    "coserec": ("coserec", None, STILL),
    "iclrec": ("iclrec", None, STILL),
    "srma": ("srma", None, STILL),
    "a cut in time": ("sasrec", None, STILL),
    "recipe": ("recipe", None, STILL),
    "with dropout": ("mclrec", "official", dict(dropout=0.3)),
}


def two_epochs(name):
    "Two epochs of a case, in numbers of 64 bits: the records, the weights, and how the people are ranked then."
    (kind, preset, settings), data = CASES[name], CUT if name == "a cut in time" else SHOP
    model = model_class(kind)(data.n_items, preset, **SMALL | settings).double()
    trainer = Trainer(model, data, batch_size=BATCH)
    with shared_out(trainer):
        records = [{f"{group} {k} {term}": float(value) for group, stages in record.items() for k, terms in enumerate(stages) for term, value in terms.items()}
                   for _ in range(2) for record in trainer.batches()]
        ranking = evaluate_together(model, data, "valid")
    return {"records": records, "weights": {name: t.flatten().tolist() for name, t in model.state_dict().items()}, "ranking": ranking,
            "random": trainer.generator.get_state().tolist()}


def torchrun(*command):
    "Two processes of a command: exit status, standard output and what was said, torchrun's own report aside."
    where = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*where, *map(str, command)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, [line for line in done.stderr.splitlines() if line.startswith("mclrec: ")]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    "A folder of what two processes did (below), what each of them kept, and what was said when one of them had gone."
    folder = tmp_path_factory.mktemp("two")
    (folder / "shop.txt").write_text("".join(f"u{u} {' '.join(f'i{i}' for i in SHOP[u])}\n" for u in range(SHOP.n_users)))
    code, _, said = torchrun(__file__, folder)
    assert code, "one of them was killed"
    return folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)], said


@pytest.mark.parametrize("name", CASES)
def test_two_share_a_batch_and_come_to_what_one_comes_to(name, both):
    first, second = (of[name] for of in both[1])
    assert first["weights"] == second["weights"] and first["random"] == second["random"], "the processes have parted"
    assert first["records"] == second["records"] and first["ranking"] == second["ranking"]
    if name == "with dropout":
        return                                   # each draws masks of its own: other numbers than one process draws
    alone = two_epochs(name)
    assert alone["random"] == first["random"]
    for mine, theirs in zip(alone["records"], first["records"], strict=True):
        assert theirs == pytest.approx(mine, rel=1e-9, abs=1e-9)
    for part, weights in alone["weights"].items():
        assert first["weights"][part] == pytest.approx(weights, rel=1e-6, abs=1e-6), part
    assert first["ranking"] == pytest.approx(alone["ranking"])


def test_the_last_batch_was_too_small_to_share():
    "So that the cases above have met a batch with fewer histories than processes."
    assert len(Trainer(model_class("sasrec")(SHOP.n_items, **SMALL), SHOP).end) % BATCH == 1


def test_what_cannot_be_shared_out_is_said_everywhere_and_nothing_is_begun(both):
    folder, kept, _ = both
    for of in kept:
        assert "popularity cannot be shared out" in of["refused"]["popularity"] and "lma4rec cannot be shared out" in of["refused"]["lma4rec"]
        assert "were not given the same" in of["refused"]["other seeds"] and "is there already" in of["refused"]["there"]
    assert not (folder / "refused").exists()


def test_rank_0_alone_writes_and_calls(both):
    folder, kept, _ = both
    assert [of["called"] for of in kept] == [[1, 2, 3], []]
    assert len((folder / "whole" / "metrics.jsonl").read_text().splitlines()) == 3 and kept[0]["fit"] == kept[1]["fit"]


def test_one_is_killed_the_other_says_so_and_the_run_goes_on_as_if_nothing_had_been(both):
    folder, _, said = both
    assert [line for line in said if "ended" in line or "told to end" in line] == said[-1:] and "--resume" in said[-1]
    assert len((folder / "killed" / "metrics.jsonl").read_text().splitlines()) == 1
    with pytest.raises(InputError, match="begun with 2 of the processes that share each batch, not 1"):
        fit(sasrec(shop(folder)), shop(folder), epochs=3, out=folder / "killed", resume=True, progress=False, **HOW)
    code, out, said = torchrun("-m", "mclrec", "train", folder / "shop.txt", "--core", 0, "--out", folder / "killed", "--resume", "--epochs", 3, "--json")
    assert code == 0 and json.loads(out)["epochs"] == 3 and sum("processes share" in line for line in said) == 1
    for file in ("config.json", "vocabulary.json", "model.safetensors", "state.safetensors"):
        assert (folder / "killed" / file).read_bytes() == (folder / "whole" / file).read_bytes(), file


def test_the_slices_of_all_are_the_whole():
    for count, size in ((7, 3), (2, 3), (0, 2), (256, 2)):
        slices = [share(count, Rank(rank, size)) for rank in range(size)]
        assert [row for s in slices for row in range(count)[s]] == list(range(count))


def test_only_training_is_shared_out(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "0")
    assert main(["data", "toy"]) == 2 and "without torchrun" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert main(["data", "toy"]) == 2 and capsys.readouterr() == ("", "")


# ---- what each of the two processes does

def shop(folder): return load(folder / "shop.txt", core=0)
def sasrec(data): return model_class("sasrec")(data.n_items, dropout=0.2, **SMALL)


def refused(rank, data, folder):
    "What is said to whoever asks for what cannot be."
    def said(model, out, seed=2020):
        try: fit(model, data, epochs=1, seed=seed, out=out, progress=False, **HOW)
        except InputError as e: return str(e)
    other = {name: said(model_class(name)(data.n_items), folder / "refused") for name in ("popularity", "lma4rec")}
    return {**other, "other seeds": said(sasrec(data), None, 2020 + rank), "there": said(sasrec(data), folder / "whole")}


def work(rank, folder):
    kept, data, called = {name: two_epochs(name) for name in CASES}, shop(folder), []
    records = fit(sasrec(data), data, epochs=3, out=folder / "whole", progress=False, on_epoch=lambda r: called.append(r["epoch"]), **HOW)
    kept |= {"called": called, "fit": [{k: v for k, v in r.items() if not k.startswith("seconds")} for r in records],
             "refused": refused(rank, data, folder)}
    (folder / f"{rank}.json").write_text(json.dumps(kept))
    step, steps = Trainer.step, []

    def fatal(trainer, *args):
        steps.append(1)
        if rank == 1 and len(steps) == 10: os.kill(os.getpid(), signal.SIGKILL)   # in the second epoch
        return step(trainer, *args)
    Trainer.step = fatal
    fit(sasrec(data), data, epochs=3, out=folder / "killed", progress=False, **HOW)


if __name__ == "__main__":
    with joined():
        work(int(os.environ["RANK"]), Path(sys.argv[1]))
