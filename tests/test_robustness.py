"""What is tried to break it: kills at file events, races, bit flips, damaged runs, hostile files, odd command lines, and a thousand inputs.

Nothing may end in a traceback, hang, lose a run, or give other numbers in silence; a message is one harmless line of at most 500
characters. A minute in all; MCLREC_FUZZ_SECONDS=600 looks for longer.
"""
import builtins
import gzip
import json
import logging
import os
import random
import shutil
import signal
import sys
import time
import traceback
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch._dynamo  # what optimisers load: once here, not in every child

import mclrec.files
import mclrec.loading
import mclrec.meta
import mclrec.models.sasrec
import mclrec.registry
from mclrec import words
from mclrec.cli import main
from mclrec.data import from_rows
from mclrec.loading import load
from mclrec.model import Popularity, recommend
from mclrec.models.sasrec import SASRec
from mclrec.runs import load_official, load_run, read_tensors, save
from mclrec.training import fit

SECONDS = float(os.environ.get("MCLREC_FUZZ_SECONDS", 60))
SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)
TINY = [part for key, value in {**SMALL, "batch_size": 64}.items() for part in ("--set", f"{key}={value}")]
SHOP = from_rows([f"u{u}" for u in range(20) for _ in range(6)], [f"i{(3 * u + k) % 15}" for u in range(20) for k in range(6)], core=0, name="shop")
counts = Counter()


@pytest.fixture(scope="module", autouse=True)
def summary():
    yield
    print("\ntried:", dict(counts))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shop.txt"
    path.write_text("".join(f"{u} " + " ".join(SHOP.item_ids[i - 1] for i in SHOP[k]) + "\n" for k, u in enumerate(SHOP.user_ids)))
    return path


def turns(share, least, most):
    "Numbers from 0 while `share` of the time lasts; at least and at most so many."
    end = time.monotonic() + share * SECONDS
    for k in range(most if SECONDS <= 60 else 100 * most):
        if k >= least and time.monotonic() > end:
            return
        yield k


# ---- commands in children, killed where it is asked for

class Done(NamedTuple):
    code: int | None    # None: killed
    out: str
    err: str


def arm(event):
    "Kill this process before its file event of this number: opening for writing, fsync, link, rename, exchange, removal, a new folder."
    left = [event]

    def watched(module, name, when=lambda *args: True):
        original = getattr(module, name)

        def call(*args, **kwargs):
            if when(*args):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)
        setattr(module, name, call)
    watched(builtins, "open", lambda path, mode="r", *_: "w" in mode)
    for name in ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir"):
        watched(os, name)
    watched(mclrec.files, "exchange")
    mclrec.runs.exchange = mclrec.files.exchange


