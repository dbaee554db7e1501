"""Judging and recommending: against loops, with ties, strangers, other numberings and ids of every kind."""
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mclrec
from mclrec.data import InputError, from_rows
from mclrec.encoder import Sequences
from mclrec.ids import numbers_of
from mclrec.loading import load
from mclrec.model import Popularity, Recommender, evaluate, ranks, recommend
from mclrec.models.sasrec import SASRec
from mclrec.ranking import MISS

few = settings(max_examples=40)
SMALL = dict(d=8, n=4, layers=1, heads=2, inner=8)


class Oracle(Recommender):
    "Scores every item by a row of a table that the last item read chooses: what it recommends can be looked up."
    name, n = "oracle", 3

    def __init__(self, table):
        super().__init__(len(table))
        self.register_buffer("table", torch.tensor(table, dtype=torch.float64))

    def encode(self, batch):
        assert int(batch.lengths.max()) <= self.n
        return torch.nn.functional.one_hot(batch.items[torch.cumsum(batch.lengths, 0) - 1] - 1, self.n_items).double()

    def item_vectors(self):
        return self.table.T


def shop_of(histories, **kwargs):
    return from_rows([u for u, h in histories.items() for _ in h], [i for h in histories.values() for i in h], core=0, **kwargs)


def naive_rank(scores, target, seen):
    "All items sorted by score, whoever ties standing before the target; `None` for a target that is itself left out."
    order = sorted((i for i in scores if i not in seen), key=lambda i: (-scores[i], i == target))
    return order.index(target) + 1 if target in order else None


@st.composite
def shops(draw):
    "Histories of items a to g, and for every item the scores of all, with ties."
    histories = draw(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=8), min_size=1, max_size=6).filter(lambda hs: any(len(h) > 2 for h in hs)))
    data = shop_of(dict(enumerate(histories)))
    score = st.lists(st.sampled_from([0., 1., 2.]), min_size=data.n_items, max_size=data.n_items)
    return histories, data, draw(st.lists(score, min_size=data.n_items, max_size=data.n_items))


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("split", ["test", "valid"])
@few
@given(case=shops())
def test_ranks_are_those_of_a_loop_over_people(split, exclude_seen, case):
    histories, data, table = case
    expected = []
    for history in histories:
        if len(history) > 2:
            *before, target = history if split == "test" else history[:-1]
            scores = dict(zip(data.item_ids, table[data.item_ids.index(before[-1])]))
            expected.append(naive_rank(scores, target, before if exclude_seen else []))
    got = ranks(Oracle(table), data, split, exclude_seen)
    assert [None if r == MISS else r for r in got.tolist()] == expected
    hits = [0 if r is None else 1 / math.log2(1 + r) if r <= 5 else 0 for r in expected]
    assert evaluate(Oracle(table), data, split, exclude_seen)["NDCG@5"] == pytest.approx(sum(hits) / len(hits))


def test_the_fast_way_for_everybody_is_the_slow_way_for_each():
    generator = np.random.default_rng(0)
    data = shop_of({u: generator.integers(0, 40, generator.integers(3, 12)).tolist() for u in range(60)})
    model = SASRec(data.n_items, **{**SMALL, "n": 5}).double()
    with torch.no_grad():
        model.encoder.M.weight.normal_()
    model.eval()
    for exclude_seen in (False, True):
        expected = []
        for u in range(data.n_users):
            *before, target = data[u].tolist()
            read = before[-5:]
            h = model.encode(Sequences(torch.tensor(read), torch.tensor([len(read)])))[0]
            scores = {i: (h @ model.encoder.M.weight[i]).item() for i in range(1, data.n_items + 1)}
            expected.append(naive_rank(scores, target, before if exclude_seen else []) or MISS)
        assert ranks(model, data, exclude_seen=exclude_seen).tolist() == expected


def test_evaluation_leaves_the_model_as_it_was():
    data = shop_of({u: [(u + k) % 9 for k in range(5)] for u in range(9)})
    model = SASRec(data.n_items, **SMALL).train()
    state = model.generator.get_state()
    assert evaluate(model, data) == evaluate(model, data)  # without dropout
    assert model.training and torch.equal(model.generator.get_state(), state)


def test_splits_and_people_who_cannot_be_ranked():
    data = shop_of({"short": ["a", "b"], "long": ["a", "b", "c"]})
    assert len(ranks(Oracle(np.eye(3).tolist()), data)) == 1
    with pytest.raises(InputError, match="split 'train' is unknown"):
        evaluate(Oracle(np.eye(3).tolist()), data, "train")
    with pytest.raises(InputError, match="no user has three items"):
        evaluate(Oracle(np.eye(2).tolist()), shop_of({"short": ["a", "b"]}))


