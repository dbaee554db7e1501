"""Who takes the first places of a list? python benchmarks/places.py CHECKPOINT results/places.json

The authors' released weights on Beauty, every test history, all items ranked: for each of the first ten places the share of people where an item of their own
history stands, and where their last item does. Besides, everybody's rank with seen items in the ranking and out of it, so that these weights can be compared with
our runs person by person.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
from jobs import in_lines, judged, revision
from record import PROTOCOL, rounded

from mclrec import load, load_official
from mclrec.model import score_batches
from mclrec.runs import fingerprint, versions

PLACES = 10


def first_places(model, data):
    "For each of the first places the share of people where an own item stands, and where their last one does."
    items, ends = torch.from_numpy(data.items), torch.from_numpy(data.offsets[1:]) - 1
    starts = torch.from_numpy(data.offsets[:-1])
    own, last = np.zeros(PLACES), np.zeros(PLACES)
    for users, scores in score_batches(model, items, torch.maximum(starts, ends - model.n), ends):
        for user, first in zip(users.tolist(), (1 + scores.topk(PLACES).indices).tolist()):
            history = data.items[starts[user]:ends[user]].tolist()
            own += [item in history for item in first]
            last += [item == history[-1] for item in first]
    return {"own": (own / len(ends)).round(5).tolist(), "last": (last / len(ends)).round(5).tolist()}


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    p.add_argument("file", type=Path, metavar="FILE")
    args = p.parse_args()
    data, name = load("beauty"), "MCLRec, released weights"
    model, begun = load_official(args.checkpoint, data), time.process_time()
    kept = judged(model, data)
    row = {"configuration": name, "seed": None, "data": {"people": len(data.lengths)}, "test": kept["test"], "ranks": {"test": kept["ranks"]},
           "places": first_places(model, data)}
    row = rounded(row | {"seconds": round(time.process_time() - begun, 1)})
    head = {"data": {"name": data.name, "fingerprint": fingerprint(data)}, "protocol": PROTOCOL, "versions": versions(), "revision": [revision()]}
    args.file.write_text(in_lines({**head, "settings": {name: {"checkpoint": args.checkpoint.name}}, "rows": [row]}) + "\n")
    print(f"{name}: an own item first for {row['places']['own'][0]:.1%} of people, the last one for {row['places']['last'][0]:.1%}")
