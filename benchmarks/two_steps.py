"""Is it meta, or is it the second step? python benchmarks/two_steps.py results/two_steps.json --lines /tmp/two_steps.jsonl

Arms: SASRec and joint MCLRec with one step on each batch (S1, J1), with two on the same batch (S2, J2), with one and twice the epochs (S1e, J1e), and
MCLRec with its two updates (M2) or as released with three (M3), all of d = 32 and one layer, for 8 epochs, at half, once and twice the toy
shop's learning rate.
"""
from itertools import product

from jobs import arguments, run, trained

from mclrec.runs import model_class

SEEDS = [2020, 2021, 2022, 2023, 2024]
RATES = {"half": 0.0025, "once": 0.005, "twice": 0.01}
HOW = dict(batch_size=128, metric="MRR@10", patience=10)
SIZE = dict(d=32, layers=1, n=10, dropout=0.2, attention_dropout=0.2)
ARMS = {"S1": ("sasrec", {}, 1, 1), "S2": ("sasrec", {}, 2, 1), "S1e": ("sasrec", {}, 1, 2), "J1": ("mclrec", {"joint": True}, 1, 1),
        "J2": ("mclrec", {"joint": True}, 2, 1), "J1e": ("mclrec", {"joint": True}, 1, 2), "M2": ("mclrec", {"updates": 2}, 1, 1), "M3": ("mclrec", {}, 1, 1)}
EPOCHS = 8


def configurations():
    "By name, such as `S2 half`: model, its settings, how often each stage is taken, epochs, learning rate."
    said = {}
    for rate, arm in product(RATES, ARMS):
        model, settings, times, longer = ARMS[arm]
        said[f"{arm} {rate}"] = {"model": model, "settings": {**SIZE, **settings}, "times": times, "epochs": EPOCHS * longer, "lr": RATES[rate]}
    return said


def again(kind, times):
    "The same model, which takes each of its stages `times` times on every batch."
    return type(kind.__name__, (kind,), {"stages": lambda self: [stage for stage in super(type(self), self).stages() for _ in range(times)]})


def one(data, said, seed):
    kind = again(model_class(said["model"]), said["times"])
    model = kind(data.n_items, None, seed, **said["settings"])
    row = trained(model, data, seed, said["epochs"], lr=said["lr"], lr_aug=said["lr"], **HOW)
    for seen in row["test"]: row["test"][seen] = {m: row["test"][seen][m] for m in ("HR@10", "NDCG@10", "MRR@10")}
    return row


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"fit": HOW})
