import pytest
import torch
from dmlbench_plugins.miners.random_triplets import random_triplets


def drawn(positives, negatives, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return random_triplets(positives, negatives, generator, **options).indices


def test_each_anchor_that_has_both_kinds_gets_its_triplets(batch, pairs):
    _, positives, negatives = pairs(*batch(classes=5, per_class=4))
    positives[2] = False
    negatives[7] = False
    a, p, n = drawn(positives, negatives, per_anchor=3)
    others = torch.tensor([row for row in range(20) if row not in (2, 7)])
    assert torch.equal(a, others.repeat_interleave(3))
    assert positives[a, p].all()
    assert negatives[a, n].all()


def test_places_are_among_the_refs(batch, pairs):
    rows, labels = batch(classes=3, per_class=2, seed=1)
    _, positives, negatives = pairs(rows, labels, *batch(classes=3, per_class=9, seed=2))
    a, p, n = drawn(positives, negatives, per_anchor=2)
    assert torch.equal(a, torch.arange(6).repeat_interleave(2))
    assert positives[a, p].all()
    assert negatives[a, n].all()


def test_every_triplet_is_as_likely_as_any_other():
    positives = torch.tensor([[False, True, True, False, False, False]])
    negatives = torch.tensor([[False, False, False, True, True, True]])
    _, p, n = drawn(positives, negatives, per_anchor=60_000)
    counts = torch.bincount(3 * (p - 1) + n - 3)
    # Six cells of 10,000: chi squared with 5 degrees of freedom is below 20.5 in 99.9 % of cases.
    assert len(counts) == 6
    assert ((counts - 10_000).double().square() / 10_000).sum() < 20.5


def test_positives_and_negatives_are_drawn_anew_for_each_anchor(batch, pairs):
    _, positives, negatives = pairs(*batch(classes=2, per_class=30))
    _, p, n = drawn(positives, negatives)
    assert len(p.unique()) > 20
    assert len(n.unique()) > 20


def test_the_generator_alone_decides(batch, pairs):
    _, positives, negatives = pairs(*batch())
    once = drawn(positives, negatives, seed=4)
    torch.rand(7)
    assert torch.equal(drawn(positives, negatives, seed=4), once)
    assert not torch.equal(drawn(positives, negatives, seed=5), once)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_no_triplets(four, pairs, labels):
    _, positives, negatives = pairs(four[0], torch.tensor(labels))
    assert drawn(positives, negatives, per_anchor=3).shape == (3, 0)
