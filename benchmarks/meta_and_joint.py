"""Does meta-training scatter the negatives? python benchmarks/meta_and_joint.py results/meta_and_joint.json --lines /tmp/meta_and_joint.jsonl

Claim M4. MCLRec and MCLRec-J as experiment figure3 trains them on the toy shop, and MCLRec-J that takes each step twice, as MCLRec does with the encoder's.
After each epoch: alignment, uniformity and effective rank of h̃ of some people, two views each, without dropout.
"""
import time

import torch
from jobs import arguments, followed, run
from two_steps import again

from mclrec import MCLRec
from mclrec.arms import META, run_of
from mclrec.training import Trainer
from mclrec.views import augmented_once, snapshot, some_histories, view_numbers

SEEDS = [2020, 2021, 2022, 2023, 2024]
PEOPLE = 300
ARMS = {"meta": ("MCLRec", 1), "joint": ("MCLRec-J, jointly", 1), "joint, two steps": ("MCLRec-J, jointly", 2)}


def configurations():
    "By name: the row of figure3, and how often each of its stages is taken."
    return {name: {"row": row, "times": times} for name, (row, times) in ARMS.items()}


@torch.no_grad()
def looked(model, augmented):
    "The three numbers of h̃ of both views, and the mean length of h̃."
    s = snapshot(model, augmented)
    return view_numbers(s.h1, s.h2) | {"length": torch.cat([s.h1, s.h2]).norm(dim=1).mean().item()}


def one(data, said, seed):
    begun, asked = time.process_time(), run_of(META[said["row"]], data.name, seed).asked
    model = again(MCLRec, said["times"])(data.n_items, asked["preset"], seed, **asked["settings"])
    how = dict(asked["fit"])
    epochs = how.pop("epochs")
    trainer = Trainer(model, data, seed, **how)
    augmented, found = augmented_once(model, some_histories(data, model.n, PEOPLE)), []
    def look(epoch):
        if epoch: found.append(looked(model, augmented))
    kept = followed(trainer, data, epochs, look)
    return {**kept, "measures": {name: [f[name] for f in found] for name in found[0]}, "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"people": PEOPLE})
