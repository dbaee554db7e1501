"""Every format there and back, and one clear sentence for everything that can be wrong with it."""
import builtins
import csv
import gzip
import io
import json
import logging
import random
import shutil
import sys
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mclrec import loading
from mclrec.data import InputError, from_rows
from mclrec.loading import is_available, load

TEXT = [".csv", ".tsv", ".inter", ".json", ".jsonl"]
ids = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=5)
# counters, or seconds, or milliseconds of these decades: a column that mixes them is refused, see `_check_unit`
TIMES = [(-10**8 + 1, 10**8 - 1), (10**9, 2 * 10**9), (10**12, 2 * 10**12)]
words = ids.filter(lambda i: not set(i) & set("[({})],;|:"))  # what may stand between items or around them is tried in `test_txt_whose_items_are_joined`
rows_of = lambda ids: st.one_of([st.lists(st.tuples(ids, ids, st.integers(*ends)), min_size=1, max_size=25) for ends in TIMES])
files = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(a, b):
    return (a.user_ids, a.item_ids, a.items.tolist(), a.offsets.tolist()) == (b.user_ids, b.item_ids, b.items.tolist(), b.offsets.tolist())


def text_of(rows, suffix, names=("user", "item", "time")):
    "`rows` in the text format that `suffix` names."
    if suffix.startswith(".json"):
        return "".join(json.dumps(dict(zip(names, row))) + "\n" for row in rows)
    out = io.StringIO()
    if suffix == ".inter":
        table = [[f"{n}:token" for n in names], *rows]
        return "".join("\t".join(map(str, row)) + "\n" for row in table)
    csv.writer(out, delimiter="\t" if suffix == ".tsv" else ",").writerows([names, *rows])
    return out.getvalue()


def put(folder, name, content):
    path = folder / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") and content[:2] != b"\x1f\x8b" else content)
    return path


def says(*parts, source, **kwargs):
    "`load` fails with one sentence that has all `parts` in it."
    with pytest.raises(InputError) as e:
        load(source, **kwargs)
    message = str(e.value)
    assert all(str(part) in message for part in parts), message
    assert message.endswith((".", "?")) and "\n" not in message, message


# ---- there and back

@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", TEXT)
@files
@given(rows=rows_of(ids))
def test_tables_read_back(tmp_path, suffix, packed, rows):
    path = put(tmp_path, f"data{suffix}{packed}", text_of(rows, suffix))
    data = load(path, core=0)
    assert data.name == "data"
    assert same(data, from_rows(*zip(*rows), core=0))


@pytest.mark.parametrize("suffix", TEXT[:3])
@files
@given(rows=rows_of(ids))
def test_large_tables_read_back(tmp_path, suffix, rows):
    path = put(tmp_path, f"data{suffix}", text_of(rows, suffix))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "QUICK", 0)
        assert same(load(path, core=0), from_rows(*zip(*rows), core=0))


@pytest.mark.parametrize("text, quick", [
    ("user,item,time\na,x,3\na,y,1\n\nb,x,2\n", True), ("user;item;time;x\r\na;x;3;\r\na;y;1;\r\n", True), ("\ufeffuser,item\na,x\na,y", True),
    ("user,item,time\na,x,3.5\na,y,1e9\n", True), ("time,item,user\n-3,x,a\n5,y,a\n", True), ("user,item\na,\"x\"\n", False), ("user,item\na, x\na,x\n", False),
    ("user,item,time\na,x,0x10\n", False), ("user,item,time\na,x,2020-01-01\n", False), ("user,item,time\na,x,nan\n", False), ("user,item\na,x,y\n", False),
    ("user,item\na\n", False), ("user,item\n,x\n", False), ("user,item\na,x\n  \nb,x\n", False), ("user,what\na,x\n", False), ("user,item\n", True), ("", False),
    ("user,item\na,x\nuser,item\na,x\n", False), ("user,item,time\na,x,1\nuser,item,time\n", False), ("user,item\na,x\nuser,y\n", True), ('user, item\n"a", "x"\n', False),
    ("sep=;\nuser;item\na;x\n", False), ("user,item,time\na,x,1400000000\na,y,1400000000000\n", False), ("user,item\na,x\rb,y\n", False)])
def test_the_quick_reader_gives_what_the_careful_one_gives(tmp_path, monkeypatch, text, quick):
    path, found = put(tmp_path, "data.csv", text), []
    for least in (2**60, 0):
        monkeypatch.setattr(loading, "QUICK", least)
        try: data = load(path, core=0)
        except InputError as e: found.append(str(e))
        else: found.append((data.user_ids, data.item_ids, data.items.tolist(), data.offsets.tolist()))
    assert found[0] == found[1] and (loading._quick(path, (None,) * 3) is not None) == quick


@files
@given(rows=st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=6)), min_size=1, max_size=8), blank=st.sampled_from([" ", "\t", "   "]))
def test_txt_reads_back(tmp_path, rows, blank):
    rows = [("first", ["one"]), *rows]
    path = put(tmp_path, "data.txt", "\n".join(blank.join([user, *items]) for user, items in rows) + "\n\n")
    expected = [(user, item) for user, items in rows for item in items]
    assert same(load(path, core=0), from_rows(*zip(*expected), core=0))


@files
@given(rows=rows_of(st.one_of(st.integers(-9, 9), ids)))
def test_frames_keep_the_type_of_ids(rows):
    frame = pd.DataFrame({"user": pd.Series([r[0] for r in rows], dtype=object), "item": pd.Series([r[1] for r in rows], dtype=object), "time": [r[2] for r in rows]})
    assert same(load(frame, core=0), from_rows(*zip(*rows), core=0))


