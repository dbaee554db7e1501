"""How often is what we ask for already in the history? python benchmarks/repeats.py FILE DATA [DATA …]"""
import json
import sys
from pathlib import Path

from mclrec import load
from mclrec.experiments import repeated


def main(file, *names):
    shares = {}
    for data in map(load, names):
        shares[data.name] = {"users": data.n_users, **{split: [round(share, 5) for share in repeated(data, split)] for split in ("valid", "test")}}
    Path(file).write_text(json.dumps(shares, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
