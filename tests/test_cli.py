"""Every command as a process of its own: what it prints where, how it exits, and one sentence for all that can be wrong.

Most commands run in children of one process that has the library loaded, which saves each of them the seconds it takes to load
PyTorch; arguments, streams, signals, limits and exit are as real as in a process started afresh, which a few tests do start.
"""
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

SERVER = """
import gc, json, os, resource, signal, sys
import mclrec.loading, mclrec.meta, mclrec.training, torch._dynamo
from mclrec.cli import main
gc.freeze()
answers = os.fdopen(os.dup(1), "w")
for line in iter(sys.stdin.readline, ""):
    order = json.loads(line)
    if child := os.fork():
        print(child, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)
        continue
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(120)
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    for fd, path in ((1, order["out"]), (2, order["err"])):
        if path: file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        else:
            nobody, file = os.pipe()
            os.close(nobody)
        os.dup2(file, fd)
    if order["largest_file"]: resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"],) * 2)
    try: code = main(order["argv"])
    except SystemExit as e: code = e.code
    if order["quick"]:  # no need to take PyTorch apart
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
"""
TINY = ["--set", "d=8", "--set", "n=6", "--set", "layers=1", "--set", "inner=8", "--set", "batch_size=32"]
METRICS = {f"{m}@{k}" for m in ("HR", "NDCG", "MRR") for k in (5, 10, 20)}


class Done(NamedTuple):
    code: int
    out: str
    err: str


def buffered():
    "The environment as most people have it: Python keeps back what it prints to a pipe until there is enough of it."
    return {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


class Commands:
    "Runs `mclrec …` and waits for it; `begin` and `end` do the two halves."
    def __init__(self, folder):
        self.folder, self.count = folder, 0
        self.server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=buffered())

    def begin(self, *argv, cwd=".", out=None, largest_file=None, **env):
        self.count += 1
        self.out, self.err = (self.folder / f"{self.count}.{stream}" for stream in ("out", "err"))
        order = dict(argv=list(map(str, argv)), cwd=str(cwd), env=env, out=str(self.out if out is None else out), err=str(self.err), largest_file=largest_file, quick=out is None)
        print(json.dumps(order), file=self.server.stdin, flush=True)
        return int(self.server.stdout.readline())

    def end(self):
        code = int(self.server.stdout.readline())
        return Done(code, self.out.read_text() if self.out.exists() else "", self.err.read_text())

    def __call__(self, *argv, **kwargs):
        self.begin(*argv, **kwargs)
        return self.end()


@pytest.fixture(scope="session")
def mclrec(tmp_path_factory):
    commands = Commands(tmp_path_factory.mktemp("commands"))
    yield commands
    commands.server.stdin.close()
    commands.server.wait()
    commands.server.stdout.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    "A file of 40 users and their seven items each."
    path = tmp_path_factory.mktemp("data") / "shop.txt"
    path.write_text("".join(f"u{u} " + " ".join(f"i{(3 * u + k) % 20}" for k in range(7)) + "\n" for u in range(40)))
    return path


@pytest.fixture(scope="session")
def trained(mclrec, shop, tmp_path_factory):
    "A run of four epochs on the shop, and what training said."
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = mclrec("train", shop, "--out", folder, "--epochs", 4, *TINY)
    assert done.code == 0, done.err
    return folder, done


@pytest.fixture
def run(trained, tmp_path):
    "A copy of the run that a test may spoil."
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


MESSAGE = re.compile(r"mclrec: (about [^;]* for at most \d+ epochs, |[\w.-]+: \d+ users, \d+ items, |[\w.-]+: users from |\w+, preset \w+: |toy is small: |the run is kept in |the released encoder: |\d+ of \d+ (actions|items) )|epoch \d+/\d+|lists: |\s*$")


def sentences(err):
    "The lines on standard error that are neither progress nor one of the messages on the way."
    return [line for line in re.split(r"[\r\n]+", err) if not MESSAGE.match(line)]


def complains(done, *parts, code=2):
    "The command failed with one sentence, and it has all `parts` in it."
    assert "Traceback" not in done.err and done.out == "", done
    (said,) = sentences(done.err)
    assert all(str(part) in said for part in parts), said
    assert said.startswith("mclrec") and said.endswith((".", "?")), said
    assert done.code == code, done


def files(folder):
    return {f.name: f.read_bytes() for f in folder.iterdir()}


def records(folder):
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("seconds")} for line in (folder / "metrics.jsonl").read_text().splitlines()]


def answer(done):
    "The one JSON object on standard output."
    assert done.code == 0 and not sentences(done.err), done
    assert done.out.count("\n") == 1 and done.out.endswith("}\n")
    return json.loads(done.out)


# ---- processes started afresh

def fresh(*command, **kwargs):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, **kwargs)
    return Done(done.returncode, done.stdout, done.stderr)