@files
@given(rows=rows_of(st.integers(-9, 9)))
def test_parquet_reads_back(tmp_path, rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    frame.to_parquet(tmp_path / "data.parquet")
    data = load(tmp_path / "data.parquet", core=0)
    assert same(data, from_rows(*zip(*rows), core=0))
    assert {type(i) for i in data.user_ids + data.item_ids} == {int}


class Frame(dict):
    "The least that is taken for a data frame (polars looks like this: `.columns`, and a column has `.to_list()`)."
    columns = property(list)


class Column(list):
    def to_list(self):
        return list(self)


def test_any_frame_will_do():
    rows = [("a", 1, 3), ("b", 2, 1), ("a", 2, 2)]
    u, i, t = zip(*rows)
    for frame in (Frame(user=list(u), item=np.array(i), time=Column(t)), Frame(who=u, what=i, when=t), pd.DataFrame(rows, columns=["User ID", "Item-Id", "TIME"])):
        named = dict(user="who", item="what", time="when") if "who" in list(frame.columns) else {}
        assert same(load(frame, core=0, **named), from_rows(u, i, t, core=0))


def test_pyarrow_table():
    import pyarrow
    data = load(pyarrow.table({"user": ["a", "a", "b"], "item": [1, 2, 1], "time": [2, 1, 3]}), core=0)
    assert same(data, from_rows(["a", "a", "b"], [1, 2, 1], [2, 1, 3], core=0))


@pytest.mark.parametrize("times", [
    [datetime(2020, 1, 3), datetime(2020, 1, 1, 12), datetime(2020, 1, 2)],
    [date(2020, 1, 3), date(2020, 1, 1), date(2020, 1, 2)],
    ["2020-01-03", "2020-01-01 23:59:59.5", "2020-01-02T00:00:00"],
    ["2020-01-01T03:00:00+00:00", "2020-01-01T04:00:00+03:00", "2020-01-01T02:00:00Z"],
    ["3e9", "1", "2.5"], [3, 1.5, 2], [1700000000000000003, 1700000000000000001, 1700000000000000002],
    pd.to_datetime(["2020-01-03", "2020-01-01", "2020-01-02"]), pd.to_datetime(["2020-01-03", "2020-01-01", "2020-01-02"], utc=True)])
def test_times_of_every_kind(tmp_path, times):
    frame = pd.DataFrame({"user": ["u"] * 3, "item": list("abc"), "time": times})
    assert load(frame, core=0).items.tolist() == [2, 3, 1]
    put(tmp_path, "data.csv", frame.to_csv(index=False))
    assert load(tmp_path / "data.csv", core=0).items.tolist() == [2, 3, 1]
    if not isinstance(times, list) or type(times[0]) is type(times[1]):
        frame.to_parquet(tmp_path / "data.parquet")
        assert load(tmp_path / "data.parquet", core=0).items.tolist() == [2, 3, 1]


def test_interleaved_users_in_the_order_of_the_file(tmp_path):
    path = put(tmp_path, "data.csv", "user,item\nann,tea\nbob,jam\nann,milk\nbob,tea\n")
    data = load(path, core=0)
    assert data.user_ids == ["ann", "bob"] and data.item_ids == ["tea", "jam", "milk"] and data.items.tolist() == [1, 3, 2, 1]


def test_interleaved_toy_is_toy(tmp_path):
    "However users are interleaved, each history stays what it was; only the numbers of the items follow the file."
    toy = load("toy")
    turns = [u for u in range(toy.n_users) for _ in toy[u]]
    random.Random(0).shuffle(turns)
    at, rows = [0] * toy.n_users, []
    for u in turns:
        rows.append((toy.user_ids[u], toy.item_ids[toy[u][at[u]] - 1]))
        at[u] += 1
    data = load(put(tmp_path, "shuffled.csv", text_of(rows, ".csv", ("user", "item"))))
    names = lambda d, user: [d.item_ids[i - 1] for i in d[d.user_number(user)]]
    assert all(names(data, user) == names(toy, user) for user in toy.user_ids)
    assert data.item_ids == list(dict.fromkeys(item for _, item in rows))


def test_a_user_on_two_lines_continues(tmp_path):
    data = load(put(tmp_path, "d.txt", "ann a b\nbob a\n\nann c\n"), core=0)
    assert data.user_ids == ["ann", "bob"] and data.items.tolist() == [1, 2, 3, 1]


def test_amazon_reviews_of_both_editions(tmp_path):
    old = [dict(reviewerID="A", asin=f"B{k}", overall=5.0, reviewText="so, so", unixReviewTime=9 - k, reviewTime="09 13, 2009") for k in range(3)]
    new = [dict(user_id="A", asin=f"variant{k}", parent_asin=f"B{k}", rating=5.0, timestamp=9000 - k) for k in range(3)]
    for name, reviews in (("reviews_Beauty_5.json.gz", old), ("Beauty.jsonl", new)):
        data = load(put(tmp_path, name, "".join(json.dumps(r) + "\n" for r in reviews)), core=0)
        assert data.item_ids == ["B0", "B1", "B2"] and data.items.tolist() == [3, 2, 1] and data.name == name.split(".")[0]


def test_odd_but_right_files(tmp_path):
    right = from_rows(["ann", "bob"], ["tea, green", "jam"], core=0)
    for text in ('\ufeffuser,item\n ann ,"tea, green"\n\n  \nbob, jam\n', 'stars;ITEM_ID;userId\r\n5;"tea, green";ann\r\n3;jam;bob\r\n', "user\titem\nann\ttea, green\nbob\tjam"):
        assert same(load(put(tmp_path, "d.csv", text), core=0), right)
    assert same(load(put(tmp_path, "d.inter", 'user_id:token\titem_id:token\nann\ttea, green\nbob\tjam\n'), core=0), right)
    assert load(put(tmp_path, "q.inter", 'user_id:token\titem_id:token\nann\t5" nail\n'), core=0).item_ids == ['5" nail']


@pytest.mark.parametrize("suffix", [".txt", *TEXT])
def test_byte_order_mark(tmp_path, suffix):
    text = "ann tea\n" if suffix == ".txt" else text_of([("ann", "tea", 1)], suffix)
    assert load(put(tmp_path, "d" + suffix, "\ufeff" + text), core=0, **({} if suffix == ".txt" else {"user": "user"})).user_ids == ["ann"]


def test_nanoseconds_of_parquet(tmp_path):
    times = pd.Series([3, 1, 2]).astype("datetime64[ns]")
    pd.DataFrame({"user": ["u"] * 3, "item": list("abc"), "time": times}).to_parquet(tmp_path / "d.parquet")
    assert load(tmp_path / "d.parquet", core=0).items.tolist() == [2, 3, 1]


def test_columns_by_name(tmp_path):
    path = put(tmp_path, "d.csv", "a,b,c,user\n1,x,2,z\n1,y,1,z\n")
    assert load(path, user="a", item="b", time="c", core=0).items.tolist() == [2, 1]
    assert load(path, user="user", item="b", core=0).user_ids == ["z"]


# ---- the k-core, aloud

def test_what_was_dropped_is_said(tmp_path, caplog):
    path = put(tmp_path, "d.txt", "a x y\nb x y\nc z\n")
    with caplog.at_level(logging.INFO, "mclrec"):
        data = load(path, core=2)
    assert data.dropped == {"users": 1, "items": 1, "actions": 1}
    assert caplog.messages == ["d: 2 users, 2 items, 4 actions; the 2-core took away 1 users, 1 items, 1 actions"]
    assert [r.name for r in caplog.records] == ["mclrec"]


@pytest.mark.parametrize("core", [-1, 2.5, "5", None, True])
def test_bad_core(core):
    says("core=", "0 keeps all", source="toy", core=core)


def test_nothing_left(tmp_path):
    says("nothing is left of 2 users and 1 items by the 5-core", "smaller core", source=put(tmp_path, "d.txt", "a x\nb x\n"))


# ---- registered names

def test_toy_needs_nothing(monkeypatch):
    monkeypatch.setattr(builtins, "open", None)
    assert is_available("toy") and load("toy").n_items == 300 and load("toy", core=8).dropped["items"] > 0


def test_names_are_looked_for_in_order(tmp_path, monkeypatch, beauty_path):
    monkeypatch.setattr("mclrec.download.cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(loading, "download", lambda name: pytest.fail("no download expected") if name != "sports" else beauty_path)
    monkeypatch.setenv("MCLREC_DATA", str(tmp_path))
    assert not is_available("beauty")
    shutil.copy(beauty_path, tmp_path / "beauty.txt")
    assert is_available("beauty") and load("beauty").n_users == 22363 and load("beauty").name == "beauty"
    assert load("sports").n_users == 22363  # not in $MCLREC_DATA: asked of the cache and the network
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "yelp.txt").touch()
    assert is_available("yelp") and not is_available("toys")


def test_a_changed_registered_file(tmp_path, monkeypatch):
    path = put(tmp_path, "beauty.txt", "1 1 2 3\n")
    monkeypatch.setenv("MCLREC_DATA", str(tmp_path))
    says(path, "sha256 differs", "delete it", source="beauty")


def test_registered_names_have_no_columns():
    says("toy", "leave out user, item and time", source="toy", time="when")


def test_unknown_names():
    says("beuty: no such file", "did you mean beauty?", source="beuty")
    says("no such file", "did you mean yelp?", source="Yelp")
    says("no such file", "choose one of toy, beauty, sports, toys, yelp", source="movielens")
    with pytest.raises(InputError, match="did you mean toys?"):
        is_available("toyz")


# ---- what can be wrong with a file

def test_missing_file(tmp_path):
    put(tmp_path, "ratings.csv", "user,item\n")
    says(tmp_path / "rating.csv", "no such file", "did you mean ratings.csv?", source=tmp_path / "rating.csv")
    says("no such file", source=tmp_path / "none" / "x.csv")
    says("no such file", source=tmp_path / "ratings.csv" / "x.csv")


def test_folder(tmp_path):
    says(tmp_path, "is a folder", "give the file in it", source=tmp_path)


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")
    path = put(tmp_path, "d.txt", "a x\n")
    monkeypatch.setattr(builtins, "open", refuse)
    says(path, "Permission denied", "your rights", source=path)


def test_unknown_ending(tmp_path):
    for name in ("d.xlsx", "d", "d.gz"):
        says(tmp_path / name, "is none of .txt, .inter", "name it after its format", source=put(tmp_path, name, b"\x1f\x8b" if name == "d.gz" else "x"))


@pytest.mark.parametrize("suffix", [".txt", *TEXT])
def test_empty_file(tmp_path, suffix):
    for content in ("", "\n\n"):
        says(tmp_path, "empty" if suffix in (".csv", ".tsv", ".inter") else "no interactions in it", source=put(tmp_path, f"d{suffix}", content))
    if suffix in (".csv", ".tsv", ".inter"):
        says("no interactions in it", "at least one user", source=put(tmp_path, f"d{suffix}", text_of([], suffix)))


@pytest.mark.parametrize("suffix", [".txt", *TEXT])
def test_binary_content(tmp_path, suffix):
    says("d" + suffix, "line 1: binary content", "convert it", source=put(tmp_path, "d" + suffix, b"PK\x03\x04\x00\x00"))
    says("d" + suffix, "line 1: not UTF-8", "save the file as UTF-8", source=put(tmp_path, "d" + suffix, gzip.compress(b"x", mtime=0)[:3].replace(b"\x08", b"")))


@pytest.mark.parametrize("suffix", [".txt", *TEXT])
def test_undecodable_line(tmp_path, suffix):
    good = "a x y\n" * 9 if suffix == ".txt" else text_of([("a", "x", 1)] * (8 if "json" not in suffix else 9), suffix)
    bad = text_of([("a", "café", 1)], suffix).splitlines()[-1] if suffix != ".txt" else "a café"
    bad = bad.replace("\\u00e9", "é").encode("latin-1")
    says(f"d{suffix}, line 10: not UTF-8", "UTF-8", source=put(tmp_path, "d" + suffix, good.encode() + bad + b"\n"))


@pytest.mark.parametrize("text, what", [
    ("user,item,time\nann,tea,3\n", "(.csv)"), ("1,2,3\n", "(.csv)"), ("ann; tea; 3\n", "(.csv)"), ('{"user": 1}\n', "JSON"),
    ("user_id:token\titem_id:token\nann\ttea\n", "(.inter)"), ("user_id\titem_id\ttimestamp\nann\ttea\t3\n", "(.tsv)")])
def test_txt_that_is_something_else(tmp_path, text, what):
    says("d.txt, line 1: looks like", what, "name the file so", source=put(tmp_path, "d.txt", text))


ACTIONS = [(f"u{u}", f"i{i:02}", 1500000000 + 60 * (8 * u + i)) for u in range(6) for i in range(8)]


@pytest.mark.parametrize("header", ["userId\tmovieId\t", "uid\tmovie\t", "# user\titem\t", "who\twhat\t", ""])
@pytest.mark.parametrize("fields, rest", [
    (lambda t: [4.5, t], "rating\ttimestamp"), (lambda t: [t], "stamp"), (lambda t: [5, f"{1 + t // 60 % 28:02}/07/2017"], "stars\tday"), (lambda t: [30.3712, -97.12, t % 999], "a\tb\tc"),
    (lambda t: ["Arts & Crafts Store", datetime.fromtimestamp(t, timezone.utc).strftime("%a %b %d %H:%M:%S +0000 %Y")], "kind\tutcTimestamp"), (lambda t: [t * 1000], "time")])
def test_txt_that_is_a_table(tmp_path, header, fields, rest):
    text = "".join("\t".join(map(str, (user, item, *fields(t)))) + "\n" for user, item, t in ACTIONS)
    says("d.txt", "looks like a table with", ".tsv", source=put(tmp_path, "d.txt", (header and header + rest + "\n") + text))


def test_txt_of_check_ins_is_a_table(tmp_path):
    day = lambda t: datetime.fromtimestamp(t, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = [f"{user[1:]}\t{day(t)}\t30.37\t-97.12\t{item[1:]}\n" for user, item, t in ACTIONS]
    for separator, name in (("\t", "d.txt"), (" ", "d.txt.gz")):
        says("table without a header (its lines have 5 fields each)", source=put(tmp_path, name, "".join(rows).replace("\t", separator)))
    says("table with a header", source=put(tmp_path, "d.txt", "user\titem\trating\nann\ttea\t4\n"))


@pytest.mark.parametrize("line, what", [
    (lambda u, of: f"{u} {', '.join(of)}", "commas"), (lambda u, of: f"{u}\t{','.join(of)}", "commas"), (lambda u, of: f"{u} {'; '.join(of)}", "semicolons"),
    (lambda u, of: f"{u} {'|'.join(of)}", "bars"), (lambda u, of: f"{u}\t{of}", "brackets"), (lambda u, of: f"{u} [{' '.join(of)}]", "brackets"),
    (lambda u, of: f"{u}: {' '.join(of)}", "colon after the user")])
def test_txt_whose_items_are_joined(tmp_path, line, what):
    histories = {"u" * (1 + k % 3) + str(k): [f"i{k + j}" for j in range(2 + k % 5)] for k in range(9)}
    says("d.txt: its lines have", what, source=put(tmp_path, "d.txt", "\n".join(line(u, of) for u, of in histories.items())))


def test_a_remark_above_a_txt(tmp_path):
    says("first line is a remark; remove it", source=put(tmp_path, "d.txt", "# users and items\nu a b\nv a\n"))


def test_marks_in_some_ids_of_a_txt_are_theirs(tmp_path):
    for text in ("u a,b c d\nv e f\n", "u 30.1,-97.2 31.5,-98.0 30.2,-97.1\nv 30.1,-97.2 31.5,-98.0\n", "u a b, c d e\nv f g\n", "u: a b\nv c\n", "u (a) b\nv c [d]\n", "u a,b\nv c\nw d e\n"):
        data = load(put(tmp_path, "d.txt", text), core=0)
        assert data.user_ids + data.item_ids and len(data.items) == sum(len(line.split()) - 1 for line in text.splitlines())


@pytest.mark.parametrize("kind", ["numbers", "long numbers", "words", "dotted", "dates"])
@pytest.mark.parametrize("lengths", [(1, 1), (2, 2), (5, 5), (1, 9), (3, 60)])
@pytest.mark.parametrize("users", [2, 40, 300])
def test_no_genuine_txt_is_taken_for_a_table(tmp_path, kind, lengths, users):
    draw = random.Random(f"{kind}{lengths}{users}")
    item = {"numbers": lambda: draw.randint(1, 400), "long numbers": lambda: draw.randint(10**8, 10**10), "words": lambda: draw.choice(["tea", "time", "date", "item", "5", "product"]),
            "dotted": lambda: f"{draw.randint(1, 20)}.{draw.randint(1, 99)}", "dates": lambda: f"2017-07-{draw.randint(10, 31)}"}[kind]
    for again in range(4):
        lines = [[str(u), *(str(item()) for _ in range(draw.randint(*lengths)))] for u in range(1, users + 1)]
        lines += lines[:again % 2]                                   # some user goes on
        expected = [(user, i) for user, *of in lines for i in of]
        text = "\n".join(draw.choice([" ", "\t"]).join(line) for line in lines)
        assert same(load(put(tmp_path, "d.txt", text), core=0), from_rows(*zip(*expected), core=0))


def test_txt_bad_lines(tmp_path):
    says("d.txt, line 3: user 'bob' has no items", "separated by blanks", source=put(tmp_path, "d.txt", "ann a b\n\nbob\n"))
    says("leave out the column names", source=put(tmp_path, "d.txt", "ann a b\n"), user="ann")


ROW = {".csv": "a,x,1\n", ".tsv": "a\tx\t1\n", ".inter": "a\tx\t1\n"}


@pytest.mark.parametrize("suffix", ROW)
@pytest.mark.parametrize("bad, what", [
    ("a,x", "names 3 columns and this line fills 2"), ("a,x,1,1", "names 3 columns and this line fills 4"), (",x,1", "the user id is empty"), ("a, ,1", "the item id is empty"),
    ("a,x,", "time '' is neither"), ("a,x,soon", "time 'soon' is neither a number nor an ISO date"), ("a,x,nan", "time 'nan'"), ("a,x,inf", "time 'inf'"),
    ("a,x,1" + 400 * "0", "is neither a number"), ("a,x,2020-01-01", "but those before it are each a number")])
def test_one_bad_line_in_many(tmp_path, suffix, bad, what):
    text = text_of([], suffix) + ROW[suffix] * 1000 + bad.replace(",", ROW[suffix][1]) + "\n" + ROW[suffix] * 10
    says(tmp_path / f"d{suffix}", "line 1002: ", what, source=put(tmp_path, f"d{suffix}", text))


@pytest.mark.parametrize("bad, what", [
    ("oops", "not JSON"), ('{"user": "a", "item": "x"}', "no field 'time'"), ('{"user": "", "item": "x", "time": 1}', "the user id is empty"), ("[1, 2]", "a JSON list"),
    ('{"user": "a", "item": null, "time": 1}', "item id None is neither"), ('{"user": "a", "item": [1], "time": 1}', "item id [1] is neither"),
    ('{"user": "a", "item": 1.5, "time": 1}', "item id 1.5 is neither"), ('{"user": "a", "item": true, "time": 1}', "item id True is neither"),
    ('{"user": "a", "item": "x", "time": NaN}', "time nan is neither"), ('{"user": "a", "item": "x", "time": null}', "time None is neither"),
    ('{"user": "a", "item": "x", "time": true}', "time True is neither"), ("[" * 100000, "not JSON")])
def test_one_bad_object_in_many(tmp_path, bad, what):
    good = text_of([("a", "x", 1)], ".json")
    says("d.json, line 1001: ", what, source=put(tmp_path, "d.json", good * 1000 + bad + "\n" + good))


def test_lines_are_counted_as_an_editor_does(tmp_path):
    text = 'user,item\n"a\nb",x\n\na,\n'  # an id over two lines, then an empty line
    says("d.csv, line 5: the item id is empty", source=put(tmp_path, "d.csv", text))


def test_quotes(tmp_path):
    says("d.csv, line 3: not a proper line", "check its quotes", source=put(tmp_path, "d.csv", 'user,item\na,x\na,"x\na,y\na,z\n'))
    says("d.csv, line 2: not a proper line", source=put(tmp_path, "d.csv", 'user,item\na,"x"y\n'))
    says("d.csv, line 2: not a proper line", source=put(tmp_path, "d.csv", 'user,item\na,"' + "x,y\n" * 50000))


def test_quotes_after_a_blank(tmp_path):
    for header in ("user_id, item_id, timestamp", '"user_id", "item_id", "timestamp"'):
        data = load(put(tmp_path, "d.csv", header + '\n"u00", "i, 00", 1500000060\n"u00", "i01", "1500000000"\n'), core=0)
        assert (data.user_ids, data.item_ids, data.items.tolist()) == (["u00"], ["i, 00", "i01"], [2, 1])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".inter"])
