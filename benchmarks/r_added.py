"""R added to other models (§4.3): python benchmarks/r_added.py results/r_added.json --lines /tmp/r_added.jsonl

CL4SRec and DuoRec as the toy shop trains them, their loss with γ R of Eq. 11-13 added, R on the two views that they contrast.
"""
from jobs import arguments, run, trained

from mclrec.models import cl4srec, duorec
from mclrec.regularizer import regularizer

SEEDS = [2020, 2021, 2022, 2023, 2024]
HOW = dict(batch_size=128, lr=0.005, lr_aug=0.005, metric="MRR@10", patience=10)


def configurations():
    "By name: model and R's weight γ."
    return {f"{m} R {gamma:g}": dict(model=m, gamma=gamma) for gamma in (0, 0.01, 0.1, 1) for m in ("cl4srec", "duorec")}


def with_r(kind, module, gamma):
    "A class like `kind` with γ R in its loss, R as printed, on each pair of views that it contrasts."
    class Added(kind):
        def loss(self, views):
            seen, plain = [], module.info_nce
            def watching(a, b, *rest):
                seen.append((a, b))
                return plain(a, b, *rest)
            module.info_nce = watching
            try: terms = super().loss(views)
            finally: module.info_nce = plain
            R = sum(regularizer(a, b) for a, b in seen)
            return {**terms, "loss": terms["loss"] + gamma * R, "R": R}
    return Added


def one(data, said, seed):
    kind, module = {"cl4srec": (cl4srec.CL4SRec, cl4srec), "duorec": (duorec.DuoRec, duorec)}[said["model"]]
    if said["gamma"]: kind = with_r(kind, module, said["gamma"])
    model = kind(data.n_items, None, seed, dropout=0.2, attention_dropout=0.2)
    row = trained(model, data, seed, 10, **HOW)
    for seen in row["test"]: row["test"][seen] = {m: row["test"][seen][m] for m in ("HR@10", "NDCG@10", "MRR@10")}
    return row


if __name__ == "__main__":
    run(arguments(__doc__), configurations(), one, SEEDS, {"fit": {**HOW, "epochs": 10}, "model": {"dropout": 0.2, "attention_dropout": 0.2}})
