"""What a batch costs each of one, two and four processes that share it, in processor seconds of one thread.

    python benchmarks/processes.py results/processes.json

A process that waits for the others takes no processor time, so this is the work that is left to each, whatever else the machine does;
what the network takes comes on top.
"""
import json
import os
import subprocess
import sys
import time
from itertools import islice

from growth import BASE, random_data

CASES = [{**BASE, "items": i, "model": m, "preset": p} for m, p in (("mclrec", "official"), ("sasrec", "swift")) for i in (10_000, 100_000)]


def measure(case, batches=6):
    "Milliseconds of a batch in this process: the median of some, without the first."
    import torch

    from mclrec.distributed import here, joined, shared_out
    from mclrec.registry import model_class
    from mclrec.training import Trainer
    torch.set_num_threads(1)
    with joined():
        data = random_data(case["users"], case["items"], case["length"])
        model = model_class(case["model"])(data.n_items, case["preset"])
        trainer = Trainer(model, data, batch_size=model.TRAINING.get(model.preset, {}).get("batch_size", 256))
        times, begun = [], time.process_time()
        with shared_out(trainer):
            for _ in islice(trainer.batches(), batches + 1):
                times.append(time.process_time() - begun)
                begun = time.process_time()
        if here().rank == 0: print(json.dumps({"ms": round(1e3 * sorted(times[1:])[batches // 2], 1), "parameters": sum(p.numel() for p in model.parameters()),
                                               "stages": len(model.stages()), "batch_size": trainer.batch_size}))


def main():
    found = []
    for case in CASES:
        for processes in (1, 2, 4):
            where = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
            out = subprocess.run([sys.executable, *where, __file__, "--case", json.dumps(case)], stdout=subprocess.PIPE, check=True, text=True,
                                 env=os.environ | {"OMP_NUM_THREADS": "1"}).stdout
            found.append({**case, "processes": processes, **json.loads(out)})
            print(found[-1], flush=True)
    with open(sys.argv[1], "w", encoding="utf-8") as file: file.write('{"cases": [\n' + ",\n".join(map(json.dumps, found)) + "\n]}\n")


if __name__ == "__main__":
    if sys.argv[1] == "--case": measure(json.loads(sys.argv[2]))
    else: main()
