"""How time and memory grow with users, items and the length of histories. Each case runs in a process of its own.

Times are processor seconds of one thread, so that what else runs on the machine does not count.
"""
import argparse
import json
import subprocess
import sys
import time

import numpy as np

BASE = {"users": 5_000, "items": 10_000, "n": 50, "length": 12}
CASES = [BASE] + [{**BASE, "users": u} for u in (20_000, 80_000)] + [{**BASE, "items": i} for i in (100_000, 1_000_000)] + [
    {**BASE, "n": n, "length": n} for n in (25, 100, 200)] + [
    {**BASE, "items": i, "model": "sasrec", "preset": "swift"} for i in (10_000, 100_000, 1_000_000)]


def random_data(users, items, length):
    "Histories of the given mean length, items drawn at random."
    from mclrec import Interactions
    rng = np.random.default_rng(0)
    lengths = np.maximum(rng.poisson(length, users), 5)
    numbers = rng.integers(1, items + 1, lengths.sum(), dtype=np.int32)
    return Interactions(numbers, np.concatenate([[0], np.cumsum(lengths)]), list(range(items)), list(range(users)), "random")


def real(data):
    "The case of a data set at hand: two hundred batches of it."
    return {"data": data.name, "users": data.n_users, "items": data.n_items, "n": 50, "length": round(float(data.lengths.mean())), "batches": 200}


def held():
    "Megabytes of memory this process has held at most."
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(case):
    "One case: seconds a batch, seconds to rank everybody, and memory above what data, parameters, gradients and moments need."
    from itertools import islice

    import torch

    from mclrec import load
    from mclrec.model import ranks
    from mclrec.registry import model_class
    from mclrec.training import Trainer
    torch.set_num_threads(1)
    data = load(case["data"]) if "data" in case else random_data(case["users"], case["items"], case["length"])
    model = model_class(case.get("model", "mclrec"))(data.n_items, case.get("preset"), n=case["n"])
    parameters = sum(p.numel() for p in model.parameters()) * 4 / 2**20
    before = held()
    trainer = Trainer(model, data, batch_size=case.get("batch_size", model.TRAINING.get(model.preset, {}).get("batch_size", 256)))
    times = []
    begun = time.process_time()
    for _ in islice(trainer.batches(), case.get("batches", 4)):
        times.append(time.process_time() - begun)
        begun = time.process_time()
    trained = held()
    begun = time.process_time()
    ranks(model, data)
    ranking = time.process_time() - begun
    return {"examples": len(trainer.end), "batch_size": trainer.batch_size, "batch_ms": 1e3 * min(times), "ranking_s": ranking, "above_mb": trained - before - 3 * parameters, "ranking_above_mb": held() - trained,
            "parameters_mb": parameters, "held_mb": held()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="JSON", help='one case, as in \'{"users": 5000, "items": 1000000, "n": 50, "length": 12}\', or a list of them')
    parser.add_argument("--keep", metavar="FILE", help="write what was measured as JSON, for chapter 95")
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(json.loads(args.case))))
        return
    from mclrec import load
    from mclrec.loading import is_available
    found = []
    print(f"{'users':>8} {'items':>9} {'n':>4} {'mean length':>11} | {'a batch':>9} {'ranking all':>11} | {'parameters':>10} {'step above':>10} {'ranking above':>13} {'in all':>8}")
    only = json.loads(args.only) if args.only else None
    cases = [only] if isinstance(only, dict) else only or CASES + [real(load(name)) for name in ("beauty",) if is_available(name)]
    for case in cases:
        out = subprocess.run([sys.executable, __file__, "--case", json.dumps(case)], stdout=subprocess.PIPE, check=True, text=True).stdout
        r = json.loads(out)
        found.append({**case, **{key: round(value, 3) for key, value in r.items()}})
        print(f"{case['users']:8} {case['items']:9} {case['n']:4} {case['length']:11} | {r['batch_ms']:6.0f} ms {r['ranking_s']:9.1f} s | "
              f"{r['parameters_mb']:7.0f} MB {r['above_mb']:7.0f} MB {r['ranking_above_mb']:10.0f} MB {r['held_mb']:5.0f} MB{' ' + case['model'] if 'model' in case else ''}", flush=True)
    if args.keep:
        with open(args.keep, "w", encoding="utf-8") as file: file.write('{"cases": [\n' + ",\n".join(map(json.dumps, found)) + "\n]}\n")


if __name__ == "__main__":
    main()
