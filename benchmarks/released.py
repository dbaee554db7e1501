"""Beside the authors' released code: is our training theirs, and how much sooner is it done?

    git clone https://github.com/QinHsiu/MCLRec
    python benchmarks/released.py MCLRec equal                     the same batches without dropout: how far apart are the parameters?
    python benchmarks/released.py MCLRec dropout                   the same batch with dropout, many times: do loss and gradient agree on average?
    python benchmarks/released.py MCLRec speed                     a batch of each in turn, and the ranking of everybody
    python benchmarks/released.py CHECKPOINT.pth people RUN        the checkpoint against a run of ours, person by person

Of their repository the model, its layers and the augmenters are read (recbole/model); what these take from the rest of RecBole is
replaced here, so nothing has to be installed. The three updates of a batch are written out in `updates`, as their trainer makes them.
"""
import argparse
import importlib.util
import math
import sys
from functools import partial
from pathlib import Path
from statistics import median
from types import ModuleType

from mclrec import MCLRec, evaluate, load, load_official, load_run  # before torch, whose threads read how long to spin when they are loaded

import torch
from mclrec.data import held_out
from mclrec.encoder import gather, to_table
from mclrec.model import ranks
from mclrec.ranking import metrics
from mclrec.runs import official_name
from mclrec.training import Trainer
from speed import seconds

LAM, BETA, N, BATCH = 0.0, 0.05, 50, 256                                      # their settings for Beauty


class Abstract(torch.nn.Module):
    "What their model takes from RecBole's class of sequential models: names of columns, and the row of the last item."
    def __init__(self, config, n_items):
        super().__init__()
        self.ITEM_SEQ, self.ITEM_SEQ_LEN, self.POS_ITEM_ID, self.n_items, self.max_seq_length = "items", "length", "next", n_items, N

    def gather_indexes(self, output, index): return output[torch.arange(len(index)), index]


def released(clone):
    "Their classes MCLRec and Extractor, from a clone of their repository."
    def module(name, path=None, **content):
        if path: spec = importlib.util.spec_from_file_location(name, Path(clone) / "recbole/model" / path)
        made = sys.modules[name] = importlib.util.module_from_spec(spec) if path else ModuleType(name)
        made.__dict__.update(content)
        if path: spec.loader.exec_module(made)
        return made
    for name in ("recbole", "recbole.model"): module(name)
    module("recbole.utils", FeatureType=None)
    module("recbole.model.loss", BPRLoss=None)
    module("recbole.model.abstract_recommender", SequentialRecommender=Abstract)
    module("recbole.model.layers", "layers.py")
    return module("theirs", "sequential_recommender/mclrec.py").MCLRec, module("extractors", "extractors.py").Extractor


