"""Seconds of processor and memory of bringing a parquet log to two arrays: `prepare`, `load`, and the same grouping by pandas.

    python benchmarks/beyond_memory.py 10e6 FOLDER [--prepare-only]

makes a log of so many rows in FOLDER (a hundred parts at most, kept for the next time), runs each way in a process of its own, compares
what comes out, and prints a line of JSON for results/beyond_memory.json. Users: a fiftieth of the rows; items: a two-hundredth, the frequent
ones often; ids are text, times whole seconds.
"""
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

BEGUN = 0.0


def make(rows, folder):
    import pyarrow as pa
    import pyarrow.parquet as pq
    folder.mkdir(parents=True)
    random, parts = np.random.default_rng(1), max(1, min(100, rows // 10**6))
    users, items = rows // 50, max(1000, rows // 200)
    for part in range(parts):
        n = rows // parts
        table = {"user": [f"u{k:08d}" for k in random.integers(0, users, n)], "item": [f"B{k:07d}" for k in (items * random.random(n) ** 2).astype(int)],
                 "time": 1_400_000_000 + part * (10**8 // parts) + random.integers(0, 10**8 // parts, n), "price": random.random(n)}
        pq.write_table(pa.table(table), folder / f"part-{part:05d}.parquet")


def by_pandas(folder):
    "Two arrays as a user of pandas makes them: read, number, sort; without a core and without any check."
    import pandas as pd
    import pyarrow.parquet  # noqa: F401
    global BEGUN
    BEGUN = time.process_time()
    rows = pd.read_parquet(folder, columns=["user", "item", "time"])
    users, items = pd.factorize(rows["user"]), pd.factorize(rows["item"])
    order = np.lexsort((rows["time"].to_numpy(), users[0]))
    return items[0][order] + 1, np.concatenate([[0], np.cumsum(np.bincount(users[0]))]), users[1].tolist(), items[1].tolist()


def one(way, folder):
    "Run one way here and print what it needed, without the imports."
    if way == "pandas": items, offsets, users, ids = by_pandas(folder / "log")
    else:
        import mclrec
        import mclrec.big  # noqa: F401
        import pyarrow.parquet  # noqa: F401
        global BEGUN
        BEGUN = time.process_time()
        core = 0 if way == "load without core" else 5
        data = mclrec.prepare(folder / "log", folder / "prepared", progress=False) if way == "prepare" else mclrec.load(folder / "log", core=core)
        items, offsets, users, ids = data.items, data.offsets, data.user_ids, data.item_ids
    seconds, peak = time.process_time() - BEGUN, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    h = hashlib.sha256(np.ascontiguousarray(items, np.int32).tobytes() + np.asarray(offsets, np.int64).tobytes())
    for names in (users, ids): h.update("\n".join(names).encode())
    print(json.dumps({"cpu_seconds": round(seconds, 1), "peak_mb": round(peak), "users": len(users), "items": len(ids), "actions": len(items),
                      "sha256": h.hexdigest()[:16]}))


def main():
    if sys.argv[1] == "one": return one(sys.argv[2], Path(sys.argv[3]))
    rows, folder = int(float(sys.argv[1])), Path(sys.argv[2])
    if not (folder / "log").exists(): make(rows, folder / "log")
    shutil.rmtree(folder / "prepared", ignore_errors=True)
    ways = ["prepare"] if "--prepare-only" in sys.argv else ["prepare", "load", "load without core", "pandas"]
    found = {way: json.loads(subprocess.run([sys.executable, __file__, "one", way, folder], check=True, stdout=subprocess.PIPE).stdout) for way in ways}
    equal = {"prepare and load": found["prepare"]["sha256"] == found["load"]["sha256"],
             "load and pandas": found["load without core"]["sha256"] == found["pandas"]["sha256"]} if len(ways) > 1 else {}
    print(json.dumps({"rows": rows, **found, "equal": equal}))


if __name__ == "__main__": main()
