import pytest
import torch
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from dmlbench_plugins.losses.multi_similarity_mined import multi_similarity_mined
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultiSimilarityLoss

from dmlbench.api import Pairs

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def chosen(positives, negatives):
    return Pairs(torch.stack(positives.nonzero(as_tuple=True)), torch.stack(negatives.nonzero(as_tuple=True)))


@few
@seeds
@pytest.mark.parametrize("epsilon", [0.1, None])
def test_of_all_pairs_it_is_multi_similarity(batch, pairs, epsilon, seed):
    similarity, positives, negatives = pairs(*batch(seed=seed))
    ours = multi_similarity_mined(similarity, chosen(positives, negatives), epsilon=epsilon)
    theirs = multi_similarity(similarity, positives, negatives, epsilon=epsilon)
    assert torch.equal(ours, theirs)


@few
@seeds
def test_it_knows_no_pairs_but_the_chosen_ones(batch, pairs, seed):
    similarity, positives, negatives = pairs(*batch(seed=seed))
    some = torch.rand(similarity.shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mined = chosen(positives & some, negatives & some)
    leaf = similarity.clone().requires_grad_()
    value = multi_similarity_mined(leaf, mined)
    assert torch.equal(value, multi_similarity(similarity, positives & some, negatives & some))
    (gradient,) = torch.autograd.grad(value, leaf)
    assert not gradient[~some].any()


def test_without_its_own_mining_it_is_pytorch_metric_learnings_of_the_same_pairs(batch, pairs):
    rows, labels = batch(seed=4)
    similarity, positives, negatives = pairs(rows, labels)
    some = torch.rand(similarity.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    positives, negatives = positives & some, negatives & some
    # Here an anchor without one of both kinds counts 0, there its other kind counts.
    counted = (positives.any(dim=1) & negatives.any(dim=1))[:, None]
    mined = chosen(positives & counted, negatives & counted)
    theirs = MultiSimilarityLoss(2, 40, 0.5)(rows, labels, (*mined.positive, *mined.negative))
    ours = multi_similarity_mined(similarity, mined, epsilon=None)
    assert 12 * ours.item() == pytest.approx(12 * theirs.item(), rel=1e-8)


def test_its_settings_are_multi_similaritys(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=1))
    options = {"alpha": 3.0, "beta": 7.0, "base": 0.3}
    ours = multi_similarity_mined(similarity, chosen(positives, negatives), **options, epsilon=None)
    assert torch.equal(ours, multi_similarity(similarity, positives, negatives, **options, epsilon=None))


def test_nothing_mined_is_none(batch, pairs):
    similarity, positives, _ = pairs(*batch(seed=1))
    nothing = torch.zeros_like(positives)
    assert multi_similarity_mined(similarity, chosen(nothing, nothing)) is None


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    rows, labels = batch(classes=3, per_class=1, seed=5)
    refs, ref_labels = batch(classes=4, per_class=5, seed=6)
    similarity, positives, negatives = pairs(rows, labels, refs, ref_labels)
    ours = multi_similarity_mined(similarity, chosen(positives, negatives))
    assert torch.equal(ours, multi_similarity(similarity, positives, negatives))
