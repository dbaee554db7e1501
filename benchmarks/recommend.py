"""How long lists take: everybody's at once, into a file, and one history's, warm.

    python benchmarks/recommend.py [DATA] [--run RUN]

Seconds of the processor beside those of the clock; one thread unless OMP_NUM_THREADS says otherwise. Without --run the model is an untrained
SASRec, which takes as long as a trained one."""
import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")


def timed(what):
    "Seconds of the processor and of the clock that `what()` takes, and what it gives."
    begun = time.process_time(), time.perf_counter()
    given = what()
    return time.process_time() - begun[0], time.perf_counter() - begun[1], given


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", nargs="?", default="beauty", metavar="DATA")
    p.add_argument("--run", metavar="RUN", help="a trained model")
    p.add_argument("-k", type=int, default=10)
    p.add_argument("--times", type=int, default=200, help="how often one history is asked for (default 200)")
    args = p.parse_args()
    from mclrec import SASRec, load, load_run, recommend, recommend_all
    from mclrec.lists import write_lists
    data = load(args.data)
    model = load_run(args.run) if args.run else SASRec(data.n_items)
    model.eval()
    if model.vocabulary is None: model.prepare(data)
    folder = Path(tempfile.mkdtemp())
    ways = {"recommend_all": lambda: sum(len(users) for users, *_ in recommend_all(model, data, args.k)),
            "into a csv": lambda: write_lists(folder / "lists.csv", model, data, args.k, progress=False)[0],
            "into a parquet": lambda: write_lists(folder / "lists.parquet", model, data, args.k, progress=False)[0],
            "recommend(users=…)": lambda: len(recommend(model, data, users=data.user_ids, k=args.k))}
    recommend(model, data, users=data.user_ids[:1000])                                      # warm
    for name, way in ways.items():
        processor, clock, users = timed(way)
        print(f"{name:20} {users} users, {processor:6.2f} s of the processor, {clock:6.2f} s")
    histories = [[data.item_ids[i - 1] for i in data[u % data.n_users]] for u in range(args.times)]
    seconds = sorted(timed(lambda h=h: recommend(model, histories=[h], k=args.k))[0] for h in histories)
    print(f"{'one history':20} median of {len(seconds)}: {1e3 * median(seconds):.2f} ms, 95 of 100 within {1e3 * seconds[len(seconds) * 95 // 100]:.2f} ms")


if __name__ == "__main__":
    main()
