"""What the experiments share whose models no setting of the library can say: a list of runs of which each is made once, a line a run, and one file in the end."""
import argparse
import json
import os
import re
import subprocess
from pathlib import Path

import torch

from mclrec import load
from mclrec.model import ranks
from mclrec.people import gains, pack
from mclrec.runs import fingerprint, versions
from mclrec.training import BestEpoch, one_epoch
from record import PROTOCOL, rounded

ROOT = Path(__file__).resolve().parents[1]


def arguments(doc):
    "FILE and the options that these scripts have in common."
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file", type=Path, metavar="FILE", help="the record, for instance results/switches.json")
    p.add_argument("--lines", type=Path, required=True, metavar="FILE", help="a line for each finished run; what stands there is not run again")
    p.add_argument("--seeds", nargs="+", type=int, default=None, help="by default those of the experiment")
    p.add_argument("--only", default="", metavar="REGEX", help="only the configurations in whose name this is found")
    p.add_argument("--write", action="store_true", help="run nothing, only write FILE from the lines")
    p.add_argument("--revision", default=None, help="of the library; by default that of this clone")
    return p.parse_args()


def revision():
    "The revision of the clone that these scripts lie in."
    said = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return said.stdout.strip() or None


def finished(lines):
    "The rows that stand in the file `lines`, by configuration and seed; a line that was cut is passed over."
    rows = {}
    for text in lines.read_text().splitlines() if lines.exists() else ():
        try: row = json.loads(text)
        except json.JSONDecodeError: continue
        rows[row["configuration"], row["seed"]] = row
    return rows


def run(args, configurations, one, seeds, head, kept_of=lambda row: row, source="toy"):
    """Every configuration with every seed on the data `source`: `one(data, said, seed)` trains what `said` says and gives a row.

    All configurations of a seed come before the next seed. Then `args.file` is written, with `head` at its top and of each row what `kept_of` keeps.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    data, seeds = load(source), args.seeds or seeds
    for seed in () if args.write else seeds:
        for name, said in configurations.items():
            if not re.search(args.only, name) or (name, seed) in finished(args.lines): continue
            row = rounded({"configuration": name, "seed": seed, **one(data, said, seed), "revision": args.revision or revision()})
            with open(args.lines, "a") as f: f.write(json.dumps(row) + "\n")
            print(name, seed, told(row), flush=True)
    rows = finished(args.lines)
    order = list(configurations)
    kept = sorted((kept_of(row) for row in rows.values() if row["configuration"] in configurations), key=lambda r: (order.index(r["configuration"]), r["seed"]))
    settings = {name: configurations[name] for name in dict.fromkeys(row["configuration"] for row in kept)}
    whole = {"data": {"name": data.name, "fingerprint": fingerprint(data)}, "protocol": PROTOCOL, **head, "versions": versions(),
             "revision": sorted({row.pop("revision") for row in kept}), "settings": settings, "rows": kept}
    args.file.write_text(in_lines(whole) + "\n")
    print(f"{args.file}: {len(kept)} rows, {args.file.stat().st_size} bytes")


def in_lines(whole):
    "JSON with a line for each configuration and each row, so that a difference between two versions can be read."
    short = lambda x: json.dumps(x, separators=(",", ":"), ensure_ascii=False)
    head = [f"{short(key)}: {short(value)}" for key, value in whole.items() if key not in ("settings", "rows")]
    settings = ",\n".join(f"  {short(name)}: {short(said)}" for name, said in whole["settings"].items())
    rows = ",\n".join(f"  {short(row)}" for row in whole["rows"])
    return "{\n " + ",\n ".join([*head, f'"settings": {{\n{settings}\n }}', f'"rows": [\n{rows}\n ]']) + "\n}"


def told(row):
    "A row in a few words."
    test = row.get("test", {}).get("seen_in", {})
    return f"NDCG@10 {test['NDCG@10']:.4f}, {row['seconds']:.0f} s" if test else f"{row['seconds']:.0f} s"


def trained(model, data, seed, epochs, **how):
    "Train as the toy shop is trained, and what is kept of it: the epochs' validation, the best one, the test both ways."
    from mclrec import evaluate, fit
    records = fit(model, data, epochs, seed, progress=False, **how)
    valid = [r["valid"][how["metric"]] for r in records]
    return {"test": {"seen_in": evaluate(model, data), "seen_out": evaluate(model, data, exclude_seen=True)}, "valid": valid,
            "best_epoch": best_epoch(valid, model.metric[1]), "seconds": round(sum(r["seconds"] for r in records), 1)}


def best_epoch(valid, decimals):
    "The number of the epoch with the best validation, rounded if `decimals` is given; the first of equals."
    return 1 + max(range(len(valid)), key=lambda k: (round(valid[k], decimals or 15), -k))


def followed(trainer, data, epochs, look=lambda epoch: None):
    """Train so many epochs and leave the model with its best: validation by epoch, and which was the best.

    `look(epoch)` is called before the first epoch, with 0, and after each.
    """
    model, valid = trainer.model, []
    best = BestEpoch(*model.metric)
    look(0)
    for epoch in range(1, epochs + 1):
        record = one_epoch(trainer, data)
        best.update(record, model)
        valid.append(record["valid"][best.metric])
        look(epoch)
    best.restore(model)
    return {"valid": valid, "best_epoch": best_epoch(valid, best.decimals)}


def judged(model, data):
    "The test of a trained model, three metrics with seen items in and out, and everybody's rank in both."
    both = [ranks(model, data, "test", out) for out in (False, True)]
    test = {f"seen_{seen}": {m: float(gains(of, m).mean()) for m in ("HR@10", "NDCG@10", "MRR@10")} for seen, of in zip(("in", "out"), both)}
    return {"test": test, "ranks": pack(*both)}
