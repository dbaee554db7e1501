"""Robust to what? python benchmarks/robustness.py results/robustness.json --lines /tmp/robustness.jsonl

Figures 4, 7 and 8 of the paper on the toy shop, with the small models of the experiments x1 to x5: SASRec, CL4SRec, DuoRec and MCLRec, each in its first
preset. As usual, with noise in the test histories; trained on noisy histories and tested on clean ones; trained on a group of people alone; trained with
smaller and larger batches, at the usual rates and at rates scaled with the batch. Each row keeps everybody's rank.
"""
import time
from itertools import product

from jobs import arguments, best_epoch, judged, run

from mclrec import fit
from mclrec.arms import FIELD, FOUR, GROUPS, SMALL, TOY
from mclrec.data import held_out
from mclrec.model import ranks
from mclrec.people import pack
from mclrec.runner import noisy, of_group
from mclrec.runs import model_class

SEEDS = [2020, 2021, 2022, 2023, 2024]
NOISE, TAUGHT, BATCHES = [0.05, 0.1, 0.15, 0.2, 0.3], 0.15, [64, 256]


def configurations():
    "By name, such as `DuoRec, batch 64, scaled`: model, group, share of noise in training, size of a batch, what the rates are multiplied by."
    said = {name: {"model": name} for name in FOUR}
    for name, group in product(FOUR, GROUPS): said[f"{name}, group {group}"] = {"model": name, "group": group}
    for name in FOUR: said[f"{name}, taught on noise"] = {"model": name, "taught": TAUGHT}
    for name, size in product(FOUR, BATCHES):
        said[f"{name}, batch {size}"] = {"model": name, "batch_size": size}
        said[f"{name}, batch {size}, scaled"] = {"model": name, "batch_size": size, "times": size / TOY["batch_size"]}
    return said


def one(data, said, seed):
    begun, drop = time.process_time(), {key: TOY[key] for key in ("dropout", "attention_dropout")}
    if "group" in said: data = of_group(data, *GROUPS[said["group"]])
    taught = noisy(data, said["taught"]) if "taught" in said else data
    model = model_class(FIELD[said["model"]]["model"])(data.n_items, None, seed, **SMALL, **drop)
    size, times = said.get("batch_size", TOY["batch_size"]), said.get("times", 1)
    records = fit(model, taught, TOY["epochs"], seed, size, TOY["lr"] * times, TOY["lr_aug"] * times, progress=False)
    valid = [r["valid"][model.metric[0]] for r in records]
    kept = judged(model, data)
    kept["ranks"] = {"test": kept["ranks"]}
    if said.keys() == {"model"}: kept["ranks"] |= {f"noise {share:g}": pack(ranks(model, noisy(data, share))) for share in NOISE}
    return {**kept, "valid": valid, "best_epoch": best_epoch(valid, model.metric[1]), "people": len(held_out(data).users),
            "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"noise": NOISE, "fit": TOY, "size": SMALL})
