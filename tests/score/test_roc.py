import doctest
import itertools
import math
import sys
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.errors import DataError, UsageError
from dmlbench.score.roc import best_threshold, eer, fold_accuracy, roc, roc_auc, tar_at_far

# Worked out by hand.
SCORES = torch.tensor([0.9, 0.8, 0.75, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
GENUINE = torch.tensor([1, 1, 0, 1, 1, 0, 1, 0, 0, 0]).bool()
FOLD_SCORES = torch.tensor([0.9, 0.6, 0.5, 0.2, 0.8, 0.4, 0.55, 0.1], dtype=torch.float64)
FOLD_GENUINE = torch.tensor([1, 1, 0, 0, 1, 1, 0, 0]).bool()
FOLDS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])

FARS = (0.5, 0.25, 0.2, 0.1, 0.01)

# Few distinct scores, so that most are tied; at least one pair of each kind.
pairs = st.tuples(
    st.lists(st.integers(-4, 4), min_size=1, max_size=25),
    st.lists(st.integers(-4, 4), min_size=1, max_size=25),
).map(lambda lists: ([*lists[0], *lists[1]], [True] * len(lists[0]) + [False] * len(lists[1])))
quickly = settings(deadline=None, derandomize=True, max_examples=60)


def tensors(given_pairs):
    scores, genuine = given_pairs
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(genuine)


def curve_by_loops(scores, genuine):
    """(threshold, FAR, TAR) at infinity and each distinct score, descending, as exact fractions."""
    rows = []
    for threshold in [math.inf, *sorted(set(scores), reverse=True)]:
        accepted = [g for s, g in zip(scores, genuine, strict=True) if s >= threshold]
        impostors = Fraction(accepted.count(False), genuine.count(False))
        rows.append((threshold, impostors, Fraction(accepted.count(True), genuine.count(True))))
    return rows


def eer_by_loops(scores, genuine):
    rows = curve_by_loops(scores, genuine)
    for (_, far, tar), (_, next_far, next_tar) in itertools.pairwise(rows):
        if next_far >= 1 - next_tar:
            # far + x (next_far - far) = 1 - tar - x (next_tar - tar)
            x = (1 - tar - far) / (next_far - far + next_tar - tar)
            return far + x * (next_far - far)
    raise AssertionError


def best_by_loops(scores, genuine):
    right = {t: sum((s >= t) == g for s, g in zip(scores, genuine, strict=True)) for t in scores}
    return min(t for t in scores if right[t] == max(right.values()))


def test_the_worked_example():
    assert roc_auc(SCORES, GENUINE) == pytest.approx(0.84, abs=1e-12)
    assert eer(SCORES, GENUINE) == pytest.approx(0.2, abs=1e-12)
    assert tar_at_far(SCORES, GENUINE, 0.2) == (0.8, 0.55, 5, False)
    assert tar_at_far(SCORES, GENUINE, 0.1) == (0.4, 0.8, 5, True)


def test_of_several_best_thresholds_the_smallest_is_taken():
    """0.55 and 0.4 both decide eight of ten rightly."""
    right = [float(((threshold <= SCORES) == GENUINE).double().mean()) for threshold in SCORES]
    assert max(right) == right[4] == right[6] == 0.8
    assert best_threshold(SCORES, GENUINE) == 0.4


def test_the_worked_example_of_two_folds():
    found = fold_accuracy(FOLD_SCORES, FOLD_GENUINE, FOLDS)
    assert found.thresholds.tolist() == [0.4, 0.6]
    assert found.accuracies.tolist() == [0.75, 0.75]
    assert (found.mean, found.standard_error) == (0.75, 0)


@given(pairs)
@quickly
def test_the_curve_is_scikit_learns_ties_included(given_pairs):
    from sklearn.metrics import roc_auc_score, roc_curve

    scores, genuine = tensors(given_pairs)
    far, tar, thresholds = roc_curve(genuine, scores, drop_intermediate=False)
    found = roc(scores, genuine)
    assert found.thresholds.tolist() == thresholds.tolist()
    assert found.far.tolist() == pytest.approx(far.tolist(), abs=1e-12)
    assert found.tar.tolist() == pytest.approx(tar.tolist(), abs=1e-12)
    assert roc_auc(scores, genuine) == pytest.approx(roc_auc_score(genuine, scores), abs=1e-9)


@given(pairs)
@quickly
def test_all_that_is_read_off_equals_the_plain_loops(given_pairs):
    scores, genuine = tensors(given_pairs)
    rows = curve_by_loops(*given_pairs)
    assert eer(scores, genuine) == pytest.approx(float(eer_by_loops(*given_pairs)), abs=1e-12)
    assert best_threshold(scores, genuine) == best_by_loops(*given_pairs)
    for far in FARS:
        found = tar_at_far(scores, genuine, far)
        kept = [(t, tar) for t, reached, tar in rows if reached <= far]
        assert found.tar == pytest.approx(float(max(tar for _, tar in kept)), abs=1e-12)
        assert found.threshold == min(t for t, _ in kept)
        assert found.impostors == given_pairs[1].count(False)


@given(pairs, st.randoms(use_true_random=False))
@quickly
def test_neither_order_nor_a_rising_map_of_the_scores_matters(given_pairs, random):
    scores, genuine = tensors(given_pairs)
    order = torch.tensor(random.sample(range(len(scores)), len(scores)))
    for others, rising in (
        ((scores[order], genuine[order]), lambda x: x),
        ((scores**3 + scores, genuine), lambda x: x**3 + x),
        ((scores.exp(), genuine), math.exp),
    ):
        assert roc_auc(*others) == roc_auc(scores, genuine)
        assert eer(*others) == eer(scores, genuine)
        assert best_threshold(*others) == pytest.approx(rising(best_threshold(scores, genuine)))
        for far in FARS:
            assert tar_at_far(*others, far).tar == tar_at_far(scores, genuine, far).tar


