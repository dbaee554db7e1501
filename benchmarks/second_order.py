"""First order, second order, or another aim? python benchmarks/second_order.py results/second_order.json --lines /tmp/second_order.jsonl

The small MCLRec of experiment x5, as released but for the gradient that moves the augmenters φ after the encoder's step from θ to θ′:

* stopped: that of L_1 with the views of θ′ fixed, as released;
* unrolled: that of L_1, also through θ′, which depends on φ by the step;
* held out: that of L_rec on another batch, which depends on φ by the step alone.

The step that is unrolled is a plain one, scaled to the length of Adam's. Its value is Adam's θ′, so the three are taken at one point. Some batches of each
epoch are looked at without dropout: the cosines of the three gradients, at Adam's step and at a fifth of it. All is autograd's: padded, nothing fused.
"""
import time
from functools import partial

import torch
import torch.nn.functional as F
from jobs import arguments, followed, judged, run
from torch.func import functional_call

from mclrec import MCLRec
from mclrec.arms import SMALL, TOY
from mclrec.augmenters import pairs
from mclrec.contrast import plain_info_nce
from mclrec.encoder import gather, padded
from mclrec.regularizer import regularizer_per_anchor
from mclrec.training import Trainer

SEEDS = [2020, 2021, 2022, 2023, 2024]
ARMS = {name: {"gradient": name} for name in ("stopped", "unrolled", "held out")}
EPOCHS = TOY["epochs"]
EVERY = 15                                # one batch of so many is looked at
SHARES = {"a whole step": 1.0, "a fifth": 0.2}


def configurations():
    "By name: which gradient moves φ."
    return ARMS


class Unrolled(Trainer):
    "Three updates a batch, as released, φ's by the gradient called `by`. `seen`: what was looked at, a dict a look."
    def __init__(self, model, data, seed, by, **how):
        super().__init__(model, data, seed, **how)
        self.by, self.seen, self.done = by, [], 0
        self.other = torch.Generator().manual_seed(seed)
        model.encoder.forward = partial(padded, model.encoder)
        self.phi = [*model.w1.parameters(), *model.w2.parameters()]

    def encode(self, theta, batch): return functional_call(self.model.encoder, theta, (batch,))

    def rec(self, theta, batch, targets):
        return F.cross_entropy(self.encode(theta, batch) @ theta["M.weight"][:self.model.n_items + 1].T, targets)

    def contrast(self, h1, h2):
        "L_cl2 and R of the three pairs."
        three = pairs(h1, h2, self.model.w1(h1), self.model.w2(h2))
        return sum(plain_info_nce(a, b) for a, b in three), sum(regularizer_per_anchor(a, b) for a, b in three)

    def L0(self, theta, views):
        h1, h2 = self.encode(theta, views.augmented).chunk(2)
        cl2, R = self.contrast(h1, h2)
        s, rec = self.model.settings, self.rec(theta, views.batch, views.targets)
        return rec + s["lam"] * plain_info_nce(h1, h2) + s["beta"] * cl2 + self.model.gamma * R

    def L1(self, h1, h2):
        cl2, R = self.contrast(h1, h2)
        return cl2 + self.model.settings["gamma_aug"] * R

    def gradient(self, by, views, theta, other):
        "The gradient at φ called `by`; `theta` is θ′, with its dependence on φ."
        if by == "stopped":
            with torch.no_grad(): h = self.encode(theta, views.augmented)
            loss = self.L1(*h.chunk(2))
        elif by == "unrolled": loss = self.L1(*self.encode(theta, views.augmented).chunk(2))
        else: loss = self.rec(theta, *other)
        return torch.autograd.grad(loss, self.phi, retain_graph=True)

    def after(self, before, gradient, moved, share=1.0):
        "θ′ by name: its value `share` of the way that Adam `moved`, its derivative that of a plain step as long."
        length, norm = (sum(x.square().sum() for x in xs).sqrt().detach() for xs in (moved, gradient))
        rate = share * length / norm
        return {name: p.detach() + share * m - rate * (g - g.detach()) for (name, p), m, g in zip(before.items(), moved, gradient)}

    def another(self, size):
        "Another batch of the training examples: histories, and what came next."
        pick = torch.randint(len(self.end), (size,), generator=self.other)
        return gather(self.items, self.start[pick], self.end[pick]), self.items[self.end[pick]].long()

    def look(self, views, before, moved, other):
        self.model.eval()
        gradient, found = torch.autograd.grad(self.L0(before, views), list(before.values()), create_graph=True), {"epoch": self.epoch}
        for said, share in SHARES.items():
            theta = self.after(before, gradient, moved, share)
            g = {by: torch.cat([x.flatten() for x in self.gradient(by, views, theta, other)]) for by in ARMS}
            for a, b in (("stopped", "unrolled"), ("stopped", "held out"), ("unrolled", "held out")):
                found[f"{a}, {b}, {said}"] = F.cosine_similarity(g[a], g[b], dim=0).item()
        self.seen.append(found)
        self.model.train()

    @torch.enable_grad()
    def step(self, batch, targets, index):
        views, parameters = self.model.shared_inputs(batch, targets, index), dict(self.model.encoder.named_parameters())
        before = {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}
        loss = self.L0(before, views)
        gradient = torch.autograd.grad(loss, list(before.values()), create_graph=self.by != "stopped")
        self.move("encoder", parameters.values(), gradient)
        moved = [p.detach() - b.detach() for p, b in zip(parameters.values(), before.values())]
        other, self.done = self.another(len(targets)), self.done + 1
        if self.done % EVERY == 1: self.look(views, before, moved, other)
        theta = self.after(before, gradient, moved)
        self.move("augmenters", self.phi, self.gradient(self.by, views, theta, other))
        self.move("encoder", parameters.values(), torch.autograd.grad(self.L0(parameters, views), list(parameters.values())))
        return {"encoder": [{"loss": loss.detach()}]}

    def move(self, group, parameters, gradient):
        for p, g in zip(parameters, gradient): p.grad = g.detach()
        self.optimisers[group].step()


def one(data, said, seed):
    begun, drop = time.process_time(), {key: TOY[key] for key in ("dropout", "attention_dropout")}
    model = MCLRec(data.n_items, "official", seed, **SMALL, **drop)
    trainer = Unrolled(model, data, seed, said["gradient"], **{key: TOY[key] for key in ("batch_size", "lr", "lr_aug")})
    kept = followed(trainer, data, EPOCHS)
    names = [name for name in trainer.seen[0] if name != "epoch"]
    looks = {name: [float(torch.tensor([s[name] for s in trainer.seen if s["epoch"] == e]).mean()) for e in range(EPOCHS)] for name in names}
    return {**judged(model, data), **kept, "cosines": looks, "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"fit": TOY, "size": SMALL, "every": EVERY})
