"""The encoder without padding is the encoder with padding: outputs and gradients, whatever the batch."""
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mclrec.augment import without_gaps
from mclrec.encoder import Encoder, Sequences, gather, join, padded, read_table
from mclrec.engine import keep_mask, layout, positions_of, ragged, starts, within

ITEMS = 9
few = settings(max_examples=60)


@st.composite
def batches(draw, gaps=True, longest=12):
    "Up to six sequences of at most `longest` items each, some of them gaps, standing anywhere in order."
    items, lengths, positions = [], [], []
    for _ in range(draw(st.integers(1, 6))):
        sequence = draw(st.lists(st.integers(0 if gaps else 1, ITEMS + 1), min_size=1, max_size=longest).filter(any))
        places = draw(st.sets(st.integers(0, longest - 1), min_size=len(sequence), max_size=len(sequence)))
        items, lengths, positions = items + sequence, [*lengths, len(sequence)], positions + sorted(places)
    positions = torch.tensor(positions) if draw(st.booleans()) else None
    return Sequences(torch.tensor(items), torch.tensor(lengths), positions)


def encoder_of(causal, dtype=torch.float64, seed=0, n=12, **settings):
    "An encoder whose weights are large enough for attention to be far from uniform."
    encoder = Encoder(ITEMS, d=8, n=n, heads=2, causal=causal, seed=seed, **settings).to(dtype).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=.5, generator=encoder.generator)
    return encoder


def somebody_to_see(batch, causal):
    "For each item, whether there is anything but gaps where it looks: (T,) bool. Where there is not, a vector means nothing."
    parts = (batch.items > 0).split(batch.lengths.tolist())
    return torch.cat([p.cumsum(0) > 0 if causal else p.any().expand(len(p)) for p in parts])


def outputs_and_gradients(how, encoder, batch, every):
    encoder.zero_grad()
    out = how(encoder, batch, every)
    read = somebody_to_see(batch, encoder.causal) if every else slice(None)
    out = out[read]
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward()
    return out.detach(), {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in encoder.named_parameters()}


@pytest.mark.parametrize("every", [False, True], ids=["last", "every"])
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@few
@given(batch=batches())
def test_ragged_is_padded(causal, every, batch):
    encoder = encoder_of(causal)
    for got, expected in zip(*(outputs_and_gradients(how, encoder, batch, every) for how in (ragged, padded))):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@few
@given(batch=batches(gaps=False))
def test_a_table_for_each_length_is_enough(batch):
    "One table for each length, without an empty cell, gives what the padded table gives; and its shares of attention sum to 1."
    encoder = encoder_of(True)
    whole = padded(encoder, batch)
    for T in batch.lengths.unique().tolist():
        rows = (batch.lengths == T).nonzero()[:, 0]
        at, shares = starts(batch.lengths)[rows][:, None] + torch.arange(T), []
        h = read_table(encoder, batch.items[at], positions_of(batch)[at], shares)
        torch.testing.assert_close(h[:, -1], whole[rows], rtol=1e-9, atol=1e-9)
        assert len(shares) == len(encoder.blocks)
        torch.testing.assert_close(shares[0].sum(-1), torch.ones(len(rows), encoder.heads, T, dtype=torch.float64))


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@settings(max_examples=25)
@given(batch=batches())
def test_ragged_is_padded_in_single_precision(causal, batch):
    encoder = Encoder(ITEMS, d=8, n=12, causal=causal).eval()
    for every in (False, True):
        (got, _), (expected, _) = (outputs_and_gradients(how, encoder, batch, every) for how in (ragged, padded))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@few
@given(batch=batches())
def test_gaps_may_be_left_out(causal, batch):
    encoder = encoder_of(causal)
    fewer = without_gaps(batch)
    last = torch.cumsum(fewer.lengths, 0) - 1
    assert int((fewer.items == 0).sum()) == int((fewer.items[last] == 0).sum())
    torch.testing.assert_close(encoder(fewer), encoder(batch), rtol=1e-9, atol=1e-9)


@few
@given(batch=batches(gaps=False), data=st.data())
def test_a_sequence_is_read_alone(batch, data):
    "Neither the order of a batch nor who else is in it changes anybody's vector."
    encoder = encoder_of(True)
    whole, at, positions = encoder(batch), starts(batch.lengths), positions_of(batch)
    alone = [Sequences(batch.items[a:a + n], batch.lengths[k:k + 1], positions[a:a + n]) for k, (a, n) in enumerate(zip(at.tolist(), batch.lengths.tolist()))]
    order = data.draw(st.permutations(range(len(alone))))
    torch.testing.assert_close(encoder(join([alone[k] for k in order])), whole[list(order)], rtol=1e-9, atol=1e-9)