def test_a_model_for_another_number_of_items():
    data = shop_of({1: [1, 2, 3]})
    with pytest.raises(InputError, match="data has 3 items and the model, not yet trained, was made for 5"):
        evaluate(Oracle(np.eye(5).tolist()), data)
    with pytest.raises(InputError, match="data has 3 items and the model, not yet trained, was made for 5"):
        recommend(Oracle(np.eye(5).tolist()), data, histories=[[1]])
    with pytest.raises(InputError, match="data has 3 items but the model was made for 5"):
        Oracle(np.eye(5).tolist()).prepare(data)
    model = Oracle(np.eye(3).tolist())
    model.prepare(data)
    with pytest.raises(InputError, match="its items are not those the model was trained on, in the same order; fit what mclrec.grown"):
        model.prepare(shop_of({1: [3, 2, 1]}))


# ---- popularity: the floor

def test_popularity_counts_the_training_part_only():
    data = shop_of({1: ["a", "b", "c", "d"], 2: ["b", "c", "a", "a"], 3: ["a", "d"]})
    model = Popularity(data.n_items)
    model.prepare(data)
    # a: once for 1 (first), once for 3; b: 1 and 2; c: 2; d: 3, who is too short to be ranked
    assert dict(zip(model.vocabulary, model.counts[:, 0].tolist())) == {"a": 2, "b": 2, "c": 1, "d": 1}
    assert recommend(model, histories=[["c"]], k=9) == [[("a", 2), ("b", 2), ("d", 1)]]
    assert ranks(model, data).tolist() == [4, 2]  # d after its tie c; a after its tie b


# ---- a vocabulary of its own

@pytest.fixture(scope="module")
def trained():
    "A model that knows a to i, and the data it knows them from."
    data = shop_of({f"u{u}": ["abcdefghi"[(u + k) % 9] for k in range(6)] for u in range(20)}, name="home")
    model = SASRec(data.n_items, **SMALL)
    with torch.no_grad():
        model.encoder.M.weight.normal_(generator=model.generator)
    model.prepare(data)
    return model.eval(), data


def test_items_in_another_order(trained):
    model, data = trained
    histories = {data.user_ids[u]: [data.item_ids[i - 1] for i in data[u]] for u in range(data.n_users)}
    other = shop_of(dict(reversed(histories.items())))
    assert other.item_ids != data.item_ids and set(other.item_ids) == set(data.item_ids)
    for exclude_seen in (False, True):
        assert ranks(model, other, exclude_seen=exclude_seen).tolist() == ranks(model, data, exclude_seen=exclude_seen).tolist()[::-1]
    assert recommend(model, other, users=["u3"]) == recommend(model, data, users=["u3"])


def test_unknown_items_are_dropped_and_counted(trained, caplog):
    model, _ = trained
    known = shop_of({1: ["a", "b", "c", "d"], 2: ["b", "c", "f"], 3: ["c", "d", "e"]})
    other = shop_of({1: ["a", "?", "b", "c", "!", "d"], 2: ["b", "c", "f"], 3: ["c", "d", "e"],
                     "target unknown": ["a", "b", "?"], "history unknown": ["!", "?", "a"]})
    assert ranks(model, known).max() < MISS and not caplog.records
    for exclude_seen in (False, True):
        caplog.clear()
        assert ranks(model, other, exclude_seen=exclude_seen).tolist() == [*ranks(model, known, exclude_seen=exclude_seen).tolist(), MISS, MISS]
        assert "5 of 18 actions are of items the model does not know: 1 targets count as misses, 1 users have no known history" in caplog.text
    share = evaluate(model, known)["HR@20"] * 3 / 5
    assert evaluate(model, other)["HR@20"] == pytest.approx(share)
    caplog.clear()
    assert recommend(model, other, users=[1]) == recommend(model, known, users=[1])
    assert "2 of 6 items in a history are unknown to the model and were dropped" in caplog.text


def test_unknown_items_do_not_take_a_known_ones_place_in_the_window(trained):
    "The model reads its last n known items, not what is known of the last n."
    model, _ = trained
    assert model.n == 4
    assert recommend(model, histories=[["a", "b", "c", "?", "d", "?"]]) == recommend(model, histories=[["a", "b", "c", "d"]])


def test_data_of_strangers_only(trained, caplog):
    model, _ = trained
    assert set(evaluate(model, shop_of({1: ["x", "y", "z"]})).values()) == {0.}
    assert "1 targets count as misses" in caplog.text


# ---- recommend

