"""What each augmentation may change, and what it must leave alone."""
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclrec.augment import OPERATORS, RELEASED, augment, choose, crop, draw_operators, insert, mask, ratios_of, reorder, share, shuffled, substitute
from mclrec.augment import uniform, without_gaps
from mclrec.data import from_rows
from mclrec.encoder import Sequences, gather, positions_of, within
from mclrec.meta import MCLRec
from mclrec.models.cl4srec import CL4SRec
from mclrec.models.coserec import CoSeRec
from mclrec.models.lma4rec import LMA4Rec
from mclrec.training import Trainer

few = settings(max_examples=80)
LIKE = torch.arange(1, 61).roll(-1) + 100  # the item most like i is one that no sequence has: 100 + something
sequences = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=12), min_size=1, max_size=6)
seeds = st.integers(0, 999)
shares = st.sampled_from([0., .2, .5, .8, 1.])


def batch_of(rows):
    return Sequences(torch.tensor([i for row in rows for i in row]), torch.tensor([len(row) for row in rows]))


def rows_of(batch):
    return [part.tolist() for part in batch.items.split(batch.lengths.tolist())]


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def counts(data, rows, least=0):
    return torch.tensor([data.draw(st.integers(least, len(row))) for row in rows])


def named(ratios):
    return dict(zip(("crop", "mask", "reorder"), ratios))


@pytest.fixture(autouse=True)
def nothing_touches_its_input(monkeypatch):
    "Every operator under test is wrapped so that it is called on a batch that is compared afterwards."
    for name in ("crop", "mask", "reorder", "substitute", "insert", "augment", "without_gaps"):
        operator = globals()[name]

        def watched(batch, *args, _operator=operator, **kwargs):
            tensors = [t for t in (*batch, *args) if isinstance(t, torch.Tensor)]
            before = [t.clone() for t in tensors]
            view = _operator(batch, *args, **kwargs)
            assert all(torch.equal(a, b) for a, b in zip(before, tensors)), f"{_operator.__name__} changed its input"
            assert int(view.lengths.sum()) == len(view.items) == len(positions_of(view))
            return view
        monkeypatch.setitem(globals(), name, watched)


@few
@given(rows=sequences, data=st.data(), seed=seeds)
def test_crop_keeps_a_stretch(rows, data, seed):
    kept = counts(data, rows)
    view = crop(batch_of(rows), kept, generator_of(seed))
    assert positions_of(view).tolist() == [k for n in view.lengths.tolist() for k in range(n)]
    for row, got, n in zip(rows, rows_of(view), kept.tolist()):
        n = max(n, 1)
        assert len(got) == n and got in [row[k:k + n] for k in range(len(row) - n + 1)]


@few
@given(rows=sequences, data=st.data(), token=st.sampled_from([0, 99]), seed=seeds)
def test_mask_hides_so_many_in_place(rows, data, token, seed):
    count = counts(data, rows)
    view = mask(batch_of(rows), count, token, generator_of(seed))
    for row, got, n in zip(rows, rows_of(view), count.tolist()):
        assert len(got) == len(row) and got.count(token) == n
        assert all(b in (a, token) for a, b in zip(row, got))


@few
@given(rows=sequences, data=st.data(), seed=seeds)
def test_reorder_shuffles_a_stretch(rows, data, seed):
    rows = [[10 * k + i for i in range(len(row))] for k, row in enumerate(rows)]  # all different, so that a move is seen
    count = counts(data, rows)
    view = reorder(batch_of(rows), count, generator_of(seed))
    for row, got, n in zip(rows, rows_of(view), count.tolist()):
        assert sorted(got) == sorted(row)
        moved = [k for k, (a, b) in enumerate(zip(row, got)) if a != b]
        assert not moved or moved[-1] - moved[0] < n


@few
@given(rows=sequences, data=st.data(), seed=seeds)
def test_reorder_keeps_the_multiset(rows, data, seed):
    view = reorder(batch_of(rows), counts(data, rows), generator_of(seed))
    assert [Counter(row) for row in rows_of(view)] == [Counter(row) for row in rows]


@few
@given(rows=sequences, data=st.data(), seed=seeds)
def test_substitute_replaces_so_many_by_their_like(rows, data, seed):
    count = counts(data, rows)
    view = substitute(batch_of(rows), count, LIKE, generator_of(seed))
    for row, got, n in zip(rows, rows_of(view), count.tolist()):
        assert len(got) == len(row) and sum(i > 100 for i in got) == n
        assert all(b in (a, int(LIKE[a])) for a, b in zip(row, got))


@few
@given(rows=sequences, data=st.data(), n=st.sampled_from([12, 24]), seed=seeds)
def test_insert_puts_the_like_before(rows, data, n, seed):
    count = counts(data, rows)
    view = insert(batch_of(rows), count, LIKE, n, generator_of(seed))
    for row, got, added in zip(rows, rows_of(view), count.tolist()):
        assert len(got) == min(len(row) + added, n)
        old = [i for i in got if i < 100]
        assert old == row[len(row) - len(old):]
        assert got[-1] == row[-1] and all(a == int(LIKE[b]) for a, b in zip(got, got[1:]) if a > 100)
        if len(row) + added <= n:
            assert old == row