def begin(argv, folder, event=0, cwd=None):
    "`mclrec …` in a child: its number, and where its streams go."
    out, err = (folder / f"{len(list(folder.iterdir()))}.{name}" for name in ("out", "err"))
    out.touch()
    if pid := os.fork():
        return pid, out, err
    try:
        for fd, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), fd)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
        logging.getLogger().handlers.clear()
        if cwd:
            os.chdir(cwd)
        if event:
            arm(event)
        code = main(list(map(str, argv)))
    except SystemExit as e:
        code = e.code or 0
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def end(child, seconds=60):
    pid, out, err = child
    limit = time.monotonic() + seconds
    while not (over := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > limit:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail(f"hangs: {err.read_text()}")
        time.sleep(.003)
    code = os.waitstatus_to_exitcode(over[1])
    return Done(None if code == -signal.SIGKILL else code, out.read_text(), err.read_text() if err.exists() else "")


def command(argv, folder, event=0, cwd=None):
    counts["commands"] += 1
    done = end(begin(argv, folder, event, cwd))
    if done.code is not None:
        sound(done, argv)
    return done


def harmless(text):
    return all(c in "\n\r" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text.replace("\x1b[A", ""))


def sound(done, argv=()):
    "No traceback, a proper exit code, and after a failure one sentence; nothing that a terminal would obey, no line beyond 500 characters."
    assert "Traceback" not in done.err and done.code in (0, 2, 130), (argv, done)
    assert harmless(done.out) and harmless(done.err), (argv, done)
    said = [line for line in done.err.replace("\r", "\n").splitlines() if line.startswith("mclrec")]
    assert all(len(line) <= 500 for line in said), (argv, done)
    assert done.code == 0 or said and said[-1].endswith((".", "?")), (argv, done)


def complaint(call, *args, **kwargs):
    "What `call` says in an InputError, None if it works; anything else is a failure."
    try:
        call(*args, **kwargs)
    except mclrec.InputError as e:
        said = str(e)
        assert said and len(said) <= 500 and harmless(said) and "\n" not in said, said
        return said


# ---- kills at file events

@pytest.fixture
def streams(tmp_path):
    folder = tmp_path / "streams"
    folder.mkdir()
    return folder


def kept(run):
    return {f.name: f.read_bytes() for f in run.iterdir() if f.name != "metrics.jsonl"}


def spread(events, share):
    "The numbers of the events that there is time for, over all of them."
    order = list(range(1, events + 1))
    random.Random(1).shuffle(order)
    for k in turns(share, 6, events):
        if k == len(order):
            return
        yield order[k]


def events_of(argv, streams, undo):
    "How many file events a command has: the first number at which it is no longer killed."
    low, high = 0, 1
    while command(argv, streams, high).code is None:
        undo()
        low, high = high, 2 * high
    undo()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if command(argv, streams, middle).code is None else (low, middle)
        undo()
    return low


def test_a_training_killed_at_any_file_event_is_begun_or_resumed(shop, tmp_path, streams):
    how = ["train", shop, "--core", 0, "--model", "sasrec", "--epochs", 2, *TINY]
    assert command([*how, "--out", tmp_path / "whole"], streams).code == 0
    whole, run = kept(tmp_path / "whole"), tmp_path / "run"
    argv = [*how, "--out", run]
    undo = lambda: shutil.rmtree(run, ignore_errors=True)
    for event in spread(events_of(argv, streams, undo), .2):
        assert command(argv, streams, event).code is None
        counts["kills of train"] += 1
        done = command([*argv, "--resume"] if (run / "config.json").exists() else argv, streams)
        assert done.code == 0, (event, done)
        assert kept(run) == whole, event
        undo()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_save_killed_at_any_file_event_loses_nothing(before, can_exchange, tmp_path, monkeypatch):
    models = []
    for seed in (1, 2):
        model = SASRec(SHOP.n_items, seed=seed, **SMALL)
        model.prepare(SHOP)
        models.append(model)
    old, new = (recommend(m, SHOP, users=["u1"]) for m in models)
    if not can_exchange:
        monkeypatch.setattr(mclrec.files, "exchange", lambda a, b: False)
        monkeypatch.setattr(mclrec.runs, "exchange", mclrec.files.exchange)
    for event in range(1, 60):
        run = tmp_path / f"run{event}"
        if before:
            save(models[0], run)
        if not (pid := os.fork()):
            arm(event)
            save(models[1], run)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        counts["kills of save"] += status != 0
        if before or run.exists() or status == 0:
            found = recommend(load_run(run), SHOP, users=["u1"])
            assert found in ([new] if status == 0 else [old, new]), event
        save(models[1], run)
        assert recommend(load_run(run), SHOP, users=["u1"]) == new
        assert [p.name for p in tmp_path.iterdir()] == [run.name], event
        shutil.rmtree(run)
        if status == 0:
            return
    raise AssertionError("never came to its end")


# ---- races

def test_of_trainings_that_begin_at_once_in_one_folder_one_succeeds(shop, tmp_path, streams):
    for k in turns(.15, 4, 25):
        run = tmp_path / f"run{k}"
        how = ["train", shop, "--core", 0, "--model", "sasrec", "--epochs", 2, *TINY, "--out", run]
        done = [end(child) for child in [begin([*how, "--seed", seed], streams) for seed in range(4)]]
        counts["races of four"] += 1
        for d in done:
            sound(d)
        assert sorted(d.code for d in done) == [0, 2, 2, 2], done
        config = json.loads((run / "config.json").read_text())
        assert done[config["seed"]].code == 0 and config["fit"]["seed"] == config["seed"]
        load_run(run)
        assert not list(run.glob(".*"))


def test_without_out_no_two_runs_share_a_folder(shop, tmp_path, streams):
    how = ["train", shop, "--core", 0, "--model", "popularity"]
    assert [end(child).code for child in [begin(how, streams, cwd=tmp_path) for _ in range(4)]] == [0] * 4
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == [f"shop-popularity-{n}" for n in (1, 2, 3, 4)]


# ---- bits that flip, and other damage

@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    fit(SASRec(SHOP.n_items, **SMALL), SHOP, epochs=2, batch_size=64, out=run, progress=False)
    longer = Path(shutil.copytree(run, run.parent / "longer"))
    resume(longer)
    return run, recommend(load_run(run), SHOP, users=SHOP.user_ids), read_tensors(longer / "state.safetensors")[0]


def resume(run):
    fit(SASRec(SHOP.n_items, **SMALL), SHOP, epochs=3, batch_size=64, out=run, resume=True, progress=False)


def silent(run, whole):
    "Whether the run in `run` answers otherwise than it did, or ends otherwise when it is continued, without a word."
    model = []
    answers = complaint(lambda: model.append(load_run(run))) or recommend(model[0], SHOP, users=SHOP.user_ids) == whole[1]
    if not (run / "state.safetensors").exists():
        return not answers
    said = complaint(resume, run)
    return not answers or not said and not all(torch.equal(t, whole[2][k]) for k, t in read_tensors(run / "state.safetensors")[0].items())


@pytest.mark.parametrize("file", ["model.safetensors", "state.safetensors", "vocabulary.json", "config.json", "metrics.jsonl"])
def test_a_flipped_bit_is_noticed(file, whole, tmp_path):
    draw, run = random.Random(file), tmp_path / "run"
    for _ in turns(.05, 12, 60):
        shutil.copytree(whole[0], run)
        raw = bytearray((run / file).read_bytes())
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        (run / file).write_bytes(raw)
        counts[f"flips in {file}"] += 1
        assert not silent(run, whole), raw[:100]
        shutil.rmtree(run)


VALUES = [None, True, -1, 0, 5, 2**62, 10**30, 1.5, float("nan"), "", "x" * 10**6, "\x1b[31m", [], [[]], {}, {"a": 1}, [None], ["a", "a"]]


def damaged(content, draw):
    "A JSON object with something in it changed."
    content = json.loads(json.dumps(content))
    at, inside = content, draw.random() < .6
    while True:
        key = draw.choice(list(at))
        if inside and isinstance(at[key], dict) and at[key]:
            at = at[key]
            continue
        break
    if draw.random() < .25:
        del at[key]
    elif draw.random() < .2:
        at[str(draw.choice(VALUES))[:50]] = 1
    else:
        at[key] = draw.choice(VALUES)
    return content


@pytest.mark.parametrize("sealed", [False, True])
def test_a_damaged_config_or_vocabulary_is_refused_in_a_sentence(sealed, whole, tmp_path):
    "Also when whoever changed the config gave it a proper checksum."
    draw, run = random.Random(7), tmp_path / "run"
    for _ in turns(.04, 20, 150):
        shutil.copytree(whole[0], run)
        file = draw.choice(["config.json", "vocabulary.json"])
        content = damaged(json.loads((run / file).read_text()), draw)
        if sealed and file == "config.json" and isinstance(content.get("checksums"), dict):
            content["checksums"]["config"] = mclrec.runs._own_digest(content)
        (run / file).write_text(json.dumps(content))
        counts["damaged runs"] += 1
        complaint(load_run, run)
        complaint(resume, run)
        shutil.rmtree(run)


AIMED = {
    "config.json": [b"[" * 10**5, b"{" * 10**5, b'{"a":' * 10**5, b"[]", b"null", b"\xff", b"", b"\0" * 100, b'{"n_items": 1e400}'],
    "vocabulary.json": [b'{"items": 5}', b'{"items": null}', b'{"items": [[]]}', b'{"items": [{}]}', b'{"items": [], "users": 5}', b"[" * 10**5, b""],
    "metrics.jsonl": [b"", b"[" * 10**5 + b"\n", b"null\n" * 2, b"{}\n{}\n", b'{"epoch": 1, "valid": {}}\n' * 2],
    "state.safetensors": [b"", b"\0" * 8, b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}", (10**5).to_bytes(8, "little") + b"[" * 10**5],
    "model.safetensors": [b"", b"\0" * 8, b"\xff" * 100, (2).to_bytes(8, "little") + b"{}"]}


@pytest.mark.parametrize("file", AIMED)
def test_aimed_damage(file, whole, tmp_path):
    for k, content in enumerate([*AIMED[file], "folder", "pipe", "loop", "/dev/zero"]):
        run = Path(shutil.copytree(whole[0], tmp_path / str(k)))
        (run / file).unlink()
        if isinstance(content, bytes):
            (run / file).write_bytes(content)
        elif content == "folder":
            (run / file).mkdir()
        elif content == "pipe":
            os.mkfifo(run / file)
        else:
            (run / file).symlink_to(file if content == "loop" else content)
        counts["aimed damage"] += 1
        said = complaint(load_run, run), complaint(resume, run)
        assert any(said), content


@pytest.mark.parametrize("change", [dict(n_items=2**31 - 3), dict(n_items=10**7), dict(n_items=2**62), dict(settings=dict(SMALL, layers=99_999)), dict(settings=dict(SMALL, d=99_998, inner=99_999)), dict(settings=dict(SMALL, n=10**5, d=99_998))])
def test_a_config_of_a_giant_is_refused_before_memory_is_taken(change, whole, tmp_path):
    run = Path(shutil.copytree(whole[0], tmp_path / "run"))
    config = json.loads((run / "config.json").read_text()) | change
    config["checksums"]["config"] = mclrec.runs._own_digest(config)
    (run / "config.json").write_text(json.dumps(config))
    begun = time.process_time()
    assert complaint(load_run, run)
    assert time.process_time() - begun < 10


def test_files_of_two_runs_are_not_taken_for_one(whole, tmp_path):
    other = tmp_path / "other"
    fit(SASRec(SHOP.n_items, seed=5, **SMALL), SHOP, epochs=2, seed=5, batch_size=64, out=other, progress=False)
    for file in ("config.json", "model.safetensors", "state.safetensors", "metrics.jsonl"):
        run = Path(shutil.copytree(whole[0], tmp_path / file))
        shutil.copy(other / file, run)
        assert not silent(run, whole), file
    a, b = (SASRec(SHOP.n_items, **SMALL) for _ in range(2))  # the same config, other weights
    fit(a, SHOP, epochs=1, progress=False), fit(b, SHOP, epochs=1, lr=.01, progress=False)
    save(a, tmp_path / "a"), save(b, tmp_path / "b")
    shutil.copy(tmp_path / "a" / "model.safetensors", tmp_path / "b")
    assert "does not fit" in complaint(load_run, tmp_path / "b")


# ---- a thousand inputs

LINES = {
    ".txt": "u1 a b c\nu2 b c d e\nu3 a d\n", ".csv": 'user,item,time,note\nu1,a,1500000000,"x, y"\nu1,b,1500000060,\nu2,a,1500000120,z\n',
    ".tsv": "user\titem\ttime\nu1\ta\t2020-01-01\nu1\tb\t2020-01-02 10:00:00\n", ".inter": "user_id:token\titem_id:token\ttimestamp:float\nu1\ta\t1\nu2\tb\t2\n",
    ".json": '[{"user": "u1", "item": 1, "time": 3},\n {"user": "u1", "item": 2.0, "time": 4}]\n', ".jsonl": '{"user": "u1", "item": "a", "time": 1}\n{"user": "u2", "item": "b", "time": 2}\n',
    ".dat": "1::2::5::1500000000\n1::3::4::1500000060\n"}
BITS = [b"\0", b"\xff", b"\r", b"\n", b'"', b",", b"\t", b"::", b"[", b"{", b"}", b"\\ud800", b"\x1b]0;x\x07", "\u202e".encode(), "\u2028".encode(), b"NaN", b"null", b"NULL", b"1e999", b"9" * 400,
        b"x" * 2000, b"[" * 3000, b" ", "\xa0".encode(), b"\xef\xbb\xbf", b"-", b"2020-01-01", b"sep=;\n", b"#", b"'", b"\xed\xa0\x80"]


def mutated(raw, draw):
    raw = bytearray(raw)
    for _ in range(draw.randint(1, 4)):
        at, how = draw.randrange(len(raw) + 1), draw.random()
        if how < .5:
            raw[at:at] = draw.choice(BITS)
        elif how < .7:
            del raw[at:at + draw.randint(1, 30)]
        elif how < .85:
            raw[at:at + 1] = bytes([draw.randrange(256)])
        else:
            raw[at:at] = raw[:draw.randrange(len(raw) + 1)]
    return bytes(raw)


@pytest.fixture
def clock():
    def over(*_):
        raise AssertionError("hangs")
    was = signal.signal(signal.SIGALRM, over)
    yield lambda seconds: signal.alarm(seconds)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, was)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", LINES)
def test_files_of_every_kind_damaged_at_random(suffix, packed, tmp_path, clock, caplog):
    draw = random.Random(suffix)
    caplog.set_level(logging.INFO)
    for _ in turns(.01, 60, 120):
        raw = LINES[suffix].encode()
        raw = mutated(gzip.compress(raw) if packed and draw.random() < .3 else raw, draw)
        if packed and raw[:2] != b"\x1f\x8b":
            raw = gzip.compress(raw)
        path = tmp_path / f"d{suffix}{'.gz' if packed else ''}"
        path.write_bytes(raw)
        counts["inputs"] += 1
        clock(20)
        complaint(load, path, core=0)
    assert all(harmless(m) and len(m) <= 1000 for m in caplog.messages)


def test_parquet_damaged_at_random(tmp_path, clock):
    pytest.importorskip("pyarrow", reason="needs pyarrow; pip install 'mclrec[parquet]'")
    import pandas as pd
    path, draw = tmp_path / "d.parquet", random.Random(3)
    pd.DataFrame({"user": ["u1", "u2"] * 30, "item": list(range(60)), "time": pd.to_datetime(range(60))}).to_parquet(path)
    raw = path.read_bytes()
    for _ in turns(.02, 60, 150):
        path.write_bytes(mutated(raw, draw))
        counts["inputs"] += 1
        clock(20)
        complaint(load, path, core=0)


# ---- hostile files and names

def test_files_that_never_end_or_grow(tmp_path, clock):
    clock(60)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "line.txt.gz").write_bytes(gzip.compress(b"x" * 10**8, 9))
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"u " + b"i " * 10 + b"\n", 9) + gzip.compress((b"u " + b"i " * 2**20 + b"\n") * 60, 9))
    for name in ("pipe.csv", "zero.txt", "loop.csv", "line.txt.gz", "bomb.txt.gz"):
        assert complaint(load, tmp_path / name, core=0), name
        counts["hostile files"] += 1


