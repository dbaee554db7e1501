"""Ranks, metrics and the cross-entropy, against loops, scikit-learn and PyTorch."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score

from mclrec.ranking import MISS, cross_entropy, metrics, rank, top_k

few = settings(max_examples=80)


@st.composite
def cases(draw):
    "Scores with many ties, a target a row, and (row, column) pairs that were seen."
    B, N = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    values = st.sampled_from([-2., -1., 0., .5, 3.])
    scores = draw(st.lists(st.lists(values, min_size=N, max_size=N), min_size=B, max_size=B))
    target = draw(st.lists(st.integers(0, N - 1), min_size=B, max_size=B))
    seen = draw(st.lists(st.tuples(st.integers(0, B - 1), st.integers(0, N - 1)), max_size=12))
    return scores, target, seen


def naive_rank(scores, target, seen):
    "The place of `target` in a list where whoever scores the same stands before it."
    if target in seen:
        return MISS
    others = [s for i, s in enumerate(scores) if i != target and i not in seen]
    return 1 + sum(s >= scores[target] for s in others)


@few
@given(cases())
def test_rank_is_counted_by_hand(case):
    scores, target, seen = case
    rows = [[i for row, i in seen if row == k] for k in range(len(scores))]
    assert rank(torch.tensor(scores), torch.tensor(target)).tolist() == [naive_rank(s, t, []) for s, t in zip(scores, target)]
    pairs = tuple(torch.tensor(column, dtype=torch.long) for column in (zip(*seen) if seen else ([], [])))
    assert rank(torch.tensor(scores), torch.tensor(target), pairs).tolist() == [naive_rank(*row) for row in zip(scores, target, rows)]


def test_known_ranks():
    scores = torch.tensor([[.1, .9, .5, .5], [.1, .9, .5, .5], [.1, .9, .5, .5], [0., 0., 0., 0.]])
    assert rank(scores.clone(), torch.tensor([1, 2, 0, 3])).tolist() == [1, 3, 4, 4]
    seen = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 1, 3, 1])
    assert rank(scores.clone(), torch.tensor([1, 2, 0, 3]), seen).tolist() == [MISS, 1, 3, 4]


def naive_metrics(ranks, ks):
    "The definitions, one person at a time: a list of k places with a 1 where the right answer stands."
    total = {}
    for k in ks:
        lists = [[int(place == r) for place in range(1, k + 1)] for r in ranks]
        total[f"HR@{k}"] = sum(map(sum, lists)) / len(ranks)
        total[f"NDCG@{k}"] = sum(hit / math.log2(1 + place) for li in lists for place, hit in enumerate(li, 1)) / len(ranks)
        total[f"MRR@{k}"] = sum(hit / place for li in lists for place, hit in enumerate(li, 1)) / len(ranks)
    return total


@few
@given(st.lists(st.one_of(st.integers(1, 25), st.just(MISS)), min_size=1, max_size=12))
def test_metrics_by_definition(ranks):
    got = metrics(torch.tensor(ranks))
    assert list(got) == [f"{m}@{k}" for m in ("HR", "NDCG", "MRR") for k in (5, 10, 20)]
    assert got == pytest.approx(naive_metrics(ranks, (5, 10, 20)), abs=1e-12)


def test_known_metrics():
    got = metrics(torch.tensor([1, 3, 5, 6, 20, 21, MISS, MISS]))
    assert [got[f"HR@{k}"] for k in (5, 10, 20)] == [3 / 8, 4 / 8, 5 / 8]
    assert got["NDCG@5"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(6)) / 8)
    assert got["MRR@10"] == pytest.approx((1 + 1 / 3 + 1 / 5 + 1 / 6) / 8)
    assert set(metrics(torch.tensor([MISS])).values()) == {0.}


def test_scikit_learn_agrees():
    generator = torch.Generator().manual_seed(0)
    scores = torch.stack([torch.randperm(40, generator=generator) for _ in range(300)]).double()
    target = torch.randint(40, (300,), generator=generator)
    relevant = torch.nn.functional.one_hot(target, 40)
    got = metrics(rank(scores.clone(), target))
    for k in (5, 10, 20):
        assert got[f"HR@{k}"] == pytest.approx(top_k_accuracy_score(target, scores, k=k, labels=range(40)))
        assert got[f"NDCG@{k}"] == pytest.approx(ndcg_score(relevant, scores, k=k))


@few
@given(cases(), st.integers(1, 12))
def test_the_list_is_sorted_and_stable(case, k):
    scores = case[0]
    value, column = top_k(torch.tensor(scores), k)
    for row, values, columns in zip(scores, value.tolist(), column.tolist()):
        assert columns == sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
        assert values == [row[i] for i in columns]


@few
@given(B=st.integers(1, 6), C=st.integers(1, 9), seed=st.integers(0, 99), budget=st.integers(1, 60))
def test_cross_entropy_is_pytorchs_however_it_is_cut(B, C, seed, budget):
    generator = torch.Generator().manual_seed(seed)
    h, W = (3 * torch.randn(rows, 4, dtype=torch.float64, generator=generator) for rows in (B, C))
    g = torch.randint(C, (B,), generator=generator)
    results = []
    for how in (lambda h, W: cross_entropy(h, W, g, budget), lambda h, W: torch.nn.functional.cross_entropy(h @ W.T, g)):
        a, b = h.clone().requires_grad_(), W.clone().requires_grad_()
        loss = how(a, b)
        (2 * loss).backward()
        results.append((loss.detach(), a.grad, b.grad))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_cross_entropy_of_scores_beyond_what_exp_can_hold():
    h, W = torch.tensor([[100.], [-100.]]), torch.tensor([[10.], [-10.], [9.]])
    for budget in (1, 100):
        assert cross_entropy(h, W, torch.tensor([0, 0]), budget).item() == pytest.approx(1000)


def test_cross_entropy_may_be_asked_for_its_gradient_again():
    h, W, g = torch.randn(3, 4, requires_grad=True), torch.randn(9, 4), torch.tensor([0, 8, 2])
    loss = 3 * cross_entropy(h, W, g)
    first, = torch.autograd.grad(loss, h, retain_graph=True)
    assert torch.equal(torch.autograd.grad(loss, h)[0], first)


@pytest.mark.parametrize("budget", [2**25, 3 * 1000])
def test_cross_entropy_of_several_chunks(budget):
    "The largest score comes in the last chunk, so that everything before has to fade."
    generator = torch.Generator().manual_seed(0)
    h, W = torch.randn(3, 4, dtype=torch.float64, generator=generator), torch.randn(5000, 4, dtype=torch.float64, generator=generator)
    W, g = (W * torch.linspace(1, 9, 5000, dtype=torch.float64)[:, None]).requires_grad_(), torch.tensor([0, 4999, 2500])
    ours, theirs = cross_entropy(h, W, g, budget), torch.nn.functional.cross_entropy(h @ W.T, g)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(loss, W)[0] for loss in (ours, theirs)), rtol=1e-12, atol=1e-12)
