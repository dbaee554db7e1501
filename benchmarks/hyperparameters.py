"""The runs that chapters 11 and 12 read: every setting of the small sweep, and a run that overfits, with five seeds each.

`python benchmarks/hyperparameters.py results/hyperparameters.json` makes what is missing of them and keeps what is there.
"""
import json
import sys
from pathlib import Path

import mclrec
from mclrec.models.sasrec import SASRec
from mclrec.runs import fingerprint, versions
from mclrec.sweep import BASE, SWEEP, TRAININGS, learn
from mclrec.training import fit

SEEDS = (2020, 1, 2, 3, 4)
KEPT = ("NDCG@10", "HR@10", "MRR@10")


def wanted():
    "What is to be run: (kind, changes of the base, seed), the base once only."
    changes = [{}] + [{knob: value} for knob, values in SWEEP.items() for value in values if value != BASE[knob]]
    changes += [{**how, "regularizer": R} for how in TRAININGS.values() for R in (True, False) if how or not R]
    for seed in SEEDS:
        yield "patience", {}, seed
    for seed in SEEDS:
        yield from (("sweep", change, seed) for change in changes)


def overfitting(data, seed):
    "A run of 20 epochs that is not allowed to stop: a narrow SASRec without dropout, trained much too fast."
    model = SASRec(data.n_items, seed=seed, d=32, inner=32, layers=1, dropout=0.0, attention_dropout=0.0)
    return fit(model, data, epochs=20, patience=20, seed=seed, batch_size=256, lr=3e-2, progress=False)


def run(kind, changes, seed, data):
    "One run: the metrics by epoch, and for `patience` the loss."
    if kind == "patience":
        records = overfitting(data, seed)
        return {name: [r["valid"][name] for r in records] for name in KEPT} | {"loss": [r["loss"] for r in records]}
    found = learn(data, seed, **changes)
    return {name: [valid[name] for valid in found] for name in KEPT}


def main(path):
    path, data = Path(path), mclrec.load("toy")
    kept = json.loads(path.read_text()) if path.exists() else {"data": {"name": data.name, "fingerprint": fingerprint(data)}, "versions": versions(), "curves": []}
    done = {(r["kind"], json.dumps(r["changes"]), r["seed"]) for r in kept["curves"]}
    for kind, changes, seed in wanted():
        if (kind, json.dumps(changes), seed) in done:
            continue
        values = {name: [round(x, 4) for x in xs] for name, xs in run(kind, changes, seed, data).items()}
        kept["curves"].append({"kind": kind, "changes": changes, "seed": seed, **values})
        lines = ",\n  ".join(json.dumps(r) for r in kept["curves"])
        head = json.dumps({name: kept[name] for name in ("data", "versions")})[1:-1]
        path.write_text(f'{{{head}, "curves": [\n  {lines}]}}\n')
        print(kind, changes, seed, values["NDCG@10"][-1], flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
