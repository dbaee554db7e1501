"""Sequences, k-core, split: the fast ways against the obvious ones."""
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mclrec.data import InputError, Interactions, first_appearance, from_rows, held_out, k_core, prefixes, statistics
from mclrec.loading import load

few = settings(max_examples=60)
actions = st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("stuvwxyz")), min_size=1, max_size=60)
cores = st.integers(0, 4)


def naive_core(rows, k):
    "Remove whoever has fewer than `k` actions, one after the other, until nobody has."
    rows = list(rows)
    while True:
        users, items = Counter(u for u, _ in rows), Counter(i for _, i in rows)
        poor = next((row for row in rows if users[row[0]] < k or items[row[1]] < k), None)
        if poor is None:
            return rows
        rows = [r for r in rows if not (r[0] == poor[0] and users[poor[0]] < k or r[1] == poor[1] and items[poor[1]] < k)]


def histories(data):
    return {data.user_ids[u]: [data.item_ids[i - 1] for i in data[u]] for u in range(data.n_users)}


@few
@given(actions, cores)
def test_k_core_is_the_naive_one(rows, k):
    u, i = (first_appearance(column)[0] for column in zip(*rows))
    assert [row for row, stays in zip(rows, k_core(u, i, k)) if stays] == naive_core(rows, k)


def test_k_core_takes_as_many_rounds_as_it_needs():
    chain = [(n, n + d) for n in range(50) for d in (0, 1)]  # each user holds on to the next; the ends come loose first
    assert not k_core(*zip(*chain), 2).any()
    circle = [(n, (n + d) % 50) for n in range(50) for d in (0, 1)]
    assert k_core(*zip(*circle), 2).all()


@few
@given(actions, cores)
def test_numbering_is_by_first_appearance_after_the_core(rows, k):
    """As the released code does it (RecBole): filter first, then factorize in the order of the file."""
    left = naive_core(rows, k)
    if not left:
        with pytest.raises(InputError, match=f"nothing is left .* by the {k}-core"):
            from_rows(*zip(*rows), core=k)
        return
    data = from_rows(*zip(*rows), core=k)
    assert data.user_ids == list(dict.fromkeys(u for u, _ in left))
    assert data.item_ids == list(dict.fromkeys(i for _, i in left))
    for user, history in histories(data).items():
        assert history == [i for u, i in left if u == user]
    assert data.dropped["actions"] == len(rows) - len(left)
    assert data.items.dtype == np.int32 and data.offsets[0] == 0 and data.offsets[-1] == len(data.items)


@few
@given(actions, st.randoms(use_true_random=False))
def test_times_order_and_file_numbers(rows, random):
    times = [random.randrange(5) for _ in rows]
    data = from_rows(*zip(*rows), times=times, core=0)
    assert data.item_ids == list(dict.fromkeys(i for _, i in rows))
    for user, history in histories(data).items():
        mine = [(t, i) for t, (u, i) in zip(times, rows) if u == user]
        assert history == [i for _, i in sorted(mine, key=lambda pair: pair[0])]  # a stable sort: ties keep the file's order


@few
@given(actions, st.integers(1, 6))
def test_examples_against_brute_force(rows, n):
    data = from_rows(*zip(*rows), core=0)
    places, expected = prefixes(data, n), []
    for u in range(data.n_users):
        S = data[u].tolist()
        seen = S[:-2] if len(S) >= 3 else S
        expected += [(u, seen[:t][-n:], seen[t]) for t in range(1, len(seen))]
    assert [(u, data.items[s:e].tolist(), data.items[e]) for u, s, e in zip(*places)] == expected
    ranked = [u for u in range(data.n_users) if len(data[u]) >= 3]
    for split, back in (("test", 1), ("valid", 2)):
        if not ranked:
            with pytest.raises(InputError, match="no user has three items"):
                held_out(data, split, n)
            continue
        expected = [(u, data[u][:-back][-n:].tolist(), data[u][-back]) for u in ranked]
        assert [(u, data.items[s:e].tolist(), data.items[e]) for u, s, e in zip(*held_out(data, split, n))] == expected


def test_histories_are_views():
    data = load("toy")
    assert data[3].base is data.items


def test_users_are_found_by_id_and_by_its_text():
    data = from_rows([7, 7, "7", 8], ["x", "y", "x", "x"], core=0)
    assert [data.user_number(u) for u in (7, "7", 8, "8", np.int64(8))] == [0, 1, 2, 2, 2]
    for unknown in ("9", 9, None, ["7"]):
        with pytest.raises(InputError, match="is unknown: it is none of the 3 users of data, whose ids look like 7"):
            data.user_number(unknown)


def test_bad_arguments():
    with pytest.raises(InputError, match="must be of one length"):
        from_rows(["a", "b"], ["x"])
    with pytest.raises(InputError, match="no interactions in it"):
        from_rows([], [])
    with pytest.raises(InputError, match="choose 'test' or 'valid'"):
        held_out(load("toy"), "train")
    with pytest.raises(InputError, match="nobody can be ranked"):
        held_out(from_rows(["a", "b"], ["x", "x"], core=0))


def test_statistics_of_a_full_table():
    data = Interactions(np.array([1, 2, 1, 2], dtype=np.int32), np.array([0, 2, 4]), ["x", "y"], ["a", "b"])
    assert statistics(data) == {"users": 2, "items": 2, "actions": 4, "average_length": 2, "sparsity": 0}


@pytest.mark.parametrize("name, users, items, actions, length, sparsity, longest, examples", [
    ("beauty", 22363, 12101, 198502, 8.88, .9993, 204, 131413), ("sports", 35598, 18357, 296337, 8.32, .9995, 296, 189543),
    ("yelp", 30431, 20033, 316354, 10.40, .9995, 350, 225061), ("toys", 19412, 11924, 167597, 8.63, .9993, None, None)])
def test_table_2(request, name, users, items, actions, length, sparsity, longest, examples):
    data = load(request.getfixturevalue(f"{name}_path"))
    s = statistics(data)
    assert (s["users"], s["items"], s["actions"]) == (users, items, actions)
    assert round(s["average_length"], 2) == length and round(s["sparsity"], 4) == sparsity
    assert not any(data.dropped.values())
    assert data.item_ids == [str(i) for i in range(1, items + 1)]  # the file is numbered by first appearance, and so are we
    if longest:
        assert (data.lengths.max(), len(prefixes(data).end)) == (longest, examples)