@pytest.mark.parametrize("names", [("user", "item"), ("user", "item", "time")])
def test_a_header_again(tmp_path, suffix, names):
    once = text_of([("a", "x", 1)[:len(names)]], suffix, names)
    says(f"d{suffix}, line 3: names the columns again", "remove the line", source=put(tmp_path, f"d{suffix}", once + once), core=0)


def test_a_dat_with_a_header_and_empty_lines(tmp_path):
    row = "u::a::5::{}\n"
    says("d.dat, line 1: a .dat has no header; remove the line", source=put(tmp_path, "d.dat", "UserID::MovieID::Rating::Timestamp\n" + row.format(1)))
    assert len(load(put(tmp_path, "d.dat", row.format(1) + "\n" + row.format(2) + "\n\n"), core=0).items) == 2
    says("d.dat, line 3: time 'soon'", "time=''", source=put(tmp_path, "d.dat", row.format(1) + "\n" + row.format("soon")), core=0)
    assert len(load(tmp_path / "d.dat", core=0, time="").items) == 2


@pytest.mark.parametrize("suffix", TEXT)
def test_columns_not_found(tmp_path, suffix):
    path = put(tmp_path, "d" + suffix, text_of([("a", "x", 1)], suffix, ("who", "what", "when")))
    says(path, "no column found for the users among who, what, when", "name it with user=", source=path)
    says("no column found for the items", "item=", source=path, user="who")
    says("no column 'wen'; the columns are who, what, when", source=path, user="who", item="what", time="wen")
    says("one column cannot serve twice", source=path, user="who", item="who")
    path = put(tmp_path, "e" + suffix, text_of([("a", "x", 1, "b")], suffix, ("user", "item", "time", "customer_id")))
    says("columns user and customer_id could both be the user", "say which with user=", source=path)
    assert load(path, user="customer_id", core=0).user_ids == ["b"]


