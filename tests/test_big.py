"""A log beyond memory gives the arrays that it gives within: whatever its rows, batches and buckets."""
import json
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mclrec import big
from mclrec.big import prepare
from mclrec.checks import InputError
from mclrec.loading import load


def same(a, b):
    assert np.array_equal(a.items, b.items) and np.array_equal(a.offsets, b.offsets) and a.items.dtype == b.items.dtype
    assert (a.user_ids, a.item_ids, a.dropped, a.name) == (b.user_ids, b.item_ids, b.dropped, b.name)


def rows(seed, n=900, times=40):
    random = np.random.default_rng(seed)
    return (200 * random.random(n) ** 2).astype(int), (60 * random.random(n) ** 2).astype(int), random.integers(-times, times, n)


KINDS = {"text": lambda u, i, t: (list(map("u{}".format, u)), list(map("ä {}".format, i)), t),
         "numbers": lambda u, i, t: (u - 100, i.astype(np.uint16), t / 4),
         "dates": lambda u, i, t: (list(map(str, u)), i, [date(2020, 1, 1) + timedelta(days=int(x)) for x in t]),
         "whole fractions": lambda u, i, t: (u.astype(float), i, t)}


def write(folder, columns, parts=3, names=("user", "item", "time")):
    folder.mkdir(parents=True, exist_ok=True)
    cut = np.linspace(0, len(columns[0]), parts + 1).astype(int)
    for k, (a, b) in enumerate(zip(cut, cut[1:])): pq.write_table(pa.table({n: c[a:b] for n, c in zip(names, columns)}), folder / f"part-{k}.parquet")
    return folder


@pytest.mark.parametrize("core", [0, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_load_gives(kind, core, tmp_path, monkeypatch):
    log = write(tmp_path / "log", KINDS[kind](*rows(core)))
    monkeypatch.setattr(big, "ROWS", 70)
    monkeypatch.setattr(big, "BUCKET", 90)
    found = prepare(log, tmp_path / "out", core=core, progress=False)
    same(found, load(log, core=core))
    same(load(tmp_path / "out", core=core), found)
    assert not [path for path in tmp_path.iterdir() if path.name not in ("log", "out")], "nothing is left beside it"


def test_one_file_without_times(tmp_path):
    u, i, _ = rows(7)
    path = write(tmp_path / "log", (list(map(str, u)), list(map(str, i))), 1, ("who", "what")) / "part-0.parquet"
    how = dict(user="who", item="what", core=2)
    same(prepare(path, tmp_path / "out", progress=False, **how), load(path, **how))


def test_a_part_without_rows(tmp_path):
    log = write(tmp_path / "log", KINDS["dates"](*rows(3)))
    pq.write_table(pq.read_table(log / "part-1.parquet").slice(0, 0), log / "part-0a.parquet")
    same(prepare(log, tmp_path / "out", progress=False), load(log))


def said(f):
    with pytest.raises(InputError) as e: f()
    return str(e.value)


@pytest.mark.parametrize("column, values", [("user", [None]), ("item", [" "]), ("user", [1.5]), ("time", [None]), ("time", [float("inf")]), ("time", [float("nan")])])
def test_what_is_missing_is_refused_in_the_same_words(column, values, tmp_path, monkeypatch):
    monkeypatch.setattr(big, "ROWS", 4)
    table = {"user": ["a"] * 9, "item": ["x"] * 9, "time": list(range(9))}
    if isinstance(values[0], float): table[column] = [1.0] * 9
    table[column][6] = values[0]
    log = write(tmp_path / "log", tuple(table.values()), 2)
    message = said(lambda: prepare(log, tmp_path / "out", core=0, progress=False))
    assert "row 6 (from 0)" in message and column in message and not (tmp_path / "out").exists()
    assert message == said(lambda: load(log, core=0))


def test_what_cannot_be_prepared_says_so(tmp_path):
    log = write(tmp_path / "log", KINDS["text"](*rows(1)))
    (tmp_path / "a.csv").write_text("user,item\n1,2\n")
    for source, out, how, says in ((tmp_path / "a.csv", "x", {}, "neither a parquet file"), (tmp_path / "no.parquet", "x", {}, "no such file"),
                                   (log, "log", {}, "is there already"), (log, "x", {"core": 10**6}, "nothing is left"), (log, "x", {"user": "z"}, "no column 'z'")):
        assert says in said(lambda: prepare(source, tmp_path / out, progress=False, **how))
    for name, times, says in (("words", ["2020-01-01"] * 3, "holds string, not numbers or dates"), ("inf", [1.0, 2.0, float("-inf")], "row 2 (from 0)"),
                              ("nan", [1.0, float("nan"), 2.0], "row 1 (from 0)"), ("old", [date(1500, 1, 1)] * 3, "outside the years 1678")):
        write(tmp_path / name, (["a"] * 3, list("bcd"), times), 1)
        assert says in said(lambda: prepare(tmp_path / name, tmp_path / "x", progress=False))
        assert not (tmp_path / "x").exists()
    prepare(log, tmp_path / "out", core=2, progress=False)
    assert "prepared with the 2-core" in said(lambda: load(tmp_path / "out"))
    assert "without times" in said(lambda: load(tmp_path / "out", core=2, cut=.1))
    np.save(tmp_path / "out" / "offsets.npy", np.arange(3))
    assert "not of one log" in said(lambda: load(tmp_path / "out", core=2))


def test_the_commands(tmp_path, capsys):
    from mclrec.cli import main
    log, out = write(tmp_path / "log", KINDS["text"](*rows(2))), str(tmp_path / "out")
    assert main(["prepare", str(log), "--out", out, "--core", "3"]) == 0 and "actions" in capsys.readouterr().err
    assert main(["train", out, "--core", "3", "--model", "fmc", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), out, "--core", "3"]) == 0
    assert main(["recommend", str(tmp_path / "run"), out, "--core", "3", "--user", "u0"]) == 0
    assert main(["prepare", str(log), "--out", out]) == 2 and "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [
    lambda f: (f / "ids.json").unlink(), lambda f: change(f / "ids.json", items=None), lambda f: change(f / "ids.json", items=["a"]), lambda f: change(f / "ids.json", items=[[1]]),
    lambda f: change(f / "ids.json", users=5), lambda f: change(f / "prepared.json", name=None), lambda f: change(f / "prepared.json", dropped=None),
    lambda f: np.save(f / "offsets.npy", np.load(f / "offsets.npy").astype(float)), lambda f: np.save(f / "offsets.npy", np.load(f / "offsets.npy")[::-1]),
    lambda f: np.save(f / "items.npy", np.load(f / "items.npy") + 1000), lambda f: np.save(f / "items.npy", -np.load(f / "items.npy"))])
def test_a_damaged_folder_says_so(damage, tmp_path):
    pq.write_table(pa.table({"user": ["a", "a", "b"], "item": ["x", "y", "x"]}), tmp_path / "log.parquet")
    prepare(tmp_path / "log.parquet", tmp_path / "out", core=0, progress=False)
    damage(tmp_path / "out")
    assert "damaged; prepare it again" in said(lambda: load(tmp_path / "out", core=0))


def change(path, **entries):
    "Other entries in a JSON file; None takes one out."
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_ids_that_json_does_not_know_become_text(tmp_path):
    ids = [Decimal("1.5"), Decimal("2.5"), Decimal("1.5")]
    pq.write_table(pa.table({"user": ["a", "a", "b"], "item": ids}), tmp_path / "log.parquet")
    assert prepare(tmp_path / "log.parquet", tmp_path / "out", core=0, progress=False).item_ids == ["1.5", "2.5"]
