"""What follows what, counted: python benchmarks/counted.py results/counted.json beauty sports toys yelp

A Markov chain without a model: an item scores how often it followed the person's last item in everybody's training part; where that is equal, the more popular
one is ahead. Nothing is drawn and nothing is learnt, and of the library only the data and the form of the record are used: the ranking is written out here.
"""
import argparse
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from jobs import in_lines, revision
from record import PROTOCOL, rounded

from mclrec import load
from mclrec.people import gains, pack
from mclrec.runs import fingerprint, versions

MISS = 10**6                                                  # the rank of an item that is not in the ranking


def ranked(data):
    "Everybody's rank of the test item, seen items in and out; ties count against the chain."
    histories = [data.items[a:b].tolist() for a, b in zip(data.offsets[:-1], data.offsets[1:])]
    popular, follows = np.zeros(data.n_items + 1), defaultdict(Counter)
    for history in histories:
        known = history[:-2]
        np.add.at(popular, known, 1)
        for before, after in zip(known, known[1:]): follows[before][after] += 1
    popular /= 2 * popular.sum()                              # less than a single count
    inside, outside = np.empty(len(histories), int), np.empty(len(histories), int)
    for user, (*seen, target) in enumerate(histories):
        scores = popular.copy()
        for item, times in follows[seen[-1]].items(): scores[item] += times
        inside[user] = (scores[1:] >= scores[target]).sum()
        owned = np.array(sorted(set(seen)))
        outside[user] = MISS if target in seen else inside[user] - (scores[owned] >= scores[target]).sum()
    return inside, outside


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file", type=Path, metavar="FILE")
    p.add_argument("data", nargs="+", metavar="DATA")
    args, rows = p.parse_args(), []
    for name in args.data:
        data, begun = load(name), time.process_time()
        both = ranked(data)
        test = {f"seen_{seen}": {m: float(gains(of, m).mean()) for m in ("HR@10", "NDCG@10", "MRR@10")} for seen, of in zip(("in", "out"), both)}
        rows.append(rounded({"configuration": name, "seed": None, "data": {"people": len(data.lengths), "fingerprint": fingerprint(data)}, "test": test,
                             "ranks": {"test": pack(*both)}, "seconds": round(time.process_time() - begun, 1)}))
        print(name, *(f"seen {seen}: {test[f'seen_{seen}']}" for seen in ("in", "out")))
    head = {"protocol": PROTOCOL, "versions": versions(), "revision": [revision()], "settings": {name: {} for name in args.data}, "rows": rows}
    args.file.write_text(in_lines(head) + "\n")
