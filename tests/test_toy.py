"""The made-up shop: the same everywhere, with its order in it."""
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from itertools import islice

import pytest

from mclrec.data import held_out, statistics
from mclrec.toy import AISLES, KITCHENS, ROUTINES, aisle_of, kitchen_of, splitmix, toy, toy_rows

FINGERPRINT = "74ef54ccd8235b3e148c785707f989e267419340e87cf0555554823492810d38"


def test_fingerprint():
    rows = "\n".join(f"{u} {i}" for u, i in zip(*toy_rows()))
    assert sha256(rows.encode()).hexdigest() == FINGERPRINT


def test_sizes_and_names():
    data = toy()
    s = statistics(data)
    assert (s["users"], s["items"], s["actions"]) == (1000, 300, 8847)
    assert not any(data.dropped.values())
    assert data.user_ids == [str(u) for u in range(1, 1001)]
    assert sorted(data.item_ids) == sorted(item for aisle in AISLES.values() for item in aisle)
    assert data.lengths.min() == 5 and data.lengths.max() > 50


def test_items_are_one_word_each():
    assert all(i.isascii() and i.isalpha() and i.islower() for i in toy().item_ids)
    assert len(AISLES) == 12 and {len(aisle) for aisle in AISLES.values()} == {25}


def test_aisle_and_kitchen():
    for aisle, items in AISLES.items():
        assert {aisle_of(i) for i in items} == {aisle}
        assert Counter(map(kitchen_of, items)) == dict.fromkeys(KITCHENS, 5)
    assert aisle_of("nonsense") is None and kitchen_of("nonsense") is None
    assert set().union(*ROUTINES.values()) == set(AISLES)


def test_splitmix_is_the_published_generator():
    assert list(islice(splitmix(1234567), 5)) == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_pairs_beat_popularity():
    data = toy()
    popular, follows = Counter(), {}
    for u in range(data.n_users):
        training = data[u][:-2].tolist()
        popular.update(training)
        for a, b in zip(training, training[1:]):
            follows.setdefault(a, Counter())[b] += 1
    top = [i for i, _ in popular.most_common()]
    test = held_out(data)
    by_popularity = by_pairs = 0
    for target, last in zip(data.items[test.end].tolist(), data.items[test.end - 1].tolist()):
        after = [i for i, _ in follows.get(last, Counter()).most_common(10)]
        by_popularity += target in top[:10]
        by_pairs += target in (after + [i for i in top if i not in after])[:10]
    assert .1 <= by_popularity / data.n_users <= .15
    assert by_pairs / data.n_users >= .3


@pytest.mark.parametrize("seed", ["0", "1"])
def test_another_process_makes_the_same(seed):
    code = "from mclrec.toy import toy_rows; import hashlib; print(hashlib.sha256(repr(toy_rows()).encode()).hexdigest())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)})
    assert out.stdout.strip() == sha256(repr(toy_rows()).encode()).hexdigest()
