"""Vectors are what the scores are made of, and the nearest are the nearest."""
import numpy as np
import pytest
import torch

import mclrec
from mclrec.checks import InputError
from mclrec.data import from_rows
from mclrec.registry import model_class
from mclrec.space import nearest, similar, unit, vectors

DATA = from_rows(*zip(*((u, 10 * ((3 * u + k * k) % 19)) for u in range(40) for k in range(7))), core=0)
SMALL = {"sasrec": dict(d=8, n=4, layers=1, inner=8), "mclrec": dict(d=8, n=4, layers=1, inner=8), "bert4rec": dict(d=8, n=4, layers=1, inner=8)}


def made(name):
    model = model_class(name)(DATA.n_items, **SMALL.get(name, {}))
    model.prepare(DATA)
    return model


@pytest.mark.parametrize("name", ["sasrec", "mclrec", "bert4rec", "popularity", "bpr", "fmc", "gru4rec", "caser"])
def test_a_score_is_the_product_of_two_vectors(name):
    model = made(name)
    model.train()
    ids, M = vectors(model)
    histories = [[0, 10, 20, 30, 40, 50], [180], ["10", 20]]      # longer than n; ids of integers, found as text too
    h = vectors(model, histories=histories)
    assert model.training and M.dtype == h.dtype == np.float32 and ids == DATA.item_ids and h.shape == (3, M.shape[1])
    expected = [dict(one) for one in mclrec.recommend(model, histories=histories, k=99, exclude_seen=False)]
    # Two sums of the same d numbers in another order: a few roundings of the largest.
    found = h @ M.T
    assert np.allclose(found, [[one[i] for i in ids] for one in expected], rtol=1e-5, atol=1e-5 * np.abs(found).max())


def test_the_public_names_are_functions_also_when_everything_is_loaded():
    model = made("sasrec")
    assert mclrec.vectors(model)[1].shape == (DATA.n_items, 8) and len(mclrec.similar(model, 10, k=3)) == 3


def test_arrays_are_nobody_elses():
    model = made("sasrec")
    _, M = vectors(model)
    M[:] = 7
    assert not (vectors(model)[1] == 7).any()


def test_histories_in_any_order_and_number():
    model = made("sasrec")
    model.eval()
    histories = [[10 * ((j + k) % 19) for k in range(1 + j % 6)] for j in range(1500)]
    together = vectors(model, histories)
    assert np.allclose(together[[0, 700, 1499]], [vectors(model, [histories[j]])[0] for j in (0, 700, 1499)], atol=1e-6)


def test_what_cannot_be_answered_is_said():
    model = made("sasrec")
    for wrong, said in [(lambda: vectors(mclrec.SASRec(5)), "knows no items"), (lambda: similar(mclrec.SASRec(5), 1), "knows no items"),
                        (lambda: vectors(model, [["x"]]), "no item of the history"), (lambda: vectors(model, [[]]), "no item of the history"),
                        (lambda: vectors(model, 5), "a list of ids"), (lambda: similar(model, "x"), "unknown to the model"), (lambda: similar(model, [1]), "unknown to the model"),
                        (lambda: similar(model, 10, k=0), "k=0"), (lambda: similar(model, 10, k="3"), "k='3'")]:
        with pytest.raises(InputError, match=said):
            wrong()
    with torch.no_grad():
        model.encoder.M.weight[3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        vectors(model)


@pytest.mark.parametrize("budget", [1, 300, 2**25])
@pytest.mark.parametrize("k", [1, 10, 200, 999])
def test_the_nearest_are_the_nearest(k, budget):
    random = np.random.default_rng(k)
    M, Q = random.integers(-3, 4, (200, 5)).astype(np.float32), random.integers(-3, 4, (7, 5)).astype(np.float32)   # exact, with many ties
    rows, scores = nearest(M, Q, k, budget)
    expected = np.argsort(-(Q @ M.T), axis=1, kind="stable")[:, :k]
    assert (rows == expected).all() and (scores == np.take_along_axis(Q @ M.T, expected, 1)).all()


def test_alike_is_the_cosine_and_never_itself():
    model = made("sasrec")
    with torch.no_grad():
        model.encoder.M.weight[2] = model.encoder.M.weight[5]     # two the same: neither may crowd out the other
        model.encoder.M.weight[7] = 0
    ids, M = vectors(model)
    cosine = unit(M) @ unit(M).T
    for j, item in enumerate(ids):
        found = similar(model, item, k=99)
        assert item not in dict(found) and len(found) == len(ids) - 1 and similar(model, str(item), k=4) == found[:4]
        assert np.allclose([c for _, c in found], [cosine[j, ids.index(i)] for i, _ in found], atol=1e-6)
        assert [c for _, c in found] == sorted((c for _, c in found), reverse=True)
    assert similar(model, ids[1], k=1)[0][0] == ids[4] and np.isfinite(cosine).all()