def test_double_column(tmp_path):
    says("column 'item' is there 2 times", "rename", source=put(tmp_path, "d.csv", "user,item,item\na,x,y\n"))
    says("column 'item' is there 2 times", source=pd.DataFrame([[1, 2, 3]], columns=["user", "item", "item"]))
    assert load(put(tmp_path, "d.csv", "user,item,n,n\na,x,y,z\n"), core=0).item_ids == ["x"]  # no matter in columns we do not read


@pytest.mark.parametrize("suffix", [".txt", *TEXT])
def test_broken_gzip(tmp_path, suffix):
    text = "a x y\n" * 20000 if suffix == ".txt" else text_of([("a", f"x{k}", k) for k in range(20000)], suffix)
    whole = gzip.compress(text.encode())
    for broken in (whole[:len(whole) // 2], whole[:5]):
        says(f"d{suffix}.gz: broken gzip after", "again", source=put(tmp_path, f"d{suffix}.gz", broken))
    garbled = whole[:len(whole) // 2] + b"\xff" * 50 + whole[len(whole) // 2 + 50:]
    says(f"d{suffix}.gz", source=put(tmp_path, f"d{suffix}.gz", garbled))  # a bad line may show before the bad checksum does
    path = tmp_path / f"e{suffix}.gz"
    path.write_text(text[:50])
    says("broken gzip after 0 whole lines", source=path)


# ---- what can be wrong with a frame

@pytest.mark.parametrize("nothing", [None, float("nan"), np.nan, pd.NA, pd.NaT, "", " "])
def test_holes_in_a_frame(nothing):
    for hole in ("user", "item", "time"):
        columns = {"user": ["a"] * 3, "item": ["x"] * 3, "time": [1, 2, 3]}
        columns[hole] = [*columns[hole][:2], nothing]
        says("the data frame, row 2 (from 0)", f"nothing in column {hole!r}", "drop the row", source=pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()}))
        says("row 2 (from 0)", source=Frame(columns))


def test_bad_values_in_a_frame():
    says("row 1 (from 0): a list in column 'item'", "text or numbers", source=Frame(user=["a", "a"], item=["x", ["y"]]))
    says("row 1 (from 0): time 'late' is neither", source=Frame(user=["a", "a"], item=["x", "y"], time=["1", "late"]))
    says("row 1 (from 0): time", "use one kind", source=Frame(user=["a", "a"], item=["x", "y"], time=[datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=timezone.utc)]))
    says("row 0 (from 0): time", "neither a number", source=Frame(user=["a"], item=["x"], time=[timedelta(1)]))
    says("no column 'who'; the columns are user, item", source=Frame(user=["a"], item=["x"]), user="who")
    says("no interactions", source=Frame(user=[], item=[]))


