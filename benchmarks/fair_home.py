"""Why are contrastive models behind in the faster regime? python benchmarks/fair_home.py results/fair_home.json --lines /tmp/fair_home.jsonl

DuoRec on Beauty as experiment `regimes` trains it on whole histories, seed 2020, with one thing changed: three random prefixes a person are compared instead of
one; half the people a batch, half the rate and half as many epochs more, so three times the updates; the softmax over all items. And MCLRec with twice
the paper's weight of the learnt views for this data set, .05. Validation only, test is not read.
"""
import time

import torch
from jobs import arguments, run

from mclrec import fit
from mclrec.arms import REGIMES, run_of
from mclrec.encoder import gather, join
from mclrec.engine import starts
from mclrec.models.duorec import DuoRec
from mclrec.registry import model_class
from mclrec.sharing import random_prefixes

ARMS = {"DuoRec": {}, "DuoRec, three prefixes a person": {"prefixes": 3},
        "DuoRec, three times the updates": {"batch_size": 44, "epochs": 30, "lr": 0.001}, "DuoRec, softmax over all items": {"negatives": 0},
        "MCLRec": {}, "MCLRec, β = 0.1": {"beta": 0.1}}


def configurations():
    "By name, which begins with that of the row of `regimes`: what is changed."
    return {name: {"row": name.split(",")[0]} | changed for name, changed in ARMS.items()}


def comparing(prefixes):
    "DuoRec that compares so many random prefixes of each person."
    class Several(DuoRec):
        def shared_inputs(self, batch, targets, index):
            drawn = [random_prefixes(batch, self.n, self.generator) for _ in range(prefixes)]
            seen, at = join([histories for histories, _ in drawn]), torch.cat([last for _, last in drawn])
            places = (self.first[index] - starts(batch.lengths)).repeat(prefixes) + at
            other = self.same_target.another(places, self.generator)
            return batch, targets, join([seen, gather(self.actions, self.start[other], self.end[other])]), at
    return Several


def one(data, said, seed):
    said, begun = dict(said), time.process_time()
    asked = run_of(REGIMES[said.pop("row")], data.name, seed).asked
    kind = comparing(said.pop("prefixes")) if "prefixes" in said else model_class(asked["model"])
    how = {key: said.pop(key, value) for key, value in asked["fit"].items()}
    model = kind(data.n_items, asked["preset"], seed, **asked["settings"] | said)
    records = fit(model, data, seed=seed, progress=False, **how)
    return {"valid": [r["valid"]["NDCG@10"] for r in records], "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, [2020], {"metric": "NDCG@10 on validation"}, source="beauty")