class Pair:
    "Their model and ours for `data` with the same dropout; `batches` gives both the same histories and views."
    def __init__(self, clone, data, dropout):
        Model, Extractor = released(clone)
        torch.manual_seed(0)
        config = dict(n_layers=2, n_heads=2, hidden_size=64, inner_size=256, hidden_dropout_prob=dropout, attn_dropout_prob=dropout, hidden_act="gelu",
                      layer_norm_eps=1e-12, train_batch_size=BATCH, lmd=LAM, beta=BETA, tau=1, sim="dot", use_rl=True, initializer_range=0.02, loss_type="CE")
        self.theirs, self.augmenters = Model(config, data.n_items + 1), torch.nn.ModuleList(Extractor([64, 32, 16, 64], "gelu") for _ in range(2))
        self.theta, self.phi = (torch.optim.Adam(m.parameters()) for m in (self.theirs, self.augmenters))
        self.trainer = Trainer(MCLRec(data.n_items, dropout=dropout, attention_dropout=dropout), data)
        self.ours = self.trainer.model
        self.theirs.train(), self.ours.train()

    def weights(self, of=lambda parameter: parameter.detach().clone()):
        "Their parameters, or something of each, by the names of ours."
        encoder, augmenters = dict(self.theirs.named_parameters()), dict(self.augmenters.named_parameters())
        def parts(name):
            if name.startswith("encoder."): return [encoder[part] for part in official_name(name[8:])]
            w, _, layer, kind = name.split(".")
            return [augmenters[f"{int(w[1]) - 1}.dense_{int(layer) + 1}.{kind}"]]
        return {name: torch.cat([of(p) for p in parts(name)]) for name in self.ours.state_dict()}

    def batches(self, seed=1):
        "For ever: a batch as they read it, and as `Trainer.step` is given it."
        t, generator = self.trainer, torch.Generator().manual_seed(seed)
        while True:
            pick = torch.randint(len(t.end), (BATCH,), generator=generator)
            batch, targets = gather(t.items, t.start[pick], t.end[pick]), t.items[t.end[pick]].long()
            views = MCLRec.shared_inputs(self.ours, batch, targets)
            (items, last), (both, last_of_both) = to_table(batch, N), to_table(views.augmented, N)
            table = {"items": items, "length": last + 1, "next": targets}
            for k, (view, place) in enumerate(zip(both.chunk(2), last_of_both.chunk(2)), 1): table |= {f"aug{k}": view, f"aug_len{k}": place + 1}
            self.ours.shared_inputs = lambda *batch_again: views                      # the views they get, instead of a new draw
            yield table, (batch, targets, pick)

    def updates(self, table):
        "Encoder, augmenters, encoder: their three losses."
        losses = []
        for step, optimiser in (("step1", self.theta), ("step2", self.phi), ("step3", self.theta)):
            optimiser.zero_grad()
            self.augmenters.requires_grad_(step == "step2")
            loss = self.theirs.calculate_loss(table, list(self.augmenters), step)
            losses.append(loss.item())
            loss.backward()
            optimiser.step()
        return losses


def equal(clone, batches):
    "Both train on the same batches from the same weights, without dropout."
    pair = Pair(clone, load("beauty"), 0.0)
    begun = pair.weights()
    pair.ours.load_state_dict(begun)
    distance = lambda a, b: math.sqrt(sum(float((a[name] - b[name]).square().sum()) for name in a))
    for k, (table, batch) in zip(range(1, batches + 1), pair.batches()):
        losses, record = pair.updates(table), pair.trainer.step(*batch)
        mine = [record["encoder"][0], record["augmenters"][0], record["encoder"][1]]
        now = pair.weights()
        off = max(abs(a / b["loss"].item() - 1) for a, b in zip(losses, mine))
        print(f"batch {k:3}: losses {' '.join(f'{x:.5f}' for x in losses)}, ours differ by {off:.0e} of it; "
              f"parameters moved {distance(now, begun):.3f}, apart {distance(now, pair.ours.state_dict()):.1e}", flush=True)


def dropout(clone, draws):
    "The loss and the gradient of θ in the first stage, at dropout 0.5, after ten batches of training: means over many draws."
    pair = Pair(clone, load("beauty"), 0.5)
    stream = pair.batches()
    for table, _ in (next(stream) for _ in range(10)): pair.updates(table)
    pair.ours.load_state_dict(pair.weights())
    table = next(stream)[0]
    losses, gradients = ([], []), ([], [])
    names = [name for name in pair.ours.state_dict() if name.startswith("encoder.") and name != "encoder.M.weight"]
    pair.augmenters.requires_grad_(False)
    for _ in range(draws):
        pair.theirs.zero_grad(), pair.ours.zero_grad()
        theirs, ours = pair.theirs.calculate_loss(table, list(pair.augmenters), "step1"), pair.ours.encoder_loss(pair.ours.shared_inputs())["loss"]
        theirs.backward(), ours.backward()
        of, mine = pair.weights(lambda p: torch.zeros_like(p) if p.grad is None else p.grad), dict(pair.ours.named_parameters())
        for k, (loss, gradient) in enumerate(((theirs, of), (ours, {name: mine[name].grad for name in names}))):
            losses[k].append(loss.item())
            gradients[k].append(torch.cat([gradient[name].flatten() for name in names]).double())
    a, b = (torch.tensor(x) for x in losses)
    print(f"{draws} draws: loss {a.mean():.4f} ± {a.std():.4f}, ours {b.mean():.4f} ± {b.std():.4f}")
    a, b = (torch.stack(x) for x in gradients)
    moves = (a.std(0) > 0) & (b.std(0) > 0)
    z = ((a.mean(0) - b.mean(0)) / ((a.var(0) + b.var(0)) / draws).sqrt())[moves]
    print(f"gradient, {int(moves.sum())} numbers: their means differ by {z.square().mean().sqrt():.2f} standard errors (root mean square; 1 if the two are alike), "
          f"their deviations by a factor of {(a.std(0)[moves].mean() / b.std(0)[moves].mean()):.3f}")


