"""Clusters in place of labels: when they change, who trains, and that true ones would change nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, lists, tuples

from dmlbench.errors import RunError
from dmlbench.train.pseudo_labels import PseudoLabels, aligned, without_small

from .conftest import CLASSES, PER_CLASS
from .helpers import saved, train

ITEMS = CLASSES * PER_CLASS
EPOCH = 3
"""Steps."""
pairs_of_clusters = lists(tuples(integers(0, 7), integers(0, 7)), min_size=1, max_size=40)


def by(cluster, *, every=1, least=4):
    """Labels by `cluster(unit, number)`; the images' own are the first ones."""
    return lambda labels: PseudoLabels(labels, CLASSES, cluster, every=every, least=least)


# ---- numbers of clusters


def greedy(new, old, most):
    """The rule once more, image by image."""
    shared = {}
    for ours, theirs in zip(new, old, strict=True):
        shared[ours, theirs] = shared.get((ours, theirs), 0) + 1
    takes = {}
    for ours, theirs in sorted(shared, key=lambda pair: (-shared[pair], pair)):
        if ours not in takes and theirs not in takes.values():
            takes[ours] = theirs
    free = [number for number in range(most) if number not in takes.values()]
    for ours in sorted(set(new)):
        if ours not in takes:
            takes[ours] = free.pop(0)
    return [takes[ours] for ours in new]


@given(pairs_of_clusters)
def test_clusters_keep_the_numbers_of_those_they_share_most_with(found):
    new, old = map(list, zip(*found, strict=True))
    renamed = aligned(torch.tensor(new), torch.tensor(old))
    assert renamed.tolist() == greedy(new, old, 1 + max(new + old))
    # The partition is what it was.
    same = torch.tensor(new)[:, None] == torch.tensor(new)
    assert torch.equal(renamed[:, None] == renamed, same)


@given(lists(integers(0, 7), min_size=1, max_size=40), integers(0, 99))
def test_the_same_clusters_under_other_numbers_are_the_same_labels(clusters, seed):
    old = torch.tensor(clusters)
    other = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(aligned(other[old], old), old)


def test_clusters_that_are_too_small_are_left_out():
    clusters = torch.tensor([0, 2, 2, 0, 0, 5, 5, 5, 5])
    assert without_small(clusters, 3).tolist() == [0, -1, -1, 0, 0, 5, 5, 5, 5]
    assert torch.equal(without_small(clusters, 1), clusters)


# ---- training


@pytest.mark.parametrize("loss", ["contrastive", "multi-similarity", "cbml", "normalised-softmax"])
@pytest.mark.parametrize("renamed", [False, True])
def test_with_the_true_classes_as_clusters_training_is_supervised_step_for_step(
    make, method, store, weights, loss, renamed
):
    _, labels = store

    def oracle(unit, number):
        assert unit.shape == (ITEMS, 8)
        assert unit.norm(dim=1) == pytest.approx(1, abs=1e-5)
        numbers = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(number))
        return numbers[labels] if renamed else labels.clone()

    recipe = method(f"dmlbench:{loss}")
    supervised, clustered = make(recipe), make(recipe, made=by(oracle), extra_forwards=2)
    while not supervised.done:
        assert supervised.step() == clustered.step()
        assert torch.equal(weights(supervised), weights(clustered))
    assert clustered.done
    assert len(clustered.labels.history) == 7
    assert clustered.extra_forwards == 6 * ITEMS


def drawn_clusters(unit, number):
    """Six clusters, other ones each time; the last is small."""
    clusters = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(number)) % (CLASSES - 1)
    clusters[:3] = CLASSES - 1
    return clusters


def test_labels_change_with_the_clusters_and_only_then(make, method, offer):
    seen = []

    def look(embeddings, labels, train_labels, indices, step):
        assert torch.equal(labels, train_labels[indices])
        seen.append(train_labels.clone())
        return embeddings.square().mean() + embeddings[0, 0]

    trainer = make(method(offer("loss", look)), made=by(drawn_clusters, every=2))
    train(trainer, 5 * EPOCH)
    (_, first), (at, second), (later, third) = trainer.labels.history
    assert (at, later) == (2 * EPOCH * 16, 4 * EPOCH * 16)
    for step, found in enumerate(seen):
        assert torch.equal(found, without_small([first, second, third][step // (2 * EPOCH)], 4))
    assert not torch.equal(second, third)


def test_images_of_small_clusters_do_not_train_and_come_back_in_larger_ones(make, method, offer):
    drawn = []

    def look(embeddings, indices, labels, first_labels):
        assert labels.min() >= 0
        assert first_labels.min() >= 0
        drawn.append(set(indices.tolist()))
        return embeddings.square().mean() + embeddings[0, 0]

    def large(unit, number):
        return torch.arange(ITEMS) % (CLASSES - 1)

    def start(labels):
        return PseudoLabels(drawn_clusters(None, 0), CLASSES, large, every=2, least=4)

    trainer = make(method(offer("loss", look)), made=start)
    train(trainer, 5 * EPOCH)
    early, late = set.union(*drawn[: 2 * EPOCH]), set.union(*drawn[2 * EPOCH :])
    assert not early & {0, 1, 2}
    assert late & {0, 1, 2}


def test_each_clustering_is_paid_for_in_gradient_free_passes(make, method):
    trainer = make(method(), made=by(drawn_clusters, every=2))
    train(trainer, 2 * EPOCH + 1)
    assert trainer.extra_forwards == ITEMS
    greedy_one = make(method(), made=by(drawn_clusters), extra_forwards=0)
    with pytest.raises(RunError, match="gradient-free image passes"):
        train(greedy_one)


def test_an_interrupted_run_has_the_labels_and_the_clusterings_it_had(make, method, weights):
    whole, cut, resumed = (make(method(), made=by(drawn_clusters, every=2)) for _ in range(3))
    train(whole, 14)
    train(cut, 8)  # past a clustering, inside an epoch
    resumed.load_state_dict(saved(cut))
    train(resumed, 6)
    assert torch.equal(weights(resumed), weights(whole))
    assert [at for at, _ in resumed.labels.history] == [at for at, _ in whole.labels.history]
    assert all(
        torch.equal(ours, theirs)
        for (_, ours), (_, theirs) in zip(resumed.labels.history, whole.labels.history, strict=True)
    )
