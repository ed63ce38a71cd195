import pytest
import torch
from dmlbench_plugins.samplers.n_pair import NPair
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class

from .counting import Work

few = settings(max_examples=40, deadline=None, derandomize=True)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(*sizes):
    """(training indices of each class, label of each image), the images in no order."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator(1))]
    return by_class(labels), labels


@few
@given(seed=st.integers(0, 9_999), pairs=st.integers(1, 8), sizes=st.lists(st.integers(2, 6), min_size=8))
def test_a_batch_is_n_classes_of_two_different_images(seed, pairs, sizes):
    groups, labels = images_of(*sizes)
    batch = NPair(2 * pairs).draw(groups, generator(seed))
    assert labels[batch.indices].unique(return_counts=True)[1].tolist() == [2] * pairs
    assert len(set(batch.indices.tolist())) == 2 * pairs


@few
@given(seed=st.integers(0, 9_999))
def test_each_class_has_one_anchor_and_one_positive_in_the_same_order(seed):
    groups, labels = images_of(*[4] * 12)
    batch = NPair(16).draw(groups, generator(seed))
    role = batch.roles["is_positive"]
    assert role.tolist() == [False] * 8 + [True] * 8
    assert torch.equal(labels[batch.indices[~role]], labels[batch.indices[role]])


def test_a_batch_size_that_is_odd_leaves_one_place_empty():
    groups, _ = images_of(*[3] * 12)
    assert len(NPair(9).draw(groups, generator()).indices) == 8


def test_classes_with_one_image_never_appear():
    groups, labels = images_of(1, 2, 1, 3, 2, 1, 2, 2)
    for seed in range(50):
        drawn = labels[NPair(6).draw(groups, generator(seed)).indices].tolist()
        assert set(drawn) <= {1, 3, 4, 6, 7}
        assert len(set(drawn)) == 3


def test_all_classes_are_drawn_when_there_are_not_more_than_fit():
    groups, labels = images_of(2, 3, 2, 1)
    drawn = NPair(128).draw(groups, generator()).indices
    assert sorted(labels[drawn].tolist()) == [0, 0, 1, 1, 2, 2]


def test_every_class_every_image_and_either_role_have_their_turn():
    groups, labels = images_of(*[5] * 12)
    sampler, stream = NPair(8), generator()
    batches = [sampler.draw(groups, stream) for _ in range(600)]
    drawn = torch.cat([batch.indices for batch in batches])
    anchors = torch.cat([batch.indices[~batch.roles["is_positive"]] for batch in batches])
    assert labels[drawn].bincount().tolist() == [pytest.approx(400, rel=0.2)] * 12
    assert drawn.bincount().tolist() == [pytest.approx(80, rel=0.5)] * 60
    assert anchors.bincount().tolist() == [pytest.approx(40, rel=0.6)] * 60


def test_the_generator_alone_decides():
    groups, _ = images_of(*[5] * 12)
    first, again, other = (NPair(12).draw(groups, generator(seed)).indices for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_generators_are_left_alone():
    groups, _ = images_of(*[5] * 12)
    before = torch.get_rng_state()
    NPair(12).draw(groups, generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_hundred_times_as_many_classes_are_not_more_operations():
    counts = []
    for classes in (100, 11_318):
        groups = by_class(torch.arange(classes).repeat_interleave(5))
        with Work() as work:
            NPair(128).draw(groups, generator())
        counts.append(work.operations)
        assert work.elements <= max(classes, 128)
    assert counts[0] == counts[1]


def test_without_any_pair_it_is_refused():
    groups, _ = images_of(1, 1, 1)
    with pytest.raises(UsageError, match="no class has two images"):
        NPair(4).draw(groups, generator())


def test_a_batch_of_one_image_holds_no_pair():
    with pytest.raises(UsageError, match="a pair does not fit a batch of 1"):
        NPair(1)
