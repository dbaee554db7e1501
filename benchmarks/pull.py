"""How hard does each term of L_0 pull? python benchmarks/pull.py results/pull.json --lines /tmp/pull.jsonl

MCLRec as the toy shop trains it, with its usual weights and with those that each seed's validation chooses in the experiment lambda_beta. Before training and
after each epoch: the value of each term without its weight, and the length of its gradient with respect to θ, for the same people, targets and views, without
dropout. The looking draws no random numbers of the training, so the ranking is that of the experiment's run.
"""
import time

import numpy as np
import torch
from jobs import arguments, followed, judged, run

from mclrec import InputError, MCLRec
from mclrec.arms import run_of
from mclrec.encoder import gather
from mclrec.training import Trainer
from mclrec.verdicts import best_weights

SEEDS = [2020, 2021, 2022, 2023, 2024]
PEOPLE = 128
TERMS = ("rec", "cl1", "cl2")


def configurations():
    "By name: λ and β, or that the grid says them."
    return {"usual": {"lam": 0.03, "beta": 0.1}, "best of the grid": {"of": "lambda_beta"}}


def some_views(data, asked):
    "Two augmented views of the histories of some people, and their targets, drawn by a model of its own."
    users = np.flatnonzero(data.lengths > 2)[:PEOPLE]
    start, end = torch.from_numpy(data.offsets[users]), torch.from_numpy(data.offsets[users + 1]) - 2
    items = torch.from_numpy(data.items)
    twin = MCLRec(data.n_items, asked["preset"], asked["seed"], **asked["settings"])
    return twin.shared_inputs(gather(items, torch.maximum(start, end - twin.n), end), items[end].long())


def pulls(model, views):
    "{term: (its value, the length of its gradient with respect to θ)}, whatever the weights are."
    training, settings, theta = model.training, model.settings, [*model.encoder.parameters()]
    model.eval()
    model.settings = settings | {"lam": 1.0, "beta": 1.0}
    try:
        terms = model.encoder_loss(views)
        def length(term): return sum(float(g.pow(2).sum()) for g in torch.autograd.grad(term, theta, retain_graph=True, allow_unused=True) if g is not None)**.5
        return {name: (terms[name].item(), length(terms[name])) for name in TERMS}
    finally:
        model.settings = settings
        model.train(training)


def one(data, said, seed):
    begun = time.process_time()
    if "of" in said:
        best = best_weights(data.name)
        if seed not in best: raise InputError(f"seed {seed} has no whole grid: mclrec experiment lambda_beta --data toy --seeds {seed}")
        lam, beta = best[seed]
    else: lam, beta = said["lam"], said["beta"]
    asked = run_of({"model": "mclrec", "lam": lam, "beta": beta}, data.name, seed).asked
    model, views, found = MCLRec(data.n_items, asked["preset"], seed, **asked["settings"]), some_views(data, asked), []
    how = dict(asked["fit"])
    epochs = how.pop("epochs")
    kept = followed(Trainer(model, data, seed, **how), data, epochs, lambda epoch: found.append(pulls(model, views)))
    return {**kept, **judged(model, data), "people": len(data.lengths), "lam": lam, "beta": beta, "measures":
            {f"{name} {what}": [f[name][k] for f in found] for name in TERMS for k, what in enumerate(("value", "pull"))},
            "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"people": PEOPLE})
