"""A log beyond memory gives the arrays that it gives within: whatever its rows, batches and buckets."""
import json
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
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


def test_times_that_do_not_fit_are_refused(tmp_path):
    log = write(tmp_path / "log", (["a"] * 4, list("wxyz"), np.arange(2**63 - 2, 2**63 + 2, dtype=np.uint64)), 2)
    assert "2⁶³ or more" in said(lambda: prepare(log, tmp_path / "out", core=0, progress=False))


def test_what_a_killed_one_has_left_is_removed(tmp_path):
    columns = rows(3)
    write(tmp_path / "log.parquet", columns, parts=1)
    left = [tmp_path / f".out.{2**30}{end}" for end in (".new", ".work")]                    # no process has so large a number
    for folder in left: folder.mkdir()
    prepare(tmp_path / "log.parquet", tmp_path / "out", core=2, progress=False)
    assert not any(folder.exists() for folder in left)


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


A, B = [1500000060, 1500000000], [1500000030, 1500000090]  # the times of two parts


def parts(folder, *tables):
    folder.mkdir()
    for k, table in enumerate(tables): pq.write_table(table, folder / f"part-{k}.parquet")
    return folder


def part(time, user=("u", "u"), item=("a", "b"), names=("user", "item", "time")):
    return pa.table(dict(zip(names, (user, item, time))))


dates = lambda times, unit="us", zone=None: pa.array([pd.Timestamp(t, unit="s").as_unit(unit).value for t in times], pa.timestamp("ns")).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
nothing = pa.table({name: pa.array([], pa.null()) for name in ("user", "item", "time")})


@pytest.mark.parametrize("tables", [
    lambda: (part(A), part(pa.array(B, pa.int32()), item=("c", "d"))), lambda: (part(pa.array(A, pa.uint64())), part(B, item=("c", "d"))),
    lambda: (part(A), part(B, item=pa.array(["c", "d"], pa.large_string()))), lambda: (part(A), part(B, item=pa.array(["c", "d"]).dictionary_encode())),
    lambda: (part(A), part(B, item=pa.array([b"c", b"d"]))), lambda: (part(dates(A)), part(dates(B, zone="UTC"), item=("c", "d"))),
    lambda: (part(dates(A)), part(dates(B, "ns"), item=("c", "d"))), lambda: (nothing, part(A), part(B, item=("c", "d"))), lambda: (part(A), nothing, part(B, item=("c", "d"))),
    lambda: (part(A), part(B, item=("c", "d")).select(["time", "item", "user"]))])
def test_parts_of_parquet_that_differ_harmlessly(tmp_path, tables):
    log = parts(tmp_path / "log", *tables())
    data = load(log, core=0)
    assert data.user_ids == ["u"] and "".join(data.item_ids[i - 1] for i in data[0]) == "bcad"
    same(prepare(log, tmp_path / "out", core=0, progress=False), data)


@pytest.mark.parametrize("tables, what", [
    (lambda: (part(A), part(dates(B))), "column 'time' holds dates, but whole numbers in part-0.parquet"), (lambda: (part(A), part([float(t) for t in B])), "holds fractions, but whole numbers"),
    (lambda: (part(A), part(B, item=[1, 2])), "column 'item' holds whole numbers, but text in part-0.parquet"), (lambda: (part(A), part(B, user=[1, 2])), "column 'user'"),
    (lambda: (part(A), part(B).select(["user", "item"])), "user, item and time are user, item, none, but in part-0.parquet user, item, time"),
    (lambda: (part(A).select(["user", "item"]), part(B)), "but in part-0.parquet user, item, none"), (lambda: (part(A), part(B, names=("user_id", "item", "time"))), "name them alike"),
    (lambda: (part(dates(A)), part(dates(B, zone="Europe/Berlin"))), "holds dates of the zone Europe/Berlin, but dates in part-0.parquet")])
def test_parts_of_parquet_of_two_kinds_are_refused_by_both(tmp_path, tables, what):
    log = parts(tmp_path / "log", *tables())
    for read in (lambda: load(log, core=0), lambda: prepare(log, tmp_path / "out", core=0, progress=False)):
        message = said(read)
        assert "part-1.parquet" in message and what in message and message.endswith("alike.")


def test_ids_of_bytes_are_text(tmp_path):
    frame = pd.DataFrame({"user": [b"u", b"u"], "item": ["é".encode(), "b"], "time": [2, 1]})
    table = pa.table({"user": [b"u", b"u"], "item": ["é".encode(), b"b"], "time": [2, 1]})
    pq.write_table(table, tmp_path / "d.parquet")
    for source in (frame, table, tmp_path / "d.parquet"): assert load(source, core=0).item_ids == ["é", "b"] and load(source, core=0).items.tolist() == [2, 1]
    same(prepare(tmp_path / "d.parquet", tmp_path / "out", core=0, progress=False), load(tmp_path / "d.parquet", core=0))
    for item, what in ((b"\xff", "row 0 (from 0): b'\\xff' in column 'item' is no UTF-8 text"), (b" ", "row 0 (from 0): nothing in column 'item'"), (1 + 2j, "(1+2j) in column 'item' is no id")):
        assert what in said(lambda: load(pd.DataFrame({"user": ["u"], "item": [item]}), core=0))


def test_an_empty_text_is_no_source(tmp_path, monkeypatch):
    monkeypatch.chdir(parts(tmp_path / "log", part(A)))
    assert "an empty text" in said(lambda: prepare("", tmp_path / "out"))
