"""A model as a file for onnxruntime: the same vectors, the same lists, and one sentence for what cannot be."""
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import mclrec
from mclrec.checks import InputError
from mclrec.cli import main
from mclrec.data import from_rows
from mclrec.export import Exported, best, to_onnx
from mclrec.registry import MODELS, model_class

DATA = from_rows(*zip(*((u, 10 * ((3 * u + k * k) % 23)) for u in range(60) for k in range(9))), core=0)
SMALL = dict(d=8, n=6, layers=1, inner=8)
HISTORIES = [[10 * ((u + k) % 23) for k in range(1 + u % 9)] for u in range(300)]        # also longer than n, and more than one piece


def made(name, **settings):
    model = model_class(name)(DATA.n_items, **{**SMALL, **settings})
    model.prepare(DATA)
    for p in model.parameters():                                # as far apart as trained ones
        torch.nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(len(p)))
    model.eval()
    return model


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    model, file = made("mclrec"), tmp_path_factory.mktemp("onnx") / "model.onnx"
    model.train()
    to_onnx(model, file)
    assert model.training, "left as it was"
    model.eval()
    return model, Exported(file), file


def test_the_vectors_agree_to_the_fifth_digit(both):
    model, exported, _ = both
    ours = mclrec.vectors(model, HISTORIES)
    assert np.abs(ours - exported.vectors(HISTORIES)).max() < 1e-5 * max(1, np.abs(ours).max())
    assert exported.vectors()[0] == DATA.item_ids and (exported.vectors()[1] == mclrec.vectors(model)[1]).all()
    assert exported.vectors([]).shape == (0, 8)


@pytest.mark.parametrize("k", [1, 10, 99])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_the_lists_are_the_same(both, k, exclude_seen):
    model, exported, _ = both
    ours, theirs = mclrec.recommend(model, histories=HISTORIES, k=k, exclude_seen=exclude_seen), exported.recommend(HISTORIES, k, exclude_seen)
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose([s for _, s in a], [s for _, s in b], atol=1e-4)
        # Where a score and the next are further apart than their last digits, the items stand in the same places.
        scores = np.array([np.inf, *(s for _, s in a), -np.inf])
        clear = (scores[:-2] - scores[1:-1] > 2e-4) & ((scores[1:-1] - scores[2:] > 2e-4) | (np.arange(len(a)) == len(a) - 1) & (len(a) < k))
        assert [i for (i, _), sure in zip(a, clear) if sure] == [i for (i, _), sure in zip(b, clear) if sure]
    assert sum([i for i, _ in a] == [i for i, _ in b] for a, b in zip(ours, theirs)) > 0.95 * len(ours)


def test_alike_is_the_same(both):
    model, exported, _ = both
    for item in (0, 50, "220"):
        ours, theirs = mclrec.similar(model, item, 99), exported.similar(item, 99)
        assert np.allclose([c for _, c in ours], [c for _, c in theirs], atol=1e-5) and len(ours) == 22


def test_unknown_items_are_dropped_and_counted_as_by_the_model(both, caplog):
    model, exported, _ = both
    with caplog.at_level("WARNING", "mclrec"):
        ours, theirs = (asked([[10, "nobody's", 20]], k=5) for asked in (lambda h, k: mclrec.recommend(model, histories=h, k=k), exported.recommend))
    assert [i for i, _ in ours[0]] == [i for i, _ in theirs[0]]
    assert [r.getMessage() for r in caplog.records] == 2 * ["1 of 3 items in a history are unknown to the model and were dropped."]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_is_exported_or_says_why_not(name, tmp_path):
    kind = model_class(name)
    model = made(name) if "heads" in kind.DEFAULTS else kind(DATA.n_items)
    if model.vocabulary is None:
        model.prepare(DATA)
    from mclrec.model import EncoderRecommender
    if kind.encode is EncoderRecommender.encode and name != "sasrec":     # which takes seconds
        return
    if kind.encode is EncoderRecommender.encode:
        to_onnx(model, tmp_path / "m.onnx")
        assert np.allclose(Exported(tmp_path / "m.onnx").vectors(HISTORIES[:9]), mclrec.vectors(model, HISTORIES[:9]), atol=1e-5)
    else:
        with pytest.raises(InputError, match="not exported"):
            to_onnx(model, tmp_path / "m.onnx")
        assert not list(tmp_path.iterdir())


def test_what_cannot_be_answered_is_said(both, tmp_path):
    model, exported, file = both
    (tmp_path / "broken.onnx").write_bytes(file.read_bytes()[:-5000])
    (tmp_path / "none.onnx").write_bytes(b"")
    for wrong, said in [(lambda: to_onnx(model, tmp_path / "m.pt"), "its ending"), (lambda: to_onnx(model, file / "below.onnx"), "cannot be written"),
                        (lambda: to_onnx(mclrec.SASRec(5), tmp_path / "m.onnx"), "knows no items"), (lambda: Exported(tmp_path / "nothing.onnx"), "no such file"),
                        (lambda: Exported(tmp_path / "broken.onnx"), "no model that mclrec"), (lambda: Exported(tmp_path / "none.onnx"), "no model that mclrec"),
                        (lambda: exported.recommend([["x"]]), "no item of"), (lambda: exported.recommend([[]]), "no item of"), (lambda: exported.recommend([[[1]]]), "not of lists|no item"),
                        (lambda: exported.recommend([[10]], k=0), "k=0"), (lambda: exported.similar("x"), "the item 'x' is unknown"), (lambda: exported.similar([1]), "is unknown"),
                        (lambda: exported.recommend([{10, 20}]), "in order")]:
        with pytest.raises(InputError, match=said):
            wrong()


def test_the_command_writes_it_and_nobody_needs_torch_to_ask(both, tmp_path, capfd):
    model, _, _ = both
    mclrec.save(model, tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "m.onnx")]) == 0
    said = capfd.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "compared" in said.err
    code = ("import json, sys; from mclrec.export import Exported\n"
            f"print(json.dumps(Exported({str(tmp_path / 'm.onnx')!r}).recommend([[10, 20]], k=3))); assert 'torch' not in sys.modules")
    printed = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert [i for i, _ in printed[0]] == [i for i, _ in mclrec.recommend(model, histories=[[10, 20]], k=3)[0]]
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "m.txt")]) == 2
    assert main(["export", str(tmp_path / "nowhere"), "--onnx", str(tmp_path / "m.onnx")]) == 2


def test_the_largest_by_place():
    random = np.random.default_rng(0)
    for k in (1, 3, 50):
        scores = random.integers(0, 5, 20).astype(np.float32)
        scores[3] = -np.inf
        expected = [i for i in np.argsort(-scores, kind="stable") if scores[i] > -np.inf][:k]
        assert best(scores, k).tolist() == expected
