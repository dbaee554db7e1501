"""Everybody's list: as `recommend` gives it one by one, and the same again from a file."""
import csv
import itertools
import random

import numpy as np
import pytest
import torch

from mclrec import model as model_module
from mclrec import recommend, recommend_all
from mclrec.checks import InputError
from mclrec.cli import main
from mclrec.data import from_rows
from mclrec.lists import check_target, write_lists
from mclrec.model import Popularity
from mclrec.models.bpr import BPR
from mclrec.models.sasrec import SASRec
from mclrec.ranking import top_k

ODD = ['a,b', 'say "tea"', "two\nlines", "two\r\nlines", "\r", "緑茶", "", " ", "=1+1", "'", "\t", "a\x1b[31m", "nul\0"]


def shop(users=range(60), items=range(40), seed=0, most=12):
    "Histories at random, each user with three items at least."
    draw = random.Random(seed)
    return from_rows(*zip(*((u, draw.choice(items)) for u in users for _ in range(draw.randint(3, most)))), core=0)


def small(data):
    model = SASRec(data.n_items, d=8, n=6, layers=1, inner=8)
    model.prepare(data)
    return model.eval()


def as_lists(parts):
    "What `recommend_all` gives as what `recommend` gives, by user."
    return {u: [(i, s) for i, s in zip(items, scores) if s > -np.inf]
            for us, its, scs in parts for u, items, scores in zip(us.tolist(), its.tolist(), scs.tolist())}


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("k", [1, 10, 99])
@pytest.mark.parametrize("kind", [SASRec, Popularity, BPR])
def test_everybodys_list_is_each_ones(kind, k, exclude_seen):
    data = shop()
    model = small(data) if kind is SASRec else kind(data.n_items)
    model.prepare(data)
    expected = dict(zip(data.user_ids, recommend(model, data, users=data.user_ids, k=k, exclude_seen=exclude_seen)))
    found = as_lists(recommend_all(model, data, k, exclude_seen))
    assert list(found) == data.user_ids and found == expected


def test_parts_are_no_longer_than_memory_allows(monkeypatch):
    data = shop(users=range(10_000), most=4)
    model = Popularity(data.n_items)
    model.prepare(data)
    assert [len(users) for users, *_ in recommend_all(model, data)] == [4096, 4096, 1808]
    assert found_all(recommend_all(model, data)) == recommend(model, data, users=data.user_ids)
    (_, items, _), *_ = recommend_all(model, data, k=10**9)   # no more than there are items
    assert items.shape == (4096, data.n_items)


def found_all(parts): return list(as_lists(parts).values())


def test_nothing_is_left_for_who_has_it_all():
    data = from_rows(["u"] * 3 + ["v"] * 3, ["a", "b", "c", "a", "b", "b"], core=0)
    model = Popularity(3)
    model.prepare(data)
    (users, items, scores), = recommend_all(model, data, k=5)
    assert users.tolist() == ["u", "v"] and items.tolist() == [[None] * 3, ["c", None, None]]
    assert (scores > -np.inf).tolist() == [[False] * 3, [True, False, False]]


def test_strangers_get_no_list_and_are_counted(caplog):
    model = small(shop(items=[f"i{k}" for k in range(40)]))
    data = from_rows(["a", "a", "b", "b", "c"], ["i1", "new", "new", "newer", "i2"], core=0)
    found = as_lists(recommend_all(model, data, k=3))
    assert list(found) == ["a", "c"]
    assert list(found.values()) == recommend(model, histories=[["i1"], ["i2"]], k=3)
    assert "3 of 5 actions are of items the model does not know" in caplog.text and "1 users have no known history" in caplog.text
    assert list(recommend_all(model, from_rows(["b"], ["new"], core=0))) == []


def test_an_untrained_model_and_a_mode(caplog):
    data = shop()
    model = SASRec(data.n_items, d=8, n=6, layers=1, inner=8).train()
    assert found_all(recommend_all(model, data)) == recommend(model, data, users=data.user_ids) and model.training
    with pytest.raises(InputError, match="k=0"): recommend_all(model, data, k=0)
    with pytest.raises(InputError, match="not Interactions"): recommend_all(model, "toy")
    with pytest.raises(InputError, match="n_items"): recommend_all(SASRec(3), data)


# ---- the selection

