"""Does meta-training scatter the negatives? python benchmarks/meta_and_joint.py results/meta_and_joint.json --lines /tmp/meta_and_joint.jsonl

Claim M4. MCLRec and MCLRec-J as experiment figure3 trains them on the toy shop, and MCLRec-J that takes each step twice, as MCLRec does with the encoder's.
After each epoch: alignment, uniformity and effective rank of h̃ of some people, two views each, without dropout.
"""
import time

import torch
from jobs import arguments, run

from mclrec import MCLRec
from mclrec.arms import META, run_of
from mclrec.training import BestEpoch, Trainer, one_epoch
from mclrec.views import augmented_once, snapshot, some_histories, view_numbers

SEEDS = [2020, 2021, 2022, 2023, 2024]
PEOPLE = 300
ARMS = {"meta": ("MCLRec", 1), "joint": ("MCLRec-J, jointly", 1), "joint, two steps": ("MCLRec-J, jointly", 2)}


def configurations():
    "By name: the row of figure3, and how often each of its stages is taken."
    return {name: {"row": row, "times": times} for name, (row, times) in ARMS.items()}


def often(times):
    "MCLRec that takes each of its stages so often on a batch."
    return type("MCLRec", (MCLRec,), {"stages": lambda self: [stage for stage in MCLRec.stages(self) for _ in range(times)]})


@torch.no_grad()
def looked(model, augmented):
    "The three numbers of h̃ of both views, and the mean length of h̃."
    s = snapshot(model, augmented)
    return view_numbers(s.h1, s.h2) | {"length": torch.cat([s.h1, s.h2]).norm(dim=1).mean().item()}


def one(data, said, seed):
    begun, asked = time.process_time(), run_of(META[said["row"]], data.name, seed).asked
    model = often(said["times"])(data.n_items, asked["preset"], seed, **asked["settings"])
    how = dict(asked["fit"])
    epochs = how.pop("epochs")
    trainer = Trainer(model, data, seed, **how)
    augmented, best, valid, found = augmented_once(model, some_histories(data, model.n, PEOPLE)), BestEpoch(*model.metric), [], []
    for _ in range(epochs):
        record = one_epoch(trainer, data)
        best.update(record, model)
        valid.append(record["valid"][best.metric])
        found.append(looked(model, augmented))
    best_epoch = 1 + max(range(epochs), key=lambda k: (round(valid[k], 4), -k))
    return {"valid": valid, "best_epoch": best_epoch, "measures": {name: [f[name] for f in found] for name in found[0]},
            "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"people": PEOPLE})
