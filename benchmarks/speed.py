"""How much sooner: ragged against padded, for training and for ranking, on every data set at hand; and what each model costs."""
import argparse
import json
import time
from functools import partial
from pathlib import Path
from statistics import median

from mclrec import MCLRec, evaluate, load  # before torch, whose threads read how long to spin when they are loaded

import torch
from mclrec.encoder import padded
from mclrec.loading import is_available
from mclrec.runs import MODELS, model_class
from mclrec.training import Trainer


def padded_model(model):
    "The same model, its encoder computing on padded tables."
    model.encoder.forward = partial(padded, model.encoder)
    return model


def seconds(f):
    begun = time.perf_counter()
    f()
    return time.perf_counter() - begun


def alternate(fast, plain, times):
    "Median seconds of each of two functions, called in turn."
    pairs = [(seconds(fast), seconds(plain)) for _ in range(times)]
    return [median(column) for column in zip(*pairs)]


def training(data, preset, batches, batch_size=256):
    "Median seconds a batch, ragged and padded; and how many batches an epoch has."
    makers = (lambda m: m, padded_model)
    trainers = [Trainer(make(MCLRec(data.n_items, preset)), data, batch_size=batch_size) for make in makers]
    streams = [t.batches() for t in trainers]
    for stream in streams:
        next(stream)
    fast, plain = alternate(*(partial(next, s) for s in streams), batches)
    return fast, plain, -(-len(trainers[0].end) // batch_size)


def rivals(data, batches, batch_size=256):
    "For every model that learns batch by batch: its name, and median seconds a batch beside SASRec's, the two in turn."
    def stream(name):
        trainer = Trainer(model_class(name)(data.n_items), data, batch_size=batch_size)
        while True:
            yield from trainer.batches()
    sasrec = stream("sasrec")
    next(sasrec)
    for name in MODELS:
        if not model_class(name)(data.n_items).stages():
            continue
        model = stream(name)
        next(model)
        yield name, *alternate(partial(next, model), partial(next, sasrec), batches)


def ranking(data):
    "Seconds to rank the test item of every user, ragged and padded."
    models = [make(MCLRec(data.n_items)) for make in (lambda m: m, padded_model)]
    return alternate(*(partial(evaluate, m, data) for m in models), 1)


def compare(names, times):
    "Print, for each data set, what a batch, an epoch and the ranking take, ragged and padded."
    print(f"{'data':8} {'what':20} {'ragged':>12} {'padded':>12} {'ratio':>6}")
    for name in names:
        data = load(name)
        for preset in ("official", "paper"):
            fast, plain, batches = training(data, preset, times)
            print(f"{name:8} {preset + ', a batch':20} {fast * 1e3:9.0f} ms {plain * 1e3:9.0f} ms {plain / fast:6.1f}")
            print(f"{name:8} {preset + ', an epoch':20} {fast * batches:10.0f} s {plain * batches:10.0f} s {plain / fast:6.1f}   ({batches} batches)")
        fast, plain = ranking(data)
        print(f"{name:8} {'ranking all users':20} {fast:10.2f} s {plain:10.2f} s {plain / fast:6.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", help="names or files; without them toy, beauty, sports and yelp where at hand")
    parser.add_argument("--models", action="store_true", help="only what a batch of each model costs")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what a batch of each model costs there, as JSON")
    args = parser.parse_args()
    names = args.data or [name for name in ("toy", "beauty", "sports", "yelp") if is_available(name)]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if not args.models:
        compare(names, args.batches)
    name = "beauty" if "beauty" in names else names[0]
    print(f"\n{name}, every model in its first preset, a batch beside one of SASRec")
    costs = {}
    for model, own, sasrec in rivals(load(name), args.batches):
        print(f"{model:10} {own * 1e3:9.0f} ms {sasrec * 1e3:9.0f} ms {own / sasrec:6.1f}", flush=True)
        costs[model] = {"milliseconds": round(1e3 * own, 1), "of_sasrec": round(own / sasrec, 2)}
    if args.keep:
        how = {"data": name, "torch": torch.__version__, "threads": torch.get_num_threads(), "batches": args.batches}
        args.keep.write_text(json.dumps({**how, "models": costs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
