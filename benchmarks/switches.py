"""From MCLRec as printed to MCLRec as released, a switch at a time: python benchmarks/switches.py results/switches.json --lines /tmp/switches.jsonl

Eight settings lie between the presets `paper` and `official`. Each is turned alone from either end, as `mclrec train toy` trains. All are runs of one
preset, `official`, with all eight given, so that nothing else differs; the epoch that is best by MRR@10 on the validation items is tested.
"""
from itertools import combinations

from jobs import arguments, run, trained

from mclrec import MCLRec

SEEDS = [2020, 2021, 2022, 2023, 2024]
HOW = dict(batch_size=128, lr=0.005, lr_aug=0.005, metric="MRR@10", patience=10)
PAPER = MCLRec.PRESETS["paper"]
OFFICIAL = {name: MCLRec.DEFAULTS[name] for name in PAPER}
STRONG = ("updates", "normalize", "both_directions")       # what is turned together too: those that move MCLRec most from its released end


def configurations():
    "By name: the two ends, each switch from either end, the strong ones together, each with its eight settings."
    some = {"paper": PAPER, "official": OFFICIAL}
    some |= {f"paper, {name}": {**PAPER, name: OFFICIAL[name]} for name in PAPER}
    some |= {f"official, {name}": {**OFFICIAL, name: PAPER[name]} for name in PAPER}
    for together in [*combinations(STRONG, 2), STRONG]:
        some[f"paper, {' + '.join(together)}"] = {**PAPER, **{name: OFFICIAL[name] for name in together}}
    some[f"official, {' + '.join(STRONG)}"] = {**OFFICIAL, **{name: PAPER[name] for name in STRONG}}
    return some


def one(data, said, seed):
    model = MCLRec(data.n_items, "official", seed, dropout=0.2, attention_dropout=0.2, **said)
    return trained(model, data, seed, 10, **HOW)


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"fit": {**HOW, "epochs": 10}, "model": {"dropout": 0.2, "attention_dropout": 0.2}})
