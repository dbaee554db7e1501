"""What the chapters of part 3 show with one seed, with six, and chapter 40 (corners) with five: short trainings on the toy shop, kept in one file.

    python benchmarks/part3.py results/part3.json [s3rec duorec srma corners]

Minutes on a quiet core. Parts that are named are made anew, the others stay as they are in the file.
"""
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from mclrec.data import prefixes
from mclrec.encoder import gather
from mclrec.model import evaluate
from mclrec.models.sasrec import SASRec, next_items
from mclrec.registry import model_class
from mclrec.runs import fingerprint, versions
from mclrec.toy import toy
from mclrec.training import Trainer, fit

SHOP, SEEDS = toy(), range(2020, 2026)
FIT, DROPOUT = dict(batch_size=128, lr=0.005), dict(dropout=0.2, attention_dropout=0.2)
EXAMPLES = prefixes(SHOP)


def some(step):
    "Every `step`-th prefix of the shop, as a batch."
    return gather(torch.from_numpy(SHOP.items), *(torch.from_numpy(x)[::step] for x in (EXAMPLES.start, EXAMPLES.end)))


def begun(name, preset, seed, fit=FIT, **settings):
    model = model_class(name)(SHOP.n_items, preset, seed, **DROPOUT, **settings)
    return model, Trainer(model, SHOP, seed, **fit)


def hits(model): return round(evaluate(model, SHOP)["HR@10"], 3)


@torch.no_grad()
def s3rec(seed):
    "Chapter 26: two epochs of puzzles, two of the task; how personal the scores are after the puzzles, and HR@10 at the end."
    ways, result = {"one drawn item": dict(sampled=True), "all items": {}, "one, as released": dict(sampled=True, double_sigmoid=True, summed=True)}, {}
    for against, settings in ways.items():
        model, trainer = begun("s3rec", "shared", seed, pretrain=2, **settings)
        for epoch in range(4):
            with torch.enable_grad():
                for _ in trainer.batches(): pass
            if epoch != 1: continue
            scores = model.eval().W(model.encode(some(29))) @ model.item_vectors().T
            personal = (scores.std(0).mean() / scores.mean(0).std()).item()
        result[against] = {"personal": round(personal, 3), "HR@10": hits(model)}
    return result


def duorec(seed):
    "Chapter 31: the spread of the vectors after two epochs."
    result = {}
    for preset, lr in (("authors", 0.005), ("authors", 0.001), ("shared", 0.005)):
        model, trainer = begun("duorec", preset, seed, {**FIT, "lr": lr})
        for _ in range(2):
            for _ in trainer.batches(): pass
        with torch.no_grad(): result[f"{preset} lr={lr}"] = round(model.eval().encode(some(len(EXAMPLES.end) // 200)).std(0).mean().item(), 4)
    return result


def srma(seed):
    "Chapter 32: the cosine of two people after one epoch, what the contrast costs at first, and HR@10."
    ways = {"τ = 1": dict(tau=1.0), "no added layers": dict(tau=1.0, extra=0, dropped=0),
            "milder views": dict(tau=1.0, crop_ratio=0.6, mask_ratio=0.3, reorder_ratio=0.6), "τ = 8": dict(tau=8.0)}
    result = {}
    for what, settings in ways.items():
        model, trainer = begun("srma", "shared", seed, **settings)
        con = [record["encoder"][0]["con"].item() for record in trainer.batches()]
        with torch.no_grad(): x = F.normalize(model.eval().encode(some(20)))
        cosine = (((x.sum(0)**2).sum() - len(x)) / (len(x) * (len(x) - 1))).item()
        result[what] = {"cosine": round(cosine, 3), "first L_con": round(con[0], 2), "HR@10": hits(model)}
    return result


class Corner(SASRec):
    "SASRec on prefixes or, with `every_position`, whole histories; against all items or, with `drawn`, one drawn item."
    DEFAULTS = dict(SASRec.DEFAULTS, drawn=False)

    def rec(self, h, batch, targets):
        answers = next_items(batch, targets) if self.settings["every_position"] else targets
        if not self.settings["drawn"]: return self.next_item_loss(h, answers)
        others = torch.randint(1, self.n_items + 1, answers.shape, generator=self.generator)
        right, wrong = ((h * self.encoder.M(items)).sum(1) for items in (answers, others))
        return (F.softplus(-right) + F.softplus(wrong)).mean()


def corners(seed):
    "Chapter 40: four ways to train SASRec, for nearly as many steps (46 and 8 an epoch)."
    result = {}
    for cut, epochs in (("prefixes", 2), ("whole histories", 11)):
        for how in ("all items", "one drawn"):
            model = Corner(SHOP.n_items, None, seed, every_position=cut != "prefixes", drawn=how != "all items", **DROPOUT)
            fit(model, SHOP, epochs=epochs, seed=seed, metric="MRR@10", progress=False, **FIT)
            result[f"{cut}, {how}"] = {name: round(evaluate(model, SHOP)[name], 3) for name in ("HR@10", "NDCG@10")}
    return result


def main(out, *parts):
    kept = json.loads(Path(out).read_text()) if Path(out).exists() else {}
    kept |= {"data": {"name": "toy", "fingerprint": fingerprint(SHOP)}, "fit": {**FIT, **DROPOUT}, "versions": versions()}
    for make in (s3rec, duorec, srma, corners):
        if parts and make.__name__ not in parts: continue
        kept[make.__name__] = {}
        for seed in SEEDS[:5] if make is corners else SEEDS:
            kept[make.__name__][str(seed)] = make(seed)
            print(make.__name__, seed, kept[make.__name__][str(seed)], flush=True)
            Path(out).write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