@few
@given(rows=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=6))
def test_without_gaps_leaves_the_rest_where_it_stood(rows):
    batch = batch_of(rows)
    view = without_gaps(batch)
    places = [p.tolist() for p in view.positions.split(view.lengths.tolist())]
    for row, got, at in zip(rows, rows_of(view), places):
        stays = [k for k, i in enumerate(row) if i or k == len(row) - 1]
        assert at == stays and got == [row[k] for k in stays]


@few
@given(rows=sequences, data=st.data(), token=st.sampled_from([0, 99]), seed=seeds)
def test_a_view_is_what_its_operator_makes(rows, data, token, seed):
    rows = [[10 * k + i + 1 for i in range(len(row))] for k, row in enumerate(rows)]
    operator = torch.tensor([data.draw(st.integers(0, 2)) for _ in rows])
    ratios = data.draw(st.lists(shares, min_size=3, max_size=3))
    view = augment(batch_of(rows), operator, generator_of(seed), named(ratios), token)
    places = [p.tolist() for p in positions_of(view).split(view.lengths.tolist())]
    for row, got, at, o in zip(rows, rows_of(view), places, operator.tolist()):
        n = int(len(row) * ratios[o] + 1e-9)
        if o == 0:
            n = max(n, 1)
            assert len(got) == n and got in [row[k:k + n] for k in range(len(row) - n + 1)] and at == list(range(n))
        elif o == 1 and token:
            assert len(got) == len(row) and got.count(token) == n and all(b in (a, token) for a, b in zip(row, got))
        elif o == 1:
            left = [i for i in got if i]
            assert len(left) == len(row) - n and all(row[k] == i for k, i in zip(at, got) if i)
            assert at[-1] == len(row) - 1 and 0 not in got[:-1]
        else:
            moved = [k for k, (a, b) in enumerate(zip(row, got)) if a != b]
            assert sorted(got) == sorted(row) and (not moved or moved[-1] - moved[0] < n)