def test_recommend_by_hand():
    data = shop_of({7: ["a", "b", "c"], 8: ["c", "d", "a"]})
    table = [[0, 3, 1, 2], [1, 1, 1, 1], [4, 3, 2, 1], [0, 0, 0, 0]]
    model = Oracle(table)
    model.prepare(data)
    assert recommend(model, data, users=[7, 8], k=2) == [[("d", 1)], [("b", 3)]]
    assert recommend(model, data, users=[7], k=2, exclude_seen=False) == [[("a", 4), ("b", 3)]]
    assert recommend(model, histories=[["b"], ["a"]], k=3) == [[("a", 1), ("c", 1), ("d", 1)], [("b", 3), ("d", 2), ("c", 1)]]
    assert recommend(model, histories=[["d", "a", "b", "c"]], k=3) == [[]]  # the whole shop seen
    assert len(recommend(model, histories=[["a"]], k=99, exclude_seen=False)[0]) == 4
    assert recommend(model, histories=[]) == []


def test_what_recommend_cannot_answer(trained):
    model, data = trained
    for said, kwargs in {
        "give either users= or histories=": {},
        "k=0 must be a whole number of at least 1": dict(users=["u1"], k=0),
        "user 'nobody' is unknown": dict(users=["nobody"]),
        "no item of the history '\\? !' is known": dict(histories=[["?", "!"]]),
        "no item of the history '' is known": dict(histories=[[]]),
        "a history is a list of ids, not the text 'a b'": dict(histories=["a b"]),
    }.items():
        with pytest.raises(InputError, match=said):
            recommend(model, data, **kwargs)
    with pytest.raises(InputError, match="give the data"):
        recommend(model, users=["u1"])


def test_whole_numbers_from_a_frame(tmp_path, caplog):
    "Ids go out as they came in; a user or an item is also found by its text, as from a command line or a file."
    rows = pd.DataFrame([(u, 100 + (u + k) % 9) for u in range(20) for k in range(6)], columns=["user", "item"])
    data = load(rows, core=0)
    model = SASRec(data.n_items, **SMALL)
    model.prepare(data)
    expected = recommend(model, data, users=[3])
    assert all(isinstance(item, int) for item, _ in expected[0]) and {item for item, _ in expected[0]} <= set(rows.item)
    assert recommend(model, data, users=["3"]) == recommend(model, data, users=[np.int64(3)]) == expected
    history = rows.item[rows.user == 3].tolist()
    assert recommend(model, histories=[history]) == recommend(model, histories=[list(map(str, history))]) == expected
    with pytest.raises(InputError, match="user 99 is unknown"):
        recommend(model, data, users=[99])
    rows.to_csv(tmp_path / "same.csv", index=False)
    same = load(tmp_path / "same.csv", core=0)
    assert same.item_ids[0] == "100" and evaluate(model, same) == evaluate(model, data)
    assert recommend(model, same, users=[3]) == expected
    assert "unknown" not in caplog.text


def test_text_that_looks_like_another_items_number():
    "Where both 1 and '1' are items, each is itself."
    data = shop_of({1: [1, "1", 2, "x"]})
    model = Oracle([[1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    model.prepare(data)
    assert recommend(model, histories=[[1]], k=1) == [[("x", 4)]] and recommend(model, histories=[["1"]], k=1) == [[(1, 4)]]
    assert recommend(model, histories=[["2"]], k=1) == [[(1, 0)]]


def test_the_dictionary_of_ids_is_made_once_a_vocabulary():
    data = shop_of({0: "abcd", 1: "dcba"})
    model = Popularity(data.n_items)
    model.prepare(data)
    first = numbers_of(model)
    assert first == {"a": 1, "b": 2, "c": 3, "d": 4} and numbers_of(model) is first
    model.vocabulary = ["b", "a", "c", "d"]
    assert numbers_of(model)["b"] == 1
    assert recommend(model, histories=[["b"]], k=3, exclude_seen=True)[0][0][0] != "b"


@pytest.mark.parametrize("ask", [lambda m: mclrec.evaluate(m, mclrec.load("toy")), lambda m: mclrec.recommend(m, histories=[["a"]]),
                                 lambda m: mclrec.recommend_all(m, mclrec.load("toy")), lambda m: mclrec.vectors(m), lambda m: mclrec.similar(m, "a"), lambda m: mclrec.save(m, "there")])
@pytest.mark.parametrize("what, said", [("runs/one", "write mclrec.load_run\\('runs/one'\\)"), (None, "not a model"), (mclrec.SASRec, "not a model")])
def test_what_is_no_model_is_said_to_be_none(ask, what, said):
    with pytest.raises(InputError, match=said):
        ask(what)


def test_an_untrained_model_of_another_number_of_items():
    toy = mclrec.load("toy")
    for n in (3, 3000):
        with pytest.raises(InputError, match=f"made for {n}"):
            mclrec.recommend(mclrec.SASRec(n, d=8, heads=1, inner=8, layers=1), toy, users=toy.user_ids[:1])


def test_a_set_is_no_history():
    toy = mclrec.load("toy")
    with pytest.raises(InputError, match="has none"):
        mclrec.recommend(Popularity(toy.n_items), toy, histories=[{"a", "b"}])