def test_a_frame_that_is_not_there_yet():
    class Lazy:
        columns = ["user", "item"]

        def __getitem__(self, name):
            raise TypeError("LazyFrame is not subscriptable\n\nUse select() instead.")
    says("column 'user' cannot be read", "held in memory", source=Lazy())


def test_not_a_source():
    for source in (None, 42, ["a", "b"], {"user": [1]}):
        says("cannot load", "give a name (toy, beauty", source=source)


# ---- parquet

def test_broken_parquet(tmp_path):
    pd.DataFrame({"user": ["a"] * 99, "item": ["x"] * 99}).to_parquet(tmp_path / "d.parquet")
    whole = (tmp_path / "d.parquet").read_bytes()
    for broken in (b"", b"user,item\n", whole[:len(whole) // 2], whole[:4] + b"\0" * 60 + whole[64:]):
        says("d.parquet: not a whole parquet file", "write it again", source=put(tmp_path, "d.parquet", broken))


def test_holes_and_columns_of_parquet(tmp_path):
    path = tmp_path / "d.parquet"
    pd.DataFrame({"user": ["a", None], "item": ["x", "y"]}).to_parquet(path)
    says(path, "row 1 (from 0): nothing in column 'user'", source=path)
    says(path, "no column 'thing'; the columns are user, item", source=path, item="thing")


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    says("d.parquet", "pip install 'mclrec[parquet]'", source=put(tmp_path, "d.parquet", b"PAR1"))


# ---- what became of the columns, and what cannot be meant

def said_of(source, caplog, **kwargs):
    caplog.clear()
    with caplog.at_level(logging.INFO, "mclrec"):
        data = load(source, core=0, **kwargs)
    return data, caplog.records[0].levelname, caplog.messages[0]


def test_a_time_that_is_not_recognised_is_said(tmp_path, caplog):
    path = put(tmp_path, "d.csv", "userId,itemId,eventdate\nu,b,2\nu,a,1\n")
    _, level, said = said_of(path, caplog)
    assert level == "WARNING" and "the order of the rows is the order of time" in said and "eventdate" in said and "--columns time=" in said
    data, level, said = said_of(path, caplog, time="eventdate")
    assert level == "INFO" and "times from 'eventdate'" in said and [data.item_ids[i - 1] for i in data.items] == ["a", "b"]
    path = put(tmp_path, "e.csv", "user,item,time\nu,b,2\nu,a,1\n")
    assert load(path, time="", core=0).items.tolist() == [1, 2]
    for late, what in (({"time": 1}, "a time field 'time' that the lines before lack"), ({"customer_id": 1}, "a user field")):
        says("line 2", what, source=put(tmp_path, "d.jsonl", '{"user": "u", "item": "b"}\n' + json.dumps({"user": "u", "item": "b", **late}) + "\n"), core=0)


def test_tables_under_another_name(tmp_path):
    rows = [(u, i, 1 + i % 5, 1500000000 + 60 * i) for u in range(5) for i in range(20)]
    table = lambda separator, columns: "".join(separator.join(str(row[c]) for c in columns) + "\n" for row in rows)
    for columns in ((0, 1, 2, 3), (0, 1, 3), (0, 1, 2)):
        for separator in (" ", "\t"):
            says("looks like a table without a header", source=put(tmp_path, "d.txt", table(separator, columns)), core=0)
    says("ratings of MovieLens (.dat)", source=put(tmp_path, "d.txt", table("::", (0, 1, 2, 3))))
    assert load(put(tmp_path, "d.dat", table("::", (0, 1, 2, 3))), core=0).n_items == 20
    assert load(put(tmp_path, "d.txt", "u1 1 2\nu2 3 4\nu1 5 6\n"), core=0).n_users == 2
    says("cut beforehand", "item_id_list:token_seq", source=put(tmp_path, "d.inter", "user_id:token\titem_id_list:token_seq\titem_id:token\nu\ta b\tc\n"))
    says("no tab in the header 'user_id:token,item_id:token'", source=put(tmp_path, "d.inter", "user_id:token,item_id:token\nu,a\n"))
    assert load(put(tmp_path, "d.csv", "sep=;\nuser;item\nu;a\n"), core=0).item_ids == load(put(tmp_path, "d.csv", "user|item\nu|a\n"), core=0).item_ids == ["a"]


def test_words_for_nothing_are_counted_aloud(tmp_path, caplog):
    load(put(tmp_path, "d.csv", "user,item\nNULL,a\nNULL,b\nu,NaN\n"), core=0)
    assert any("2 actions are of the user 'NULL'" in m for m in caplog.messages) and any("1 actions are of the item 'NaN'" in m for m in caplog.messages)


def test_nanoseconds_on_every_way(tmp_path):
    import pyarrow
    times = pd.to_datetime([1500000000_000000003, 1500000000_000000001, 1500000000_000000002, 1500000000_000000000])
    frame = pd.DataFrame({"user": "u", "item": list("zxyw"), "time": times})
    frame.to_parquet(tmp_path / "d.parquet")
    put(tmp_path, "d.csv", "user,item,time\n" + "".join(f"u,{i},{t.isoformat()}\n" for i, t in zip("zxyw", times)))
    for source in (frame, frame.assign(time=frame.time.dt.tz_localize("UTC")), frame.assign(time=frame.time.astype(object)), pyarrow.Table.from_pandas(frame), tmp_path / "d.parquet", tmp_path / "d.csv"):
        data = load(source, core=0)
        assert [data.item_ids[i - 1] for i in data.items] == ["w", "x", "y", "z"]


@pytest.mark.parametrize("times", [[1500000000, 1500000060000, 1500000120], [1500000000000, 1500000060], [1500000000.5, 1500000060000.5]])
def test_two_units_of_time_in_one_column(times):
    says("looks like", "use one unit of time", source=Frame(user=["u"] * len(times), item=list(range(len(times))), time=times))


def test_dates_with_the_name_of_a_zone(tmp_path):
    for zone in (" UTC", " GMT", "Z", "+00:00"):
        path = put(tmp_path, "d.csv", "user,item,time\n" + "".join(f"u,{i},2017-07-14 02:4{t}:00{zone}\n" for i, t in zip("abc", (3, 1, 2))))
        assert load(path, core=0).items.tolist() == [2, 3, 1]


def test_a_long_field_that_nobody_reads(tmp_path):
    assert load(put(tmp_path, "d.csv", 'user,item,review\nu,a,' + "word " * 50000 + "\nu,b,short\n"), core=0).item_ids == ["a", "b"]


def test_quotes_in_a_tsv(tmp_path):
    assert load(put(tmp_path, "d.tsv", 'user\titem\nu\t"nail" five\nu\t"quoted"\nu\t5" nail\n'), core=0).item_ids == ['"nail" five', "quoted", '5" nail']


def test_odd_white_space_stays_in_an_id(tmp_path):
    ids = ["a\xa0b", "c\x0bd", "e\x85f", "g\x1ch", "i\u2028j"]
    assert load(put(tmp_path, "d.txt", f"u {' '.join(ids)}\n"), core=0).item_ids == ids
    says("carriage return", source=put(tmp_path, "e.txt", "u1 a b\ru2 c d\r"))


def test_a_folder_of_parquet_as_spark_writes_it(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow; pip install 'mclrec[parquet]'")
    (tmp_path / "d.parquet").mkdir()
    for k in range(2):
        pd.DataFrame({"user": ["a"], "item": [k]}).to_parquet(tmp_path / "d.parquet" / f"part-{k}.parquet")
    (tmp_path / "d.parquet" / "_SUCCESS").touch()
    assert load(tmp_path / "d.parquet", core=0).item_ids == [0, 1]


def test_lists_of_objects_and_tables_by_columns(tmp_path):
    rows = [{"user": "u", "item": k, "time": 9 - k} for k in range(3)]
    for indent in (None, 1):
        assert load(put(tmp_path, "d.json", json.dumps(rows, indent=indent)), core=0).items.tolist() == [3, 2, 1]
    says("by columns", "orient='records'", source=put(tmp_path, "d.json", pd.DataFrame(rows).to_json()))
    says("written as Python writes", source=put(tmp_path, "d.json", "{'user': 'u', 'item': 'a'}\n"))
    assert load(put(tmp_path, "d.jsonl", '{"user": 0.0, "item": 1.0}\n'), core=0).item_ids == ["1"]


def test_what_is_no_id_in_a_frame():
    for values in ([True, False], [1.5, 2], pd.to_datetime(["2020-01-01", "2020-01-02"])):
        says("is no id", source=pd.DataFrame({"user": values, "item": ["a", "b"]}), core=0)
    says("reset_index()", source=pd.DataFrame({"item": ["a"], "user": ["u"]}).set_index("user"))


@pytest.mark.parametrize("make", [
    lambda: Frame(**{f"column_{k}": ["a"] for k in range(4000)}), lambda: Frame(user=["u"], item=["a"], time=["x" * 100000]),
    lambda: pd.Series(range(1000)), lambda: np.zeros((100, 100)), lambda: "no" * 5000 + ".csv"])
def test_messages_have_an_end(make):
    with pytest.raises(InputError) as e:
        load(make(), core=0)
    assert len(str(e.value)) < 500 and "\n" not in str(e.value)


def test_only_files_that_could_be_data_are_suggested(tmp_path):
    for name in ("rating.py", "rating.csv.gz", "ratings.pdf"):
        put(tmp_path, name, "x")
    says("did you mean rating.csv.gz?", source=tmp_path / "rating.csv")


def histories(data):
    return [[data.item_ids[i - 1] for i in data[u]] for u in range(data.n_users)]


@pytest.mark.parametrize("people, years", [(20, 40), (100, 5), (1000, 1)])
def test_dates_keep_everybody_with_their_own_actions(tmp_path, people, years):
    "In nanoseconds, people times the span does not fit into 64 bits."
    draw, begin = random.Random(people), datetime(2003, 1, 1)
    rows = [(f"u{u:04}", f"i{u}-{k}", begin + timedelta(seconds=draw.randrange(years * 31_536_000))) for u in range(people) for k in range(4)]
    truth = {f"u{u:04}": [item for who, item, _ in sorted(rows[4 * u:4 * u + 4], key=lambda row: row[2])] for u in range(people)}
    draw.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["user", "item", "date"])
    frame.to_csv(tmp_path / "log.csv", index=False)
    for source in (frame, tmp_path / "log.csv"):
        data = load(source, core=0)
        assert dict(zip(data.user_ids, histories(data))) == truth


@pytest.mark.parametrize("times, order", [
    ((5, -2**63, 1_500_000_000), "bac"), ((2**63 - 1, -1, 0), "bca"), (np.array([2**64 - 1, 2**63 + 1, 3], np.uint64), "cba"),
    (np.array([2**31 - 1, -2**31, 0], np.int32), "bca"), (np.array([255, 0, 7], np.uint8), "bca")])
def test_whole_numbers_of_any_span_are_in_order(tmp_path, times, order):
    frame = pd.DataFrame({"user": ["u"] * 3, "item": list("abc"), "time": times})
    assert "".join(histories(load(frame, core=0))[0]) == order
    frame.to_csv(tmp_path / "log.csv", index=False)
    assert "".join(histories(load(tmp_path / "log.csv", core=0))[0]) == order


@pytest.mark.parametrize("a, b", [(956_703_932, 1_046_454_590), (999_999_999_999, 1_000_000_000_000), (999_999_999 * 10**9, 10**18), ("2000-01-01", "2002-01-01"),
                                  ("1970-01-01 01:00:00", "2017-07-14 00:00:00"), ("1970-01-15", "2018-01-01"), ("1970-01-20", "2018-01-01")])
def test_one_unit_of_time_on_both_sides_of_a_power_of_ten(tmp_path, a, b):
    put(tmp_path, "log.csv", f"user,item,time\nu,a,{b}\nu,b,{a}\n")
    assert histories(load(tmp_path / "log.csv", core=0)) == [["b", "a"]]
    if isinstance(a, int):
        put(tmp_path, "log.dat", f"u::a::5::{b}\nu::b::3::{a}\n")
        assert histories(load(tmp_path / "log.dat", core=0)) == [["b", "a"]]
    else:
        assert histories(load(pd.DataFrame({"user": "uu", "item": list("ab"), "time": pd.to_datetime([b, a])}), core=0)) == [["b", "a"]]


@pytest.mark.parametrize("a, b", [(956_703_932, 1_046_454_590_000), (1_046_454_590, 1_046_454_590 * 10**9), (956_703_932_000, 1_046_454_590)])
def test_two_units_of_time_are_refused(tmp_path, a, b):
    put(tmp_path, "log.csv", f"user,item,time\nu,a,{a}\nu,b,{b}\n")
    says("line 3", "seconds", "one unit of time", source=tmp_path / "log.csv", core=0)


def test_dates_without_a_header_are_no_items(tmp_path):
    put(tmp_path, "log.txt", "".join(f"u{k // 8} i{k % 13} 2017-07-{1 + k % 28:02}\n" for k in range(80)))
    says("table without a header", source=tmp_path / "log.txt")


def test_json_after_an_empty_line(tmp_path):
    put(tmp_path, "log.json", '\n \n[\n {"user": "u", "item": "a"},\n {"user": "u", "item": "b"}]\n')
    assert histories(load(tmp_path / "log.json", core=0)) == [["a", "b"]]


def test_an_object_where_an_id_should_be(tmp_path):
    for row in ({"user": {"id": "u"}, "item": {"id": "a"}, "ts": 1}, {"user": "u", "item": ["a"]}, {"user": {"id": "u"}, "item": {"id": "a"}}):
        says("d.jsonl, line 1", "is no id; write the id itself", source=put(tmp_path, "d.jsonl", (json.dumps(row) + "\n") * 2))


def test_what_leads_to_no_file(tmp_path):
    for name, target in (("dangling.csv", "nowhere"), ("loop.csv", "loop.csv")):
        (tmp_path / name).symlink_to(target)
        says(f"{name}: a link that leads nowhere", "give the file itself", source=tmp_path / name)
    for packed in ("zip", "bz2", "xz"): says("unpack it", source=put(tmp_path, f"d.csv.{packed}", b"x"))
    says("an empty text", source="")


def test_the_home_of_nobody(tmp_path, monkeypatch):
    says("no user has this name", source="~nobody-at-all/log.csv")
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "~$log.csv", "user,item\nu,a\n")
    assert load("~$log.csv", core=0).n_items == 1