def test_shares_are_rounded_down_and_not_by_accident():
    lengths = torch.arange(1, 51)
    for tenths in range(11):
        assert share(lengths, tenths / 10).tolist() == [n * tenths // 10 for n in range(1, 51)]


def test_same_seed_same_view():
    batch = batch_of([[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13]])
    for operator in range(3):
        views = [augment(batch, torch.tensor([operator, operator]), generator_of(seed), RELEASED) for seed in (1, 1, 2, 3, 4)]
        assert rows_of(views[0]) == rows_of(views[1])
        assert len({str(view) for view in views}) > 1


# ---- every outcome is as likely as it should be: 30,000 draws each, six standard deviations

def frequencies(outcomes):
    return {outcome: n / len(outcomes) for outcome, n in Counter(outcomes).items()}


def evenly(outcomes, expected):
    found, p = frequencies(outcomes), 1 / len(expected)
    assert set(found) == set(expected)
    assert all(abs(f - p) < 6 * (p * (1 - p) / len(outcomes))**.5 for f in found.values()), found


def test_draws_are_even():
    many = torch.full((30000,), 4)
    evenly(uniform(many - 1, generator_of(0)).tolist(), range(4))
    evenly([tuple(c.nonzero()[:, 0].tolist()) for c in choose(many, many // 2, generator_of(0)).split(4)],
           [(a, b) for a in range(4) for b in range(a + 1, 4)])
    run = within(torch.full((30000,), 3))[1]
    orders = shuffled(run, generator_of(0)).view(-1, 3) - 3 * torch.arange(30000)[:, None]
    evenly([tuple(o) for o in orders.tolist()], [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


def test_stretches_begin_anywhere():
    batch = batch_of([[1, 2, 3, 4]] * 30000)
    evenly([row[0] for row in rows_of(crop(batch, torch.full((30000,), 2), generator_of(0)))], [1, 2, 3])
    swapped = [next((k for k in range(3) if row[k] != k + 1), None) for row in rows_of(reorder(batch, torch.full((30000,), 2), generator_of(0)))]
    evenly([k for k in swapped if k is not None], [0, 1, 2])
    assert abs(swapped.count(None) / 30000 - .5) < .02


def test_operators():
    pairs = lambda distinct: list(zip(*(o.tolist() for o in draw_operators(30000, 3, distinct, generator_of(0)))))
    evenly(pairs(True), [(a, b) for a in range(3) for b in range(3) if a != b])
    evenly(pairs(False), [(a, b) for a in range(3) for b in range(3)])


# ---- operators are known by name

def augment_by_number(batch, operator, generator, crop_ratio, mask_ratio, reorder_ratio, token):
    "`augment` as it was when operators were numbers: its draws are part of every seed's results, so they must not change."
    L, none = batch.lengths, torch.zeros_like(batch.lengths)
    view = crop(batch, torch.where(operator == 0, share(L, crop_ratio), L), generator)
    view = mask(view, torch.where(operator == 1, share(L, mask_ratio), none), token, generator)
    view = reorder(view, torch.where(operator == 2, share(L, reorder_ratio), none), generator)
    return view if token else without_gaps(view)


def same_view(ours, theirs):
    assert torch.equal(ours.items, theirs.items) and torch.equal(ours.lengths, theirs.lengths)
    assert torch.equal(positions_of(ours), positions_of(theirs))


@few
@given(rows=sequences, data=st.data(), token=st.sampled_from([0, 99]), seed=seeds)
def test_draws_are_those_of_the_numbered_operators(rows, data, token, seed):
    batch, ratios = batch_of(rows), data.draw(st.lists(shares, min_size=3, max_size=3))
    operator = torch.tensor([data.draw(st.integers(0, 4)) for _ in rows])  # 3 and 4 were CoSeRec's own, and left alone
    ours, theirs = generator_of(seed), generator_of(seed)
    same_view(augment(batch, operator, ours, named(ratios), token), augment_by_number(batch, operator, theirs, *ratios, token))
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_draws_of_a_large_batch_are_those_of_the_numbered_operators():
    lengths = torch.randint(1, 51, (500,), generator=generator_of(0))
    batch = Sequences(torch.randint(1, 1000, (int(lengths.sum()),), generator=generator_of(1)), lengths)
    for seed in range(20):
        for operator in draw_operators(500, 3, True, generator_of(seed)):
            same_view(augment(batch, operator, generator_of(seed), RELEASED), augment_by_number(batch, operator, generator_of(seed), .5, .5, .8, 0))


def recent(batch, chosen, ratio, generator, token):
    "A fourth operator, as somebody may write it: keep the last `ratio` of a history."
    kept = torch.where(chosen, share(batch.lengths, ratio).clamp(min=1), batch.lengths)
    end = torch.cumsum(batch.lengths, 0)
    return gather(batch.items, end - kept, end)


def test_a_fourth_operator_is_one_function_and_two_entries(monkeypatch):
    batch = batch_of([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]])
    monkeypatch.setitem(OPERATORS, "recent", recent)                                     # the first entry
    view = augment(batch, torch.tensor([3, 9, 3]), generator_of(0), RELEASED | {"recent": .5})  # the second
    assert rows_of(view) == [[3, 4], [5, 6, 7, 8], [10]]
    assert ratios_of({"recent_ratio": .5, "mask_ratio": .2, "lam": 1}) == {"mask": .2, "recent": .5}


SHOP = from_rows([u for u in range(30) for _ in range(8)], [(u + k * k) % 19 for u in range(30) for k in range(8)], core=0, name="shop")
NAMED = [(MCLRec, "official"), (MCLRec, "paper"), (CL4SRec, "shared"), (CL4SRec, "authors"), (CoSeRec, "shared"), (LMA4Rec, "shared")]


@pytest.mark.parametrize("kind, preset", NAMED, ids=lambda x: getattr(x, "name", x))
def test_a_fourth_operator_does_not_touch_who_names_three(kind, preset, monkeypatch):
    def views():
        trainer = Trainer(kind(SHOP.n_items, preset, d=8, n=8, layers=1, inner=8), SHOP, batch_size=64)
        trainer.model.start_epoch(trainer)
        end = trainer.end[:40]
        batch = gather(trainer.items, trainer.start[:40], end, trainer.users[:40])
        made = trainer.model.shared_inputs(batch, trainer.items[end].long(), torch.arange(40))
        return [t for part in made for t in (part if isinstance(part, tuple) else [part]) if t is not None]
    before = views()
    monkeypatch.setitem(OPERATORS, "recent", recent)
    for a, b in zip(before, views(), strict=True):
        assert torch.equal(a, b)


def test_a_fourth_operator_joins_the_model_that_names_it(monkeypatch):
    monkeypatch.setitem(OPERATORS, "recent", recent)
    monkeypatch.setattr(MCLRec, "DEFAULTS", MCLRec.DEFAULTS | {"recent_ratio": 1.})
    model = MCLRec(SHOP.n_items, crop_ratio=1., mask_ratio=0., reorder_ratio=0., d=8, n=8, layers=1, inner=8)
    histories = gather(torch.from_numpy(SHOP.items), torch.from_numpy(SHOP.offsets[:-1]), torch.from_numpy(SHOP.offsets[1:]))
    whole = model.shared_inputs(histories, histories.lengths).augmented
    assert rows_of(whole) == 2 * rows_of(histories)          # at these ratios no operator changes anything
    model.settings["recent_ratio"] = .5
    halves = model.shared_inputs(histories, histories.lengths).augmented
    assert {len(row) for row in rows_of(halves)} == {4, 8}   # those who drew the fourth, and the others
