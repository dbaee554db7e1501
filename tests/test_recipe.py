"""Our recipe: its graph, its table and its softmax against loops, and the ends of each."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclrec.data import Interactions
from mclrec.encoder import Sequences
from mclrec.models.recipe import Recipe, SmoothedItems, neighbours, seen_before
from mclrec.sampled import next_item_loss


def data_of(histories, n_items=9):
    items = np.array([i for history in histories for i in history], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    return Interactions(items, offsets, [f"i{k}" for k in range(n_items)], [f"u{k}" for k in range(len(histories))])


def dense(whom, share):
    "The graph as a matrix."
    A = torch.zeros(len(whom), len(whom), dtype=torch.float64)
    return A.index_put((torch.arange(len(whom))[:, None].expand(whom.shape), whom.long()), share.double(), accumulate=True)


def graph_by_loop(histories, n_items, top, reach):
    count, A = np.zeros((n_items + 2, n_items + 2)), np.zeros((n_items + 2, n_items + 2))
    for history in histories:
        train = history[:-2] if len(history) > 2 else history
        for a, i in enumerate(train):
            for b, j in enumerate(train):
                if 0 < abs(a - b) <= reach and i != j: count[i, j] += 1
    for i in range(n_items + 2):
        weight = {j: count[i, j] / math.sqrt(count[i].sum() * count[j].sum()) for j in range(n_items + 2) if count[i, j]}
        best = sorted(weight, key=lambda j: (-weight[j], j))[:top]
        for j in best: A[i, j] = weight[j] / sum(weight[j] for j in best)
    return torch.from_numpy(A)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 10), st.integers(1, 4))
def test_the_graph_is_that_of_a_loop(histories, top, reach):
    whom, share = neighbours(data_of(histories), top, reach)
    assert whom.shape == share.shape == (11, top) and not share[[0, 10]].any()
    torch.testing.assert_close(dense(whom, share), graph_by_loop(histories, 9, top, reach), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("histories", [[[1, 2, 3, 8, 9]], [[1, 2, 3, 7, 7]]])
def test_the_last_two_items_of_who_is_ranked_are_not_looked_at(histories):
    assert torch.equal(dense(*neighbours(data_of(histories), 3)), dense(*neighbours(data_of([[1, 2, 3, 4, 5]]), 3)))


def test_the_table_and_its_gradient_with_and_without_a_mask():
    histories = [[1, 2, 3, 4, 1, 5, 6], [2, 4, 6, 8, 9, 1], [3, 3, 5, 7, 2, 2, 8]]
    embedding = torch.nn.Embedding(11, 4).double()
    items = SmoothedItems(embedding, 3)
    whom, share = neighbours(data_of(histories), 3)
    items.connect(whom, share)
    mask = (torch.arange(33).view(11, 3) % 2 * 2).double()
    for dropped, kept in ((None, share), (mask, share * mask)):
        d = torch.randn(11, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        A, table = dense(whom, kept), items.table(dropped)
        torch.testing.assert_close(table, embedding.weight + A @ embedding.weight)
        torch.testing.assert_close(torch.autograd.grad(table, embedding.weight, d)[0], d + A.T @ d)
    asked = torch.tensor([[0, 3], [5, 0]])
    torch.testing.assert_close(items(asked)[1, 0], items.table()[5])


def test_what_has_been_read():
    batch = Sequences(torch.tensor([4, 7, 4, 9]), torch.tensor([3, 1]))
    pairs = lambda whole: sorted(zip(*(x.tolist() for x in seen_before(batch, whole))))
    assert pairs(True) == [(0, 4), (1, 4), (1, 7), (2, 4), (2, 4), (2, 7), (3, 9)]
    assert pairs(False) == [(0, 4), (0, 4), (0, 7), (1, 9)]


@pytest.mark.parametrize("K", [0, 4, 12])
@pytest.mark.parametrize("k", [1, 3])
def test_what_is_no_candidate_against_a_loop(K, k):
    generator = torch.Generator().manual_seed(0)
    h, W = (torch.randn(n, 5, generator=generator, dtype=torch.float64, requires_grad=True) for n in (6, 12))
    few = torch.stack([torch.randperm(12, generator=generator)[:k] for _ in range(6)])
    out = torch.arange(6).repeat_interleave(4), torch.randint(0, 12, (24,), generator=generator)        # now and then an answer too
    drawn = torch.randperm(12, generator=torch.Generator().manual_seed(3))[:K or 12].tolist()
    loss = next_item_loss(h, W, few[:, 0] if k == 1 else few, K, torch.Generator().manual_seed(3), out)
    total, gone = 0, set(zip(*(x.tolist() for x in out)))
    for b in range(6):
        right, s = few[b].tolist(), W @ h[b]
        Z = sum(s[i].exp() for i in right) + sum(s[j].exp() for j in drawn if j not in right and (b, j) not in gone) * 12 / len(drawn)
        worth = [0.5**a / sum(0.5**a for a in range(k)) for a in range(k)]
        total = total + (Z.log() - sum(w * s[i] for w, i in zip(worth, right))) / 6
    torch.testing.assert_close(loss, total)
    for one, other in zip(torch.autograd.grad(loss, (h, W)), torch.autograd.grad(total, (h, W))): torch.testing.assert_close(one, other)


def test_each_part_can_be_taken_out():
    data = data_of([[1, 2, 3, 4, 5, 6, 7], [3, 5, 7, 9, 2, 1]])
    batch = Sequences(torch.tensor([1, 2, 3]), torch.tensor([3]))
    def made(**change):
        model = Recipe(9, d=8, inner=8, **change).eval()
        model.prepare(data)
        return model
    assert torch.allclose(made().encode(batch).norm(dim=1), torch.tensor([1 / 0.07])) and torch.allclose(made().item_vectors().norm(dim=1), torch.ones(9))
    assert torch.equal(made(graph=0, tau=0.0).item_vectors(), made(graph=0).encoder.M.weight[1:10])
    assert torch.equal(made(tau=0.0).item_vectors(), made().encoder.M.table()[1:10])
    losses = {str(change): made(negatives=0, **change).rec(batch, torch.tensor([4])).item()
              for change in ({}, dict(graph=0), dict(tau=0.0), dict(horizon=1), dict(seen_out=False))}
    assert len(set(losses.values())) == 5


def test_a_table_is_held_for_one_step_only():
    data = data_of([[1, 2, 3, 4, 5, 6, 7], [3, 5, 7, 9, 2, 1]])
    model = Recipe(9, d=8, inner=8)
    model.prepare(data)
    model.loss((Sequences(torch.tensor([1, 2, 3]), torch.tensor([3])), torch.tensor([4])))
    assert model.encoder.M.held is None
    with pytest.raises(IndexError): model.loss((Sequences(torch.tensor([1, 99, 3]), torch.tensor([3])), torch.tensor([4])))
    assert model.encoder.M.held is None
