"""Kinds and ranges of what a caller gives: which values are taken, as what, and what is said of the others."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclrec.checks import InputError, OneOf, Range, check_arguments, check_number, check_seed, check_settings, plain
from mclrec.model import EncoderRecommender, Popularity
from mclrec.models.sasrec import SASRec

numbers = st.integers(-3, 3)


@given(numbers, numbers, st.booleans(), st.booleans(), st.floats(-4, 4))
def test_a_range_is_what_its_words_say(low, high, open_low, open_high, value):
    limits = Range(low, high, open_low, open_high)
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    assert (value in limits) == (above and below)
    assert (value in Range(low, None, open_low)) == above and (value in Range(None, high, open_high=open_high)) == below
    words = str(limits)
    assert ("above" in words) == open_low and ("below" in words) == open_high
    assert all(wild not in limits for wild in (math.nan, math.inf, -math.inf)) and math.nan not in Range()


@pytest.mark.parametrize("value, kind, expected", [
    (np.int8(5), int, 5), (np.uint64(5), int, 5), (np.float32(.5), float, .5), (3, float, 3.), (np.int64(3), float, 3.),
    (np.bool_(False), bool, False), (np.str_("a"), str, "a")])
def test_numpys_values_become_plain_ones(value, kind, expected):
    assert plain(value, kind) == expected and type(plain(value, kind)) is kind


@pytest.mark.parametrize("value, kind", [
    (True, int), (np.bool_(True), int), (True, float), (1.0, int), (np.float64(1), int), ("1", int), (None, float), (1, bool), (b"a", str), ([1], int)])
def test_what_is_of_another_kind(value, kind):
    with pytest.raises(TypeError):
        plain(value, kind)
    if kind in (int, float):
        with pytest.raises(InputError, match="^what=.* must be a .*number"):
            check_number("what", value, kind)


def test_settings_arguments_and_seeds_are_plain_numbers():
    model = SASRec(np.int64(9), seed=np.uint32(4), d=np.int16(8), heads=np.int64(2), dropout=np.float32(0.25), every_position=np.bool_(True))
    kinds = {type(v) for v in (model.n_items, model.seed, *model.settings.values())}
    assert kinds == {int, float, bool, str} and model.settings["dropout"] == 0.25 and model.settings["every_position"] is True


@pytest.mark.parametrize("wrong, said", [
    (dict(dropout=2), "dropout=2.0 must be at least 0 and below 1."), (dict(dropout=1), "dropout=1.0 must be at least 0 and below 1."),
    (dict(heads=0), "heads=0 must be at least 1."), (dict(layers=1001), "layers=1001 must be from 1 to 1000."), (dict(dropout=math.nan), "dropout=nan must be at least 0 and below 1."),
    (dict(d=10**30), f"d={10**30} is too large; 100000 is the most."), (dict(n=True), "n=True must be of the kind int, as in n=50."),
    (dict(dropout=10**400), "must be of the kind float"), (dict(D=3), "sasrec has no setting 'D'; it has d, n")])
def test_settings_that_cannot_be(wrong, said):
    with pytest.raises(InputError) as e:
        SASRec(9, **wrong)
    assert said in str(e.value)


def test_none_only_where_a_preset_or_default_has_it():
    class Mine(EncoderRecommender):
        name, DEFAULTS, PRESETS = "mine", dict(K=4, beta=None, tau=1.0), {"shared": {}, "authors": dict(K=None)}
        RANGES = dict(K=Range(1), beta=Range(0), mode=OneOf("ab"))
    assert check_settings(Mine, dict(K=None, beta=None)) == dict(K=None, beta=None)
    for wrong, said in ((dict(tau=None), "tau=None"), (dict(K=0), "K=0 must be at least 1."), (dict(beta=-.5), "beta=-0.5 must be at least 0.")):
        with pytest.raises(InputError, match=said):
            check_settings(Mine, wrong)


@pytest.mark.parametrize("arguments, said", [
    ((True, None, 1), "n_items=True"), ((0, None, 1), "n_items=0 must be a whole number of at least 1."), ((2.0, None, 1), "n_items=2.0"),
    ((3, "hot", 1), "preset 'hot' is unknown to popularity: choose 'shared'."), ((3, ["shared"], 1), "preset"),
    ((3, None, True), "seed=True"), ((3, None, 2**63), "below 2⁶³"), ((3, None, -1), "seed=-1"), ((3, None, "1"), "seed='1'")])
def test_arguments_that_no_model_can_be_made_of(arguments, said):
    with pytest.raises(InputError) as e:
        Popularity(*arguments)
    assert said in str(e.value)


def test_the_largest_seed():
    assert check_seed(np.uint64(2**63 - 1)) == 2**63 - 1
    assert check_arguments(Popularity, 1, "shared", 0) == (1, 0)
