"""What do others need? SASRec elsewhere and the authors' released code beside ours: seconds of an epoch and of everybody's lists, minutes to an accuracy.

    python benchmarks/peers.py --envs /tmp/peers --keep results/peers.json                      a few batches of each, in turn
    python benchmarks/peers.py --envs /tmp/peers --keep results/peers.json --train --cap 6      epoch by epoch, six minutes of processor each
    python benchmarks/peers.py --envs /tmp/peers --only rectools "ours sasrec shared"           some of them, printed only

A library is installed by pip into a virtual environment of its own below --envs, with the torch of this environment, and runs there as a process
of its own, with one thread. Only one works at a time, each in its turn, and time is what the processor spent on it; so the ratios of a run stand on a
busy machine too. Each trains by its own `fit`; after a step of its optimiser it reports here and waits for its turn. All read the same histories without
their last two items, d 64, two layers, two heads, the last 50 items; what differs is said in `CONTESTANTS`. Lists of ten, seen items out, are timed; with
seen items in they are judged here, on the last item but one. The released code needs a clone of https://github.com/QinHsiu/MCLRec: --clone FOLDER.
"""
import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from functools import partial
from pathlib import Path
from statistics import median

N, D, LAYERS, HEADS, INNER, K = 50, 64, 2, 2, 256, 10
QUIET = dict(max_epochs=1000, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
PREFIXES = "256 prefixes a batch, softmax over all items, dropout .5"
CONTESTANTS = {                    # name → what is installed, and what its row is
    "ours sasrec shared": ((), PREFIXES),
    "ours sasrec swift": ((), "whole shoppers and a sampled softmax, as the preset says"),
    "ours sasrec users": ((), "256 shoppers a batch, 2,048 negatives"),
    "ours mclrec official": ((), f"{PREFIXES}, three updates a batch"),
    "ours mclrec users": ((), "256 shoppers a batch, 2,048 negatives, three updates a batch"),
    "released mclrec": ((), f"{PREFIXES}, three updates a batch; making the views is not counted"),
    "recbole": (("recbole==1.2.1", "kmeans-pytorch"), f"{PREFIXES}; NumPy's old names are given back to it before it is imported"),
    "rectools": (("rectools[torch]==0.19.0",), "128 shoppers a batch, softmax over all items, dropout .2"),
    "rectools sampled": (("rectools[torch]==0.19.0",), "128 shoppers a batch, 256 negatives for each position, dropout .2"),
    "replay": (("replay-rec[torch]==0.22.0",), "128 shoppers a batch, softmax over all items, dropout .2"),
    "cornac": (("cornac==3.0.1",), "512 prefixes a batch, one softmax over their targets and 2,048 negatives, dropout .2"),
}


# The side of the libraries: this file runs again in each environment, with `--work`. Only NumPy and torch are sure to be there.

class Turns:
    "In a worker: says what the processor spent since the last word from the other side, and waits for the next."
    def __init__(self, out): self.out, self.cpu, self.wall = out, 0.0, time.perf_counter()

    def report(self, what, **said):
        line = {"what": what, "cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall, **said}
        print(json.dumps(line), file=self.out, flush=True)
        if sys.stdin.readline() != "go\n": os._exit(0)                       # wherever in a library's fit this is
        self.cpu, self.wall = time.process_time(), time.perf_counter()


class Ours:
    "A model of ours with a preset or, called `users`, with whole shoppers and 2,048 negatives; it recommends for the histories it was trained on."
    def __init__(self, folder, name, preset):
        from mclrec import load
        from mclrec.runs import model_class
        from mclrec.training import fit_arguments
        self.data, self.histories = load(str(folder / "all.txt"), core=0), load(str(folder / "train.txt"), core=0)
        how = {"regime": "users", "negatives": 2048} if preset == "users" else {"preset": preset}
        self.model = model_class(name)(self.data.n_items, **how)
        self.batches = -(-len(self.model.examples(self.data).end) // fit_arguments(self.model, 2020, {})[1]["batch_size"])
        self.steps = len(self.model.stages())

    def fit(self):
        from mclrec import fit
        fit(self.model, self.data, patience=10**6, progress=False)

    def ask(self, seen):
        from mclrec import recommend_all
        return list(recommend_all(self.model, self.histories, k=K, exclude_seen=not seen))

    def rows(self, answer): return [list(map(int, row)) for _, items, _ in answer for row in items]


class Released:
    "The authors' MCLRec as `released.py` runs it; views are made by ours before the clock is read, lists have seen items in."
    batches, steps = 514, 3
    def __init__(self, folder, clone):
        from mclrec import load
        from released import Pair
        self.data = load(str(folder / "all.txt"), core=0)
        self.pair = Pair(clone, self.data, 0.5)

    def fit(self):
        for table, _ in self.pair.batches(): self.pair.updates(table)

    def ask(self, seen):
        from released import rank_all
        rank_all(self.pair.theirs, self.data)
        return self.data.user_ids


class RecBole:
    "RecBole's SASRec: prefixes, as the released code, which is a fork of it."
    steps = 1
    def __init__(self, folder):
        import numpy as np
        for name, kind in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)): setattr(np, name, kind)   # gone since NumPy 2
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.utils import get_model, get_trainer, init_seed
        rows = [f"{u}\t{i}\t{t}" for u, line in sequences(folder / "all.txt") for t, i in enumerate(line)]
        (folder / "recbole").mkdir(exist_ok=True)
        (folder / "recbole" / "recbole.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
        settings = dict(data_path=str(folder), checkpoint_dir=str(folder / "recbole"), use_gpu=False, show_progress=False,
                        USER_ID_FIELD="user_id", ITEM_ID_FIELD="item_id", TIME_FIELD="timestamp", load_col={"inter": ["user_id", "item_id", "timestamp"]},
                        MAX_ITEM_LIST_LENGTH=N, hidden_size=D, inner_size=INNER, n_layers=LAYERS, n_heads=HEADS, hidden_dropout_prob=.5,
                        attn_dropout_prob=.5, loss_type="CE", train_neg_sample_args=None, train_batch_size=256, epochs=1000,
                        eval_args={"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"})
        config = Config(model="SASRec", dataset="recbole", config_dict=settings)
        init_seed(2020, True)
        self.data = create_dataset(config)
        self.train, self.valid, _ = data_preparation(config, self.data)
        self.model = get_model("SASRec")(config, self.train.dataset)
        self.trainer, self.batches = get_trainer(config["MODEL_TYPE"], "SASRec")(config, self.model), len(self.train)
        self.seen = {u: line[:-2] for u, line in sequences(folder / "all.txt")}

    def fit(self): self.trainer.fit(self.train, verbose=False, saved=False)

    def ask(self, seen):
        from recbole.utils.case_study import full_sort_scores
        import torch
        users, items, answer = list(self.seen), self.data.field2token_id["item_id"], []
        for at in range(0, len(users), 1024):
            some = users[at:at + 1024]
            scores = full_sort_scores(self.data.token2id("user_id", [str(u) for u in some]), self.model, self.valid)
            for row, u in () if seen else zip(scores, some): row[[items[str(i)] for i in self.seen[u]]] = -torch.inf     # which it has no option for
            answer += self.data.id2token("item_id", scores.topk(K).indices.numpy()).tolist()
        self.model.train()
        return answer

    def rows(self, answer): return [[int(i) for i in row] for row in answer]


class RecTools:
    "RecTools' SASRecModel: whole histories."
    steps = 1
    def __init__(self, folder, sampled=None):
        import pandas as pd
        from pytorch_lightning import Trainer
        from rectools import Columns
        from rectools.dataset import Dataset
        from rectools.models import SASRecModel
        rows = [(u, i, 1.0, pd.Timestamp(t, unit="D")) for u, line in sequences(folder / "train.txt") for t, i in enumerate(line)]
        self.data = Dataset.construct(pd.DataFrame(rows, columns=[Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]))
        self.users = [u for u, _ in sequences(folder / "train.txt")]
        trainer = lambda: Trainer(**QUIET)
        self.model = SASRecModel(n_factors=D, n_blocks=LAYERS, n_heads=HEADS, session_max_len=N, n_negatives=256, batch_size=128, lr=1e-3,
                                 loss="sampled_softmax" if sampled else "softmax", dropout_rate=.2, deterministic=False, get_trainer_func=trainer, verbose=0)
        self.batches = -(-len(self.users) // 128)

    def fit(self): self.model.fit(self.data)

    def ask(self, seen):
        self.model.is_fitted = True                                          # in the midst of its fit
        answer = self.model.recommend(self.users, self.data, k=K, filter_viewed=not seen)
        self.model.torch_model.train()
        return answer

    def rows(self, answer):
        rows = answer.groupby("user_id")["item_id"].apply(list)
        return [rows.get(u, []) for u in self.users]


class RePlay:
    "RePlay's SasRec: whole histories, read from Parquet files."
    steps = 1
    def __init__(self, folder):
        import pandas as pd
        from replay.data import FeatureHint, FeatureType
        from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorSchema
        from replay.nn.lightning import LightningModule
        from replay.nn.sequential import SasRec
        from replay.nn.transform.template import make_default_sasrec_transforms
        rows = list(sequences(folder / "train.txt"))
        self.users, self.n_items, longest = [u for u, _ in rows], max(max(line) for _, line in rows), max(len(line) for _, line in rows)
        inputs = [[i - 1 for i in line] for _, line in rows]                   # its items begin at 0, and the number after the last is padding
        pd.DataFrame({"user_id": self.users, "item_id": inputs, "seen_ids": inputs}).to_parquet(folder / "replay.parquet")
        pad = self.n_items
        schema = TensorSchema([TensorFeatureInfo("item_id", is_seq=True, padding_value=pad, cardinality=pad, embedding_dim=D,
                                                 feature_type=FeatureType.CATEGORICAL, feature_hint=FeatureHint.ITEM_ID)])
        shapes = {"train": {"item_id": {"shape": N + 1, "padding": pad}},
                  "predict": {"user_id": {}, "item_id": {"shape": N, "padding": pad}, "seen_ids": {"shape": longest, "padding": -1}}}
        self.files = partial(ParquetModule, 128, shapes, make_default_sasrec_transforms(schema))
        self.path = str(folder / "replay.parquet")
        self.model = LightningModule(SasRec.from_params(schema, embedding_dim=D, num_heads=HEADS, num_blocks=LAYERS, max_sequence_length=N, dropout=.2))
        self.batches = -(-len(self.users) // 128)

    def trainer(self, **more):
        from lightning import Trainer
        return Trainer(**QUIET, **more)

    def fit(self): self.trainer(limit_val_batches=0).fit(self.model, datamodule=self.files(train_path=self.path))

    def ask(self, seen):
        from copy import deepcopy
        from replay.nn.lightning import LightningModule
        from replay.nn.lightning.callback import TorchTopItemsCallback
        from replay.nn.lightning.postprocessor import SeenItemsFilter
        top = TorchTopItemsCallback(K, "user_id", [] if seen else [SeenItemsFilter(self.n_items, "seen_ids")])
        copy, files = LightningModule(deepcopy(self.model.model)), self.files(predict_path=self.path)
        self.trainer(callbacks=[top]).predict(copy, datamodule=files, return_predictions=False)
        return top.get_result()

    def rows(self, answer):
        rows = dict(zip(answer[0].tolist(), (answer[1] + 1).tolist()))
        return [rows[u] for u in self.users]


class Cornac:
    "cornac's SASRec: prefixes, one user at a time when it recommends, so only some are asked."
    steps, asked = 1, 500
    def __init__(self, folder):
        from cornac.data import SequentialDataset
        from cornac.models import SASRec
        self.lines = list(sequences(folder / "train.txt"))
        self.data = SequentialDataset.from_usit([(str(u), str(u), str(i), t) for u, line in self.lines for t, i in enumerate(line)])
        self.model = SASRec(embedding_dim=D, num_blocks=LAYERS, num_heads=HEADS, max_len=N, n_epochs=1000, seed=2020)
        self.batches = -(-sum(len(line) - 1 for _, line in self.lines) // 512)

    def fit(self): self.model.fit(self.data)

    def ask(self, seen):
        import numpy as np
        numbers, items, answer = self.data.iid_map, [int(i) for i in self.data.iid_map], []
        for u, line in self.lines[:self.asked]:
            history = [numbers[str(i)] for i in line]
            scores = self.model.score(self.data.uid_map[str(u)], history)
            if not seen: scores[history] = -np.inf
            answer.append([items[i] for i in np.argsort(-scores)[:K]])
        self.model.model.train()
        return answer

    def rows(self, answer): return answer


def sequences(file):
    "Of each line of a file its user and its items, all numbers."
    for line in file.read_text().splitlines():
        user, *items = map(int, line.split())
        yield user, items


def worker(name, folder, clone, batches):
    """What one contestant does, turn by turn. It starts, makes some batches after one that does not count, and recommends to everybody, half as often.

    Without `batches` it trains on and on: says how far it is every twenty seconds, and leaves its lists in a file after each epoch."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook
    turns = Turns(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)                                                            # what a library prints goes where its errors go
    torch.set_num_threads(1)
    library, *more = name.split()
    kinds = {"ours": Ours, "recbole": RecBole, "rectools": RecTools, "replay": RePlay, "cornac": Cornac}
    made = Released(folder, clone) if library == "released" else kinds[library](folder, *more)
    steps = 0

    def after_step(*_):
        nonlocal steps
        steps += 1
        done, part = divmod(steps, made.steps)
        if part: return
        if batches:
            turns.report("batch")
            if done <= batches: return
            for _ in range(max(1, batches // 2)):
                made.ask(False)
                turns.report("recommend", users=getattr(made, "asked", None))
            turns.report("end", megabytes=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        elif done % made.batches == 0:
            turns.report("epoch")
            (folder / f"{name}.json").write_text(json.dumps([list(map(int, row)) for row in made.rows(made.ask(True))]))
            turns.report("lists")
        elif time.process_time() - turns.cpu > 20: turns.report("part", done=done / made.batches)

    register_optimizer_step_post_hook(after_step)
    turns.report("start", batches=made.batches, torch=torch.__version__)
    made.fit()


# The side that starts them all, gives each its turn, and keeps what they say.

def environment(folder, packages):
    "The Python of a virtual environment with `packages` and the torch of this one; made if it is not there yet."
    import torch
    python, ready = folder / "bin" / "python", folder / "packages.txt"
    wanted = [f"torch=={torch.__version__.split('+')[0]}", *packages]
    if not ready.exists() or ready.read_text().split() != wanted:
        print(f"installing {' '.join(packages)} into {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], check=True, capture_output=True, text=True)
        ready.write_text("\n".join(wanted) + "\n")
    return python


class Contestant:
    "A worker and what is kept of it."
    def __init__(self, name, args, work):
        packages, what = CONTESTANTS[name]
        self.name, self.log, self.row, self.process, self.call = name, work / f"{name}.log", {"what": what}, None, None
        try: python = environment(args.envs / name.split()[0], packages) if packages else sys.executable
        except subprocess.CalledProcessError as e: return self.ended(e.stderr)
        told = ["--work", name, "--folder", work, "--batches", 0 if args.train else args.batches, *(["--clone", args.clone] if args.clone else [])]
        self.call = [python, *["-P"] * bool(packages), __file__, *map(str, told)]

    def ended(self, why):
        "It does not start, or broke off: the last line it said is kept."
        self.row["error"] = (why.strip().splitlines() or ["it ended without a word"])[-1][:200]
        print(f"{self.name}: {self.row['error']}", flush=True)

    def turn(self):
        "It works until its next word, which is given; None when there is none."
        if self.call is None: return None
        if self.process is None:
            quiet = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
            self.process = subprocess.Popen(self.call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, "w"), text=True,
                                            env=quiet, cwd=self.log.parent)
        else:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line: return json.loads(line)
        self.process.wait()
        self.ended(self.log.read_text())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def in_turn(contestants, heard):
    "One after the other, until each has ended or `heard(contestant, its word)` says that it is enough."
    while contestants:
        for c in list(contestants):
            word = c.turn()
            if word is None: contestants.remove(c)
            elif word["what"] == "start":
                c.row |= {"start": round(word["cpu"], 1), "batches": word["batches"], "torch": word["torch"]}
            elif not heard(c, word):
                c.stop()
                contestants.remove(c)


def speed(contestants, users):
    "Seconds of batches and of recommending, of the processor and of the clock on the wall; an epoch is so many times the median batch."
    def heard(c, word):
        for kind in ("cpu", "wall"):
            if word["what"] != "end": c.row.setdefault(word["what"], {}).setdefault(kind, []).append(round(word[kind], 3))
        if word["what"] == "recommend" and word["users"]: c.row["asked"] = word["users"]
        if word["what"] == "end": c.row["megabytes"] = word["megabytes"]
        return word["what"] != "end"
    in_turn(list(contestants), heard)
    for c in contestants:
        if "error" in c.row: continue
        for spent in c.row["batch"].values(): del spent[0]                    # the first also fills caches
        c.row["epoch"] = round(c.row["batches"] * median(c.row["batch"]["cpu"]), 1)
        c.row["everybody"] = round(median(c.row["recommend"]["cpu"]) * users / c.row.get("asked", users), 2)


def train(contestants, valid, work, cap):
    "Epoch by epoch for `cap` minutes of the processor each: minutes, epochs, HR@10 and NDCG@10 of the lists after each."
    from mclrec.ranking import MISS, metrics
    import torch
    def heard(c, word):
        row = c.row
        if word["what"] == "lists":
            lists = json.loads((work / f"{c.name}.json").read_text())
            places = [row.index(target) + 1 if target in row else MISS for row, target in zip(lists, valid)]
            said = metrics(torch.tensor(places))
            row.setdefault("curve", []).append([round(row["minutes"], 3), row["epochs"], round(said["HR@10"], 4), round(said["NDCG@10"], 4)])
            print(c.name, *row["curve"][-1], flush=True)
        else:
            row["minutes"] = row.get("minutes", 0) + word["cpu"] / 60
            done = row.get("whole", 0) + 1 if word["what"] == "epoch" else word["done"]
            if word["what"] == "epoch": row["whole"] = done
            row["epochs"] = round(done, 3)
        return word["what"] == "epoch" or row["minutes"] < cap
    in_turn(list(contestants), heard)
    for c in contestants: c.row.pop("whole", None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--envs", type=Path, help="a folder for the environments, about a gigabyte each")
    p.add_argument("--keep", type=Path, metavar="FILE", help="the record; the rows that are not run stay as they are, and each says when its run began")
    p.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME", help=", ".join(CONTESTANTS))
    p.add_argument("--clone", type=Path, help="of the authors' repository")
    p.add_argument("--batches", type=int, default=4, help="so many batches of each, and half as many times everybody's lists")
    p.add_argument("--train", action="store_true", help="epoch by epoch instead")
    p.add_argument("--cap", type=float, default=6, help="minutes of the processor for the training of each")
    for hidden in ("--work", "--folder"): p.add_argument(hidden, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.work: return worker(args.work, Path(args.folder), args.clone, args.batches)
    if not args.envs: p.error("--envs is missing")
    from mclrec import load
    from mclrec.runner import hardware
    import torch
    begun, data = time.strftime("%Y-%m-%d %H:%M"), load("beauty")
    lines = [data[u].tolist() for u in range(data.n_users)]
    args.envs, args.clone = args.envs.resolve(), args.clone and args.clone.resolve()
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for name, cut in (("all", None), ("train", -2)):
            (work / f"{name}.txt").write_text("".join(f"{u} {' '.join(map(str, line[:cut]))}\n" for u, line in enumerate(lines, 1)))
        contestants = [Contestant(name, args, work) for name in args.only]
        if args.train: train(contestants, [line[-2] for line in lines], work, args.cap)
        else: speed(contestants, len(lines))
    for c in contestants: print(f"{c.name:24}", {key: value for key, value in c.row.items() if key not in ("what", "batch", "recommend", "curve")}, flush=True)
    if args.keep:
        kept, part = json.loads(args.keep.read_text()) if args.keep.exists() else {}, "training" if args.train else "speed"
        rows = {**kept.get(part, {}).get("rows", {}), **{c.name: {"run": begun, **c.row} for c in contestants}}
        kept[part] = {"data": data.name, "users": len(lines), "command": shlex.join(["python", *sys.argv]), "machine": "{processor}, {cores} cores".format(**hardware()), "threads": 1,
                      "torch": torch.__version__, "rows": {name: rows[name] for name in CONTESTANTS if name in rows}}
        args.keep.write_text(in_lines(kept) + "\n")


def in_lines(kept):
    "JSON with a line for each row."
    short = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)
    parts = []
    for part, said in kept.items():
        head = [f"  {short(key)}: {short(value)}" for key, value in said.items() if key != "rows"]
        rows = ",\n".join(f"   {short(name)}: {short(row)}" for name, row in said["rows"].items())
        parts.append(f" {short(part)}: {{\n" + ",\n".join([*head, f'  "rows": {{\n{rows}\n  }}']) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}"


if __name__ == "__main__":
    main()