@pytest.mark.parametrize("items", [1, 9, 80, 81, 300, 5000])
@pytest.mark.parametrize("different", [1, 3, 10**6])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_selected_as_if_sorted(items, different, k):
    generator = torch.Generator().manual_seed(items)
    scores = torch.randint(different, (17, items), generator=generator).float()
    scores[torch.rand(17, items, generator=generator) < .3] = -torch.inf
    scores[3], scores[4, items // 2:] = -torch.inf, torch.inf
    value, column = torch.sort(scores, dim=1, descending=True, stable=True)
    for given in (scores, scores.T.contiguous().T):
        ours = top_k(given, k)
        assert torch.equal(ours[0], value[:, :k]) and torch.equal(ours[1], column[:, :k])


def test_a_row_of_nothing_that_can_be_compared():
    scores = torch.rand(3, 200)
    scores[1] = torch.nan
    assert [x.shape for x in top_k(scores, 5)] == [(3, 5), (3, 5)]


# ---- files

def read(path):
    "The rows of a file of lists, as user → [(item, score), …] in order; ranks must count from 1."
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as f:
            head, *rows = csv.reader(f)
        assert head == ["user", "item", "rank", "score"]
        rows = [(u, i, int(r), float(s)) for u, i, r, s in rows]
    else:
        import pyarrow.parquet
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["user", "item", "rank", "score"]
        rows = list(zip(*table.to_pydict().values()))
    lists = {}
    for user, group in itertools.groupby(rows, key=lambda row: row[0]):
        group = list(group)
        assert [row[2] for row in group] == list(range(1, len(group) + 1)) and user not in lists
        lists[user] = [(row[1], row[3]) for row in group]
    return lists


@pytest.mark.parametrize("name", ["lists.csv", "lists.parquet", "LISTS.CSV"])
def test_what_is_written_is_read_again(name, tmp_path):
    if name.endswith("parquet"): pytest.importorskip("pyarrow", reason="needs pyarrow; pip install 'mclrec[parquet]'")
    users = [f"{what}{k}" for k in range(5) for what in ODD]
    data = shop(users, ODD + [f"i{k}" for k in range(30)])
    model = small(data)
    said = write_lists(tmp_path / "new" / name, model, data, k=4, progress=False)
    expected = dict(zip(data.user_ids, recommend(model, data, users=data.user_ids, k=4)))
    path = tmp_path / "new" / name
    found = read(path.rename(path.with_suffix(path.suffix.lower())))
    assert found == expected and said == (len(users), 4 * len(users))
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_ids_keep_their_kind_in_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow; pip install 'mclrec[parquet]'")
    data = shop()
    model = small(data)
    write_lists(tmp_path / "l.parquet", model, data, progress=False)
    assert read(tmp_path / "l.parquet") == dict(zip(data.user_ids, recommend(model, data, users=data.user_ids)))
    mixed = shop(items=["tea", 3, 2.5, *range(4, 30)])
    model = small(mixed)
    write_lists(tmp_path / "l.parquet", model, mixed, progress=False)
    expected = [[(str(i), s) for i, s in row] for row in recommend(model, mixed, users=mixed.user_ids)]
    assert list(read(tmp_path / "l.parquet").values()) == expected


def test_a_file_without_a_row(tmp_path):
    model, data = small(shop()), from_rows(["b"], ["new"], core=0)
    for name in ("l.csv", "l.parquet"):
        assert write_lists(tmp_path / name, model, data, progress=False) == (0, 0) and read(tmp_path / name) == {}


def test_what_was_there_stays_until_all_is_written(tmp_path, monkeypatch):
    data = shop(users=range(10_000), most=4)
    model, path = small(data), tmp_path / "lists.csv"
    write_lists(path, model, data, k=1, progress=False)
    before, scores = path.read_bytes(), model_module.score_batches

    def broken(*args):
        assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2
        if len(args[2]) < 4096: raise InputError("broken.")   # the last part
        return scores(*args)
    monkeypatch.setattr(model_module, "score_batches", broken)
    with pytest.raises(InputError, match="broken"): write_lists(path, model, data, progress=False)
    assert path.read_bytes() == before and [f.name for f in tmp_path.iterdir()] == ["lists.csv"]


def test_a_link_stays_and_what_was_left_behind_goes(tmp_path):
    data = shop()
    (tmp_path / ".there.csv.999999999").write_text("half")
    (tmp_path / "there.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("there.csv")
    write_lists(tmp_path / "link.csv", small(data), data, progress=False)
    assert (tmp_path / "link.csv").is_symlink() and len(read(tmp_path / "there.csv")) == data.n_users
    assert sorted(f.name for f in tmp_path.iterdir()) == ["link.csv", "there.csv"]


def test_places_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for path in ("lists.xls", "lists", ".csv", "folder.csv", "file/lists.csv", "loop.csv", "nul\0.csv", "long" * 99 + ".csv"):
        with pytest.raises(InputError): check_target(tmp_path / path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'mclrec\[parquet\]'"): check_target(tmp_path / "lists.parquet")
    check_target(tmp_path / "lists.csv")


def test_half_characters_are_refused(tmp_path):
    data = shop(items=["a\ud800", *(f"i{k}" for k in range(9))])
    for name in ("l.csv", "l.parquet"):
        with pytest.raises(InputError, match="half a character"): write_lists(tmp_path / name, small(data), data, k=9, exclude_seen=False, progress=False)
    assert not list(tmp_path.iterdir())


def test_lists_are_not_written_among_the_data(tmp_path, capsys):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    log = tmp_path / "log"
    log.mkdir()
    parquet.write_table(pa.table({"user": ["a", "a", "a", "b", "b", "b"], "item": list("xyzxyz")}), log / "part-0.parquet")
    assert main(["train", str(log), "--core", "0", "--model", "popularity", "--out", str(tmp_path / "run")]) == 0
    before = (log / "part-0.parquet").read_bytes()
    for name in ("part-0.parquet", "lists.parquet", "deeper/lists.csv"):
        assert main(["recommend", str(tmp_path / "run"), str(log), "--core", "0", "--all", "--out", str(log / name)]) == 2
        assert "holds the data, or is within it" in capsys.readouterr().err
    assert [p.name for p in log.iterdir()] == ["part-0.parquet"] and (log / "part-0.parquet").read_bytes() == before


def test_ids_too_large_for_64_bits_are_text_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    data = from_rows(["a"] * 3 + ["b"] * 3, [2**64 + 1, 5, 2**70] * 2, core=0)
    model = Popularity(data.n_items)
    model.prepare(data)
    write_lists(tmp_path / "lists.parquet", model, data, exclude_seen=False, progress=False)
    assert set(parquet.read_table(tmp_path / "lists.parquet")["item"].to_pylist()) == {str(2**64 + 1), "5", str(2**70)}
