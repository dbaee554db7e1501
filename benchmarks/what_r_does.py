"""What R does to the views: python benchmarks/what_r_does.py results/what_r_does.json --lines /tmp/what_r_does.jsonl

The small model under the settings of two chapters, one factor turned at a time between them: dropout, rates (with the size of the batch), shape, preset;
R on and off, and at both corners R in one stage only, ten times R, and a placebo, a penalty on the length of h that pulls at h as hard as R does.
Each run is measured after several numbers of training examples, so that its length is a factor too. Test: after the last batch.
"""
import time
from itertools import product

import torch
from jobs import arguments, run

from mclrec import MCLRec, evaluate
from mclrec.meta import contrastive_terms
from mclrec.training import Trainer
from mclrec.views import augmented_once, effective_rank, snapshot, some_histories, view_numbers

SEEDS = list(range(2020, 2026))
DROPOUT = {".5": 0.5, ".2": 0.2}
RATES = {"09": dict(batch_size=64, lr=3e-3, lr_aug=1e-2), "13": dict(batch_size=128, lr=5e-3, lr_aug=5e-3)}
SHAPE = {"09": dict(d=32, layers=1, heads=1, n=20), "13": dict(d=32, layers=1, heads=2, n=10)}
EXAMPLES = [0, 704, 1408, 2176, 2880, 3584, 4352, 5120, 5888, 7360, 8832, 11776, 14720, 17664, 23552]
RANKED = {2880, 5888, 11776, 23552}                        # 2880: 45 batches of 64, chapter 9; 11776: 92 batches of 128, chapter 13
OF_R = {"on": {}, "off": {"regularizer": False}, "encoder": {"gamma_aug": 0.0}, "augmenters": {"gamma": 0.0}, "ten": {"gamma": 0.1, "gamma_aug": 1.0},
        "placebo": {"gamma_aug": 0.0}}
PEOPLE = 200


class Placebo(MCLRec):
    "R in the encoder's loss replaced by a penalty on mean ‖h‖² that pulls at h̃ as hard as R would."
    def encoder_loss(self, views):
        terms, s = super().encoder_loss(views), self.settings
        h1, h2 = (h.detach().requires_grad_() for h in self.last.chunk(2))
        R = contrastive_terms(h1, h2, self.w1, self.w2, s, ("R",))["R"]
        pull = torch.cat(torch.autograd.grad(R, [h1, h2])).norm()
        h = self.last
        penalty = h.square().sum(1).mean()
        own = (2 * h.detach() / len(h)).norm()
        rest = terms["rec"] + sum(s[w] * terms[t] for t, w in (("cl1", "lam"), ("cl2", "beta")) if t in terms)
        return {**terms, "loss": rest + self.gamma * pull / own * penalty}

    def encode(self, batch):
        h = super().encode(batch)
        if self.training and len(h) % 3 == 0: self.last = h[len(h) // 3:]
        return h


def configurations():
    "By name: preset, dropout, rates, shape, what becomes of R."
    said = {}
    def add(preset, dropout, rates, shape, R):
        said[f"{preset} dropout {dropout} rates {rates} shape {shape} R {R}"] = dict(preset=preset, dropout=dropout, rates=rates, shape=shape, R=R)
    corners = [(".5", "09", "09"), (".2", "13", "13")]
    for corner in corners:
        for R in ("off", "on"): add("official", *corner, R)
    for between in product(DROPOUT, RATES, SHAPE):
        for R in ("off", "on"): add("official", *between, R)
    for corner in corners:
        for R in ("encoder", "augmenters", "ten", "placebo"): add("official", *corner, R)
    for corner in corners:
        for R in ("off", "on", "ten"): add("paper", *corner, R)
    return said


@torch.no_grad()
def measured(model, augmented):
    "The measures of h̃ and z̃ of some people, without dropout, and the mean length of both."
    s = snapshot(model, augmented)
    short = {"alignment": "alignment", "uniformity": "uniformity", "rank": "effective rank"}
    row = {}
    for name, x, y in (("h", s.h1, s.h2), ("z", s.z1, s.z2)):
        numbers = view_numbers(x, y)
        row |= {f"{name} {k}": round(numbers[v], 3) for k, v in short.items()}
        row[f"{name} length"] = round(torch.cat([x, y]).norm(dim=1).mean().item(), 3)
    return row | {"z rank of one": round((effective_rank(s.z1) + effective_rank(s.z2)) / 2, 3)}


def one(data, said, seed):
    drop, how = DROPOUT[said["dropout"]], RATES[said["rates"]]
    R = dict(OF_R[said["R"]])
    if said["preset"] == "paper" and said["R"] == "ten": R = {"gamma": 0.1}
    kind = Placebo if said["R"] == "placebo" else MCLRec
    model = kind(data.n_items, said["preset"], seed, **SHAPE[said["shape"]], dropout=drop, attention_dropout=drop, **R)
    begun, trainer, done = time.perf_counter(), Trainer(model, data, seed, **how), 0
    augmented, found, batches = augmented_once(model, some_histories(data, model.n, PEOPLE)), [], iter(())
    for k in EXAMPLES:
        while done < round(k / how["batch_size"]):
            if next(batches, None) is None: batches = trainer.batches()
            else: done += 1
        found.append({"batches": done, **measured(model, augmented), "NDCG@10": round(evaluate(model, data)["NDCG@10"], 4) if k in RANKED else None})
    names = list(found[0])
    return {"measures": {name: [f[name] for f in found] for name in names}, "seconds": round(time.perf_counter() - begun, 1)}


def kept_of(row):
    "A row without what its configuration says already and without what was not measured."
    measures = {name: [x for x in values if x is not None] for name, values in row["measures"].items() if name != "batches"}
    return {**row, "measures": measures}


if __name__ == "__main__":
    head = {"shape": SHAPE, "rates": RATES, "R": OF_R, "examples": EXAMPLES, "ranked": sorted(RANKED), "people": PEOPLE}
    run(arguments(__doc__), configurations(), one, SEEDS, head, kept_of)
