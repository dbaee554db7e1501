"""How long it takes to find the ten nearest of a million vectors: exactly, and approximately with faiss.

    python benchmarks/vectors.py --run RUN [--data beauty] [--keep results/vectors.json]

The vectors of a trained model's items; where more are asked for, rows drawn from them with noise of half their spread, so that they lie as
learnt vectors do. Questions are vectors of people's histories. Seconds of the processor, one thread. faiss (pip install faiss-cpu) is used here only.
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SIZES = (0, 100_000, 1_000_000)                                # 0: the model's own items
QUESTIONS = 256


def material(run, data, size):
    "The matrix (size, d) and the questions (QUESTIONS, d)."
    import numpy as np

    from mclrec import load, load_run, vectors
    model, data = load_run(run), load(data)
    random = np.random.default_rng(2020)
    whose = random.choice(data.n_users, QUESTIONS, replace=False)
    questions = vectors(model, histories=[[data.item_ids[i - 1] for i in data[int(u)]] for u in whose])
    matrix = vectors(model)[1]
    if size:
        noise = random.standard_normal((size, matrix.shape[1]), np.float32) * (matrix.std(0) / 2)
        matrix = matrix[random.integers(0, len(matrix), size)] + noise
    return np.ascontiguousarray(matrix), questions


def held(name):
    "Megabytes this process holds now (VmRSS), or has held at most since `forget` (VmHWM)."
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def forget():
    "Let the most that was held begin again from what is held now."
    Path("/proc/self/clear_refs").write_text("5")


def seconds(what):
    "Seconds of the processor that `what()` takes, and what it gives."
    begun = time.process_time()
    given = what()
    return time.process_time() - begun, given


def exact(matrix, questions):
    "Milliseconds a question, one at a time and all at once; what they found; megabytes more than before."
    from mclrec.space import nearest
    nearest(matrix[:1000], questions[:2])
    forget()
    before = held("VmRSS")
    alone, _ = seconds(lambda: [nearest(matrix, q[None]) for q in questions[:64]])
    together, (found, _) = seconds(lambda: nearest(matrix, questions))
    return found, {"way": "exact", "rows": len(matrix), "megabytes": round(matrix.nbytes / 2**20), "more": round(held("VmHWM") - before),
                   "ms_alone": 1000 * alone / 64, "ms_together": 1000 * together / len(questions)}


def approximate(matrix, questions, found):
    "faiss's two usual kinds of index, at several efforts."
    import faiss
    faiss.omp_set_num_threads(1)
    d, ip = matrix.shape[1], faiss.METRIC_INNER_PRODUCT
    cells = 1024
    ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, cells, ip)
    kinds = {"IVF": (ivf, "nprobe", (1, 4, 16, 64)), "HNSW": (faiss.IndexHNSWFlat(d, 32, ip), "efSearch", (16, 64, 256))}
    for name, (index, effort, values) in kinds.items():
        def build():
            if name == "IVF": index.train(matrix[:: max(1, len(matrix) // (cells * 64))])
            index.add(matrix)
        built, _ = seconds(build)
        print(f"{name} built in {built:.0f} s", flush=True)
        size = round(len(faiss.serialize_index(index)) / 2**20)
        for value in values:
            if name == "IVF": index.nprobe = value
            else: index.hnsw.efSearch = value
            alone, rows = seconds(lambda: [index.search(q[None], 10)[1][0] for q in questions])
            recall = sum(len(set(a) & set(b)) for a, b in zip(rows, found)) / found.size
            yield {"way": name, "rows": len(matrix), "megabytes": size, "built": built, effort: value,
                   "ms_alone": 1000 * alone / len(questions), "recall": recall}


def one(args):
    "The rows of one size, as lines."
    matrix, questions = material(args.run, args.data, args.size)
    found, row = exact(matrix, questions)
    print(json.dumps(row), flush=True)
    if len(matrix) >= 10**6 and not args.exact:
        for row in approximate(matrix, questions, found): print(json.dumps(row), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", required=True, metavar="RUN")
    p.add_argument("--data", default="beauty", metavar="DATA")
    p.add_argument("--size", type=int, metavar="N", help="one size, in this process")
    p.add_argument("--exact", action="store_true", help="without faiss")
    p.add_argument("--keep", metavar="FILE")
    args = p.parse_args()
    if args.size is not None: return one(args)
    rows, begun = [], datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    for size in SIZES:                                         # each in a process of its own: its memory counts alone
        with subprocess.Popen([sys.executable, *sys.argv, "--size", str(size)], stdout=subprocess.PIPE, text=True) as child:
            for line in child.stdout:
                print(line, end="", flush=True)
                if line.startswith("{"): rows.append(json.loads(line))
    import numpy
    import torch

    from mclrec.runs import read_config
    config = read_config(args.run)
    record = {"begun": begun, "model": config["model"], "preset": config["preset"], "data": config["data"], "d": config["settings"].get("d"),
              "questions": QUESTIONS, "numpy": numpy.__version__, "torch": torch.__version__, "machine": platform.machine(), "threads": 1,
              **({} if args.exact else {"faiss": __import__("importlib.metadata").metadata.version("faiss-cpu")}), "rows": rows}
    if args.keep: Path(args.keep).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