@given(pairs)
@quickly
def test_scores_turned_round_turn_the_area_round(given_pairs):
    scores, genuine = tensors(given_pairs)
    assert roc_auc(-scores, genuine) == pytest.approx(1 - roc_auc(scores, genuine), abs=1e-12)
    assert eer(scores, ~genuine) == pytest.approx(1 - eer(scores, genuine), abs=1e-12)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40))
@quickly
def test_fold_accuracy_equals_the_plain_loops(rows):
    scores, genuine, folds = zip(*rows, strict=True)
    ids = sorted(set(folds))
    if len(ids) < 2:
        return
    thresholds, accuracies = [], []
    for fold in ids:
        others = [(s, g) for s, g, f in rows if f != fold]
        thresholds.append(best_by_loops(*map(list, zip(*others, strict=True))))
        right = [(s >= thresholds[-1]) == g for s, g, f in rows if f == fold]
        accuracies.append(sum(right) / len(right))
    mean = sum(accuracies) / len(ids)
    variance = sum((value - mean) ** 2 for value in accuracies) / (len(ids) - 1)

    found = fold_accuracy(
        torch.tensor(scores, dtype=torch.float64), torch.tensor(genuine), torch.tensor(folds) + 2**53
    )
    assert found.thresholds.tolist() == thresholds
    assert found.accuracies.tolist() == pytest.approx(accuracies, abs=1e-12)
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert found.standard_error == pytest.approx(math.sqrt(variance / len(ids)), abs=1e-12)


def test_a_folds_own_scores_do_not_move_its_threshold():
    moved = FOLD_SCORES.clone()
    moved[FOLDS == 0] -= 5
    plain, other = (fold_accuracy(scores, FOLD_GENUINE, FOLDS) for scores in (FOLD_SCORES, moved))
    assert other.thresholds[0] == plain.thresholds[0]
    assert other.accuracies[0] == 0.5


def test_a_perfect_a_hopeless_and_a_collapsed_model():
    genuine = torch.tensor([True] * 20 + [False] * 20)
    for scores, area, error, rate in (
        (genuine.double(), 1, 0, 1),
        (-genuine.double(), 0, 1, 0),
        (torch.zeros(40), 0.5, 0.5, 0),
    ):
        assert roc_auc(scores, genuine) == area
        assert eer(scores, genuine) == error
        assert tar_at_far(scores, genuine, 0.1).tar == rate


@pytest.mark.parametrize(
    ("impostors", "far", "coarse"),
    [(9, 0.1, True), (10, 0.1, False), (999, 1e-3, True), (1000, 1e-3, False), (49, 1 / 49, False)],
)
def test_fewer_impostors_than_the_rate_can_count_are_marked(impostors, far, coarse):
    genuine = torch.arange(impostors + 5) < 5
    found = tar_at_far(-torch.arange(impostors + 5.0), genuine, far)
    assert (found.tar, found.impostors, found.coarse) == (1, impostors, coarse)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_scores_that_want_gradients_are_read_exactly(dtype):
    narrow = torch.randn(60, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    genuine, folds = torch.arange(60) % 3 == 0, torch.arange(60) % 4
    wide = narrow.detach().double()
    assert roc_auc(narrow, genuine) == roc_auc(wide, genuine)
    assert eer(narrow, genuine) == eer(wide, genuine)
    found, wanted = (fold_accuracy(scores, genuine, folds) for scores in (narrow, wide))
    assert torch.equal(found.thresholds, wanted.thresholds)
    assert torch.equal(found.accuracies, wanted.accuracies)


def test_pairs_of_one_kind_have_no_curve_but_a_best_threshold():
    for kind, name in ((True, "impostor"), (False, "genuine")):
        with pytest.raises(DataError, match=f"none of the 10 pairs is {name}"):
            roc(SCORES, torch.full((10,), kind))
    assert best_threshold(SCORES, torch.ones(10).bool()) == 0.1


@pytest.mark.parametrize(
    ("scores", "genuine", "message"),
    [
        (SCORES[:9], GENUINE, r"\(9,\) and torch.bool \(10,\)"),
        (SCORES[:, None], GENUINE[:, None], r"\(10, 1\)"),
        (SCORES[:0], GENUINE[:0], r"\(0,\)"),
        (SCORES, GENUINE.long(), "True or False for each pair, got (.|\n)*torch.int64"),
        (SCORES.log() - SCORES.log() / 0, GENUINE, "10 of 10 scores are NaN or infinite"),
        (torch.cat([SCORES[:9], torch.tensor([math.inf])]), GENUINE, "1 of 10 scores"),
    ],
)
def test_scores_that_cannot_be_read_are_refused(scores, genuine, message):
    for function in (roc, roc_auc, eer, best_threshold):
        with pytest.raises(DataError, match=message):
            function(scores, genuine)
    with pytest.raises(DataError, match=message):
        fold_accuracy(scores, genuine, torch.arange(len(scores)))


def test_folds_that_are_no_folds_are_refused():
    for folds in (torch.zeros(10).long(), torch.arange(9), torch.arange(20).reshape(10, 2)):
        with pytest.raises(DataError, match="expected a fold for each pair, and two or more folds"):
            fold_accuracy(SCORES, GENUINE, folds)


@pytest.mark.parametrize("far", [0, 1, -0.1, 10, math.nan])
def test_a_rate_outside_zero_to_one_is_refused(far):
    with pytest.raises(UsageError, match="between 0 and 1"):
        tar_at_far(SCORES, GENUINE, far)


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(sys.modules[roc.__module__], extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 0
