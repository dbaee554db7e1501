"""The record of a finished run, as one small JSON file: python benchmarks/record.py RUN DATA FILE"""
import json
import sys
from pathlib import Path

from mclrec import evaluate, load, load_run


def rounded(x):
    return {key: rounded(value) for key, value in x.items()} if isinstance(x, dict) else round(x, 5) if isinstance(x, float) else x


def main(run, data, file):
    run, data = Path(run), load(data)
    model, config = load_run(run), json.loads((run / "config.json").read_text())
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    metric = config["fit"]["metric"]
    record = {**config, "protocol": "leave one out, all items ranked, ties against the model; validation with seen items in",
              "test": {"seen_in": evaluate(model, data), "seen_out": evaluate(model, data, exclude_seen=True)},
              "best_epoch": max(epochs, key=lambda r: round(r["valid"][metric], model.metric[1] or 15))["epoch"],
              "seconds": sum(r["seconds"] for r in epochs), "epochs": epochs}
    Path(file).write_text(json.dumps(rounded(record), indent=1) + "\n")
    print(f"{file}: {len(epochs)} epochs, best {record['best_epoch']}, test HR@10 {record['test']['seen_in']['HR@10']:.4f}, "
          f"NDCG@10 {record['test']['seen_in']['NDCG@10']:.4f}, seen out {record['test']['seen_out']['HR@10']:.4f} {record['test']['seen_out']['NDCG@10']:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
