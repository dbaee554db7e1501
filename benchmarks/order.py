"""Which order, which batch? python benchmarks/order.py results/order.json --lines /tmp/order.jsonl

The small MCLRec of experiment x1, as released but for the order of its three updates of a batch, or for the batch of the third:

* φ first: the augmenters move before the encoder, which then takes both of its steps;
* φ last: the encoder takes both of its steps, then the augmenters move;
* another batch: the third update, the encoder's second, is made on another batch of the training examples.

Each at half, once and twice the rate of the toy shop, as in x1.
"""
import time

import torch
from jobs import arguments, followed, judged, run

from mclrec import MCLRec
from mclrec.arms import SMALL, TOY
from mclrec.encoder import gather
from mclrec.training import Trainer

SEEDS = [2020, 2021, 2022, 2023, 2024]
RATES = {"half": 0.5, "once": 1, "twice": 2}
ORDERS = {"φ first": (1, 0, 2), "φ last": (0, 2, 1), "another batch": (0, 1, 2)}


def configurations():
    "By name, such as `φ first once`: in which order the three updates come, whether the third has its own batch, times the rate."
    return {f"{name} {rate}": {"order": order, "another": name == "another batch", "times": RATES[rate]}
            for name, order in ORDERS.items() for rate in RATES}


def ordered(order):
    "MCLRec that makes its three updates in this order."
    return type("MCLRec", (MCLRec,), {"stages": lambda self: [MCLRec.stages(self)[k] for k in order]})


class Other(Trainer):
    "Makes the third update of a batch on another one, drawn from the training examples."
    def __init__(self, model, data, seed, **how):
        super().__init__(model, data, seed, **how)
        self.drawn = torch.Generator().manual_seed(seed)

    def step(self, batch, targets, index):
        whole = self.model.stages
        try:
            self.model.stages = lambda: whole()[:2]
            record = super().step(batch, targets, index)
            pick = torch.randint(len(self.end), (len(targets),), generator=self.drawn)
            self.model.stages = lambda: whole()[2:]
            super().step(gather(self.items, self.start[pick], self.end[pick]), self.items[self.end[pick]].long(), pick)
        finally: del self.model.stages
        return record


def one(data, said, seed):
    begun, drop = time.process_time(), {key: TOY[key] for key in ("dropout", "attention_dropout")}
    model = ordered(said["order"])(data.n_items, "official", seed, **SMALL, **drop)
    rates = {key: TOY[key] * said["times"] for key in ("lr", "lr_aug")}
    trainer = (Other if said["another"] else Trainer)(model, data, seed, batch_size=TOY["batch_size"], **rates)
    kept = followed(trainer, data, TOY["epochs"])
    return {**judged(model, data), **kept, "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"fit": TOY, "size": SMALL})
