"""How long is an epoch, on a GPU where there is one? On Beauty an H200 shall take a second and a half.

    python benchmarks/epoch.py                                 Beauty if it is at hand, else the toy shop; MCLRec's presets and SASRec
    python benchmarks/epoch.py sports --models mclrec:official --epochs 3

On a GPU whole epochs are trained, the first of them not counted. Without one it says so, and an epoch of the CPU is reckoned from some batches.
"""
import argparse
import time
from itertools import islice
from statistics import median

from mclrec import load  # before torch, whose threads read how long to spin when they are loaded

import torch
from mclrec.loading import is_available
from mclrec.registry import model_class
from mclrec.training import Trainer


def on_gpu(trainer, epochs):
    "Seconds of each of some epochs, after one that is not counted, and the most memory held, in MB."
    spent = []
    for _ in range(epochs + 1):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in trainer.batches():
            pass
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - begun)
    return spent[1:], torch.cuda.max_memory_allocated() / 2**20


def on_cpu(trainer, batches):
    "Seconds of each of some batches, after two that are not counted."
    stream, spent = trainer.batches(), []
    for _ in islice(stream, 2):
        pass
    for _ in range(batches):
        begun = time.perf_counter()
        if next(stream, None) is None:
            break
        spent.append(time.perf_counter() - begun)
    return spent


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", nargs="?", help="a name or a file")
    p.add_argument("--models", nargs="+", default=["mclrec:official", "mclrec:paper", "sasrec:shared"], metavar="MODEL:PRESET")
    p.add_argument("--epochs", type=int, default=3, help="on a GPU (3)")
    p.add_argument("--batches", type=int, default=20, help="on a CPU (20)")
    args = p.parse_args()
    data, gpu = load(args.data or ("beauty" if is_available("beauty") else "toy")), torch.cuda.is_available()
    where = torch.cuda.get_device_name() if gpu else f"no GPU here: the CPU with {torch.get_num_threads()} threads, from {args.batches} batches"
    print(f"{data.name}, torch {torch.__version__}; {where}")
    for name in args.models:
        kind, _, preset = name.partition(":")
        model = model_class(kind)(data.n_items, preset or None)
        trainer = Trainer(model.cuda() if gpu else model, data)
        count = -(-len(trainer.end) // trainer.batch_size)
        if gpu:
            spent, held = on_gpu(trainer, args.epochs)
            print(f"{name:18} {median(spent):8.2f} s an epoch (least {min(spent):.2f}), {1e3 * median(spent) / count:.2f} ms a batch, {held:.0f} MB", flush=True)
        elif spent := on_cpu(trainer, args.batches):
            print(f"{name:18} {median(spent) * count:8.1f} s an epoch, {1e3 * median(spent):.0f} ms a batch (least {1e3 * min(spent):.0f})", flush=True)
        else:
            print(f"{name:18} has too few batches to be timed")


if __name__ == "__main__":
    main()