@few
@given(batch=batches(), data=st.data())
def test_a_causal_encoder_does_not_look_ahead(batch, data):
    encoder, changed = encoder_of(True), batch.items.clone()
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] = 1 + changed[place] % ITEMS
    run = within(batch.lengths)[1]
    earlier = (run != run[place]) | (torch.arange(len(run)) < place)
    before, after = encoder(batch, every=True), encoder(batch._replace(items=changed), every=True)
    torch.testing.assert_close(after[earlier], before[earlier], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(after[place], before[place])
    if place + 1 < len(run) and run[place + 1] == run[place] and batch.items[place + 1]:
        assert not torch.allclose(after[place + 1], before[place + 1])  # and does look back


def test_positions_matter():
    encoder, items = encoder_of(True), torch.tensor([3, 4])
    near, far = (encoder(Sequences(items, torch.tensor([2]), torch.tensor(p))) for p in ([0, 1], [0, 5]))
    assert not torch.allclose(near, far)


@few
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_cutting_and_joining(lengths):
    lengths = torch.tensor(lengths)
    long = torch.arange(100, 100 + int(lengths.sum()), dtype=torch.int32)
    begin = starts(lengths)
    assert begin.tolist() == [int(lengths[:k].sum()) for k in range(len(lengths))]
    batch = gather(long, begin, begin + lengths)
    assert batch.items.tolist() == long.tolist() and batch.items.dtype == torch.int64
    assert positions_of(batch).tolist() == [k for n in lengths.tolist() for k in range(n)]
    twice = join([batch, batch._replace(positions=positions_of(batch) + 1)])
    assert twice.items.tolist() == long.tolist() * 2
    assert twice.positions.tolist() == positions_of(batch).tolist() + (positions_of(batch) + 1).tolist()


@few
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8), widths=st.sets(st.integers(1, 11)))
def test_every_item_has_its_slot(lengths, widths):
    lengths, widths = torch.tensor(lengths), torch.tensor(sorted({*widths, 12}))
    plan = layout(lengths, widths)
    assert sorted(plan.source[plan.real].tolist()) == list(range(int(lengths.sum())))
    assert sum(rows * width for rows, width in plan.groups) == len(plan.source)
    assert plan.source[plan.last].tolist() == (starts(lengths) + lengths - 1)[plan.order].tolist()
    assert plan.real[plan.last].all()


@pytest.mark.parametrize("p", [.5, .1, .9])
def test_dropout_drops_its_share_and_repeats_with_its_seed(p):
    first, again = (keep_mask((200, 501), p, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (200, 501)
    assert first.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    assert abs((first == 0).double().mean() - p) < .005
    neighbours = ((first[:, 1:] == 0) & (first[:, :-1] == 0)).double().mean()  # independent of each other
    assert abs(neighbours - p * p) < .01


def test_dropout_in_training_only():
    batch = Sequences(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 3]))
    encoder = Encoder(ITEMS, d=8, n=12)
    state = encoder.generator.get_state()
    first, second = encoder(batch), encoder(batch)
    encoder.generator.set_state(state)
    assert torch.equal(encoder(batch), first) and not torch.equal(first, second)
    encoder.eval()
    assert torch.equal(encoder(batch), encoder(batch))
    untouched = encoder.generator.get_state()
    encoder(batch)
    assert torch.equal(encoder.generator.get_state(), untouched)


def test_dropout_keeps_what_it_hides_out_of_the_gradient():
    "Each of the encoder's own backward passes in training, dropout included, against finite differences of what it computed."
    encoder = encoder_of(True, dropout=.5, attention_dropout=.5).train()
    batch, state = Sequences(torch.tensor([1, 2, 3, 4, 5, 1]), torch.tensor([1, 3, 2])), torch.Generator().manual_seed(7).get_state()
    for every in (False, True):
        def total(weights):
            encoder.generator.set_state(state)
            out = torch.func.functional_call(encoder, {"blocks.0.QKV.weight": weights}, (batch, every))
            return (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum()
        assert torch.autograd.gradcheck(total, encoder.blocks[0].QKV.weight.detach().requires_grad_(), atol=1e-5)


def test_seed_decides_the_weights():
    a, b, c = (Encoder(ITEMS, d=8, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["M.weight"], c["M.weight"])
    assert a["M.weight"].shape == (ITEMS + 2, 8)


@pytest.mark.parametrize("before, after", [(None, "64"), ("7", "7")])
def test_kernels_for_shapes_that_are_gone_are_not_kept(before, after):
    "oneDNN's cache of 1024 kernels let a long training run grow by gigabytes; who has chosen a size keeps it."
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    env = {key: value for key, value in os.environ.items() if key != name} | ({name: before} if before else {})
    asked = f"import os, mclrec.encoder; print(os.environ['{name}'])"
    assert subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True).stdout.strip() == after