@torch.no_grad()
def rank_all(model, data):
    "Their model ranks the test item of everybody, 256 at a time, as their trainer does."
    examples, items = held_out(data, "test"), torch.from_numpy(data.items)
    start, end = torch.from_numpy(examples.start), torch.from_numpy(examples.end)
    model.eval()
    for rows in torch.arange(len(end)).split(BATCH):
        table, last = to_table(gather(items, start[rows], end[rows]), N)
        scores = model.full_sort_predict({"items": table, "length": last + 1})
        scores[:, 0] = -torch.inf
        torch.topk(scores, 20)
    model.train()


def speed(clone, batches):
    "Seconds of a batch of theirs, of both our presets and of `official` on one pass, and of the ranking, in turn."
    data = load("beauty")
    pair = Pair(clone, data, 0.5)
    ways = {**{preset: dict(preset=preset) for preset in MCLRec.PRESETS}, "one pass": dict(one_pass=True)}
    streams = {way: Trainer(MCLRec(data.n_items, **settings), data).batches() for way, settings in ways.items()}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; seconds: median (least)")
    times = {name: [] for name in ("released", *streams)}
    for k, (table, _) in zip(range(batches + 1), pair.batches()):
        once = {"released": seconds(partial(pair.updates, table))} | {way: median(seconds(partial(next, stream)) for _ in range(3)) for way, stream in streams.items()}
        for name, value in once.items() if k else (): times[name].append(value)
    said = lambda name, mine, theirs: f"{name:9} {median(mine):7.3f} ({min(mine):.3f})   {median(theirs) / median(mine):5.1f} ({min(theirs) / min(mine):.1f}) times as fast"
    for name, mine in times.items(): print(said(name, mine, times["released"]), flush=True)
    both = [(seconds(partial(rank_all, pair.theirs, data)), seconds(partial(evaluate, pair.ours, data))) for _ in range(2)]
    print(said("ranking", *([column[k] for column in both] for k in (1, 0))))


def people(checkpoint, run):
    "What the checkpoint and a run of ours give each person, on both held-out items: the mean difference and its standard error."
    data = load("beauty")
    models = load_official(checkpoint, data), load_run(run)
    brings = [metrics(torch.tensor([rank])) for rank in range(1, 12)]            # what each rank brings; from 11 on it is nothing at 10
    for split in ("valid", "test"):
        both = [ranks(model, data, split) for model in models]
        for metric in ("HR@10", "NDCG@10", "MRR@10"):
            gain = torch.tensor([brought[metric] for brought in brings])
            a, b = (gain[r.clamp(max=11) - 1] for r in both)
            print(f"{split:5} {metric:7} checkpoint {a.mean():.4f}, ours {b.mean():.4f}: {(a - b).mean():+.4f} ± {(a - b).std() / math.sqrt(len(a)):.4f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("theirs", metavar="CLONE", help="a clone of their repository, or their checkpoint")
    p.add_argument("what", choices=("equal", "dropout", "speed", "people"))
    p.add_argument("run", nargs="?", help="a folder that `mclrec train` made")
    p.add_argument("--batches", type=int, help="how many batches, or draws (equal: 15, dropout: 100, speed: 5)")
    args = p.parse_args()
    if args.what == "people": return people(args.theirs, args.run)
    what, usual = {"equal": (equal, 15), "dropout": (dropout, 100), "speed": (speed, 5)}[args.what]
    what(args.theirs, args.batches or usual)


if __name__ == "__main__":
    main()
