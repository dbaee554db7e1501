"""Trains models × seeds on a data set as the command line does, and keeps their records.

    python benchmarks/field.py toy results/toy.json --runs /tmp/field       every model in every preset, five seeds; one file for all of them
    python benchmarks/field.py beauty results --runs /tmp/field --rows sasrec:shared mclrec:official --seeds 2020

Runs stay in the folder given by --runs: what is finished there is not trained again, what was cut goes on where it stopped.
EPOCHS are at most so many; left out, what the command line takes. OUT is one .json file with a short row a run, or a folder for one whole record a run.
A file that is there already keeps the rows that are not made anew, if all were made in one way.
"""
import argparse
import contextlib
import json
import shutil
import sys
from pathlib import Path

from record import PROTOCOL, line, record

from mclrec import load
from mclrec.cli import main as command
from mclrec.runs import MODELS, model_class

METRIC = "MRR@10"                     # the epoch that is best by this on the validation items is the one that is tested
SWITCHES = {"precision": "highest", "compile": False}     # what was so in a record that does not speak of them


def rows():
    "Every model in each of its presets, those that share one protocol first."
    first = [f"{name}:{next(iter(model_class(name).PRESETS))}" for name in MODELS]
    return first + [f"{name}:{preset}" for name in MODELS for preset in model_class(name).PRESETS if f"{name}:{preset}" not in first]


def trained(data, model, preset, seed, runs, epochs=None):
    "The record of one run, trained or taken from what is there."
    folder = runs / f"{data}-{model}-{preset}-{seed}"
    kept = folder.with_suffix(".json")
    if kept.exists(): return json.loads(kept.read_text())
    begun = (folder / "config.json").exists()
    if folder.exists() and not begun: shutil.rmtree(folder)
    settings = [] if begun else ["--preset", preset, "--seed", str(seed), "--set", f"metric={METRIC}"]
    more = [*(["--resume"] if begun else []), *(["--epochs", epochs] if epochs else [])]
    with contextlib.redirect_stdout(sys.stderr):
        code = command(["train", data, "--model", model, "--out", str(folder), *settings, *more])
    if code: sys.exit(code)
    result = record(folder, load(data))
    kept.write_text(json.dumps(result, indent=1) + "\n")
    return result


def together(records, before=None):
    "All records as one: what they share is said once, what differs is a row each. Rows of `before`, made so earlier, stay unless they are made anew."
    first, before = before or records[0], before or {"settings": {}, "runs": []}
    shared = lambda r: (r["data"], r["protocol"], {**SWITCHES, **r["versions"]})
    assert all(shared(r) == shared(first) for r in records), "these runs were not made in one way: data, protocol or versions differ"
    learners = [r for r in records if r["settings"]]
    how = before.get("fit") or {key: value for key, value in learners[0]["fit"].items() if key != "seed"}
    assert all({**r["fit"], "seed": 0} == {**how, "seed": 0} for r in learners), "these runs were not trained in one way"
    runs = {(r["model"], r["preset"], r["seed"]): r for r in [*before["runs"], *map(row, records)]}
    return {"data": first["data"], "protocol": PROTOCOL, "fit": how, "versions": {**SWITCHES, **first["versions"]},
            "settings": {**before["settings"], **{f"{r['model']}:{r['preset']}": r["settings"] for r in records}}, "runs": list(runs.values())}


def row(r):
    "What is kept of a record in a file of many."
    return {**{key: r[key] for key in ("model", "preset", "seed", "best_epoch", "seconds", "test")},
            "valid": [epoch["valid"][METRIC] for epoch in r["epochs"]], "losses": losses(r["epochs"][-1])}


def losses(epoch):
    "The loss terms in the record of an epoch."
    return {name: value for name, value in epoch.items() if name not in ("epoch", "valid", "seconds", "seconds_training")}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data")
    p.add_argument("out", type=Path, metavar="OUT")
    p.add_argument("--runs", type=Path, required=True, metavar="FOLDER", help="where the runs are kept")
    p.add_argument("--rows", nargs="+", default=rows(), metavar="MODEL:PRESET[:EPOCHS]", help="by default every model in every preset")
    p.add_argument("--seeds", nargs="+", type=int, default=[2020, 2021, 2022, 2023, 2024])
    args = p.parse_args()
    records = []
    for seed in args.seeds:
        for name in args.rows:
            model, preset, *epochs = name.split(":")
            records.append(trained(args.data, model, preset, seed, args.runs, *epochs))
            print(line(records[-1]), flush=True)
    if args.out.suffix == ".json":
        before = json.loads(args.out.read_text()) if args.out.exists() else None
        args.out.write_text(one_row_a_line(together(records, before)) + "\n")
    else:
        for r in records: (args.out / f"{args.data}-{r['model']}-{r['preset']}-seed{r['seed']}.json").write_text(json.dumps(r, indent=1) + "\n")


def one_row_a_line(summary):
    "JSON in which a run takes one line, so that a difference between two versions can be read."
    head = {key: value for key, value in summary.items() if key not in ("runs", "settings")}
    lines = {key: ",\n".join(f"  {json.dumps(row)}" for row in summary["runs"]) if key == "runs"
             else ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in summary["settings"].items()) for key in ("settings", "runs")}
    return f"{json.dumps(head, indent=1)[:-2]},\n \"settings\": {{\n{lines['settings']}\n }},\n \"runs\": [\n{lines['runs']}\n ]\n}}"


if __name__ == "__main__":
    main()