HOSTILE = ["a\x1b]0;title\x07", "two\nlines", "exe\u202egpj", "<b>bold</b>", "half\ud83d", "tab\there", "line\u2028end", "緑茶", "nul\0", "=cmd()", "ba\x08\x08ck", "é" * 300]


def test_ids_of_strangers_are_shown_and_come_back_from_json(tmp_path, streams, monkeypatch):
    ids = [i for i in HOSTILE if "\ud83d" not in i]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps({"user": f"u{u}", "item": ids[(u + k) % len(ids)]}) + "\n" for u in range(12) for k in range(5)))
    assert command(["train", path, "--core", 0, "--model", "popularity", "--out", tmp_path / "run"], streams).code == 0
    ask = ["recommend", tmp_path / "run", path, "--core", 0, "--user", "u1"]
    done = command(ask, streams)
    assert done.code == 0 and len(done.out.splitlines()) == len(json.loads(command([*ask, "--json"], streams).out)["items"]) == len(ids) - 5
    assert {i["item"] for i in json.loads(command([*ask, "--json"], streams).out)["items"]} <= set(ids)
    command(["recommend", tmp_path / "run", path, "--core", 0, "--user", "\x1b[31mnobody\nat all"], streams)
    odd = tmp_path / "\x1b[31mred\nname.csv"
    odd.write_text("user,item\na,x\n")
    command(["data", odd, "--core", 0], streams)
    command(["data", str(odd) + "x"], streams)
    for what in ids:
        assert "<" not in words.plain_text(what) and harmless(words.plain_text(what))
    counts["hostile ids"] += len(ids)


