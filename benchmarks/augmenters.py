"""What do augmenters learn, and do dumb ones do as well? python benchmarks/augmenters.py results/augmenters.json --lines /tmp/augmenters.jsonl

The small MCLRec of experiment x3, `official` in all but its augmenters: learnt, frozen, shared, left out; a learnt linear map, wide and as narrow as
the MLP; and maps that learn nothing: a fixed turn, none at all (identity), noise, dropout. Last, augmenters that climb L_cl2 instead of going down.
After several epochs a linear probe is asked what the vectors know of the toy shop's people: their kitchen, the aisle they were in last, the aisle
they go to next. A probe is a logistic regression, fitted on one half of the people and asked about the other, both ways.
"""
import base64
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from jobs import arguments, followed, judged, run
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from mclrec import MCLRec
from mclrec.arms import SMALL, TOY
from mclrec.data import held_out
from mclrec.encoder import gather
from mclrec.toy import AISLES, KITCHENS, aisle_of, kitchen_of
from mclrec.training import Trainer
from mclrec.views import augmented_once, effective_rank, snapshot

SEEDS = [2020, 2021, 2022, 2023, 2024]
AT = [0, 1, 2, 5, 10]                     # epochs after which the probes ask
NOISE = 0.6                               # length of the noise over that of h
DROPPED = 0.25                            # share of the dimensions that dropout leaves out
ARMS = {"learnt": {}, "frozen": {"lr_aug": 1e-12}, "shared": {"share": True}, "none": {"beta": 0.0}, "linear": {"map": "linear"},
        "narrow linear": {"map": "narrow"}, "turn": {"map": "turn"}, "identity": {"map": "identity"}, "noise": {"map": "noise"},
        "dropout": {"map": "dropout"}, "adversarial": {"climbs": True}}


