"""Robust to noise? python benchmarks/robustness.py results/robustness.json --lines /tmp/robustness.jsonl

Noise in the test histories and noise in training on the toy shop, with the small models of the experiments x1 to x5: SASRec, CL4SRec, DuoRec and MCLRec,
each in its first preset. As usual, judged with noise in the test histories; and trained on noisy histories, judged on clean ones. Each row keeps everybody's
rank. Figures 4, 7 and 8 with models of full size are `mclrec experiment batch`, `noise` and `groups`.
"""
import time

from jobs import arguments, best_epoch, judged, run

from mclrec import fit
from mclrec.arms import FIELD, FOUR, SMALL, TOY
from mclrec.data import held_out
from mclrec.model import ranks
from mclrec.people import pack
from mclrec.runner import noisy
from mclrec.runs import model_class

SEEDS = [2020, 2021, 2022, 2023, 2024]
NOISE, TAUGHT = [0.05, 0.1, 0.15, 0.2, 0.3], 0.15


def configurations():
    "By name, such as `DuoRec, taught on noise`: the model, and the share of noise in training."
    return {name: {"model": name} for name in FOUR} | {f"{name}, taught on noise": {"model": name, "taught": TAUGHT} for name in FOUR}


def one(data, said, seed):
    begun, drop = time.process_time(), {key: TOY[key] for key in ("dropout", "attention_dropout")}
    taught = noisy(data, said["taught"]) if "taught" in said else data
    model = model_class(FIELD[said["model"]]["model"])(data.n_items, None, seed, **SMALL, **drop)
    records = fit(model, taught, TOY["epochs"], seed, TOY["batch_size"], TOY["lr"], TOY["lr_aug"], progress=False)
    valid = [r["valid"][model.metric[0]] for r in records]
    kept = judged(model, data)
    kept["ranks"] = {"test": kept["ranks"]}
    if said.keys() == {"model"}: kept["ranks"] |= {f"noise {share:g}": pack(ranks(model, noisy(data, share))) for share in NOISE}
    return {**kept, "valid": valid, "best_epoch": best_epoch(valid, model.metric[1]), "people": len(held_out(data).users),
            "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"noise": NOISE, "fit": TOY, "size": SMALL})