def test_half_characters_survive_or_are_refused(tmp_path):
    data = from_rows(["u"] * 5 + ["v\udc80"] * 5, ["a\ud800", "b", "c", "d", "e"] * 2, core=0)
    model = SASRec(data.n_items, **SMALL)
    fit(model, data, epochs=1, out=tmp_path / "run", progress=False)
    save(model, tmp_path / "saved")
    assert load_run(tmp_path / "run").vocabulary == load_run(tmp_path / "saved").vocabulary == data.item_ids


def test_a_checkpoint_that_claims_more_than_it_holds(tmp_path):
    torch.save({"state_dict": {"item_embedding.weight": torch.zeros(1).expand(SHOP.n_items + 2, 64)}}, tmp_path / "m.pth")
    assert "larger than what is stored" in complaint(load_official, tmp_path / "m.pth", SHOP)
    os.mkfifo(tmp_path / "pipe.pth")
    assert complaint(load_official, tmp_path / "pipe.pth", SHOP)


# ---- command lines

WORDS = ["data", "train", "evaluate", "recommend", "models", "import-official", "download", "toy", "SHOP", "RUN", "nowhere", "--out", "NEW", "--set", "d=8", "d=[[[[", "layers=1e9", "=", "lr=NaN", "--json", "--core",
         "0", "-1", "9" * 50, "--columns", "user=a", "time=", "--user", "u1", "--history", "i1 i2", '["i1"]', "@SHOP", "-k", "3", "--help", "--version", "--epochs", "1", "--model", "popularity", "--resume", "\x1b[31m", "x" * 5000, "é\udcff", "d=" + "[" * 9999]


