"""The views of a run: the three numbers against SciPy and scikit-learn, a recorder that leaves no trace, maps that keep neighbours, a figure that shows them."""
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import entropy
from sklearn.manifold import trustworthiness
from sklearn.metrics.pairwise import paired_distances
from sklearn.preprocessing import normalize

from mclrec.augment import RELEASED, augment
from mclrec.data import InputError, held_out
from mclrec.encoder import Sequences
from mclrec.meta import MCLRec
from mclrec.runs import model_class
from mclrec.toy import toy
from mclrec.resume import training_state
from mclrec.training import Trainer
from mclrec.figures.maps import Film, film, project, views_over_time_figure
from mclrec.views import Snapshot, alignment, augmented_once, ceiling, effective_rank, record, snapshot, some_histories, uniformity, view_numbers

SHOP = toy()
SMALL = dict(d=8, n=6, layers=1, heads=2, inner=8)


def cloud(rows, d, seed, stretch=1.0):
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed)) * stretch


def run(seed=3, **settings):
    return Trainer(MCLRec(SHOP.n_items, seed=seed, **{**SMALL, **settings}), SHOP, seed=seed, batch_size=512)


@given(st.integers(2, 30), st.integers(2, 12), st.integers(0, 1000), st.sampled_from([1e-3, 1.0, 50.0]))
def test_the_numbers_are_those_of_scipy_and_scikit_learn(rows, d, seed, stretch):
    x, y = cloud(rows, d, seed, stretch), cloud(rows, d, seed + 1)
    u, v = (normalize(t.double().numpy()) for t in (x, y))
    assert math.isclose(alignment(x, y), (paired_distances(u, v) ** 2).mean(), rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(uniformity(x), np.log(np.exp(-2 * pdist(u, "sqeuclidean")).mean()), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(uniformity(x, t=0.5), np.log(np.exp(-0.5 * pdist(u, "sqeuclidean")).mean()), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(effective_rank(x), np.exp(entropy(np.linalg.svd(u, compute_uv=False))), rel_tol=1e-9)


@given(st.integers(2, 12), st.integers(0, 1000))
def test_turning_and_stretching_change_no_number(d, seed):
    x, y = cloud(20, d, seed), cloud(20, d, seed + 1)
    turn = torch.linalg.qr(cloud(d, d, seed + 2).double())[0]
    lengths = cloud(20, 1, seed + 3).abs().double() + 0.1
    here, there = view_numbers(x, y), view_numbers(x.double() @ turn * lengths, 7 * y.double() @ turn)
    for name in here:
        assert math.isclose(here[name], there[name], rel_tol=1e-6), name


def test_the_ends_of_each_scale():
    one = cloud(1, 5, 0).expand(9, -1)
    assert alignment(one, one) == 0 and abs(uniformity(one)) < 1e-9 and math.isclose(effective_rank(one), 1, rel_tol=1e-6)
    assert math.isclose(alignment(one, -one), 4) and math.isclose(effective_rank(torch.eye(6)), 6)
    two = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert math.isclose(uniformity(two), -8)
    assert view_numbers(two, -two) == {"alignment": alignment(two, -two), "uniformity": uniformity(torch.cat([two, -two])), "effective rank": effective_rank(torch.cat([two, -two]))}


@pytest.mark.parametrize("d, share", [(4, False), (8, False), (8, True), (32, False)])
@pytest.mark.parametrize("preset", ["official", "paper"])
def test_nothing_goes_beyond_the_ceiling(d, share, preset):
    "Singular values beyond it are rounding errors: double precision keeps them below 1e-9 of the largest."
    model = MCLRec(SHOP.n_items, preset, d=d, layers=1, inner=8, share=share).double()
    h = cloud(200, d, 5).double()
    with torch.no_grad():
        one, two = model.w1(h), model.w2(h)
    for views, augmenters in ((one, 1), (torch.cat([one, two]), 1 if share else 2)):
        s = torch.linalg.svdvals(views)
        assert (s > 1e-9 * s[0]).sum() <= ceiling(d, augmenters) and effective_rank(views) <= ceiling(d, augmenters) + 1e-6
    assert ceiling(d, 0) == d and ceiling(d) <= d


def test_a_snapshot_is_one_tensor_too():
    taken = snapshot(MCLRec(SHOP.n_items, **SMALL), augmented_once(MCLRec(SHOP.n_items, **SMALL), some_histories(SHOP, 6, 20)))
    assert taken.stacked().shape == (4, 20, 8) and torch.equal(taken.stacked()[3], taken.z2)


@pytest.mark.parametrize("call, said", [
    (lambda: alignment(cloud(3, 4, 0), cloud(2, 4, 0)), "one shape"),
    (lambda: alignment(torch.ones(3), torch.ones(3)), "matrices"),
    (lambda: uniformity(cloud(1, 4, 0)), "at least two"),
    (lambda: uniformity(torch.empty(0, 4)), "matrices"),
    (lambda: effective_rank(torch.zeros(3, 4)), "no direction"),
    (lambda: effective_rank(torch.tensor([[1.0, math.nan]])), "finite"),
    (lambda: project([]), "no snapshot"),
    (lambda: project([Snapshot(0, *(cloud(5, 4, k) for k in range(4)))], perplexity=20), "perplexity=20"),
    (lambda: project([Snapshot(0, *(cloud(5, 4, k) for k in range(4)))], perplexity=5, iterations=3), "iterations=3"),
    (lambda: list(record(run(), some_histories(SHOP, 6), at=[])), "at="),
    (lambda: list(record(run(), some_histories(SHOP, 6), at=[1, -1])), "at="),
    (lambda: list(record(run(), some_histories(SHOP, 6), at=[1.5])), "at="),
    (lambda: augmented_once(model_class("sasrec")(SHOP.n_items), some_histories(SHOP, 6)), "no augmenters"),
])
def test_what_cannot_be_is_said(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_histories_are_those_before_the_test_item():
    batch = some_histories(SHOP, 6, count=25, seed=5)
    known = {tuple(SHOP.items[SHOP.offsets[u]:SHOP.offsets[u + 1] - 1][-6:].tolist()) for u in held_out(SHOP, "test").users}
    drawn = [tuple(part.tolist()) for part in batch.items.split(batch.lengths.tolist())]
    assert len(drawn) == 25 and set(drawn) <= known
    again, other = some_histories(SHOP, 6, 25, 5), some_histories(SHOP, 6, 25, 6)
    assert torch.equal(again.items, batch.items) and not torch.equal(other.lengths, batch.lengths)
    assert len(some_histories(SHOP, 6, count=10**6).lengths) == len(held_out(SHOP, "test").users)


@pytest.mark.parametrize("settings", [{}, dict(joint=True), dict(preset="paper"), dict(share=True)])
def test_looking_leaves_no_trace(settings):
    watched, alone, batch = run(**settings), run(**settings), some_histories(SHOP, 6, 20)
    epoch = math.ceil(len(alone.end) / alone.batch_size)
    at = [0, 2, epoch, epoch + 1]
    seen = list(record(watched, batch, at))
    for _ in alone.batches():
        pass
    for _ in itertools.islice(alone.batches(), 1):
        pass
    assert [s.batches for s in seen] == at and watched.epoch == 1 and watched.model.training
    for name, tensor in training_state(alone).items():
        assert torch.equal(tensor, training_state(watched)[name]), name


def test_a_snapshot_is_what_the_model_makes_of_the_same_views():
    trainer, batch = run(dropout=0.5), some_histories(SHOP, 6, 20)
    *_, last = record(trainer, batch, at=[0, 3], seed=8)
    model, views = trainer.model.eval(), augmented_once(trainer.model, batch, seed=8)
    h1, h2 = model.encode(views).chunk(2)
    for got, want in zip(last[1:], (h1, h2, model.w1(h1), model.w2(h2))):
        torch.testing.assert_close(got, want.detach(), rtol=0, atol=0)
        assert not got.requires_grad and got.shape == (20, 8)
    other = augmented_once(model, batch, seed=9)
    assert not torch.equal(views.lengths, other.lengths) or not torch.equal(views.items, other.items)


def test_the_augmentation_is_that_of_training():
    "Every view can be had from its history by crop, mask or reorder."
    model, batch = MCLRec(SHOP.n_items, **SMALL), some_histories(SHOP, 6, 40)
    views = augmented_once(model, batch)
    rows = [part.tolist() for part in batch.items.split(batch.lengths.tolist())] * 2
    for row, view in zip(rows, views.items.split(views.lengths.tolist())):
        view = view.tolist()
        assert set(view) <= {*row, 0} and len(view) <= len(row)
    assert sum(len(v) < len(r) for r, v in zip(rows, views.items.split(views.lengths.tolist()))) > 10
    masked = augment(Sequences(batch.items, batch.lengths), torch.ones(40).long(), torch.Generator().manual_seed(0), RELEASED, token=SHOP.n_items + 1)
    paper = augmented_once(MCLRec(SHOP.n_items, preset="paper", **SMALL), batch)
    assert (masked.items == SHOP.n_items + 1).any() and (paper.items == SHOP.n_items + 1).any() and not (views.items == SHOP.n_items + 1).any()


def made(moments=3, people=20, d=8):
    "Snapshots in which each person has a place, partners are near each other, and only the last moment is elsewhere."
    places = cloud(people, d, 1)
    same = [places + 0.05 * cloud(people, d, k) for k in (2, 3, 4, 5)]
    return [Snapshot(k, *(same if k < moments - 1 else [cloud(people, d, 10 + j) for j in range(4)])) for k in range(moments)]


def test_a_map_keeps_neighbours_and_moments_comparable():
    snapshots = made()
    maps = project(snapshots, perplexity=10, seed=1)
    assert maps.shape == (3, 4, 20, 2) and np.isfinite(maps).all()
    vectors = normalize(torch.cat([v for s in snapshots for v in s[1:]]).numpy())
    assert trustworthiness(vectors, maps.reshape(-1, 2), n_neighbors=5) > 0.9
    size = np.linalg.norm(maps.reshape(-1, 2) - maps.reshape(-1, 2).mean(0), axis=1).mean()
    stayed, moved = (np.linalg.norm(maps[k] - maps[0], axis=-1).mean() for k in (1, 2))
    assert stayed < size / 5 < moved, "what did not change must stay where it is"
    assert np.array_equal(maps, project(snapshots, perplexity=10, seed=1))


def test_a_map_of_one_point_is_one_point():
    one = cloud(1, 4, 0).expand(6, -1)
    assert not project([Snapshot(0, one, one, one, one)], perplexity=5).any()


def shown():
    return {name: film(made(people=n), perplexity=10) for name, n in (("left one", 20), ("right one", 9))}


def test_the_figure_shows_the_map_and_the_numbers():
    films = shown()
    assert isinstance(films["left one"], Film) and films["left one"].batches == [0, 1, 2]
    figure = views_over_time_figure(films, 2, "left one", "right one", "z")
    left = [t for t in figure.data if t.xaxis == "x"]
    points = {(x, y) for t in left for x, y in zip(t.x, t.y) if x is not None}
    assert points == {tuple(p) for p in films["left one"].maps[2, 2:].reshape(-1, 2).round(2).tolist()}
    one, two = films["left one"].maps[2, 2, 0].round(2), films["left one"].maps[2, 3, 0].round(2)
    assert (left[1].x[:2], left[1].y[:2]) == ((one[0], two[0]), (one[1], two[1])) and left[1].x[2] is None
    numbers = films["left one"].numbers["z"][2]
    assert f"alignment {numbers['alignment']:.2f}" in figure.layout.annotations[0].text and "left one" in figure.layout.annotations[0].text


def test_choosing_views_hides_points_and_moves_none():
    films = shown()
    z, h, both = (views_over_time_figure(films, 1, "left one", "right one", views) for views in ("z", "h", "both"))
    places = [{(t.xaxis, t.x, t.y) for t in figure.data} for figure in (z, h, both)]
    assert places[0] | places[1] == places[2] and not places[0] & places[1]
    assert z.layout.xaxis.range == h.layout.xaxis.range == both.layout.xaxis.range
    close = views_over_time_figure(films, 1, "left one", "right one", "z", "this moment")
    assert [t.x for t in close.data] == [t.x for t in z.data] and np.ptp(close.layout.xaxis.range) < np.ptp(z.layout.xaxis.range)
    assert len(both.to_json()) < 40_000


def test_people_fewer_than_colours_are_all_coloured():
    figure = views_over_time_figure(shown(), 0, "left one", "right one", "z", colored=12)
    coloured = [t for t in figure.data if t.xaxis == "x2" and len(t.x) == 3]
    assert len(coloured) == 9 and len({t.marker.color for t in coloured}) == 6