class Linear(nn.Module):
    "A learnt linear map d → d, or d → d/4 → d, its outputs of length 1."
    def __init__(self, d, narrow, generator):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in (((d, d // 4), (d // 4, d)) if narrow else ((d, d),)))
        for layer in self.layers:
            for parameter in layer.parameters(): nn.init.uniform_(parameter, -layer.in_features**-.5, layer.in_features**-.5, generator=generator)

    def forward(self, h):
        for layer in self.layers: h = layer(h)
        return F.normalize(h, eps=0)


class Fixed(nn.Module):
    "A map that learns nothing: nothing but length 1, or a random turn before it, or noise, or some dimensions left out."
    def __init__(self, kind, d, seed):
        super().__init__()
        self.kind, self.generator = kind, torch.Generator().manual_seed(seed)
        self.register_buffer("Q", torch.linalg.qr(torch.randn(d, d, generator=self.generator))[0])

    def forward(self, h):
        if self.kind == "turn": h = h @ self.Q
        if self.kind == "noise":
            strange = F.normalize(torch.randn(h.shape, generator=self.generator))
            h = h + NOISE * h.norm(dim=1, keepdim=True) * strange
        if self.kind == "dropout": h = h * (torch.rand(h.shape, generator=self.generator) >= DROPPED)
        return F.normalize(h, eps=0)


class Learns(MCLRec):
    "MCLRec with linear augmenters."
    narrow = False
    def __init__(self, n_items, preset=None, seed=2020, **settings):
        super().__init__(n_items, preset, seed, **settings)
        self.w1, self.w2 = (Linear(self.settings["d"], self.narrow, self.generator) for _ in range(2))


class Narrow(Learns): narrow = True


class Still(MCLRec):
    "MCLRec with augmenters that learn nothing; the encoder moves twice, as ever."
    kind = "identity"
    def __init__(self, n_items, preset=None, seed=2020, **settings):
        super().__init__(n_items, preset, seed, **settings)
        self.w1, self.w2 = (Fixed(self.kind, self.settings["d"], self.seed + k) for k in (1, 2))

    def stages(self): return [stage for stage in super().stages() if stage[0] == "encoder"]
    def groups(self): return {"encoder": super().groups()["encoder"]}


class Turn(Still): kind = "turn"
class Noise(Still): kind = "noise"
class Dropped(Still): kind = "dropout"


class Climbs(MCLRec):
    "MCLRec whose augmenters make the contrast as hard as they can."
    def augmenter_loss(self, views, augmented=None):
        terms = super().augmenter_loss(views, augmented)
        return terms | {"loss": terms["loss"] - 2 * terms["cl2"]}


KINDS = {"linear": Learns, "narrow": Narrow, "turn": Turn, "identity": Still, "noise": Noise, "dropout": Dropped}


def configurations():
    "By name: what is changed in MCLRec."
    return ARMS


def truth(data):
    "What there is to know of each person, three lists of numbers: the kitchen they favour, the aisle of the last item, that of the item to come."
    examples = held_out(data, "test")
    ids = [[data.item_ids[i - 1] for i in data.items[data.offsets[u]:end + 1]] for u, end in zip(examples.users, examples.end)]
    aisles = list(AISLES)
    favour = [np.bincount([KITCHENS.index(kitchen_of(i)) for i in whole], minlength=len(KITCHENS)).argmax() for whole in ids]
    return {"kitchen": np.array(favour), "last aisle": np.array([aisles.index(aisle_of(whole[-2])) for whole in ids]),
            "next aisle": np.array([aisles.index(aisle_of(whole[-1])) for whole in ids])}


def probe(x, y, seed=2020):
    "For whom a linear probe of the vectors x (U, d) is right about y (U,), fitted on the other half of the people: (U,) bool."
    half, right = np.random.default_rng(seed).permutation(len(y)), np.zeros(len(y), bool)
    for known, asked in ((half[::2], half[1::2]), (half[1::2], half[::2])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x[known], y[known])
        right[asked] = fitted.predict(x[asked]) == y[asked]
    return right


@torch.no_grad()
def looked(model, histories, augmented):
    "Vectors of everybody: h of the history, h̃ of a view, z̃ of that view; and three numbers of the augmenter."
    seen = snapshot(model, augmented)
    model.eval()
    vectors = {"h": model.encode(histories), "h̃": seen.h1, "z̃": seen.z1}
    model.train()
    cosine = F.cosine_similarity(seen.h1, seen.z1).mean().item()
    return vectors, {"cosine": cosine, "rank h̃": effective_rank(seen.h1), "rank z̃": effective_rank(seen.z1)}


def one(data, said, seed):
    said, begun = dict(said), time.process_time()
    lr_aug, kind = said.pop("lr_aug", TOY["lr_aug"]), KINDS.get(said.pop("map", None), Climbs if said.pop("climbs", False) else MCLRec)
    drop = {key: TOY[key] for key in ("dropout", "attention_dropout")}
    model = kind(data.n_items, "official", seed, **SMALL, **drop, **said)
    trainer = Trainer(model, data, seed, TOY["batch_size"], TOY["lr"], lr_aug)
    examples, known = held_out(data, "test", model.n), truth(data)
    histories = gather(*(torch.from_numpy(x) for x in (data.items, examples.start, examples.end)))
    augmented, found, numbers, right = augmented_once(model, histories), [], [], {}
    def look(epoch):
        if epoch not in AT: return
        vectors, told = looked(model, histories, augmented)
        right.update({f"{what} from {name}": probe(x.numpy(), y) for what, y in known.items() for name, x in vectors.items()})
        found.append({name: float(of.mean()) for name, of in right.items()})
        numbers.append(told)
    kept = followed(trainer, data, TOY["epochs"], look)
    return {**judged(model, data), **kept, "probes": {name: [f[name] for f in found] for name in found[0]},
            "numbers": {name: [n[name] for n in numbers] for name in numbers[0]},
            "right": {name: base64.b85encode(np.packbits(of).tobytes()).decode() for name, of in right.items()},
            "seconds": round(time.process_time() - begun, 1)}


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"at": AT, "noise": NOISE, "dropped": DROPPED, "fit": TOY, "size": SMALL})
