"""Statistics against numbers worked out by hand and against SciPy."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dmlbench.results.statistics import holm, seeds_needed, sign_flip, summarise, t_quantile

TEN = [60.1, 60.5, 59.8, 60.3, 60.0, 60.7, 60.2, 60.4, 59.9, 60.1]
gains = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=9)


def test_the_worked_interval():
    one = summarise(TEN)
    assert one.n == 10
    assert one.mean == pytest.approx(60.2, abs=1e-12)
    assert one.std == pytest.approx(0.2788867, abs=1e-6)
    assert one.half_width == pytest.approx(0.1995, abs=5e-5)


def test_one_value_has_no_interval():
    one = summarise([0.5])
    assert (one.mean, one.std, one.half_width) == (0.5, None, None)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 99])
def test_the_t_quantile_is_scipys(freedom):
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_the_t_quantile_of_the_card():
    assert t_quantile(9) == pytest.approx(2.262157, abs=5e-7)


def test_six_gains_out_of_six_give_two_in_sixty_four():
    assert sign_flip([0.3, 0.1, 0.2, 0.5, 0.4, 0.6]) == 2 / 64
    assert sign_flip([-0.1] * 6) == 2 / 64


def test_one_small_loss_among_six():
    """As far out as 0.1 + … + 0.1 - 0.01: all +, that one -, and their mirrors."""
    assert sign_flip([0.1, 0.1, 0.1, 0.1, 0.1, -0.01]) == 4 / 64


def test_no_difference_at_all_is_p_one():
    assert sign_flip([0.0] * 10) == 1.0
    assert sign_flip([]) == 1.0


@given(gains)
def test_the_sign_flip_counts_what_a_plain_loop_counts(values):
    target = abs(math.fsum(values)) - 1e-9
    signs = list(itertools.product((1, -1), repeat=len(values)))
    far = sum(abs(math.fsum(s * v for s, v in zip(sign, values, strict=True))) >= target for sign in signs)
    assert sign_flip(values) == far / len(signs)


@given(gains, st.randoms(use_true_random=False))
def test_the_sign_flip_does_not_care_who_is_a_or_in_which_order(values, random):
    shuffled = random.sample(values, len(values))
    assert sign_flip(shuffled) == sign_flip([-value for value in values]) == sign_flip(values)


def test_twenty_seeds_are_exact_and_forty_are_estimated():
    assert sign_flip([0.1] * 20) == 2 / 2**20
    many = [0.1 + 0.001 * index if index % 2 else -0.08 - 0.0007 * index for index in range(40)]
    normal = 2 * stats.norm.sf(abs(sum(many)) / math.sqrt(sum(value**2 for value in many)))
    assert sign_flip(many) == pytest.approx(normal, abs=0.02)


def test_holm_by_hand():
    """Ordered 0.001, 0.01, 0.02, 0.03 times 4, 3, 2, 1; no value under the one before."""
    assert holm([0.02, 0.001, 0.03, 0.01]) == pytest.approx([0.04, 0.004, 0.04, 0.03])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_keeps_the_order(ps):
    adjusted = holm(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    pairs = sorted(zip(ps, adjusted, strict=True))
    assert all(x[1] <= y[1] for x, y in itertools.pairwise(pairs))


def test_seeds_needed_by_hand():
    """Mean 1, deviation 2: t(17) 2/√18 = 0.9946 is the first below 1; t(16) 2/√17 = 1.0283 is not."""
    values = [3.0, -1.0] * 3
    scale = 2 / summarise(values).std
    values = [1 + (value - 1) * scale for value in values]
    assert seeds_needed(values) == 18


def test_seeds_needed_is_more_than_there_are_and_at_most_a_hundred():
    assert seeds_needed([0.5, 0.5, 0.5]) == 6
    assert seeds_needed([0.5] * 8) == 9
    assert seeds_needed([1.0, -1.0, 0.01]) is None
    assert seeds_needed([0.0] * 10) is None
    assert seeds_needed([0.5]) is None