def test_command_lines_at_random(shop, whole, tmp_path, streams):
    draw = random.Random(11)
    names = {"SHOP": str(shop), "RUN": str(whole[0]), "NEW": str(tmp_path / "new"), "@SHOP": f"@{shop}"}
    argvs = [["data", "toy", "--core", w] for w in WORDS] + [["train", "SHOP", "--core", "0", "--model", "popularity", "--out", "NEW", "--set", w] for w in WORDS] \
        + [["recommend", "RUN", "SHOP", "--core", "0", "--history", w] for w in WORDS]
    argvs += [[draw.choice(WORDS[:7]), *draw.choices(WORDS, k=draw.randint(0, 6))] for _ in range(1000)]
    draw.shuffle(argvs)
    for k in turns(.15, 40, 200):
        if k == len(argvs):
            return
        if "download" in argvs[k]:
            continue
        counts["command lines"] += 1
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        command([names.get(w, w) for w in argvs[k]], streams, cwd=tmp_path)


def test_streams_that_cannot_write_a_character(shop, tmp_path):
    import io
    (tmp_path / "d.csv").write_text("user,item\n" + "".join(f"u{u},緑茶-{(u + k) % 7}\n" for u in range(9) for k in range(5)))
    model, data = Popularity(7), load(tmp_path / "d.csv", core=0)
    model.prepare(data)
    save(model, tmp_path / "run")
    answers = []
    for encoding in ("utf-8", "cp1252", "ascii"):
        for flags in ([], ["--json"]):
            was, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), encoding)
            try:
                code = main(["recommend", str(tmp_path / "run"), str(tmp_path / "d.csv"), "--core", "0", "--user", "u1", *flags])
                sys.stdout.flush()
                out = sys.stdout.buffer.getvalue()
            finally:
                sys.stdout = was
            assert code == 0
            if flags:
                answers.append(json.loads(out.decode(encoding)))
    assert answers[0] == answers[1] == answers[2]
