"""The record of a finished run, as one small JSON file: python benchmarks/record.py RUN DATA FILE

RUN may also be the authors' released checkpoint, a file that ends in .pth: then there is a test and no training."""
import json
import sys
from pathlib import Path

from mclrec import evaluate, load, load_official, load_run
from mclrec.runner import PROTOCOL, best_epoch
from mclrec.runs import fingerprint, model_config, versions


def rounded(x):
    "The same with every float, wherever it is, to five decimals."
    if isinstance(x, dict): return {key: rounded(value) for key, value in x.items()}
    if isinstance(x, list): return [rounded(value) for value in x]
    return round(x, 5) if isinstance(x, float) else x


def tested(model, data):
    "The protocol, and the test metrics both ways."
    return {"protocol": PROTOCOL, "test": {"seen_in": evaluate(model, data), "seen_out": evaluate(model, data, exclude_seen=True)}}


def record_of_checkpoint(path, data):
    "What can be said of the authors' checkpoint in `path`."
    model = load_official(path, data)
    return rounded({**model_config(model), "preset": "released", "seed": None, "data": {"name": data.name, "fingerprint": fingerprint(data)},
                    "versions": versions(), **tested(model, data), "valid": [evaluate(model, data, "valid")["MRR@10"]], "epochs": []})


def record(run, data):
    "What is kept of the run in the folder `run`: its config, every epoch, and the test metrics both ways."
    model, config = load_run(run), json.loads((Path(run) / "config.json").read_text())
    epochs = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return rounded({**config, **tested(model, data),
                    "best_epoch": best_epoch(model, epochs, config["fit"]["metric"]),
                    "seconds": sum(r["seconds"] for r in epochs), "epochs": epochs})


def line(kept):
    "A record in a line."
    seen_in, seen_out = kept["test"]["seen_in"], kept["test"]["seen_out"]
    trained = f"{len(kept['epochs'])} epochs, best {kept['best_epoch']}, {kept['seconds']:.0f} s; " if kept["epochs"] else ""
    return (f"{kept['model']} {kept['preset']} {kept['seed']}: {trained}"
            f"test HR@10 {seen_in['HR@10']:.4f} NDCG@10 {seen_in['NDCG@10']:.4f}, seen out {seen_out['HR@10']:.4f} {seen_out['NDCG@10']:.4f}")


def main(run, data, file):
    kept = (record_of_checkpoint if run.endswith(".pth") else record)(run, load(data))
    Path(file).write_text(json.dumps(kept, indent=1) + "\n")
    print(f"{file}: {line(kept)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