def test_light_things_do_not_load_torch():
    report = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, 'numpy' in sys.modules)); "
    assert fresh("-c", report + "import mclrec; dir(mclrec); mclrec.__version__").out == "False False\n"
    done = fresh("-c", report + "from mclrec.cli import main; main(['--help'])")
    assert done.code == 0 and done.out.endswith("False False\n") and done.err == ""
    assert all(command in done.out for command in ("data", "train", "evaluate", "recommend", "import-official", "download"))
    assert fresh("-c", report + "import mclrec; mclrec.load('toy')").out == "False True\n"
    assert fresh("-c", "import mclrec; mclrec.load('toy'); print(mclrec.toy().n_items, mclrec.toy().n_items, callable(mclrec.download))").out == "300 300 True\n"
    assert fresh("-c", "import mclrec; mclrec.nonsense").err.endswith("module 'mclrec' has no attribute 'nonsense'\n")


def test_the_installed_command_from_training_to_advice(tmp_path):
    def command(*argv, code=0):
        done = subprocess.run([Path(sys.executable).with_name("mclrec"), *argv], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code and "Traceback" not in done.stderr, done
        return done.stdout, done.stderr
    assert command("data", "toy")[0] == "1000 users, 300 items, 8847 actions, 8.85 on average, 97.25% sparse\n"
    out, _ = command("train", "toy", "--out", "t", "--epochs", "1", "--set", "d=8", "--set", "layers=1", "--set", "n=10", "--set", "batch_size=1024")
    assert re.match(r"1 epochs?\. Test, seen items in:\nHR@5 0\.\d{4}", out)
    out, err = command("recommend", "t", "toy", "--user", "1", "-k", "3")
    assert len(out.splitlines()) == 3
    assert "is unknown" in command("recommend", "t", "toy", "--user", "0", code=2)[1]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early(unbuffered, shop):
    "As in `mclrec data … | head -0`."
    for argv in (["--help"], ["data", str(shop)]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([sys.executable, "-c", "import sys; from mclrec.cli import main; sys.exit(main())", *argv], stdout=write, stderr=subprocess.PIPE, text=True, env=buffered() | {"PYTHONUNBUFFERED": unbuffered})
        os.close(write)
        assert done.returncode == 0 and not sentences(done.stderr), (argv, done)


# ---- what each command prints

def test_data(mclrec, shop):
    done = mclrec("data", shop)
    assert (done.code, done.out) == (0, "40 users, 20 items, 280 actions, 7.00 on average, 65.00% sparse\n")
    assert "mclrec: shop: 40 users, 20 items, 280 actions\n" in done.err and "took away" not in done.err
    assert answer(mclrec("data", shop, "--json")) == {"users": 40, "items": 20, "actions": 280, "average_length": 7, "sparsity": pytest.approx(.65)}


def test_data_with_columns_and_core(mclrec, shop, tmp_path):
    with open(tmp_path / "sales.csv", "w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["who", "what", "when"])
        rows.writerows((u, i, -t) for u, *items in map(str.split, shop.read_text().splitlines()) for t, i in enumerate(items))
    where = [tmp_path / "sales.csv", "--columns", "user=who,item=what,time=when"]
    assert mclrec("data", *where).out == mclrec("data", shop).out
    assert answer(mclrec("data", *where, "--core", 0, "--json"))["actions"] == 280
    assert "20 items" in mclrec("data", *where, "--core", 6).out
    complains(mclrec("data", *where, "--core", 8), "nothing is left", "8-core", "smaller core")


def test_train(trained, shop):
    folder, done = trained
    assert re.fullmatch(r"4 epochs\. Test, seen items in:\n(.*\n){3}Test, seen items out:\n(.*\n){3}", done.out)
    assert re.search(r"mclrec: about \d+\.?\d* s for at most 4 epochs, \d+\.\d s each, on the CPU, \d+ threads\n", done.err)
    assert not sentences(done.err) and "epoch 4/4" in done.err and "λ = 0.03, β = 0.1, γ = 0.01" in done.err
    assert sorted(files(folder)) == ["card.md", "config.json", "metrics.jsonl", "model.safetensors", "state.safetensors", "vocabulary.json"]
    assert [r["epoch"] for r in records(folder)] == [1, 2, 3, 4] and set(records(folder)[0]["valid"]) == METRICS
    config = json.loads((folder / "config.json").read_text())
    assert (config["model"], config["preset"], config["seed"], config["settings"]["d"], config["fit"]["batch_size"]) == ("mclrec", "official", 2020, 8, 32)


@pytest.mark.parametrize("model, preset", [("mclrec", "paper"), ("sasrec", "shared"), ("popularity", "shared")])
def test_train_other_models_and_resume_them(model, preset, mclrec, shop, tmp_path):
    settings = [] if model == "popularity" else TINY
    how = ["train", shop, "--out", tmp_path / "run", "--model", model, "--preset", preset, "--seed", 7, *settings]
    first = answer(mclrec(*how, "--epochs", 1, "--json"))
    assert set(first) == {"epochs", "seen_in", "seen_out"} and set(first["seen_in"]) == set(first["seen_out"]) == METRICS
    last = answer(mclrec("train", shop, "--out", tmp_path / "run", "--resume", "--epochs", 2, "--json"))
    assert last["epochs"] == (1 if model == "popularity" else 2)
    assert answer(mclrec("evaluate", tmp_path / "run", shop, "--json")).items() >= last["seen_in"].items()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"], config["preset"], config["seed"]) == (model, preset, 7)


def test_evaluate(mclrec, trained, shop):
    folder, done = trained
    for flags, split, exclude, printed in (([], "test", False, "seen items in"), (["--exclude-seen"], "test", True, "seen items out"), (["--split", "valid"], "valid", False, "seen items in")):
        result = answer(mclrec("evaluate", folder, shop, "--json", *flags))
        assert set(result) == METRICS | {"split", "exclude_seen", "users"}
        assert (result["split"], result["exclude_seen"], result["users"]) == (split, exclude, 40)
        text = mclrec("evaluate", folder, shop, *flags)
        assert text.code == 0 and not sentences(text.err)
        first, *table = text.out.splitlines()
        assert first == f"40 users, {split} items, leave-one-out, {printed}:"
        assert dict(re.findall(r"(\S+@\d+) (\S+)", "\n".join(table))) == {name: f"{result[name]:.4f}" for name in METRICS}
        if split == "test":
            assert "\n".join(table) in done.out
    assert max(records(folder), key=lambda r: round(r["valid"]["MRR@10"], 4))["valid"].items() <= result.items()


def test_recommend(mclrec, trained, shop):
    folder, history = trained[0], shop.read_text().splitlines()[3].split()[1:]
    result = answer(mclrec("recommend", folder, shop, "--user", "u3", "--json"))
    assert set(result) == {"items"} and len(result["items"]) == 10 and all(set(i) == {"item", "score"} for i in result["items"])
    scores = [i["score"] for i in result["items"]]
    assert scores == sorted(scores, reverse=True) and not {i["item"] for i in result["items"]} & set(history)
    assert answer(mclrec("recommend", folder, shop, "--history", " ".join(history), "--json")) == result
    done = mclrec("recommend", folder, shop, "--user", "u3", "-k", 4)
    assert done.code == 0 and [line.split() for line in done.out.splitlines()] == [[f"{i['score']:.4f}", i["item"]] for i in result["items"][:4]]
    done = mclrec("recommend", folder, shop, "--history", "i1 nonsense i2", "--json")
    assert answer(done) == answer(mclrec("recommend", folder, shop, "--history", "i1 i2", "--json"))
    assert "1 of 3 items in a history are unknown" in done.err


def test_a_history_needs_no_data(mclrec, trained, shop, tmp_path):
    folder, ask = trained[0], ["--history", "i1 i2", "--json"]
    expected = answer(mclrec("recommend", folder, shop, *ask))
    assert answer(mclrec("recommend", folder, *ask)) == expected
    (tmp_path / "never.csv").write_text("this is read by nobody")
    assert answer(mclrec("recommend", folder, *ask, tmp_path / "never.csv")) == expected
    complains(mclrec("recommend", folder, "--history", "i1", "i2"), "i2", "no such file")  # without its quotation marks


def test_data_may_stand_after_the_options(mclrec, trained, shop):
    folder, out = trained[0], mclrec("recommend", trained[0], shop, "--user", "u3").out
    assert out and mclrec("recommend", folder, "--user", "u3", shop).out == mclrec("recommend", "--user", "u3", folder, shop).out == out
    complains(mclrec("recommend", folder, "--user", "u3", shop, "more"), "unrecognized arguments: more")
    complains(mclrec("recommend", folder, "--user", "u3", shop, "--more"), "unrecognized arguments: --more")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_everybodys_lists(ending, mclrec, trained, shop, tmp_path):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow; pip install 'mclrec[parquet]'")
    import pandas as pd
    file = tmp_path / f"lists{ending}"
    for words in ([], ["--json"]):  # the second time the file is there
        done = mclrec("recommend", trained[0], shop, "--all", "-k", 4, "--out", file, *words)
        assert done.code == 0 and not sentences(done.err)
    assert json.loads(done.out) == {"file": str(file), "users": 40, "rows": 160}
    table = pd.read_csv(file) if ending == ".csv" else pd.read_parquet(file)
    assert list(table) == ["user", "item", "rank", "score"] and list(table.user) == [f"u{u}" for u in range(40) for _ in range(4)]
    one = answer(mclrec("recommend", trained[0], shop, "--user", "u7", "-k", 4, "--json"))["items"]
    mine = table[table.user == "u7"]
    assert list(mine.item) == [i["item"] for i in one] and list(mine["rank"]) == [1, 2, 3, 4]
    assert list(mine.score) == pytest.approx([i["score"] for i in one], rel=1e-4, abs=1e-5)  # other people in its batch: other rounding


def test_a_full_disk_while_writing_lists(mclrec, trained, shop, tmp_path):
    for file in (tmp_path / "lists.csv", tmp_path / "lists.parquet"):
        file.write_text("as it was")
        complains(mclrec("recommend", trained[0], shop, "--all", "--out", file, largest_file=1000), file, "cannot be written", "make room")
        assert file.read_text() == "as it was"
    assert len(list(tmp_path.iterdir())) == 2


def test_data_with_items_the_model_does_not_know(mclrec, trained, tmp_path):
    (tmp_path / "other.txt").write_text("a i1 i2 i3 i4\nb i2 i3 new\nc i5 new i6 i7\n")
    done = mclrec("evaluate", trained[0], tmp_path / "other.txt", "--core", 0, "--json")
    assert answer(done)["users"] == 3
    assert "2 of 11 actions are of items the model does not know: 1 targets count as misses, 0 users" in done.err


def test_numbers_as_ids(mclrec, shop, tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow; pip install 'mclrec[parquet]'")
    import pandas as pd
    rows = [(int(u[1:]), int(i[1:])) for u, *items in map(str.split, shop.read_text().splitlines()) for i in items]
    pd.DataFrame(rows, columns=["user", "item"]).to_parquet(tmp_path / "shop.parquet")
    assert mclrec("train", tmp_path / "shop.parquet", "--out", tmp_path / "run", "--epochs", 1, *TINY).code == 0
    by_user = answer(mclrec("recommend", tmp_path / "run", tmp_path / "shop.parquet", "--user", "3", "--json"))
    assert all(isinstance(i["item"], int) for i in by_user["items"])
    history = " ".join(str(i) for u, i in rows if u == 3)
    assert answer(mclrec("recommend", tmp_path / "run", tmp_path / "shop.parquet", "--history", history, "--json")) == by_user


def test_the_released_checkpoint_ranks_as_published(mclrec, checkpoint_path, beauty_path, tmp_path):
    done = mclrec("import-official", checkpoint_path, beauty_path, "--out", tmp_path / "r")
    assert (done.code, done.out) == (0, "") and "the released encoder for 12101 items" in done.err
    published = {(): (.0581, .0871, .1243, .0352, .0446, .0539), ("--exclude-seen",): (.0693, .0951, .1306, .0493, .0576, .0665)}
    for flags, expected in published.items():
        result = answer(mclrec("evaluate", tmp_path / "r", beauty_path, "--json", *flags))
        assert tuple(round(result[f"{m}@{k}"], 4) for m in ("HR", "NDCG") for k in (5, 10, 20)) == expected
        assert result["users"] == 22363


def test_beauty_is_the_papers(mclrec, beauty_path):
    done = mclrec("data", "beauty", MCLREC_DATA=str(beauty_path.parent))
    assert done.out == "22363 users, 12101 items, 198502 actions, 8.88 on average, 99.93% sparse\n"


def test_train_without_out_makes_and_names_a_folder(mclrec, shop, tmp_path):
    for n in (1, 2):
        done = mclrec("train", shop, "--model", "popularity", cwd=tmp_path)
        assert done.code == 0 and f"runs/shop-popularity-{n}" in done.err
    complains(mclrec("train", shop, "--set", "d=wide", cwd=tmp_path), "d='wide'")
    assert sorted(f.name for f in (tmp_path / "runs").iterdir()) == ["shop-popularity-1", "shop-popularity-2"]


def test_help_version_and_models(mclrec):
    assert mclrec().out.startswith("usage: mclrec") and mclrec().code == 0
    assert re.fullmatch(r"mclrec \d+\.\d+\.\d+\n", mclrec("--version").out)
    assert {"mclrec", "sasrec", "popularity"} <= set(answer(mclrec("models", "--json")))
    assert "presets official, paper" in mclrec("models").out


def test_errors_that_need_no_torch_come_without_it(shop, tmp_path):
    report = "import sys; from mclrec.cli import main; code = main(sys.argv[1:]); print(code, 'torch' in sys.modules)"
    for argv in (["train", "nowhere.csv"], ["train", shop, "--model", "bert"], ["evaluate", tmp_path / "none", shop], ["data", "toi"]):
        done = fresh("-c", report, *argv, cwd=tmp_path)
        assert done.out == "2 False\n" and len(done.err.splitlines()) == 1, done
    assert fresh("-m", "mclrec", "--version").out.startswith("mclrec 0.")
    assert fresh("-c", "from mclrec import *; print(load, InputError.__name__)").out.endswith("InputError\n")


def test_histories_as_people_write_them(mclrec, shop, tmp_path):
    path = tmp_path / "blank.csv"
    path.write_text("user,item\n" + "".join(f"{u},green tea {i}\n" for u, *items in map(str.split, shop.read_text().splitlines()) for i in items))
    assert mclrec("train", path, "--out", tmp_path / "run", "--model", "popularity").code == 0
    ask = lambda history: answer(mclrec("recommend", tmp_path / "run", path, "--history", history, "--json"))
    (tmp_path / "one").write_text("green tea i1\ngreen tea i2\n")
    (tmp_path / "two").write_text('["green tea i1", "green tea i2"]')
    assert ask("green tea i1")["items"] and ask('["green tea i1", "green tea i2"]') == ask(f"@{tmp_path / 'one'}") == ask(f"@{tmp_path / 'two'}")
    complains(mclrec("recommend", tmp_path / "run", path, "--history", "@nowhere"), "nowhere: no such file of a history")


def test_a_home_folder_is_expanded(mclrec, shop, tmp_path):
    assert mclrec("train", shop, "--out=~/run", "--model", "popularity", cwd=tmp_path, HOME=str(tmp_path / "home")).code == 0
    assert (tmp_path / "home" / "run" / "config.json").exists() and not (tmp_path / "~").exists()
    assert mclrec("evaluate", "~/run", shop, cwd=tmp_path, HOME=str(tmp_path / "home")).code == 0


# ---- Ctrl-C, a full disk, a reader that leaves

def interrupt(mclrec, when, *argv):
    "Run a command and send it Ctrl-C as soon as `when` holds."
    child = mclrec.begin(*argv)
    limit = time.monotonic() + 60
    while not when() and time.monotonic() < limit:
        time.sleep(.005)
    os.kill(child, signal.SIGINT)
    return mclrec.end()


def complains_of_ctrl_c(done):
    complains(done, "stopped", "--resume", code=130)


SLOW = ["--epochs", 4, "--set", "d=8", "--set", "n=6", "--set", "layers=1", "--set", "inner=8", "--set", "batch_size=4"]  # forty batches an epoch


@pytest.fixture(scope="module")
def whole(mclrec, shop, tmp_path_factory):
    "A run without interruption."
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = mclrec("train", shop, "--out", folder, *SLOW)
    assert done.code == 0
    return folder, done


@pytest.mark.parametrize("epochs", [0, 2])
def test_ctrl_c_and_resume_is_as_if_nothing_had_been(epochs, whole, mclrec, shop, tmp_path):
    out = tmp_path / "parts"

    def within_an_epoch():  # the epoch before is closed, some batches have been seen
        ready = (out / "config.json").exists() if epochs == 0 else (out / "state.safetensors").exists() and len(records(out)) == epochs
        return ready and time.sleep(.1) is None
    done = interrupt(mclrec, within_an_epoch, "train", shop, "--out", out, *SLOW)
    complains_of_ctrl_c(done)
    assert epochs == 0 or epochs <= len(records(out)) < 4
    assert epochs > 0 or not (out / "state.safetensors").exists()
    assert not list(out.glob(".*"))
    resumed = mclrec("train", shop, "--epochs", 4, "--out", out, "--resume")
    assert resumed.code == 0 and resumed.out == whole[1].out
    assert records(out) == records(whole[0])
    for file in ("model.safetensors", "config.json", "vocabulary.json"):
        assert (out / file).read_bytes() == (whole[0] / file).read_bytes(), file


def test_ctrl_c_while_reading_data(mclrec, tmp_path):
    (tmp_path / "long.txt").write_text("".join(f"u{u} " + "i1 " * 30 + "\n" for u in range(200000)))
    done = interrupt(mclrec, lambda: time.sleep(.1) is None, "data", tmp_path / "long.txt")
    assert done.code == 130 and done.out == "" and "Traceback" not in done.err and len(sentences(done.err)) == 1


@pytest.mark.parametrize("room", [5000, 9000])  # too small for the weights, too small for the state
def test_a_full_disk_at_the_start(room, mclrec, shop, tmp_path):
    complains(mclrec("train", shop, "--out", tmp_path / "run", "--epochs", 2, *TINY, largest_file=room), tmp_path / "run", "cannot be written", "make room")


def test_a_full_disk_on_the_way(mclrec, run, trained, shop):
    "What was saved before still loads, and the run goes on when there is room again."
    before = files(run)
    room = len(before["model.safetensors"]) + 10
    assert len(before["state.safetensors"]) > room
    complains(mclrec("train", shop, "--out", run, "--resume", "--epochs", 6, largest_file=room), run, "cannot be written", "make room")
    assert files(run)["state.safetensors"] == before["state.safetensors"] and sorted(files(run)) == sorted(before)
    assert mclrec("recommend", run, shop, "--user", "u1").code == 0
    assert mclrec("train", shop, "--out", run, "--resume", "--epochs", 6).code == 0
    assert records(run)[:4] == records(trained[0]) and len(records(run)) == 6


def test_a_full_disk_while_importing(mclrec, checkpoint_path, beauty_path, tmp_path):
    complains(mclrec("import-official", checkpoint_path, beauty_path, "--out", tmp_path / "r", largest_file=10**6),
              tmp_path / "r" / "model.safetensors", "cannot be written")
    assert list(tmp_path.iterdir()) == []  # neither half a model nor what it was written beside


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_answer_that_cannot_be_written(mclrec, trained, shop):
    complains(mclrec("recommend", trained[0], shop, "--user", "u1", out="/dev/full"), "No space left")


def test_nobody_reads_the_answer(mclrec, trained, shop):
    for argv in (["data", shop], ["recommend", trained[0], shop, "--user", "u3", "--json"], ["--help"]):
        mclrec.begin(*argv, out="")
        done = mclrec.end()
        assert done.code == 0 and not sentences(done.err), (argv, done)


# ---- what cannot be

@pytest.mark.parametrize("content, parts", [
    (None, ["no such file"]), ("", ["no interactions"]), ("\n\n", ["no interactions"]), ("u1 i1 i2\nu2\n", ["line 2", "u2", "has no items"]),
    ("user,item\n1,2\n", ["line 1", "looks like a table (.csv)"]), ('{"a": 1}\n', ["line 1", "looks like JSON"]), (b"PK\x03\x04\0\0", ["line 1", "binary"]),
    ("".join(f"u{k} a b c\n" for k in range(999)) + "last\n", ["line 1000", "'last'"])])
@pytest.mark.parametrize("command", ["data", "train", "evaluate"])
def test_files_that_are_no_data(command, content, parts, mclrec, trained, tmp_path):
    path = tmp_path / "data.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    argv = {"data": ["data", path], "train": ["train", path, "--out", tmp_path / "run"], "evaluate": ["evaluate", trained[0], path]}[command]
    complains(mclrec(*argv), path, *parts)
    assert not (tmp_path / "run").exists()


def test_nobody_with_three_items(mclrec, trained, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("".join(f"u{u} i1 i2\n" for u in range(9)))
    complains(mclrec("data", path), "nothing is left")
    assert mclrec("data", path, "--core", 0).code == 0
    for argv in (["train", path, "--out", tmp_path / "run"], ["train", path, "--out", tmp_path / "run", "--model", "popularity"], ["evaluate", trained[0], path]):
        complains(mclrec(*argv, "--core", 0), "short: no user has three items")
    (tmp_path / "three.txt").write_text("".join(f"u{u} i1 i2 i3\n" for u in range(9)))
    complains(mclrec("train", tmp_path / "three.txt", "--core", 0, "--out", tmp_path / "run"), "no training example")
    assert not (tmp_path / "run").exists()


WRONG = {
    "unknown command": (["learn"], "'learn'", "choose one of data, train"),
    "mistyped command": (["trian", "SHOP"], "'trian'", "did you mean train?"),
    "no data": (["data"], "DATA"),
    "unknown data": (["data", "beuaty"], "beuaty", "beauty"),
    "another ending": (["data", "SHOP.xyz"], "SHOP.xyz"),
    "unknown option": (["data", "SHOP", "--cores", "3"], "--cores 3"),
    "core of text": (["data", "SHOP", "--core", "x"], "--core", "'x'"),
    "core below 0": (["data", "SHOP", "--core", "-1"], "core=-1"),
    "columns without =": (["data", "SHOP", "--columns", "who"], "--columns", "'who'", "user=U,item=I,time=T"),
    "columns of another kind": (["data", "SHOP", "--columns", "shop=a"], "--columns", "'shop=a'"),
    "columns of a txt": (["data", "SHOP", "--columns", "user=a"], "no columns"),
    "resume without out": (["train", "SHOP", "--resume"], "--out"),
    "an address": (["data", "https://example.org/d.csv"], "download it first"),
    "heads that do not fit": (["import-official", "CHECKPOINT", "SHOP", "--out", "NEW", "--heads", "none"], "--heads", "'none'"),
    "unknown model": (["train", "SHOP", "--out", "NEW", "--model", "bert"], "'bert'", "mclrec", "sasrec", "popularity"),
    "unknown preset": (["train", "SHOP", "--out", "NEW", "--preset", "best"], "'best'", "'official' or 'paper'"),
    "no epochs": (["train", "SHOP", "--out", "NEW", "--epochs", "0"], "epochs=0"),
    "epochs of text": (["train", "SHOP", "--out", "NEW", "--epochs", "many"], "--epochs", "'many'"),
    "seed below 0": (["train", "SHOP", "--out", "NEW", "--seed", "-1"], "seed=-1"),
    "seed too large": (["train", "SHOP", "--out", "NEW", "--seed", str(2**70)], "seed="),
    "set without =": (["train", "SHOP", "--out", "NEW", "--set", "d"], "--set", "'d'", "key=value"),
    "set unknown": (["train", "SHOP", "--out", "NEW", "--set", "depth=3"], "no setting 'depth'", "dropout"),
    "set n_items": (["train", "SHOP", "--out", "NEW", "--set", "n_items=3"], "no setting 'n_items'"),
    "set seed": (["train", "SHOP", "--out", "NEW", "--set", "seed=3"], "no setting 'seed'"),
    "set preset": (["train", "SHOP", "--out", "NEW", "--set", "preset=paper"], "no setting 'preset'"),
    "set self": (["train", "SHOP", "--out", "NEW", "--set", "self=1"], "no setting 'self'"),
    "set nothing": (["train", "SHOP", "--out", "NEW", "--set", "=1"], "no setting ''"),
    "set epochs": (["train", "SHOP", "--out", "NEW", "--set", "epochs=1"], "no setting 'epochs'"),
    "set d of text": (["train", "SHOP", "--out", "NEW", "--set", "d=wide"], "d='wide'"),
    "set d below 1": (["train", "SHOP", "--out", "NEW", "--set", "d=0"], "d=0"),
    "set d too small": (["train", "SHOP", "--out", "NEW", "--set", "d=2"], "d=2"),
    "set d uneven": (["train", "SHOP", "--out", "NEW", "--set", "d=9"], "d=9"),
    "set dropout 1": (["train", "SHOP", "--out", "NEW", "--set", "dropout=1"], "dropout=1"),
    "set dropout NaN": (["train", "SHOP", "--out", "NEW", "--set", "dropout=NaN"], "dropout=nan"),
    "set lr of text": (["train", "SHOP", "--out", "NEW", "--set", "lr=fast"], "lr='fast'"),
    "set lr none": (["train", "SHOP", "--out", "NEW", "--set", "lr=null"], "lr=None"),
    "set lr a list": (["train", "SHOP", "--out", "NEW", "--set", "lr=[1]"], "lr=[1]"),
    "set batch_size": (["train", "SHOP", "--out", "NEW", "--set", "batch_size=0.5"], "batch_size=0.5"),
    "set metric": (["train", "SHOP", "--out", "NEW", "--set", "metric=AUC"], "metric='AUC'", "HR@5"),
    "set patience": (["train", "SHOP", "--out", "NEW", "--set", "patience=-1"], "patience=-1"),
    "resume nothing": (["train", "SHOP", "--out", "NEW", "--resume"], "NEW", "no run to resume"),
    "existing run": (["train", "SHOP", "--out", "RUN"], "RUN", "is there already", "resume"),
    "run is a file": (["train", "SHOP", "--out", "SHOP"], "SHOP", "is there already"),
    "resume a file": (["train", "SHOP", "--out", "SHOP", "--resume"], "SHOP", "no run to resume"),
    "evaluate nothing": (["evaluate", "NEW", "SHOP"], "NEW", "no such folder"),
    "evaluate a file": (["evaluate", "SHOP", "SHOP"], "SHOP", "no such folder"),
    "unknown split": (["evaluate", "RUN", "SHOP", "--split", "train"], "--split", "'train'"),
    "nobody": (["recommend", "RUN", "SHOP"], "--user", "--history"),
    "both": (["recommend", "RUN", "SHOP", "--user", "u1", "--history", "i1"], "--history", "--user"),
    "unknown user": (["recommend", "RUN", "SHOP", "--user", "u99"], "'u99' is unknown", "40 users of shop", "u0, u1, u2"),
    "unknown history": (["recommend", "RUN", "SHOP", "--history", "x1 x2"], "'x1 x2'", "is known to the model"),
    "empty history": (["recommend", "RUN", "SHOP", "--history", ""], "''"),
    "a user without data": (["recommend", "RUN", "--user", "u1"], "--user", "DATA"),
    "all without data": (["recommend", "RUN", "--all", "--out", "NEW.csv"], "--all", "DATA"),
    "all without a file": (["recommend", "RUN", "SHOP", "--all"], "--out FILE.csv"),
    "a file without all": (["recommend", "RUN", "SHOP", "--user", "u1", "--out", "NEW.csv"], "--out", "--all"),
    "a file with another ending": (["recommend", "RUN", "SHOP", "--all", "--out", "NEW"], "NEW", ".csv, .parquet"),
    "a file that is a folder": (["recommend", "RUN", "SHOP", "--all", "--out", "FOLDER.csv"], "FOLDER.csv", "no file can take this place"),
    "a file below a file": (["recommend", "RUN", "SHOP", "--all", "--out", "BELOW.csv"], "BELOW.csv", "no file can take this place"),
    "a file that is the data": (["recommend", "RUN", "DATA.csv", "--all", "--out", "DATA.csv"], "DATA.csv", "holds the data"),
    "a history in no file": (["recommend", "RUN", "--history", "@NOWHERE"], "no such file of a history"),
    "an empty --out": (["train", "SHOP", "--out", ""], "--out is empty"),
    "a column twice": (["data", "SHOP", "--columns", "user=a,user=b"], "names a column twice"),
    "the home of nobody": (["data", "~nobody-at-all/log.csv"], "no user has this name"),
    "k of 0 for all": (["recommend", "RUN", "SHOP", "--all", "--out", "NEW.csv", "-k", "0"], "k=0"),
    "k of 0": (["recommend", "RUN", "SHOP", "--user", "u1", "-k", "0"], "k=0"),
    "k of text": (["recommend", "RUN", "SHOP", "--user", "u1", "-k", "ten"], "-k", "'ten'"),
    "no checkpoint": (["import-official", "NEW.pth", "SHOP", "--out", "NEW"], "NEW.pth", "no such file", "mclrec download"),
    "checkpoint of text": (["import-official", "SHOP", "SHOP", "--out", "NEW"], "SHOP", "not a checkpoint"),
    "import over a run": (["import-official", "CHECKPOINT", "SHOP", "--out", "RUN"], "made for 12101 items but shop has 20"),
    "download unknown": (["download", "beuaty"], "'beuaty'", "beauty"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_sentence(name, mclrec, trained, shop, tmp_path, request):
    argv, *parts = WRONG[name]
    names = {"SHOP": str(shop), "RUN": str(trained[0]), "NEW": str(tmp_path / "new"), "SHOP.xyz": "shop.xyz", "NEW.pth": str(tmp_path / "new.pth"),
             "NEW.csv": str(tmp_path / "new.csv"), "FOLDER.csv": str(tmp_path / "folder.csv"), "BELOW.csv": str(shop / "below.csv"), "DATA.csv": str(tmp_path / "data.csv")}
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "data.csv").write_text("user,item\n")
    if "CHECKPOINT" in argv:
        names["CHECKPOINT"] = str(request.getfixturevalue("checkpoint_path"))
    before = files(trained[0])
    complains(mclrec(*[names.get(a, a) for a in argv], cwd=tmp_path), *[names.get(p, p) for p in parts])
    assert sorted(f.name for f in tmp_path.iterdir()) == ["data.csv", "folder.csv"] and files(trained[0]) == before


@pytest.mark.parametrize("change, said", [
    (["--seed", "1"], "seed (2020, now 1)"), (["--preset", "paper"], "preset ('official', now 'paper')"), (["--model", "sasrec"], "model ('mclrec', now 'sasrec')"),
    (["--set", "inner=16"], "inner (8, now 16)"), (["--set", "lr=0.5"], "lr (0.001, now 0.5)"), (["--set", "batch_size=64"], "batch_size (32, now 64)"),
    (["--set", "patience=3"], "patience (10, now 3)"), (["--core", "8"], "core"), (["DATA"], "data set, core or cut")])
def test_only_epochs_may_change(change, said, mclrec, trained, shop, tmp_path):
    folder, before = trained[0], files(trained[0])
    (tmp_path / "shop.txt").write_text(shop.read_text().replace("u7 i1 ", "u7 i2 "))
    data, change = (tmp_path / "shop.txt", []) if change == ["DATA"] else (shop, change)
    complains(mclrec("train", data, "--out", folder, "--resume", "--epochs", 6, *change), said)
    assert files(folder) == before


def test_a_loss_that_is_not_a_number(mclrec, run, shop, tmp_path):
    done = mclrec("train", shop, "--out", tmp_path / "new", *TINY, "--set", "lr=1e30")
    complains(done, "epoch 1, batch", "the term", "is nan", "lower learning rate")
    done = mclrec("train", shop, "--out", tmp_path / "inf", *TINY, "--set", "lam=1e39")
    complains(done, "the term loss is inf")
    complains(mclrec("recommend", tmp_path / "new", shop, "--user", "u1"), "model.safetensors: is missing", "not a complete run")


@pytest.mark.parametrize("file", ["config.json", "vocabulary.json", "model.safetensors", "metrics.jsonl", "state.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "half", "empty"])
def test_a_half_written_run(file, damage, mclrec, run, shop):
    path = run / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:path.stat().st_size // 2 if damage == "half" else 0])
    reading = [["evaluate", run, shop], ["recommend", run, shop, "--user", "u1"]]
    resuming = ["train", shop, "--out", run, "--resume", "--epochs", 5]
    for argv in reading:
        if file in ("metrics.jsonl", "state.safetensors"):
            assert mclrec(*argv).code == 0
        else:
            complains(mclrec(*argv), path)
    if file != "vocabulary.json":           # which is made from the data, again if need be
        complains(mclrec(*resuming), path)


def test_a_model_that_does_not_fit(mclrec, run, shop, tmp_path):
    "Weights of another run beside this one's description."
    assert mclrec("train", shop, "--out", tmp_path / "wide", "--epochs", 1, *TINY, "--set", "d=16").code == 0
    shutil.copy(tmp_path / "wide" / "model.safetensors", run)
    complains(mclrec("evaluate", run, shop), "model.safetensors: does not fit the model that config.json describes")


def test_a_folder_that_cannot_be_written(mclrec, shop, tmp_path):
    (tmp_path / "file").write_text("x")
    complains(mclrec("train", shop, "--out", tmp_path / "file" / "run", "--epochs", 1, *TINY), tmp_path / "file" / "run", "cannot be written")
